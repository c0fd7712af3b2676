"""Work on models that others wrote: swap their LSTMs for ours, and find their faults."""

from bilstm.surgery.examination import Audit, Finding, audit
from bilstm.surgery.transplant import Surgery, accelerate, restore

__all__ = ["Audit", "Finding", "Surgery", "accelerate", "audit", "restore"]
