"""What encoders learn, gathered from pieces: means, deviations, categories, words. Knows counts, not their origin.

With everything in one piece the result is that of the encoders' own ``fit``, up to the rounding of float64.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_column
from bilstm.data.encoders import (
    Column,
    FeatureEncoder,
    TargetScaler,
    finite,
    is_constant,
    number_column,
    numeric_targets,
    text_column,
)
from bilstm.data.source import Source
from bilstm.errors import DataError, warn

MOST_VALUES = 10_000  # different texts of a column; one more makes it no category: each value is a column of its own
MOST_WORDS = 500_000  # different words that are counted at once, some 100 MB


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of numbers that come in pieces.

    .. math:: \\delta = \\bar b - \\bar a, \\quad \\bar x = \\bar a + \\delta \\, n_b / n, \\quad
        M = M_a + M_b + \\delta^2 \\, n_a n_b / n

    Example:
        >>> moments = Moments()
        >>> for piece in ([1.0, 2.0], [6.0]):
        ...     moments.add(np.array(piece))
        >>> moments.mean, round(moments.deviation**2, 4)
        (3.0, 4.6667)

    Source: Chan, Golub and LeVeque 1983.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Array) -> None:
        """Take in more numbers, (S,) of float64, none of them missing."""
        if len(values) == 0:
            return
        count, mean = len(values), float(values.mean())
        squares = float(values.var()) * count
        whole, away = self.count + count, mean - self.mean
        self.squares += squares + away * away * (self.count * count / whole)
        self.mean += away * (count / whole)
        self.count = whole

    @property
    def deviation(self) -> float:
        """The standard deviation of what was seen."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0


@dataclass
class Values:
    """What one column has shown so far."""

    name: str
    is_text: bool
    rows: int = 0
    missing: int = 0
    moments: Moments = field(default_factory=Moments)
    texts: set[str] = field(default_factory=set)

    def add(self, column: pl.Series, source: Source | str) -> None:
        """Take in more of the column."""
        if (column.dtype == pl.String) != self.is_text:
            kinds = ("numbers", "text") if column.dtype == pl.String else ("text", "numbers")
            raise DataError(f"expected {kinds[0]} in column {self.name!r} as before, got {kinds[1]} ({source})")
        self.rows += len(column)
        if not self.is_text:
            numbers = finite(column, source)
            absent = np.isnan(numbers)
            self.missing += int(absent.sum())
            self.moments.add(numbers[~absent] if absent.any() else numbers)
            return
        self.missing += column.null_count()
        if len(self.texts) <= MOST_VALUES:
            self.texts.update(column.drop_nulls().unique().to_list())

    def encoded(self) -> Column:
        """What an encoder is to know of it."""
        if not self.is_text:
            return number_column(self.name, self.moments.mean, self.moments.deviation, self.missing > 0)
        if len(self.texts) > MOST_VALUES:
            warn(f"column {self.name!r} is left out: more than {MOST_VALUES:,} different texts", stacklevel=2)
            return Column(self.name, "left out")
        return text_column(self.name, self.texts, self.rows, self.missing)


class FeatureValues:
    """What a :class:`FeatureEncoder` learns, from pieces.

    Example:
        >>> values = FeatureValues()
        >>> for piece in ([4.0, None], [6.0]):
        ...     values.add(pl.DataFrame({"rooms": piece}))
        >>> values.encoder().names, values.encoder().columns[0].mean
        (['rooms', 'rooms is missing'], 5.0)
    """

    def __init__(self) -> None:
        self.columns: list[Values] = []

    def add(self, steps: pl.DataFrame, source: Source | str = "X") -> None:
        """Take in more steps of training sequences, (S, F)."""
        columns = [c if c.dtype in (pl.Float64, pl.String) else as_column(c) for c in steps.get_columns()]
        self.columns = self.columns or [Values(column.name, column.dtype == pl.String) for column in columns]
        for values, column in zip(self.columns, columns, strict=True):
            values.add(column, source)

    def encoder(self) -> FeatureEncoder:
        """The encoder of all columns seen."""
        encoder = FeatureEncoder([values.encoded() for values in self.columns])
        if not encoder.names:
            names = ", ".join(repr(values.name) for values in self.columns)
            raise DataError(f"expected at least one column that a model can use, got {names}")
        return encoder


class TargetMoments:
    """What a :class:`TargetScaler` learns, from pieces."""

    def __init__(self) -> None:
        self.moments: dict[str, Moments] = {}

    def add(self, targets: pl.DataFrame, source: Source | str = "y") -> None:
        """Take in more targets of training sequences, (N, K)."""
        values = numeric_targets(targets, source)
        for place, name in enumerate(targets.columns):
            self.moments.setdefault(name, Moments()).add(np.ascontiguousarray(values[:, place]))

    def scaler(self) -> TargetScaler:
        """The scaler of all targets seen."""
        mean = np.array([moments.mean for moments in self.moments.values()])
        scale = np.array([moments.deviation for moments in self.moments.values()])
        scale[is_constant(mean, scale)] = 1.0
        return TargetScaler(list(self.moments), mean, scale)


class WordCounts:
    """How often each word comes, in bounded memory: where there are too many, the rarest are forgotten.

    Args:
        most: different words that are kept.

    Example:
        >>> words = WordCounts(most=3)
        >>> for piece in (["a", "b", "a"], ["c", "d", "a"]):
        ...     words.add(pl.Series(piece))
        >>> dict(words.counts), words.forgotten
        ({'a': 3}, True)

    Source: Mikolov et al. 2013, whose word2vec forgets in this way.
    """

    def __init__(self, most: int = MOST_WORDS) -> None:
        self.counts: Counter[str] = Counter()
        self.most = most
        self.rarest = 0  # words that came no more often than this were forgotten
        self.forgotten = False

    def add(self, words: pl.Series) -> None:
        """Take in more words, (S,)."""
        counts: Any = words.value_counts()
        self.counts.update(dict(zip(counts[words.name].to_list(), counts["count"].to_list(), strict=True)))
        while len(self.counts) > self.most:
            self.rarest, self.forgotten = self.rarest + 1, True
            self.counts = Counter({word: count for word, count in self.counts.items() if count > self.rarest})
