"""How far a figure would move with other sequences of the same kind: the percentile bootstrap. Knows sums only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from bilstm.data.columns import Array

RESAMPLES = 2000  # of which 50 lie outside on each side: enough for two digits of a bound
FEWEST = 200
WORK = 200_000_000  # drawn sequences in all: of more than 100,000 sequences fewer resamples are drawn
TOGETHER = 2**21  # drawn at a time, so that memory does not grow with the data


class Interval(NamedTuple):
    """Bounds of a 95 % interval."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether there may be no difference at all."""
        return self.low <= 0 <= self.high


def resamples_for(units: int) -> int:
    """How many resamples so many sequences get.

    Example:
        >>> resamples_for(500), resamples_for(1_000_000)
        (2000, 200)
    """
    return int(np.clip(WORK // max(units, 1), FEWEST, RESAMPLES))


def resampled_sums(sums: Any, resamples: int, seed: int = 0) -> Array:
    """Sums (R, S) over sequences drawn with replacement, of what each sequence adds (N, S); Efron and Tibshirani 1993.

    .. math:: S_r = \\sum_{n=1}^{N} s_{i_{rn}}, \\quad i_{rn} \\sim \\mathrm{Uniform}\\{1 \\dots N\\}
    """
    table = sparse.csr_array(sums).T.tocsr()  # (S, N): most of what is counted is 0
    units = table.shape[1]
    generator = np.random.default_rng(seed)
    parts = []
    most = max(1, TOGETHER // units)
    for first in range(0, resamples, most):
        size = min(most, resamples - first)
        drawn = generator.integers(0, units, (size, units))
        places = drawn + units * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * units).reshape(size, units)
        parts.append((table @ counts.T.astype(np.float64)).T)
    return np.concatenate(parts)


def interval(values: Array) -> Interval:
    """The middle 95 % of a figure's values over the resamples; those where it means nothing are left out.

    Example:
        >>> interval(np.arange(101.0))
        Interval(low=2.5, high=97.5)
    """
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or len(known) == 0:
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return Interval(float(low), float(high))
