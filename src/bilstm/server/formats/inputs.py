"""How the rows of a request become what an estimator takes: table rows, sequences, texts, series, sounds.

Which of them a model reads is told by its class and by the data that it was trained on.
"""

from __future__ import annotations

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.series.reader import Series
from bilstm.data.sound.reader import sound_blocks
from bilstm.data.source import Source
from bilstm.data.text.reader import joined_spans, word_spans
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.server.errors import RequestError, invalid
from bilstm.server.formats.values import TEXT, Field, Record, iso_times, kind_of, list_schema
from bilstm.server.settings import Settings

JSON = "application/json"
MULTIPART = "multipart/form-data"
BINARY = "application/octet-stream"
AUDIO = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/aiff")
SOURCE = Source("rows")
LARGEST = 1e30  # of a value of a series: its square fits float64, and after scaling float32
GOES_ON = "null goes on from the training"
BLOCK = 1.0  # seconds of sound decoded at a time, so that a short file of hours is cut off early
Values = list[Any]  # of one record, in the order of the columns


@dataclass
class Usage:
    """What one request has taken so far, all its rows together."""

    steps: int = 0  # or words
    seconds: float = 0.0  # of sound
    since: float = field(default_factory=time.monotonic)  # when the first row was begun


class InputFormat(ABC):
    """One kind of rows of a request."""

    media: ClassVar[tuple[str, ...]] = (JSON,)  # of the request's body
    examples: list[Any]  # rows that work
    schema: dict[str, Any]  # of a row, in OpenAPI 3.0
    fields: Sequence[Field] = ()  # of a record, where rows are records or lists of them

    def count(self, row: Any) -> int:
        """Steps or words of a row as it came, as far as its length tells them."""
        return len(row) if isinstance(row, list) else 0

    @abstractmethod
    def check(self, row: Any, where: str) -> Any:
        """A row, of JSON or bytes, as it is kept in the queue; a quick look that refuses what is of the wrong kind."""

    def prepare(self, row: Any, where: str, usage: Usage) -> Any:
        """A checked row as it goes into a batch; this may take a while, which is added to ``usage``."""
        return row

    def size(self, row: Any) -> int:
        return len(row)

    def gather(self, rows: Sequence[Any]) -> Any:
        """Prepared rows as one piece of data."""
        return rows


@singledispatch
def input_format(estimator: BiLSTMEstimator, settings: Settings) -> InputFormat:
    """The format of the rows that a fitted estimator reads; by default rows of numbers and categories."""
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        return TextRows(estimator, settings)
    return (TableRows if estimator.is_table_ else SequenceRows)(estimator, settings)


def check_steps(count: int, most: int, where: str) -> None:
    if count > most:
        hint = "cut it into parts, or raise --max-steps where the server runs"
        raise invalid(f"expected at most {most} steps or words in a row, got {count}", where, hint)


def _checked_steps(
    record: Record, most: int, row: Any, where: str, kind: str, whole: str, hint: str | None = None
) -> list[Values]:
    if not isinstance(row, list):
        raise invalid(f"expected {kind}, got {kind_of(row)}", where)
    if not row:
        raise invalid(f"expected a {whole} of at least one step, got none", where, hint)
    check_steps(len(row), most, where)
    return [record.check(step, f"{where}[{n}]") for n, step in enumerate(row)]


class SequenceRows(InputFormat):
    """A list of records a row: a sequence of several steps."""

    def __init__(self, estimator: BiLSTMEstimator, settings: Settings) -> None:
        self.most = settings.steps
        self.record = Record([Field.of(column) for column in estimator.features_.columns if column.kind != "left out"])
        self.fields = self.record.fields
        self.schema = list_schema(self.record.schema) | {"minItems": 1, "maxItems": self.most}
        self.examples = [[self.record.example] * 3]

    def check(self, row: Any, where: str) -> list[Values]:
        return _checked_steps(self.record, self.most, row, where, "a list of steps", "sequence")

    def gather(self, rows: Sequence[list[Values]]) -> Dataset:
        columns = zip(*(step for row in rows for step in row), strict=True)
        steps = [_column(field, values, "rows") for field, values in zip(self.fields, columns, strict=True)]
        return Dataset(steps=pl.DataFrame(steps), lengths=np.array([len(row) for row in rows]), source=SOURCE)


class TableRows(SequenceRows):
    """One record a row: a sequence of one step."""

    def __init__(self, estimator: BiLSTMEstimator, settings: Settings) -> None:
        super().__init__(estimator, settings)
        self.schema, self.examples = self.record.schema, [self.record.example]

    def count(self, row: Any) -> int:
        return 1

    def check(self, row: Any, where: str) -> list[Values]:
        return [self.record.check(row, where)]


class Sentence(NamedTuple):
    """A text, its words, and where they stand in it (T, 2)."""

    text: str
    words: list[str]
    spans: Array


