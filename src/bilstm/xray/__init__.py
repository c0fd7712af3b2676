"""Look into a fitted model: its gates, and what each word, column or second contributed to what it says."""

from bilstm.xray.examination import x_ray as x_ray
from bilstm.xray.gates import Gates as Gates
from bilstm.xray.result import Contribution as Contribution
from bilstm.xray.result import XRay as XRay

__all__ = ["Contribution", "Gates", "XRay", "x_ray"]
