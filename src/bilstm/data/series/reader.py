"""Reads series: numbers, step after step, with the clock of their times.

Knows which columns are targets or known ahead, in which order rows must stand, and where steps are missing.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_text, by_appearance, columns_of, filled_forward, frame_of, matrix_of, rows_of
from bilstm.data.dataset import Dataset, without_none
from bilstm.data.forks import check_polars
from bilstm.data.series.clock import Clock
from bilstm.data.series.table import Table, open_table, time_column
from bilstm.data.series.timestamps import read_times
from bilstm.data.source import check_columns, check_rows
from bilstm.errors import DataError, warn

TWICE = (
    "are these several series? name the column that tells them apart (--group); in the night when clocks go back an "
    "hour comes twice: write times in UTC or with their offsets"
)


@dataclass(frozen=True, kw_only=True)
class Series(Dataset):
    """Whole series on one clock: a Dataset whose sequences are series, and their times.

    ``steps`` holds Float64 columns: the targets (``target_columns``), then what is known of the past, then what is
    known ahead (``future``). Rows behind the last known target, in which only columns known ahead are filled, stay
    where they are.
    """

    times: pl.Series  # of every step, (S,), Datetime or Float64, ascending in each series
    clock: Clock
    target_columns: tuple[str, ...]  # to forecast
    future: tuple[str, ...] = ()  # columns known ahead
    per_step: ClassVar[tuple[str, ...]] = (*Dataset.per_step, "times")

    @property
    def goals(self) -> tuple[str, ...]:
        """The former name of ``target_columns``."""
        warnings.warn("Series.goals is called target_columns now", DeprecationWarning, stacklevel=2)
        return self.target_columns

    @cached_property
    def ahead(self) -> Array:
        """Rows at the end of each series in which only columns known ahead are filled, (N,) int64."""
        if not self.future:
            return np.zeros(len(self), dtype=np.int64)
        others = [name for name in self.feature_names if name not in self.future]
        missing: Array = np.isnan(matrix_of(columns_of(self.steps, others)))
        is_known = missing.sum(axis=1) < len(others)
        place = np.where(is_known, np.arange(1, len(is_known) + 1), 0)
        last = np.maximum(np.maximum.accumulate(place)[self.starts + self.lengths - 1], self.starts)
        result: Array = self.starts + self.lengths - last
        return result

    @cached_property
    def target_matrix(self) -> Array:
        """The targets, (S, K) float64, NaN where missing."""
        return matrix_of(columns_of(self.steps, self.target_columns))

    @cached_property
    def is_known(self) -> Array:
        """Steps at which at least one target is known, (S,) of truth values."""
        missing: Array = np.isnan(self.target_matrix)
        known: Array = missing.sum(axis=1) < len(self.target_columns)
        return known

    @property
    def known_times(self) -> pl.Series:
        """The times up to the last known target of any series, each once, ascending."""
        last = self.times.filter(self.is_known).max()
        until = self.times.filter(self.times <= last).to_physical()
        return pl.Series(self.times.name, np.unique(until.to_numpy())).cast(self.times.dtype)

    def forward_filled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Columns of S rows with their gaps filled by the last known value of the same series."""
        if frame.width == 0 or not any(frame.null_count().row(0)):
            return frame
        return frame_of(self.filled(matrix_of(frame)), frame.columns)

    def filled(self, values: Array) -> Array:
        """The same of numbers (S, K) with NaN in their gaps."""
        return filled_forward(values, np.repeat(self.starts, self.lengths))

    def prolonged(self, count: int) -> Series:
        """The same series with ``count`` more steps of nulls behind each, at the times to come."""
        behind = np.zeros(self.steps.height, dtype=np.int64)
        behind[self.starts + self.lengths - 1] = count
        return self.with_nulls(behind)

    def with_nulls(self, counts: Array) -> Series:
        """The same series with so many steps of nulls behind each step, (S,), at the times of the clock."""
        rows = np.repeat(np.arange(len(counts)), counts + 1)
        behind = np.arange(len(rows)) - np.repeat(np.cumsum(counts + 1) - counts - 1, counts + 1)
        times = self.times[rows]
        return replace(
            self,
            steps=frame_of(np.where(behind[:, None] > 0, np.nan, matrix_of(self.steps)[rows]), self.steps.columns),
            lengths=np.add.reduceat(counts + 1, self.starts),
            times=times.zip_with(pl.Series(behind == 0), self.clock.shifted(times, behind)),
        )

    def kept(self, rows: Array) -> Series:
        """Only the steps where a mask (S,) is true; series without any are left out."""
        lengths = np.add.reduceat(rows.astype(np.int64), self.starts)
        some = np.flatnonzero(lengths)
        return replace(
            self,
            steps=rows_of(self.steps, np.flatnonzero(rows)),
            times=self.times.filter(rows),
            lengths=lengths[some],
            ids=None if self.ids is None else self.ids[some],
        )

    def until(self, time: Any) -> Series:
        """The steps before a time."""
        return self.kept((self.times < time).to_numpy())

    def ending(self, count: int) -> Series:
        """Of each series the last ``count`` steps with known targets, and what is known ahead behind them.

        The step before these is kept too, with the last known values in its gaps: what fills gaps at their beginning.
        """
        rows = np.arange(self.steps.height)
        last = np.maximum.reduceat(np.where(self.is_known, rows, -1), self.starts)
        first = np.maximum(last - count, self.starts)
        here = pl.Series(rows == np.repeat(first, self.lengths))
        filled = self.forward_filled(self.steps)
        steps = pl.DataFrame([filled[name].zip_with(here, self.steps[name]).alias(name) for name in filled.columns])
        return replace(self, steps=steps).kept(rows >= np.repeat(first, self.lengths))

    def to_json(self) -> dict[str, Any]:
        """As plain lists; times as text or numbers."""
        is_number = self.times.dtype == pl.Float64
        return {
            "columns": {column.name: column.to_list() for column in self.steps.get_columns()},
            "times": self.times.to_list() if is_number else self.times.dt.to_string("iso").to_list(),
            "time": self.times.name,
            "lengths": self.lengths.tolist(),
            "ids": None if self.ids is None else [self.ids.name, self.ids.to_list()],
            "clock": self.clock.to_json(),
            "goals": list(self.target_columns),
            "future": list(self.future),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Series:
        times = pl.Series(data["time"], data["times"])
        if data["ids"] and len(data["ids"][1]) != len(data["lengths"]):
            raise DataError(f"expected a name for each of {len(data['lengths'])} series, got {len(data['ids'][1])}")
        return cls(
            steps=pl.DataFrame(data["columns"], schema=dict.fromkeys(data["columns"], pl.Float64)),
            lengths=np.asarray(data["lengths"], dtype=np.int64),
            ids=None if data["ids"] is None else pl.Series(data["ids"][0], data["ids"][1], dtype=pl.String),
            times=times if times.dtype.is_numeric() else times.str.to_datetime(time_unit="us"),
            clock=Clock.from_json(data["clock"]),
            target_columns=tuple(data["goals"]),
            future=tuple(data["future"]),
        )

    def renamed(self, names: Sequence[str]) -> Self:
        """The same series with the columns of ``steps`` called ``names``, position by position."""
        new = dict(zip(self.feature_names, names, strict=True))
        return replace(
            super().renamed(names),
            target_columns=tuple(new[name] for name in self.target_columns),
            future=tuple(new[name] for name in self.future),
        )

    def fingerprint(self) -> str:
        """A digest of values, lengths and times."""
        times = np.ascontiguousarray(self.times.to_physical().to_numpy())
        return hashlib.sha256(super().fingerprint().encode() + times.tobytes()).hexdigest()


def read_series(
    source: Any,
    *,
    target: str | Sequence[str] | None = None,
    time: str | None = None,
    group: str | None = None,
    future: Sequence[str] = (),
    drop: Sequence[str] = (),
    features: Sequence[str] | None = None,
    clock: Clock | None = None,
) -> Series:
    """Read series from a file, a frame or an array.

    Args:
        source: path of a CSV, TSV, Parquet or JSON-lines file; DataFrame of polars or pandas (also with times as its
            index); array (T,), one target ``y``, or (T, K), targets ``y0``, ``y1``, ….
        target: the column or columns to forecast; by default the only column of numbers.
        time: the column of times; by default the only one that holds dates or is called so. Without one, steps are
            counted from 0.
        group: the column that names the series of each row. Series stand in the order in which they first appear.
        future: columns that are known ahead, such as holidays. Rows behind the last target may fill these alone.
        drop: columns to leave out.
        features: columns to use beside targets and ``future``; by default all others of numbers.
        clock: the step, where it is known; by default it is found from the times.

    Returns:
        Series: on a clock of fixed steps, months or years with a row of nulls for every time that is missing.

    Raises:
        DataError: no such file or column; a column to be read holds no numbers; an infinite value; a time is missing
            or cannot be read; times do not ascend or come twice in one series; a target has no value at all; more
            than half of the steps would be missing ones; times lie closer than the given clock's.

    The trap: a column of text is left out, with a DataWarning; and so is one without any value, unless it is named.

    Example:
        >>> data = read_series(pl.DataFrame({"day": ["2024-01-01", "2024-01-02", "2024-01-03"], "load": [3, 1, 2]}))
        >>> data.target_columns, data.clock.name, data.read_with["time"]
        (('load',), 'day', 'day')
    """
    table = open_table(source)
    if time or group or not all(dtype.is_numeric() for dtype in table.frame.dtypes):
        check_polars("read series with times or names")
    names = [target] if isinstance(target, str) else list(target or ())
    named = [*names, *future, *(features or ())]
    check_columns([*named, *drop, *filter(None, (time, group))], table.frame.columns, table.source)
    if table.is_array and target is None:
        names = list(table.frame.columns)
    not_time = {*named, *drop, group} | (set(table.frame.columns) if table.is_array else set())
    time = time or time_column(table, [name for name in table.frame.columns if name not in not_time])
    values, names, future = table.values(names, future, features, {*drop, time, group})
    rows, lengths, ids = _in_groups(table, group)
    times, zoned = _times(table, time, rows, lengths)
    if time is not None:
        rows, times = _ascending(rows, times, lengths, table, time)
    if clock is None:
        ends = np.cumsum(lengths).tolist()
        clock = Clock.of([times[start:end] for start, end in pairwise([0, *ends])], zoned)
    else:
        _check_clock(clock, times, lengths, zoned, table)
    series = Series(
        steps=rows_of(values, rows),
        lengths=lengths,
        ids=ids,
        source=table.source,
        read_with=without_none(time=time, group=group, target=json.dumps(names), future=json.dumps(list(future))),
        times=times.alias(time or "step"),
        clock=clock,
        target_columns=tuple(names),
        future=tuple(future),
    )
    return _without_gaps(series) if time is not None else series


def _in_groups(table: Table, group: str | None) -> tuple[Array, Array, pl.Series | None]:
    """Rows of the source with those of one series together, steps of each series, and its name."""
    height = table.frame.height
    if group is None:
        return np.arange(height), np.array([height], dtype=np.int64), None
    column = as_text(table.column(group, "category"))
    hint = "it names the series that a row belongs to"
    check_rows(column.is_null(), table.source.at, f"a value of {group!r} in every row", hint=hint)
    names, number = by_appearance(column)
    return np.argsort(number, kind="stable"), np.bincount(number).astype(np.int64), names


def _times(table: Table, time: str | None, rows: Array, lengths: Array) -> tuple[pl.Series, bool]:
    if time is None:
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return pl.Series("step", (np.arange(len(rows)) - starts).astype(np.float64)), False
    return read_times(table.times(time)[rows], lambda position: table.source.at(int(rows[position])))


def _ascending(rows: Array, times: pl.Series, lengths: Array, table: Table, time: str) -> tuple[Array, pl.Series]:
    """Rows and times of each series from first to last; a file that has the newest first is turned round."""
    forward = _steps(times, lengths)
    if len(forward) and (forward <= 0).all() and (forward < 0).any():
        ends = np.cumsum(lengths)
        turned = np.repeat(2 * ends - lengths - 1, lengths) - np.arange(len(rows))
        rows, times = rows[turned], times[turned]
        warn(f"rows stand newest first and were turned round ({table.source})", stacklevel=4)
        forward = _steps(times, lengths)
    if (forward > 0).all():
        return rows, times
    series = np.repeat(np.arange(len(lengths)), lengths)
    frame = pl.DataFrame({"series": series, "time": times, "row": rows})
    again = frame.filter(pl.struct("series", "time").is_duplicated())
    source = table.source
    if again.height:
        number, stamp, _ = again.row(0)
        pair = sorted(again.filter(pl.col("series") == number, pl.col("time") == stamp)["row"].to_list())
        places = f"{source.at(pair[0])} and {source.place(pair[1])}"
        message = f"expected each time once in a series, got {stamp} in column {time!r} twice ({places})"
        raise DataError(message, hint=TWICE)
    backward = (np.diff(times.to_physical().to_numpy()) < 0) & (np.diff(series) == 0)
    place = int(np.flatnonzero(backward)[0]) + 1
    got = f"{times[place]} behind {times[place - 1]} ({source.at(int(rows[place]))})"
    hint = "sort the rows by time"
    if len(lengths) == 1:
        hint += "; if there are several series, name their column (--group)"
    raise DataError(f"expected times that ascend in column {time!r}, got {got}", hint=hint)


def _steps(times: pl.Series, lengths: Array) -> Array:
    """Differences between times that follow each other in one series."""
    inside = np.ones(max(len(times) - 1, 0), dtype=bool)
    inside[np.cumsum(lengths)[:-1] - 1] = False
    return np.diff(times.to_physical().to_numpy())[inside]


def _check_clock(clock: Clock, times: pl.Series, lengths: Array, zoned: bool, table: Table) -> None:
    """Refuse times of another kind, or much closer ones, than those of a known clock."""
    is_number, expected = times.dtype == pl.Float64, f"expected times in steps of {clock.name}"
    if clock.unit != "irregular" and is_number != (clock.unit == "number"):
        got = "numbers" if is_number else "dates"
        raise DataError(f"{expected}, got {got} ({table.source})", hint="name --time")
    steps = _steps(times, lengths)
    middle = float(np.median(steps)) / (1 if is_number else 1e6) if len(steps) else clock.step
    if clock.unit != "irregular" and middle < 0.9 * clock.step:
        got = f"times that lie {middle:g}{'' if is_number else ' seconds'} apart ({table.source})"
        raise DataError(f"{expected}, got {got}", hint="bring the data to that step first, by sums or means")
    if zoned != clock.zoned and not is_number:
        known, got = ("with", "without") if clock.zoned else ("without", "with")
        warn(f"expected times {known} offsets, got times {got} ({table.source})", stacklevel=4)


def _without_gaps(data: Series) -> Series:
    """The same series with a row of nulls for every missing time."""
    missing = np.append(data.clock.missing(data.times), 0)
    missing[data.starts + data.lengths - 1] = 0
    total = int(missing.sum())
    if total == 0:
        return data
    if total > len(missing):
        got = f"{len(missing)} rows with {total} steps missing between them ({data.source})"
        hint = "fill the gaps, or drop the column of times: then steps are counted"
        raise DataError(f"expected steps of {data.clock.name}, got {got}", hint=hint)
    gaps = int(np.count_nonzero(missing))
    were = f"{total} steps missing in {gaps} gap{'s' * (gaps > 1)} were" if total > 1 else "1 step missing was"
    warn(f"{were} filled in as missing (steps of {data.clock.name}, {data.source})", stacklevel=3)
    return data.with_nulls(missing)
