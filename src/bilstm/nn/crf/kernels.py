"""The CRF by the native kernel (native/crf.hpp) where it serves, else by the equations; both in double precision.

Knows autograd, precision and the border to C++; knows no parameters and no shapes that could be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from bilstm.nn import core
from bilstm.nn.core import Context, Maybe, call, packed
from bilstm.nn.crf import equations
from bilstm.nn.crf.equations import Chain


def log_partition(chain: Chain, tags: Maybe = None) -> Tensor:
    """log Z (B,) in double precision; with tags (B, T) the loss log Z − score(tags). Differentiable."""
    if not _native(chain):
        return _by_equations(tags, chain)[0]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in chain):
        differentiable: Callable[..., Tensor] = _Eager.apply
        return differentiable(tags, *chain)
    return native_forward(chain, tags, keep=False)[0]


def _by_equations(tags: Maybe, chain: Sequence[Tensor]) -> tuple[Tensor]:
    wide = _wide(Chain(*chain))
    return (equations.log_partition(*wide) if tags is None else equations.loss(*wide, tags),)


def marginals(chain: Chain) -> Tensor:
    """The probability of each tag at each step, (B, T, K)."""
    if not _native(chain):
        return equations.marginals(*_wide(chain))
    result = torch.empty_like(chain.emissions.contiguous())
    call("crf_marginals", **_arguments(chain), marginals=result)
    return result


def viterbi(chain: Chain) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,) in double precision."""
    if not _native(chain):
        return equations.viterbi(*_wide(chain))
    B, T, _ = chain.emissions.shape
    tags, score = torch.empty(B, T, dtype=torch.int64), torch.empty(B, dtype=torch.float64)
    call("crf_viterbi", **_arguments(chain), tags=tags, score=score)
    return tags, score


def best(chain: Chain, n: int) -> tuple[Tensor, Tensor]:
    """The n best paths (B, n, T) and their scores (B, n) in double precision; by the equations always."""
    return equations.best(*_wide(chain), n)


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, tags: Maybe, *chain: Tensor) -> Tensor:
        result, reserve = native_forward(Chain(*chain), tags, keep=True)
        ctx.save_for_backward(tags, reserve, *chain)
        return result

    @staticmethod
    def backward(ctx: Context, d_result: Tensor) -> tuple[Maybe, ...]:
        tags, reserve, *chain = ctx.saved_tensors
        if core.wants_equations([d_result]):
            run = partial(_by_equations, tags)
            return None, *core.gradients_of(run, chain, [d_result], ctx.needs_input_grad[1:])
        d_emissions, d_transitions, d_start, d_end = native_backward(Chain(*chain), tags, reserve, d_result)
        return None, d_emissions, None, d_transitions, d_start, d_end


def native_forward(chain: Chain, tags: Maybe, keep: bool) -> tuple[Tensor, Maybe]:
    """log Z (B,) float64, less the score of the tags where there are any; and what backward needs, if it is kept."""
    B, T, K = chain.emissions.shape
    result, reserve = chain.emissions.new_empty(B, dtype=torch.float64), None
    if keep:
        reserve = result.new_empty(call("crf_reserve_size", B=B, T=T, K=K) or 0)
    call("crf_forward", **_arguments(chain), tags=packed(tags), result=result, reserve=reserve)
    return result, reserve


def native_backward(chain: Chain, tags: Maybe, reserve: Tensor, d_result: Tensor) -> tuple[Tensor, ...]:
    """The gradients of emissions, transitions, start and end."""
    chain = Chain(*(tensor.contiguous() for tensor in chain))
    d_emissions, d_transitions = torch.empty_like(chain.emissions), torch.empty_like(chain.transitions)
    d_start, d_end = torch.empty_like(chain.start), torch.empty_like(chain.end)
    call(
        "crf_backward",
        **_arguments(chain),
        tags=packed(tags),
        d_result=d_result.resolve_neg().contiguous(),
        reserve=reserve,
        d_emissions=d_emissions,
        d_transitions=d_transitions,
        d_start=d_start,
        d_end=d_end,
    )
    return d_emissions, d_transitions, d_start, d_end


def _arguments(chain: Chain) -> dict[str, object]:
    """What all four functions of the compiled module have in common."""
    return {
        "emissions": chain.emissions.contiguous(),
        "lengths": chain.lengths.contiguous(),
        "transitions": chain.transitions.contiguous(),
        "start": chain.start.contiguous(),
        "end": chain.end.contiguous(),
        "threads": torch.get_num_threads(),
    }


def _native(chain: Chain) -> bool:
    reason = core.serves_eagerly((chain.emissions, chain.transitions, chain.start, chain.end))
    return core.native_or_equations(reason) == "native"


def _wide(chain: Chain) -> Chain:
    """In double precision, as the native kernel computes: log Z − score is a small difference of large numbers."""
    dtype = torch.float32 if chain.emissions.device.type == "mps" else torch.float64  # Apple's knows no double
    emissions, lengths, *parameters = chain
    return Chain(emissions.to(dtype), lengths, *(parameter.to(dtype) for parameter in parameters))
