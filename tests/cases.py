"""The shapes that tests and benchmarks share. A Case draws its numbers from its seed; it knows no kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """One call of a layer: its sizes, its rows' lengths and the seed of everything random in it."""

    batch: int
    time: int
    features: int
    hidden: int
    layers: int = 1
    bidirectional: bool = True
    bias: bool = True
    proj_size: int = 0
    lengths: tuple[int, ...] | None = None
    states: bool = False
    batch_first: bool = True
    dtype: torch.dtype = torch.float32
    threads: int = 2
    seed: int = 0

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def width(self) -> int:
        """H_out, what one direction adds to output."""
        return self.proj_size or self.hidden

    @property
    def row_lengths(self) -> list[int]:
        return [self.time] * self.batch if self.lengths is None else list(self.lengths)

    def layer(self, make: type[nn.LSTM], dtype: torch.dtype | None = None, **changed: Any) -> Any:
        """A layer of these sizes; its weights are twice nn.LSTM's, so that gates leave their linear range."""
        options: dict[str, Any] = {
            "bias": self.bias,
            "batch_first": self.batch_first,
            "bidirectional": self.bidirectional,
            "proj_size": self.proj_size,
        }
        torch.manual_seed(self.seed)
        layer = make(self.features, self.hidden, self.layers, **(options | changed))
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(2)
        return layer.to(self.dtype).to(dtype or self.dtype)  # rounded to the case's type first: same values in all

    def input(self, dtype: torch.dtype | None = None) -> Tensor:
        """(B, T, F), whatever batch_first: the laws think in rows. Padding holds numbers like any other."""
        return self._normal(1, self.batch, self.time, self.features, dtype=dtype)

    def hx(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor] | None:
        if not self.states:
            return None
        rows = self.layers * self.directions
        h0 = self._normal(2, rows, self.batch, self.width, dtype=dtype)
        return h0, self._normal(3, rows, self.batch, self.hidden, dtype=dtype)

    def probes(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Random weights of output, h_n and c_n in the scalar whose gradient is looked at."""
        rows = self.layers * self.directions
        return (
            self._normal(4, self.batch, self.time, self.directions * self.width, dtype=dtype),
            self._normal(5, rows, self.batch, self.width, dtype=dtype),
            self._normal(6, rows, self.batch, self.hidden, dtype=dtype),
        )

    def _normal(self, stream: int, *shape: int, dtype: torch.dtype | None) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + stream)
        numbers = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return numbers.to(self.dtype).to(dtype or self.dtype)

    def with_threads(self) -> AbstractContextManager[None]:
        return threads_of_torch(self.threads)


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """So many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Small shapes that between them meet every branch; the gallery of wrong layers is judged on these.
CASES = {
    "unequal lengths": Case(4, 6, 3, 5, lengths=(6, 3, 1, 4), seed=1),
    "unequal lengths and states": Case(4, 5, 3, 4, lengths=(2, 5, 0, 4), states=True, seed=2),
    "two layers in float64": Case(3, 4, 2, 3, layers=2, lengths=(1, 4, 3), states=True, dtype=torch.float64, seed=3),
    "three layers, time first": Case(3, 4, 5, 17, layers=3, lengths=(4, 2, 3), batch_first=False, seed=4),
    "no lengths": Case(3, 5, 4, 7, layers=2, states=True, seed=5),
    "one direction": Case(3, 5, 4, 3, bidirectional=False, lengths=(5, 2, 3), states=True, seed=6),
    "projected": Case(3, 5, 4, 6, layers=2, proj_size=2, lengths=(5, 2, 3), states=True, seed=7),
    "no bias": Case(3, 5, 4, 3, bias=False, lengths=(3, 2, 5), states=True, threads=1, seed=8),
    "nearly all padding": Case(6, 30, 4, 3, lengths=(1, 0, 30, 1, 0, 2), states=True, seed=9),
    "longest shorter than the input": Case(3, 7, 2, 3, layers=2, lengths=(3, 4, 0), seed=10),
    "every row empty": Case(2, 3, 2, 3, lengths=(0, 0), states=True, seed=11),
    "one step": Case(5, 1, 4, 3, layers=2, states=True, seed=12),
    "no steps": Case(2, 0, 4, 3, states=True, seed=13),
    "no rows": Case(0, 4, 2, 3, lengths=(), states=True, seed=14),
}

# Shapes worth timing, from one word to minutes of speech; `lengths` is left to the benchmark.
BENCHMARKS = {
    "sentences": Case(32, 50, 100, 128, layers=2),
    "paragraphs": Case(32, 100, 256, 256, layers=2),
    "sensors": Case(64, 30, 8, 64, layers=2),
    "one sequence": Case(1, 50, 100, 128),
    "speech": Case(16, 200, 80, 320, layers=3),
    "wide": Case(128, 100, 300, 512),
    "table rows": Case(506, 1, 13, 32, layers=4),
    "characters": Case(2000, 12, 25, 25),
    "long sentences": Case(64, 128, 50, 200),
    "one recording": Case(1, 2000, 80, 320, layers=3),
    "windows": Case(256, 10, 32, 32, layers=2),
}
