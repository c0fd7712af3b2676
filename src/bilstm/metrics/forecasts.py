"""How good a forecast is, beside what it must beat. Knows arrays of actual and forecast values; not who made them.

Arrays are (W, h, K): windows in time order within each series, steps, targets. An actual value that is NaN is not
known and left out everywhere; a forecast that is NaN where the actual value is known makes the figure NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy import stats

from bilstm.data.columns import Array
from bilstm.formatting import fixed
from bilstm.metrics.figures import ROUNDING, Figure, figures_of, mean_of, share
from bilstm.metrics.forecast_comparison import Comparison, Lag, check_shapes, means

_FOLLOWS = 0.5  # a forecast follows an earlier value if its changes agree with that one's at least so well ...
_CLEARER = 0.1  # ... and so much better than with those of the same step
_COLUMNS = ("mae", "rmse", "mase", "mse")
_SPOKEN = {"seasonal naive": "seasonal naive forecast"}  # names that do not stand well behind "the"


def forecast_metrics(
    actual: Array, forecast: Array, baselines: dict[str, Array], scale: Array, *, last: Array
) -> dict[str, float]:
    """``mse``, ``mae``, ``rmse``, ``mase`` of a forecast and of every baseline; its share of right directions.

    .. math:: \\mathrm{MASE} = \\frac{1}{K} \\sum_k \\frac{\\mathrm{MAE}_k}{s_k}

    with s, (K,), of :func:`mase_scale`. Arrays are (W, h, K), ``last``, the last known value of each window, is (W, K);
    figures of baselines are called ``last value mae`` and so on. Each figure is the mean of the targets; ``mase``
    leaves out targets that were constant in training. ``direction`` is the share of right signs of the change from
    ``last`` to the last step, ``direction_low`` and ``direction_high`` its 95 % interval; ``direction_first…`` the same
    of the first step. ``n`` counts windows with a known value. Figures of nothing are NaN.

    The trap: unchanged actual values have no direction and are left out; a forecast of no change is not right. Windows
    that overlap are not independent: the interval of the last step counts W / h of them.

    Source: MASE, Hyndman and Koehler 2006; the interval, Wilson 1927.
    """
    check_shapes(actual, forecast, *baselines.values())
    known = ~np.isnan(actual)
    result = _errors(actual, forecast, known, scale)
    for name, values in baselines.items():
        result |= {f"{name} {figure}": value for figure, value in _errors(actual, values, known, scale).items()}
    steps = actual.shape[1]
    result |= _direction("direction", actual[:, -1], forecast[:, -1], last, steps)
    result |= _direction("direction_first", actual[:, 0], forecast[:, 0], last, 1)
    return result | {"n": int(known.any(axis=(1, 2)).sum())}


def mase_scale(values: Array, lengths: Array, season: int | None) -> Array:
    """What the naive forecast of one step, or of one season, errs by, (K,): the unit of MASE; NaN of too short series.

    .. math:: s = \\mathrm{mean} \\, |y_t - y_{t-m}|

    over all series one below the other, (S, K), of these lengths; m is the season in steps. Hyndman and Koehler 2006.

    Example:
        >>> mase_scale(np.array([[1.0], [3.0], [2.0], [50.0], [50.0]]), np.array([3, 2]), None).tolist()
        [1.0]
    """
    season = season or 1
    series = np.repeat(np.arange(len(lengths)), lengths)
    same = series[season:] == series[:-season]
    change = np.abs(values[season:] - values[:-season])
    return means(change, ~np.isnan(change) & same[:, None], axis=0)


def lag_sentence(lag: Lag) -> str | None:
    """A sentence where a forecast follows earlier values; None where it does not.

    Example:
        >>> lag_sentence(Lag(1, 0.98, 0.02))  # doctest: +ELLIPSIS
        'the forecast follows the last value: its changes agree best with those of 1 step earlier (correlation 0.98; ...
        >>> lag_sentence(Lag(0, 0.98, 0.98)) is None
        True
    """
    before = -1.0 if np.isnan(lag.at_zero) else lag.at_zero
    if not (lag.lag >= 1 and lag.correlation >= _FOLLOWS and lag.correlation - before >= _CLEARER):
        return None
    what, steps = ("the last value", "1 step") if lag.lag == 1 else ("earlier values", f"{lag.lag} steps")
    same = "" if np.isnan(lag.at_zero) else f"; with the same step {lag.at_zero:.2f}"
    return (
        f"the forecast follows {what}: its changes agree best with those of {steps} earlier "
        f"(correlation {lag.correlation:.2f}{same})"
    )


def verdict(metrics: dict[str, float], comparisons: dict[str, Comparison], figure: str = "mae") -> str:
    """One sentence: is the model better than the best of the baselines, by how much, and is that more than luck?

    It says ``better`` and ``worse`` only where the interval of the comparison leaves out zero. The trap: the figure
    (``mae``; of several targets ``mase``) and the scale of the comparisons must belong together.

    Example:
        >>> verdict({"mae": 0.31, "drift mae": 0.35}, {"drift": Comparison(-0.04, -0.056, -0.028, 1e-6)})
        'better than the drift: mean absolute error 0.310 against 0.350 (11 % less; 95 % interval 8 to 16 % less)'
    """
    rivals = {name: metrics[f"{name} {figure}"] for name in comparisons if metrics[f"{name} {figure}"] >= 0}
    mine = metrics[figure]
    if not rivals or np.isnan(mine):
        return "not compared: there are no known values to compare with"
    name = min(rivals, key=lambda rival: rivals[rival])
    other, comparison = rivals[name], comparisons[name]
    spoken = f"{_SPOKEN.get(name, name)}{f', the best of {len(rivals)} baselines' if len(rivals) > 1 else ''}"
    what = "scaled mean absolute error" if figure == "mase" else "mean absolute error"
    if abs(mine - other) <= ROUNDING * other:
        return f"no better than the {spoken}: the same {what}, {fixed(mine, 3)}"
    word = "better than" if comparison.high < 0 else "worse than" if comparison.low > 0 else "no better than"
    numbers = " against ".join(_apart(mine, other))
    return f"{word} the {spoken}: {what} {numbers} ({_shares(mine - other, comparison, other)})"


def forecast_table(metrics: dict[str, float]) -> str:
    """The figures of the model and of the baselines, as :func:`forecast_metrics` names them, below each other."""
    baselines = [name.removesuffix(" mae") for name in metrics if name.endswith(" mae")]
    width = max(5, *map(len, baselines), 0)
    lines = [" " * width + "".join(f"{figure.upper():>12}" for figure in _COLUMNS)]
    for name in ["", *baselines]:
        figures = "".join(f"{metrics[f'{name} {figure}'.strip()]:>12.5g}" for figure in _COLUMNS)
        lines.append(f"{name or 'model':<{width}}{figures}")
    return "\n".join(lines)


def forecast_parts(
    actual: Array, forecast: Array, intervals: Sequence[tuple[Array, Array] | None] = ()
) -> Sequence[Array]:
    """What each window adds for each target, (W, K): squared and absolute errors, how many, how many in each interval.

    Intervals are pairs of lower and upper ends, (W, h, K); None of one that the forecast does not have.
    """
    known = ~np.isnan(actual)
    error = np.where(known, forecast - actual, 0.0)
    inside = [
        np.where(known, np.nan, 0.0) if ends is None else known & (actual >= ends[0]) & (actual <= ends[1])
        for ends in intervals
    ]
    return [part.sum(axis=1) for part in (error**2, np.abs(error), known, *inside)]


def forecast_figures(targets: int, scale: Array) -> list[Figure]:
    """``mse``, ``mae``, ``rmse`` and ``mase`` of these sums: of each target, and the mean of the targets."""
    over = " (mean over the targets)" if targets > 1 else ""
    K, scaled = targets, scale > 0
    unit = np.where(scaled, scale, 1.0)

    def each(sums: Array, kind: int) -> tuple[Array, Array]:
        """A mean error of every target (…, K), and of which there is one."""
        counts = sums[..., 2 * K : 3 * K]
        return sums[..., kind * K : (kind + 1) * K] / np.maximum(counts, 1), counts > 0

    def mase(sums: Array) -> Array:
        absolute, known = each(sums, 1)
        return mean_of(absolute / unit, known & scaled)

    def rmse(sums: Array) -> Array:
        squared, known = each(sums, 0)
        return mean_of(np.sqrt(squared), known)

    return [
        Figure("mse", f"mean squared error{over}", lambda sums: mean_of(*each(sums, 0))),
        Figure("mae", f"mean absolute error{over}", lambda sums: mean_of(*each(sums, 1))),
        Figure("rmse", f"root mean squared error{over}", rmse),
        Figure("mase", f"mean absolute error by that of the naive forecast in training{over}", mase),
    ]


def coverage_figures(targets: int, intervals: Sequence[int]) -> list[Figure]:
    """The shares of what came within intervals, which are called by their per cent, of the same sums."""

    def inside(sums: Array, place: int) -> Array:
        kinds = np.stack(np.split(sums, sums.shape[-1] // targets, axis=-1)).sum(axis=-1)
        shares: Array = kinds[3 + place] / kinds[2]
        return shares

    return [
        share(f"coverage_{one}", f"share of what came within the {one} % interval", partial(inside, place=place))
        for place, one in enumerate(intervals)
    ]


def _errors(actual: Array, forecast: Array, known: Array, scale: Array) -> dict[str, float]:
    difference = forecast - actual
    kinds = (difference**2, np.abs(difference), known)  # added up over windows and steps at once
    sums = np.concatenate([np.sum(kind, axis=(0, 1), where=known, dtype=np.float64) for kind in kinds])
    return figures_of(forecast_figures(actual.shape[2], scale), sums)


def _direction(name: str, actual: Array, forecast: Array, last: Array, overlap: int) -> dict[str, float]:
    """The share of right signs and its Wilson interval for windows / overlap independent ones."""
    change = actual - last
    moved = ~np.isnan(change) & (change != 0)
    windows = moved.any(axis=1).sum() / overlap
    if not moved.any() or np.isnan(forecast[moved]).any():
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    share = float((np.sign(forecast - last) == np.sign(change))[moved].mean())
    z = float(stats.norm.ppf(0.975))
    middle = (share + z**2 / (2 * windows)) / (1 + z**2 / windows)
    reach = z / (1 + z**2 / windows) * np.sqrt(share * (1 - share) / windows + (z / (2 * windows)) ** 2)
    low, high = max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)
    return {name: share, f"{name}_low": low, f"{name}_high": high}


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers with three digits, or as many more as tell them apart."""
    for digits in range(3, 8):
        texts = fixed(one, digits), fixed(other, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _shares(difference: float, comparison: Comparison, base: float) -> str:
    """A difference and its interval in per cent of what a baseline errs by."""
    if base == 0:
        return "the baseline makes no error"
    low, high = 100 * comparison.low / base, 100 * comparison.high / base
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{_less(100 * difference / base)}; too few windows to tell from chance"
    if high < 0 or low > 0:
        near, far = sorted((abs(low), abs(high)))
        interval = f"{_percent(near)} to {_percent(far)} % {'less' if high < 0 else 'more'}"
    else:
        interval = f"{_less(low)} to {_less(high)}, so this may be chance"
    return f"{_less(100 * difference / base)}; 95 % interval {interval}"


def _less(percent: float) -> str:
    return f"{_percent(abs(percent))} % {'less' if percent < 0 else 'more'}"


def _percent(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1g}" if value < 0.095 else f"{value:.1f}".removesuffix(".0")
