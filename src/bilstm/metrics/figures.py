"""A figure of merit as a function of sums over sequences, and what a model reaches beside references, with intervals.

Each figure is written once, as a function of what sequences add up to: of all of them it is the figure that
:func:`bilstm.metrics.predictions.evaluate` gives, of those of resamples its interval. Knows no task and no words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from bilstm.data.columns import Array
from bilstm.metrics.bootstrap import Interval, interval, resampled_sums, resamples_for

ROUNDING = 1e-7  # share of a figure that may be nothing but the float32 of a network
Parts = Sequence[Any]  # what each sequence adds: arrays (N,) or (N, k), or sparse ones, which stand side by side


@dataclass(frozen=True)
class Figure:
    """One figure of merit."""

    name: str  # as ``bilstm evaluate`` calls it
    words: str  # what it is, for a reader
    of: Callable[[Array], Array]  # from sums over sequences (…, S) to the figure (…)
    higher_is_better: bool = False
    is_share: bool = False  # of a whole, to be shown in per cent
    has_interval: bool = True  # false where resamples are biased, so that neither interval nor judgement were sound

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is better than ``other``."""
        return one > other if self.higher_is_better else one < other


def share(name: str, words: str, of: Callable[[Array], Array]) -> Figure:
    """A figure that is a share of a whole, the higher the better."""
    return Figure(name, words, of, higher_is_better=True, is_share=True)


def ratio(part: int, whole: int, least: float = 0.0) -> Callable[[Array], Array]:
    """One column of the sums (…, S) by another, of which at least so much is taken."""

    def divided(sums: Array) -> Array:
        return sums[..., part] / np.maximum(sums[..., whole], least)

    return divided


def totals(parts: Parts) -> Array:
    """Sums over all sequences, (S,); each part is added up by itself, as its mean would be."""
    return np.concatenate([np.atleast_1d(np.asarray(part.sum(axis=0), dtype=np.float64)) for part in parts])


def figures_of(figures: Sequence[Figure], sums: Array) -> dict[str, float]:
    """Figures of one vector of sums (S,), by name; NaN where a figure means nothing."""
    with np.errstate(all="ignore"):
        return {figure.name: float(figure.of(sums)) for figure in figures}


def mean_of(values: Array, used: Array) -> Array:
    """The mean over the last axis of the values that are used, (…); NaN where there is none."""
    if values.ndim == 1:  # to the last bit as of these values alone
        return np.asarray(values[used].mean() if used.any() else np.nan)
    total = np.where(used, values, 0.0).sum(axis=-1)
    means: Array = np.where(used.any(axis=-1), total / np.maximum(used.sum(axis=-1), 1), np.nan)
    return means


@dataclass(frozen=True)
class Reference:
    """What stands beside a model on the same sequences, and what these add to the sums."""

    name: str
    note: str  # what it is, for a reader
    parts: Parts
    is_baseline: bool = True  # a simple rule that the model must beat, rather than a variant of the model


@dataclass(frozen=True)
class Evaluation:
    """What a model and its references add to the sums, sequence by sequence."""

    unit: str  # what is drawn in a resample, in the singular: row, sentence, recording, block
    count: str  # how many of what the figures are of, in words
    figures: Sequence[Figure]  # the first is the one that the verdict is about
    parts: Parts  # what each unit adds to the sums
    references: Sequence[Reference] = ()
    unit_is: str = ""  # what a unit is, in a sentence, where its name does not say it

    @property
    def units(self) -> int:
        """How many sequences, or other units, there are."""
        return int(self.parts[0].shape[0])

    @cached_property
    def totals(self) -> Array:
        """Sums over all units, (1 + references, S); the model's first."""
        return np.stack([totals(parts) for parts in self._all])

    @cached_property
    def draws(self) -> Array:
        """The same of every resample, (R, 1 + references, S): one draw for all, so that they can be compared."""
        flat = [part[:, None] if part.ndim == 1 else part for parts in self._all for part in parts]
        columns = sparse.hstack([sparse.csr_array(part) for part in flat], format="csr")
        draws = resampled_sums(columns, resamples_for(self.units))
        return draws.reshape(len(draws), len(self._all), -1)

    @property
    def _all(self) -> list[Parts]:
        return [self.parts, *(reference.parts for reference in self.references)]

    def value(self, figure: Figure, place: int = 0) -> float:
        """A figure of the model (place 0) or of a reference."""
        return figures_of([figure], self.totals[place])[figure.name]

    def interval(self, figure: Figure, place: int = 0) -> Interval | None:
        """Its 95 % interval; None of a single unit, and of a figure that has none."""
        if self.units < 2 or not figure.has_interval:
            return None
        with np.errstate(all="ignore"):
            return interval(figure.of(self.draws[:, place]))

    def difference(self, figure: Figure, place: int) -> tuple[float, Interval | None]:
        """The model's figure less a reference's, and the interval of that, from the same draws."""
        mine, other = self.value(figure), self.value(figure, place)
        if self.units < 2:
            return mine - other, None
        with np.errstate(all="ignore"):
            gap = interval(figure.of(self.draws[:, 0]) - figure.of(self.draws[:, place]))
        if all(abs(part) <= ROUNDING * abs(other) for part in (mine - other, *gap)):
            return 0.0, Interval(0.0, 0.0)
        return mine - other, gap

    @cached_property
    def best(self) -> int | None:
        """The place of the baseline with the best main figure, or None."""
        main, sign = self.figures[0], -1 if self.figures[0].higher_is_better else 1
        places = [place for place, reference in enumerate(self.references, 1) if reference.is_baseline]
        values = {place: sign * self.value(main, place) for place in places}
        return min((place for place in places if not np.isnan(values[place])), key=values.__getitem__, default=None)
