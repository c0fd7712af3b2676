"""Windows are those of a slow loop, stay in their series, and know what is before and behind a time."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import read_series
from bilstm.data.series.windows import cut, windows_at
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close
from tests.series import days, read_shops, shops
from tests.strategies import FUZZ


@st.composite
def tables(draw):
    """Series of any lengths, with gaps, that may end in steps of which only what is known ahead is known."""
    frames = []
    for number in range(draw(st.integers(1, 4))):
        length, behind = draw(st.integers(1, 14)), draw(st.integers(0, 4))
        known = draw(st.lists(st.booleans(), min_size=length, max_size=length))
        known[draw(st.integers(0, length - 1))] = True  # a target without any value is refused
        y = [100.0 * number + t if here else None for t, here in enumerate(known)] + [None] * behind
        columns = {"shop": [f"s{number}"] * len(y), "day": days(len(y)), "y": pl.Series(y, dtype=pl.Float64)}
        frames.append(pl.DataFrame(columns | {"ahead": np.arange(float(len(y)))}))
    return pl.concat(frames), draw(st.integers(1, 6)), draw(st.integers(1, 4))


def slow_windows(frame, history, horizon, *, at_end):
    """(series, times of the window, times to come, values to come) of every window, one after the other."""
    found = []
    for (name,), rows in frame.group_by("shop", maintain_order=True):
        y = rows["y"].to_list()
        steps = max((t + 1 for t, value in enumerate(y) if value is not None), default=0)
        y += [None] * (steps + horizon)
        dates = days(steps + horizon).to_list()
        lasts = [steps - 1] if at_end else range(history - 1, steps - horizon)
        for last in lasts:
            if last - history + 1 >= 0:
                to_come = slice(last + 1, last + 1 + horizon)
                found.append((name, dates[last - history + 1 : last + 1], dates[to_come], y[to_come]))
    return found


@FUZZ
@given(tables(), st.booleans())
def test_windows_are_those_of_a_slow_loop(case, at_end):
    frame, history, horizon = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        series = read_series(frame, target="y", group="shop", future=["ahead"])
        expected = slow_windows(frame, history, horizon, at_end=at_end)
        if not expected:
            with pytest.raises(DataError, match="expected a series of at least"):
                cut(series, history, horizon, at_end=at_end)
            return
        windows = cut(series, history, horizon, at_end=at_end)
    assert len(windows) == len(expected)
    times = windows.series.times
    for number, (name, inside, to_come, values) in enumerate(expected):
        first, last = int(windows.starts[number]), int(windows.ends[number])
        assert windows.names[number] == name
        assert times[first : last + 1].to_list() == inside
        assert times.gather(windows.rows_behind[number]).to_list() == to_come
        assert_close(windows.following[number, :, 0], np.array(values, dtype=float))
    covered = np.zeros(len(times), dtype=bool)
    for first, last in zip(windows.starts, windows.ends, strict=True):
        covered[first : last + horizon + 1] = True
    assert_close(windows.covered, covered)


@FUZZ
@given(tables(), st.integers(0, 18), st.integers(0, 18))
def test_before_after_and_between_look_at_every_step_that_is_forecast(case, start, stop):
    frame, history, horizon = case
    start, stop = (days(19)[step] for step in (start, stop))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        series = read_series(frame, target="y", group="shop", future=["ahead"])
        try:
            windows = cut(series, history, horizon)
        except DataError:
            return
    times = [windows.series.times.gather(rows).to_list() for rows in windows.rows_behind]
    assert_close(windows.before(start), np.array([all(t < start for t in row) for row in times]))
    assert_close(windows.after(start), np.array([all(t > start for t in row) for row in times]))
    assert_close(windows.between(start), np.array([all(t >= start for t in row) for row in times]))
    assert_close(windows.between(start, stop), np.array([all(start <= t < stop for t in row) for row in times]))


def test_a_part_of_windows_has_its_own_places_and_names():
    windows = cut(read_shops(shops((9, 12))), 4, 2)
    part = windows.take(np.arange(len(windows)) % 2 == 1)
    assert_close(part.starts, windows.starts[1::2])
    assert_close(part.following, windows.following[1::2])
    assert part.names.to_list() == windows.names.to_list()[1::2]
    assert part.fingerprint() != windows.fingerprint()
    assert part.fingerprint() == windows.take(np.arange(1, len(windows), 2)).fingerprint()
    assert windows_at(windows.series, part.ends, 4, 2).fingerprint() == part.fingerprint()


def test_series_that_are_too_short_are_counted_and_left_out():
    with pytest.warns(DataWarning, match="1 of 3 series have fewer than 8 steps and are left out"):
        windows = cut(read_shops(shops((9, 5, 12))), 6, 2)
    assert windows.names.unique(maintain_order=True).to_list() == ["s0", "s2"]
    with pytest.raises(DataError, match=r"at least 22 steps \(history 20 \+ horizon 2\), got 12"):
        cut(read_shops(shops((9, 5, 12))), 20, 2)


def test_what_is_known_ahead_stands_behind_the_last_window():
    frame = pl.DataFrame({"day": days(8), "y": [1.0, 2.0, 3.0, 4.0, 5.0, None, None, None], "ahead": np.arange(8.0)})
    windows = cut(read_series(frame, target="y", future=["ahead"]), 3, 4, at_end=True)
    assert windows.ends.tolist() == [4]
    assert windows.series.steps["ahead"].gather(windows.rows_behind[0]).to_list() == [5.0, 6.0, 7.0, None]
    assert windows.series.times.gather(windows.rows_behind[0]).to_list() == days(9)[5:].to_list()


def test_windows_are_sequences_of_the_series_steps():
    windows = cut(read_series(np.arange(6.0)), 3, 1)
    assert [sequence[:, 0].tolist() for sequence in windows.sequences] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert windows.renamed(["load"]).target_names == ["load"]
    with pytest.raises(DataError, match="within 3 steps"):
        Dataset(pl.DataFrame({"x": [1.0, 2.0, 3.0]}), np.array([2]), first_rows=np.array([2]))
