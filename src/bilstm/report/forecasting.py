"""A forecaster examined: its errors beside simple rules', forecasts over what came, error by step, coverage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from bilstm.charts import BLUE, GREEN, ORANGE, PINK, RED, SKY, YELLOW, Chart, figure
from bilstm.data.columns import Array
from bilstm.data.series import Series
from bilstm.data.windows import Windows, cut
from bilstm.errors import DataError
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.report.blocks import Block, Drawing, Text, counted, number
from bilstm.report.examined import Examined, Example, case_anchor, worst_rows, worst_table
from bilstm.report.measured import Measure, Measured, Rival
from bilstm.report.regression import rounded

PANELS = 4  # series and targets that are drawn
FANS = 8  # forecasts in each panel
STEPS = 600  # of a series in a panel
PALETTE = (ORANGE, GREEN, PINK, SKY, RED, YELLOW)
LINE_GREY = "#8a8a8a"  # which stands out on white and on black


def examine(estimator: BiLSTMForecaster, series: Series, say: Callable[[str], None]) -> Examined:
    """Figures, charts and cases of a forecaster on series with what came."""
    windows = estimator._with_targets(series)
    if not len(windows):
        raise DataError(f"expected steps that can be forecast, got none ({series.source})")
    assert isinstance(windows, Windows)
    say(f"judging {len(windows):,} forecasts")
    found = estimator.forecasts(windows)
    measured = _measured(found)
    losses = _losses(found)
    blocks: list[Block] = []
    for name, row, k in _panels(found, losses):
        blocks.append(_fans(windows.cut_from, found, name, row, k))
    blocks += [_by_step(found), *_coverage(found)]
    lag = [found.follows_last[0].upper() + found.follows_last[1:] + "."] if found.follows_last else []
    worst = _worst(found, losses)
    verdict = found.verdict
    return Examined(measured, blocks, [worst], _examples(windows, losses), lag, verdict[0].upper() + verdict[1:] + ".")


def coming(estimator: BiLSTMForecaster) -> list[Block]:
    """What a forecaster says of the steps behind its training, for a report without data."""
    series = estimator.known_
    found = estimator._forecasts(cut(series, estimator.history, estimator.horizon, at_end=True))
    panels = [(row, k) for row in range(len(found)) for k in range(len(found.names))][:PANELS]
    return [_fans(series, found, _panel_name(found, row, k), row, k, ahead=True) for row, k in panels]


def _measured(found: Forecasts) -> Measured:
    K = len(found.names)
    scale = np.where(found.scale > 0, found.scale, np.nan)
    several = " (mean over the targets)" if K > 1 else ""
    measures = [
        Measure("mae", f"mean absolute error{several}", partial(_mean, K=K, place=1)),
        Measure("rmse", f"root mean squared error{several}", partial(_rmse, K=K)),
        Measure(
            "mase",
            f"mean absolute error by that of the naive forecast in training{several}",
            partial(_mase, K=K, scale=scale),
        ),
    ]
    if K > 1:  # of targets of different sizes only the scaled one can be compared
        measures = [measures[2], measures[0], measures[1]]
    for place, percent in enumerate(INTERVALS[: len(found.lows)]):
        words = f"share of what came within the {percent} % interval"
        covered = partial(_mean, K=K, place=3 + place)
        measures.append(Measure(f"coverage_{percent}", words, covered, higher_is_better=True, is_share=True))
    blocks, _ = _block_numbers(found)
    rivals = [
        Rival(name, _RULES.get(name, "a simple rule"), _sums(found, values, None, blocks))
        for name, values in found.baselines.items()
    ]
    count = f"{counted(len(found), 'forecast')} of {counted(found.horizon, 'step')}"
    unit = "forecast" if found.horizon == 1 else "block"
    return Measured(unit, count, measures, _sums(found, found.forecast, found, blocks), rivals)


_RULES = {
    "last value": "nothing changes",
    "drift": "the mean change so far goes on",
    "seasonal naive": "as a season ago",
    "linear model": "a ridge regression on the same window, fitted in training, and part of the model",
}


def _block_numbers(found: Forecasts) -> tuple[Array, int]:
    """Which block each forecast belongs to: as many that follow each other in a series as the horizon has steps."""
    new = np.flatnonzero(np.diff(found.starts, prepend=-1) != 0)
    within = np.arange(len(found)) - np.repeat(new, np.diff(np.append(new, len(found))))
    begins = within % found.horizon == 0
    return np.cumsum(begins) - 1, int(begins.sum())


def _sums(found: Forecasts, values: Array, intervals: Forecasts | None, blocks: Array) -> Array:
    """(blocks, 5 K): of each target squared and absolute errors, how many, and how many within each interval."""
    known = ~np.isnan(found.actual)
    error = np.where(known, values - found.actual, 0.0)
    inside = [np.zeros(known.shape) for _ in INTERVALS]
    if intervals is not None:
        for place, (low, high) in enumerate(zip(intervals.lows, intervals.highs, strict=True)):
            inside[place] = known & (found.actual >= low) & (found.actual <= high)
    else:
        inside = [np.where(known, np.nan, 0.0)] * len(INTERVALS)  # a rule without intervals
    parts = [part.sum(axis=1) for part in (error**2, np.abs(error), known, *inside)]  # (W, K) each
    table = np.hstack(parts)
    result = np.zeros((int(blocks[-1]) + 1, table.shape[1]))
    np.add.at(result, blocks, table)
    return result


def _mean(sums: Array, K: int, place: int) -> Array:
    counts = sums[..., 2 * K : 3 * K]
    found: Array = np.nanmean(np.where(counts > 0, sums[..., place * K : (place + 1) * K] / counts, np.nan), axis=-1)
    return found


def _rmse(sums: Array, K: int) -> Array:
    counts = sums[..., 2 * K : 3 * K]
    found: Array = np.nanmean(np.where(counts > 0, np.sqrt(sums[..., :K] / counts), np.nan), axis=-1)
    return found


def _mase(sums: Array, K: int, scale: Array) -> Array:
    counts = sums[..., 2 * K : 3 * K]
    found: Array = np.nanmean(np.where(counts > 0, sums[..., K : 2 * K] / counts / scale, np.nan), axis=-1)
    return found


def _losses(found: Forecasts) -> Array:
    """The mean absolute error of each forecast in units of MASE, (W,); NaN where nothing came."""
    scale = np.where(found.scale > 0, found.scale, 1.0)
    error = np.abs(found.forecast - found.actual) / scale
    known = ~np.isnan(error)
    counts = known.sum(axis=(1, 2))
    return np.where(counts > 0, np.where(known, error, 0).sum(axis=(1, 2)) / np.maximum(counts, 1), np.nan)


def _panel_name(found: Forecasts, row: int, k: int) -> str:
    return found.names[k] if found.series is None else f"{found.names[k]} of {found.series[row]}"


def _panels(found: Forecasts, losses: Array) -> list[tuple[str, int, int]]:
    """The last forecast of each of the first series, for each target."""
    last = [int(np.flatnonzero(found.starts == start)[-1]) for start in np.unique(found.starts)[:PANELS]]
    return [(_panel_name(found, row, k), row, k) for row in last for k in range(len(found.names))][:PANELS]


def _fans(series: Series, found: Forecasts, name: str, row: int, k: int, ahead: bool = False) -> Drawing:
    """The end of a series with forecasts made in it, the last of them at ``row``."""
    mine = np.flatnonzero(found.starts == found.starts[row])
    made = mine[::-1][: FANS * found.horizon : found.horizon][::-1]
    times = found.times.to_physical() if False else found.times
    traces: list[dict[str, Any]] = [_known(series, found, row, k, int(made[0]))]
    for place, window in enumerate(made):
        steps = slice(int(window) * found.horizon, (int(window) + 1) * found.horizon)
        x = [_time(t) for t in [found.origins[int(window)], *times[steps].to_list()]]
        start = found.last[window, k]
        first = place == 0
        for percent, low, high, alpha in zip(
            INTERVALS[::-1], found.lows[::-1], found.highs[::-1], (0.15, 0.25), strict=False
        ):
            band = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
            group = {"legendgroup": f"{percent}", "x": x}
            traces.append({**band, **group, "y": rounded(np.append(start, low[window, :, k])), "showlegend": False})
            fill = {"fill": "tonexty", "fillcolor": f"rgba(0,114,178,{alpha})", "name": f"{percent} % interval"}
            traces.append(
                {**band, **group, **fill, "y": rounded(np.append(start, high[window, :, k])), "showlegend": first}
            )
        line = {"type": "scatter", "mode": "lines+markers", "line": {"color": BLUE, "width": 2}, "marker": {"size": 4}}
        shown = {"x": x, "y": rounded(np.append(start, found.forecast[window, :, k])), "legendgroup": "forecast"}
        traces.append({**line, **shown, "name": "forecast", "showlegend": first})
    note = (
        "The end of what training knew, and what the model says comes next, with its intervals."
        if ahead
        else f"The last {counted(len(made), 'forecast')}, {counted(found.horizon, 'step')} apart, each made with what was "
        "known at its beginning, over what came."
    )
    return Drawing(Chart(name, note, figure(traces, x=series.times.name, y=found.names[k]), height=380))


def _known(series: Series, found: Forecasts, row: int, k: int, first: int) -> dict[str, Any]:
    start = int(found.starts[row])
    owner = int(np.searchsorted(series.starts, start, side="right")) - 1
    rows = np.arange(int(series.starts[owner]), int(series.starts[owner] + series.lengths[owner]))
    known = rows[~np.isnan(series.goal_values[rows, k])][-STEPS:]
    times = series.times.gather(known).to_list()
    line = {"type": "scatter", "mode": "lines", "line": {"color": LINE_GREY, "width": 1.5}, "name": "known"}
    return {**line, "x": [_time(t) for t in times], "y": rounded(series.goal_values[known, k])}


def _time(value: Any) -> Any:
    """A time as plotly reads it."""
    return value.isoformat() if hasattr(value, "isoformat") else float(value)


def _by_step(found: Forecasts) -> Drawing:
    scale = np.where(found.scale > 0, found.scale, 1.0)
    steps = list(range(1, found.horizon + 1))
    traces = []
    for place, (name, values) in enumerate({"this model": found.forecast, **found.baselines}.items()):
        error = np.abs(values - found.actual) / (scale if len(found.names) > 1 else 1.0)
        known = ~np.isnan(error)
        means = np.where(known, error, 0).sum(axis=(0, 2)) / np.maximum(known.sum(axis=(0, 2)), 1)
        style = (
            {"color": BLUE, "width": 3} if place == 0 else {"color": PALETTE[(place - 1) % len(PALETTE)], "dash": "dot"}
        )
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "x": steps, "y": rounded(means), "name": name, "line": style}
        )
    title = "mean absolute error" if len(found.names) == 1 else "mean absolute error, scaled"
    return Drawing(
        Chart(
            "Error by step ahead",
            "The further ahead, the harder; a model is worth its while where its line lies below the others.",
            figure(traces, x="steps ahead", y=title, yaxis={"rangemode": "tozero"}, xaxis={"tickformat": "d"}),
        )
    )


def _coverage(found: Forecasts) -> list[Block]:
    if not len(found.lows):
        return [Text("The model has no intervals: nothing was held out in training to measure them on.")]
    known = ~np.isnan(found.actual)
    steps = list(range(1, found.horizon + 1))
    traces: list[dict[str, Any]] = []
    for percent, low, high, colour in zip(INTERVALS, found.lows, found.highs, (ORANGE, BLUE), strict=True):
        inside = known & (found.actual >= low) & (found.actual <= high)
        share = inside.sum(axis=(0, 2)) / np.maximum(known.sum(axis=(0, 2)), 1)
        line = {"type": "scatter", "mode": "lines+markers", "x": steps, "y": rounded(share), "line": {"color": colour}}
        traces.append({**line, "name": f"{percent} % interval"})
        meant = {"type": "scatter", "mode": "lines", "x": steps, "y": [percent / 100] * len(steps), "showlegend": False}
        traces.append({**meant, "line": {"color": colour, "dash": "dash", "width": 1}, "hoverinfo": "skip"})
    return [
        Drawing(
            Chart(
                "Coverage by step ahead",
                "How often what came lay within the intervals; dashed is what was promised. Below it they are too narrow.",
                figure(
                    traces, x="steps ahead", y="share within", yaxis={"tickformat": ".0%"}, xaxis={"tickformat": "d"}
                ),
            )
        )
    ]


def _worst(found: Forecasts, losses: Array) -> Any:
    rows = []
    for row in worst_rows(losses):
        step, k = np.unravel_index(
            int(np.nanargmax(np.abs(found.forecast[row] - found.actual[row]))), found.actual[row].shape
        )
        when = _written(found.times, row * found.horizon + int(step))
        name = [] if found.series is None else [str(found.series[row])]
        cells = [_written(found.origins, row), *name, number(float(losses[row])), when, found.names[k]]
        rows.append(
            (row, [*cells, number(float(found.forecast[row, step, k])), number(float(found.actual[row, step, k]))])
        )
    head = [
        "made",
        *([] if found.series is None else ["series"]),
        "scaled error",
        "worst step",
        "of",
        "forecast",
        "came",
    ]
    texts = (0, 2, 3) if found.series is None else (0, 1, 3, 4)
    return worst_table(f"The {counted(len(rows), 'forecast')} with the largest errors", head, rows, texts=texts)


def _written(times: pl.Series, row: int) -> str:
    value = times[row]
    if hasattr(value, "strftime"):
        return value.strftime("%Y-%m-%d" if (value.hour, value.minute) == (0, 0) else "%Y-%m-%d %H:%M")
    return number(float(value)).replace(",", "")


def _examples(windows: Windows, losses: Array) -> list[Example]:
    """A typical, the best and the worst forecast: series that end where each was made."""
    known = np.flatnonzero(~np.isnan(losses))
    if not len(known):
        return []
    order = known[np.argsort(losses[known], kind="stable")]
    chosen = {"A typical one": order[len(order) // 2], "The most exact": order[0], "The worst": order[-1]}
    found, seen = [], set()
    for title, row in chosen.items():
        if int(row) in seen:
            continue
        seen.add(int(row))
        found.append(
            Example(title, series_until(windows, int(row)), 0, case_anchor(int(row)) if title == "The worst" else "")
        )
    return found


def series_until(windows: Windows, row: int) -> Series:
    """The series of one window up to its last known step, as ``predict`` takes it."""
    series = windows.cut_from
    steps = np.arange(series.steps.height)
    start, end = int(windows.series_starts[row]), int(windows.last_rows[row])
    return series.kept((steps >= start) & (steps <= end))
