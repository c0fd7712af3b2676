"""The side of the page on which a person asks: a form for each kind of data that models read, and the rows of it.

A form draws itself and hands requests on; what becomes of them it does not know. No name of an uploaded file ever
becomes a path: its content is read from a fresh file of ours.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
from nicegui import ui
from nicegui.element import Element

from bilstm.data.dataset import Dataset
from bilstm.data.encoders import Column
from bilstm.data.series.reader import Series
from bilstm.data.sound.recordings import SOUNDS
from bilstm.data.source import Source
from bilstm.data.tables.reader import read_raw, read_table
from bilstm.data.text.reader import HAN, read_lines, read_texts
from bilstm.errors import BilstmError, DataError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.formatting import clipped, written_times
from bilstm.server.formats.values import usual
from bilstm.server.page import widgets
from bilstm.server.settings import Settings

PLAIN_TABLES = ".csv,.tsv,.jsonl,.ndjson"  # compressed ones could grow without bounds
PLAIN_TEXTS = f".txt,{PLAIN_TABLES}"
SOUND_FILES = ",".join(SOUNDS)
Content = TypeVar("Content")
OVERHEAD = 64 * 2**10  # bytes of a body that are not the file in it
PASTED = "the pasted rows"
Estimator = TypeVar("Estimator", bound=BiLSTMEstimator)


@dataclass(frozen=True)
class Request:
    rows: list[Any]  # as Served.predict takes them
    names: list[str]  # what each is called on the page
    data: Any = None  # the same as bilstm.xray.x_ray takes it; None: from the end of a forecaster's training


OnRequest = Callable[[Callable[[], Request]], Awaitable[None]]
OnError = Callable[[BilstmError], None]


def most_bytes(settings: Settings) -> int:
    """Bytes of a file that fits into the body of a request."""
    return max(settings.body - OVERHEAD, 1)


class InputForm(ABC, Generic[Estimator]):
    """One kind of input.

    ``on_request`` takes what makes a request, which may fail or take a while, and shows the prediction.
    """

    is_ready = False  # whether there is something to ask before anything was typed

    def __init__(self, estimator: Estimator, settings: Settings, on_request: OnRequest, on_error: OnError) -> None:
        self.estimator, self.settings, self.on_request, self.on_error = estimator, settings, on_request, on_error

    @abstractmethod
    def draw(self, card: ui.element) -> None:
        """Draw the form into its card, which is the current place."""

    @abstractmethod
    def request(self) -> Request:
        """What is typed as a request; DataError where it is none."""

    async def submit(self) -> None:
        await self.on_request(self.request)

    def upload(
        self, card: ui.element, label: str, read: Callable[[Estimator, str, bytes], Request], kinds: str = PLAIN_TABLES
    ) -> ui.upload:
        """A button for a file, dropped on the card or chosen, which is asked at once."""

        async def on_file(name: str, content: bytes) -> None:
            def request() -> Request:
                if kinds != SOUND_FILES:
                    check_lines(name, content, max(self.settings.rows, self.settings.total_steps))
                return read(self.estimator, name, content)

            await self.on_request(request)

        hint, limit = "choose a smaller file, or use the command line: bilstm predict", most_bytes(self.settings)
        return widgets.upload_button(label, on_file, self.on_error, card=card, kinds=kinds, most_bytes=limit, hint=hint)


@singledispatch
def input_form(
    estimator: BiLSTMEstimator, settings: Settings, on_request: OnRequest, on_error: OnError
) -> InputForm[Any]:
    """The form that fits what an estimator reads; by default rows or sequences of numbers and categories."""
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        return TextForm(estimator, settings, on_request, on_error)
    return (TableForm if estimator.is_table_ else SequenceForm)(estimator, settings, on_request, on_error)


# --- rows of numbers and categories ---------------------------------------------------------------------------

MOST_FIELDS = 60  # columns; more are pasted or uploaded
FIELDS, PASTE = "Fields", "Paste rows"
EXAMPLE_STEPS = 6


def _columns(estimator: BiLSTMEstimator) -> list[Column]:
    return [column for column in estimator.features_.columns if column.kind != "left out"]


class TableForm(InputForm[BiLSTMEstimator]):
    """Numbers start at the mean of training, categories at the first of them."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        self.columns = _columns(self.estimator)
        self.fields: dict[str, Any] = {}
        has_fields = len(self.columns) <= MOST_FIELDS
        self.kind = widgets.toggle([FIELDS, PASTE], FIELDS if has_fields else PASTE, "How to give the row")
        self.kind.set_visibility(has_fields)
        if has_fields:
            with ui.element("div").classes("fields").bind_visibility_from(self.kind, "value", value=FIELDS):
                for column in self.columns:
                    self.fields[column.name] = self._field(column)
        start = as_csv([column.name for column in self.columns], [[usual(column) for column in self.columns]])
        self.box = widgets.text_box("CSV: the names of the columns, then rows", start, rows=6, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=PASTE)
        with ui.element("div").classes("row"):
            widgets.primary_button("Predict", self.submit)
            self.upload(card, "Upload a table", rows_of_table)
        about = "Fields start at the mean of the training data, which the X-ray measures from: change some. "
        ui.label(f"{about if has_fields else ''}An empty field is a value that is not known.").classes("soft")

    def request(self) -> Request:
        if self.kind.value == PASTE:
            return rows_of_table(self.estimator, PASTED, str(self.box.value or "").encode())
        row = {column.name: _value(column, self.fields[column.name].value) for column in self.columns}
        kinds = {column.name: pl.Float64 if column.kind == "number" else pl.String for column in self.columns}
        data = Dataset(pl.DataFrame([row], schema=kinds), np.ones(1, dtype=np.int64), source=Source("the form"))
        return Request([row], ["this row"], data)

    def _field(self, column: Column) -> ui.element:
        if column.kind == "number":
            field = ui.number(column.name, value=usual(column)).props('outlined dense step="any"')
            return field.on("keydown.enter", self.submit)
        choice = ui.select(column.values, label=column.name, value=usual(column), clearable=True)
        return choice.props("outlined dense options-dense")


