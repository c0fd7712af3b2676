"""Numbers, times, shares and long texts as a person reads them. Knows no model, no chart and no page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def listed(names: Iterable[object], most: int = 6) -> str:
    """Names as in a sentence, of 60 characters each at most, the first few of many.

    Example:
        >>> listed("abc"), listed(range(9), 2)
        ('a, b and c', '0, 1 and 7 more')
    """
    known = [shortened(str(name), 60) for name in names]
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most:,} more"
    return " and ".join([", ".join(known[:-1]), known[-1]] if len(known) > 1 else known)


def capitalised(text: str) -> str:
    """A text that begins with a capital, and goes on as it is."""
    return text[:1].upper() + text[1:]


def clipped(text: str, most: int = 18) -> str:
    """A text that is no longer than ``most`` characters, as below an axis; white space is one blank.

    Example:
        >>> clipped("a   very long word indeed", 10)
        'a very lo…'
    """
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def unique(labels: Sequence[str]) -> list[str]:
    """Labels that look the same but are not: the second *the* has an invisible sign more than the first.

    Example:
        >>> len(set(unique(["the", "cat", "the"])))
        3
    """
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        found.append(label + "\u200b" * seen[label])
        seen[label] += 1
    return found


def written_times(times: pl.Series, zoned: bool = False) -> list[Any]:
    """Times as numbers, days or times of days.

    Example:
        >>> import polars as pl
        >>> written_times(pl.Series([2001.0])), written_times(pl.Series(["2001-02-03"]).str.to_datetime())
        ([2001], ['2001-02-03'])
    """
    if times.dtype.is_numeric():
        return [int(time) if float(time).is_integer() else time for time in times]
    stamps = times.dt.replace_time_zone(None) if getattr(times.dtype, "time_zone", None) else times
    if bool((stamps.dt.truncate("1d") == stamps).all()) and not zoned:
        return stamps.dt.to_string("%Y-%m-%d").to_list()
    return stamps.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + ("Z" if zoned else "")).to_list()


def written_time(value: Any) -> str:
    """One time: a number, a day, or a time of a day to the minute.

    Example:
        >>> written_time(2008.0)
        '2008'
    """
    if not hasattr(value, "strftime"):
        return number(float(value), 6).replace(",", "")
    is_day = (value.hour, value.minute, value.second) == (0, 0, 0)
    return str(value.strftime("%Y-%m-%d" if is_day else "%Y-%m-%d %H:%M"))


def shortened(text: str, longest: int = 400) -> str:
    """A text of at most so many characters; what is cut is told.

    Example:
        >>> shortened("a long text", 6)
        'a long … (5 more characters)'
    """
    return text if len(text) <= longest else f"{text[:longest].rstrip()} … ({len(text) - longest:,} more characters)"


def number(value: Any, digits: int = 4) -> str:
    """A number as a person writes it: whole ones with commas, others with so many digits; a text stays what it is.

    Example:
        >>> number(12345), number(0.000123456), number(12345.678), number(-0.5), number(None)
        ('12,345', '0.0001235', '12,346', '−0.5', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:,.0f}" if 10**digits <= size < 1e15 else f"{value:.{digits}g}"
    return text.replace("-", "−") if "e" not in text else text


def fixed(value: float, digits: int = 4) -> str:
    """A number with just so many digits, zeros at the end too, so that numbers below each other have as many.

    Example:
        >>> fixed(0.5), fixed(12345.6), fixed(-1.25, 3), fixed(0.0)
        ('0.5000', '12346', '−1.25', '0.000')
    """
    text = f"{value:#.{digits}g}"
    if "e+" in text:
        text = f"{value:.0f}" if abs(value) < 1e12 else text
    return text.removesuffix(".").replace("-", "−") if "e" not in text else text


def as_option(value: Any) -> str:
    """A parameter as the command line takes it, from which the very same value is read.

    Example:
        >>> as_option(None), as_option(1 / 300), as_option(True), as_option({"yes": 2.0})
        ('none', '0.0033333333333333335', 'true', 'yes=2')
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{key}={as_option(float(weight))}" for key, weight in value.items())
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.1234), percent(1.0), percent(0.99996)
        ('12.3 %', '100 %', '99.996 %')
    """
    if value != value:
        return "–"
    text = f"{100 * value:.1f}"
    if (text in ("100.0", "-100.0") and abs(value) != 1) or (text in ("0.0", "-0.0") and value != 0):
        text = f"{100 * value:.3f}"
    return text.replace("-", "−").removesuffix(".0") + " %"


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row"), counted(3, "class"), counted(2, "series")
        ('1 row', '1,200 rows', '3 classes', '2 series')
    """
    ending = "" if count == 1 or noun == "series" else "es" if noun.endswith(("s", "x")) else "s"
    return f"{count:,} {noun}{ending}"
