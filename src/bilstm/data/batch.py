"""What the machine eats: padded values with lengths. The one place that pads, sorts by length, and unsorts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]  # as data.columns has it, which the layers may not import
POOL = 32  # batches that are sorted by length together; more saves padding, fewer keeps the order random
ALL = slice(None)
MOST_STEPS = 65_536  # padded steps of a batch in prediction, so that one endless sequence does not stretch hundreds


@dataclass(frozen=True)
class Batch:
    """Some sequences as one padded tensor.

    Args:
        values: (B, T, F); zero where t ≥ lengths[b]. Of words (B, T, 1) int64: which row of ``forms`` each one is.
        lengths: (B,) int64 on the CPU.
        rows: (B,) int64 on the CPU: where each sequence stands in the caller's order.
        forms: (U, C) int64: the distinct words of the batch, each once, as numbers; None where steps are vectors.
        future: (B, h, F'): what is known of the steps behind each sequence; None where nothing is.
    """

    values: Tensor
    lengths: Tensor
    rows: Tensor
    forms: Tensor | None = None
    future: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its values on ``device``; lengths and rows stay on the CPU."""
        tensors = {name: getattr(self, name) for name in ("values", "forms", "future")}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None})


class Sequences:
    """Encoded sequences of a whole data set, of which batches are cut.

    ``matrix`` holds all steps one below the other: (S, F) float32, of words (S, 1) int64, rows of ``forms`` (U, C).
    ``starts`` (N,), where each sequence begins, lets them overlap; by default one follows the other.
    ``future`` is what is known of the steps behind each sequence, in the same order.
    """

    def __init__(
        self,
        matrix: Array,
        lengths: Array,
        forms: Array | None = None,
        *,
        starts: Array | None = None,
        future: Sequences | None = None,
    ) -> None:
        kind = np.float32 if forms is None else np.int64
        self.matrix = torch.from_numpy(np.ascontiguousarray(matrix, dtype=kind))  # (S, F)
        self.forms = None if forms is None else torch.from_numpy(np.ascontiguousarray(forms, dtype=np.int32))  # (U, C)
        self.lengths = torch.from_numpy(np.asarray(lengths, dtype=np.int64))  # (N,)
        self.starts = self.lengths.cumsum(0) - self.lengths if starts is None else torch.from_numpy(starts)  # (N,)
        self.future = future

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def whole(self) -> Batch:
        """All sequences as one batch, in the caller's order."""
        return self.batch(torch.arange(len(self)))

    def batch(self, rows: Sequence[int] | Array | Tensor) -> Batch:
        """Pad the sequences at positions ``rows`` to the longest of them."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        values = self.padded(self.matrix, rows)  # (B, T, F)
        forms = None
        if self.forms is not None:
            used, values = torch.unique(values, return_inverse=True)  # padding is counted as one more word at most
            forms = self.forms[used].long()
        future = None if self.future is None else self.future.padded(self.future.matrix, rows)
        return Batch(values, self.lengths[rows], rows, forms, future)

    def padded(self, steps: Tensor, rows: Tensor) -> Tensor:
        """What belongs to each step, (S, …), for the sequences at ``rows``: (B, T, …), zero behind their ends."""
        lengths = self.lengths[rows]
        time = torch.arange(int(lengths.max()) if len(rows) else 0)
        inside = time < lengths[:, None]  # (B, T)
        values = steps.new_zeros(*inside.shape, *steps.shape[1:])
        values[inside] = steps[(self.starts[rows][:, None] + time)[inside]]
        return values

    def in_order(self, batch_size: int, share: slice = ALL) -> Iterator[Batch]:
        """Every sequence once, sorted by length so that little is padded; of each batch the ``share``, if not empty."""
        order = torch.argsort(self.lengths, descending=True, stable=True)
        first = 0
        while first < len(order):
            longest = max(int(self.lengths[order[first]]), 1)
            rows = order[first : first + max(1, min(batch_size, MOST_STEPS // longest))]
            first += len(rows)
            if len(own := rows[share]):
                yield self.batch(own)

    def shuffled(self, batch_size: int, generator: torch.Generator, share: slice = ALL) -> Iterator[Batch]:
        """Every sequence once in random order, like lengths together; of each batch the ``share``, be it empty."""
        order = torch.randperm(len(self), generator=generator)
        if int(self.lengths.min()) == int(self.lengths.max()):
            yield from (self.batch(rows[share]) for rows in torch.split(order, batch_size))
            return
        batches = []
        for pool in torch.split(order, batch_size * POOL):
            pool = pool[torch.argsort(self.lengths[pool], stable=True)]
            batches += list(torch.split(pool, batch_size))
        for position in torch.randperm(len(batches), generator=generator).tolist():
            yield self.batch(batches[position][share])


def unsorted(parts: Sequence[Tensor], batches_rows: Sequence[Tensor]) -> Tensor:
    """Join outputs of batches, (B_i, K) each, back into the caller's order, (N, K)."""
    return torch.cat(list(parts))[torch.argsort(torch.cat(list(batches_rows)))]


def unsorted_steps(parts: Sequence[Tensor], batches_rows: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Join outputs of every step, (B_i, T_i, K) each, to one row a step in the caller's order, (S, K)."""
    starts = lengths.cumsum(0) - lengths
    result = parts[0].new_empty(int(lengths.sum()), *parts[0].shape[2:])
    for part, rows in zip(parts, batches_rows, strict=True):
        time = torch.arange(part.shape[1])
        inside = time < lengths[rows][:, None]  # (B, T)
        result[(starts[rows][:, None] + time)[inside]] = part[inside]
    return result
