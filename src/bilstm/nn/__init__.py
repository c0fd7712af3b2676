"""The layer and the kernels under it. Knows tensors; knows no files, tasks or training."""

from bilstm.nn.bilstm import BiLSTM as BiLSTM
from bilstm.nn.kernels import explain as explain
from bilstm.nn.kernels import last_kernel as last_kernel
from bilstm.nn.kernels import use_kernel as use_kernel

__all__ = ["BiLSTM", "explain", "last_kernel", "use_kernel"]
