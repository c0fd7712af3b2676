"""The columns that series are read from: files, frames and arrays as one frame, and what each column is for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_column, as_sequences
from bilstm.data.dataset import as_frame, is_frame
from bilstm.data.series.timestamps import looks_like_times
from bilstm.data.source import ARRAYS, Source, check_rows
from bilstm.data.tables.reader import read_raw, typed
from bilstm.errors import DataError, warn

SHAPES = "a series of numbers (T,) or several side by side (T, K)"
ONE_TABLE = "series of different lengths go into one long table, with a column that names them (group)"
TIME_NAMES = (("date", "datetime", "time", "timestamp", "ds"), ("day", "month", "year"))


@dataclass(frozen=True)
class Table:
    """What series are read from."""

    frame: pl.DataFrame  # its columns with the types it has; of CSV all text
    source: Source
    is_array: bool = False  # whether its columns have names of ours

    def column(self, name: str, kind: str = "") -> pl.Series:
        """A column as Float64 or String."""
        column = self.frame[name]
        if self.source.path is not None:
            column = typed(column, kind, self.source)
        else:
            column = as_column(column, "category" if kind == "category" else "")
        if kind == "number" and column.dtype == pl.String:
            hint = "series are made of numbers; drop the column, or give its numbers as such"
            check_rows(column.is_not_null(), self.source.at, f"a number in column {name!r}", column, hint)
            return column.cast(pl.Float64)
        return column

    def times(self, name: str) -> pl.Series:
        """The column of times as it came, missing values of every kind as null."""
        column = self.frame[name]
        return self.column(name, "category") if column.dtype == pl.String else column

    def values(
        self, targets: list[str], future: Sequence[str], features: Sequence[str] | None, others: Collection[str | None]
    ) -> tuple[pl.DataFrame, list[str], list[str]]:
        """The columns of numbers, targets first, those known ahead last; and the names of both.

        Without ``targets`` it is the only column of numbers, without ``features`` all that hold numbers; ``others`` are
        neither.
        """
        apart = [*targets, *future]
        for name in (name for name in apart if apart.count(name) > 1 or name in others):
            expected = "different columns for targets, times, groups and what is known ahead"
            raise DataError(f"expected {expected}, got {name!r} for two of them ({self.source})")
        named = [*apart, *(features or ())]
        if self.frame.height == 0:
            raise DataError(f"expected at least one row, got none ({self.source})")
        candidates = [n for n in self.frame.columns if n not in others] if features is None or not targets else []
        read = {name: self.column(name, "number" if name in named else "") for name in [*named, *candidates]}
        text = [name for name, column in read.items() if column.dtype == pl.String]
        if not targets:
            targets = [self._only_target([n for n in read if n not in text and n not in named])]
        empty = [name for name, column in read.items() if column.dtype != pl.String and not column.count()]
        for name in (name for name in targets if name in empty):
            raise DataError(f"expected values of target {name!r}, got none in {self.frame.height} rows ({self.source})")
        if features is None:
            left_out = {"are text": text, "hold no values": [name for name in empty if name not in named]}
            for what, names in left_out.items():
                if names:
                    shown = ", ".join(map(repr, names))
                    warn(f"columns that {what} are left out: {shown} ({self.source})", stacklevel=4)
            features = [name for name in read if all(name not in names for names in left_out.values())]
        past = [name for name in dict.fromkeys(features) if name not in (*targets, *future)]
        columns = [read[name] for name in [*targets, *past, *future]]
        for column in columns:
            expected, hint = f"a finite number in column {column.name!r}", "leave it empty if it is unknown"
            check_rows(np.isinf(column.to_numpy()), self.source.at, expected, column, hint)
        return pl.DataFrame(columns), targets, list(future)

    def _only_target(self, numbers: Sequence[str]) -> str:
        if len(numbers) == 1:
            return numbers[0]
        shown = ", ".join(map(repr, numbers[:8])) or "no column of numbers"
        message = f"expected a target, got {len(numbers)} columns to choose from: {shown} ({self.source})"
        raise DataError(message, hint="name what to forecast with --target")


def open_table(data: Any) -> Table:
    """A file, a frame or an array as a :class:`Table`."""
    if isinstance(data, (str, Path)):
        return Table(read_raw(data), Source.of_file(data))
    if as_sequences(data) is not data and not isinstance(data, (list, tuple)):
        raise DataError(f"expected {SHAPES}, got a column of sequences", hint=ONE_TABLE)
    if isinstance(data, pl.Series):
        data = data.to_frame(data.name or "y")
    elif hasattr(data, "to_frame") and hasattr(data, "index"):  # a series of pandas
        data = data.to_frame("y" if data.name is None else data.name)
    if isinstance(data, pl.DataFrame):
        return Table(data, ARRAYS)
    if is_frame(data):
        return Table(_from_pandas(data), ARRAYS)
    array = _numbers(data)
    names = ["y"] if array.ndim == 1 else [f"y{i}" for i in range(array.shape[1])]
    matrix = np.ascontiguousarray(array.reshape(len(array), len(names)))
    return Table(pl.from_numpy(matrix, schema=names), ARRAYS, is_array=True)


def time_column(table: Table, names: Sequence[str]) -> str | None:
    """Which of the columns ``names`` holds the times: the only one of dates, or the only one called so; or None."""
    columns = {name: table.frame[name] for name in names}
    dates = [n for n, c in columns.items() if isinstance(c.dtype, (pl.Date, pl.Datetime)) or looks_like_times(c)]
    called = [[name for name in names if name.lower() in known] for known in TIME_NAMES]
    for candidates in ([name for name in dates if name in called[0]], dates, *called):
        if len(candidates) == 1:
            return candidates[0]
        if len(candidates) > 1:
            message = f"expected one column of times, got {', '.join(map(repr, candidates))} ({table.source})"
            raise DataError(message, hint="name the one that steps follow with --time")
    return None


def _numbers(data: Any) -> Array:
    try:
        array = np.asarray(data)
        if array.ndim in (1, 2) and array.dtype.kind in "fiubO":
            return array.astype(np.float64)
        got = f"an array of shape {array.shape} and type {array.dtype}"
    except (TypeError, ValueError):  # lists of different lengths, objects that are no numbers
        got = f"a {type(data).__name__} that is none"
    raise DataError(f"expected {SHAPES}, got {got}", hint=ONE_TABLE)


def _from_pandas(X: Any) -> pl.DataFrame:
    """A DataFrame of pandas with its dates as dates; an index of dates becomes a column."""
    if hasattr(X.index, "to_timestamp"):
        X = X.set_axis(X.index.to_timestamp())
    if (X.index.dtype.kind == "M" or X.index.name is not None) and X.index.name not in X.columns:
        X = X.reset_index(names="time" if X.index.name is None else X.index.name)
    is_date = [_is_date(X.iloc[:, i]) for i in range(X.shape[1])]
    others = as_frame(X.loc[:, [not date for date in is_date]])
    names = map(str, X.columns)
    return pl.DataFrame([_dates(n, X.iloc[:, i]) if is_date[i] else others[n] for i, n in enumerate(names)])


def _is_date(column: Any) -> bool:
    if column.dtype.kind != "O":
        return bool(column.dtype.kind == "M")
    return any(hasattr(value, "isoformat") for value in column.dropna().head(1))


def _dates(name: str, column: Any) -> pl.Series:
    if column.dtype.kind == "O":
        return pl.Series(name, column.astype(str).where(column.notna(), None).to_list(), dtype=pl.String)
    dates = pl.Series(name, column.to_numpy(dtype="datetime64[us]"))
    return dates if getattr(column.dtype, "tz", None) is None else dates.dt.replace_time_zone("UTC")
