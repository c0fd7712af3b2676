"""Rows of numbers and categories, single or step after step; and what regressors and classifiers answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.dataset import Dataset
from bilstm.data.source import Source
from bilstm.server.forms.form import JSON, Spent, check_steps, kind_of
from bilstm.server.forms.records import Field, Record
from bilstm.server.problems import wrong
from bilstm.server.settings import Settings

SOURCE = Source("rows")
Values = list[Any]  # of one record, in the order of the columns


class TableRows:
    """One record a row."""

    media: tuple[str, ...] = (JSON,)

    def __init__(self, estimator: Any, settings: Settings) -> None:
        columns = [column for column in estimator.features_.columns if column.kind != "left out"]
        self.record = Record([Field.of(column) for column in columns])
        self.schema = self.record.schema
        self.example: Any = self.record.example

    def count(self, row: Any) -> int:
        """One step."""
        return 1

    def check(self, row: Any, where: str) -> list[Values]:
        """The one step of the row."""
        return [self.record.check(row, where)]

    def prepare(self, row: list[Values], where: str, spent: Spent) -> list[Values]:
        """Nothing is left to do."""
        return row

    def size(self, row: list[Values]) -> int:
        """How many steps there are."""
        return len(row)

    def gather(self, rows: Sequence[list[Values]]) -> Dataset:
        """The steps of all rows, one below the other."""
        steps = [step for row in rows for step in row]
        columns = [
            pl.Series(field.name, values, dtype=pl.Float64 if field.kind == "number" else pl.String)
            for field, values in zip(self.record.fields, zip(*steps, strict=True), strict=True)
        ]
        return Dataset(steps=pl.DataFrame(columns), lengths=np.array([len(row) for row in rows]), source=SOURCE)


class StepRows(TableRows):
    """A list of records a row: a sequence of several steps."""

    def __init__(self, estimator: Any, settings: Settings) -> None:
        super().__init__(estimator, settings)
        self.most = settings.steps
        self.example = [self.record.example] * 3
        self.schema = {"type": "array", "minItems": 1, "maxItems": self.most, "items": self.schema}

    def count(self, row: Any) -> int:
        """How many steps the list has."""
        return len(row) if isinstance(row, list) else 0

    def check(self, row: Any, where: str) -> list[Values]:
        """The steps of the row."""
        if not isinstance(row, list):
            raise wrong(f"expected a list of steps, got {kind_of(row)}", where)
        if not row:
            raise wrong("expected a sequence of at least one step, got none", where)
        check_steps(len(row), self.most, where)
        return [self.record.check(step, f"{where}[{n}]") for n, step in enumerate(row)]


class Regression:
    """A number for each target."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.names = list(estimator.target_names_)
        numbers = {name: {"type": "number"} for name in self.names}
        values = {"type": "object", "required": self.names, "properties": numbers, "additionalProperties": False}
        self.schema = object_schema({"values": values})

    def predictions(self, data: Dataset) -> list[dict[str, Any]]:
        """``{"values": {target: number}}`` of each row."""
        found = np.asarray(self.estimator.predict(data), dtype=np.float64).reshape(len(data), -1)
        return [{"values": dict(zip(self.names, row, strict=True))} for row in found.tolist()]


class Classification:
    """A label, its probability, and the probabilities of all."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.labels = estimator.classes_.tolist()
        names = [str(label) for label in self.labels]
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        chances = {
            "type": "object",
            "required": names,
            "properties": dict.fromkeys(names, chance),
            "additionalProperties": False,
        }
        label = {"enum": self.labels}
        told = {"labels": {"type": "array", "items": label}} if estimator.several_ else {"label": label}
        self.names = names
        self.schema = object_schema({**told, "probability": chance, "probabilities": chances})

    def predictions(self, data: Dataset) -> list[dict[str, Any]]:
        """``{"label", "probability", "probabilities"}`` of each row; ``labels`` where there may be several."""
        chances = self.estimator.predict_proba(data)
        if self.estimator.several_:
            return [self._several(row) for row in chances.tolist()]
        best = chances.argmax(axis=1).tolist()
        return [
            {"label": self.labels[k], "probability": row[k], "probabilities": dict(zip(self.names, row, strict=True))}
            for k, row in zip(best, chances.tolist(), strict=True)
        ]

    def _several(self, row: list[float]) -> dict[str, Any]:
        chosen = [label for label, chance in zip(self.labels, row, strict=True) if chance >= 0.5]
        sure = float(np.prod([max(chance, 1 - chance) for chance in row]))
        return {"labels": chosen, "probability": sure, "probabilities": dict(zip(self.names, row, strict=True))}


def object_schema(properties: dict[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