class TextRows(InputFormat):
    """One text a row, or a list of its words."""

    def __init__(self, estimator: LanguageEstimator, settings: Settings) -> None:
        self.settings = settings
        text = TEXT | {"maxLength": settings.characters}
        words = list_schema(text | {"minLength": 1}) | {"maxItems": settings.steps}
        self.schema = {"anyOf": [text, words | {"description": "Nothing is cut then."}]}
        known = [word for word in estimator.words_.words if any(map(str.isalpha, word))]  # frequent ones first
        self.examples = [" ".join(known[:6]) or "text"]

    def check(self, row: Any, where: str) -> str | list[str]:
        if not isinstance(row, (str, list)):
            raise invalid(f"expected a text or a list of words, got {kind_of(row)}", where)
        if isinstance(row, list):
            check_steps(len(row), self.settings.steps, where)
            for n, word in enumerate(row):
                if not isinstance(word, str) or not word:
                    came = kind_of(word) if word != "" else "an empty one"
                    raise invalid(f"expected a word, got {came}", f"{where}[{n}]")
        count, most = len(row) if isinstance(row, str) else sum(map(len, row)), self.settings.characters
        if count > most:
            hint = "cut it into sentences, or raise --max-characters where the server runs"
            raise invalid(f"expected at most {most} characters, got {count}", where, hint)
        return row

    def prepare(self, row: str | list[str], where: str, usage: Usage) -> Sentence:
        if isinstance(row, list):
            return Sentence(" ".join(row), row, joined_spans(row))
        spans = word_spans(row)
        return Sentence(row, [row[a:b] for a, b in spans], np.array(spans, dtype=np.int64).reshape(-1, 2))

    def size(self, row: Sentence) -> int:
        return len(row.words)

    def gather(self, rows: Sequence[Sentence]) -> Dataset:
        return Dataset(
            steps=pl.DataFrame({WORD: pl.Series([word for row in rows for word in row.words], dtype=pl.String)}),
            lengths=np.array([len(row.words) for row in rows]),
            source=SOURCE,
            texts=pl.Series("text", [row.text for row in rows], dtype=pl.String),
            spans=np.concatenate([row.spans for row in rows]),
            is_language=True,
        )


@input_format.register(BiLSTMForecaster)
class SeriesRows(InputFormat):
    """One series a row: a list of records with their times; or null for the training series."""

    def __init__(self, estimator: BiLSTMForecaster, settings: Settings) -> None:
        self.most = settings.steps
        self.history = estimator.history
        known: Series = estimator.known_
        time, group = (estimator.read_with_.get(name) for name in ("time", "group"))
        self.fields = _series_fields(known, time, group)
        self.record = Record(self.fields, frozenset(known.future) | frozenset(known.target_columns))
        about = f"At least {self.history} steps in their order; null goes on from the end of the training series."
        size = {"minItems": 1, "maxItems": self.most}
        self.schema = list_schema(self.record.schema) | size | {"nullable": True, "description": about}
        self.examples = [None]

    def check(self, row: Any, where: str) -> list[Any] | None:
        if row is None:
            return None
        return _checked_steps(self.record, self.most, row, where, "a list of steps or null", "series", GOES_ON)

    def prepare(self, row: list[Any] | None, where: str, usage: Usage) -> pl.DataFrame | None:
        if row is None:
            return None
        columns = zip(self.fields, zip(*row, strict=True), strict=True)
        return pl.DataFrame([_column(field, values, where) for field, values in columns])

    def size(self, row: pl.DataFrame | None) -> int:
        return self.history if row is None else row.height


def _series_fields(known: Series, time: str | None, group: str | None) -> list[Field]:
    """The columns of a step: its time and the name of its series where training had these, and its values."""
    fields = []
    if time is not None:
        about, last = f"Steps of {known.clock.name}.", iso_times(known.times)[-1]
        fields.append(Field(time, "time", about=about, example=last))
    if group is not None:
        series = known.ids[0] if known.ids is not None and len(known.ids) else "a"
        fields.append(Field(group, "category", example=series, about="The series that the step belongs to."))
    values = known.steps.select(pl.all().drop_nulls().last()).row(0) if known.steps.height else ()
    examples = dict(zip(known.steps.columns, values, strict=False))
    return [*fields, *(Field(name, "number", -LARGEST, LARGEST, examples.get(name)) for name in known.feature_names)]


def _column(field: Field, values: Sequence[Any], where: str) -> pl.Series:
    is_text = field.kind == "category" or (field.kind == "time" and isinstance(values[0], str))
    if field.kind == "time" and any(isinstance(value, str) != is_text for value in values):
        raise invalid(f"expected times all as text or all as numbers, got both in {field.name!r}", where)
    return pl.Series(field.name, values, dtype=pl.String if is_text else pl.Float64)


@input_format.register(BiLSTMTranscriber)
class SoundRows(InputFormat):
    """One sound file a row: WAV, FLAC, OGG, MP3 or AIFF."""

    media = (*AUDIO, BINARY, MULTIPART)

    def __init__(self, estimator: BiLSTMTranscriber, settings: Settings) -> None:
        self.rate: int = estimator.sound_.rate
        self.settings = settings
        self.schema, self.examples = TEXT | {"format": "binary"}, []

    def check(self, row: Any, where: str) -> bytes:
        if not isinstance(row, (bytes, bytearray, memoryview)):
            raise invalid(f"expected a sound file, got {type(row).__name__}", where)
        if not row:
            raise invalid("expected a sound file, got no bytes", where)
        return bytes(row)

    def prepare(self, row: bytes, where: str, usage: Usage) -> Array:
        """The waveform (T,), decoded block by block up to what the limits of length and time leave of the request."""
        most = self.settings.seconds
        blocks = []
        for block in sound_blocks(_File(row), self.rate, BLOCK, name=where):
            blocks.append(block)
            usage.seconds += len(block) / self.rate
            if usage.seconds > most:
                hint = "send it in several requests, or raise --max-seconds where the server runs"
                message = f"expected at most {most:g} seconds of sound a request, got more"
                raise RequestError(413, message, hint, field=where)
            if time.monotonic() - usage.since > self.settings.timeout:
                raise RequestError(413, "expected sound that is decoded in time, got too much", field=where)
        return np.concatenate(blocks)

    def size(self, row: Array) -> int:
        return 0  # sound is not counted in steps

    def gather(self, rows: Sequence[Array]) -> list[tuple[Array, int]]:
        return [(row, self.rate) for row in rows]


class _File(io.BytesIO):
    """The bytes of a file; a damaged header that leads before their beginning leads there, and nothing is printed."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)
