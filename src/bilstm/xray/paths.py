"""Integrated gradients along a straight line, with the error of every piece known and made small.

Knows vectors, outputs by number and gradients; does not know what they mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bilstm.data.columns import Array
from bilstm.xray.opened import Opened, Score, Way

TOLERANCE = 1e-3  # of the difference between value and baseline may be missing in the sum of the amounts
LEAST = 0.1  # log-odds or deviations: a difference below counts as this one when its tolerance is measured
ROUNDING = 2e-6  # of a value: what float32 cannot tell apart, so that no piece is halved for it
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)  # exact for polynomials up to degree 11
PIECES = 2  # at first
NARROWEST = 2.0**-12  # a piece that is not halved any more
MOST_NUMBERS = 2**26  # that a batch of rows keeps for its gradient, 256 MB
AT_ONCE = 2**21  # numbers of a gradient that become amounts together: 16 MB, so that no copy counts beside the gradient


class Path(NamedTuple):
    """How one output came about along the way from the baseline to the input."""

    value: float  # at the input
    baseline: float  # at the baseline
    amounts: Array  # what each feature at each step adds, by the way through the network, (ways + 1, T, F')
    gap: float  # value − baseline − all amounts: what is missing to completeness
    tolerance: float  # what may be missing


class _Piece(NamedTuple):
    output: int
    start: float
    stop: float


def integrate(
    opened: Opened,
    baseline: Tensor,
    score: Score,
    outputs: int,
    owners: Array,
    ways: Sequence[Way],
    *,
    most_pieces: int = 2000,
) -> list[Path]:
    """The integrated gradients of some outputs, feature by feature.

    .. math:: A_i = (x_i - x'_i) \\int_0^1 \\frac{\\partial s}{\\partial x_i}(x' + a (x - x')) \\, da,
        \\qquad \\sum_i A_i = s(x) - s(x')

    The sum is known beforehand for every piece of the way: s at its end less s at its start. So pieces in which the
    quadrature misses it are halved, and no others: a kink of a rectified unit costs a few pieces, not a finer grid
    everywhere. x are the vectors (T, F) of ``opened``, x' is ``baseline``, ``outputs`` the number of those that
    ``score`` knows, ``owners`` (F,) the feature of each of the F numbers. Each of the pieces, at most ``most_pieces``
    for all outputs, costs six gradients.

    Source: Sundararajan, Taly and Yan 2017.
    """
    line = _Line(opened, baseline, score, owners, ways)
    ends = line.scores(np.repeat([0.0, 1.0], outputs), np.tile(np.arange(outputs), 2)).reshape(2, outputs)
    tolerances = TOLERANCE * np.maximum(np.abs(ends[1] - ends[0]), LEAST)
    left = np.maximum(tolerances, ROUNDING * (1 + np.abs(ends).max(axis=0)))  # what may still be missing
    sums = np.zeros((outputs, len(ways) + 1, *line.shape))
    edges = np.linspace(0, 1, PIECES + 1)
    waiting = [_Piece(k, a, b) for k in range(outputs) for a, b in itertools.pairwise(edges)]
    used = 0
    while waiting:
        pieces, waiting = waiting[: line.at_once], waiting[line.at_once :]
        used += len(pieces)
        added, gaps = line.pieces(pieces)
        enough = _good_enough(pieces, np.abs(gaps), left) | (used > most_pieces)
        for piece, amounts, is_enough in zip(pieces, added, enough, strict=True):
            if is_enough:
                sums[piece.output] += amounts
            else:
                middle = (piece.start + piece.stop) / 2
                waiting += [piece._replace(stop=middle), piece._replace(start=middle)]
    starts, values = ends.tolist()
    return [
        Path(value, start, amounts, value - start - float(amounts.sum()), tolerance)
        for value, start, amounts, tolerance in zip(values, starts, sums, tolerances.tolist(), strict=True)
    ]


def _good_enough(pieces: Sequence[_Piece], gaps: Array, left: Array) -> Array:
    """Which pieces need not be halved, (P,); takes their gaps from what may still be missing of their outputs.

    All pieces of an output where their gaps together may be missing; else those that miss least, for half of that; and
    those that are too narrow to be halved.
    """
    owners = np.array([piece.output for piece in pieces])
    enough = np.array([piece.stop - piece.start <= NARROWEST for piece in pieces])
    for k in np.unique(owners):
        mine = np.flatnonzero(owners == k)
        mine = mine[np.argsort(gaps[mine], kind="stable")]
        missing = np.cumsum(gaps[mine])
        taken = mine if missing[-1] <= left[k] else mine[missing <= left[k] / 2]
        enough[taken] = True
        left[k] -= gaps[taken].sum()
    return enough


class _Line:
    """The straight line from the baseline to the input, and what the network says along it."""

    def __init__(self, opened: Opened, baseline: Tensor, score: Score, owners: Array, ways: Sequence[Way]) -> None:
        self.opened, self.score, self.ways = opened, score, ways
        self.start = baseline
        self.way = opened.batch.values[0] - baseline  # (T, F)
        self.owners = torch.from_numpy(np.ascontiguousarray(owners, dtype=np.int64))
        features = int(owners.max()) + 1 if len(owners) else 0
        self.shape = (len(self.way), features)
        lstm = opened.lstm
        F = self.way.shape[1]
        kept = 12 * lstm.num_layers * lstm.hidden_size + 2 * F  # gates and cells of both directions; points
        kept += 2 * (len(ways) + 1) * F  # gradients of all ways, and the same as one
        self.rows = max(1, MOST_NUMBERS // max(1, len(self.way) * kept))
        self.at_once = max(1, MOST_NUMBERS // (2 * (len(ways) + 1) * max(1, len(self.way) * features)))

    def scores(self, positions: Array, which: Array) -> Array:
        """The score of outputs ``which`` (M,) at ``positions`` (M,) in 0…1."""
        parts = []
        for first in range(0, len(positions), self.rows):
            some = slice(first, first + self.rows)
            with torch.no_grad():
                outputs = self.opened.outputs(self._points(positions[some]))
                parts.append(self.score(outputs, torch.from_numpy(which[some])).double())
        result: Array = torch.cat(parts).numpy()
        return result

    def pieces(self, pieces: Sequence[_Piece]) -> tuple[Array, Array]:
        """What every piece adds, (P, ways + 1, T, F'), and what is missing in its sum, (P,)."""
        which, starts, stops = map(np.array, zip(*pieces, strict=True))
        ends = self.scores(np.concatenate([starts, stops]), np.tile(which, 2)).reshape(2, -1)
        width = (stops - starts)[:, None]
        positions = (starts[:, None] + width * (NODES + 1) / 2).ravel()
        weights = (width * WEIGHTS / 2).ravel()
        owner = np.repeat(np.arange(len(pieces)), len(NODES))
        sums = torch.zeros(len(pieces), len(self.ways) + 1, *self.shape, dtype=torch.float64)
        for first in range(0, len(positions), self.rows):
            some = slice(first, first + self.rows)
            asked = torch.from_numpy(which[owner[some]])
            gradient = self.opened.gradients(self._points(positions[some]), asked, self.score, self.ways)
            self._add(sums, gradient, owner[some], weights[some])
        amounts: Array = sums.numpy()
        return amounts, ends[1] - ends[0] - amounts.sum(axis=(1, 2, 3))

    def _points(self, positions: Array) -> Tensor:
        where = torch.from_numpy(positions).to(self.way.dtype)[:, None, None]
        return self.start + where * self.way  # (M, T, F)

    def _add(self, sums: Tensor, gradient: Tensor, pieces: Array, weights: Array) -> None:
        """Add gradients (W, M, T, F), weighted and by the caller's features, to their pieces of (P, W, T, F')."""
        W, _, T, F = gradient.shape
        steps = max(1, AT_ONCE // (W * F))
        for m, (piece, weight) in enumerate(zip(pieces.tolist(), weights.tolist(), strict=True)):
            for first in range(0, T, steps):
                some = slice(first, first + steps)
                amounts = (gradient[:, m, some] * self.way[some]).double() * weight
                sums[piece, :, some].index_add_(2, self.owners, amounts)
