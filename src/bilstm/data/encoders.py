"""Values to numbers and back: features, numeric targets, labels. Fitted on training rows only.

Each encoder is a plain object with ``fit``, ``transform``, ``inverse`` where there is one, and a JSON form.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_column, as_text
from bilstm.data.source import Source
from bilstm.errors import DataError, did_you_mean, warn

MOST_CATEGORIES = 20  # a text column with more values than this must repeat each of them at least twice


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

    Example:
        >>> frame = pl.DataFrame({"rooms": [4.0, 6.0, None], "town": ["a", "b", "a"]})
        >>> encoder = FeatureEncoder().fit(frame)
        >>> encoder.names
        ['rooms', 'rooms is missing', 'town=a', 'town=b']
        >>> encoder.transform(pl.DataFrame({"rooms": [6.0], "town": ["c"]})).tolist()
        [[1.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, columns: list[Column] | None = None) -> None:
        self.columns = columns or []

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns, in order."""
        return [name for column in self.columns for name in column.names]

    @property
    def kinds(self) -> dict[str, str]:
        """How each input column must be read: ``number`` or ``category``."""
        return {column.name: column.kind for column in self.columns if column.kind != "left out"}

    def fit(self, steps: pl.DataFrame) -> Self:
        """Learn means, deviations and categories from the steps of the training sequences (S, F)."""
        self.columns = [_learn(as_column(column)) for column in steps.get_columns()]
        if not self.names:
            raise DataError(
                f"expected at least one column that a model can use, got {', '.join(map(repr, steps.columns))}"
            )
        return self

    def transform(self, steps: pl.DataFrame, source: Source | str = "X") -> Array:
        """Steps (S, F) to float32 (S, F'); columns are found by name, others ignored."""
        names = set(steps.columns)
        for column in self.columns:
            if column.kind != "left out" and column.name not in names:
                raise DataError(
                    f"expected a column {column.name!r}, got none ({source})",
                    hint=did_you_mean(column.name, steps.columns),
                )
        used = [column for column in self.columns if column.kind != "left out"]
        blocks = [_encode(column, steps[column.name], source) for column in used]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((steps.height, 0), np.float32)

    def to_json(self) -> list[dict[str, Any]]:
        """As JSON can say it."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> FeatureEncoder:
        """The other way."""
        encoder = cls([Column(**column) for column in columns])
        if not encoder.names:
            raise DataError("expected at least one encoded column, got none")
        return encoder


def _learn(column: pl.Series) -> Column:
    missing = column.null_count() > 0
    if column.dtype == pl.String:
        values = column.drop_nulls().unique().to_list()
        return text_column(column.name, values, len(column), column.null_count())
    numbers = finite(column, "X")
    present = numbers[~np.isnan(numbers)]
    mean = float(present.mean()) if len(present) else 0.0
    scale = float(present.std()) if len(present) else 0.0
    return number_column(column.name, mean, scale, missing)


def text_column(name: str, values: Collection[str], rows: int, missing: int) -> Column:
    """How a column of text with these different values is encoded; with a warning if it is left out."""
    if len(values) > max(MOST_CATEGORIES, (rows - missing) / 2):
        warn(f"column {name!r} is left out: {len(values)} different texts in {rows} rows", stacklevel=3)
        return Column(name, "left out")
    return Column(name, "category", flag=missing > 0, values=sorted(values))


def number_column(name: str, mean: float, scale: float, missing: bool) -> Column:
    """How a column of numbers with this mean and deviation is encoded."""
    return Column(name, "number", mean, 1.0 if is_constant(mean, scale) else scale, missing)


def is_constant(mean: Any, scale: Any) -> Any:
    """Whether a deviation beside a mean is one of rounding only: such a column carries nothing; scale 1 leaves it 0."""
    return scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)


def _encode(column: Column, series: pl.Series, source: Source | str) -> Array:
    is_text = series.dtype == pl.String
    if column.kind == "number":
        if is_text:
            row = int(series.is_not_null().arg_max() or 0)
            raise DataError(f"expected numbers in column {column.name!r}, got {series[row]!r} ({source}, row {row})")
        values = finite(series, source)
        missing = np.isnan(values)
        encoded = np.where(missing, 0.0, (values - column.mean) / column.scale)[:, None]
    else:
        text = as_text(series)
        missing = text.is_null().to_numpy()
        known = {value: i for i, value in enumerate(column.values)}
        codes = text.replace_strict(known, default=None, return_dtype=pl.Int64).fill_null(-1).to_numpy()
        encoded = (codes[:, None] == np.arange(len(known))).astype(np.float64)
    if column.flag:
        encoded = np.concatenate([encoded, missing[:, None]], axis=1)
    return encoded.astype(np.float32)


def finite(series: pl.Series, source: Source | str) -> Array:
    """Numbers as float64 with missing ones as NaN; infinity is a mistake, not a value."""
    if series.dtype != pl.Float64:
        series = series.cast(pl.Float64)
    if series.null_count():  # to ask is quick; to fill nothing in takes longer than to encode a short column
        series = series.fill_null(float("nan"))
    values: Array = series.to_numpy()
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"expected finite numbers in column {series.name!r}, got inf (infinity; {source}, row {row})")
    return values


class TargetScaler:
    """Standardises numeric targets (N, K) and takes predictions back into the caller's units.

    Raises:
        DataError: a target is text, missing, infinite, or the same in every row.
    """

    def __init__(self, names: list[str] | None = None, mean: Any = (), scale: Any = ()) -> None:
        self.names = names or []
        self.mean = np.asarray(mean, dtype=np.float64)
        self.scale = np.asarray(scale, dtype=np.float64)

    def fit(self, targets: pl.DataFrame) -> Self:
        """Learn mean and deviation of each target from the training rows."""
        values = numeric_targets(targets)
        self.names = targets.columns
        self.mean, self.scale = values.mean(axis=0), values.std(axis=0)
        self.scale[is_constant(self.mean, self.scale)] = 1.0
        return self

    def transform(self, targets: pl.DataFrame, source: Source | str = "y") -> Array:
        """Targets (N, K) to float32, mean 0 and deviation 1 on the training rows."""
        return ((numeric_targets(targets, source) - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: Array) -> Array:
        """Scaled predictions (N, K) back to the caller's units, float64."""
        return scaled.astype(np.float64) * self.scale + self.mean

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {"names": self.names, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TargetScaler:
        """The other way."""
        scaler = cls(**data)
        if not scaler.names or not scaler.mean.shape == scaler.scale.shape == (len(scaler.names),):
            raise DataError("expected a name, a mean and a scale for each target, got different numbers of them")
        return scaler


def numeric_targets(targets: pl.DataFrame, source: Source | str = "y") -> Array:
    """Targets as float64 (N, K), checked."""
    for column in targets.get_columns():
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise DataError(
                f"expected numbers in target {column.name!r}, got {column.drop_nulls().first()!r} ({source})",
                hint="for labels use a classifier",
            )
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if not np.isfinite(values).all():
            row = int((~np.isfinite(values)).argmax())
            value = "NaN (a missing value)" if np.isnan(values[row]) else "infinity"
            raise DataError(
                f"expected a number for target {column.name!r} in every row, got {value} ({source}, row {row})",
                hint="leave rows without a target out of the training data",
            )
    result: Array = targets.cast(pl.Float64).to_numpy()
    return result


class LabelEncoder:
    """Labels to class numbers 0 … K−1 and back; labels may be text, whole numbers, floats or truth values."""

    def __init__(self, classes: Array | None = None) -> None:
        self.classes = np.array([]) if classes is None else classes

    def fit(self, labels: Array) -> Self:
        """Learn the sorted classes of the training rows."""
        self.classes = np.unique(labels)
        return self

    def transform(self, labels: Array, source: Source | str = "y") -> Array:
        """Labels (N,) to int64 class numbers."""
        codes = np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)
        unknown = self.classes[codes] != labels
        if np.any(unknown):
            row = int(np.argmax(unknown))
            raise DataError(
                f"expected a known class, got {labels.tolist()[row]!r} ({source}, row {row})",
                hint=did_you_mean(str(labels[row]), self.classes),
            )
        return codes.astype(np.int64)

    def inverse(self, codes: Array) -> Array:
        """Class numbers (N,) back to the caller's labels."""
        return self.classes[codes]

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {"classes": self.classes.tolist(), "dtype": str(self.classes.dtype)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabelEncoder:
        """The other way."""
        dtype = np.dtype(data["dtype"])
        classes = np.array(data["classes"], dtype=dtype)
        if dtype.kind not in "OUbiuf" or classes.ndim != 1 or len(classes) < 2:
            raise DataError(f"expected two or more labels of a simple kind, got {data['dtype']} {classes.shape}")
        return cls(classes)
