"""Batches of a stream that is larger than memory, read ahead of the training. Knows no estimator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import torch
from torch import Tensor

from bilstm.data.batch import ALL, Batch
from bilstm.data.dataset import Dataset
from bilstm.data.stream import Stream, shuffle_buffer
from bilstm.training import workers
from bilstm.training.loop import Examples
from bilstm.training.progress import QUIET, mebibytes, peak_memory, say

Item = TypeVar("Item")
SHARDS_EACH = 4  # for a worker to read its own: with fewer, some would be through long before the others
NOTHING = torch.zeros(0, dtype=torch.int64)
EMPTY = (Batch(torch.zeros(0, 0, 1), NOTHING, NOTHING), torch.zeros(0), torch.zeros(0))


class Streamed:
    """Training examples that are read, mixed and encoded anew in every epoch.

    Args:
        stream: what to learn from.
        count: how many sequences it has.
        steps_in_all: how many steps they have.
        encode: some of them to Examples.
        verbose: 0 says nothing of how far an epoch is.
    """

    def __init__(
        self,
        stream: Stream,
        count: int,
        steps_in_all: int,
        encode: Callable[[Dataset], Examples],
        *,
        verbose: int = 0,
    ) -> None:
        self.stream, self.source = stream, stream.source
        self.count, self.steps_in_all = count, steps_in_all
        self.encode = encode
        self.verbose = verbose

    def __len__(self) -> int:
        return self.count

    def batches(self, batch_size: int | None, seed: int) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch: see :class:`bilstm.training.loop.Supply`.

        Of several workers each reads its own shards, if there are enough of them, and goes on with empty batches until
        the others are through; else all read everything, and share each batch.
        """
        assert batch_size is not None
        count = workers.count()
        if count == 1 or len(self.stream.shards) < SHARDS_EACH * count:
            yield from self._read(self.stream, batch_size, seed, workers.share())
            return
        own = self.stream.shard(workers.rank(), count)
        batches = self._read(own, len(range(batch_size)[workers.share()]) or 1, seed, ALL)
        while workers.total(len((found := next(batches, EMPTY))[0])):
            yield found

    def _read(self, stream: Stream, batch_size: int, seed: int, share: slice) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        told, done = time.monotonic(), 0
        mixed = shuffle_buffer(stream.pieces(seed), batch_size, seed, stream.buffer)
        for number, examples in enumerate(ahead(map(self.encode, mixed))):
            done += len(examples)
            yield from examples.batches(batch_size, seed + number, share)
            if time.monotonic() - told > QUIET:
                told = time.monotonic()
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
