"""What a written time stamp says: ISO dates, days and months in either order, names of months, offsets, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from bilstm.data.source import ARRAYS, check_rows
from bilstm.errors import DataError, warn

TIME = pl.Datetime("us")
HINT = "write times like 1999-01-31 or 1999-01-31 14:30:00; --time names the column that holds them"
EARLIEST_YEAR = 1000  # a year of two digits read as one of four falls below
NUMBERED_DATES = (1500, 2200)  # years between which numbers such as 19990131 are dates
DAY_OR_MONTH = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(\d{4}|\d{2})(?!\d)")
DATES = (
    (re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?!\d)"), "%Y{0}%m{0}%d"),
    (re.compile(r"\d{8}(?!\d)()"), "%Y%m%d"),
    (re.compile(r"[A-Za-z]{3,9}( )\d{1,2}, \d{4}"), "%b %d, %Y"),
    (re.compile(r"[A-Za-z]{3,9}( )\d{1,2} \d{4}"), "%b %d %Y"),
    (re.compile(r"\d{1,2}([- ])[A-Za-z]{3,9}\1\d{4}"), "%d{0}%b{0}%Y"),
    (re.compile(r"\d{1,2}([- ])[A-Za-z]{3,9}\1\d{2}(?!\d)"), "%d{0}%b{0}%y"),
)
MONTHS = (  # a month stands for its first day
    (re.compile(r"\d{4}([-/.])\d{1,2}"), "%Y{0}%m"),
    (re.compile(r"\d{1,2}([-/.])\d{4}"), "%m{0}%Y"),
    (re.compile(r"[A-Za-z]{3,9}([- ])\d{4}"), "%b{0}%Y"),
    (re.compile(r"\d{4}([- ])[A-Za-z]{3,9}"), "%Y{0}%b"),
)
OF_DAY = re.compile(r"([T ])\d{1,2}:\d{2}(:\d{2}(?:\.\d+)?)?( ?[AaPp][Mm])?( ?(?:Z|[+-]\d{2}:?(?:\d{2})?))?")
FIRST = " @01"  # added to a month
QUARTER = r"^(\d{4})[- ]?[Qq]([1-4])$"
QUARTER_MONTHS = {"@1": "01", "@2": "04", "@3": "07", "@4": "10"}


def read_times(column: pl.Series, at: Callable[[int], str] = ARRAYS.at) -> tuple[pl.Series, bool]:
    """Read a column of time stamps, text, dates, dates with times, or numbers.

    Gives the times, as ``Datetime("us")`` or, for numbers such as years and counters, Float64; and whether they carried
    offsets or time zones: then they are UTC, else as written.

    The trap: 1/2/1999 is read month first or day first, whichever reads every stamp and leaves them in order; where
    both do, month first, with a DataWarning.

    Example:
        >>> times, zoned = read_times(pl.Series("day", ["31/1/1999", "1/2/1999"]))
        >>> times.dt.to_string("%Y-%m-%d").to_list(), zoned
        (['1999-01-31', '1999-02-01'], False)
    """
    if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = column.set(column == "", None)
    elif column.dtype.is_float():
        column = column.fill_nan(None)
    hint = "leave the row out, or name another column of times"
    check_rows(column.is_null(), at, f"a time in every row of column {column.name!r}", hint=hint)
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dtype.time_zone is not None
        if zoned:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.cast(TIME), zoned
    if column.dtype == pl.Date:
        return column.cast(TIME), False
    if column.dtype == pl.String:
        return _read_text(column, at)
    if column.dtype.is_numeric():
        return _read_numbers(column.cast(pl.Float64), at), False
    raise DataError(f"expected times in column {column.name!r}, got {column.dtype} ({at(0)})", hint=HINT)


def looks_like_times(column: pl.Series) -> bool:
    """Whether a column of text holds stamps that are no plain numbers, as far as its first value tells."""
    present = column.drop_nulls()
    if column.dtype != pl.String or not len(present):
        return False
    text = _rewritten(present.head(1).str.strip_chars())
    if text.cast(pl.Float64, strict=False)[0] is not None:
        return False  # a volume may look like 19990131
    return any(_read_as(text, order)[1] is None for order in ("month", "day"))


def _read_numbers(values: pl.Series, at: Callable[[int], str]) -> pl.Series:
    check_rows(~values.is_finite(), at, f"a finite time in column {values.name!r}", values)
    if len(values) and values.is_between(1e7, 99991231).all() and (values == values.floor()).all():
        dates = values.cast(pl.Int64).cast(pl.String).str.to_datetime("%Y%m%d", time_unit="us", strict=False)
        if dates.dt.year().is_between(*NUMBERED_DATES).fill_null(False).all():
            return dates
    return values


def _read_text(text: pl.Series, at: Callable[[int], str]) -> tuple[pl.Series, bool]:
    numbers = text.cast(pl.Float64, strict=False)
    if not numbers.null_count():
        return _read_numbers(numbers, at), False
    rewritten = _rewritten(text)
    read = {order: _read_as(rewritten, order) for order in ("month", "day")}
    failed = {order: row for order, (_, row) in read.items() if row is not None}
    if len(failed) == len(read):
        row = max(failed.values())
        raise DataError(f"expected a time in column {text.name!r}, got {text[row]!r} ({at(row)})", hint=HINT)
    orders = [order for order in read if order not in failed]
    times = read[orders[0] if len(orders) == 1 else _order(text, read["month"][0], read["day"][0])][0]
    zoned = rewritten.str.contains(r":\d{2}.*(?:Z|[+-]\d{2}:?(?:\d{2})?)$")
    if zoned.any() and not zoned.all():
        row = int((zoned != zoned[0]).arg_true()[0])
        expected, got = "times that all carry an offset from UTC, or none", f"{text[0]!r} and {text[row]!r} ({at(row)})"
        hint = "give every time its offset, such as +01:00 or Z, or leave all of them out"
        raise DataError(f"expected {expected}, got {got}", hint=hint)
    return times.alias(text.name), bool(zoned.any())


def _rewritten(text: pl.Series) -> pl.Series:
    """Quarters as months, and all names of UTC as Z."""
    if text.str.contains(r"(?i)(?:utc|gmt|z)$").any():
        text = text.str.replace(r"(?i) ?(?:utc|gmt|z)$", "Z")
    if text.str.contains(QUARTER).any():
        text = text.str.replace(QUARTER, "$1-@$2").str.replace_many(QUARTER_MONTHS)
    return text


def _read_as(text: pl.Series, order: str) -> tuple[pl.Series, int | None]:
    """The times of stamps in several forms, each found by the first stamp that is not read yet; the row that fails."""
    times = pl.Series(text.name, [None], dtype=TIME).new_from_index(0, len(text))
    tried: set[str] = set()
    while times.null_count():
        row = int(times.is_null().arg_true()[0])
        form = _form(text[row], order)
        if form is None or form in tried:
            return times, row
        tried.add(form)
        rest = text if row == 0 else text.set(times.is_not_null(), None)
        if FIRST in form:
            rest, form = rest + FIRST, form.replace(FIRST, " @%d")
        parsed = rest.str.to_datetime(form, time_unit="us", strict=False)
        if "%#z" in form:
            parsed = parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        parsed = parsed.set(parsed.dt.year() < EARLIEST_YEAR, None)
        times = parsed if row == 0 else times.fill_null(parsed)
    return times, None


def _form(stamp: str, order: str) -> str | None:
    """The way in which a stamp is written, as strptime's format; None for one that is not known."""
    numbered = DAY_OR_MONTH.match(stamp)
    if numbered:
        mark, year = numbered[1], "%Y" if len(numbered[2]) == 4 else "%y"
        date = mark.join(["%m", "%d", year] if order == "month" else ["%d", "%m", year])
        return _with_time(stamp, numbered.end(), date)
    for pattern, date in DATES:
        match = pattern.match(stamp)
        if match:
            return _with_time(stamp, match.end(), _full_month(date.format(match[1]), match[0]))
    for pattern, date in MONTHS:
        match = pattern.fullmatch(stamp)
        if match:
            return _full_month(date.format(match[1]), stamp) + FIRST
    return None


