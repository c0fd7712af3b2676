"""Runs of somebody's module under observation: what every layer returned, and which steps of it were read.

Knows no faults; compares two runs row by row over valid steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils import _pytree as pytree

from bilstm.surgery.example import Axes, Example, Refused

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # relative to the largest value; rounding stays far below
COARSE = 3e-2  # bfloat16 and float16: a few units in the last place


class Event(NamedTuple):
    """What a layer returned, every tensor in it. The module itself is the layer named ""."""

    layer: str
    values: list[Tensor]


class Reading(NamedTuple):
    """Which steps (B, T) of one half of a layer's output the result depends on, and whether on its final states."""

    steps: Tensor
    final: bool


def run(module: nn.Module, example: Example, seed: int = 0) -> list[Event]:
    """Everything that the layers returned, in the order of the calls; the module's own result is the last."""
    events: list[Event] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, value, name=name: events.append(Event(name, _tensors(value))))
        for name, layer in module.named_modules()
        if name and not isinstance(layer, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad(), _seeded(seed):
            events.append(Event("", _tensors(example.call(module))))
    finally:
        for hook in hooks:
            hook.remove()
    return events


def axes(module: nn.Module, example: Example, base: Sequence[Event], more: int) -> list[list[Axes]]:
    """The axes of every tensor in a run: that of B lost one with a row less, that of T grew with ``more`` steps.

    Where such a run gave nothing comparable, the axes 0 and 1 are believed if their sizes fit.
    """
    B, T = example.sizes
    fewer, longer = _shapes(module, example.take(range(max(B - 1, 1)))), _shapes(module, example.longer(more))
    all_axes = []
    for place, event in enumerate(base):
        own = []
        for i, value in enumerate(event.values):
            key, shape = (place, event.layer, i, value.dim()), value.shape
            rows = _axis(shape, B, fewer.get(key), B - 1)
            own.append(Axes(rows, _axis(shape, T, longer.get(key), T + more, but=rows)))
        all_axes.append(own)
    return all_axes


def _shapes(module: nn.Module, example: Example) -> dict[tuple[int, str, int, int], Sequence[int]]:
    """Shapes of all that a run returns, by the number of the call, the layer, the number of the tensor and its axes."""
    with suppress(Refused):
        events = enumerate(run(module, example))
        return {(n, event.layer, i, x.dim()): x.shape for n, event in events for i, x in enumerate(event.values)}
    return {}


def _axis(
    shape: Sequence[int], size: int, other: Sequence[int] | None, then: int, but: int | None = None
) -> int | None:
    for axis in range(len(shape)):
        if axis != but and shape[axis] == size and (axis < 2 if other is None else other[axis] == then):
            return axis
    return None


def repeated(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """The largest change between two runs of the same call, as ``moved`` counts it; infinite for other shapes."""
    if [a.shape for a in first] != [b.shape for b in second]:
        return math.inf
    return max(_change(a, b, a) for a, b in zip(first, second, strict=True))


def moved(
    first: Sequence[Tensor], second: Sequence[Tensor], where: Sequence[Axes], lengths: Tensor, rows: Sequence[int]
) -> float | None:
    """The largest change between two runs, relative to the largest value; 0 where all is rounding.

    ``first`` has all rows, of these ``lengths``; row i of ``second`` is row ``rows[i]`` of ``first``. A number, as a
    loss, is compared where no row is missing. What else has no axis of rows, as scores of all steps in one axis, is
    not compared: its places mean other rows in another call. None where nothing could be compared.
    """
    pairs = []
    for a, b, axes in zip(first, second, where, strict=False):
        if axes.rows is not None and a.dim() == b.dim():
            pairs += [(*_row_pair(a, b, axes, i, row, int(lengths[row])), a) for i, row in enumerate(rows)]
        elif a.dim() == b.dim() == 0 and len(rows) == len(lengths):
            pairs.append((a, b, a))
    return max((_change(x, y, whole) for x, y, whole in pairs), default=None)


def _row_pair(a: Tensor, b: Tensor, axes: Axes, i: int, row: int, length: int) -> tuple[Tensor, Tensor]:
    """A row in both tensors, over its valid steps, or over what both have."""
    assert axes.rows is not None
    x, y = a.select(axes.rows, row), b.select(axes.rows, i)
    steps = None if axes.steps is None else axes.steps - (axes.steps > axes.rows)
    for axis in range(x.dim()):
        size = min(x.shape[axis], y.shape[axis], length if axis == steps else x.shape[axis])
        x, y = x.narrow(axis, 0, size), y.narrow(axis, 0, size)
    return x, y


def _change(x: Tensor, y: Tensor, whole: Tensor) -> float:
    if not x.numel() or bool((x == y).all()):
        return 0.0
    tolerance = TOLERANCE.get(whole.dtype, COARSE) if whole.is_floating_point() else 0.0
    if x.is_complex() or not x.is_floating_point():
        return 1.0
    finite = whole[whole.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 1.0
    difference = (x.double() - y.double()).abs()
    difference[x == y] = 0.0  # infinities too
    difference[x.isnan() & y.isnan()] = 0.0
    change = float(difference.nan_to_num(torch.inf, torch.inf).max()) / (scale or 1.0)
    return change if change > tolerance else 0.0


# --- which steps are read ---------------------------------------------------------------------------------------


def readings(module: nn.Module, example: Example) -> dict[str, tuple[Reading, Reading, Tensor]]:
    """For every bidirectional layer what is read of its forward and its backward half, and its rows' lengths.

    A leaf of zeros is added to the layer's output; where its gradient is not zero the result depends on it.
    A layer that is called more than once is left out.
    """
    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.RNNBase) and m.bidirectional}
    recorded: dict[str, list[tuple[list[Tensor], Any]]] = {name: [] for name in layers}

    def watch(name: str) -> Any:
        def hook(_: Any, __: Any, value: Any) -> Any:
            flat, spec = pytree.tree_flatten(value)
            data = [x for x in flat if isinstance(x, Tensor) and x.is_floating_point()]
            zeros = {id(x): torch.zeros_like(x, requires_grad=True) for x in data}
            recorded[name].append(([zeros[id(x)] for x in data], value[0]))
            return pytree.tree_unflatten([x + zeros[id(x)] if id(x) in zeros else x for x in flat], spec)

        return hook

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _seeded(0):
            results = [x for x in _tensors(example.call(module)) if x.requires_grad]
            weights = [torch.rand_like(x) + 0.5 for x in results]
    finally:
        for hook in hooks:
            hook.remove()
    once = {name: calls[0] for name, calls in recorded.items() if len(calls) == 1}
    leaves = [leaf for own, _ in once.values() for leaf in own]
    if not results or not leaves:
        return {}
    gradients = torch.autograd.grad(results, leaves, weights, allow_unused=True)
    in_turn = iter([torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)])
    return {
        name: _halves(layers[name], [next(in_turn) for _ in own], output, example)
        for name, (own, output) in once.items()
    }