def _value(column: Column, value: Any) -> Any:
    """What a field holds, as a row of the API holds it."""
    if value is None or value == "":
        return None
    return float(value) if column.kind == "number" else str(value)


class SequenceForm(InputForm[BiLSTMEstimator]):
    """One sequence in the box, one or many in a file."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        columns = _columns(self.estimator)
        rows = [[_wavering(column, step) for column in columns] for step in range(EXAMPLE_STEPS)]
        start = as_csv([column.name for column in columns], rows)
        label = "CSV: the names of the columns, then a row for each step"
        self.box = widgets.text_box(label, start, rows=12, mono=True)
        self.box.on("keydown.ctrl.enter", self.submit)
        with ui.element("div").classes("row"):
            widgets.primary_button("Predict", self.submit)
            self.upload(card, "Upload sequences", sequences_of_table)
        group = self.estimator.read_with_.get("group")
        about = f"A file with a column {group!r} holds many sequences; without it, one." if group else ""
        ui.label(f"The steps in the box are made up, near the mean of the training data. {about}").classes("soft")

    def request(self) -> Request:
        return sequences_of_table(self.estimator, PASTED, str(self.box.value or "").encode())


def _wavering(column: Column, step: int) -> Any:
    if column.kind == "number":
        return float(f"{column.mean + (-1) ** step * column.scale / 2:.3g}")
    return column.values[0] if column.values else None


# --- texts --------------------------------------------------------------------------------------------------


class TextForm(InputForm[LanguageEstimator]):
    """One text in the box, many in a file."""

    # in English, in Chinese
    examples = ("What a lovely surprise, I would see it again tomorrow!", "这部电影非常好看，演员也很出色。")

    def draw(self, card: ui.element) -> None:
        words = self.estimator.words_.words[:1000]
        is_chinese = sum(bool(re.match(f"[{HAN}]", word)) for word in words) > len(words) / 2
        example = self.examples[is_chinese]
        self.box = widgets.text_box("Text", rows=6).props(f'placeholder="{example}" stack-label')

        async def use_example() -> None:
            self.box.value = example
            await self.submit()

        self.box.on("keydown.ctrl.enter", self.submit)
        with ui.element("div").classes("row"):
            widgets.primary_button("Predict", self.submit)
            widgets.secondary_button("Use the example", use_example)
            self.upload(card, "Upload texts", texts_of_file, PLAIN_TEXTS)
        ui.label("Ctrl + Enter predicts. A file holds a text on each line, or in a column of a table.").classes("soft")

    def request(self) -> Request:
        text = str(self.box.value or "")
        if not text.strip():
            raise DataError("expected a text, got an empty box", "type or paste one, or use the example")
        return request_of_texts([text])


@input_form.register(BiLSTMTagger)
class SentenceForm(TextForm):
    """The same, with an example in which there are names."""

    examples = (
        "Ann Keller of Northwind moved from Lisbon to Toronto last May.",
        "记者李小明报道，东山公司将在北京市开会。",
    )


# --- series -------------------------------------------------------------------------------------------------

AFTER_TRAINING, NEWER = "After training", "After newer values"
MOST_CELLS = 4000  # of the end of training, to be shown in the box


@input_form.register(BiLSTMForecaster)
class SeriesForm(InputForm[BiLSTMForecaster]):
    """The steps after training need no input."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        known = self.estimator.known_
        self.kind = widgets.toggle([AFTER_TRAINING, NEWER], AFTER_TRAINING, "Where the forecast starts")
        last = written_times(known.known_times)[-1] if "time" in self.estimator.read_with_ else "its last step"
        of = "" if len(known) == 1 else f" of {len(known)} series"
        end = ui.label(f"Training{of} ended at {last}.").classes("soft")
        end.bind_visibility_from(self.kind, "value", value=AFTER_TRAINING)
        names = series_columns(self.estimator)
        rows = series_rows(self.estimator, known) if known.steps.height * len(names) <= MOST_CELLS else []
        label = f"CSV: {', '.join(names)}; at least {self.estimator.history} steps"
        self.box = widgets.text_box(label, as_csv(names, rows), rows=12, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=NEWER)
        with ui.element("div").classes("row"):
            widgets.primary_button("Forecast", self.submit)
            self.upload(card, "Upload a series", series_of_table)

    def request(self) -> Request:
        if self.kind.value == AFTER_TRAINING:
            return Request([None], ["the training series"])
        text = str(self.box.value or "")
        if not text.strip():
            columns = ", ".join(series_columns(self.estimator))
            raise DataError("expected newer values, got an empty box", f"paste rows of {columns}")
        return series_of_table(self.estimator, PASTED, text.encode())


