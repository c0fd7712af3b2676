"""Work on models that others wrote: swap their LSTMs for ours, and find their faults."""

from bilstm.surgery.examination import Audit as Audit
from bilstm.surgery.examination import Finding as Finding
from bilstm.surgery.examination import audit as audit
from bilstm.surgery.transplant import Surgery as Surgery
from bilstm.surgery.transplant import accelerate as accelerate

__all__ = ["Audit", "Finding", "Surgery", "accelerate", "audit"]
