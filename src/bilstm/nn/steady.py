"""Layers above a BiLSTM whose result for a row does not depend on its batch mates, bit for bit, as with the kernel.

A library adds in an order that depends on the shape of the whole batch; here every row meets one shape, its own.
In inference on a processor only: training, other devices and exported programs take the library's way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

SIGNIFICANT = 53  # bits of float64


def is_steady(values: Tensor) -> bool:
    """Whether rows are kept apart here."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return values.device.type == "cpu" and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def linear(layer: nn.Linear, values: Tensor) -> Tensor:
    """A linear layer, (…, K) → (…, N), whose sums are exact, so that their order does not matter.

    Each row of the values and of the weights is rounded to whole multiples of a power of two below its largest number:
    to 22 bits or more for K up to 512, where float32 has 24. Sums of K products then fit float64. With 600 inputs the
    largest error seen was 1.3e-5, torch's own 3.5e-6.
    """
    if not is_steady(values) or values.dtype != torch.float32:
        result: Tensor = layer(values)
        return result
    bits = (SIGNIFICANT - max(values.shape[-1] - 1, 1).bit_length()) // 2
    whole, unit = _whole(values, bits)
    weights, weight_unit = _whole(layer.weight, bits)
    sums = (whole @ weights.T) * (unit * weight_unit.T)
    return (sums if layer.bias is None else sums + layer.bias).to(torch.float32)


def _whole(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Rows (…, K) as float64 whole numbers of at most so many bits, and what one of them stands for, (…, 1)."""
    _, exponent = torch.frexp(values.abs().amax(dim=-1, keepdim=True))
    unit = torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent - bits)
    return (values / unit).round(), unit


def score(layer: nn.Linear, states: Tensor) -> Tensor:
    """A linear layer with one output, (B, T, C) → (B, T); each step's products are added by themselves."""
    if not is_steady(states):
        result: Tensor = layer(states).squeeze(-1)
        return result
    return (states * layer.weight[0]).sum(dim=2) + layer.bias


def by_length(pool: Callable[..., Tensor], states: Tensor, lengths: Tensor, *others: Tensor) -> Tensor:
    """Pool over the steps (B, T, …) → (B, C); rows that round up to one power of two share a call and its padding.

    Args:
        pool: states (B, T, …), lengths (B,) and ``others`` to (B, C).
        states: zero behind the ends.
        lengths: (B,).
        others: what else belongs to each step, (B, T, …).
    """
    if not is_steady(states) or len(lengths) == 0:
        return pool(states, lengths, *others)
    sizes = torch.tensor([1 << max(length - 1, 0).bit_length() for length in lengths.tolist()])
    parts, places = [], []
    for size in sorted(set(sizes.tolist())):
        rows = (sizes == size).nonzero()[:, 0]
        part, *more = (_cut(steps, rows, size) for steps in (states, *others))
        parts.append(pool(part, lengths[rows], *more))
        places.append(rows)
    joined = torch.cat(parts)
    result = torch.empty_like(joined)
    result[torch.cat(places)] = joined
    return result


def _cut(steps: Tensor, rows: Tensor, size: int) -> Tensor:
    """The first ``size`` steps of some rows (B, T, …), filled up with zeros."""
    part = steps[rows, :size]
    return pad(part, [0, 0] * (steps.dim() - 2) + [0, size - part.shape[1]])
