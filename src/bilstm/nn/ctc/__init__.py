"""Connectionist temporal classification: equations, kernels, losses and searches."""

from bilstm.nn.ctc.functions import align, beam_search, ctc_loss, greedy, needed_steps

__all__ = ["align", "beam_search", "ctc_loss", "greedy", "needed_steps"]
