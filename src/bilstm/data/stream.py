"""A Dataset that comes in pieces: sequences that are never in memory all at once.

Knows the order of the pieces, a buffer that shuffles them, shares for several workers, and what is held out. Does not
know where pieces come from, nor what stands in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset, joined
from bilstm.data.source import ARRAYS, Source

BUFFER = 64 << 20  # bytes of the sequences that are mixed with each other
MOST_SEQUENCES = 131_072  # of them
SHARDS = 2**31  # tells the draws of shards apart from those of the shuffle buffer


@dataclass(frozen=True)
class Stream:
    """Sequences that are too many for memory, to be learned from piece by piece.

    Args:
        shards: what can be read on its own, a file or a part of one, in an order that stays.
        read: one of them to its Datasets, one after the other: always the same ones, each small enough to be held.
        source: what error messages call this data.
        digest: what tells this data from other data; a checkpoint is only taken up beside the same.
        side_by_side: how many shards are read at the same time, so that their sequences mix.
        kinds: how columns are read, ``number`` or ``category``, for a second file like these.
        buffer: bytes of the sequences that are mixed with each other; training holds about four times as much.
        numbers: of the shards in the whole of which this stream is a share; None for a whole.
        held_out: a seed, and the number below which a sequence is left out; see :meth:`without`.

    The trap: a pass reads everything anew; whatever ``read`` does with a sequence is done once an epoch.

    Example:
        >>> whole = Dataset.from_arrays(np.arange(6.0)[:, None], np.arange(6.0))
        >>> stream = Stream([[0, 1], [2, 3], [4, 5]], lambda rows: iter([whole.take(rows)]))
        >>> [piece.target_values.tolist() for piece in stream.pieces()]
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
        >>> [len(list(stream.shard(rank, 2).pieces(seed=1))) for rank in range(2)]
        [2, 1]
    """

    shards: Sequence[Any]
    read: Callable[[Any], Iterator[Dataset]]
    source: Source = ARRAYS
    digest: str = ""
    side_by_side: int = 1
    kinds: Mapping[str, str] = field(default_factory=dict)
    buffer: int = BUFFER
    numbers: Sequence[int] | None = None
    held_out: tuple[int, float] = (0, 0.0)

    def pieces(self, seed: int | None = None) -> Iterator[Dataset]:
        """Every sequence once, some at a time.

        Args:
            seed: draws the order of the shards and mixes those that are read side by side; None keeps their order.
        """
        split, below = self.held_out
        pieces = (piece if below == 0 else piece.take(draws >= below) for draws, piece in self.drawn(split, seed))
        yield from filter(len, pieces)

    def drawn(self, split: int, seed: int | None = None) -> Iterator[tuple[Array, Dataset]]:
        """Every piece, what is held out too, with a number in [0, 1) for each of its sequences, drawn by ``split``.

        The numbers are the same in whatever order the pieces come, and in every share.
        """
        waiting = list(zip(range(len(self.shards)) if self.numbers is None else self.numbers, self.shards, strict=True))
        generator = None if seed is None else np.random.default_rng((SHARDS, seed))
        if generator is not None:
            waiting = [waiting[shard] for shard in generator.permutation(len(waiting))]
        open_: list[Iterator[tuple[Array, Dataset]]] = []
        while waiting or open_:
            while waiting and len(open_) < (1 if generator is None else self.side_by_side):
                open_.append(self._drawn_of(*waiting.pop(0), split))
            turn = 0 if generator is None else int(generator.integers(len(open_)))
            drawn = next(open_[turn], None)
            if drawn is None:
                del open_[turn]
            else:
                yield drawn

    def _drawn_of(self, number: int, shard: Any, split: int) -> Iterator[tuple[Array, Dataset]]:
        for order, piece in enumerate(self.read(shard)):
            yield np.random.default_rng((split, number, order)).random(len(piece)), piece

    def without(self, split: int, below: float) -> Self:
        """The same without the sequences whose number from :meth:`drawn` lies below ``below``."""
        return replace(self, held_out=(split, below))

    def shard(self, rank: int, size: int) -> Self:
        """The share of one of ``size`` workers: every ``size``-th shard. Together the shares are the whole."""
        numbers = range(len(self.shards)) if self.numbers is None else self.numbers
        return replace(self, shards=self.shards[rank::size], numbers=numbers[rank::size])

    def mapped(self, change: Callable[[Dataset], Dataset]) -> Self:
        """The same with every piece changed; the sequences must stay as many."""
        read = self.read
        return replace(self, read=lambda shard: map(change, read(shard)))


def shuffle_buffer(pieces: Iterator[Dataset], batch_size: int, seed: int, buffer: int) -> Iterator[Dataset]:
    """The sequences of the pieces, mixed by a buffer of some bytes: when it is full, a random half of it comes out.

    Which sequences come out together is drawn; among each other they keep their order, which is quicker to copy, for
    batches are drawn from them at random. Each chunk but the last holds a multiple of ``batch_size``.
    """
    generator = np.random.default_rng(seed)
    held: list[Dataset] = []
    for piece in pieces:
        held.append(piece)
        del piece
        count = sum(map(len, held))
        if count > batch_size and (sum(map(size_of, held)) >= buffer or count >= MOST_SEQUENCES):
            whole = joined(held)
            order = generator.permutation(count)
            out = max(count // 2 // batch_size, 1) * batch_size
            chunk, held = whole.take(np.sort(order[:out])), [whole.take(np.sort(order[out:]))]
            del whole  # what a generator names lives on while others work
            yield chunk
            del chunk
    if held:
        yield joined(held)


def size_of(dataset: Dataset) -> int:
    """Bytes of a Dataset in memory, about."""
    frames = [dataset.steps, dataset.targets, dataset.tags, dataset.texts]
    spans = 0 if dataset.spans is None else dataset.spans.nbytes
    return spans + sum(int(frame.estimated_size()) for frame in frames if frame is not None)
