"""Baselines: the formulas written out slowly, no look past an origin, and scikit-learn's ridge on explicit windows."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from bilstm.errors import DataError, ParameterError
from bilstm.metrics.forecast_baselines import LinearBaseline, naive_forecasts
from tests.compare import assert_close

HISTORY, HORIZON = 6, 3


@st.composite
def cases(draw):
    """Some series with gaps, one below the other, and windows in all of them."""
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    lengths = draw(st.lists(st.integers(2, 15), min_size=1, max_size=3))
    values = generator.normal(size=(sum(lengths), draw(st.integers(1, 2)))).cumsum(axis=0)
    values[generator.random(values.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    first = np.cumsum([0, *lengths[:-1]])
    starts = np.repeat(first, lengths)
    ends = np.sort(generator.choice(len(values), size=draw(st.integers(1, len(values))), replace=False))
    return values, ends, starts[ends], draw(st.integers(1, 5)), draw(st.none() | st.integers(1, 6))


def slow(values, end, start, horizon, season):
    """One window and one target: the last value, drift and seasonal naive by their sentences."""
    series = [float(v) for v in values[start : end + 1]]
    known = [v for v in series if not math.isnan(v)]
    filled = []
    for value in series:
        before = filled[-1] if filled else (known or [math.nan])[0]
        filled.append(before if math.isnan(value) else value)
    n = len(filled)
    steps = range(1, horizon + 1)
    result = {
        "last value": [filled[-1] for _ in steps],
        "drift": [filled[-1] + k * ((filled[-1] - filled[0]) / (n - 1) if n > 1 else 0.0) for k in steps],
    }
    if season:
        result["seasonal naive"] = []
        for k in steps:
            place = n - 1 + k
            while place > n - 1:
                place -= season
            result["seasonal naive"].append(filled[place] if place >= 0 else filled[-1])
    return result


@given(cases())
def test_naive_forecasts_are_those_of_the_formulas(case):
    values, ends, starts, horizon, season = case
    found = naive_forecasts(values, ends, starts, horizon, season)
    borders = [*np.unique(starts).tolist(), len(values)]
    for window, (end, start) in enumerate(zip(ends.tolist(), starts.tolist(), strict=True)):
        border = borders[borders.index(start) + 1]
        for target in range(values.shape[1]):
            expected = slow(values[:border, target], end, start, horizon, season)
            assert list(found) == list(expected)
            for name, numbers in expected.items():
                assert_close(found[name][window, :, target], np.array(numbers), atol=1e-12, what=name)


@given(cases(), st.integers(0, 99))
def test_no_naive_forecast_looks_past_its_origin_or_before_its_series(case, which):
    values, ends, starts, horizon, season = case
    end, start = int(ends[which % len(ends)]), int(starts[which % len(ends)])
    changed = values.copy()
    changed[end + 1 :] = np.where(np.isnan(changed[end + 1 :]), 7.0, np.nan)
    changed[:start] = 99.0
    window = np.array([end]), np.array([start])
    before, after = (naive_forecasts(v, *window, horizon, season) for v in (values, changed))
    for name, forecast in before.items():
        assert_close(after[name], forecast, what=name)
        some_past = ~np.isnan(values[start : end + 1]).all(axis=0)  # (K,)
        assert (np.isfinite(forecast) == some_past).all()


def test_a_naive_forecast_refuses_windows_outside_of_the_values():
    values = np.zeros((4, 1))
    with pytest.raises(DataError, match="4 rows"):
        naive_forecasts(values, np.array([4]), np.array([0]), 1, None)
    with pytest.raises(DataError, match="4 rows"):
        naive_forecasts(values, np.array([1]), np.array([2]), 1, None)
    with pytest.raises(ParameterError, match="season"):
        naive_forecasts(values, np.array([1]), np.array([0]), 1, 0)


def windows_of(values, ends, scale):
    """What the ridge sees, one window at a time; a window and target with a gap after the origin is left out."""
    inputs, outputs = [], []
    for end in ends.tolist():
        for target in range(values.shape[1]):
            window = values[end - HISTORY + 1 : end + 1 + HORIZON, target] / scale[target]
            if len(window) < HISTORY + HORIZON or np.isnan(window[HISTORY:]).any():
                continue
            past = window[:HISTORY].copy()
            for place in range(HISTORY):
                if np.isnan(past[place]) and np.isfinite(window[:HISTORY]).any():
                    earlier = past[:place][np.isfinite(past[:place])]
                    past[place] = earlier[-1] if len(earlier) else window[:HISTORY][np.isfinite(window[:HISTORY])][0]
            if np.isfinite(past).all():
                inputs.append(past - past[-1])
                outputs.append(window[HISTORY:] - past[-1])
    return np.array(inputs), np.array(outputs)


def wave(seed, rows=300, gaps=0.0):
    """Two targets of different size that a linear map can forecast, partly."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(rows, 2)) * [0.3, 30.0]
    values = np.sin(np.arange(rows)[:, None] / [3.0, 5.0]) * [1.0, 100.0] + noise + [5.0, -700.0]
    values[generator.random(values.shape) < gaps] = np.nan
    return values


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_the_linear_baseline_is_scikit_learns_ridge_on_explicit_windows(gaps):
    values, scale = wave(1, gaps=gaps), np.array([0.8, 75.0])
    ends, later = np.arange(HISTORY - 1, 200), np.arange(210, 300)
    model = LinearBaseline.fit(values, ends, HISTORY, HORIZON, validation_ends=later, scale=scale)
    assert 0 < model.penalty < np.inf
    theirs = Ridge(alpha=model.penalty).fit(*windows_of(values, ends, scale))
    assert_close(model.weights[:-1].T, theirs.coef_, atol=1e-8)
    assert_close(model.weights[-1], theirs.intercept_, atol=1e-8)


