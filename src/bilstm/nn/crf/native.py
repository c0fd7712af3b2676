"""The CRF by the native kernel (native/crf.hpp). Computes nothing and knows no autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from bilstm.nn.core import Maybe, call, packed, serves_eagerly
from bilstm.nn.crf.equations import Chain


def serves(chain: Chain) -> str | None:
    """None, or in words why the native kernel cannot serve a CRF."""
    return serves_eagerly((chain.emissions, chain.transitions, chain.start, chain.end))


def forward(chain: Chain, tags: Maybe, keep: bool) -> tuple[Tensor, Maybe]:
    """log Z (B,) float64, less the score of the tags where there are any; and what backward needs, if it is kept."""
    B, T, K = chain.emissions.shape
    result, reserve = chain.emissions.new_empty(B, dtype=torch.float64), None
    if keep:
        reserve = result.new_empty(call("crf_reserve_size", B=B, T=T, K=K) or 0)
    call("crf_forward", **_arguments(chain), tags=packed(tags), result=result, reserve=reserve)
    return result, reserve


def backward(chain: Chain, tags: Maybe, reserve: Tensor, d_result: Tensor) -> tuple[Tensor, ...]:
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


def marginals(chain: Chain) -> Tensor:
    """The probability of each tag at each step, (B, T, K)."""
    result = torch.empty_like(chain.emissions.contiguous())
    call("crf_marginals", **_arguments(chain), marginals=result)
    return result


def viterbi(chain: Chain) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,) float64."""
    B, T, _ = chain.emissions.shape
    tags, score = torch.empty(B, T, dtype=torch.int64), torch.empty(B, dtype=torch.float64)
    call("crf_viterbi", **_arguments(chain), tags=tags, score=score)
    return tags, score


def _arguments(chain: Chain) -> dict[str, object]:
    """What all four begin with."""
    return {
        "emissions": chain.emissions.contiguous(),
        "lengths": chain.lengths.contiguous(),
        "transitions": chain.transitions.contiguous(),
        "start": chain.start.contiguous(),
        "end": chain.end.contiguous(),
        "threads": torch.get_num_threads(),
    }
