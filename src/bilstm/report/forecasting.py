"""A forecaster examined: its errors beside simple rules', the worst forecasts, examples. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows, cut
from bilstm.errors import DataError
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.formatting import counted, number, written_time
from bilstm.report.blocks import Block, Table
from bilstm.report.examined import Examined, Example, case_anchor, worst_rows, worst_table
from bilstm.report.fans import by_step, coverage, fans, panel_name
from bilstm.report.measured import Measure, Measured, Rival

PANELS = 4  # series and targets that are drawn
# horizons in a block that the bootstrap draws: forecasts less than one apart share steps, and the ends of a block tear
# such pairs apart. Of 400 horizons of a random walk blocks of one give 0.85 to 0.93 of the true width,
# of four 0.93 to 0.99
BLOCK = 4
RULES = {
    "last value": "nothing changes",
    "drift": "the mean change so far goes on",
    "seasonal naive": "as a season ago",
    "linear model": "a ridge regression on the same window, fitted in training, and part of the model",
}


def examine(estimator: BiLSTMForecaster, series: Series, say: Callable[[str], None]) -> Examined:
    """Figures, charts and cases of a forecaster on series with what came."""
    windows = estimator.with_targets(series)
    if not len(windows):
        raise DataError(f"expected steps that can be forecast, got none ({series.source})")
    say(f"judging {len(windows):,} forecasts")
    found = estimator.forecasts(windows)
    if np.isnan(found.actual).all():
        raise DataError(f"expected known values behind a window of history, got none ({series.source})")
    losses = _losses(found)
    panels = [(row, k) for row in _last_rows(found) for k in range(len(found.names))][:PANELS]
    drawn: list[Block] = [fans(windows.cut_from, found, row, k) for row, k in panels]
    remarks = [f"{_capital(found.follows_last)}."] if found.follows_last else []
    return Examined(
        measured_of(found),
        [*drawn, by_step(found), *coverage(found)],
        [_worst(found, losses)],
        _examples(windows, losses),
        remarks,
        f"{_capital(found.verdict)}.",
    )


def coming(estimator: BiLSTMForecaster) -> list[Block]:
    """What a forecaster says of the steps behind its training, for a report without data."""
    windows = cut(estimator.known_, estimator.history, estimator.horizon, at_end=True)
    found = estimator.forecasts_of(windows)
    panels = [(row, k) for row in range(len(found)) for k in range(len(found.names))][:PANELS]
    return [fans(windows.cut_from, found, row, k, ahead=True) for row, k in panels]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def measured_of(found: Forecasts) -> Measured:
    """Figures of forecasts and of their baselines, block by block."""
    K = len(found.names)
    scale = np.where(found.scale > 0, found.scale, np.nan)
    several = " (mean over the targets)" if K > 1 else ""
    scaled = f"mean absolute error by that of the naive forecast in training{several}"
    measures = [
        Measure("mae", f"mean absolute error{several}", partial(_mean, K=K, place=1)),
        Measure("rmse", f"root mean squared error{several}", partial(_rmse, K=K)),
        Measure("mase", scaled, partial(_mase, K=K, scale=scale)),
    ]
    if K > 1:  # of targets of different sizes only the scaled one can be compared
        measures = [measures[2], *measures[:2]]
    for place, share in enumerate(INTERVALS[: len(found.lows)]):
        words = f"share of what came within the {share} % interval"
        inside = partial(_mean, K=K, place=3 + place)
        measures.append(Measure(f"coverage_{share}", words, inside, higher_is_better=True, is_share=True))
    blocks = _blocks(found.starts, found.horizon)
    rivals = [
        Rival(name, RULES.get(name, "a simple rule"), _sums(found, values, blocks, has_intervals=False))
        for name, values in found.baselines.items()
    ]
    count = f"{counted(len(found), 'forecast')} of {counted(found.horizon, 'step')}"
    sums = _sums(found, found.forecast, blocks, has_intervals=True)
    if found.horizon == 1:
        return Measured("forecast", count, measures, sums, rivals)
    what = f"A block is {BLOCK * found.horizon} forecasts in a row of one series: forecasts that overlap err together."
    return Measured("block", count, measures, sums, rivals, what)


def _blocks(starts: Array, horizon: int) -> Array:
    """The block that each forecast belongs to, by where its series starts: four horizons of one series in a row."""
    length = BLOCK * horizon if horizon > 1 else 1  # of one step ahead none overlap
    new = np.flatnonzero(np.diff(starts, prepend=-1) != 0)
    within = np.arange(len(starts)) - np.repeat(new, np.diff(np.append(new, len(starts))))
    numbers: Array = np.cumsum(within % length == 0) - 1
    return numbers


def _sums(found: Forecasts, values: Array, blocks: Array, has_intervals: bool) -> Array:
    """(blocks, 5 K): of each target squared and absolute errors, how many, and how many within each interval."""
    known = ~np.isnan(found.actual)
    error = np.where(known, values - found.actual, 0.0)
    inside = [np.where(known, np.nan, 0.0)] * len(INTERVALS)  # a rule has no intervals
    if has_intervals and len(found.lows):
        pairs = zip(found.lows, found.highs, strict=True)
        inside = [known & (found.actual >= low) & (found.actual <= high) for low, high in pairs]
    table = np.hstack([part.sum(axis=1) for part in (error**2, np.abs(error), known, *inside)])
    result = np.zeros((int(blocks[-1]) + 1, table.shape[1]))
    np.add.at(result, blocks, table)
    return result


def _over_targets(sums: Array, counts: Array, finish: Callable[[Array], Array]) -> Array:
    """The mean over the targets of a figure; those of which nothing is known are left out."""
    with np.errstate(all="ignore"):
        each = finish(sums / counts)
    used = (counts > 0) & ~np.isnan(each)
    total = np.where(used, each, 0.0).sum(axis=-1)
    found: Array = np.where(used.any(axis=-1), total / np.maximum(used.sum(axis=-1), 1), np.nan)
    return found


def _mean(sums: Array, K: int, place: int) -> Array:
    return _over_targets(sums[..., place * K : (place + 1) * K], sums[..., 2 * K : 3 * K], lambda mean: mean)


def _rmse(sums: Array, K: int) -> Array:
    return _over_targets(sums[..., :K], sums[..., 2 * K : 3 * K], np.sqrt)


def _mase(sums: Array, K: int, scale: Array) -> Array:
    return _over_targets(sums[..., K : 2 * K], sums[..., 2 * K : 3 * K], lambda mean: mean / scale)


def _losses(found: Forecasts) -> Array:
    """The mean absolute error of each forecast in units of MASE, (W,); NaN where nothing came."""
    error = np.abs(found.forecast - found.actual) / np.where(found.scale > 0, found.scale, 1.0)
    known = ~np.isnan(error)
    counts = known.sum(axis=(1, 2))
    means = np.where(known, error, 0).sum(axis=(1, 2)) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan)


def _last_rows(found: Forecasts) -> list[int]:
    """The last forecast of each of the first series."""
    return [int(np.flatnonzero(found.starts == start)[-1]) for start in np.unique(found.starts)[:PANELS]]


def _worst(found: Forecasts, losses: Array) -> Table:
    rows = []
    for row in worst_rows(losses):
        error = np.abs(found.forecast[row] - found.actual[row])
        step, k = np.unravel_index(int(np.nanargmax(error)), error.shape)
        said, came = float(found.forecast[row, step, k]), float(found.actual[row, step, k])
        when = written_time(found.times[row * found.horizon + int(step)])
        cells = [written_time(found.origins[row]), number(float(losses[row])), when, panel_name(found, row, int(k))]
        rows.append((row, [*cells, number(said), number(came)]))
    head = ["made", "scaled error", "worst step", "of", "forecast", "came"]
    caption = f"The {counted(len(rows), 'forecast')} with the largest errors, in units of MASE"
    return worst_table(caption, head, rows, texts=(0, 2, 3))


def _examples(windows: Windows, losses: Array) -> list[Example]:
    """A typical, the best and the worst forecast: series that end where each was made."""
    known = np.flatnonzero(~np.isnan(losses))
    if not len(known):
        return []
    order = known[np.argsort(losses[known], kind="stable")]
    typical, best, worst = (int(order[place]) for place in (len(order) // 2, 0, -1))
    chosen = {typical: "A typical one", best: "The most exact", worst: "The worst"}  # the last name wins
    return [
        Example(title, series_until(windows, row), 0, case_anchor(row) if row == worst else "")
        for row, title in chosen.items()
    ]


def series_until(windows: Windows, row: int) -> Series:
    """The series of one window up to its last known step, as ``predict`` takes it.

    What is known ahead stays known behind it, for as many steps as are forecast.
    """
    series = windows.cut_from
    start, end = int(windows.series_starts[row]), int(windows.last_rows[row])
    reach = windows.horizon if series.future else 0
    steps = np.arange(series.steps.height)
    part = series.kept((steps >= start) & (steps <= end + reach))
    return part if not reach else _without_goals(part, end - start + 1)


def _without_goals(series: Series, known: int) -> Series:
    """The same series, of which only what is known ahead is left behind so many steps."""

    behind = pl.Series(np.arange(series.steps.height) >= known)
    columns = [
        column if column.name in series.future else column.set(behind, None) for column in series.steps.get_columns()
    ]
    return replace(series, steps=pl.DataFrame(columns))
