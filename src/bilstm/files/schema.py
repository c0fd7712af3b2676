"""What may stand in the headers of our files: the type and the range of every value, in one table.

Knows single values; which of them belong together (a mean for each target), those who use them know.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from bilstm.errors import ModelFileError

MOST = 2**53  # whole numbers beyond it are no counts, and no float64
MOST_AXES = 8  # of a tensor


class Kind(NamedTuple):
    """One value: in words, of which types of JSON, and what holds for it."""

    words: str
    types: frozenset[type]
    holds: Callable[[Any], bool] | None = None

    def fits(self, values: list[Any]) -> bool:
        """Whether all of some values are of this kind; a vocabulary is looked at as quickly as C can."""
        return self.types.issuperset(map(type, values)) and (self.holds is None or all(map(self.holds, values)))


@dataclass(frozen=True)
class Each:
    """An object whose names are anybody's, and whose values are all of one schema."""

    schema: Any


@dataclass(frozen=True)
class Either:
    """A value of the first schema, or of the second."""

    first: Any
    second: Any


def check(value: Any, schema: Any, place: str) -> None:
    """Raise a ModelFileError where a value of JSON is not what a schema says.

    A schema is a Kind; ``[schema]`` for a list of any length, ``(schema, …)`` for one of that length; a dict for an
    object, whose names may be missing where they end in ``?``, and which may have further ones; Each; Either.
    """
    if isinstance(schema, Kind):
        if not schema.fits([value]):
            _refuse(schema.words, place, value)
    elif isinstance(schema, Either):
        try:
            check(value, schema.first, place)
        except ModelFileError:
            check(value, schema.second, place)
    elif isinstance(schema, (list, tuple)):
        if type(value) is not list or (isinstance(schema, tuple) and len(value) != len(schema)):
            _refuse("a list" if isinstance(schema, list) else f"a list of {len(schema)}", place, value)
        if isinstance(schema, list) and isinstance(schema[0], Kind) and schema[0].fits(value):
            return
        for index, one in enumerate(value):
            check(one, schema[0] if isinstance(schema, list) else schema[index], f"{place}[{index}]")
    else:
        if type(value) is not dict:
            _refuse("an object", place, value)
        inner = dict.fromkeys(value, schema.schema) if isinstance(schema, Each) else schema
        for name, one in inner.items():
            known = name.removesuffix("?") if isinstance(schema, Mapping) else name
            if known in value:
                check(value[known], one, f"{place}.{known}" if place else known)
            elif known == name:
                _refuse(f"a value of {known!r}", place or "the top", list(value))


def _refuse(expected: str, place: str, value: Any) -> None:
    raise ModelFileError(f"expected {expected} at {place[:200]}, got {reprlib.repr(value)}: the file is damaged")


def _is_finite(value: Any) -> bool:
    return value is None or -1e300 < value < 1e300


def _is_device(name: str) -> bool:
    try:
        return name == "auto" or bool(torch.device(name))
    except RuntimeError:
        return False


TEXT = Kind("text", frozenset({str}))
TRUTH = Kind("true or false", frozenset({bool}))
NULL = Kind("null", frozenset({type(None)}))
COUNT = Kind("a whole number", frozenset({int}), lambda v: 0 <= v < MOST)
SOME = Kind("a whole number above 0", frozenset({int}), lambda v: 0 < v < MOST)
NUMBER = Kind("a finite number", frozenset({int, float}), _is_finite)
SIZE = Kind("a finite number above 0", frozenset({int, float}), lambda v: 0 < v < 1e300)
WEIGHT = Kind("a finite number of at least 0", frozenset({int, float}), lambda v: 0 <= v < 1e300)
SEED = Kind("a seed or null", frozenset({int, bool, type(None)}), lambda v: v is None or 0 <= v < 2**32)
DEVICE = Kind("a device such as auto, cpu or cuda:0", frozenset({str}), _is_device)
GAP = Kind("a finite number or null", frozenset({int, float, type(None)}), _is_finite)
LABEL = Kind("a label", frozenset({str, int, float, bool}), lambda v: type(v) is str or -1e300 < v < 1e300)

DTYPES = {  # of tensors, as safetensors calls them
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip
TENSOR = {
    "dtype": Kind(f"one of {', '.join(DTYPES)}", frozenset({str}), DTYPES.__contains__),
    "shape": [COUNT],
    "data_offsets": (COUNT, COUNT),
}

COLUMN = {
    "name": TEXT,
    "kind": Kind("number, category or left out", frozenset({str}), ("number", "category", "left out").__contains__),
    "mean?": NUMBER,
    "scale?": SIZE,
    "flag?": TRUTH,
    "values?": [TEXT],
}
SERIES = {
    "columns": Each([GAP]),
    "times": Either([TEXT], [NUMBER]),
    "time": TEXT,
    "lengths": [SOME],
    "ids": Either(NULL, (TEXT, [TEXT])),
    "clock": {"unit": TEXT, "count": SOME, "step": SIZE, "day": SOME, "zoned": TRUTH},
    "goals": [TEXT],
    "future": [TEXT],
}
ENCODERS = {  # each task has some of them
    "features?": [COLUMN],
    "scaler?": {"names": [TEXT], "mean": [NUMBER], "scale": [SIZE]},
    "words?": {
        "words": [TEXT],
        "counts": [COUNT],
        "characters": [TEXT],
        "vector_words": [TEXT],
        "vector_size": COUNT,
        "lowercase": TRUTH,
    },
    "labels?": {"classes": [LABEL], "dtype": TEXT},
    "temperature?": SIZE,
    "several?": TRUTH,
    "scheme?": Either(NULL, TEXT),
    "repaired?": COUNT,
    "series?": {
        "target_as": TEXT,
        "goals": [TEXT],
        "mean": [NUMBER],
        "scale": [SIZE],
        "columns": Either(NULL, [COLUMN]),
        "ahead": Either(NULL, [COLUMN]),
        "span_years": WEIGHT,
        "flagged": [TEXT],
    },
    "season?": Either(NULL, SOME),
    "mase_scale?": [GAP],
    "known?": SERIES,
    "sound?": {"rate": SOME, "mels": SOME, "stack": SOME, "normalise": TEXT, "mean": [NUMBER], "scale": [SIZE]},
    "characters?": {"characters": [TEXT]},
}
MODEL = {
    "estimator": TEXT,
    "parameters": {
        "random_state?": SEED,
        "checkpoint?": NULL,
        "device?": DEVICE,
        "class_weight?": Either(NULL, Either(TEXT, Each(WEIGHT))),
    },
    "features": [TEXT],
    "named": TRUTH,
    "targets": [TEXT],
    "read_with": Each(TEXT),
    "is_table": TRUTH,
    "trained_on": TEXT,
    "encoders": ENCODERS,
    "history": {"metric_name": TEXT, "columns": Each([GAP])},
    "metrics": Each(GAP),
}
CHECKPOINT = {"epoch": COUNT, "best_epoch": COUNT, "best_value": Either(NULL, (NUMBER, NUMBER))}