# --- sounds -------------------------------------------------------------------------------------------------

MOST_SECONDS = 60.0  # of a recording by the microphone
WIDEST = 2 * 48_000  # bytes of a second of sound that a microphone gives


class Microphone(Element, component="microphone.js"):
    """Records at most so many seconds, and hands a WAV file to an upload."""

    def __init__(self, upload: ui.upload, most: float) -> None:
        super().__init__()
        self.add_resource(Path(__file__).parent / "sound")
        self.props["upload"], self.props["most"] = upload.id, most


@input_form.register(BiLSTMTranscriber)
class SoundForm(InputForm[BiLSTMTranscriber]):
    """A file is transcribed as soon as it is there."""

    def draw(self, card: ui.element) -> None:
        microphone = ui.element("div")
        with ui.element("div").classes("row"):
            upload = self.upload(card, "Upload a sound file", sound_of_file, SOUND_FILES)
        seconds = min(MOST_SECONDS, self.settings.seconds, most_bytes(self.settings) / WIDEST)
        with microphone:
            Microphone(upload, float(int(seconds)))
        player = ui.element("audio").props('controls hidden aria-label="What was heard"')
        upload.on("added", js_handler=f"(files) => playFile(getHtmlElement({player.id}), files[0])")
        about = "WAV, FLAC, OGG or MP3. What the microphone hears goes to this server and nowhere else."
        ui.label(about).classes("soft")

    def request(self) -> Request:
        raise DataError("expected a sound, got none", "record one, or upload a file")


# --- files and texts as rows of the API -------------------------------------------------------------------------


