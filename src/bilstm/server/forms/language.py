"""Texts, as they are or cut into words; and what taggers answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.text.reader import joined_spans, word_spans
from bilstm.estimators.entities import found_entities
from bilstm.server.forms.form import JSON, Spent, check_steps, kind_of
from bilstm.server.forms.numbers import SOURCE, object_schema
from bilstm.server.problems import wrong
from bilstm.server.settings import Settings


class Sentence(NamedTuple):
    """A text, its words, and where they stand in it (T, 2)."""

    text: str
    words: list[str]
    spans: Array


class Texts:
    """One text a row, or a list of its words."""

    media: tuple[str, ...] = (JSON,)

    def __init__(self, estimator: Any, settings: Settings) -> None:
        self.settings = settings
        text = {"type": "string", "maxLength": settings.characters}
        word = {"type": "string", "minLength": 1, "maxLength": settings.characters}
        words = {"type": "array", "maxItems": settings.steps, "items": word, "description": "Nothing is cut then."}
        self.schema: dict[str, Any] = {"anyOf": [text, words]}
        self.example: Any = _example(estimator)

    def count(self, row: Any) -> int:
        """How many words a list has; a text is yet to be cut."""
        return len(row) if isinstance(row, list) else 0

    def check(self, row: Any, where: str) -> str | list[str]:
        """The text, or its words."""
        if isinstance(row, str):
            self._check_length(len(row), where)
            return row
        if not isinstance(row, list):
            raise wrong(f"expected a text or a list of words, got {kind_of(row)}", where)
        check_steps(len(row), self.settings.steps, where)
        for n, word in enumerate(row):
            if not isinstance(word, str) or not word:
                came = kind_of(word) if word != "" else "an empty one"
                raise wrong(f"expected a word, got {came}", f"{where}[{n}]")
        self._check_length(sum(map(len, row)), where)
        return row

    def _check_length(self, count: int, where: str) -> None:
        if count > self.settings.characters:
            hint = "cut it into sentences, or raise --max-characters where the server runs"
            raise wrong(f"expected at most {self.settings.characters} characters, got {count}", where, hint)

    def prepare(self, row: str | list[str], where: str, spent: Spent) -> Sentence:
        """The words of the text."""
        if isinstance(row, list):
            return Sentence(" ".join(row), row, joined_spans(row))
        spans = word_spans(row)
        return Sentence(row, [row[a:b] for a, b in spans], np.array(spans, dtype=np.int64).reshape(-1, 2))

    def size(self, row: Sentence) -> int:
        """How many words there are."""
        return len(row.words)

    def gather(self, rows: Sequence[Sentence]) -> Dataset:
        """All sentences as one Dataset."""
        return Dataset(
            steps=pl.DataFrame({WORD: pl.Series([word for row in rows for word in row.words], dtype=pl.String)}),
            lengths=np.array([len(row.words) for row in rows]),
            source=SOURCE,
            texts=pl.Series("text", [row.text for row in rows], dtype=pl.String),
            spans=np.concatenate([row.spans for row in rows]),
            is_language=True,
        )


class Tagging:
    """A tag for every word with its probability, and the entities where tags are of that kind."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes: list[str] = estimator.classes_.tolist()
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        place = {"type": "integer", "minimum": 0}
        words = {"type": "array", "items": {"type": "string"}}
        tags = {"type": "array", "items": {"type": "string", "enum": self.classes}}
        entity = object_schema(
            {
                "text": {"type": "string"},
                "type": {"type": "string"},
                "start": place | {"description": "Its first character."},
                "end": place | {"description": "The one past its last."},
                "first": place | {"description": "Its first word."},
                "last": place | {"description": "The one past its last."},
                "probability": chance,
            }
        )
        told = {"words": words, "tags": tags, "probabilities": {"type": "array", "items": chance}}
        entities = {} if estimator.scheme_ is None else {"entities": {"type": "array", "items": entity}}
        self.schema = object_schema(told | entities)

    def predictions(self, data: Dataset) -> list[dict[str, Any]]:
        """``{"words", "tags", "probabilities", "entities"}`` of each sentence; the network runs once for all."""
        model = self.estimator
        outputs = model.outputs(data)
        codes = model.decode(outputs, data.lengths)
        chances = model.marginals(outputs, data.lengths)[np.arange(len(codes)), codes].clip(0, 1).tolist()
        tags, words = [self.classes[code] for code in codes.tolist()], data.steps[WORD].to_list()
        ends = np.cumsum(data.lengths)
        found = [
            {"words": words[a:b], "tags": tags[a:b], "probabilities": chances[a:b]}
            for a, b in zip((ends - data.lengths).tolist(), ends.tolist(), strict=True)
        ]
        if model.scheme_ is not None:
            for prediction, entities in zip(found, _entities(model, data, outputs, codes, self.classes), strict=True):
                prediction["entities"] = entities
        return found


def _entities(model: Any, data: Dataset, outputs: Array, codes: Array, classes: list[str]) -> list[list[Any]]:
    found = found_entities(data, outputs, codes, classes, model.crf_layer)
    return [
        [entity._asdict() | {"probability": min(max(entity.probability, 0.0), 1.0)} for entity in row] for row in found
    ]


def _example(estimator: Any) -> str:
    """Some words that the model knows, frequent ones first."""
    words = [word for word in estimator.words_.words if any(map(str.isalpha, word))]
    return " ".join(words[:6]) or "text"
