"""What a reader returns: sequences, targets and their names, in the caller's order.

Knows which columns there are and in which order. Does not scale, encode, pad or shuffle anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from bilstm.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Dataset:
    """N sequences, stored as one frame that holds the steps of all of them, one below the other.

    A table is the case in which every sequence has one step. Sequence n owns
    ``steps[starts[n] : starts[n] + lengths[n]]``.

    Args:
        steps: one row a step, one column a feature: numbers (Float64) or categories (String).
        lengths: steps of each sequence, (N,), integers, zeros allowed.
        targets: one row a sequence, one column a target, or None where they are not known.
        ids: a name for each sequence (N,), or None: then it is known by its position.
        source: what error messages call this data.
        read_with: which columns of the file gave its form (``group``, ``order``), for the next file like it.

    Raises:
        DataError: lengths do not add up to the number of steps, or targets to the number of sequences.

    Example:
        >>> data = Dataset.from_arrays([np.zeros((3, 2)), np.ones((1, 2))], np.array([0.5, 1.5]))
        >>> len(data), data.feature_names, data.lengths.tolist()
        (2, ['x0', 'x1'], [3, 1])
    """

    steps: pl.DataFrame
    lengths: Array
    targets: pl.DataFrame | None = None
    ids: pl.Series | None = None
    source: str = "X"
    read_with: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if int(self.lengths.sum()) != self.steps.height:
            raise DataError(f"expected lengths that add up to {self.steps.height} steps, got {int(self.lengths.sum())}")
        if self.targets is not None and self.targets.height != len(self.lengths):
            raise DataError(f"expected {len(self.lengths)} targets, got {self.targets.height}")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def feature_names(self) -> list[str]:
        return self.steps.columns

    @property
    def target_names(self) -> list[str]:
        return [] if self.targets is None else self.targets.columns

    @property
    def is_table(self) -> bool:
        """Whether every sequence has exactly one step."""
        return bool((self.lengths == 1).all())

    @cached_property
    def starts(self) -> Array:
        """Row of ``steps`` at which each sequence begins, (N,)."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def sequences(self) -> list[Array]:
        """The sequences as arrays (T_i, F) of float64, for programs that want plain arrays."""
        matrix = self.steps.cast(pl.Float64).to_numpy()
        return [matrix[a : a + t] for a, t in zip(self.starts, self.lengths, strict=True)]

    @property
    def target_values(self) -> Array:
        """The targets as an array: (N,) for one target, (N, K) for several."""
        if self.targets is None:
            raise DataError(f"expected data with targets, got none ({self.source})")
        values = self.targets.to_numpy()
        return values[:, 0] if values.shape[1] == 1 else values

    def take(self, rows: Sequence[int] | Array) -> Dataset:
        """The sequences at positions ``rows``, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        return replace(
            self,
            steps=self.steps[np.repeat(self.starts[rows], lengths) + within],
            lengths=lengths,
            targets=None if self.targets is None else self.targets[rows],
            ids=None if self.ids is None else self.ids[rows],
        )

    def renamed(self, names: Sequence[str]) -> Dataset:
        """The same data with the features called ``names``, position by position."""
        return replace(self, steps=self.steps.rename(dict(zip(self.feature_names, names, strict=True))))

    def fingerprint(self) -> str:
        """A digest of values, lengths and targets; the same data has the same one in every process."""
        digest = hashlib.sha256(np.ascontiguousarray(self.lengths).tobytes())
        for frame in (self.steps, self.targets):
            for column in [] if frame is None else frame.get_columns():
                digest.update(column.name.encode())
                values = column.to_numpy() if column.dtype.is_numeric() else None
                digest.update(repr(column.to_list()).encode() if values is None else values.tobytes())
        return digest.hexdigest()

    @classmethod
    def from_arrays(cls, X: Any, y: Any = None, source: str = "X") -> Dataset:
        """Take what a program holds: a table, an array (N, T, F), or a list of arrays (T_i, F).

        Args:
            X: DataFrame (polars, pandas) or array (N, F): one row = a sequence of one step;
                array (N, T, F); list of arrays (T_i, F), or of (T_i,) for one feature.
            y: targets, (N,) or (N, K), array, list, Series or DataFrame; or None.
            source: what error messages call this data.

        Raises:
            DataError: arrays of other shapes, or with different numbers of features.
        """
        steps, lengths = _steps_and_lengths(X, source)
        return cls(steps, lengths, None if y is None else _target_frame(y), source=source)


def _steps_and_lengths(X: Any, source: str) -> tuple[pl.DataFrame, Array]:
    if _is_frame(X):
        frame = as_frame(X)
        return frame, np.ones(frame.height, dtype=np.int64)
    if isinstance(X, (list, tuple)) and len(X) and not np.isscalar(X[0]) and np.ndim(X[0]) == 2:
        return _ragged(X, source)
    if isinstance(X, (list, tuple)) and len({np.shape(row) for row in X}) > 1:
        return _ragged([np.asarray(row)[:, None] if np.ndim(row) == 1 else row for row in X], source)
    array = np.asarray(X)
    if array.ndim == 3:
        n, t, f = array.shape
        return numbered_frame(array.reshape(n * t, f), source), np.full(n, t, dtype=np.int64)
    if array.ndim == 2:
        return numbered_frame(array, source), np.ones(len(array), dtype=np.int64)
    raise DataError(
        f"expected a table (N, F), an array (N, T, F) or a list of arrays (T_i, F), "
        f"got an array of {array.ndim} dimensions ({source})",
        hint="Reshape your data: array.reshape(-1, 1) for one feature, array.reshape(1, -1) for one row",
    )


def _ragged(X: Sequence[Any], source: str) -> tuple[pl.DataFrame, Array]:
    arrays = [np.asarray(sequence) for sequence in X]
    widths = [array.shape[1] if array.ndim == 2 else -1 for array in arrays]
    for position, array in enumerate(arrays):
        if array.ndim != 2 or widths[position] != widths[0]:
            raise DataError(
                f"expected sequences of shape (T, {widths[0]}), got {array.shape} ({source}, sequence {position})"
            )
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    return numbered_frame(np.concatenate(arrays), source), lengths


def numbered_frame(matrix: Array, source: str = "X") -> pl.DataFrame:
    """An array (S, F) as a frame with columns x0, x1, …; objects stay numbers where all of them are."""
    names = [f"x{i}" for i in range(matrix.shape[1])]
    if matrix.dtype.kind in "fiub":
        return pl.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64), schema=names)
    if matrix.dtype.kind == "c":
        raise DataError(f"Complex data not supported: expected real numbers ({source})")
    return pl.DataFrame([_object_column(name, matrix[:, i]) for i, name in enumerate(names)])


def _object_column(name: str, values: Array) -> pl.Series:
    try:
        return pl.Series(name, np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        for row, value in enumerate(values):
            if not (value is None or isinstance(value, (str, int, float, np.generic))):
                raise DataError(
                    f"expected numbers or text, got {type(value).__name__} (argument must be a string "
                    f"or a number; column {name!r}, row {row})"
                ) from None
        return pl.Series(name, [None if _is_missing(v) else str(v) for v in values], dtype=pl.String)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and (hasattr(X, "to_numpy") or hasattr(X, "__dataframe__"))


def as_frame(X: Any) -> pl.DataFrame:
    """A polars or pandas DataFrame as polars, numbers as Float64, everything else as String."""
    frame = X if isinstance(X, pl.DataFrame) else _from_pandas(X)
    columns = []
    for column in frame.get_columns():
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            columns.append(column.cast(pl.Float64).fill_nan(None))
        else:
            columns.append(column.cast(pl.String))
    return pl.DataFrame(columns)


def _from_pandas(X: Any) -> pl.DataFrame:
    columns = []
    for position, name in enumerate(X.columns):
        values = X.iloc[:, position].to_numpy()
        if values.dtype.kind in "fiub":
            columns.append(pl.Series(str(name), values))
        else:
            columns.append(_object_column(str(name), np.asarray(values, dtype=object)))
    return pl.DataFrame(columns)


def _target_frame(y: Any) -> pl.DataFrame:
    if isinstance(y, pl.Series):
        y = y.to_frame(y.name or "y")
    if isinstance(y, pl.DataFrame):
        return y
    if hasattr(y, "columns"):
        return pl.DataFrame({str(name): np.asarray(y[name]) for name in y.columns})
    name = str(getattr(y, "name", None) or "y")
    values = np.asarray(y)
    if values.ndim == 1:
        return pl.DataFrame({name: _target_series(values)})
    if values.ndim == 2:
        return pl.DataFrame({f"y{i}": _target_series(values[:, i]) for i in range(values.shape[1])})
    raise DataError(f"expected targets of shape (N,) or (N, K), got {values.shape}")


def _target_series(values: Array) -> pl.Series:
    if values.dtype.kind == "O":
        return pl.Series(values.tolist(), strict=False)
    return pl.Series(values)
