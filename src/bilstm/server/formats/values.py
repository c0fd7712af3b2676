"""Values of JSON and their schemas; the columns of a table row or of a step, and how they are checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import polars as pl

from bilstm.data.columns import as_text
from bilstm.data.encoders import Column
from bilstm.server.errors import invalid

TEXT: dict[str, Any] = {"type": "string"}  # schemas of OpenAPI 3.0
NUMBER: dict[str, Any] = {"type": "number"}
NUMBER_OR_NULL = NUMBER | {"nullable": True}
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def kind_of(value: Any) -> str:
    """What a JSON value is, in a word.

    Example:
        >>> kind_of([1]), kind_of(None)
        ('a list', 'null')
    """
    return "null" if value is None else KINDS.get(type(value), type(value).__name__)


def quoted(value: Any) -> str:
    """A JSON value as an error shows it: short ones as they are, others by their kind."""
    if not isinstance(value, (str, int, float)) or (isinstance(value, str) and len(value) > 60):
        return kind_of(value)  # to write out what is large, or deep, may take more than there is
    text = repr(value)
    return text if len(text) <= 60 else kind_of(value)


def object_schema(properties: dict[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _bounds(low: float, high: float) -> dict[str, Any]:
    return {"minimum": low, "maximum": high} if math.isfinite(low) else {}


def list_schema(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def iso_times(times: pl.Series) -> list[Any]:
    """Times as numbers, or as text of ISO 8601."""
    values = times if times.dtype.is_numeric() else times.dt.to_string("iso")
    return values.to_list()


LIKELY = 100  # names, and letters of each, among which the one that was meant is looked for
LONGEST_NAME = 1000  # characters of a category or a time
FARTHEST = 1e6  # deviations from the training mean: far beyond any data, and far within float32


@dataclass(frozen=True)
class Field:
    name: str
    kind: str  # number, category or time
    low: float = -math.inf  # bounds of a number
    high: float = math.inf
    example: Any = None
    about: str = ""  # a sentence for the reader of the schema

    @classmethod
    def of(cls, column: Column) -> Field:
        if column.kind == "category":
            shown = ", ".join(map(repr, column.values[:8])) + (", …" if len(column.values) > 8 else "")
            about = f"One of {shown}; others count as unknown."
            return cls(column.name, "category", example=usual(column), about=about)
        width = FARTHEST * column.scale
        about = f"In training {column.mean:.6g} on average, with a deviation of {column.scale:.6g}."
        return cls(column.name, "number", column.mean - width, column.mean + width, usual(column), about)

    @property
    def schema(self) -> dict[str, Any]:
        """Of one value, in OpenAPI 3.0."""
        about = {"description": self.about} if self.about else {}
        if self.kind == "number":
            return NUMBER_OR_NULL | _bounds(self.low, self.high) | about
        texts = [TEXT | {"maxLength": LONGEST_NAME}, NUMBER]
        if self.kind == "time":
            return {"anyOf": texts, **about}
        return {"anyOf": [*texts, {"type": "boolean"}], "nullable": True, **about}

    def check(self, value: Any, where: str) -> float | str | None:
        """A value as the model's columns hold it; None where it is not known."""
        if self.kind == "number":
            return self._number(value, where)
        if value is None and self.kind == "category":
            return None
        if isinstance(value, str):
            if len(value) > LONGEST_NAME:
                raise invalid(f"expected at most {LONGEST_NAME} characters, got {len(value)}", where)
            return value
        if isinstance(value, (int, float)) and not (isinstance(value, bool) and self.kind == "time"):
            return value if self.kind == "time" else str(as_text(pl.Series([value], strict=False))[0])  # 1.0 is "1"
        raise invalid(f"expected text or a number, got {kind_of(value)}", where)

    def _number(self, value: Any, where: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            hint = "write numbers without quotes" if isinstance(value, str) else "null stands for one that is not known"
            raise invalid(f"expected a number, got {quoted(value)}", where, hint)
        if not self.low <= value <= self.high:
            message = f"expected a number from {self.low:.6g} to {self.high:.6g}, got {quoted(value)}"
            hint = f"it lies more than {FARTHEST:,.0f} deviations from what the model was trained on"
            raise invalid(message, where, hint)
        return float(value)


def usual(column: Column) -> Any:
    """A value that training has seen: the mean, with four digits where these keep it near; the first category."""
    if column.kind == "category":
        return column.values[0] if column.values else None
    short = float(f"{column.mean:.4g}")
    return short if abs(short - column.mean) < column.scale else column.mean


@dataclass(frozen=True)
class Record:
    fields: Sequence[Field]  # in the model's order
    optional: frozenset[str] = frozenset()  # names of those that are null where they are left out

    @property
    def schema(self) -> dict[str, Any]:
        """As an object, or where all values are numbers also as a list, in OpenAPI 3.0."""
        required = [field.name for field in self.fields if field.name not in self.optional]
        named: dict[str, Any] = {"type": "object", "properties": {field.name: field.schema for field in self.fields}}
        if required:
            named["required"] = required
        if not self.as_lists:
            return named
        bounds = _bounds(min(field.low for field in self.fields), max(field.high for field in self.fields))
        size = {"minItems": len(self.fields), "maxItems": len(self.fields)}
        about = "The values in the order of the columns; the bounds of each are those of the object."
        return {"anyOf": [named, list_schema(NUMBER_OR_NULL | bounds) | size | {"description": about}]}

    @property
    def example(self) -> dict[str, Any]:
        return {field.name: field.example for field in self.fields}

    @cached_property
    def as_lists(self) -> bool:
        """Whether a record may also be a list of its values."""
        return all(field.kind == "number" for field in self.fields)

    def check(self, value: Any, where: str) -> list[Any]:
        """The values in the order of the fields."""
        if isinstance(value, dict):
            return [self._named(field, value, where) for field in self.fields]
        if isinstance(value, list) and self.as_lists:
            if len(value) != len(self.fields):
                names = ", ".join(field.name for field in self.fields[:20])
                raise invalid(f"expected {len(self.fields)} values ({names}), got {len(value)}", where)
            return [field.check(value[n], f"{where}[{n}]") for n, field in enumerate(self.fields)]
        raise invalid(f"expected an object with a value for each column, got {kind_of(value)}", where)

    def _named(self, field: Field, value: dict[str, Any], where: str) -> Any:
        if field.name not in value:
            if field.name in self.optional:
                return None
            names = {field.name for field in self.fields}
            others = list(islice((name[:LIKELY] for name in value if name not in names), LIKELY))
            near = difflib.get_close_matches(field.name[:LIKELY], others, n=1)
            hint = f"is it {near[0]!r}?" if near else "null stands for a value that is not known"
            raise invalid(f"expected a value of {field.name!r}, got none", where, hint)
        return field.check(value[field.name], f"{where}.{field.name}")
