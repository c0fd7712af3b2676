"""Work on models that others wrote: swap their LSTMs for ours."""

from bilstm.surgery.transplant import Surgery as Surgery
from bilstm.surgery.transplant import accelerate as accelerate

__all__ = ["Surgery", "accelerate"]
