"""Which of the two computes a CRF, the native kernel or the equations, and the native one as autograd sees it.

Knows autograd and precision; knows no parameters and no shapes that could be wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bilstm.nn import core
from bilstm.nn.core import Maybe
from bilstm.nn.crf import equations as crf_equations
from bilstm.nn.crf import native
from bilstm.nn.crf.equations import Chain


def log_partition(chain: Chain, tags: Maybe = None) -> Tensor:
    """log Z (B,) in double precision; with tags (B, T) the loss log Z − score(tags). Differentiable."""
    if not _native(chain):
        wide = _wide(chain)
        return crf_equations.log_partition(*wide) if tags is None else crf_equations.loss(*wide, tags)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in chain):
        function: Any = _Eager
        result: Tensor = function.apply(tags, *chain)
        return result
    return native.forward(chain, tags, keep=False)[0]


def marginals(chain: Chain) -> Tensor:
    """The probability of each tag at each step, (B, T, K)."""
    return native.marginals(chain) if _native(chain) else crf_equations.marginals(*_wide(chain))


def viterbi(chain: Chain) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,) in double precision."""
    return native.viterbi(chain) if _native(chain) else crf_equations.viterbi(*_wide(chain))


def best(chain: Chain, n: int) -> tuple[Tensor, Tensor]:
    """The n best paths (B, n, T) and their scores (B, n) in double precision; by the equations always."""
    return crf_equations.best(*_wide(chain), n)


def _native(chain: Chain) -> bool:
    return core.native_or_equations(native.serves(chain)) == "native"


def _wide(chain: Chain) -> Chain:
    """In double precision, as the native kernel computes: log Z − score is a small difference of large numbers."""
    dtype = torch.float32 if chain.emissions.device.type == "mps" else torch.float64  # Apple's knows no double
    emissions, lengths, *parameters = chain
    return Chain(emissions.to(dtype), lengths, *(parameter.to(dtype) for parameter in parameters))


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tags: Maybe, *chain: Tensor) -> Tensor:
        result, reserve = native.forward(Chain(*chain), tags, keep=True)
        ctx.save_for_backward(tags, reserve, *chain)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_result: Tensor) -> tuple[Maybe, ...]:
        tags, reserve, *chain = ctx.saved_tensors
        d_emissions, d_transitions, d_start, d_end = native.backward(Chain(*chain), tags, reserve, d_result)
        return None, d_emissions, None, d_transitions, d_start, d_end
