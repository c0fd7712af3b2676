"""Values to numbers and back: features, numeric targets, labels. Fitted on training rows only.

Data too large for memory is learned from piece by piece, by ``update``; ``fit`` is the update of everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_column, as_text, matrix_of
from bilstm.data.source import ARRAYS, Source, check_columns, check_rows
from bilstm.errors import DataError, did_you_mean, warn

MOST_CATEGORIES = 20  # a text column with more values than this must repeat each of them at least twice
MOST_LETTERS = 2**24  # of all labels together, each as long as the longest, as numpy keeps them
SIMPLE = re.compile(r"[<>=|]?(U\d+|[iuf][248]|[biu]1)|bool|u?int(8|16|32|64)|float(16|32|64)|object")  # kinds of labels
MOST_VALUES = 10_000  # different texts of a column, or labels, that pieces may add up to


@dataclass
class Moments:
    """Mean and variance of numbers that come in pieces, one of each for every column.

    .. math:: \\delta = \\bar b - \\bar a, \\quad \\bar x = \\bar a + \\delta \\, n_b / n, \\quad
        v = (n_a v_a + n_b v_b) / n + \\delta^2 \\, n_a n_b / n^2

    Of numbers in one piece they are numpy's own, bit for bit, which those of scikit-learn's ``partial_fit`` are not.

    Source: Chan, Golub and LeVeque 1983.
    """

    count: int = 0
    mean: Any = 0.0
    variance: Any = 0.0

    def update(self, values: Array) -> None:
        """Take in more numbers, (S,) or (S, K) of float64, none of them missing."""
        if len(values) == 0:
            return
        mean, variance = values.mean(axis=0), values.var(axis=0)
        if self.count:
            whole, distance = self.count + len(values), mean - self.mean
            ours, theirs = self.count / whole, len(values) / whole
            mean = self.mean + distance * theirs
            variance = ours * self.variance + theirs * variance + distance * distance * (ours * theirs)
        self.count, self.mean, self.variance = self.count + len(values), mean, variance

    @property
    def deviation(self) -> Any:
        """The standard deviation of all numbers so far."""
        return np.sqrt(self.variance)


@dataclass
class Column:
    """How one input column becomes numbers: kind is "number", "category" or "left out"."""

    name: str
    kind: str
    mean: float = 0.0
    scale: float = 1.0
    flag: bool = False  # whether a missing value is also told to the model
    values: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the encoded columns."""
        own = {"number": [self.name], "left out": []}.get(self.kind, [f"{self.name}={value}" for value in self.values])
        return own + ([f"{self.name} is missing"] if self.flag else [])


