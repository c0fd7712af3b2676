"""Predictions as a person reads them: numbers, bars, marked words, forecasts, transcripts.

Knows what each kind of model answers and how that looks; predicts nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import polars as pl
from nicegui import events, ui

from bilstm.errors import ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.formatting import clipped, number, percent, written_times
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import BLUE, ORANGE, Band, Line, Mark, Panel
from bilstm.plotting.interactive import to_plotly
from bilstm.server.page import widgets
from bilstm.server.page.inputs import Request, as_csv

MOST_BARS = 10  # classes shown as bars
MOST_ROWS = 200  # predictions in a table; all of them are in the file
PROBABILITY = "probability"
COLORS = 6  # of entities, --c0 to --c5 in style.css

Prediction = dict[str, Any]
OnPick = Callable[[int], Awaitable[None]]
Cells = tuple[list[str], list[list[Any]]]  # the names of columns, and rows of numbers and text


def draw_predictions(
    estimator: BiLSTMEstimator, request: Request, predictions: list[Prediction], on_pick: OnPick
) -> None:
    """What the model predicts of one input; or of many as a table, with a closer look at one of them."""
    if len(predictions) == 1:
        draw_prediction(estimator, request, predictions[0], 0, on_pick)
        return
    head, rows = cells(estimator, predictions)
    named = [[name, *row] for name, row in zip(request.names, rows, strict=True)]
    shown = [[_shown(name, value) for name, value in zip(["", *head], row, strict=True)] for row in named[:MOST_ROWS]]
    right = [k + 1 for k, value in enumerate(rows[0]) if isinstance(value, float)]
    first = f", the first {MOST_ROWS} of them here" if len(predictions) > MOST_ROWS else ""
    widgets.text("p", f"{len(predictions):,} predictions{first}", "soft")
    widgets.draw_html("table", ["", *head], shown, "Predictions", right)
    with ui.element("div").classes("row"):
        widgets.download_button(as_csv(["input", *head], named), "predictions.csv")
        chosen = ui.number("Look at number", value=1, min=1, max=len(predictions), step=1, format="%d")
        chosen.props("outlined dense debounce=400").style("width: 10rem")
    closer = ui.element("div").classes("result")

    def draw(row: int) -> None:
        with closer.clear():
            widgets.text("h3", request.names[row])
            draw_prediction(estimator, request, predictions[row], row, on_pick)

    async def choose(event: events.ValueChangeEventArguments[Any]) -> None:
        row = min(max(int(event.value or 1), 1), len(predictions)) - 1
        draw(row)
        await on_pick(row)

    chosen.on_value_change(choose)
    draw(0)


def _shown(head: str, value: Any) -> str:
    if isinstance(value, float):
        return percent(value) if head == PROBABILITY else number(value)
    return clipped(str(value), 40)


@singledispatch
def draw_prediction(
    estimator: BiLSTMEstimator, request: Request, prediction: Prediction, row: int, on_pick: OnPick
) -> None:
    raise ParameterError(f"The page cannot show the predictions of {type(estimator).__name__}.")


@singledispatch
def cells(estimator: BiLSTMEstimator, predictions: list[Prediction]) -> Cells:
    """Many predictions, a line each; for estimators that are asked for many at once."""
    raise ParameterError(f"The page cannot show the predictions of {type(estimator).__name__}.")


# --- numbers and labels -------------------------------------------------------------------------------------


@draw_prediction.register
def _(estimator: BiLSTMRegressor, request: Request, prediction: Prediction, row: int, on_pick: OnPick) -> None:
    usual = zip(estimator.target_names_, estimator.scaler_.mean, estimator.scaler_.scale, strict=True)
    about = "In training {} on average, with a standard deviation of {}."
    values = prediction["values"]
    lines = [(name, number(values[name]), about.format(number(mean), number(scale))) for name, mean, scale in usual]
    widgets.draw_html("numbers", lines)


@cells.register
def _(estimator: BiLSTMRegressor, predictions: list[Prediction]) -> Cells:
    names = estimator.target_names_
    return names, [[prediction["values"][name] for name in names] for prediction in predictions]


@draw_prediction.register
def _(estimator: BiLSTMClassifier, request: Request, prediction: Prediction, row: int, on_pick: OnPick) -> None:
    probabilities = sorted(prediction["probabilities"].items(), key=lambda pair: -pair[1])
    labels = _labels(prediction)
    bars = [
        {"name": name, "percent": round(100 * share, 2), "text": percent(share), "chosen": name in labels}
        for name, share in probabilities[:MOST_BARS]
    ]
    rest = probabilities[MOST_BARS:]
    more = f"and {len(rest)} more, together {percent(sum(share for _, share in rest))}" if rest else ""
    title = ", ".join(sorted(labels)) or "none of the labels"
    widgets.draw_html("label", title, bars, more, f"{estimator.target_names_[0]}, {percent(prediction['probability'])}")


@cells.register
def _(estimator: BiLSTMClassifier, predictions: list[Prediction]) -> Cells:
    rows = [[", ".join(_labels(prediction)), prediction["probability"]] for prediction in predictions]
    return [estimator.target_names_[0], PROBABILITY], rows


def _labels(prediction: Prediction) -> list[str]:
    return [str(label) for label in (prediction["labels"] if "labels" in prediction else [prediction["label"]])]


# --- tags and transcripts -----------------------------------------------------------------------------------


@draw_prediction.register
def _(estimator: BiLSTMTagger, request: Request, prediction: Prediction, row: int, on_pick: OnPick) -> None:
    words = list(zip(prediction["words"], prediction["tags"], prediction["probabilities"], strict=True))
    entities = prediction.get("entities")
    if entities:
        widgets.draw_html("marked", _marked(request.rows[row], entities))
        rows = [[clipped(one["text"], 40), one["type"], percent(one["probability"])] for one in entities]
        widgets.draw_html("table", ["found", "type", "probability"], rows, "What was found", [2])
        return
    if entities is None:
        classes = estimator.classes_.tolist()
        pieces = [
            {"text": word, "type": tag, "title": f"{tag}, {percent(share)}", "color": classes.index(tag) % COLORS}
            for word, tag, share in words
        ]
        widgets.draw_html("marked", [spaced for piece in pieces for spaced in (piece, {"text": " "})])
    else:
        widgets.draw_html("marked", [{"text": request.rows[row]}])
        widgets.text("p", "No names were found.", "note")
    rows = [[word, tag, percent(share)] for word, tag, share in words]
    widgets.draw_html("table", ["word", "tag", "probability"], rows, "Tags of the words", [2])


@cells.register
def _(estimator: BiLSTMTagger, predictions: list[Prediction]) -> Cells:
    if estimator.scheme_ is None:
        return ["tags"], [[" ".join(prediction["tags"])] for prediction in predictions]
    found = [[f"{one['text']} ({one['type']})" for one in prediction["entities"]] for prediction in predictions]
    return ["found"], [[", ".join(texts) or "–"] for texts in found]


def _marked(text: str, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The text cut where entities begin and end."""
    types: dict[str, int] = {}
    pieces: list[dict[str, Any]] = []
    end = 0
    for entity in entities:
        color = types.setdefault(entity["type"], len(types) % COLORS)
        about = f"{entity['type']}, {percent(entity['probability'])}"
        pieces.append({"text": text[end : entity["start"]]})
        inside = text[entity["start"] : entity["end"]]
        pieces.append({"text": inside, "type": entity["type"], "title": about, "color": color})
        end = entity["end"]
    return [*pieces, {"text": text[end:]}]


