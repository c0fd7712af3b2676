"""How predictions become JSON, and the schema of that: numbers, labels, tags, forecasts, transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import singledispatch
from typing import Any, Protocol

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.errors import DataError, ParameterError, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.entities import found_entities
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.server.errors import invalid
from bilstm.server.formats.values import NUMBER, NUMBER_OR_NULL, TEXT, iso_times, list_schema, object_schema

PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}


class OutputFormat(Protocol):
    schema: dict[str, Any]  # of one prediction, in OpenAPI 3.0

    def predict(self, data: Any) -> list[dict[str, Any]]: ...  # one for each row of gathered data


@singledispatch
def output_format(estimator: BiLSTMEstimator) -> OutputFormat:
    raise ParameterError(f"The server has no format for the predictions of {type(estimator).__name__}.")


@output_format.register(BiLSTMRegressor)
class Numbers:
    def __init__(self, estimator: BiLSTMRegressor) -> None:
        self.estimator = estimator
        self.names = estimator.target_names_
        self.schema = object_schema({"values": object_schema(dict.fromkeys(self.names, NUMBER))})

    def predict(self, data: Dataset) -> list[dict[str, Any]]:
        values = np.asarray(self.estimator.predict(data), dtype=np.float64).reshape(len(data), -1)
        return [{"values": dict(zip(self.names, row, strict=True))} for row in values.tolist()]


@output_format.register(BiLSTMClassifier)
class Labels:
    """A label, its probability, and the probabilities of all."""

    def __init__(self, estimator: BiLSTMClassifier) -> None:
        self.estimator = estimator
        self.labels = estimator.classes_.tolist()
        self.names = [str(label) for label in self.labels]
        label = {"enum": self.labels}
        chosen = {"labels": list_schema(label)} if estimator.several_ else {"label": label}
        probabilities = object_schema(dict.fromkeys(self.names, PROBABILITY))
        self.schema = object_schema({**chosen, "probability": PROBABILITY, "probabilities": probabilities})

    def predict(self, data: Dataset) -> list[dict[str, Any]]:
        """``{"label", "probability", "probabilities"}`` of each row; ``labels`` where there may be several."""
        probabilities = self.estimator.predict_proba(data)
        choose = self._several if self.estimator.several_ else self._one
        rows = probabilities.tolist()
        return [choose(row) | {"probabilities": dict(zip(self.names, row, strict=True))} for row in rows]

    def _one(self, row: list[float]) -> dict[str, Any]:
        best = int(np.argmax(row))
        return {"label": self.labels[best], "probability": row[best]}

    def _several(self, row: list[float]) -> dict[str, Any]:
        chosen = [label for label, probability in zip(self.labels, row, strict=True) if probability >= 0.5]
        return {"labels": chosen, "probability": float(np.prod([max(share, 1 - share) for share in row]))}


@output_format.register(BiLSTMTagger)
class Tags:
    """A tag for every word with its probability, and the entities where tags are of that kind."""

    def __init__(self, estimator: BiLSTMTagger) -> None:
        self.estimator = estimator
        self.classes: list[str] = estimator.classes_.tolist()
        tags, shares = list_schema(TEXT | {"enum": self.classes}), list_schema(PROBABILITY)
        properties = {"words": list_schema(TEXT), "tags": tags, "probabilities": shares}
        if estimator.scheme_ is not None:
            place, past = {"type": "integer", "minimum": 0}, "The one past its last."
            letters = {"start": place | {"description": "Its first character."}, "end": place | {"description": past}}
            words = {"first": place | {"description": "Its first word."}, "last": place | {"description": past}}
            entity = {"text": TEXT, "type": TEXT, **letters, **words, "probability": PROBABILITY}
            properties["entities"] = list_schema(object_schema(entity))
        self.schema = object_schema(properties)

    def predict(self, data: Dataset) -> list[dict[str, Any]]:
        """``{"words", "tags", "probabilities", "entities"}`` of each sentence; the network runs once for all."""
        estimator = self.estimator
        outputs = estimator.outputs(data)
        codes = estimator.decode(outputs, data.lengths)
        marginals = estimator.marginals(outputs, data.lengths)[np.arange(len(codes)), codes].clip(0, 1).tolist()
        tags, words = [self.classes[code] for code in codes.tolist()], data.steps[WORD].to_list()
        ends = np.cumsum(data.lengths)
        predictions = [
            {"words": words[a:b], "tags": tags[a:b], "probabilities": marginals[a:b]}
            for a, b in zip((ends - data.lengths).tolist(), ends.tolist(), strict=True)
        ]
        if estimator.scheme_ is not None:
            for prediction, entities in zip(predictions, self._entities(data, outputs, codes), strict=True):
                prediction["entities"] = entities
        return predictions

    def _entities(self, data: Dataset, outputs: Array, codes: Array) -> list[list[dict[str, Any]]]:
        entities = found_entities(data, outputs, codes, self.classes, self.estimator.crf_layer)
        return [[one._asdict() | {"probability": _clamped(one.probability)} for one in row] for row in entities]


@output_format.register(BiLSTMForecaster)
class Forecasts:
    """The steps to come, each with its time, its value and the bounds of its intervals."""

    def __init__(self, estimator: BiLSTMForecaster) -> None:
        self.estimator = estimator
        self.names = estimator.target_names_
        self.bounds = [f"{side}_{percent}" for percent in INTERVALS for side in ("low", "high")]
        value = object_schema({"value": NUMBER_OR_NULL, **dict.fromkeys(self.bounds, NUMBER_OR_NULL)}, self.bounds)
        values = object_schema(dict.fromkeys(self.names, value))
        step = {"series": TEXT | {"nullable": True}, "time": {"anyOf": [TEXT, NUMBER]}, "values": values}
        notes = list_schema(TEXT) | {"description": "What was odd about the series."}
        self.schema = object_schema({"steps": list_schema(object_schema(step, ["series"])), "notes": notes})

    def predict(self, data: Sequence[pl.DataFrame | None]) -> list[dict[str, Any]]:
        return [self._one(series, f"rows[{n}]") for n, series in enumerate(data)]

    def _one(self, series: pl.DataFrame | None, where: str) -> dict[str, Any]:
        with record_warnings(show=False) as messages, np.errstate(all="ignore"):
            try:
                frame = self.estimator.predict(series)
            except DataError as error:
                raise invalid(error.message.replace("(X", f"({where}"), where, error.hint) from None
        columns = {name: frame[name].to_list() for name in frame.columns}
        has_names = self.estimator.known_.ids is not None
        times = iso_times(frame[frame.columns[1 if has_names else 0]])
        names = columns[frame.columns[0]]
        steps = [
            ({"series": names[n]} if has_names else {})
            | {"time": time, "values": {name: self._value(columns, name, n) for name in self.names}}
            for n, time in enumerate(times)
        ]
        return {"steps": steps, "notes": [message.replace("(X", "(this series") for message in messages]}

    def _value(self, columns: dict[str, list[Any]], name: str, n: int) -> dict[str, Any]:
        bounds = {bound: columns[f"{name}_{bound}"][n] for bound in self.bounds if f"{name}_{bound}" in columns}
        return {"value": columns[f"predicted_{name}"][n]} | bounds


@output_format.register(BiLSTMTranscriber)
class Transcripts:
    """Text, words with their times, confidence, and what is odd about the recording."""

    def __init__(self, estimator: BiLSTMTranscriber) -> None:
        self.estimator = estimator
        second = NUMBER | {"minimum": 0, "description": "In seconds."}
        word = object_schema({"text": TEXT, "start": second, "end": second, "confidence": PROBABILITY})
        note = TEXT | {"nullable": True, "description": "What is wrong with the recording."}
        self.schema = object_schema({"text": TEXT, "confidence": PROBABILITY, "words": list_schema(word), "note": note})

    def predict(self, data: list[tuple[Array, int]]) -> list[dict[str, Any]]:
        predictions = []
        for transcript in self.estimator.transcribe(data):
            prediction = asdict(transcript)
            del prediction["alternatives"]
            prediction["confidence"] = _clamped(transcript.confidence)
            prediction["words"] = [
                word._asdict() | {"confidence": _clamped(word.confidence)} for word in transcript.words
            ]
            predictions.append(prediction)
        return predictions


def _clamped(probability: float) -> float:
    """A probability without what rounding has added at its ends."""
    return min(max(probability, 0.0), 1.0)