class FeatureEncoder:
    """Encodes the steps of sequences: numbers are standardised, categories one-hot, missing values flagged.

    .. math:: x' = (x - \\text{mean}) / \\text{std}

    A missing number becomes the mean (0 after scaling); if the training rows lacked values of that column, a
    further column says so. A category that the training rows do not have is all zeros. A constant column
    becomes zero. A text column with nearly as many values as rows is left out, with a warning.
    """

    def __init__(self, columns: Sequence[Column] = ()) -> None:
        self.columns = list(columns)
        self._values: list[_Values] = []  # what the columns have shown so far, while pieces come in

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns, in order."""
        return [name for column in self.columns for name in column.names]

    @property
    def column_names(self) -> list[str]:
        """Names of the input columns, in order."""
        return [column.name for column in self.columns]

    @property
    def kinds(self) -> dict[str, str]:
        """How each input column must be read: ``number`` or ``category``."""
        return {column.name: column.kind for column in self.columns if column.kind != "left out"}

    def fit(self, steps: pl.DataFrame, source: Source | str = ARRAYS) -> Self:
        """Learn means, deviations and categories from the steps of the training sequences (S, F)."""
        self._values = []
        self.update(steps, source)
        return self.finish()

    def update(self, steps: pl.DataFrame, source: Source | str = ARRAYS) -> None:
        """Learn from more steps (S, F) with the same columns; :meth:`finish` follows the last."""
        columns = [c if c.dtype in (pl.Float64, pl.String) else as_column(c) for c in steps.get_columns()]
        self._values = self._values or [_Values(column.name, column.dtype == pl.String) for column in columns]
        for values, column in zip(self._values, columns, strict=True):
            values.update(column, source)

    def finish(self) -> Self:
        """Settle how each column is encoded, from all that was seen of it."""
        self.columns, self._values = [values.column() for values in self._values], []
        if not self.names:
            names = ", ".join(repr(column.name) for column in self.columns)
            raise DataError(f"expected at least one column that a model can use, got {names}")
        return self

    def transform(self, steps: pl.DataFrame, source: Source | str = "X") -> Array:
        """Steps (S, F) to float32 (S, F'); columns are found by name, others ignored."""
        used = [column for column in self.columns if column.kind != "left out"]
        check_columns([column.name for column in used], steps.columns, source)
        blocks = [_encode(column, steps[column.name], source) for column in used]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((steps.height, 0), np.float32)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> FeatureEncoder:
        encoder = cls([Column(**column) for column in columns])
        if not encoder.names:
            raise DataError("expected at least one encoded column, got none")
        for names in (encoder.column_names, *(column.values for column in encoder.columns)):
            if len(set(names)) < len(names):
                raise DataError("expected different columns and different categories, got one twice")
        return encoder


@dataclass
class _Values:
    """What one column has shown so far."""

    name: str
    is_text: bool
    rows: int = 0
    missing: int = 0
    moments: Moments = field(default_factory=Moments)
    texts: set[str] = field(default_factory=set)
    too_many: bool = False  # texts, so that those of later pieces were not looked at

    def update(self, column: pl.Series, source: Source | str) -> None:
        if (column.dtype == pl.String) != self.is_text:
            kinds = ("numbers", "text") if column.dtype == pl.String else ("text", "numbers")
            raise DataError(f"expected {kinds[0]} in column {self.name!r} as before, got {kinds[1]} ({source})")
        self.rows += len(column)
        if not self.is_text:
            numbers = finite(column, source)
            absent = np.isnan(numbers)
            self.missing += int(absent.sum())
            self.moments.update(numbers[~absent] if absent.any() else numbers)
            return
        self.missing += column.null_count()
        self.too_many |= len(self.texts) > MOST_VALUES
        if not self.too_many:
            self.texts.update(value for value in column.unique(maintain_order=True) if value is not None)

    def column(self) -> Column:
        flag = self.missing > 0
        if not self.is_text:
            mean, scale = float(self.moments.mean), float(self.moments.deviation)
            return Column(self.name, "number", mean, 1.0 if is_constant(mean, scale) else scale, flag)
        if self.too_many or len(self.texts) > max(MOST_CATEGORIES, (self.rows - self.missing) / 2):
            count = f"more than {MOST_VALUES:,}" if self.too_many else len(self.texts)
            warn(f"column {self.name!r} is left out: {count} different texts in {self.rows} rows", stacklevel=3)
            return Column(self.name, "left out")
        return Column(self.name, "category", flag=flag, values=sorted(self.texts))


def is_constant(mean: Any, scale: Any) -> Any:
    """Whether a deviation beside a mean is one of rounding only: such a column carries nothing; scale 1 leaves it 0."""
    return scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)


def _encode(column: Column, series: pl.Series, source: Source | str) -> Array:
    is_text = series.dtype == pl.String
    if column.kind == "number":
        if is_text:
            row = next((row for row, value in enumerate(series) if value is not None), 0)
            raise DataError(f"expected numbers in column {column.name!r}, got {series[row]!r} ({source}, row {row})")
        values = finite(series, source)
        missing = np.isnan(values)
        encoded = np.where(missing, 0.0, (values - column.mean) / column.scale)[:, None]
    else:
        known: dict[str | None, int] = {value: i for i, value in enumerate(column.values)} | {None: -2}
        codes = np.array([known.get(value, -1) for value in as_text(series).to_list()], dtype=np.int64)
        missing = codes == -2
        encoded = (codes[:, None] == np.arange(len(column.values))).astype(np.float64)
    if column.flag:
        encoded = np.concatenate([encoded, missing[:, None]], axis=1)
    return encoded.astype(np.float32)


def finite(series: pl.Series, source: Source | str) -> Array:
    """Numbers as float64 with missing ones as NaN; infinity is a mistake, not a value."""
    if series.dtype != pl.Float64:
        series = series.cast(pl.Float64)
    values: Array = series.to_numpy()
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"expected finite numbers in column {series.name!r}, got inf (infinity; {source}, row {row})")
    return values


