"""A series to go on from: the end of the training series, or newer values that are pasted or uploaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from nicegui import ui
from nicegui.element import Element

from bilstm.data.dataset import Dataset
from bilstm.data.encoders import Column
from bilstm.data.series.reader import Series
from bilstm.data.sound.recordings import SOUNDS
from bilstm.data.source import Source
from bilstm.data.text.reader import HAN
from bilstm.errors import DataError
from bilstm.formatting import written_times
from bilstm.server.forms.records import usual
from bilstm.server.page.inputs import OVERHEAD, Ask, Fail, Input
from bilstm.server.page.parts import droppable, side_button, text_box, upload_button
from bilstm.server.page.questions import (
    PLAIN_TEXTS,
    Question,
    as_csv,
    columns_of_series,
    question_of_series,
    question_of_texts,
    rows_of_table,
    sequences_of_table,
    series_of_table,
    texts_of,
    written_series,
)

AFTER_TRAINING, NEWER = "After training", "After newer values"
MOST_CELLS = 4000  # of the end of training, to be shown in the box


class SeriesInput(Input):
    """The steps after training need no input."""

    button = "Forecast"
    is_ready = True

    def draw(self, card: ui.element) -> None:
        """A switch, and a box for newer values, which starts with the last of training."""
        known: Series = self.model.known_
        self.kind = ui.toggle([AFTER_TRAINING, NEWER], value=AFTER_TRAINING)
        self.kind.props('no-caps unelevated aria-label="Where the forecast starts"')
        last = written_times(known.known_times)[-1] if "time" in self.model.read_with_ else "its last step"
        of = "" if len(known) == 1 else f" of {len(known)} series"
        ui.label(f"Training{of} ended at {last}.").classes("soft").bind_visibility_from(
            self.kind, "value", value=AFTER_TRAINING
        )
        names = columns_of_series(self.model)
        rows = written_series(self.model, known) if known.steps.height * len(names) <= MOST_CELLS else []
        label = f"CSV: {', '.join(names)}; at least {self.model.history} steps"
        self.box = text_box(label, as_csv(names, rows), rows=12, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=NEWER)
        with self.buttons():
            self.upload(card, "Upload a series", series_of_table)

    def question(self) -> Question:
        """None of a series; or that in the box."""
        if self.kind.value == AFTER_TRAINING:
            return question_of_series(self.model, None)
        text = str(self.box.value or "")
        if not text.strip():
            raise DataError(
                "expected newer values, got an empty box", f"paste rows of {', '.join(columns_of_series(self.model))}"
            )
        return series_of_table(self.model, "the pasted rows", text.encode())


MOST_FIELDS = 60  # columns; more are pasted or uploaded
FIELDS, PASTE = "Fields", "Paste rows"


class TableInput(Input):
    """Numbers start at the mean of training, categories at the first of them."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        """Fields, and behind a switch a box for CSV."""
        self.columns = [column for column in self.model.features_.columns if column.kind != "left out"]
        self.fields: dict[str, Any] = {}
        has_fields = len(self.columns) <= MOST_FIELDS
        self.kind = ui.toggle([FIELDS, PASTE], value=FIELDS if has_fields else PASTE)
        self.kind.props('no-caps unelevated aria-label="How to give the row"').set_visibility(has_fields)
        if has_fields:
            with ui.element("div").classes("fields").bind_visibility_from(self.kind, "value", value=FIELDS):
                for column in self.columns:
                    self.fields[column.name] = self._field(column)
        row = [usual(column) for column in self.columns]
        start = as_csv([column.name for column in self.columns], [row])
        self.box = text_box("CSV: the names of the columns, then rows", start, rows=6, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=PASTE)
        with self.buttons():
            self.upload(card, "Upload a table", rows_of_table)
        told = (
            "Fields start at the mean of the training data, which the X-ray measures from: change some. "
            if has_fields
            else ""
        )
        ui.label(f"{told}An empty field is a value that is not known.").classes("soft")

    def question(self) -> Question:
        """The row in the fields, or the rows in the box."""
        if self.kind.value == PASTE:
            return rows_of_table(self.model, "the pasted rows", str(self.box.value or "").encode())
        row = {column.name: _value(column, self.fields[column.name].value) for column in self.columns}
        kinds = {column.name: pl.Float64 if column.kind == "number" else pl.String for column in self.columns}
        data = Dataset(pl.DataFrame([row], schema=kinds), np.ones(1, dtype=np.int64), source=Source("the form"))
        return Question([row], ["this row"], data)

    def _field(self, column: Column) -> ui.element:
        if column.kind == "number":
            field = ui.number(column.name, value=usual(column)).props('outlined dense step="any"')
            return field.on("keydown.enter", self.submit)
        return ui.select(column.values, label=column.name, value=usual(column), clearable=True).props(
            "outlined dense options-dense"
        )


def _value(column: Column, value: Any) -> Any:
    """What a field holds, as a row of the API holds it."""
    if value is None or value == "":
        return None
    return float(value) if column.kind == "number" else str(value)


def input_of(model: Any, settings: Any, ask: Ask, fail: Fail) -> Input:
    """The form that fits a model."""

    kinds: dict[str, type[Input]] = {"forecaster": SeriesInput, "transcriber": SoundInput}
    if model.task in kinds:
        return kinds[model.task](model, settings, ask, fail)
    if model.is_language_:
        return TextInput(model, settings, ask, fail)
    return (TableInput if model.is_table_ else SequenceInput)(model, settings, ask, fail)


MOST_SECONDS = 60.0  # of a recording by the microphone
WIDEST = 2 * 48_000  # bytes of a second of sound that a microphone gives


# the player gets the file in the browser itself: nothing is sent twice
PLAY = """(files) => {
  const player = getHtmlElement(PLAYER);
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(files[0]);
  player.hidden = false;
}"""


class Microphone(Element, component="microphone.js"):
    """Records, and hands a WAV file to an upload.

    Args:
        upload: what takes the file.
        most: seconds, at most.
    """

    def __init__(self, upload: ui.upload, most: float) -> None:
        super().__init__()
        self.add_resource(Path(__file__).parent / "sound")
        self.props["upload"] = upload.id
        self.props["most"] = most


class SoundInput(Input):
    """A file is transcribed as soon as it is there."""

    def draw(self, card: ui.element) -> None:
        """A microphone, a file, and a player of what was heard."""
        limit = max(self.settings.body - OVERHEAD, 1)
        microphone = ui.element("div")
        with ui.element("div").classes("row"):
            upload = upload_button(
                "Upload a sound file", self._taken, self._failed, kinds=",".join(SOUNDS), most_bytes=limit
            )
        droppable(card, upload)
        with microphone:
            Microphone(upload, float(int(min(MOST_SECONDS, self.settings.seconds, limit / WIDEST))))
        player = ui.element("audio").props('controls hidden aria-label="What was heard"')
        upload.on("added", js_handler=PLAY.replace("PLAYER", str(player.id)))
        ui.label("WAV, FLAC, OGG or MP3. What the microphone hears goes to this server and nowhere else.").classes(
            "soft"
        )

    def question(self) -> Question:
        """There is none before there is a sound."""
        raise DataError("expected a sound, got none", "record one, or upload a file")

    async def _taken(self, name: str, content: bytes) -> None:
        await self.ask(lambda: Question([content], [name], [content]))

    def _failed(self, message: str) -> None:
        self.fail(DataError(message, "choose a shorter recording, or use the command line: bilstm predict"))


EXAMPLE_STEPS = 6


class SequenceInput(Input):
    """One sequence in the box, one or many in a file."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        """A box with steps that waver about the means of training."""
        columns = [column for column in self.model.features_.columns if column.kind != "left out"]
        rows = [
            [
                float(f"{column.mean + (-1) ** step * column.scale / 2:.3g}")
                if column.kind == "number"
                else (column.values[0] if column.values else None)
                for column in columns
            ]
            for step in range(EXAMPLE_STEPS)
        ]
        start = as_csv([column.name for column in columns], rows)
        self.box = text_box("CSV: the names of the columns, then a row for each step", start, rows=12, mono=True)
        self.box.on("keydown.ctrl.enter", self.submit)
        with self.buttons():
            self.upload(card, "Upload sequences", sequences_of_table)
        group = self.model.read_with_.get("group")
        told = f"A file with a column {group!r} holds many sequences; without it, one." if group else ""
        ui.label(f"The steps in the box are made up, near the mean of the training data. {told}").classes("soft")

    def question(self) -> Question:
        """The sequence in the box."""
        return sequences_of_table(self.model, "the pasted rows", str(self.box.value or "").encode())


EXAMPLES = {
    ("tagger", "Han"): "记者李小明报道，东山公司将在北京市开会。",
    ("tagger", ""): "Ann Keller of Northwind moved from Lisbon to Toronto last May.",
    ("classifier", "Han"): "这部电影非常好看，演员也很出色。",
    ("classifier", ""): "What a lovely surprise, I would see it again tomorrow!",
}


class TextInput(Input):
    """One text in the box, many in a file."""

    def draw(self, card: ui.element) -> None:
        """A box, an example, a file."""
        words = self.model.words_.words[:1000]
        han = sum(bool(re.match(f"[{HAN}]", word)) for word in words) > len(words) / 2
        self.example = EXAMPLES[self.model.task, "Han" if han else ""]
        self.box = text_box("Text", rows=6).props(f'placeholder="{self.example}" stack-label')
        self.box.on("keydown.ctrl.enter", self.submit)
        with self.buttons():
            side_button("Use the example", self._use_example)
            self.upload(card, "Upload texts", texts_of, PLAIN_TEXTS)
        ui.label("Ctrl + Enter predicts. A file holds a text on each line, or in a column of a table.").classes("soft")

    def question(self) -> Question:
        """The text in the box, whole."""
        text = str(self.box.value or "")
        if not text.strip():
            raise DataError("expected a text, got an empty box", "type or paste one, or use the example")
        return question_of_texts([text])

    async def _use_example(self) -> None:
        self.box.value = self.example
        await self.submit()
