"""Figures of forecasts by their formulas, false alarms by simulation, sentences by the numbers they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from bilstm.errors import DataError
from bilstm.metrics.figures import figures_of, totals
from bilstm.metrics.forecast_comparison import Comparison, Lag, compared, lag_of
from bilstm.metrics.forecasts import (
    coverage_figures,
    forecast_metrics,
    forecast_parts,
    forecast_table,
    lag_sentence,
    mase_scale,
    verdict,
)
from tests.compare import assert_close


@st.composite
def cases(draw, gaps=(0.0, 0.3)):
    """Actual values with gaps, two forecasts, the last values and a scale."""
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    windows, steps, targets = draw(st.integers(2, 30)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    actual = generator.normal(size=(windows, steps, targets)).round(1) * 10 ** np.arange(targets)
    one, other = (actual + generator.normal(size=actual.shape) for _ in range(2))
    last = generator.normal(size=(windows, targets)).round(1)
    actual[generator.random(actual.shape) < draw(st.sampled_from(gaps))] = np.nan
    return actual, one, other, last, generator.uniform(0.5, 2.0, size=targets)


@given(cases())
def test_the_figures_are_means_over_targets_of_scikit_learns(case):
    actual, one, other, last, scale = case
    found = forecast_metrics(actual, one, {"other": other}, scale, last=last)
    for prefix, forecast in {"": one, "other ": other}.items():
        columns = []
        for target in range(actual.shape[2]):
            known = ~np.isnan(actual[..., target])
            if known.any():
                pair = actual[..., target][known], forecast[..., target][known]
                mse, mae = sklearn_metrics.mean_squared_error(*pair), sklearn_metrics.mean_absolute_error(*pair)
                columns.append([mse, mae, math.sqrt(mse), mae / scale[target]])
        expected = np.mean(columns, axis=0) if columns else np.full(4, np.nan)
        figures = np.array([found[prefix + name] for name in ("mse", "mae", "rmse", "mase")])
        assert_close(figures, expected, rtol=1e-10)
    assert found["n"] == int((~np.isnan(actual)).any(axis=(1, 2)).sum())


@given(cases())
def test_what_stands_at_unknown_places_never_matters(case):
    actual, one, other, last, scale = case
    rubbish = np.where(np.isnan(actual), 1e9, one)
    before = forecast_metrics(actual, one, {"other": other}, scale, last=last)
    after = forecast_metrics(actual, rubbish, {"other": other}, scale, last=last)
    for name, value in before.items():
        assert_close(after[name], value, what=name)
    here, there = (compared(actual, forecast, other, actual.shape[1]) for forecast in (one, rubbish))
    assert_close(np.array(there), np.array(here))


def test_a_missing_forecast_of_a_known_value_is_not_left_out():
    actual = np.ones((5, 1, 1))
    forecast = actual.copy()
    forecast[2] = np.nan
    found = forecast_metrics(actual, forecast, {}, np.ones(1), last=np.zeros((5, 1)))
    assert math.isnan(found["mae"])
    assert math.isnan(found["direction"])
    assert compared(actual, forecast, actual, 1).p_value == 1.0


def test_mase_of_the_naive_forecast_in_training_is_one():
    values = np.random.default_rng(0).normal(size=(50, 2)).cumsum(axis=0)
    values[7, 0] = np.nan
    for season in (1, 4):
        actual, naive = values[season:][:, None], values[:-season][:, None]
        actual = np.where(np.isnan(naive), np.nan, actual)
        scale = mase_scale(values, np.array([50]), season)
        found = forecast_metrics(actual, np.nan_to_num(naive), {}, scale, last=np.zeros((50 - season, 2)))
        assert_close(found["mase"], 1.0, rtol=1e-12)


def test_the_scale_of_mase_does_not_cross_series():
    values = np.array([[0.0], [1.0], [100.0], [103.0], [np.nan], [110.0]])
    assert_close(mase_scale(values, np.array([2, 4]), None), np.array([2.0]))
    assert_close(mase_scale(values, np.array([2, 4]), 2), np.array([7.0]))
    assert_close(mase_scale(values, np.array([2, 4]), 9), np.array([np.nan]))


def test_a_target_that_was_constant_in_training_is_left_out_of_mase_alone():
    actual = np.zeros((3, 1, 2))
    found = forecast_metrics(actual, actual + np.array([1.0, 5.0]), {}, np.array([2.0, 0.0]), last=np.ones((3, 2)))
    assert (found["mae"], found["mase"]) == (3.0, 0.5)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 99))
def test_the_interval_of_directions_is_wilsons(windows, steps, seed):
    generator = np.random.default_rng(seed)
    actual, forecast = generator.normal(size=(2, windows * steps, steps, 1))
    found = forecast_metrics(actual, forecast, {}, np.ones(1), last=np.zeros((windows * steps, 1)))
    right = np.sign(actual[..., 0]) == np.sign(forecast[..., 0])
    assert_close(found["direction"], float(right[:, -1].mean()))
    assert_close(found["direction_first"], float(right[:, 0].mean()))
    interval = stats.binomtest(int(right[:, 0].sum()), len(right)).proportion_ci(method="wilson")
    first = np.array([found["direction_first_low"], found["direction_first_high"]])
    assert_close(first, np.array([interval.low, interval.high]), atol=1e-9)
    z = stats.norm.ppf(0.975)
    for end in (found["direction_low"], found["direction_high"]):  # where the score test of that share just fails
        distance = (found["direction"] - end) ** 2
        assert_close(distance, z**2 * end * (1 - end) / windows, atol=1e-9)


def test_unchanged_values_have_no_direction_and_a_forecast_of_no_change_is_not_right():
    actual = np.array([1.0, 2.0, 0.0, np.nan]).reshape(4, 1, 1)
    forecast = np.array([5.0, 1.0, 0.5, 9.0]).reshape(4, 1, 1)
    found = forecast_metrics(actual, forecast, {}, np.ones(1), last=np.ones((4, 1)))
    assert found["direction"] == 0.5
    same = forecast_metrics(np.ones((4, 1, 1)), forecast, {}, np.ones(1), last=np.ones((4, 1)))
    assert math.isnan(same["direction"])


def test_coverage_counts_the_known_values_within():
    def coverage(actual):
        ends = np.zeros(actual.shape), np.ones(actual.shape)
        return figures_of(coverage_figures(1, [80]), totals(forecast_parts(actual, actual, [ends])))["coverage_80"]

    actual = np.array([0.0, 1.0, 2.0, np.nan])[:, None, None]
    assert coverage(actual) == 2 / 3
    assert math.isnan(coverage(actual[3:]))


def slow_comparison(losses, horizon):
    """Statistic as Harvey, Leybourne and Newbold correct it, sum by sum; its p-value, of n / h independent windows."""
    n, mean = len(losses), sum(losses) / len(losses)

    def gamma(lag):
        return sum((losses[t] - mean) * (losses[t - lag] - mean) for t in range(lag, n)) / n

    variance = gamma(0) + 2 * sum(gamma(lag) for lag in range(1, horizon))
    if variance <= 0:
        variance = gamma(0) + 2 * sum((1 - lag / horizon) * gamma(lag) for lag in range(1, horizon))
    statistic = mean / math.sqrt(variance / n)
    statistic *= math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    return statistic, 2 * stats.t.sf(abs(statistic), max(n / horizon - 1, 1))


@given(cases(gaps=(0.0,)), st.booleans())
def test_the_comparison_is_that_of_the_papers(case, scaled):
    actual, one, other, last, scale = case
    horizon = min(actual.shape[1], len(actual) - 1)
    unit = scale if scaled else np.ones(len(scale))
    losses = ((np.abs(one - actual) - np.abs(other - actual)) / unit).mean(axis=(1, 2)).tolist()
    found = compared(actual, one, other, horizon, scale=scale if scaled else None)
    statistic, p_value = slow_comparison(losses, horizon)
    assert_close(found.difference, np.mean(losses), atol=1e-12)
    assert_close(found.p_value, p_value, atol=1e-7)
    reach = stats.t.ppf(0.975, max(len(losses) / horizon - 1, 1)) * abs(found.difference / statistic)
    assert_close(np.array(found[1:3]), found.difference + np.array([-reach, reach]), rtol=1e-6, atol=1e-9)
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)
    figures = forecast_metrics(actual, one, {"other": other}, scale, last=last)
    name = "mase" if scaled else "mae"
    assert_close(found.difference, figures[name] - figures[f"other {name}"], atol=1e-10)


@given(cases())
def test_with_gaps_the_difference_is_still_that_of_the_figures(case):
    actual, one, other, last, scale = case
    figures = forecast_metrics(actual, one, {"other": other}, scale, last=last)
    for name, unit in {"mae": None, "mase": scale}.items():
        found = compared(actual, one, other, 1, scale=unit)
        assert_close(found.difference, figures[name] - figures[f"other {name}"], atol=1e-10)


@pytest.mark.parametrize(("horizon", "windows"), [(1, 30), (1, 200), (5, 100), (24, 100), (24, 400)])
def test_false_alarms_of_equal_forecasts_are_about_one_in_twenty(horizon, windows):
    generator = np.random.default_rng(horizon)
    alarms = []
    for _ in range(1000):
        noise = generator.normal(size=windows + horizon - 1)
        losses = np.convolve(noise, np.ones(horizon), mode="valid").reshape(-1, 1, 1)
        found = compared(np.zeros_like(losses), losses + 100, np.full_like(losses, 100.0), horizon)
        alarms.append(found.p_value < 0.05)
    assert 0.03 < np.mean(alarms) < 0.09


def test_autocovariances_do_not_cross_series():
    actual = np.random.default_rng(1).normal(size=(60, 2, 1))
    one, other = actual + 1.0, actual + np.abs(np.random.default_rng(2).normal(size=(60, 2, 1)))
    parts = [np.arange(0, 60, 2), np.arange(1, 60, 2)]
    starts = np.repeat([0, 500], 30)
    orders = [np.concatenate(parts), np.concatenate(parts[::-1])]
    whole = [compared(actual[o], one[o], other[o], 2, starts=starts) for o in orders]
    assert_close(np.array(whole[0]), np.array(whole[1]), rtol=1e-9)
    assert compared(actual[orders[0]], one[orders[0]], other[orders[0]], 2) != whole[0]


def test_equal_forecasts_and_too_few_windows_are_no_alarm():
    actual = np.random.default_rng(0).normal(size=(30, 3, 1))
    assert compared(actual, actual + 1, actual + 1, 3) == Comparison(0.0, 0.0, 0.0, 1.0)
    few = compared(actual[:3], actual[:3], actual[:3] + 1, 3)
    assert (few.low, few.high, few.p_value) == (-math.inf, math.inf, 1.0)


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"\(4, 2, 1\), got \(4, 1, 1\)"):
        compared(np.zeros((4, 2, 1)), np.zeros((4, 1, 1)), np.zeros((4, 2, 1)), 1)
    with pytest.raises(DataError, match="shape"):
        forecast_metrics(np.zeros((4, 2)), np.zeros((4, 2)), {}, np.ones(1), last=np.zeros((4, 1)))


def walk(seed=0, rows=600):
    return np.random.default_rng(seed).normal(size=rows).cumsum()


@given(st.integers(0, 50), st.integers(1, 4))
def test_a_forecast_that_is_an_earlier_value_has_its_lag_and_correlation_one(seed, lag):
    values = walk(seed)
    found = lag_of(values[5:], values[5 - lag : -lag], values[4:-1])
    assert found.lag == lag
    assert_close(found.correlation, 1.0, atol=1e-12)
    assert abs(found.at_zero) < 0.25
    assert "the forecast follows" in lag_sentence(found)


def test_the_last_value_is_found_under_noise_and_the_sentence_has_the_numbers():
    values = walk(1)
    forecast = values[:-1] + np.random.default_rng(2).normal(scale=0.1, size=len(values) - 1)
    found = lag_of(values[1:], forecast, values[:-1])
    assert lag_sentence(found) == (
        "the forecast follows the last value: its changes agree best with those of 1 step earlier "
        f"(correlation {found.correlation:.2f}; with the same step {found.at_zero:.2f})"
    )
    assert "earlier values: its changes agree best with those of 3 steps" in lag_sentence(Lag(3, 0.9, 0.1))


def test_a_forecast_that_knows_something_has_no_sentence():
    values = walk(3)
    forecast = values[1:] + np.random.default_rng(4).normal(scale=0.5, size=len(values) - 1)
    found = lag_of(values[1:], forecast, values[:-1])
    assert found.lag == 0
    assert lag_sentence(found) is None
    assert lag_sentence(lag_of(values[1:20], values[:19], values[:19])) is None
    assert lag_sentence(lag_of(values[1:], np.zeros(599), values[:-1])) is None


def test_the_lag_is_not_looked_for_across_series_or_gaps():
    one, other = walk(5), 1e4 + walk(6)
    actual = np.stack([np.append(one[1:], other[1:])] * 2, axis=1)
    last = np.stack([np.append(one[:-1], other[:-1])] * 2, axis=1)
    found = lag_of(actual, last, last)
    assert found.lag == 1
    assert_close(found.correlation, 1.0, atol=1e-9)
    actual[::7] = np.nan
    assert_close(lag_of(actual[:, None], last[:, None], last).correlation, 1.0, atol=1e-9)
    assert math.isnan(lag_of(one[5::5], one[4::5][: len(one[5::5])], one[4::5][: len(one[5::5])]).correlation)


numbers = st.floats(0.001, 1e4)


@given(numbers, st.dictionaries(st.sampled_from(["last value", "drift", "linear model"]), numbers, min_size=1), numbers)
def test_the_verdict_agrees_with_the_numbers(mine, rivals, reach):
    metrics = {"mae": mine} | {f"{name} mae": value for name, value in rivals.items()}
    comparisons = {
        name: Comparison(mine - value, mine - value - reach, mine - value + reach, 0.5)
        for name, value in rivals.items()
    }
    sentence = verdict(metrics, comparisons)
    best = min(rivals, key=rivals.get)
    assume(abs(mine - rivals[best]) > 1e-6 * rivals[best])
    clear = abs(mine - rivals[best]) > reach
    word = "no better than" if not clear else "better than" if mine < rivals[best] else "worse than"
    assert sentence.startswith(f"{word} the {best}")
    assert ("chance" in sentence) == (not clear)
    assert (f", the best of {len(rivals)} baselines: " in sentence) == (len(rivals) > 1)
    if clear:
        assert ("less;" in sentence) == (mine < rivals[best])


def test_verdicts_read_as_sentences():
    metrics = {"mae": 12.13, "last value mae": 12.05, "linear model mae": 12.2, "seasonal naive mae": 30.0}
    none = Comparison(0.0, 0.0, 0.0, 1.0)
    comparisons = {"last value": Comparison(0.08, -0.12, 0.28, 0.4), "linear model": none, "seasonal naive": none}
    assert verdict(metrics, comparisons) == (
        "no better than the last value, the best of 3 baselines: mean absolute error 12.13 against 12.05 "
        "(0.7 % more; 95 % interval 1 % less to 2.3 % more, so this may be chance)"
    )
    assert verdict(
        {"mase": 1.5, "seasonal naive mase": 1.2}, {"seasonal naive": Comparison(0.3, 0.1, 0.5, 0.01)}, "mase"
    ) == (
        "worse than the seasonal naive forecast: scaled mean absolute error 1.50 against 1.20 "
        "(25 % more; 95 % interval 8.3 to 42 % more)"
    )
    short = verdict({"mae": 1234567.0, "drift mae": 1234568.0}, {"drift": Comparison(-1.0, -math.inf, math.inf, 1.0)})
    assert short.startswith("no better than the drift: mean absolute error 1234567 against 1234568 (")
    assert short.endswith("too few windows to tell from chance)")
    assert verdict({"mae": math.nan, "drift mae": math.nan}, {"drift": none}).startswith("not compared")


def test_the_table_has_the_model_and_every_baseline_in_order():
    actual = np.ones((4, 2, 1))
    naive = {"last value": actual * 2, "seasonal naive": actual * 3, "linear model": actual}
    table = forecast_table(forecast_metrics(actual, actual + 1, naive, np.ones(1), last=np.zeros((4, 1))))
    lines = table.splitlines()
    assert lines[0].split() == ["MAE", "RMSE", "MASE", "MSE"]
    assert [line[:14].strip() for line in lines[1:]] == ["model", "last value", "seasonal naive", "linear model"]
    assert lines[3].split()[2:] == ["2", "2", "2", "4"]
    assert len({len(line) for line in lines}) == 1


def test_errors_that_differ_by_rounding_alone_are_called_the_same() -> None:
    comparison = Comparison(1e-9, 0.5e-9, 1.5e-9, 1e-6)
    found = verdict({"mae": 0.1234 + 1e-9, "linear model mae": 0.1234}, {"linear model": comparison})
    assert found == "no better than the linear model: the same mean absolute error, 0.123"
