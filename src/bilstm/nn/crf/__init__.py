"""The linear-chain conditional random field: equations, kernels, layer."""

from bilstm.nn.crf.layer import CRF

__all__ = ["CRF"]
