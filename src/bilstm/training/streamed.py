"""Training on a stream that is larger than memory: a first pass learns of it and holds sequences out, then every epoch
reads it anew, ahead of the training.

Knows the order of these passes; not what an estimator learns in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bilstm.data.batch import ALL, Batch
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset, joined
from bilstm.data.source import Source
from bilstm.data.stream import Stream, shuffle_buffer, size_of
from bilstm.data.tables.chunks import interrupted
from bilstm.errors import DataError
from bilstm.training import workers
from bilstm.training.loop import Examples
from bilstm.training.progress import QUIET, mebibytes, peak_memory, say

Item = TypeVar("Item")
HELD_OUT = 10_000  # sequences that are held out to stop by, at most; they stay in memory
HELD_OUT_BYTES = 32 << 20  # of them
SHARDS_EACH = 4  # for a worker to read its own: with fewer, some would be through long before the others


class FirstPass:
    """One pass over a stream: what is held out, how much is left to learn from, and what others learn of both.

    A sequence is held out if the number drawn for its place lies below a threshold. Where too many are, the threshold
    is lowered, and those above it are learned from after all: so memory stays bounded, and no encoder learns from what
    is held out. A sequence whose parts lie in several places is a DataError.
    """

    def __init__(
        self,
        stream: Stream,
        seed: int,  # draws what is held out
        fraction: float,  # share of the sequences that is, if that is no more than HELD_OUT
        *,
        every: Callable[[Dataset], None],  # called with every piece
        learn: Callable[[Dataset], None],  # called with the parts of the pieces that are not held out
        verbose: int = 0,
    ) -> None:
        self.stream, self.seed, self.threshold = stream, seed, fraction
        self.every, self.learn = every, learn
        self.count = self.steps = 0  # of what is learned from
        self.is_table = True
        self._held: list[tuple[Array, Dataset]] = []
        self._names: list[Array] = []  # of the sequences of long tables, as numbers
        self._run(verbose)

    @property
    def training(self) -> Stream:
        """The stream without what is held out."""
        return self.stream.without(self.seed, self.threshold)

    @property
    def held_out(self) -> Dataset | None:
        """The sequences to stop by, None where there are none."""
        return joined([piece for _, piece in self._held]) if self._held else None

    def _run(self, verbose: int) -> None:
        last_said = time.monotonic()
        for draws, piece in self.stream.drawn(self.seed):
            self._look(piece)
            held = draws < self.threshold
            self._learn(piece.take(~held) if held.any() else piece)
            if held.any():
                self._held.append((draws[held], piece.take(held)))
                self._lower_threshold(slack=2)
            if time.monotonic() - last_said > QUIET:
                last_said = time.monotonic()
                say(f"read {self.count:,} sequences · {mebibytes(peak_memory())} of memory at most", verbose)
        self._lower_threshold(slack=1)
        if self.count < 2:
            raise DataError(f"expected at least 2 sequences to learn from, got {self.count} ({self.stream.source})")
        self._check_names()

    def _look(self, piece: Dataset) -> None:
        piece.check_lengths()
        self.every(piece)
        self.is_table = self.is_table and piece.is_table
        if piece.ids is not None:
            self._names.append(piece.ids.hash().to_numpy())

    def _learn(self, piece: Dataset) -> None:
        self.learn(piece)
        self.count += len(piece)
        self.steps += piece.steps.height

    def _lower_threshold(self, slack: int) -> None:
        """Hold out no more than is allowed, once it is ``slack`` times as much."""
        count = sum(len(piece) for _, piece in self._held)
        size = sum(size_of(piece) for _, piece in self._held)
        if count <= slack * HELD_OUT and size <= slack * HELD_OUT_BYTES:
            return
        most = max(1, min(HELD_OUT, int(count * min(1.0, HELD_OUT_BYTES / size))))
        if most >= count:
            return
        draws = np.concatenate([numbers for numbers, _ in self._held])
        whole = joined([piece for _, piece in self._held])
        self.threshold = float(np.partition(draws, most)[most])
        held = draws < self.threshold
        self._learn(whole.take(~held))
        self._held = [(draws[held], whole.take(held))]

    def _check_names(self) -> None:
        """A sequence of a long table lies in one place: else its parts would be learned from as if they were two."""
        if not self._names:
            return
        numbers = np.sort(np.concatenate(self._names))
        repeated = pl.Series(np.unique(numbers[1:][numbers[1:] == numbers[:-1]]), dtype=pl.UInt64)
        self._names = []
        seen: dict[Any, Source] = {}
        for piece in self.stream.pieces() if len(repeated) else ():
            assert piece.ids is not None
            for name in piece.ids.filter(piece.ids.hash().is_in(repeated)):
                if name in seen:  # else two names share a number
                    group = piece.read_with.get("group", "sequence")
                    raise interrupted(group, name, f"{seen[name]} and {piece.source}")
                seen[name] = piece.source


class Streamed:
    """Training examples, ``count`` sequences, that are read, mixed and encoded anew in every epoch."""

    def __init__(self, stream: Stream, count: int, encode: Callable[[Dataset], Examples], *, verbose: int = 0) -> None:
        self.stream, self.count, self.encode, self.verbose = stream, count, encode, verbose

    def __len__(self) -> int:
        return self.count

    def batches(self, batch_size: int | None, seed: int) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch: see :class:`bilstm.training.loop.Batches`.

        Of several workers each reads its own shards, if there are enough of them, and goes on with empty batches until
        the others are through; else all read everything, and share each batch.
        """
        assert batch_size is not None
        count = workers.count()
        if count == 1 or len(self.stream.shards) < SHARDS_EACH * count:
            yield from self._read(self.stream, batch_size, seed, workers.share())
            return
        own = self.stream.shard(workers.rank(), count)
        none = torch.zeros(0, dtype=torch.int64)
        empty = Batch(torch.zeros(0, 0, 1), none, none), torch.zeros(0), torch.zeros(0)
        batches = self._read(own, len(range(batch_size)[workers.share()]) or 1, seed, ALL)
        while workers.total(len((batch := next(batches, empty))[0])):
            yield batch

    def _read(self, stream: Stream, batch_size: int, seed: int, share: slice) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        last_said, done = time.monotonic(), 0
        mixed = shuffle_buffer(stream.pieces(seed), batch_size, seed, stream.buffer)
        for number, examples in enumerate(ahead(map(self.encode, mixed))):
            done += len(examples)
            yield from examples.batches(batch_size, seed + number, share)
            if time.monotonic() - last_said > QUIET:
                last_said = time.monotonic()
                progressed = f"{done:,} of {self.count:,} sequences"
                say(f"{progressed} · {mebibytes(peak_memory())} of memory at most", self.verbose)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, of which the next is made in another thread while one works with the last."""
    context = copy_context()  # so that what warns in the thread is recorded here

    def following() -> Item | None:
        return next(items, None)

    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(context.run, following)
        while (item := coming.result()) is not None:
            coming = worker.submit(context.run, following)
            yield item
