"""The layers and the kernels under them. Knows tensors; knows no files, tasks or training."""

from bilstm.nn.core import last_kernel, use_kernel
from bilstm.nn.crf.layer import CRF
from bilstm.nn.ctc.functions import align, beam_search, ctc_loss, greedy, needed_steps
from bilstm.nn.lstm.kernels import explain
from bilstm.nn.lstm.layer import BiLSTM

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
