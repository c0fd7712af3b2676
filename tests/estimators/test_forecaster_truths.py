"""Series of which the truth is known: intervals cover, a sine is learned, luck is not skill, chaos is learned."""

from __future__ import annotations

import numpy as np
import pytest

from bilstm import BiLSTMForecaster
from bilstm.estimators.forecast_calibration import widths
from tests.compare import assert_close
from tests.series import VIEWS, small


def autoregression(steps, seed, level):
    """y_t = 0.8 y_{t-1} + noise, about a level."""
    noise = np.random.default_rng(seed).normal(size=steps)
    y = np.zeros(steps)
    for t in range(1, steps):
        y[t] = 0.8 * y[t - 1] + noise[t]
    return level + y


@pytest.mark.parametrize("target_as", VIEWS)
@pytest.mark.parametrize("rescale", [False, True])
def test_intervals_cover_what_they_say(target_as, rescale):
    y = autoregression(3000, seed=3, level=30.0)
    model = small(history=8, horizon=3, target_as=target_as, rescale=rescale, max_epochs=2).fit(y[:2000])
    found = model.forecasts(y[2000:])
    assert abs(found.metrics["coverage_80"] - 0.80) < 0.05
    assert abs(found.metrics["coverage_95"] - 0.95) < 0.03
    each = ((found.actual >= found.lows) & (found.actual <= found.highs)).mean(axis=(1, 3))  # (2, h)
    assert_close(each, np.repeat([[0.8], [0.95]], 3, axis=1), atol=0.06)
    assert (found.lows <= found.forecast).all()
    assert (found.forecast <= found.highs).all()
    assert (found.lows[1] <= found.lows[0]).all()
    assert (found.highs[0] <= found.highs[1]).all()
    widest = (found.highs - found.lows).mean(axis=(1, 3))
    assert (np.diff(widest, axis=1) > 0).all(), "what lies further ahead is less sure"


def test_intervals_of_log_returns_are_above_zero():
    price = np.exp(0.5 * np.random.default_rng(0).normal(size=300).cumsum())
    found = small(target_as="log-return").fit(price[:200]).forecasts(price[200:])
    assert (found.lows > 0).all()


def test_a_width_is_the_error_that_the_share_of_so_many_and_one_more_keeps_to():
    errors = np.arange(1.0, 10.0).reshape(9, 1, 1)
    assert [float(widths(errors, share)[0, 0]) for share in (0.1, 0.5, 0.8, 0.95)] == [1.0, 5.0, 8.0, 9.0]
    errors = np.concatenate([errors, np.full((5, 1, 1), np.nan)])[::-1]
    assert float(widths(errors, 0.8)[0, 0]) == 8.0
    assert float(widths(np.full((3, 1, 1), np.nan), 0.8)[0, 0]) == 0.0


@pytest.mark.parametrize("target_as", ["auto", "level", "difference"])
def test_a_sine_without_noise_is_forecast_nearly_without_error(target_as):
    y = 3 + np.sin(np.arange(400) / 6)
    model = small(history=20, horizon=5, target_as=target_as).fit(y[:300])
    assert model.score(y[300:]) > 0.9999
    step = np.arange(300, 305)
    assert_close(model.predict()["predicted_y"], 3 + np.sin(step / 6), atol=0.01)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_price", [False, True])
def test_a_random_walk_is_never_forecast_better_than_by_its_last_value(seed, is_price):
    walk = np.random.default_rng(seed).normal(size=500).cumsum()
    y = np.exp(0.02 * walk) if is_price else walk
    model = small(target_as="auto", max_epochs=3, learning_rate=0.01)
    found = model.backtest(y, folds=2, steps=60)
    assert not found.verdict.startswith("better")
    assert found.metrics["mase"] < 1.15 * found.metrics["last value mase"]
    model.fit(y)
    assert 0.0 <= model.share_ <= 1.0


def test_of_chaos_the_bilstm_knows_what_a_linear_map_cannot():
    y = np.empty(1200)
    y[0] = 0.3
    for t in range(1, len(y)):
        y[t] = 3.9 * y[t - 1] * (1 - y[t - 1])
    model = BiLSTMForecaster(
        history=4, horizon=1, hidden_size=16, max_epochs=25, learning_rate=0.02, dropout=0.0, target_as="level"
    )
    found = model.fit(y[:1000]).forecasts(y[1000:])
    assert found.metrics["mae"] < 0.5 * found.metrics["linear model mae"]
    assert found.verdict.startswith("better than the")
    assert model.share_ > 0.8
    assert model.fit(y[:1000]).score(y[1000:]) > 0.8
