"""When the steps of series are: how far they lie apart, which times come next, what of the calendar matters."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.series.timestamps import TIME
from bilstm.errors import DataError

UNITS = ("number", "fixed", "business day", "month", "year", "irregular")
MOST = 0.9  # the share of differences that must be alike
NEAR = 0.02  # by how much of a step numbers may differ from it: years such as 1749.042 are rounded
MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 604800
MICROSECONDS = 1_000_000
WORDS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))
# of steps shorter than the first number, the seconds after which things come again; of weeks nothing does
CYCLES = ((10, MINUTE), (5 * MINUTE, HOUR), (DAY, DAY), (DAY + 1, WEEK), (WEEK, 0), (2 * WEEK + 1, 52 * WEEK))
SHORTEST_MONTH = 27  # days between two month starts, less one hour for a change of clocks
NEAR_MONTH_END = 4  # the last or first working day of a month lies among so many days
LONGEST, MOST_MONTHS = 1e11, 36_000  # seconds and months (or years) in a step: some 3,000 years
ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Clock:
    """The step of series, found from their times."""

    unit: str  # one of UNITS: of numbers such as years and counters; of seconds that do not change; …
    count: int = 1  # months or years in a step; a quarter is 3 months
    step: float = 1.0  # of numbers their step; else the seconds of one, of months and years the median's
    day: int = 1  # of the month on which steps fall, 31 for its end; the first free business day, 1 for Monday
    zoned: bool = False  # whether the times are UTC, since they came with offsets, or as somebody's clock showed them

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise DataError(f"expected a unit of time out of {', '.join(UNITS)}, got {self.unit!r}")
        longest = np.inf if self.unit == "number" else LONGEST
        if not 1 <= self.count <= MOST_MONTHS or not 0 < self.step < longest or not 1 <= self.day <= 31:
            raise DataError(f"expected a step that goes forward, got {self}")

    @classmethod
    def of(cls, times: Sequence[pl.Series], zoned: bool = False) -> Clock:
        """Find the step of series from the times of each, ascending, Datetime or Float64.

        It is months where days of the month are stable (or all among the last or first four), business days where two
        days of every week are absent, fixed where nine tenths of the differences are the median, else irregular.

        Example:
            >>> clock = Clock.of([pl.Series(["1999-01-31", "1999-02-28", "1999-03-31"]).str.to_datetime()])
            >>> clock.name, clock.season, clock.after(datetime.datetime(1999, 3, 31), 1).dt.day().to_list()
            ('month', 12, [30])
        """
        numbers = [series.to_physical().to_numpy() for series in times]
        steps = np.concatenate([np.diff(values) for values in numbers]) if numbers else np.zeros(0)
        is_number = bool(len(times)) and not isinstance(times[0].dtype, pl.Datetime)
        steps = steps[steps > 0]
        if len(steps) == 0:
            return cls("number") if is_number else cls("irregular", step=float(DAY), zoned=zoned)
        middle = np.percentile(steps, 50, method="lower")
        if is_number:
            return _of_numbers(steps, float(middle))
        seconds = float(middle) / MICROSECONDS
        stamps = [values.view("M8[us]") for values in numbers]
        clock = cls("fixed" if (steps == middle).mean() >= MOST else "irregular", step=seconds, zoned=zoned)
        if seconds >= SHORTEST_MONTH * DAY:
            return _of_months(stamps, seconds, zoned) or clock
        return (_of_business_days(stamps, zoned) if abs(seconds - DAY) <= HOUR else None) or clock

    @property
    def months(self) -> int:
        """Months in a step; 0 where it is not made of them."""
        return {"month": self.count, "year": 12 * self.count}.get(self.unit, 0)

    @property
    def name(self) -> str:
        """The step in words: ``hour``, ``15 minutes``, ``business day``, ``quarter``, ``step of 1``."""
        named = {"number": f"step of {self.step:g}", "irregular": "irregular step", "business day": self.unit}
        if self.unit in named:
            return named[self.unit]
        count, word = (1.0, "quarter") if self.months == 3 else (float(self.count), self.unit)
        if not self.months:
            size, word = next(((size, word) for size, word in WORDS if self.step % size == 0), (1, "second"))
            count = self.step / size
        return word if count == 1 else f"{count:g} {word}s"

    @property
    def season(self) -> int | None:
        """Steps after which things often come again, such as 24 for hours; None where there is no such number."""
        if self.unit == "business day":
            return 5
        if self.months:
            cycle, step = 12.0, float(self.months)
        elif self.unit == "fixed":
            cycle, step = next((cycle for end, cycle in CYCLES if self.step < end), 0), self.step
        else:
            return None
        return int(cycle / step) if cycle % step == 0 and cycle / step >= 2 else None

    def after(self, last: Any, n: int) -> pl.Series:
        """The next ``n`` times after ``last``, (n,): weekends are skipped, months keep their day or their end."""
        if isinstance(last, datetime.datetime) and last.tzinfo is not None:
            last = last.astimezone(datetime.UTC).replace(tzinfo=None)
        start = float(last) if isinstance(last, (int, float, np.number)) else np.datetime64(last, "us")
        return self.shifted(pl.Series("time", np.full(n, start)), np.arange(1, n + 1))

    def shifted(self, times: pl.Series, steps: Array) -> pl.Series:
        """Each of ``times`` moved on by its number of ``steps``, (S,)."""
        if times.dtype == pl.Float64:
            return pl.Series(times.name, times.to_numpy() + self.step * steps)
        stamps = times.to_physical().to_numpy().view("M8[us]")
        dates = stamps.astype("M8[D]")
        if self.months:
            moved = _on_day(stamps.astype("M8[M]") + self.months * steps, self.day)
        elif self.unit == "business day":
            working = [day not in (self.day - 1, self.day % 7) for day in range(7)]
            moved = np.busday_offset(dates, steps, roll="backward", weekmask=working)
        else:
            moved, dates = stamps + np.round(self.step * MICROSECONDS * steps).astype("m8[us]"), stamps
        return pl.Series(times.name, (moved + (stamps - dates)).astype("M8[us]"), dtype=TIME)

    def missing(self, times: pl.Series) -> Array:
        """Steps that are missing between each time and the next, (S - 1,) int64; 0 where they are not on one grid.

        Of business days none is ever missing: it may be a holiday.
        """
        if self.unit in ("irregular", "business day") or len(times) < 2:
            return np.zeros(max(len(times) - 1, 0), dtype=np.int64)
        values = times.to_physical().to_numpy()
        if self.months:
            between = np.diff(values.view("M8[us]").astype("M8[M]").astype(np.int64)) / self.months
        else:
            between = np.diff(values) / (self.step * (1 if times.dtype == pl.Float64 else MICROSECONDS))
        whole = np.round(between)
        is_on_grid = np.abs(between - whole) <= (NEAR * whole if self.unit == "number" else 0)
        return np.where(is_on_grid & (whole > 1), whole - 1, 0).astype(np.int64)

    def years(self, times: pl.Series) -> float:
        """How long times last from the first to the last, in years; 0 for numbers."""
        if not isinstance(times.dtype, pl.Datetime) or len(times) == 0:
            return 0.0
        return float(np.ptp(times.to_physical().to_numpy())) / MICROSECONDS / (365.25 * DAY)

    def plain(self, times: pl.Series) -> pl.Series:
        """Times as they are best written: whole numbers as such, days without a time of day, UTC as such."""
        if times.dtype == pl.Float64:
            return times.cast(pl.Int64) if bool((times == times.round()).all()) else times
        if self.zoned:
            return times.dt.replace_time_zone("UTC")
        return times.cast(pl.Date) if self.step >= DAY and bool((times == times.dt.truncate("1d")).all()) else times

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Clock:
        return cls(str(data["unit"]), int(data["count"]), float(data["step"]), int(data["day"]), bool(data["zoned"]))


def calendar(times: pl.Series, clock: Clock, span_years: float = 0.0) -> pl.DataFrame:
    """Where in the day, the week and the year times are, as sines and cosines.

    .. math:: \\sin(2\\pi p), \\cos(2\\pi p), \\quad p = \\text{place in the day, week or year} \\in [0, 1)

    The columns, (S, 0 to 6), are ``hour sin`` and ``hour cos`` for steps shorter than a day, ``weekday`` for a day or
    shorter, and ``year`` for steps shorter than a year, if the training data covers two ``span_years`` or more. Numbers
    have none.
    """
    if not isinstance(times.dtype, pl.Datetime) or clock.unit == "number":
        return pl.DataFrame()
    stamps = times.to_physical().to_numpy().view("M8[us]")
    days, years = stamps.astype("M8[D]"), stamps.astype("M8[Y]")
    seconds = np.inf if clock.months else clock.step
    phases = {}
    if seconds < DAY:
        phases["hour"] = (stamps - days) / ONE_DAY
    if seconds <= DAY:
        phases["weekday"] = _weekday(days) / 7
    if span_years >= 2 and clock.months < 12:
        first, last = years.astype("M8[D]"), (years + 1).astype("M8[D]")
        phases["year"] = (days - first) / (last - first)
    waves = (("sin", np.sin), ("cos", np.cos))
    return pl.DataFrame({f"{name} {wave}": f(2 * np.pi * p) for name, p in phases.items() for wave, f in waves})


def _of_numbers(steps: Array, middle: float) -> Clock:
    near = steps[np.abs(steps - middle) <= NEAR * middle]
    if len(near) < MOST * len(steps):
        return Clock("irregular", step=middle)
    return Clock("number", step=middle if (near == middle).all() else float(near.mean()))


def _of_months(stamps: Sequence[Array], seconds: float, zoned: bool) -> Clock | None:
    months = [values.astype("M8[M]") for values in stamps]
    between = np.concatenate([np.diff(values) for values in months]).astype(np.int64)
    count = int(np.percentile(between, 50, method="lower"))
    if (between < 1).any() or (between == count).mean() < MOST:
        return None
    month, dates = np.concatenate(months), np.concatenate(stamps).astype("M8[D]")
    days = (dates - month.astype("M8[D]")).astype(np.int64) + 1
    ends = (_on_day(month, 31) - month.astype("M8[D]")).astype(np.int64) + 1
    day = int(days.max())
    if (days > ends - NEAR_MONTH_END).all() and ((days == ends).all() or (days != np.minimum(day, ends)).any()):
        day = 31
    elif (days <= NEAR_MONTH_END).all() and (days != day).any():
        day = 1
    elif (days != np.minimum(day, ends)).any():
        return None
    unit, count = ("year", count // 12) if count % 12 == 0 else ("month", count)
    return Clock(unit, count, step=seconds, day=day, zoned=zoned)


def _of_business_days(stamps: Sequence[Array], zoned: bool) -> Clock | None:
    dates = [values.astype("M8[D]") for values in stamps]
    between = np.concatenate([np.diff(values) for values in dates]).astype(np.int64)
    present = set(_weekday(np.concatenate(dates)).tolist())
    free = [day for day in (5, 6, 0, 1, 2, 3, 4) if day not in present and (day + 1) % 7 not in present]
    is_over_weekends = np.median(between) == 1 and between.min() == 1 and between.max() >= 3
    return Clock("business day", step=float(DAY), day=free[0] + 1, zoned=zoned) if free and is_over_weekends else None


def _weekday(dates: Array) -> Array:
    """0 for Monday."""
    return (dates.astype("M8[D]").astype(np.int64) + 3) % 7  # the epoch was a Thursday


def _on_day(months: Array, day: int) -> Array:
    """A day in each of months, or their end where they are too short for it."""
    starts = months.astype("M8[D]")
    result: Array = np.minimum(starts + (day - 1), (months + 1).astype("M8[D]") - ONE_DAY)
    return result
