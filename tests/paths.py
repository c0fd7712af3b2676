"""The oracle of every CRF: all paths, one by one, in float64. And the cases on which a CRF is asked about them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from bilstm.nn import CRF


@dataclass(frozen=True)
class ChainCase:
    """A small batch for a CRF; all numbers come from the seed."""

    lengths: tuple[int, ...]
    time: int
    tags: int
    rules: bool = False
    scale: float = 1.0
    seed: int = 0

    @cached_property
    def allowed(self) -> dict[str, np.ndarray]:
        """The rules, or none."""
        generator = np.random.default_rng(self.seed)
        shapes = {"allowed": (self.tags, self.tags), "first": (self.tags,), "last": (self.tags,)}
        return {name: generator.random(shape) < 0.7 for name, shape in shapes.items()} if self.rules else {}

    def crf(self, kind: type[CRF] = CRF) -> CRF:
        """A module whose parameters are as large as the emissions."""
        crf = kind(self.tags, **self.allowed)
        with torch.no_grad():
            for parameter in crf.parameters():
                parameter.copy_(self._normal(*parameter.shape) * self.scale)
        return crf

    @cached_property
    def emissions(self) -> Tensor:
        """(B, T, K)."""
        return self._normal(len(self.lengths), self.time, self.tags) * self.scale

    @cached_property
    def path(self) -> Tensor:
        """(B, T): allowed where any is, −100 on padding."""
        crf, tags = self.crf(), torch.full((len(self.lengths), self.time), -100)
        for row, length in enumerate(self.lengths):
            scores, paths = all_paths(crf, self.emissions[row, :length])
            possible = paths[scores > -torch.inf] if (scores > -torch.inf).any() else paths
            tags[row, :length] = possible[self.seed % len(possible)]
        return tags

    def _normal(self, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + sum(shape))
        return torch.randn(*shape, generator=generator)


@st.composite
def chain_cases(draw: st.DrawFn, scales: tuple[float, ...] = (1.0, 30.0, 1000.0)) -> ChainCase:
    """Any small batch: lengths of zero and one, one tag, rules that leave no path."""
    time, tags = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return ChainCase(
        lengths=tuple(draw(st.lists(st.integers(0, time), min_size=1, max_size=4))),
        time=time,
        tags=tags,
        rules=draw(st.booleans()),
        scale=draw(st.sampled_from(scales)),
        seed=draw(st.integers(0, 10_000)),
    )


def all_paths(crf: CRF, emissions: Tensor) -> tuple[Tensor, Tensor]:
    """Of one row (n, K): the score of every path (K^n,), −inf where a rule forbids it, and the paths (K^n, n)."""
    n, K = emissions.shape
    paths = torch.tensor(list(itertools.product(range(K), repeat=n)), dtype=torch.int64).reshape(K**n, n)
    if n == 0:
        return torch.zeros(1, dtype=torch.float64), paths
    transitions, start, end = crf.transitions.double(), crf.start.double(), crf.end.double()
    score = start[paths[:, 0]] + end[paths[:, -1]] + emissions.double()[torch.arange(n), paths].sum(1)
    score = score + transitions[paths[:, :-1], paths[:, 1:]].sum(1)
    if crf.allowed is not None and crf.first is not None and crf.last is not None:
        kept = crf.first[paths[:, 0]] & crf.last[paths[:, -1]] & crf.allowed[paths[:, :-1], paths[:, 1:]].all(1)
        score = torch.where(kept, score, -torch.inf)
    return score, paths


def log_z(scores: Tensor) -> Tensor:
    """log Σ exp over the paths that are not forbidden; −inf if none is left."""
    possible = scores[scores > -torch.inf]
    return possible.logsumexp(0) if len(possible) else scores.new_tensor(-torch.inf)


def loss(crf: CRF, emissions: Tensor, path: Tensor) -> Tensor:
    """−log P(path) of one row, +inf if it is forbidden."""
    scores, paths = all_paths(crf, emissions)
    own = scores[(paths == path).all(1)].squeeze()
    return scores.new_tensor(torch.inf) if own == -torch.inf else log_z(scores) - own