@draw_prediction.register
def _(estimator: BiLSTMTranscriber, request: Request, prediction: Prediction, row: int, on_pick: OnPick) -> None:
    widgets.text("p", prediction["text"] or "Nothing was understood.", "said")
    widgets.text("p", f"{percent(prediction['confidence'])} sure of exactly this text", "soft")
    if prediction.get("note"):
        widgets.text("p", prediction["note"], "note")
    if prediction["words"]:
        rows = [
            [word["text"], f"{word['start']:.2f}", f"{word['end']:.2f}", percent(word["confidence"])]
            for word in prediction["words"]
        ]
        widgets.draw_html("table", ["word", "from s", "to s", "sure"], rows, "Words with their times", [1, 2, 3])


# --- forecasts ----------------------------------------------------------------------------------------------

OPACITY = {80: 0.38, 95: 0.2}  # of the intervals, by their percent
MOST_TARGETS = 4  # with a chart each


@draw_prediction.register
def _(estimator: BiLSTMForecaster, request: Request, prediction: Prediction, row: int, on_pick: OnPick) -> None:
    names = list(dict.fromkeys(step.get("series") for step in prediction["steps"]))
    for note in prediction["notes"]:
        widgets.text("p", note, "note")
    place = ui.element("div")
    targets = estimator.target_names_

    def show(name: str | None) -> None:
        steps = [step for step in prediction["steps"] if step.get("series") == name]
        with place.clear():
            for target in targets[:MOST_TARGETS]:
                widgets.draw_chart(forecast_chart(target, known_part(estimator, request, target, name), steps))
            head, rows = forecast_table(targets, steps)
            widgets.draw_html("table", head, rows, "The coming steps", list(range(1, len(head))))
            widgets.download_button(as_csv(*plain_table(targets, steps)), "forecast.csv")

    if len(names) > 1:

        async def choose(event: events.ValueChangeEventArguments[Any]) -> None:
            show(event.value)
            await on_pick(names.index(event.value))

        choice = ui.select(names, label="Series", value=names[0], on_change=choose)
        choice.props("outlined dense options-dense").move(target_index=0)
    show(names[0])


