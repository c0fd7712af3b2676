"""A forecaster examined: its errors beside simple rules', the worst forecasts, examples, charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows, cut
from bilstm.errors import DataError
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.formatting import capitalised, counted, number, written_time
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.forecast_comparison import means
from bilstm.metrics.forecasts import coverage_figures, forecast_figures, forecast_parts
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import BLUE, GREY, ORANGE, PALETTE, Axis, Band, Line, Mark, Panel
from bilstm.plotting.interactive import to_plotly
from bilstm.report.blocks import Block, Drawing, Table, Text
from bilstm.report.examination import Examination, Example, case_anchor, examine, without_data, worst_rows

Fan = tuple[Array, Array, Array, Array]  # times, values, lower and upper bounds
FORECAST = BLUE
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
    forecasts = estimator.forecasts(windows)
    if np.isnan(forecasts.actual).all():
        raise DataError(f"expected known values behind a window of history, got none ({dataset.source})")
    losses = _losses(forecasts)
    panels = [(row, k) for row in _last_rows(forecasts) for k in range(len(forecasts.names))][:PANELS]
    drawn: list[Block] = [fan_chart(windows.series, forecasts, row, k) for row, k in panels]
    remarks = [f"{capitalised(forecasts.follows_last)}."] if forecasts.follows_last else []
    return Examination(
        _evaluation(forecasts),
        [*drawn, by_step(forecasts), *coverage(forecasts)],
        [_worst(forecasts, losses)],
        _examples(windows, losses),
        remarks,
        f"{capitalised(forecasts.verdict)}.",
    )


@without_data.register
def _(estimator: BiLSTMForecaster) -> tuple[list[Block], list[Example]]:
    windows = cut(estimator.known_, estimator.history, estimator.horizon, at_end=True)
    forecasts = estimator.forecasts_of(windows)
    panels = [(row, k) for row in range(len(forecasts)) for k in range(len(forecasts.names))][:PANELS]
    drawn: list[Block] = [fan_chart(windows.series, forecasts, row, k, ahead=True) for row, k in panels]
    return drawn, [Example("The steps that come next", None, 0)]


def _evaluation(forecasts: Forecasts) -> Evaluation:
    """Figures of forecasts and of their baselines, block by block."""
    K = len(forecasts.names)
    known = {figure.name: figure for figure in forecast_figures(K, forecasts.scale)}
    order = ("mase", "mae", "rmse") if K > 1 else ("mae", "rmse", "mase")  # of different sizes only mase compares
    figures = [*(known[name] for name in order), *coverage_figures(K, INTERVALS[: len(forecasts.lows)])]
    blocks = _blocks(forecasts.starts, forecasts.horizon)

    def parts(forecast: Array, intervals: Sequence[tuple[Array, Array] | None]) -> list[Array]:
        sums = []
        for part in forecast_parts(forecasts.actual, forecast, intervals):
            sums.append(np.zeros((int(blocks[-1]) + 1, K)))
            np.add.at(sums[-1], blocks, part)
        return sums

    none = [None] * len(forecasts.lows)
    references = [
        Reference(name, RULES.get(name, "a simple rule"), parts(values, none))
        for name, values in forecasts.baselines.items()
    ]
    mine = parts(forecasts.forecast, list(zip(forecasts.lows, forecasts.highs, strict=True)))
    count = f"{counted(len(forecasts), 'forecast')} of {counted(forecasts.horizon, 'step')}"
    if forecasts.horizon == 1:
        return Evaluation("forecast", count, figures, mine, references)
    what = (
        f"A block is {BLOCK * forecasts.horizon} forecasts in a row of one series: forecasts that overlap err together."
    )
    return Evaluation("block", count, figures, mine, references, what)


def _blocks(starts: Array, horizon: int) -> Array:
    """The block that each forecast belongs to, by where its series starts: four horizons of one series in a row."""
    length = BLOCK * horizon if horizon > 1 else 1  # of one step ahead none overlap
    new = np.flatnonzero(np.diff(starts, prepend=-1) != 0)
    within = np.arange(len(starts)) - np.repeat(new, np.diff(np.append(new, len(starts))))
    numbers: Array = np.cumsum(within % length == 0) - 1
    return numbers


def _losses(forecasts: Forecasts) -> Array:
    """The mean absolute error of each forecast in units of MASE, (W,); NaN where nothing came."""
    error = np.abs(forecasts.forecast - forecasts.actual) / np.where(forecasts.scale > 0, forecasts.scale, 1.0)
    return means(error, ~np.isnan(error), axis=(1, 2))


def _last_rows(forecasts: Forecasts) -> list[int]:
    """The last forecast of each of the first series."""
    return [int(np.flatnonzero(forecasts.starts == start)[-1]) for start in np.unique(forecasts.starts)[:PANELS]]


def _worst(forecasts: Forecasts, losses: Array) -> Table:
    rows, worst = [], worst_rows(losses)
    for row in worst:
        error = np.abs(forecasts.forecast[row] - forecasts.actual[row])
        step, k = np.unravel_index(int(np.nanargmax(error)), error.shape)
        said, came = float(forecasts.forecast[row, step, k]), float(forecasts.actual[row, step, k])
        made, when = forecasts.origins[row], forecasts.times[row * forecasts.horizon + int(step)]
        cells = [written_time(made), number(float(losses[row])), written_time(when)]
        rows.append([*cells, panel_name(forecasts, row, int(k)), number(said), number(came)])
    head = ["made", "scaled error", "worst step", "of", "forecast", "came"]
    caption = f"The {counted(len(rows), 'forecast')} with the largest errors, in units of MASE"
    return Table(caption, head, rows, (0, 2, 3), [case_anchor(row) for row in worst])


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
    if not reach:
        return part
    known = pl.int_range(pl.len()) <= end - start
    return replace(part, steps=part.steps.with_columns(pl.when(known).then(pl.exclude(list(part.future)))))


# -- charts ------------------------------------------------------------------------------------------------------

FANS = 8  # forecasts in a chart
STEPS = 500  # of a series in a chart


def fan_chart(series: Series, forecasts: Forecasts, row: int, k: int, ahead: bool = False) -> Drawing:
    """The end of a series with forecasts of target ``k`` made in it, the last at ``row``; ``ahead``: none has come."""
    mine = np.flatnonzero(forecasts.starts[: row + 1] == forecasts.starts[row])
    made = mine[::-1][: FANS * forecasts.horizon : forecasts.horizon][::-1]
    marks = [
        _known(series, forecasts, int(made[0]), k),
        *fan_marks([fan(forecasts, int(window), k) for window in made]),
    ]
    note = "The end of what training knew, what the model says comes next, and how sure it is."
    if not ahead:
        how_many, apart = counted(len(made), "forecast"), counted(forecasts.horizon, "step")
        note = f"The last {how_many}, {apart} apart, each made with what was known when it begins, over what came."
    name = panel_name(forecasts, row, k)
    panel = Panel(marks, Axis(series.times.name), Axis(forecasts.names[k]))
    return Drawing(Chart(name, note, to_plotly([panel]), height=380))


def fan(made: Forecasts, row: int, k: int) -> Fan:
    """One forecast from its last known value on: times (h + 1,), values, lower and upper bounds (intervals, h + 1)."""
    steps = slice(row * made.horizon, (row + 1) * made.horizon)
    times = np.concatenate([made.origins.slice(row, 1).to_numpy(), made.times[steps].to_numpy()])
    last = made.last[row, k]
    bounds = [
        np.concatenate([np.full((len(side), 1), last), side[:, row, :, k]], axis=1) for side in (made.lows, made.highs)
    ]
    return times, np.append(last, made.forecast[row, :, k]), bounds[0], bounds[1]


def fan_marks(fans: Sequence[Fan]) -> list[Mark]:
    """Forecasts with their intervals."""
    marks: list[Mark] = []
    for later, (when, middle, lows, highs) in enumerate(fans):
        for percent, low, high, opacity in zip(INTERVALS[::-1], lows[::-1], highs[::-1], (0.16, 0.28), strict=False):
            name = "" if later else f"{percent} % interval"
            marks.append(Band(when, low, high, name=name, colour=FORECAST, opacity=opacity))
        name, marker = "" if later else "forecast", 2.5 if len(when) < 16 else 0
        marks.append(Line(middle, when, name=name, colour=FORECAST, marker=marker))
    return marks


def panel_name(forecasts: Forecasts, row: int, k: int) -> str:
    """The target, and the series where they have names."""
    return forecasts.names[k] if forecasts.series is None else f"{forecasts.names[k]} of {forecasts.series[row]}"


def _known(series: Series, forecasts: Forecasts, first: int, k: int) -> Line:
    """What is known of the series around these forecasts: as much before the first as they are long."""
    owner = int(np.searchsorted(series.starts, forecasts.starts[first], side="right")) - 1
    rows = np.arange(int(series.starts[owner]), int(series.starts[owner] + series.lengths[owner]))
    origin = int((series.times.gather(rows) <= forecasts.origins[first]).sum())
    before = max(2 * FANS * forecasts.horizon, 40)
    rows = rows[max(0, origin - before) :]
    most = max(STEPS, (FANS + 2) * forecasts.horizon)  # no forecast is left without what came
    known = rows[~np.isnan(series.target_matrix[rows, k])][-most:]
    times = series.times.gather(known).to_numpy()
    return Line(series.target_matrix[known, k], times, name="known", colour=GREY)


def by_step(forecasts: Forecasts) -> Drawing:
    """The mean absolute error at each step ahead, of the model and of simple rules."""
    scale = np.where(forecasts.scale > 0, forecasts.scale, 1.0) if len(forecasts.names) > 1 else 1.0
    rules = {name: np.abs(values - forecasts.actual) / scale for name, values in forecasts.baselines.items()}
    lines = [
        Line(_by_step(np.abs(forecasts.forecast - forecasts.actual) / scale), width=3, marker=4, name="this model")
    ]
    for colour, (name, error) in zip(cycle(PALETTE[1:]), rules.items(), strict=False):
        lines.append(Line(_by_step(error), colour=colour, dash="dot", marker=4, name=name))
    title = "mean absolute error" + (", scaled" if len(forecasts.names) > 1 else "")
    note = "The further ahead, the harder; a model is worth its while where its line lies below the others."
    highest = max((float(np.max(line.y)) for line in lines), default=1.0)
    return _steps_chart("Error by step ahead", note, lines, Axis(title, limits=(0, 1.05 * highest)))


def coverage(forecasts: Forecasts) -> list[Block]:
    """How often what came lay within the intervals, at each step ahead."""
    if not len(forecasts.lows):
        return [Text("The model has no intervals: nothing was held out in training to measure them on.")]
    known = ~np.isnan(forecasts.actual)
    lines = []
    for percent, low, high, colour in zip(INTERVALS, forecasts.lows, forecasts.highs, (ORANGE, BLUE), strict=True):
        inside = np.where(known, (forecasts.actual >= low) & (forecasts.actual <= high), np.nan)
        lines.append(Line(_by_step(inside), colour=colour, marker=4, name=f"{percent} % interval"))
        lines.append(Line([percent / 100] * forecasts.horizon, colour=colour, dash="dash", width=1))
    note = "How often what came lay within the intervals; dashed is what was promised. Below it they are too narrow."
    axis = Axis("share within", scale="percent", limits=(0, 1.03))
    return [_steps_chart("Coverage by step ahead", note, lines, axis)]


def _by_step(values: Array) -> Array:
    """The mean of what is known at each step ahead, of (W, h, K)."""
    return np.nan_to_num(means(values, ~np.isnan(values), axis=(0, 2)))


def _steps_chart(title: str, note: str, lines: Sequence[Line], y: Axis) -> Drawing:
    marks = [replace(line, x=np.arange(1, len(line.y) + 1)) for line in lines]
    return Drawing(Chart(title, note, to_plotly([Panel(marks, Axis("steps ahead", scale="whole"), y)])))
