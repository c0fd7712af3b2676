"""Time stamps and their steps: what is understood, what comes next, and how each kind of bad stamp is refused."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.series.clock import Clock, calendar
from bilstm.data.series.timestamps import looks_like_times, read_times
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close

NOON = dt.datetime(1999, 1, 31, 12, 30)


def stamps(*texts):
    return pl.Series("when", texts)


def dates(*texts):
    return pl.Series("when", np.array(texts, dtype="M8[us]"))


def spaced(start, step, n):
    return pl.Series("when", np.datetime64(start, "us") + np.arange(n) * np.timedelta64(step, "s"))


def times_of(column):
    return read_times(column)[0]


def random_times(earliest, smallest):
    """Ascending times that are multiples of so many microseconds."""
    first = dt.datetime(earliest, 1, 1)
    most = int((dt.datetime(2068, 12, 31) - first).total_seconds() * 1e6) // smallest
    numbers = st.lists(st.integers(0, most), min_size=1, max_size=30).map(sorted)
    return numbers.map(lambda many: [first + dt.timedelta(microseconds=number * smallest) for number in many])


MICROSECOND, SECOND, MINUTE, DAY = 1, 10**6, 60 * 10**6, 86400 * 10**6
FORMS = {
    "%Y-%m-%dT%H:%M:%S.%f": MICROSECOND,
    "%Y-%m-%d %H:%M:%S.%f": MICROSECOND,
    "%Y-%m-%d %H:%M:%S": SECOND,
    "%Y-%m-%dT%H:%M:%S": SECOND,
    "%Y-%m-%d %H:%M": MINUTE,
    "%Y-%m-%d": DAY,
    "%Y/%m/%d": DAY,
    "%Y/%m/%d %H:%M:%S": SECOND,
    "%Y%m%d": DAY,
    "%Y%m%d %H:%M": MINUTE,
    "%d.%m.%Y": DAY,
    "%d.%m.%Y %H:%M": MINUTE,
    "%b %d, %Y": DAY,
    "%B %d, %Y": DAY,
    "%d %b %Y": DAY,
    "%d-%b-%Y %H:%M:%S": SECOND,
    "%b %d, %Y %I:%M %p": MINUTE,
}


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_what_a_form_writes_is_read_again(form, data):
    times = data.draw(random_times(1600, FORMS[form]))
    read, zoned = read_times(stamps(*[f"{time:{form}}" for time in times]))
    assert read.dtype == pl.Datetime("us")
    assert read.to_list() == times
    assert not zoned


@given(times=random_times(1970, SECOND), hours=st.integers(-12, 14))
def test_stamps_with_offsets_are_told_in_utc(times, hours):
    zone = dt.timezone(dt.timedelta(hours=hours))
    read, zoned = read_times(stamps(*[time.replace(tzinfo=zone).isoformat() for time in times]))
    assert read.to_list() == [time - dt.timedelta(hours=hours) for time in times]
    assert zoned


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%Y %H:%M"])
@given(times=random_times(1970, DAY))
def test_the_order_of_day_and_month_is_found_where_one_day_is_above_twelve(form, times):
    times = [*times, dt.datetime(2068, 12, 31)]
    assert times_of(stamps(*[f"{time:{form}}" for time in times])).to_list() == times


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y"])
def test_the_order_of_day_and_month_is_the_one_in_which_times_ascend(form):
    times = [dt.datetime(2001, month, day) for month in range(1, 13) for day in (1, 5, 11)]
    assert times_of(stamps(*[f"{time:{form}}" for time in times])).to_list() == times
    assert times_of(stamps(*[f"{time:{form}}" for time in times[::-1]])).to_list() == times[::-1]


def test_days_and_months_that_can_be_either_are_read_month_first_with_a_warning():
    with pytest.warns(DataWarning, match="'1/2/1999' in column 'when' are read month first"):
        read = times_of(stamps("1/2/1999", "3/4/1999"))
    assert read.to_list() == [dt.datetime(1999, 1, 2), dt.datetime(1999, 3, 4)]


def test_days_equal_to_their_months_need_no_warning():
    assert times_of(stamps("1/1/1999", "2/2/1999")).to_list() == [dt.datetime(1999, m, m) for m in (1, 2)]


ONE = {
    "1999-01-31T12:30Z": NOON,
    "1999-01-31 12:30:00 UTC": NOON,
    "1999-01-31 14:30+02": NOON,
    "1999-01-31 14:30:00.000+0200": NOON,
    " 1999-01-31 12:30 ": NOON,
    "1/31/1999 12:30": NOON,
    "31/1/1999 12:30:00": NOON,
    "31.1.1999 12:30": NOON,
    "1/31/99 12:30 PM": NOON,
    "1/31/99 12:30pm": NOON,
    "Jan 31, 1999 12:30": NOON,
    "31 January 1999 12:30": NOON,
    "1999-05": dt.datetime(1999, 5, 1),
    "May 1999": dt.datetime(1999, 5, 1),
    "05/1999": dt.datetime(1999, 5, 1),
    "1999Q3": dt.datetime(1999, 7, 1),
    "1999-Q4": dt.datetime(1999, 10, 1),
    "1749-01-01": dt.datetime(1749, 1, 1),
}


@pytest.mark.parametrize("text", ONE)
def test_one_stamp_is_read(text):
    assert times_of(stamps(text)).to_list() == [ONE[text]]


def test_a_column_may_mix_ways_of_writing():
    texts = ("1999-01-31", "1999-01-31 12:30", "January 31, 1999", "May 2, 1999")
    assert times_of(stamps(*texts)).dt.day().to_list() == [31, 31, 31, 2]


@pytest.mark.parametrize("column", [stamps("1749", "1750.5"), pl.Series("when", [1749.0, 1750.5])])
def test_numbers_stay_numbers(column):
    read, zoned = read_times(column)
    assert_close(read, np.array([1749.0, 1750.5]))
    assert read.dtype == pl.Float64
    assert not zoned


def test_numbers_of_eight_digits_are_dates_where_all_of_them_can_be():
    days = [dt.datetime(1999, 1, 31), dt.datetime(1999, 2, 1)]
    assert times_of(pl.Series([19990131, 19990201])).to_list() == days
    assert_close(times_of(pl.Series([19990131, 19990132])), np.array([19990131.0, 19990132.0]))


def test_dates_of_every_type_become_datetimes():
    day = pl.Series([dt.date(1999, 1, 31)])
    for column in (
        day,
        day.cast(pl.Datetime("ns")),
        day.cast(pl.Datetime("ms")),
        day.cast(pl.String).cast(pl.Categorical),
    ):
        assert times_of(column).to_list() == [dt.datetime(1999, 1, 31)]
    zoned = day.cast(pl.Datetime("us")).dt.replace_time_zone("Europe/Berlin")
    assert read_times(zoned)[0].to_list() == [dt.datetime(1999, 1, 30, 23)]
    assert read_times(zoned)[1]


BAD = {
    "a word": (stamps("1999-01-31", "soon"), "got 'soon' .X, row 1."),
    "no such day": (stamps("1999-02-30"), "got '1999-02-30'"),
    "no such month": (stamps("1/1/1999", "13/13/1999"), "got '13/13/1999' .X, row 1."),
    "two digits first": (stamps("99-01-31"), "got '99-01-31'"),
    "both orders": (stamps("1/31/1999", "31/1/1999"), "expected a time in column 'when'"),
    "a missing one": (stamps("1999-01-31", None), "in every row of column 'when', got none .X, row 1."),
    "an empty one": (stamps("1999-01-31", " "), "got none .X, row 1."),
    "a missing number": (pl.Series("when", [1.0, float("nan")]), "got none .X, row 1."),
    "an infinite number": (pl.Series("when", [1.0, float("inf")]), "expected a finite time"),
    "some with offsets": (stamps("1999-01-31 10:00", "1999-01-31 10:00Z"), "all carry an offset from UTC, or none"),
    "durations": (pl.Series("when", [dt.timedelta(1)]), "got Duration"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_stamp_is_named_with_its_place(case):
    column, message = BAD[case]
    with pytest.raises(DataError, match=message):
        times_of(column)


def test_words_and_numbers_do_not_look_like_times():
    assert looks_like_times(stamps(None, "31.1.1999"))
    for column in (
        stamps("soon"),
        stamps("17"),
        stamps("1.5"),
        stamps("15231015"),
        stamps(None),
        pl.Series([19990131]),
    ):
        assert not looks_like_times(column)


BUSINESS = np.busday_offset("1999-01-01", np.arange(60), roll="forward")
MONTHS = np.arange("1999-01", "2003-01", dtype="M8[M]")
ENDS = (MONTHS + 1).astype("M8[D]") - 1
STEPS = {  # times: name, season
    "seconds": (spaced(NOON, 1, 9), "second", 60),
    "tenths of a minute": (spaced(NOON, 10, 9), "10 seconds", 360),
    "minutes": (spaced(NOON, 60, 9), "minute", 60),
    "five minutes": (spaced(NOON, 300, 9), "5 minutes", 288),
    "quarters of an hour": (spaced(NOON, 900, 9), "15 minutes", 96),
    "half hours": (spaced(NOON, 1800, 9), "30 minutes", 48),
    "hours": (spaced(NOON, 3600, 9), "hour", 24),
    "six hours": (spaced(NOON, 21600, 9), "6 hours", 4),
    "days": (spaced(NOON, 86400, 20), "day", 7),
    "weeks": (spaced(NOON, 604800, 20), "week", 52),
    "ten days": (spaced(NOON, 864000, 20), "10 days", None),
    "thirty days": (spaced(NOON, 2592000, 20), "30 days", None),
    "business days": (dates(*BUSINESS), "business day", 5),
    "business days without holidays": (dates(*np.delete(BUSINESS, [3, 17, 18, 40])), "business day", 5),
    "sunday to thursday": (dates(*(BUSINESS - 1)), "business day", 5),
    "month starts": (dates(*MONTHS), "month", 12),
    "month ends": (dates(*ENDS), "month", 12),
    "last working days": (dates(*np.busday_offset(ENDS, 0, roll="backward")), "month", 12),
    "first working days": (dates(*np.busday_offset(MONTHS.astype("M8[D]"), 0, roll="forward")), "month", 12),
    "the 30th": (dates(*np.minimum(MONTHS.astype("M8[D]") + 29, ENDS)), "month", 12),
    "quarters": (dates(*MONTHS[::3]), "quarter", 4),
    "ends of quarters": (dates(*ENDS[2::3]), "quarter", 4),
    "half years": (dates(*MONTHS[::6]), "6 months", 2),
    "years": (dates(*MONTHS[::12]), "year", None),
    "years as numbers": (pl.Series([1749.0, 1750.0, 1751.0]), "step of 1", None),
    "rounded numbers": (pl.Series((1749 + np.arange(50) / 12).round(3)), "step of 0.0833265", None),
    "no rule": (spaced(NOON, 1, 40)[[0, 1, 3, 7, 8, 20, 21, 25]], "irregular step", None),
    "numbers without rule": (pl.Series([0.0, 1.0, 3.0, 8.0]), "irregular step", None),
    "one time": (spaced(NOON, 1, 1), "irregular step", None),
    "one number": (pl.Series([1.0]), "step of 1", None),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_step_has_its_name_and_season(case):
    times, name, season = STEPS[case]
    clock = Clock.of([times])
    assert (clock.name, clock.season) == (name, season)
    assert Clock.from_json(json.loads(json.dumps(clock.to_json()))) == clock


EXACT = [
    case for case in STEPS if case not in ("no rule", "numbers without rule", "rounded numbers") and "one " not in case
]
EXACT = [case for case in EXACT if "working" not in case and "holidays" not in case]


@pytest.mark.parametrize("case", EXACT)
def test_what_comes_after_a_part_of_times_is_the_rest_of_them(case):
    times = STEPS[case][0]
    clock = Clock.of([times])
    for split in range(1, len(times)):
        after = clock.after(times[split - 1], len(times) - split)
        assert after.dtype == times.dtype
        assert after.to_list() == times[split:].to_list()


@given(start=st.dates(dt.date(1990, 1, 1), dt.date(2050, 1, 1)), n=st.integers(0, 300), hour=st.integers(0, 23))
def test_business_days_are_those_of_numpy(start, n, hour):
    after = Clock("business day", step=86400.0, day=6).after(dt.datetime(start.year, start.month, start.day, hour), n)
    expected = np.busday_offset(np.datetime64(start), np.arange(1, n + 1), roll="backward") + np.timedelta64(hour, "h")
    assert_close(after.to_numpy(), expected.astype("M8[us]"))


@pytest.fixture(scope="module")
def pandas():
    return pytest.importorskip("pandas")


@pytest.mark.parametrize("day,rule", [(1, "MS"), (31, "ME")])
@given(year=st.integers(1700, 2200), month=st.integers(1, 12), n=st.integers(1, 60))
def test_months_are_those_of_pandas(pandas, day, rule, year, month, n):
    index = pandas.date_range(f"{year}-{month:02}-01", periods=n + 1, freq=rule, unit="us")
    after = Clock("month", day=day).after(index[0].to_pydatetime(), n)
    assert after.to_list() == [time.to_pydatetime() for time in index[1:]]


@pytest.mark.parametrize("case", ["hours", "business days", "ends of quarters", "years as numbers"])
def test_several_series_have_one_clock(case):
    times = STEPS[case][0]
    assert Clock.of([times, times, times[:1]]) == Clock.of([times])


def test_nine_tenths_of_equal_steps_are_a_fixed_step():
    times = spaced(NOON, 60, 100)
    assert Clock.of([times[[i for i in range(100) if i not in (20, 50, 80)]]]).name == "minute"
    assert Clock.of([times[[i for i in range(100) if i % 3]]]).name == "irregular step"


def test_an_irregular_clock_goes_on_by_its_median_step():
    clock = Clock.of([STEPS["no rule"][0]])
    assert clock.after(NOON, 2).to_list() == [NOON + dt.timedelta(seconds=k * clock.step) for k in (1, 2)]


def test_last_may_carry_a_zone():
    last = NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert Clock("fixed", step=3600.0).after(last, 1).to_list() == [NOON]


MISSING = {"hours": spaced(NOON, 3600, 40), "month ends": dates(*ENDS), "years as numbers": pl.Series(np.arange(40.0))}


@pytest.mark.parametrize("case", MISSING)
@given(data=st.data())
def test_missing_steps_are_counted(case, data):
    times = MISSING[case]
    kept = sorted(data.draw(st.sets(st.integers(0, 39), min_size=2)))
    clock = Clock.of([times])
    assert_close(clock.missing(times[kept]), np.diff(kept) - 1)


def test_nothing_is_missing_off_the_grid_or_between_business_days():
    jitter = dates("2024-01-01T00:00:00", "2024-01-01T03:00:05", "2024-01-01T05:00:05")
    assert_close(Clock("fixed", step=3600.0).missing(jitter), np.array([0, 1]))
    assert_close(Clock.of([dates(*BUSINESS)]).missing(dates(*BUSINESS[::7])), np.zeros(8, dtype=np.int64))


def test_the_calendar_has_what_matters_at_a_step():
    times = spaced(dt.datetime(2024, 1, 1, 6), 86400, 3)  # a Monday
    every = {
        "hours": ["hour", "weekday", "year"],
        "days": ["weekday", "year"],
        "business days": ["weekday", "year"],
        "weeks": ["year"],
        "month ends": ["year"],
        "years": [],
        "no rule": ["hour", "weekday", "year"],
    }
    for case, names in every.items():
        clock = Clock.of([STEPS[case][0]])
        expected = [f"{name} {wave}" for name in names for wave in ("sin", "cos")]
        assert calendar(times, clock, 2.0).columns == expected
        assert calendar(times, clock).columns == [name for name in expected if "year" not in name]
        assert set(calendar(times, clock, 2.0).dtypes) <= {pl.Float64}
    assert calendar(pl.Series([1.0]), Clock("number")).columns == []


def test_the_calendar_turns_once_in_a_day_a_week_and_a_year():
    clock = Clock("fixed", step=3600.0)
    hours = calendar(spaced(dt.datetime(2024, 1, 1), 21600, 4), clock)
    assert_close(hours["hour sin"], np.array([0.0, 1.0, 0.0, -1.0]), atol=1e-12)
    assert_close(hours["hour cos"], np.array([1.0, 0.0, -1.0, 0.0]), atol=1e-12)
    days = calendar(spaced(dt.datetime(2024, 1, 1, 9), 86400, 7), clock)
    assert_close(days["weekday sin"], np.sin(2 * np.pi * np.arange(7) / 7), atol=1e-12)
    assert_close(days["weekday cos"], np.cos(2 * np.pi * np.arange(7) / 7), atol=1e-12)
    middle = calendar(dates("2024-01-01", "2024-07-02"), clock, 3.0)
    assert_close(middle["year cos"], np.array([1.0, -1.0]), atol=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"unit": "fortnight"}, {"step": 0.0}, {"step": float("nan")}, {"count": 0}, {"day": 32}]
)
def test_a_clock_that_cannot_be_is_refused(wrong):
    with pytest.raises(DataError):
        Clock.from_json(Clock("month").to_json() | wrong)
