"""Forecasts as charts: over what came, by step ahead, and how often intervals held. Knows forecasts; judges none."""

from __future__ import annotations

from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.series.reader import Series
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.formatting import counted
from bilstm.plotting.charts import Chart, figure
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PINK, RED, SKY
from bilstm.report.blocks import Block, Drawing, Text
from bilstm.report.regression import rounded

FANS = 8  # forecasts in a chart
STEPS = 500  # of a series in a chart
GREY = "#8a8a8a"  # which stands out on white and on black
PALETTE = (ORANGE, GREEN, PINK, SKY, RED)
BANDS = {80: "rgba(0,114,178,0.25)", 95: "rgba(0,114,178,0.15)"}


def fans(series: Series, found: Forecasts, row: int, k: int, ahead: bool = False) -> Drawing:
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
    known = rows[~np.isnan(series.goal_values[rows, k])][-most:]
    line = {"type": "scatter", "mode": "lines", "line": {"color": GREY, "width": 1.5}, "name": "known"}
    times = [_plain_time(time) for time in series.times.gather(known).to_list()]
    return {**line, "x": times, "y": rounded(series.goal_values[known, k])}


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
