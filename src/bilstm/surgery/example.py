"""An example call, taken apart into rows and steps: fewer rows, another order, more padding, other padding.

Knows which argument holds what, by shapes and names; calls no module.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from bilstm.errors import DataError

CALL = "a tuple is taken for positional arguments, a dict for keyword arguments, anything else for the only one"


def check_is_module(module: object, caller: str) -> None:
    if not isinstance(module, nn.Module):
        raise DataError(
            f"expected a torch.nn.Module, got {type(module).__name__} ({caller})",
            hint="of an object that wraps a model, give the model",
        )


class Refused(Exception):
    """The module raised an error; the text says which."""


class Axes(NamedTuple):
    """Which axis of a tensor counts rows, and which steps; None where no axis does."""

    rows: int | None = None
    steps: int | None = None


class Leaf(NamedTuple):
    """One tensor or list of integers among the arguments; here rows come first and steps second, where it has them."""

    value: Any
    axes: Axes  # where the module takes rows and steps
    is_lengths: bool = False


class Example:
    """Arguments of a module's forward; ``lengths`` (B,), and ``sizes`` = (B, T), of the sequences in it."""

    def __init__(self, module: nn.Module, example: Any, lengths: Iterable[int] | Tensor | None, batch_first: bool):
        keywords = example if isinstance(example, dict) else {}
        arguments = () if isinstance(example, dict) else example if type(example) is tuple else (example,)
        try:
            self._bound = inspect.signature(module.forward).bind(*arguments, **keywords)
        except TypeError as error:
            raise DataError(f"expected arguments that forward takes, got: {error} (audit)", hint=CALL) from error
        named, self._spec = pytree.tree_flatten_with_path(
            dict(self._bound.arguments), is_leaf=lambda v: _is_lengths_list(v) or isinstance(v, PackedSequence)
        )
        values = [value for _, value in named]
        if any(isinstance(value, PackedSequence) for value in values):
            raise DataError(
                "expected padded tensors, got a PackedSequence (audit)",
                hint="a packed sequence has no padding that could leak; audit the module that packs",
            )
        first = next((v for v in values if isinstance(v, Tensor) and v.dim() > 1), None)
        if first is None or not first.numel():
            raise DataError(
                "expected an argument with rows and steps, none of them empty, got none (audit)",
                hint="give a batch of sequences: (B, T), (B, T, F), or (T, B, F) with batch_first=False",
            )
        self._axes = Axes(0, 1) if batch_first else Axes(1, 0)
        self.sizes = int(first.shape[self._axes.rows or 0]), int(first.shape[self._axes.steps or 0])
        self._leaves = [self._leaf(str(path[0]), value) for path, value in named]
        self._padding_id = next(
            (m.padding_idx for m in module.modules() if isinstance(m, nn.Embedding) and m.padding_idx is not None), 0
        )
        self.lengths = self._read_lengths(lengths)

    @property
    def row_lengths(self) -> Tensor:
        """(B,): the lengths, or T for every row where nobody knows."""
        B, T = self.sizes
        return torch.full((B,), T) if self.lengths is None else self.lengths

    def call(self, module: nn.Module) -> Any:
        """What the module returns for these arguments."""
        values = [
            leaf.value.movedim(0, leaf.axes.rows or 0).clone(memory_format=torch.contiguous_format)
            if isinstance(leaf.value, Tensor)
            else leaf.value
            for leaf in self._leaves
        ]
        self._bound.arguments.update(pytree.tree_unflatten(values, self._spec))
        try:
            return module(*self._bound.args, **self._bound.kwargs)
        except Exception as error:  # whatever somebody's module raises
            first_line = (str(error).splitlines() or [""])[0]
            raise Refused(f"{type(error).__name__}: {first_line}") from error

    def take(self, rows: Sequence[int]) -> Example:
        """These rows, in this order."""

        def taken(value: Any) -> Any:
            return value[list(rows)] if isinstance(value, Tensor) else [value[row] for row in rows]

        leaves = [leaf if leaf.axes.rows is None else leaf._replace(value=taken(leaf.value)) for leaf in self._leaves]
        lengths = None if self.lengths is None else self.lengths[list(rows)]
        return self._with(leaves, lengths, (len(rows), self.sizes[1]))

    def longer(self, steps: int) -> Example:
        """So many more steps of padding."""

        def padded(x: Tensor) -> Tensor:
            return torch.cat([x, self._padding(x).expand(x.shape[0], steps, *x.shape[2:])], 1)

        return self._changed(padded, self.sizes[1] + steps)

    def cut(self) -> Example:
        """No step beyond the longest row."""
        T = max(int(self.row_lengths.max()), 1)
        return self._changed(lambda x: x[:, :T], T)

    def other_padding(self) -> Example | None:
        """Noise in the padding of vectors. Padding of ids and masks stays: it may be how the module knows.

        None where there is no padding of vectors.
        """
        if bool(self._inside().all()) or not any(map(_is_vectors, self._with_steps())):
            return None

        def noisy(x: Tensor) -> Tensor:
            if not _is_vectors(x):
                return x
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)
            inside = self._inside().to(x.device).reshape(*x.shape[:2], *[1] * (x.dim() - 2))
            return torch.where(inside, x, 3 * noise)

        return self._changed(noisy, self.sizes[1])

    def _with_steps(self) -> list[Tensor]:
        return [leaf.value for leaf in self._leaves if leaf.axes.steps is not None]

    def _changed(self, change: Callable[[Tensor], Tensor], T: int) -> Example:
        """The same rows with other steps, (B, T, …) each."""
        leaves = [leaf if leaf.axes.steps is None else leaf._replace(value=change(leaf.value)) for leaf in self._leaves]
        return self._with(leaves, self.lengths, (self.sizes[0], T))

    def _with(self, leaves: list[Leaf], lengths: Tensor | None, sizes: tuple[int, int]) -> Example:
        other = copy.copy(self)
        other._leaves, other.lengths, other.sizes = leaves, lengths, sizes
        return other

    # --- which argument holds what -------------------------------------------------------------------------

    def _leaf(self, name: str, value: Any) -> Leaf:
        B, T = self.sizes
        if not isinstance(value, Tensor) and not _is_lengths_list(value):
            return Leaf(value, Axes())
        x = torch.as_tensor(value)
        shape = tuple(x.shape)
        if shape == (B,):
            is_whole = not x.is_floating_point() and x.dtype != torch.bool
            fits = is_whole and int(x.min()) >= 0 and int(x.max()) <= T
            return Leaf(value, Axes(0), fits and ("len" in name or int(x.max()) == T))
        if len(shape) > 1 and shape[:2] == ((B, T) if self._axes.rows == 0 else (T, B)):
            return Leaf(x.movedim(self._axes.rows or 0, 0), self._axes)
        rows = next((axis for axis in (0, 1) if axis < len(shape) and shape[axis] == B), None)
        return Leaf(value if rows is None else x.movedim(rows, 0), Axes(rows))

    def _read_lengths(self, lengths: Iterable[int] | Tensor | None) -> Tensor | None:
        B, T = self.sizes
        if lengths is not None:
            own = torch.as_tensor(lengths if isinstance(lengths, Tensor) else list(lengths)).cpu()
            if own.shape != (B,) or int(own.min()) < 0 or int(own.max()) > T:
                raise DataError(
                    f"expected {B} lengths of 0 to {T}, got {own.tolist()} (audit)",
                    hint="rows along the second axis want batch_first=False",
                )
            return own
        for leaf in self._leaves:
            if leaf.is_lengths:
                return torch.as_tensor(leaf.value).cpu()
        for x in sorted(self._with_steps(), key=lambda x: x.dtype != torch.bool):  # a mask knows best
            number = 0 if x.is_floating_point() else self._padding_id
            empty = x != x[:, :1] if x.dtype == torch.bool else x == number
            empty = empty.cpu().reshape(B, T, -1).all(2)
            own = T - empty.flip(1).long().cumprod(1).sum(1)  # (B,): where each row begins to be padding to its end
            if bool((own < T).any()):
                return own
        return None

    # --- padding -------------------------------------------------------------------------------------------

    def _padding(self, x: Tensor) -> Tensor:
        """What stands in the padding of x (B, T, …), (1, 1, …)."""
        outside = (~self._inside()).nonzero()
        if len(outside):
            row, step = outside[0].tolist()
            return x[row, step][None, None]
        if x.dtype == torch.bool:
            return ~x[:1, :1]
        return torch.full_like(x[:1, :1], 0 if x.is_floating_point() else self._padding_id)

    def _inside(self) -> Tensor:
        return torch.arange(self.sizes[1]) < self.row_lengths[:, None]  # (B, T)


def _is_vectors(x: Tensor) -> bool:
    return x.is_floating_point() and x.dim() > 2


def _is_lengths_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
