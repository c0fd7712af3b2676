"""The CRF by the native kernel: tensors in, addresses out (native/crf.hpp). Computes nothing and knows no autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bilstm.nn.core import (
    Maybe,
    address,
    call,
    packed,
    serves_eagerly,
)
from bilstm.nn.crf.equations import Chain


def serves_crf(chain: Chain) -> str | None:
    """None, or in words why the native kernel cannot serve a CRF."""
    return serves_eagerly((chain.emissions, chain.transitions, chain.start, chain.end))


def crf_forward(chain: Chain, tags: Maybe, keep: bool) -> tuple[Tensor, Maybe]:
    """log Z (B,) float64, less the score of the tags where there are any; and what backward needs, if it is kept."""
    chain, arguments = _chain_arguments(chain)
    tags = packed(tags)
    result = chain.emissions.new_empty(len(chain.emissions), dtype=torch.float64)
    size = int(call("crf_reserve_size", arguments[0])) if keep else 0
    reserve = result.new_empty(size) if keep else None
    call("crf_forward", *arguments, address(tags), address(result), address(reserve))
    return result, reserve


def crf_backward(chain: Chain, tags: Maybe, reserve: Tensor, d_result: Tensor) -> tuple[Tensor, ...]:
    """The gradients of emissions, transitions, start and end."""
    chain, arguments = _chain_arguments(chain)
    tags, d_result = packed(tags), d_result.resolve_neg().contiguous()
    gradients = tuple(
        torch.empty_like(tensor) for tensor in (chain.emissions, chain.transitions, chain.start, chain.end)
    )
    addresses = [address(gradient) for gradient in gradients]
    call("crf_backward", *arguments, address(tags), d_result.data_ptr(), reserve.data_ptr(), *addresses)
    return gradients


def crf_marginals(chain: Chain) -> Tensor:
    """The probability of each tag at each step, (B, T, K)."""
    chain, arguments = _chain_arguments(chain)
    marginals = torch.empty_like(chain.emissions)
    call("crf_marginals", *arguments, marginals.data_ptr())
    return marginals


def crf_viterbi(chain: Chain) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,) float64."""
    chain, arguments = _chain_arguments(chain)
    B, T, _ = chain.emissions.shape
    tags, score = torch.empty(B, T, dtype=torch.int64), torch.empty(B, dtype=torch.float64)
    call("crf_viterbi", *arguments, tags.data_ptr(), score.data_ptr())
    return tags, score


def _chain_arguments(chain: Chain) -> tuple[Chain, tuple[Any, ...]]:
    """What all four begin with, and the packed tensors, which must live as long as their addresses."""
    chain = Chain(*(tensor.contiguous() for tensor in chain))
    B, T, K = chain.emissions.shape
    addresses = (
        chain.lengths.data_ptr(),
        chain.emissions.data_ptr(),
        chain.transitions.data_ptr(),
        chain.start.data_ptr(),
        chain.end.data_ptr(),
    )
    return chain, ((B, T, K), addresses, torch.get_num_threads())