def known_part(
    estimator: BiLSTMForecaster, request: Request, target: str, name: str | None
) -> tuple[list[Any], list[float]]:
    """Times and values of the last known steps of one target."""
    series = estimator.known_ if request.data is None else request.data
    owner = 0 if name is None or series.ids is None else series.ids.to_list().index(name)
    end = int(series.starts[owner] + series.lengths[owner])
    shown = int(series.ahead[owner]) + max(estimator.history, 4 * estimator.horizon)
    start = max(int(series.starts[owner]), end - shown)
    values = series.steps[target].slice(start, end - start)
    known = values.is_not_null()
    return written_times(series.times.slice(start, end - start).filter(known)), values.filter(known).to_list()


def forecast_chart(target: str, known: tuple[list[Any], list[float]], steps: list[dict[str, Any]]) -> Chart:
    """The end of what is known, the forecast, and its intervals."""
    times = [*known[0][-1:], *written_steps(steps)]
    values = [step["values"][target] for step in steps]
    # null, where a series cannot be forecast, is drawn as a gap
    lines = {key: np.array([*known[1][-1:], *(value[key] for value in values)], dtype=float) for key in values[0]}
    percents = [one for one in INTERVALS[::-1] if f"low_{one}" in lines]
    marks: list[Mark] = []
    for one in percents:
        name, opacity = f"{one} % interval", OPACITY[one]
        marks.append(Band(times, lines[f"low_{one}"], lines[f"high_{one}"], name=name, colour=ORANGE, opacity=opacity))
    marker = 6 if len(steps) < 40 else 0
    marks.append(Line(lines["value"], times, name="forecast", colour=ORANGE, width=2.5, marker=marker))
    marks.append(Line(known[1], known[0], name="known", colour=BLUE, width=2))
    note = "The darker band should hold what comes in 80 of 100 cases, the lighter one in 95." if percents else ""
    return Chart(target, note, to_plotly([Panel(marks, is_compared=True)]), height=320)


def forecast_table(targets: Sequence[str], steps: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table of coming steps."""
    head, rows = ["step"], [[str(time)] for time in written_steps(steps)]
    for target in targets:
        percents = [one for one in INTERVALS if f"low_{one}" in steps[0]["values"][target]]
        head += [target, *(f"{one} % interval" for one in percents)]
        for row, step in zip(rows, steps, strict=True):
            value = step["values"][target]
            spans = [f"{number(value[f'low_{one}'])} to {number(value[f'high_{one}'])}" for one in percents]
            row += [number(value["value"]), *spans]
    return head, rows


def plain_table(targets: Sequence[str], steps: list[dict[str, Any]]) -> Cells:
    """Heads and rows of the same with all digits, for a file."""
    head = ["step", *(f"{name} {key}" for name in targets for key in steps[0]["values"][name])]
    values = [[value for name in targets for value in step["values"][name].values()] for step in steps]
    return head, [[time, *row] for time, row in zip(written_steps(steps), values, strict=True)]


def written_steps(steps: Sequence[dict[str, Any]]) -> list[Any]:
    times = pl.Series([step["time"] for step in steps])
    return written_times(times if times.dtype.is_numeric() else times.str.to_datetime())
