"""Series of numbers, step after step; and what forecasters answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.series.reader import Series
from bilstm.errors import DataError
from bilstm.estimators.forecasts import INTERVALS
from bilstm.server.forms.form import JSON, Spent, check_steps, kind_of
from bilstm.server.forms.numbers import object_schema
from bilstm.server.forms.records import Field, Record
from bilstm.server.heard import data_warnings_heard
from bilstm.server.problems import wrong
from bilstm.server.settings import Settings


class SeriesRows:
    """One series a row: a list of records with their times; or null for the training series."""

    media: tuple[str, ...] = (JSON,)

    def __init__(self, estimator: Any, settings: Settings) -> None:
        self.estimator = estimator
        self.most = settings.steps
        self.time, self.group = (estimator.read_with_.get(name) for name in ("time", "group"))
        known: Series = estimator.known_
        self.record = Record(self._fields(known), frozenset(known.future) | frozenset(known.target_columns))
        least = estimator.history
        about = f"At least {least} steps in their order; null goes on from the end of the training series."
        steps = {"minItems": 1, "maxItems": self.most, "items": self.record.schema}
        self.schema: dict[str, Any] = {"type": "array", "nullable": True, "description": about, **steps}
        self.example: Any = None

    def _fields(self, known: Series) -> list[Field]:
        names = [
            Field(self.time, "time", about=f"Steps of {known.clock.name}.", example=_stamps(known.times)[-1])
            for _ in range(self.time is not None)
        ]
        if self.group is not None:
            series = known.ids[0] if known.ids is not None and len(known.ids) else "a"
            names.append(Field(self.group, "category", example=series, about="The series that the step belongs to."))
        last = known.steps.select(pl.all().drop_nulls().last()).row(0) if known.steps.height else ()
        examples = dict(zip(known.steps.columns, last, strict=False))
        return [*names, *(Field(name, "number", -LARGEST, LARGEST, examples.get(name)) for name in known.feature_names)]

    def count(self, row: Any) -> int:
        """How many steps the list has."""
        return len(row) if isinstance(row, list) else 0

    def check(self, row: Any, where: str) -> list[Any] | None:
        """The records of the series."""
        if row is None:
            return None
        if not isinstance(row, list):
            raise wrong(f"expected a list of steps or null, got {kind_of(row)}", where)
        if not row:
            raise wrong("expected a series of at least one step, got none", where, "null goes on from the training")
        check_steps(len(row), self.most, where)
        return [self.record.check(step, f"{where}[{n}]") for n, step in enumerate(row)]

    def prepare(self, row: list[Any] | None, where: str, spent: Spent) -> pl.DataFrame | None:
        """The records as a frame."""
        if row is None:
            return None
        columns = [
            _column(field, values, where)
            for field, values in zip(self.record.fields, zip(*row, strict=True), strict=True)
        ]
        return pl.DataFrame(columns)

    def size(self, row: pl.DataFrame | None) -> int:
        """How many steps there are."""
        return self.estimator.history if row is None else row.height

    def gather(self, rows: Sequence[pl.DataFrame | None]) -> Sequence[pl.DataFrame | None]:
        """Each series stays by itself."""
        return rows


LARGEST = 1e30  # of a value: its square fits float64, and after scaling float32


def _column(field: Field, values: Sequence[Any], where: str) -> pl.Series:
    if field.kind == "number":
        return pl.Series(field.name, values, dtype=pl.Float64)
    if field.kind == "category":
        return pl.Series(field.name, values, dtype=pl.String)
    if len({isinstance(value, str) for value in values}) > 1:
        raise wrong(f"expected times all as text or all as numbers, got both in {field.name!r}", where)
    return pl.Series(field.name, values, dtype=pl.String if isinstance(values[0], str) else pl.Float64)


class Forecasting:
    """The steps to come, each with its time, its value and the bounds of its intervals."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.names = list(estimator.target_names_)
        number = {"type": "number", "nullable": True}
        bounds = {f"{side}_{percent}": number for percent in INTERVALS for side in ("low", "high")}
        value = object_schema({"value": number, **bounds}, optional=tuple(bounds))
        values = {
            "type": "object",
            "required": self.names,
            "properties": dict.fromkeys(self.names, value),
            "additionalProperties": False,
        }
        name = {"series": {"type": "string", "nullable": True}}
        time = {"anyOf": [{"type": "string"}, {"type": "number"}]}
        step = object_schema({**name, "time": time, "values": values}, optional=("series",))
        notes = {"type": "array", "items": {"type": "string"}, "description": "What was odd about the series."}
        self.schema = object_schema({"steps": {"type": "array", "items": step}, "notes": notes})

    def predictions(self, data: Sequence[pl.DataFrame | None]) -> list[dict[str, Any]]:
        """``{"steps": […], "notes": […]}`` of each series."""
        return [self._one(series, f"rows[{n}]") for n, series in enumerate(data)]

    def _one(self, series: pl.DataFrame | None, where: str) -> dict[str, Any]:
        with data_warnings_heard() as told, np.errstate(all="ignore"):
            try:
                frame = self.estimator.predict(series)
            except DataError as error:
                raise wrong(error.message.replace("(X", f"({where}"), where, error.hint) from None
        notes = [note.replace("(X", "(this series") for note in told]
        columns = {name: values.to_list() for name, values in zip(frame.columns, frame.get_columns(), strict=True)}
        first = 1 if self.estimator.known_.ids is not None else 0
        times = _stamps(frame[frame.columns[first]])
        return {"steps": [self._step(columns, frame.columns, n, times[n], first) for n in range(len(times))]} | {
            "notes": notes
        }

    def _step(self, columns: dict[str, list[Any]], order: list[str], n: int, time: Any, first: int) -> dict[str, Any]:
        step: dict[str, Any] = {"series": columns[order[0]][n]} if first else {}
        step["time"] = time
        step["values"] = {name: self._value(columns, name, n) for name in self.names}
        return step

    @staticmethod
    def _value(columns: dict[str, list[Any]], name: str, n: int) -> dict[str, Any]:
        value = {"value": columns[f"predicted_{name}"][n]}
        sides = [f"{side}_{percent}" for percent in INTERVALS for side in ("low", "high")]
        return value | {side: columns[f"{name}_{side}"][n] for side in sides if f"{name}_{side}" in columns}


def _stamps(times: pl.Series) -> list[Any]:
    """Times as text or numbers."""
    found: list[Any] = times.to_list() if times.dtype.is_numeric() else times.dt.to_string("iso").to_list()
    return found