def test_the_penalty_is_the_one_of_the_grid_that_is_best_on_the_validation_windows():
    values, scale = wave(2), np.array([0.8, 75.0])
    ends, later = np.arange(HISTORY - 1, 60), np.arange(210, 290)
    model = LinearBaseline.fit(values, ends, HISTORY, HORIZON, validation_ends=later, scale=scale)
    x, y = windows_of(values, later, scale)

    def error(penalty):
        return float(np.mean((Ridge(alpha=penalty).fit(*windows_of(values, ends, scale)).predict(x) - y) ** 2))

    assert error(model.penalty) <= min(error(model.penalty * 10**0.5), error(model.penalty / 10**0.5))
    assert error(model.penalty) < float(np.mean(y**2))


@pytest.mark.parametrize("validation", [None, np.arange(150, 190)])
def test_what_cannot_be_forecast_is_left_at_the_last_value(validation):
    generator = np.random.default_rng(3)
    values = 100 + generator.choice([-1.0, 1.0], size=(200, 1)).cumsum(axis=0)
    fits = [
        LinearBaseline.fit(values, np.arange(HISTORY - 1, 15 + i), HISTORY, HORIZON, validation_ends=validation)
        for i in range(20)
    ]
    assert sum(np.isinf(model.penalty) for model in fits) >= 5
    for model in fits:
        if np.isinf(model.penalty):
            forecast = model.predict(values, np.array([50, 60]))
            assert_close(forecast, np.repeat(values[[50, 60]][:, None], HORIZON, axis=1))


def test_without_validation_windows_the_map_is_fitted_to_all_windows():
    values, scale = wave(4), np.array([1.0, 100.0])
    ends = np.arange(HISTORY - 1, 290)
    model = LinearBaseline.fit(values, ends[::-1], HISTORY, HORIZON, scale=scale)
    theirs = Ridge(alpha=model.penalty).fit(*windows_of(values, ends, scale))
    assert_close(model.weights[:-1].T, theirs.coef_, atol=1e-8)


def test_forecasts_are_in_the_units_of_the_values_and_do_not_depend_on_them():
    values = wave(5)
    ends = np.arange(HISTORY - 1, 250)
    one = LinearBaseline.fit(values, ends, HISTORY, HORIZON)
    forecast = one.predict(values, np.array([270, 299]))
    assert forecast.shape == (2, HORIZON, 2)
    other = LinearBaseline.fit(1000 * values + 3, ends, HISTORY, HORIZON)
    assert_close(other.predict(1000 * values + 3, np.array([270, 299])), 1000 * forecast + 3, rtol=1e-7)
    later = np.arange(250, 297)
    actual = values[later[:, None] + np.arange(1, HORIZON + 1)]
    assert (
        np.abs(one.predict(values, later) - actual)[..., 1].mean()
        < np.abs(values[later][:, None] - actual)[..., 1].mean()
    )


def test_a_forecast_reads_its_window_and_nothing_else():
    values = wave(6, gaps=0.1)
    model = LinearBaseline.fit(values, np.arange(HISTORY - 1, 250), HISTORY, HORIZON)
    changed = values.copy()
    changed[280:], changed[: 280 - HISTORY] = np.nan, 1e6
    assert_close(model.predict(changed, np.array([279])), model.predict(values, np.array([279])))


def test_a_window_without_a_known_value_takes_the_last_known_before_it():
    values = wave(7)
    model = LinearBaseline.fit(values, np.arange(HISTORY - 1, 250), HISTORY, HORIZON)
    values[260:280] = np.nan
    expected = values[259][None] + model.weights[-1][:, None] * model.scale
    assert_close(model.predict(values, np.array([275]))[0], expected, rtol=1e-12)


def test_where_nothing_can_be_fitted_the_map_is_the_last_value():
    values = np.arange(12.0)[:, None]
    for ends in (np.array([], dtype=np.int64), np.array([11]), np.array([7])):
        model = LinearBaseline.fit(values, ends, HISTORY, HORIZON)
        assert model.penalty == np.inf
        assert_close(model.predict(values, np.array([10])), np.full((1, HORIZON, 1), 10.0))
    constant = LinearBaseline.fit(np.full((99, 1), 3.0), np.arange(10, 90), HISTORY, HORIZON)
    assert_close(constant.predict(np.full((99, 1), 3.0), np.array([98])), np.full((1, HORIZON, 1), 3.0))


def test_a_window_outside_of_the_values_is_refused():
    with pytest.raises(DataError, match="windows of 6 rows within 20 rows, got ends from 4 to 4"):
        LinearBaseline.fit(np.zeros((20, 1)), np.array([4]), HISTORY, HORIZON)
    with pytest.raises(ParameterError, match="history"):
        LinearBaseline.fit(np.zeros((20, 1)), np.array([4]), 0, HORIZON)


def test_memory_does_not_grow_with_the_number_of_windows():
    values = np.random.default_rng(8).normal(size=(200_000, 1))
    peaks = []
    for count in (50_000, 199_000):
        tracemalloc.start()
        LinearBaseline.fit(values, np.arange(47, count), 48, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 149_000 * 50 * 8 / 4  # a quarter of what the windows more would take
