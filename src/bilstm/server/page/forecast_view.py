"""A forecast on the page: a chart of what is known and what comes, and its figures. Knows series; forecasts nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import events, ui

from bilstm.estimators.forecasts import INTERVALS
from bilstm.formatting import number, written_times
from bilstm.plotting.charts import Chart, figure
from bilstm.plotting.description import BLUE, ORANGE
from bilstm.server.page import parts
from bilstm.server.page.parts import rendered
from bilstm.server.page.questions import Question, as_csv

SHADES = {80: "rgba(230,159,0,.38)", 95: "rgba(230,159,0,.2)"}  # of the intervals, by their percent
MOST_TARGETS = 4  # with a chart each
Pick = Callable[[int], Awaitable[None]]


def draw_forecast(model: Any, question: Question, answer: dict[str, Any], pick: Pick) -> None:
    """One series: a chart of each target, and the coming steps as a table; of several series one at a time."""
    names = list(dict.fromkeys(step.get("series") for step in answer["steps"]))
    for note in answer["notes"]:
        ui.html(rendered("note", note))
    place = ui.element("div")

    def show(name: str | None) -> None:
        place.clear()
        steps = [step for step in answer["steps"] if step.get("series") == name]
        with place:
            for target in model.target_names_[:MOST_TARGETS]:
                parts.draw(forecast_chart(target, known_part(model, question, target, name), steps))
            head, rows, caption, right = forecast_table(model.target_names_, steps)
            ui.html(rendered("table", head, rows, caption, right))
            parts.download_button(as_csv(*plain_table(model.target_names_, steps)), "forecast.csv")

    if len(names) > 1:

        async def choose(event: events.ValueChangeEventArguments[Any]) -> None:
            show(event.value)
            await pick(names.index(event.value))

        choice = ui.select(names, label="Series", value=names[0], on_change=choose)
        choice.props("outlined dense options-dense").move(target_index=0)
    show(names[0])


def known_part(model: Any, question: Question, target: str, name: str | None) -> tuple[list[Any], list[Any]]:
    """Times and values of the last known steps of one target."""
    series = model.known_ if question.data is None else question.data
    owner = 0 if name is None or series.ids is None else series.ids.to_list().index(name)
    end = int(series.starts[owner] + series.lengths[owner])
    start = max(int(series.starts[owner]), end - int(series.ahead[owner]) - max(model.history, 4 * model.horizon))
    values = series.steps[target].slice(start, end - start)
    known = values.is_not_null()
    return written_times(series.times.slice(start, end - start).filter(known)), values.filter(known).to_list()


def forecast_chart(target: str, known: tuple[list[Any], list[Any]], steps: list[dict[str, Any]]) -> Chart:
    """The end of what is known, the forecast, and its intervals."""
    last_time, last = [part[-1:] for part in known]
    times = last_time + [step["time"] for step in steps]
    said = [step["values"][target] for step in steps]

    def line(key: str, **look: Any) -> dict[str, Any]:
        return {"type": "scatter", "x": times, "y": last + [value[key] for value in said], **look}

    hidden = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    data: list[dict[str, Any]] = []
    percents = [percent for percent in INTERVALS[::-1] if f"low_{percent}" in said[0]]
    for percent in percents:
        shade = {"fill": "tonexty", "fillcolor": SHADES[percent], "name": f"{percent} % interval"}
        data += [line(f"low_{percent}", showlegend=False, **hidden), line(f"high_{percent}", **shade, **hidden)]
    look = {"mode": "lines+markers" if len(steps) < 40 else "lines", "line": {"color": ORANGE, "width": 2.5}}
    known_line = {"type": "scatter", "mode": "lines", "name": "known", "x": known[0], "y": known[1]}
    data += [line("value", name="forecast", **look), {**known_line, "line": {"color": BLUE, "width": 2}}]
    note = "The darker band should hold what comes in 80 of 100 cases, the lighter one in 95." if percents else ""
    return Chart(target, note, figure(data, hovermode="x unified"), height=320)


def forecast_table(
    targets: list[str], steps: list[dict[str, Any]]
) -> tuple[list[str], list[list[str]], str, list[int]]:
    """Heads, rows, caption and columns of numbers of a table of coming steps."""
    head = ["step"]
    for target in targets:
        head += [target] + [
            f"{percent} % interval" for percent in INTERVALS if f"low_{percent}" in steps[0]["values"][target]
        ]
    rows = []
    for step in steps:
        row = [_time(step["time"])]
        for target in targets:
            value = step["values"][target]
            spans = [(value[f"low_{p}"], value[f"high_{p}"]) for p in INTERVALS if f"low_{p}" in value]
            row += [number(value["value"]), *(f"{number(low)} to {number(high)}" for low, high in spans)]
        rows.append(row)
    return head, rows, "The coming steps", list(range(1, len(head)))


def plain_table(targets: list[str], steps: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Heads and rows of the same with all digits, for a file."""
    head = ["step", *(f"{name} {key}" for name in targets for key in steps[0]["values"][name])]
    rows = [[_time(step["time"]), *(v for name in targets for v in step["values"][name].values())] for step in steps]
    return head, rows


def _time(time: Any) -> str:
    """The time of a step, without what every step has."""
    if isinstance(time, float):
        return f"{time:.10g}"
    return str(time).removesuffix("T00:00:00.000000").removesuffix(".000000").replace("T", " ")
