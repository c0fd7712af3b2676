"""What the machine eats: padded values with lengths. The one place that pads, sorts by length, and unsorts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
POOL = 32  # batches that are sorted by length together; more saves padding, fewer keeps the order random


@dataclass(frozen=True)
class Batch:
    """Some sequences as one padded tensor.

    Args:
        values: (B, T, F); zero where t ≥ lengths[b].
        lengths: (B,) int64 on the CPU.
        rows: (B,) int64 on the CPU: where each sequence stands in the caller's order.
    """

    values: Tensor
    lengths: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its values on ``device``; lengths and rows stay on the CPU."""
        return replace(self, values=self.values.to(device))


class Sequences:
    """Encoded sequences of a whole data set, of which batches are cut.

    Args:
        matrix: all steps of all sequences, one below the other, (S, F) float32.
        lengths: (N,) integers, zeros allowed.
    """

    def __init__(self, matrix: Array, lengths: Array) -> None:
        self.matrix = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))  # (S, F)
        self.lengths = torch.from_numpy(np.asarray(lengths, dtype=np.int64))  # (N,)
        self.starts = self.lengths.cumsum(0) - self.lengths  # (N,)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def whole(self) -> Batch:
        """All sequences as one batch, in the caller's order."""
        return self.batch(torch.arange(len(self)))

    def batch(self, rows: Sequence[int] | Array | Tensor) -> Batch:
        """Pad the sequences at positions ``rows`` to the longest of them."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        lengths, starts = self.lengths[rows], self.starts[rows]
        longest = int(lengths.max()) if len(rows) else 0
        time = torch.arange(longest)
        inside = time < lengths[:, None]  # (B, T)
        values = self.matrix.new_zeros(len(rows), longest, self.matrix.shape[1])
        values[inside] = self.matrix[(starts[:, None] + time)[inside]]
        return Batch(values, lengths, rows)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every sequence once, sorted by length so that little is padded; ``rows`` says where each belongs."""
        order = torch.argsort(self.lengths, descending=True, stable=True)
        for rows in torch.split(order, batch_size):
            yield self.batch(rows)

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Every sequence once in random order; where lengths differ, neighbours in length share a batch."""
        order = torch.randperm(len(self), generator=generator)
        if int(self.lengths.min()) == int(self.lengths.max()):
            yield from (self.batch(rows) for rows in torch.split(order, batch_size))
            return
        batches = []
        for pool in torch.split(order, batch_size * POOL):
            pool = pool[torch.argsort(self.lengths[pool], stable=True)]
            batches += list(torch.split(pool, batch_size))
        for position in torch.randperm(len(batches), generator=generator).tolist():
            yield self.batch(batches[position])


def unsorted(parts: Sequence[Tensor], batches_rows: Sequence[Tensor]) -> Tensor:
    """Join outputs of batches, (B_i, K) each, back into the caller's order, (N, K)."""
    rows = torch.cat(list(batches_rows))
    joined = torch.cat(list(parts))
    result = torch.empty_like(joined)
    result[rows] = joined
    return result