def _halves(
    layer: nn.RNNBase, gradients: list[Tensor], output: Any, example: Example
) -> tuple[Reading, Reading, Tensor]:
    g, *states = gradients
    if isinstance(output, PackedSequence):
        g, lengths = pad_packed_sequence(output._replace(data=g), batch_first=True)
    else:
        g = g if layer.batch_first else g.transpose(0, 1)
        full = torch.full((g.shape[0],), g.shape[1])
        lengths = example.row_lengths if tuple(g.shape[:2]) == example.sizes else full
    ways = g.reshape(*g.shape[:2], 2, -1).ne(0).any(3)  # (B, T, D)
    forward, backward = (
        Reading(ways[:, :, d].cpu(), any(bool(state[d::2].ne(0).any()) for state in states)) for d in (0, 1)
    )
    return forward, backward, lengths.cpu()


def _tensors(value: Any) -> list[Tensor]:
    """Every tensor in a result, packed ones padded (B, T, …); lists of numbers a row become one tensor, too."""
    tensors = []
    for leaf in pytree.tree_leaves(value, is_leaf=lambda v: isinstance(v, PackedSequence) or _is_rows(v)):
        if isinstance(leaf, PackedSequence):
            tensors.append(pad_packed_sequence(leaf, batch_first=True)[0])
        elif isinstance(leaf, Tensor):
            tensors.append(leaf.to_dense() if leaf.is_sparse else leaf)
        elif _is_rows(leaf):
            tensors.append(nn.utils.rnn.pad_sequence([torch.as_tensor(row) for row in leaf], batch_first=True))
        elif isinstance(leaf, (int, float)):
            tensors.append(torch.as_tensor(leaf))
    return tensors


def _is_rows(value: Any) -> bool:
    """Whether this is a list of lists of numbers, as decoders return labels."""
    if not (isinstance(value, list) and value):
        return False
    return all(isinstance(row, list) and all(isinstance(x, (int, float)) for x in row) for row in value)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
