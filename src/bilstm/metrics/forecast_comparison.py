"""Whether a forecast is better than another, and whether it runs behind. Knows arrays; not who made them, no words.

Arrays are (W, h, K): windows in time order within each series, steps, targets. An actual value that is NaN is not
known and left out everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from bilstm.data.columns import Array
from bilstm.errors import DataError

# fewer pairs of changes than these give no correlation worth a sentence
_PAIRS = 30


class Comparison(NamedTuple):
    """Mean absolute error less that of a baseline: negative, the forecast is better."""

    difference: float
    low: float  # of the 95 % interval, which is infinite where there are too few windows
    high: float
    p_value: float  # the chance of as much without a difference


class Lag(NamedTuple):
    """The number of steps by which a forecast runs behind, the correlation there, and that with the same step."""

    lag: int
    correlation: float
    at_zero: float


def compared(
    actual: Array,
    forecast: Array,
    baseline: Array,
    horizon: int,
    *,
    scale: Array | None = None,
    starts: Array | None = None,
) -> Comparison:
    """Whether a forecast errs less than a baseline, or may just have been lucky; arrays are (W, h, K).

    .. math:: \\frac{\\bar d}{\\sqrt{V / n}} \\sqrt{\\frac{n + 1 - 2h + h (h - 1) / n}{n}} \\sim t_{n/h - 1},
        \\qquad V = \\gamma_0 + 2 \\sum_{j=1}^{h-1} \\gamma_j

    where d is the difference of the absolute errors of a window and γ its autocovariances; where V is not positive
    these are weighted by 1 − j / h. At h = 1 this is the test as published; for more steps it was published with n − 1
    degrees of freedom, which calls luck better or worse in 16 % of cases where n is four times h, and these in 6 %.

    ``scale``, (K,), divides the errors of each target: with that of :func:`mase_scale` the difference is that of
    ``mase``, without one that of ``mae``. Autocovariances do not cross series, which ``starts``, (W,), tells apart by
    any number.

    The trap: with no more known windows than h nothing can be said: the interval is infinite, p_value 1.

    Source: Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997; the weights, Newey and West 1987.
    """
    check_shapes(actual, forecast, baseline)
    known = ~np.isnan(actual)
    losses = np.abs(forecast - actual) - np.abs(baseline - actual)
    weights = _weights(known, scale)
    present = (known & (weights > 0)).any(axis=(1, 2))
    count = int(present.sum())
    # weighted so that their mean is exactly the difference of the two figures
    windows = count * np.sum(losses * weights, axis=(1, 2), where=known)
    if not count or np.isnan(windows[present]).any():
        return Comparison(float("nan"), -np.inf, np.inf, 1.0)
    mean = float(windows[present].mean())
    if count <= horizon:
        return Comparison(mean, -np.inf, np.inf, 1.0)
    deviations = np.where(present, windows - mean, 0.0)
    variance = _long_variance(deviations, np.zeros(len(actual)) if starts is None else starts, horizon, count)
    return _tested(mean, variance, horizon, count)


def lag_of(actual: Array, forecast: Array, last: Array, most: int = 5) -> Lag:
    """By how many steps, ``most`` at most, a forecast of the next step runs behind what it forecasts.

    .. math:: \\arg\\max_j \\; \\mathrm{corr}(f_t - f_{t-1}, \\; y_{t-j} - y_{t-j-1}), \\qquad j = 0 \\ldots

    A forecast that is the last value has lag 1 and correlation 1. Arrays are (W,), (W, K) or (W, h, K), of which the
    first step is taken; ``last`` is the last known value of each window. Of several targets it is the mean correlation;
    lag 0 and NaN where fewer than 30 pairs are known.

    The trap: windows follow each other where the last value of one is the actual value of the one before; pairs across
    any other place are left out, so that windows several steps apart give NaN.
    """
    actual, forecast = (values[:, 0] if values.ndim == 3 else values for values in (actual, forecast))
    actual, forecast, last = (values.reshape(len(values), -1) for values in (actual, forecast, last))
    of_targets = np.array([_correlations(*columns, most) for columns in zip(actual.T, forecast.T, last.T, strict=True)])
    correlations = means(of_targets, ~np.isnan(of_targets), axis=0)
    if np.isnan(correlations).all():
        return Lag(0, float("nan"), float("nan"))
    lag = int(np.nanargmax(correlations))
    return Lag(lag, float(correlations[lag]), float(correlations[0]))


def means(values: Array, known: Array, axis: int | tuple[int, ...]) -> Array:
    """Means of the known values; NaN where there is none."""
    count = known.sum(axis=axis)
    sums = np.sum(values, axis=axis, where=known)
    means: Array = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return means


def check_shapes(actual: Array, *others: Array) -> None:
    """Raise a DataError unless all have the shape of actual: windows, steps, targets."""
    for other in others:
        if other.shape != actual.shape or actual.ndim != 3:
            raise DataError(f"expected forecasts of shape (windows, steps, targets) {actual.shape}, got {other.shape}")


def _tested(mean: float, variance: float, horizon: int, count: int) -> Comparison:
    """The interval and the chance of a mean of n differences, from n times the variance of that mean."""
    correction = (count - horizon) * (count - horizon + 1) / count**2  # = (n + 1 − 2h + h (h − 1) / n) / n
    error = float(np.sqrt(variance / (count * correction)))
    if error == 0:
        return Comparison(mean, mean, mean, float(mean == 0))
    freedom = max(count / horizon - 1, 1.0)  # windows that overlap are not independent
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Comparison(mean, mean - reach, mean + reach, p_value)


def _correlations(actual: Array, forecast: Array, last: Array, most: int) -> list[float]:
    """The correlation of changes of the forecast with changes of the actual values 0 … most steps earlier."""
    tolerance = 1e-9 * (float(np.nanstd(actual)) if np.isfinite(actual).any() else 0.0)
    follows = np.isnan(actual[:-1]) | (np.abs(last[1:] - actual[:-1]) <= tolerance)
    run = np.cumsum(np.append(True, ~follows))
    moved = np.append(np.nan, np.diff(forecast))
    moved[np.append(True, ~follows)] = np.nan
    change = actual - last
    result = []
    for lag in range(most + 1):
        here, there = moved[lag:], change[: len(change) - lag]
        pairs = ~np.isnan(here) & ~np.isnan(there) & (run[lag:] == run[: len(run) - lag])
        x, y = here[pairs], there[pairs]
        is_clear = len(x) >= _PAIRS and x.std() != 0 and y.std() != 0
        result.append(float(np.corrcoef(x, y)[0, 1]) if is_clear else float("nan"))
    return result


def _weights(known: Array, scale: Array | None) -> Array:
    """What one error of each target counts for in ``mae``, or with a scale in ``mase``, (K,)."""
    count = known.sum(axis=(0, 1))
    used = (count > 0) if scale is None else (count > 0) & (scale > 0)
    unit = np.ones(len(count)) if scale is None else np.where(used, scale, 1.0)
    weights: Array = np.where(used, 1 / (np.maximum(count, 1) * unit * max(int(used.sum()), 1)), 0.0)
    return weights


def _long_variance(deviations: Array, starts: Array, horizon: int, count: int) -> float:
    """n times the variance of the mean of differences whose errors overlap by h − 1."""
    products = [float((deviations**2).sum()) / count]
    for lag in range(1, min(horizon, len(deviations))):
        together = starts[lag:] == starts[:-lag]
        products.append(float((deviations[lag:] * deviations[:-lag])[together].sum()) / count)
    plain = products[0] + 2 * sum(products[1:])
    weighted = products[0] + 2 * sum((1 - j / horizon) * p for j, p in enumerate(products) if j)
    return plain if plain > 0 else max(weighted, 0.0)