def check_lines(name: str, content: bytes, most: int) -> None:
    """Raise a DataError for a file of more lines than a request may have steps, before anything is made of them."""
    if (count := content.count(b"\n") + content.count(b"\r")) > 2 * most:
        hint = "upload a part of it, or use the command line: bilstm predict"
        raise DataError(f"expected at most {most:,} lines, got more than {count // 2:,} ({name})", hint)


def read_content(name: str, content: bytes, read: Callable[[Path], Content], kinds: str = PLAIN_TEXTS) -> Content:
    """What a reader of files makes of content that came without a file; errors say ``name`` where it says the path."""
    ending = Path(name).suffix.lower() or ".csv"
    if ending not in kinds.split(","):
        raise DataError(f"expected a table as text ({kinds}), got {ending} ({name})", "save it as CSV")
    if content.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PAR1")):  # whatever it is called
        raise DataError(f"expected a table as text ({kinds}), got a packed file ({name})", "save it as CSV")
    handle, path = tempfile.mkstemp(suffix=ending, prefix="bilstm-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return read(Path(path))
    except BilstmError as error:
        hint = error.hint.replace(path, name) if error.hint else None
        raise DataError(error.message.replace(path, name), hint) from None
    finally:
        os.unlink(path)


def rows_of_table(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    data = read_content(name, content, estimator.read)
    return Request(data.steps.to_dicts(), [f"row {n}" for n in range(len(data))], data)


def sequences_of_table(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    """A file of sequences: those of training's column of groups where it has that column, else one sequence."""
    group = estimator.read_with_.get("group")

    def read(path: Path) -> Dataset:
        if group is not None and group in read_raw(path).columns:
            return estimator.read(path)
        kinds = estimator.features_.kinds
        columns = [column for column in estimator.feature_names_ if column in kinds]
        whole = read_table(path, features=columns, kinds=kinds)
        return Dataset(whole.steps, np.array([whole.steps.height]), source=whole.source)

    data = read_content(name, content, read)
    names = [f"sequence {n}" for n in range(len(data))] if data.ids is None else [str(one) for one in data.ids]
    starts = zip(data.starts.tolist(), data.lengths.tolist(), strict=True)
    return Request([data.steps[a : a + t].to_dicts() for a, t in starts], names, data)


def texts_of_file(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    """A file of texts: a table with the column of training, or lines."""
    is_lines = Path(name).suffix.lower() == ".txt"
    column = estimator.read_with_.get("text", "text")
    data = read_content(name, content, read_lines if is_lines else partial(read_texts, text=column))
    texts = [] if data.texts is None else [text for text in data.texts.to_list() if text.strip() or not is_lines]
    if not texts:
        raise DataError(f"expected lines of text, got none ({name})")
    return request_of_texts(texts)


def request_of_texts(texts: list[str]) -> Request:
    return Request(texts, [clipped(text, 40) for text in texts], texts)


def sound_of_file(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    return Request([content], [name], [content])


def series_of_table(estimator: BiLSTMForecaster, name: str, content: bytes) -> Request:
    """A file of series: newer values to go on from."""
    series = read_content(name, content, estimator.read)
    columns, rows = series_columns(estimator), series_rows(estimator, series)
    return Request([[dict(zip(columns, row, strict=True)) for row in rows]], ["the series"], series)


def series_columns(estimator: BiLSTMForecaster) -> list[str]:
    """The columns of a file of series: the names of series, the times, the values."""
    before = [estimator.read_with_[key] for key in ("group", "time") if key in estimator.read_with_]
    return [*before, *estimator.feature_names_]


def series_rows(estimator: BiLSTMForecaster, series: Series) -> list[list[Any]]:
    """Rows of series as they would stand in a file; see :func:`series_columns`."""
    columns = [series.steps[name].to_list() for name in estimator.feature_names_]
    if "time" in estimator.read_with_:
        columns.insert(0, written_times(series.times, series.clock.zoned))
    if "group" in estimator.read_with_ and series.ids is not None:
        owners = np.repeat(np.arange(len(series)), series.lengths)
        columns.insert(0, series.ids.gather(owners).to_list())
    return [list(row) for row in zip(*columns, strict=True)]


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows below a header.

    Example:
        >>> as_csv(["a", "b"], [[1, None]])
        'a,b\\n1,\\n'
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()
