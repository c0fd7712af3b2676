"""Series and their clock: what is read, filled in and left out, and how each kind of bad data is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bilstm.data.series.clock import Clock
from bilstm.data.series.reader import Series, read_series
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close

FILE = "load.csv"
LOAD = "when,load,wind,holiday\n" + "".join(f"2024-01-0{d},{d}.5,{10 * d},{d % 2}\n" for d in range(1, 8))
TWO = "date,shop,sold\n2024-01-01,b,1\n2024-01-01,a,10\n2024-01-02,b,2\n2024-01-02,a,20\n2024-01-03,b,3\n"
FIRST = dt.datetime(2024, 1, 1)


def hourly(n, **columns):
    """A frame of so many hours."""
    when = pl.Series("when", np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "h"))
    return pl.DataFrame({"when": when, **(columns or {"y": np.arange(float(n))})})


def numbers(data):
    """The steps as an array, nulls as NaN."""
    return data.steps.to_numpy()


def test_targets_come_first_and_what_is_known_ahead_last(write):
    data = read_series(write(LOAD), target="load", future=["holiday"])
    assert isinstance(data, Series)
    assert data.steps.columns == ["load", "wind", "holiday"]
    assert set(data.steps.dtypes) == {pl.Float64}
    assert (data.target_columns, data.future, data.ids, data.targets) == (("load",), ("holiday",), None, None)
    assert_close(data.lengths, np.array([7]))
    assert_close(numbers(data)[:2], np.array([[1.5, 10.0, 1.0], [2.5, 20.0, 0.0]]))
    assert data.times.to_list() == [FIRST + dt.timedelta(days=d) for d in range(7)]
    assert data.clock.name == "day"


def test_read_with_reads_the_next_file_alike(write):
    path = write(TWO)
    told = dict(read_series(path, target="sold", group="shop").read_with)
    assert told == {"time": "date", "group": "shop", "target": '["sold"]', "future": "[]"}
    lists = {name: json.loads(told.pop(name)) for name in ("target", "future")}
    again = read_series(path, **told, **lists)
    assert again.fingerprint() == read_series(path, target="sold", group="shop").fingerprint()


def same_files():
    frame = pl.read_csv(LOAD.encode(), try_parse_dates=True)
    return {
        "load.csv": LOAD.encode(),
        "load.tsv": LOAD.replace(",", "\t").encode(),
        "load.csv.gz": gzip.compress(LOAD.encode()),
        "load.jsonl": frame.write_ndjson().encode(),
        "load.parquet": frame,
    }


@pytest.mark.parametrize("name", same_files())
def test_every_kind_of_file_gives_the_same_series(write, tmp_path, name):
    content = same_files()[name]
    if isinstance(content, pl.DataFrame):
        content.write_parquet(tmp_path / name)
    else:
        write(content, name)
    expected = read_series(write(LOAD, "same.csv"), target="load")
    assert read_series(tmp_path / name, target="load").fingerprint() == expected.fingerprint()


def test_frames_of_pandas_are_read_with_their_times_in_a_column_or_as_the_index(write):
    pandas = pytest.importorskip("pandas")
    expected = read_series(write(LOAD), target="load").fingerprint()
    frame = pandas.read_csv(write(LOAD), parse_dates=["when"])
    text = pandas.read_csv(write(LOAD))
    days = text.assign(when=[dt.date.fromisoformat(day) for day in text["when"]])
    for same in (frame, text, days, frame.set_index("when"), frame.set_index("when").to_period("D")):
        assert read_series(same, target="load").fingerprint() == expected
    one = frame.set_index("when")["load"]
    assert read_series(one).target_columns == ("load",)
    assert read_series(one).clock.name == "day"
    zoned = read_series(one.tz_localize("Europe/Berlin"))
    assert zoned.times[0] == dt.datetime(2023, 12, 31, 23)
    assert zoned.clock.zoned


def test_arrays_are_targets_whose_steps_are_counted():
    one, two = read_series(np.arange(5)), read_series(np.ones((4, 2)))
    assert (one.target_columns, two.target_columns) == (("y",), ("y0", "y1"))
    assert_close(one.times, np.arange(5.0))
    assert one.clock == Clock("number")
    assert read_series([1.0, 2.0, 4.0]).steps["y"].to_list() == [1.0, 2.0, 4.0]
    assert read_series(np.ones((4, 2)), target="y1").steps.columns == ["y1", "y0"]
    assert read_series(np.array([1.0, np.nan])).steps["y"].to_list() == [1.0, None]


def test_without_a_column_of_times_steps_are_counted_in_each_series():
    frame = pl.DataFrame({"shop": ["b", "a", "b", "b"], "sold": [1, 2, 3, 4]})
    data = read_series(frame, target="sold", group="shop")
    assert_close(data.times, np.array([0.0, 1.0, 2.0, 0.0]))
    assert "time" not in data.read_with


@pytest.mark.parametrize("name", ["Date", "datetime", "TIME", "timestamp", "ds", "Day", "month", "year", "anything"])
def test_the_column_of_times_is_found(name):
    frame = pl.DataFrame({"load": [1.0, 2.0], name: ["2024-01-01", "2024-01-02"]})
    assert read_series(frame, target="load").read_with["time"] == name


def test_dates_stand_before_columns_that_are_only_called_so():
    frame = hourly(2, y=[1.0, 2.0], month=[1, 1], day=[1, 1])
    assert read_series(frame, target="y").read_with["time"] == "when"
    years = pl.DataFrame({"Year": [1749, 1750], "spots": [1, 2]})
    assert read_series(years, target="spots").times.to_list() == [1749.0, 1750.0]


def test_a_column_of_times_of_day_is_no_column_of_dates():
    frame = pl.DataFrame({"from": [dt.time(1), dt.time(2)], "y": [1.0, 2.0]})
    with pytest.warns(DataWarning, match="'from'"):
        assert "time" not in read_series(frame, target="y").read_with


def test_the_only_column_of_numbers_is_the_target():
    assert read_series(hourly(3)).target_columns == ("y",)


def test_series_stand_in_the_order_of_their_first_rows(write):
    data = read_series(write(TWO), target="sold", group="shop")
    assert data.ids.to_list() == ["b", "a"]
    assert_close(data.lengths, np.array([3, 2]))
    assert data.steps["sold"].to_list() == [1.0, 2.0, 3.0, 10.0, 20.0]


def test_take_keeps_times_beside_their_steps(write):
    data = read_series(write(TWO), target="sold", group="shop")
    taken = data.take([1, 0])
    assert isinstance(taken, Series)
    assert taken.times.dt.day().to_list() == [1, 2, 1, 2, 3]
    assert taken.steps["sold"].to_list() == [10.0, 20.0, 1.0, 2.0, 3.0]
    assert taken.clock == data.clock


def test_new_names_reach_targets_and_what_is_known_ahead(write):
    data = read_series(write(LOAD), target="load", future=["holiday"]).renamed(["a", "b", "c"])
    assert (data.target_columns, data.future) == (("a",), ("c",))


def test_other_times_are_another_fingerprint():
    data = read_series(hourly(3))
    later = replace(data, times=data.times.dt.offset_by("1h"))
    assert later.fingerprint() != data.fingerprint()
    assert replace(data).fingerprint() == data.fingerprint()


def test_a_series_without_a_time_for_every_step_is_refused():
    data = read_series(hourly(3))
    with pytest.raises(DataError, match="expected times for 3 steps, got 2"):
        replace(data, times=data.times[:2])


def test_rows_that_fill_only_what_is_known_ahead_are_counted():
    frame = hourly(5, y=[1, None, 3, None, None], x=[1, 2, 3, None, None], sun=[0, 1, 0, 1, 0])
    data = read_series(frame, target="y", future=["sun"])
    assert_close(data.ahead, np.array([2]))
    assert data.steps["y"].to_list() == [1.0, None, 3.0, None, None]
    assert_close(read_series(frame, target="y").ahead, np.array([0]))
    several = pl.concat([frame.with_columns(g=pl.lit(name)) for name in "ab"]).head(8)
    assert_close(read_series(several, target="y", future=["sun"], group="g").ahead, np.array([2, 0]))


@given(n=st.integers(3, 60), data=st.data())
def test_filling_gaps_keeps_every_row_and_makes_times_even(n, data):
    inner = data.draw(st.sets(st.integers(1, n - 2), min_size=n - 2 - n // 3))
    kept = [0, *sorted(inner), n - 1]
    frame = hourly(n)[kept]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read = read_series(frame, clock=Clock("fixed", step=3600.0))
    assert read.times.to_list() == hourly(n)["when"].to_list()
    assert_close(read.lengths, np.array([n]))
    expected = np.full(n, np.nan)
    expected[kept] = kept
    assert_close(numbers(read)[:, 0], expected)


def test_gaps_are_told_once_and_filled_in_each_series():
    frame = pl.concat([hourly(40).with_columns(g=pl.lit(name)) for name in "ab"])
    frame = frame[[i for i in range(80) if i not in (5, 6, 50)]]
    with pytest.warns(DataWarning, match="3 steps missing in 2 gaps were filled in as missing") as told:
        data = read_series(frame, target="y", group="g")
    assert len(told) == 1
    assert_close(data.lengths, np.array([40, 40]))
    assert data.steps["y"].is_null().arg_true().to_list() == [5, 6, 50]


GAPS = {
    "month ends": ["2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31"],
    "quarters": ["2023-01-01", "2023-04-01", "2023-10-01", "2024-01-01"],
    "years": ["2000-01-01", "2001-01-01", "2003-01-01", "2004-01-01"],
    "numbers": [2000, 2001, 2003, 2004],
}


@pytest.mark.parametrize(
    "case, missing",
    [
        ("month ends", dt.datetime(2024, 3, 31)),
        ("quarters", dt.datetime(2023, 7, 1)),
        ("years", dt.datetime(2002, 1, 1)),
        ("numbers", 2002.0),
    ],
)
def test_a_missing_month_quarter_or_year_is_filled_in(case, missing):
    clock = {"month ends": Clock("month", day=31), "quarters": Clock("month", 3), "years": Clock("year")}.get(case)
    frame = pl.DataFrame({"date": GAPS[case], "y": [1.0, 2.0, 4.0, 5.0]})
    with pytest.warns(DataWarning, match="1 step missing was filled in"):
        data = read_series(frame, clock=clock or Clock("number"))
    assert data.steps["y"].to_list() == [1.0, 2.0, None, 4.0, 5.0]
    assert data.times[2] == missing


def test_holidays_of_business_days_stay_out():
    days = np.delete(np.busday_offset("2024-01-01", np.arange(30), roll="forward"), [4, 11])
    data = read_series(pl.DataFrame({"date": days.astype("M8[us]"), "y": np.arange(28.0)}))
    assert (data.clock.name, data.steps.height) == ("business day", 28)


def test_times_off_the_grid_are_left_as_they_are():
    frame = hourly(30).with_columns(pl.col("when").dt.offset_by(pl.Series(["0s"] * 29 + ["90m"])))
    assert read_series(frame).times.to_list() == frame["when"].to_list()


def test_rows_that_stand_newest_first_are_turned_round():
    frame = pl.concat([hourly(4).with_columns(g=pl.lit(name)) for name in "ab"])
    with pytest.warns(DataWarning, match="newest first"):
        data = read_series(frame.reverse(), target="y", group="g")
    assert data.ids.to_list() == ["b", "a"]
    assert data.steps["y"].to_list() == [0.0, 1.0, 2.0, 3.0] * 2
    assert data.times.to_list() == frame["when"].to_list()


@given(order=st.permutations(range(12)))
def test_series_do_not_depend_on_how_their_rows_alternate(order):
    names = sorted("aaabbbbccccc", key=lambda _: order.pop())
    frame = pl.DataFrame({"g": names}).with_columns(place=pl.int_range(pl.len()).over("g"))
    frame = frame.join(hourly(5, place=np.arange(5)), on="place").with_columns(y=pl.col("place") * 1.0)
    data = read_series(frame.drop("place"), target="y", group="g")
    assert data.ids.to_list() == list(dict.fromkeys(frame["g"].to_list()))
    for name, length, values in zip(data.ids, data.lengths, data.sequences, strict=True):
        assert length == names.count(name)
        assert_close(values[:, 0], np.arange(float(length)))


def test_text_and_empty_columns_are_left_out_with_a_warning():
    frame = hourly(3, y=[1.0, 2.0, 3.0], note=["a", "b", "c"], nothing=[None, None, None], x=[1, 2, None])
    with pytest.warns(DataWarning) as told:
        data = read_series(frame, target="y")
    assert data.steps.columns == ["y", "x"]
    assert [str(warning.message) for warning in told] == [
        "columns that are text are left out: 'note' (X)",
        "columns that hold no values are left out: 'nothing' (X)",
    ]
    assert read_series(frame, target="y", drop=["note", "nothing"]).steps.columns == ["y", "x"]


def test_named_columns_are_read_though_they_hold_no_values():
    frame = hourly(2, y=[1.0, 2.0], a=[None, None], b=[None, None], c=[1.0, 2.0])
    data = read_series(frame, target="y", features=["a"], future=["b"])
    assert data.steps.columns == ["y", "a", "b"]
    assert set(data.steps.dtypes) == {pl.Float64}


def test_truth_values_are_numbers():
    data = read_series(hourly(2, y=[1.0, 2.0], open=[True, False]), target="y", future=["open"])
    assert data.steps["open"].to_list() == [1.0, 0.0]


BAD = {
    "no such target": ({"target": "lod"}, "expected a column 'lod', got none", "did you mean 'load'"),
    "no such time": ({"target": "load", "time": "whem"}, "expected a column 'whem'", "did you mean 'when'"),
    "no target among several": ({}, "expected a target, got 3 columns to choose from: 'load', 'wind'", "--target"),
    "a target for two": ({"target": "load", "future": ["load"]}, "got 'load' for two", ""),
    "a target that is the group": ({"target": "load", "group": "load"}, "got 'load' for two", ""),
    "times of another kind": ({"target": "load", "clock": Clock("number")}, "in steps of step of 1, got dates", ""),
    "times too close": (
        {"target": "load", "clock": Clock("fixed", step=604800.0)},
        "expected times in steps of week, got times that lie 86400 seconds apart",
        "by sums or means",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_call_is_refused(write, case):
    options, message, hint = BAD[case]
    with pytest.raises(DataError, match=message) as error:
        read_series(write(LOAD), **options)
    assert hint in str(error.value)


FILES = {
    "an unsorted row": (LOAD.replace("01-04", "01-09"), r"ascend in column 'when', got 2024-01-05 .*line 6", "sort"),
    "a time twice": (LOAD.replace("01-04", "01-03"), r"2024-01-03 .*'when' twice .*line 4 and line 5", "--group"),
    "a missing time": (LOAD.replace("2024-01-04", ""), r"time in every row of column 'when', got none .*line 5", ""),
    "a time of no kind": (LOAD.replace("2024-01-04", "4th"), r"a time in column 'when', got '4th' .*line 5", "1999"),
    "a word among numbers": (LOAD.replace("4.5", "four"), r"a number in column 'load', got 'four' .*line 5", ""),
    "an infinite value": (LOAD.replace("4.5", "inf"), r"finite number in column 'load', got 'inf' .*line 5", ""),
    "no value of the target": ("date,load\n2024-01-01,\n2024-01-02,\n", "values of target 'load', got none in 2", ""),
    "no rows": ("date,load\n", "expected rows below the header", ""),
    "two columns of times": ("from,to,load\n2024-01-01,2024-01-02,1\n", "one column of times, got 'from', 'to'", ""),
    "too many gaps": (
        "date,load\n" + "".join(f"2024-{m:02}-0{d},1\n" for m in (1, 5, 9) for d in range(1, 9)) + "2025-09-01,2\n",
        "expected steps of day, got 25 rows with .* steps missing",
        "steps are counted",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused_with_its_line(write, case):
    text, message, hint = FILES[case]
    clock = Clock("fixed", step=86400.0) if case == "too many gaps" else None
    with pytest.raises(DataError, match=message) as error:
        read_series(write(text), target="load", clock=clock)
    assert hint in str(error.value)


def test_a_bad_row_of_a_frame_is_named_by_its_number():
    frame = hourly(3, y=[1.0, float("inf"), 2.0])
    with pytest.raises(DataError, match=r"finite number in column 'y', got inf .X, row 1."):
        read_series(frame)
    with pytest.raises(DataError, match=r"expected a number in column 'y', got 'a' .X, row 0."):
        read_series(hourly(1, y=["a"]), target="y")
    with pytest.raises(DataError, match=r"expected a value of 'g' in every row, got none .X, row 1."):
        read_series(hourly(2, y=[1.0, 2.0], g=["a", None]), target="y", group="g")
    with pytest.raises(DataError, match="expected at least one row, got none"):
        read_series(hourly(2).head(0), target="y")


def test_an_hour_that_comes_twice_when_clocks_go_back_is_told_so():
    texts = [f"2024-10-27 0{h}:{m}" for h in (1, 2, 2, 3) for m in ("00", "30")]
    with pytest.raises(DataError, match=r"got 2024-10-27 02:00:00 .* twice .*row 2 and row 4") as error:
        read_series(pl.DataFrame({"time": texts, "y": np.arange(8.0)}))
    assert "clocks go back" in str(error.value)


NO_SERIES = [np.ones((2, 2, 2)), np.float64(1.0), np.array(["a", "b"]), np.array([1j]), [[1, 2], [3]], [object()], None]


@pytest.mark.parametrize("array", NO_SERIES)
def test_an_array_that_is_no_series_is_refused(array):
    with pytest.raises(DataError, match="expected a series of numbers"):
        read_series(array)


def test_a_known_clock_is_kept_and_offsets_that_it_has_not_are_told():
    frame = hourly(3).with_columns(pl.col("when").dt.replace_time_zone("UTC"))
    with pytest.warns(DataWarning, match="expected times without offsets, got times with"):
        data = read_series(frame, clock=Clock("fixed", step=3600.0))
    assert not data.clock.zoned


@given(values=st.lists(st.none() | st.floats(-1e9, 1e9), min_size=2, max_size=20).filter(any))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_written_series_is_read_again(tmp_path, values):
    frame = hourly(len(values), y=pl.Series(values, dtype=pl.Float64))
    frame.write_csv(tmp_path / "series.csv")
    data = read_series(tmp_path / "series.csv", target="y")
    assert data.times.to_list() == frame["when"].to_list()
    assert data.steps["y"].to_list() == values
