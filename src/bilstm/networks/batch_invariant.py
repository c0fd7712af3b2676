"""Layers above a BiLSTM whose result for a row does not depend on its batch mates, bit for bit, as with the kernel.

A library adds in an order that depends on the shape of the whole batch; here every row meets one shape, its own.
In inference on a processor only: training, other devices and exported programs take the library's way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

EXACT = 53  # bits of float64
VALUE_BITS = 24  # of float32
SMALLEST = -90  # exponent of a row's largest number, below which digits are lost; the scale must fit float32
ROWS = 512  # at a time, so that they stay in a cache


def applies_to(values: Tensor) -> bool:
    """Whether a result must not depend on batch mates: in inference on a CPU."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return values.device.type == "cpu" and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def linear(layer: nn.Linear, values: Tensor) -> Tensor:
    """A linear layer, (…, K) → (…, N), whose sums are exact, so that their order does not matter.

    Each row of the values is rounded to whole multiples of a power of two, 24 bits below its largest number; each row
    of the weights is the sum of two such parts, of 20 bits each for K up to 512. Sums of K products of whole numbers
    then fit float64. With 600 inputs the largest error seen was 1.8e-7, torch's own 1.1e-6.
    """
    if not applies_to(values) or values.dtype != torch.float32:
        plain: Tensor = layer(values)
        return plain
    bits = EXACT - VALUE_BITS - max(values.shape[-1] - 1, 1).bit_length()
    weights, weight_unit = _scaled(layer.weight, bits)  # (N, K), (N, 1)
    high = weights.round()
    low = weights.sub_(high).mul_(2.0**bits).round_()
    factors = torch.cat([high, low]).double().T  # (K, 2N)
    result = values.new_empty(*values.shape[:-1], len(high))
    rows, results = values.flatten(0, -2), result.view(-1, len(high))
    for part, target in zip(torch.split(rows, ROWS), torch.split(results, ROWS), strict=True):
        whole, unit = _scaled(part, VALUE_BITS)  # (R, K), (R, 1)
        upper, lower = torch.split(whole.round_().double() @ factors, len(high), dim=1)  # whole numbers
        sums = (upper + lower * 2.0**-bits) * (unit * weight_unit.T)
        target.copy_(sums if layer.bias is None else sums + layer.bias)
    return result


def _scaled(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Rows (R, K), scaled by powers of two so that their largest number has so many bits, and the unit, (R, 1)."""
    _, exponent = torch.frexp(values.abs().amax(dim=1, keepdim=True))
    exponent.clamp_(min=SMALLEST)
    unit = torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent - bits)
    return values * unit.reciprocal().float(), unit


def score(layer: nn.Linear, states: Tensor) -> Tensor:
    """A linear layer with one output, (B, T, C) → (B, T); each step's products are added by themselves."""
    if not applies_to(states):
        result: Tensor = layer(states).squeeze(-1)
        return result
    return (states * layer.weight[0]).sum(dim=2) + layer.bias


def by_length(pool: Callable[..., Tensor], states: Tensor, lengths: Tensor, *others: Tensor) -> Tensor:
    """Pool over the steps (B, T, …), zero behind the ends, → (B, C); so are ``others`` that belong to the steps.

    Rows whose lengths round up to one power of two share a call and its padding.
    """
    if not applies_to(states) or len(lengths) == 0:
        return pool(states, lengths, *others)
    sizes = torch.tensor([1 << max(length - 1, 0).bit_length() for length in lengths.tolist()])
    parts, positions = [], []
    for size in sorted(set(sizes.tolist())):
        rows = (sizes == size).nonzero()[:, 0]
        part, *more = (_cut(steps, rows, size) for steps in (states, *others))
        parts.append(pool(part, lengths[rows], *more))
        positions.append(rows)
    joined = torch.cat(parts)
    result = torch.empty_like(joined)
    result[torch.cat(positions)] = joined
    return result


def _cut(steps: Tensor, rows: Tensor, size: int) -> Tensor:
    """The first ``size`` steps of some rows (B, T, …), filled up with zeros."""
    part = steps[rows, :size]
    return pad(part, [0, 0] * (steps.dim() - 2) + [0, size - part.shape[1]])
