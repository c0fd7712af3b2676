"""The layers and the kernels under them. Knows tensors; knows no files, tasks or training."""

from bilstm.nn.bilstm import BiLSTM as BiLSTM
from bilstm.nn.crf import CRF as CRF
from bilstm.nn.ctc import align as align
from bilstm.nn.ctc import beam_search as beam_search
from bilstm.nn.ctc import ctc_loss as ctc_loss
from bilstm.nn.ctc import greedy as greedy
from bilstm.nn.ctc import needed_steps as needed_steps
from bilstm.nn.kernels import explain as explain
from bilstm.nn.kernels import last_kernel as last_kernel
from bilstm.nn.kernels import use_kernel as use_kernel

__all__ = [
    "BiLSTM",
    "CRF",
    "align",
    "beam_search",
    "ctc_loss",
    "explain",
    "greedy",
    "last_kernel",
    "needed_steps",
    "use_kernel",
]