class TargetScaler:
    """Standardises numeric targets (N, K) and takes predictions back into the caller's units."""

    def __init__(self, names: list[str] | None = None, mean: Any = (), scale: Any = ()) -> None:
        self.names = names or []
        self.mean = np.asarray(mean, dtype=np.float64)
        self.scale = np.asarray(scale, dtype=np.float64)
        self._moments = Moments()

    def fit(self, targets: pl.DataFrame, source: Source | str = "y") -> Self:
        """Learn mean and deviation of each target from the training rows."""
        self._moments = Moments()
        self.update(targets, source)
        return self

    def update(self, targets: pl.DataFrame, source: Source | str = "y") -> None:
        """Learn from more training rows (N, K)."""
        self.names = targets.columns
        self._moments.update(numeric_targets(targets, source))
        self.mean, deviation = np.atleast_1d(self._moments.mean), np.atleast_1d(self._moments.deviation)
        self.scale = np.where(is_constant(self.mean, deviation), 1.0, deviation)

    def transform(self, targets: pl.DataFrame, source: Source | str = "y") -> Array:
        """Targets (N, K) to float32, mean 0 and deviation 1 on the training rows."""
        return ((numeric_targets(targets, source) - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: Array) -> Array:
        """Scaled predictions (N, K) back to the caller's units, float64."""
        return scaled.astype(np.float64) * self.scale + self.mean

    def to_json(self) -> dict[str, Any]:
        return {"names": self.names, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TargetScaler:
        scaler = cls(**data)
        check_scales(scaler.names, scaler.mean, scaler.scale)
        return scaler


def check_scales(names: Sequence[str], mean: Array, scale: Array) -> None:
    """Raise a DataError unless each of one or more targets has a mean and a scale."""
    if not names or not mean.shape == scale.shape == (len(names),):
        raise DataError("expected a name, a mean and a scale for each target, got different numbers of them")


def numeric_targets(targets: pl.DataFrame, source: Source | str = "y") -> Array:
    """Targets as float64 (N, K), checked."""
    for column in targets.get_columns():
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            got = repr(next((value for value in column if value is not None), None))
            hint = "for labels use a classifier"
            raise DataError(f"expected numbers in target {column.name!r}, got {got} ({source})", hint=hint)
        values = column.cast(pl.Float64).to_numpy()
        expected, hint = f"a number for target {column.name!r} in every row", "leave it out of the training data"
        check_rows(np.isnan(values), lambda row: f"{source}, row {row}", expected, "NaN (a missing value)", hint)
        check_rows(np.isinf(values), lambda row: f"{source}, row {row}", expected, "infinity", hint)
    return matrix_of(targets)


class LabelEncoder:
    """Labels to class numbers 0 … K−1 and back; labels may be text, whole numbers, floats or truth values."""

    def __init__(self, classes: Array | None = None) -> None:
        self.classes = np.array([]) if classes is None else classes
        self.counts = np.zeros(len(self.classes), dtype=np.int64)  # of each class, as far as labels were learned from

    def fit(self, labels: Array) -> Self:
        """Learn the sorted classes of the training rows."""
        self.classes, self.counts = np.unique(labels, return_counts=True)
        return self

    def update(self, labels: Array, source: Source | str = "y") -> None:
        """Learn from more labels (N,)."""
        if not len(self.classes):
            self.fit(labels)
            return
        classes, counts = np.unique(labels, return_counts=True)
        self.classes, places = np.unique(np.concatenate([self.classes, classes]), return_inverse=True)
        self.counts = np.bincount(places, np.concatenate([self.counts, counts])).astype(np.int64)
        if len(self.classes) > MOST_VALUES:
            got = f"more than {MOST_VALUES:,} different ones ({source})"
            raise DataError(f"expected labels that repeat, got {got}", hint="for numbers use a regressor")

    def transform(self, labels: Array, source: Source | str = "y") -> Array:
        """Labels (N,) to int64 class numbers."""
        codes = np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)
        unknown = self.classes[codes] != labels
        if np.any(unknown):
            row = int(np.argmax(unknown))
            hint = did_you_mean(str(labels[row]), self.classes)
            raise DataError(f"expected a known class, got {labels.tolist()[row]!r} ({source}, row {row})", hint=hint)
        return codes.astype(np.int64)

    def inverse(self, codes: Array) -> Array:
        """Class numbers (N,) back to the caller's labels."""
        return self.classes[codes]

    def to_json(self) -> dict[str, Any]:
        return {"classes": self.classes.tolist(), "dtype": str(self.classes.dtype)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabelEncoder:
        values, told = data["classes"], data["dtype"]
        if not SIMPLE.fullmatch(told) or len(values) < 2:
            raise DataError(f"expected two or more labels of a simple kind, got {len(values)} of {told[:50]!r}")
        dtype = np.dtype(str if "U" in told else told)  # as wide as the longest label needs, whatever is told
        if dtype.kind in "OU":
            letters = [*map(len, values)]  # a TypeError where one is no text
            longest = max(*letters, int(told.partition("U")[2] or 0))
            if longest * len(values) > max(MOST_LETTERS, 100 * sum(letters)):
                raise DataError(f"expected labels of about the same length, got up to {longest} letters")
        classes = np.array(values, dtype=dtype)
        if classes.tolist() != values or not (classes[:-1] < classes[1:]).all():
            raise DataError(f"expected different labels in order, each of kind {told!r}, got others")
        return cls(classes)
