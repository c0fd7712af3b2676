"""A forecaster examined: its errors beside simple rules', the worst forecasts, examples, charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows, cut
from bilstm.errors import DataError
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.formatting import counted, number, written_time
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.forecasts import coverage_figures, forecast_figures, forecast_parts
from bilstm.plotting.charts import Chart, figure, rounded
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PINK, RED, SKY
from bilstm.report.blocks import Block, Drawing, Table, Text
from bilstm.report.examination import Examination, Example, case_anchor, examine, without_data, worst_rows, worst_table

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


@examine.register
def _(estimator: BiLSTMForecaster, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    windows = estimator.with_targets(dataset)
    if not len(windows):
        raise DataError(f"expected steps that can be forecast, got none ({dataset.source})")
    say(f"judging {len(windows):,} forecasts")
    found = estimator.forecasts(windows)
    if np.isnan(found.actual).all():
        raise DataError(f"expected known values behind a window of history, got none ({dataset.source})")
    losses = _losses(found)
    panels = [(row, k) for row in _last_rows(found) for k in range(len(found.names))][:PANELS]
    drawn: list[Block] = [fan_chart(windows.series, found, row, k) for row, k in panels]
    remarks = [f"{_capital(found.follows_last)}."] if found.follows_last else []
    return Examination(
        _evaluation(found),
        [*drawn, by_step(found), *coverage(found)],
        [_worst(found, losses)],
        _examples(windows, losses),
        remarks,
        f"{_capital(found.verdict)}.",
    )


@without_data.register
def _(estimator: BiLSTMForecaster) -> tuple[list[Block], list[Example]]:
    windows = cut(estimator.known_, estimator.history, estimator.horizon, at_end=True)
    found = estimator.forecasts_of(windows)
    panels = [(row, k) for row in range(len(found)) for k in range(len(found.names))][:PANELS]
    drawn: list[Block] = [fan_chart(windows.series, found, row, k, ahead=True) for row, k in panels]
    return drawn, [Example("The steps that come next", None, 0)]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _evaluation(found: Forecasts) -> Evaluation:
    """Figures of forecasts and of their baselines, block by block."""
    K = len(found.names)
    known = {figure.name: figure for figure in forecast_figures(K, found.scale)}
    order = ("mase", "mae", "rmse") if K > 1 else ("mae", "rmse", "mase")  # of different sizes only mase compares
    figures = [*(known[name] for name in order), *coverage_figures(K, INTERVALS[: len(found.lows)])]
    blocks = _blocks(found.starts, found.horizon)

    def parts(forecast: Array, intervals: Sequence[tuple[Array, Array] | None]) -> list[Array]:
        sums = []
        for part in forecast_parts(found.actual, forecast, intervals):
            sums.append(np.zeros((int(blocks[-1]) + 1, K)))
            np.add.at(sums[-1], blocks, part)
        return sums

    none = [None] * len(found.lows)
    references = [
        Reference(name, RULES.get(name, "a simple rule"), parts(values, none))
        for name, values in found.baselines.items()
    ]
    mine = parts(found.forecast, list(zip(found.lows, found.highs, strict=True)))
    count = f"{counted(len(found), 'forecast')} of {counted(found.horizon, 'step')}"
    if found.horizon == 1:
        return Evaluation("forecast", count, figures, mine, references)
    what = f"A block is {BLOCK * found.horizon} forecasts in a row of one series: forecasts that overlap err together."
    return Evaluation("block", count, figures, mine, references, what)


def _blocks(starts: Array, horizon: int) -> Array:
    """The block that each forecast belongs to, by where its series starts: four horizons of one series in a row."""
    length = BLOCK * horizon if horizon > 1 else 1  # of one step ahead none overlap
    new = np.flatnonzero(np.diff(starts, prepend=-1) != 0)
    within = np.arange(len(starts)) - np.repeat(new, np.diff(np.append(new, len(starts))))
    numbers: Array = np.cumsum(within % length == 0) - 1
    return numbers


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
    series = windows.series
    start, end = int(windows.series_starts[row]), int(windows.ends[row])
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


# -- charts ------------------------------------------------------------------------------------------------------

FANS = 8  # forecasts in a chart
STEPS = 500  # of a series in a chart
GREY = "#8a8a8a"  # which stands out on white and on black
PALETTE = (ORANGE, GREEN, PINK, SKY, RED)
BANDS = {80: "rgba(0,114,178,0.25)", 95: "rgba(0,114,178,0.15)"}


def fan_chart(series: Series, found: Forecasts, row: int, k: int, ahead: bool = False) -> Drawing:
    """The end of a series with the forecasts that were made in it, the last of them at ``row``.

    Args:
        series: that the forecasts are of.
        found: the forecasts.
        row: the last one that is drawn.
        k: which target.
        ahead: whether these are of steps that have not come yet.
    """
    mine = np.flatnonzero(found.starts[: row + 1] == found.starts[row])
    made = mine[::-1][: FANS * found.horizon : found.horizon][::-1]
    traces = [_known(series, found, int(made[0]), k)]
    for window in made:
        traces += _fan(found, int(window), k, with_legend=window == made[0])
    note = "The end of what training knew, what the model says comes next, and how sure it is."
    if not ahead:
        how_many, apart = counted(len(made), "forecast"), counted(found.horizon, "step")
        note = f"The last {how_many}, {apart} apart, each made with what was known when it begins, over what came."
    name = panel_name(found, row, k)
    return Drawing(Chart(name, note, figure(traces, x=series.times.name, y=found.names[k]), height=380))


def panel_name(found: Forecasts, row: int, k: int) -> str:
    """The target, and the series where they have names."""
    return found.names[k] if found.series is None else f"{found.names[k]} of {found.series[row]}"


def _fan(found: Forecasts, window: int, k: int, with_legend: bool) -> list[dict[str, Any]]:
    """One forecast from its last known value on: bands and a line."""
    steps = found.times[window * found.horizon : (window + 1) * found.horizon].to_list()
    x = [_plain_time(time) for time in [found.origins[window], *steps]]
    start = found.last[window, k]
    base = {"type": "scatter", "x": x, "showlegend": False}
    traces: list[dict[str, Any]] = []
    for percent, low, high in zip(INTERVALS[::-1], found.lows[::-1], found.highs[::-1], strict=False):
        edge = {**base, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": str(percent)}
        traces.append({**edge, "y": rounded(np.append(start, low[window, :, k]))})
        fill = {"fill": "tonexty", "fillcolor": BANDS[percent], "name": f"{percent} % interval"}
        traces.append({**edge, **fill, "y": rounded(np.append(start, high[window, :, k])), "showlegend": with_legend})
    line = {"mode": "lines+markers", "line": {"color": BLUE, "width": 2}, "marker": {"size": 4}, "name": "forecast"}
    y = rounded(np.append(start, found.forecast[window, :, k]))
    return [*traces, {**base, **line, "y": y, "legendgroup": "forecast", "showlegend": with_legend}]


def _known(series: Series, found: Forecasts, first: int, k: int) -> dict[str, Any]:
    """What is known of the series around these forecasts: as much before the first as they are long."""
    owner = int(np.searchsorted(series.starts, found.starts[first], side="right")) - 1
    rows = np.arange(int(series.starts[owner]), int(series.starts[owner] + series.lengths[owner]))
    origin = int((series.times.gather(rows) <= found.origins[first]).sum())
    before = max(2 * FANS * found.horizon, 40)
    rows = rows[max(0, origin - before) :]
    most = max(STEPS, (FANS + 2) * found.horizon)  # no forecast is left without what came
    known = rows[~np.isnan(series.target_matrix[rows, k])][-most:]
    line = {"type": "scatter", "mode": "lines", "line": {"color": GREY, "width": 1.5}, "name": "known"}
    times = [_plain_time(time) for time in series.times.gather(known).to_list()]
    return {**line, "x": times, "y": rounded(series.target_matrix[known, k])}


def _plain_time(value: Any) -> Any:
    """A time as plotly reads it."""
    return value.isoformat() if hasattr(value, "isoformat") else float(value)


def by_step(found: Forecasts) -> Drawing:
    """The mean absolute error at each step ahead, of the model and of simple rules."""
    scale = np.where(found.scale > 0, found.scale, 1.0) if len(found.names) > 1 else 1.0
    traces = []
    for place, (name, values) in enumerate({"this model": found.forecast, **found.baselines}.items()):
        error = np.abs(values - found.actual) / scale
        line = (
            {"color": BLUE, "width": 3} if not place else {"color": PALETTE[(place - 1) % len(PALETTE)], "dash": "dot"}
        )
        traces.append(_steps_line(found, error, name, line))
    title = "mean absolute error" + (", scaled" if len(found.names) > 1 else "")
    return Drawing(
        Chart(
            "Error by step ahead",
            "The further ahead, the harder; a model is worth its while where its line lies below the others.",
            figure(traces, x="steps ahead", y=title, yaxis={"rangemode": "tozero"}, xaxis=_step_axis(found)),
        )
    )


def coverage(found: Forecasts) -> list[Block]:
    """How often what came lay within the intervals, at each step ahead."""
    if not len(found.lows):
        return [Text("The model has no intervals: nothing was held out in training to measure them on.")]
    known = ~np.isnan(found.actual)
    traces: list[dict[str, Any]] = []
    for percent, low, high, colour in zip(INTERVALS, found.lows, found.highs, (ORANGE, BLUE), strict=True):
        inside = np.where(known, (found.actual >= low) & (found.actual <= high), np.nan)
        traces.append(_steps_line(found, inside, f"{percent} % interval", {"color": colour}))
        meant = {"type": "scatter", "mode": "lines", "x": traces[-1]["x"], "y": [percent / 100] * found.horizon}
        meant |= {"line": {"color": colour, "dash": "dash", "width": 1}, "showlegend": False, "hoverinfo": "skip"}
        traces.append(meant)
    note = "How often what came lay within the intervals; dashed is what was promised. Below it they are too narrow."
    share = {"tickformat": ".0%", "range": [0, 1.03]}
    drawn = figure(traces, x="steps ahead", y="share within", yaxis=share, xaxis=_step_axis(found))
    return [Drawing(Chart("Coverage by step ahead", note, drawn))]


def _steps_line(found: Forecasts, values: Array, name: str, line: dict[str, Any]) -> dict[str, Any]:
    """The mean of what is known at each step ahead, of (W, h, K)."""
    known = ~np.isnan(values)
    means = np.where(known, values, 0).sum(axis=(0, 2)) / np.maximum(known.sum(axis=(0, 2)), 1)
    shape = {"type": "scatter", "mode": "lines+markers", "x": list(range(1, found.horizon + 1))}
    return {**shape, "y": rounded(means), "name": name, "line": line}


def _step_axis(found: Forecasts) -> dict[str, Any]:
    return {"dtick": max(1, found.horizon // 12)}
