"""What a column is: numbers (Float64) or categories (String). The one place that decides, for files, frames and arrays.

Values that are text stay text, numbers and truth values are numbers, dates are text; a fitted model overrules that.
What turns a caller's table into numbers uses methods of single columns only, for which Polars needs no threads: a
process that was forked has none of them, and would wait for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bilstm.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]
SEQUENCES = "a column of sequences goes in by itself, as X['name']; several are arrays (T, F), one for each sequence"


def as_column(values: pl.Series, kind: str = "") -> pl.Series:
    """A column as Float64 or String, as ``kind`` says, ``number`` or ``category``; without one, as its type does."""
    if values.dtype.is_nested() or values.dtype == pl.Object:
        hint = SEQUENCES if any(is_sequence(value) for value in values.head(100)) else None
        raise DataError(f"expected numbers or text in column {values.name!r}, got {values.dtype}", hint)
    if kind == "category":
        return as_text(values)
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return nan_as_null(values.cast(pl.Float64))
    return values.cast(pl.Float64) if values.dtype == pl.Null else values.cast(pl.String)


def kinds_of(frame: pl.DataFrame) -> dict[str, str]:
    """What each column of Float64 or String is, ``number`` or ``category``."""
    return {name: "category" if dtype == pl.String else "number" for name, dtype in frame.schema.items()}


def as_text(values: pl.Series) -> pl.Series:
    """A column as names: 1 and 1.0 are both ``1``, truth values are ``true`` and ``false``."""
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        is_whole = pl.Series(whole.cast(pl.Float64).to_numpy() == values.to_numpy())  # null is NaN there
        return whole.cast(pl.String).zip_with(is_whole, nan_as_null(values).cast(pl.String))
    return values.cast(pl.String)


def nan_as_null(values: pl.Series) -> pl.Series:
    """Floats with null in place of NaN."""
    numbers = values.to_numpy()
    return pl.Series(values.name, numbers, nan_to_null=True) if np.isnan(numbers).any() else values


def columns_of(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Some columns of a frame in another order; ``select`` would want threads, which a forked process lacks."""
    return pl.DataFrame([frame[name] for name in names])


def rows_of(frame: pl.DataFrame, rows: Array) -> pl.DataFrame:
    """Rows at positions, (R,); column by column, for the same reason."""
    return pl.DataFrame([column[rows] for column in frame.get_columns()], height=len(rows))


def frame_of(matrix: Array, names: Sequence[str]) -> pl.DataFrame:
    """Numbers (S, K) as columns of Float64, null in place of NaN."""
    return pl.DataFrame([pl.Series(name, matrix[:, k], nan_to_null=True) for k, name in enumerate(names)])


def filled_forward(values: Array, first: Array) -> Array:
    """Numbers (S, K) with the last known one of the same series in place of NaN; each series begins at row ``first``.

    Example:
        >>> filled_forward(np.array([[1.0], [np.nan], [np.nan]]), np.array([0, 0, 2])).T
        array([[ 1.,  1., nan]])
    """
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    return np.take_along_axis(values, np.where(last < first[:, None], rows, last), axis=0)


def matrix_of(frame: pl.DataFrame) -> Array:
    """Columns of numbers as float64 (S, K) with NaN for missing ones; again without threads."""
    columns = [column.cast(pl.Float64).to_numpy() for column in frame.get_columns()]
    return np.stack(columns, axis=1) if columns else np.zeros((frame.height, 0))


def by_appearance(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The different values of a column in the order in which they first appear, and the number of each row's, (S,)."""
    names = column.unique(maintain_order=True)
    if column.is_sorted():
        return names, column.rle_id()
    return names, column.replace_strict(names, pl.Series(range(len(names))), return_dtype=pl.UInt32)


def object_column(name: str, values: Array) -> pl.Series:
    """Python objects as Float64 if all of them are numbers, else as String; missing values of every kind as null."""
    present = [None if is_missing(value) else value for value in values]
    for row, value in enumerate(present):
        if not (value is None or isinstance(value, (str, int, float, np.generic))):
            raise DataError(
                f"expected numbers or text, got {type(value).__name__} (argument must be a string or a number; "
                f"column {name!r}, row {row})",
                hint=SEQUENCES if is_sequence(value) else None,
            )
    if any(isinstance(value, str) for value in present):
        return pl.Series(name, [None if value is None else str(value) for value in present], dtype=pl.String)
    return pl.Series(name, [None if value is None else float(value) for value in present], dtype=pl.Float64)


def as_sequences(values: Any) -> Any:
    """A column of sequences, an object array or a Series of pandas or polars, as a list of them; others as they are.

    Entries that are arrays or Series of words become lists, also where they stand in a list.
    """
    is_column = isinstance(values, pl.Series) or getattr(values, "ndim", 0) == 1
    if not (isinstance(values, (list, tuple)) or is_column):
        return values
    if isinstance(values, pl.Series) and not (values.dtype.is_nested() or values.dtype == pl.Object):
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values
    entries: list[Any] = [entry.to_list() if isinstance(entry, pl.Series) else entry for entry in values]
    if not any(is_sequence(entry) for entry in entries):
        return values
    return [entry.tolist() if _is_array_of_words(entry) else entry for entry in entries]


def is_sequence(value: Any) -> bool:
    """Whether a value holds others: no text, no number, no missing value."""
    return isinstance(value, (list, tuple, set, frozenset)) or (not np.isscalar(value) and np.ndim(value) > 0)


def _is_array_of_words(entry: Any) -> bool:
    return getattr(entry, "ndim", 0) == 1 and getattr(getattr(entry, "dtype", None), "kind", "") in ("O", "U")


def is_missing(value: Any) -> bool:
    """None, NaN, and pandas' NA and NaT (by name: pandas need not be installed)."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def whole_numbers(column: pl.Series) -> pl.Series:
    """A column of numbers without fractions as integers, so that labels read 1 and not 1.0."""
    if column.dtype == pl.Float64 and column.null_count() == 0 and len(column):
        whole = column.cast(pl.Int64, strict=False)
        if whole.null_count() == 0 and (whole.cast(pl.Float64) == column).all():
            return whole
    return column
