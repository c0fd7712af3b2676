"""Predictions as a person reads them: numbers, bars, marked words, forecasts, transcripts.

Knows what each task answers and how that looks; predicts nothing.
"""

from __future__ import annotations

from typing import Any

from nicegui import ui

from bilstm.formatting import clipped, number, percent
from bilstm.server.page import parts
from bilstm.server.page.forecast_view import Pick, draw_forecast
from bilstm.server.page.parts import rendered
from bilstm.server.page.questions import Question, as_csv

MOST_BARS = 10  # classes shown as bars
MOST_ROWS = 200  # predictions in a table; all of them are in the file
CHANCE = "probability"
COLORS = 6  # of entities, --c0 to --c5 in style.css

Answer = dict[str, Any]


def draw_answer(model: Any, question: Question, answers: list[Answer], pick: Pick) -> None:
    """What the model says of one input; or of many as a table, with a closer look at one of them."""
    if len(answers) == 1:
        _draw_one(model, question, answers[0], 0, pick)
        return
    head, rows = _lines(model, answers)
    table = [[name, *row] for name, row in zip(question.names, rows, strict=True)]
    shown = [[_shown(name, value) for name, value in zip(["", *head], row, strict=True)] for row in table[:MOST_ROWS]]
    right = [k + 1 for k, value in enumerate(rows[0]) if isinstance(value, float)]
    first = f", the first {MOST_ROWS} of them here" if len(answers) > MOST_ROWS else ""
    parts.words("p", f"{len(answers):,} predictions{first}", "soft")
    ui.html(rendered("table", ["", *head], shown, "Predictions", right))
    with ui.element("div").classes("row"):
        parts.download_button(as_csv(["input", *head], table), "predictions.csv")
        chosen = ui.number("Look at number", value=1, min=1, max=len(answers), step=1, format="%d")
        chosen.props("outlined dense debounce=400").style("width: 10rem")
    closer = ui.element("div").classes("result")

    async def look(value: Any) -> None:
        row = min(max(int(value or 1), 1), len(answers)) - 1
        closer.clear()
        with closer:
            parts.heading(3, question.names[row])
            _draw_one(model, question, answers[row], row, pick)
        await pick(row)

    chosen.on_value_change(lambda event: look(event.value))
    with closer:
        parts.heading(3, question.names[0])
        _draw_one(model, question, answers[0], 0, pick)


def _draw_one(model: Any, question: Question, answer: Answer, row: int, pick: Pick) -> None:
    if model.task == "forecaster":
        draw_forecast(model, question, answer, pick)
        return
    pieces = {"regressor": _numbers, "classifier": _label, "tagger": _tags, "transcriber": _transcript}
    ui.html(pieces[model.task](model, question, answer, row))


def _numbers(model: Any, question: Question, answer: Answer, row: int) -> str:
    usual = zip(model.scaler_.mean, model.scaler_.scale, strict=True)
    told = [
        f"In training {number(mean)} on average, with a standard deviation of {number(scale)}." for mean, scale in usual
    ]
    values = [
        (name, number(answer["values"][name]), text) for name, text in zip(model.target_names_, told, strict=True)
    ]
    return rendered("numbers", values)


def _label(model: Any, question: Question, answer: Answer, row: int) -> str:
    chances = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
    chosen = {str(name) for name in (answer["labels"] if "labels" in answer else [answer["label"]])}
    bars = [
        {"name": name, "percent": round(100 * chance, 2), "text": percent(chance), "chosen": name in chosen}
        for name, chance in chances[:MOST_BARS]
    ]
    rest = len(chances) - len(bars)
    more = f"and {rest} more, together {percent(sum(chance for _, chance in chances[MOST_BARS:]))}" if rest else ""
    title = ", ".join(sorted(chosen)) or "none of the labels"
    return rendered("label", title, bars, more, f"{model.target_names_[0]}, {percent(answer['probability'])}")


def _tags(model: Any, question: Question, answer: Answer, row: int) -> str:
    words = list(zip(answer["words"], answer["tags"], answer["probabilities"], strict=True))
    table = rendered(
        "table", ["word", "tag", "probability"], [[w, t, percent(p)] for w, t, p in words], "Tags of the words", [2]
    )
    if model.scheme_ is None:
        text = [{"text": w, "type": t, "told": f"{t}, {percent(p)}", "color": _color(t, model)} for w, t, p in words]
        spaced = [piece for one in text for piece in (one, {"text": " "})]
        return rendered("marked", spaced)
    found = answer["entities"]
    if not found:
        return rendered("marked", [{"text": question.rows[row]}]) + rendered("note", "No names were found.") + table
    rows = [[clipped(e["text"], 40), e["type"], percent(e["probability"])] for e in found]
    return rendered("marked", _pieces(question.rows[row], found)) + rendered(
        "table", ["found", "type", "probability"], rows, "What was found", [2]
    )


def _pieces(text: str, entities: list[Answer]) -> list[Answer]:
    """The text cut where entities begin and end."""
    kinds: dict[str, int] = {}
    pieces: list[Answer] = []
    end = 0
    for entity in entities:
        color = kinds.setdefault(entity["type"], len(kinds) % COLORS)
        told = f"{entity['type']}, {percent(entity['probability'])}"
        pieces.append({"text": text[end : entity["start"]]})
        inside = text[entity["start"] : entity["end"]]
        pieces.append({"text": inside, "type": entity["type"], "told": told, "color": color})
        end = entity["end"]
    return [*pieces, {"text": text[end:]}]


def _color(tag: str, model: Any) -> int:
    return int(model.classes_.tolist().index(tag)) % COLORS


def _transcript(model: Any, question: Question, answer: Answer, row: int) -> str:
    html = rendered("said", answer["text"], f"{percent(answer['confidence'])} sure of exactly this text")
    if answer.get("note"):
        html += rendered("note", answer["note"])
    if answer["words"]:
        rows = [[w["text"], f"{w['start']:.2f}", f"{w['end']:.2f}", percent(w["confidence"])] for w in answer["words"]]
        html += rendered("table", ["word", "from s", "to s", "sure"], rows, "Words with their times", [1, 2, 3])
    return html


def _lines(model: Any, answers: list[Answer]) -> tuple[list[str], list[list[Any]]]:
    """Many predictions, a line each: the names of columns, and rows of numbers and text."""
    if model.task == "regressor":
        return model.target_names_, [[answer["values"][name] for name in model.target_names_] for answer in answers]
    if model.task == "classifier":
        labels = [", ".join(map(str, a["labels"])) if "labels" in a else str(a["label"]) for a in answers]
        sure = [answer["probability"] for answer in answers]
        return [model.target_names_[0], CHANCE], [list(pair) for pair in zip(labels, sure, strict=True)]
    if model.scheme_ is None:
        return ["tags"], [[" ".join(answer["tags"])] for answer in answers]
    found = [", ".join(f"{e['text']} ({e['type']})" for e in answer["entities"]) for answer in answers]
    return ["found"], [[text or "–"] for text in found]


def _shown(head: str, value: Any) -> str:
    if isinstance(value, float):
        return percent(value) if head == CHANCE else number(value)
    return clipped(str(value), 40)