def _full_month(form: str, date: str) -> str:
    return form.replace("%b", "%B") if re.search("[A-Za-z]{4}", date) else form


def _with_time(stamp: str, end: int, date: str) -> str | None:
    if end == len(stamp):
        return date
    match = OF_DAY.fullmatch(stamp, end)
    if not match:
        return None
    mark, seconds, half, offset = match.groups()
    form = date + mark + ("%I" if half else "%H") + ":%M" + (":%S%.f" if seconds else "")
    form += (" %p" if half.startswith(" ") else "%p") if half else ""
    return form + ((" " if offset.startswith(" ") else "") + "%#z" if offset else "")


def _order(text: pl.Series, month: pl.Series, day: pl.Series) -> str:
    """Whether months or days come first in stamps that can be read both ways: the way in which times are sorted."""
    if (month == day).all():
        return "month"
    disorder = {"month": _disorder(month), "day": _disorder(day)}
    if disorder["month"] != disorder["day"]:
        return min(disorder, key=lambda order: disorder[order])
    stamp = text[int((month != day).arg_true()[0])]
    if "." in stamp:
        return "day"  # dates with points are written day first
    message = f"times such as {stamp!r} in column {text.name!r} are read month first; day first would be as good"
    warn(message, stacklevel=5)
    return "month"


def _disorder(times: pl.Series) -> int:
    """Steps against the direction that most of them have."""
    steps = times.to_physical().diff()
    return min(int((steps < 0).sum()), int((steps > 0).sum()))
