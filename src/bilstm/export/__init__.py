"""Models that run where neither torch nor this package is: ONNX files with JSON beside them.

Knows fitted estimators and layers; nothing before it knows of ONNX files.
"""

from bilstm.export.tasks import layer_to_onnx, to_onnx
from bilstm.export.translation import translations

__all__ = ["layer_to_onnx", "to_onnx", "translations"]
