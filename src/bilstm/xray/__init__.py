"""Look into a fitted model: its gates, and what each word, column or second contributed to what it says."""

from bilstm.xray.examination import x_ray
from bilstm.xray.gates import Gates
from bilstm.xray.result import Contribution
from bilstm.xray.showing import XRay

__all__ = ["Contribution", "Gates", "XRay", "x_ray"]
