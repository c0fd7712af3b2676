"""What is remembered of a fit beside its result: of what data, when, for how long, with which warnings.

Knows counts and words. None of it is needed to predict; older model files have none of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from bilstm.data.dataset import Dataset
from bilstm.data.source import Source

MOST_WARNINGS = 20  # that a model file keeps
LONGEST = 2000  # characters of each
KINDS: dict[str, type | tuple[type, ...]] = {
    "source": str,  # name of the file, without its folder
    "sequences": int,  # that were learned from; of series windows
    "steps": int,  # of these; of a forecaster those of its series
    "validation_sequences": int,
    "date": str,  # when fit ended, ISO 8601, UTC
    "seconds": (int, float),
    "bilstm": str,
    "torch": str,
    "warnings": list,
}


def provenance(
    source: Source, sequences: int, steps: int, held_out: Dataset | None, started: float, messages: list[str]
) -> dict[str, Any]:
    """What a model file keeps of a fit that began when ``time.perf_counter()`` said ``started``."""
    for one in {source, source if held_out is None else held_out.source}:
        messages = [text.replace(str(one), one.name) for text in messages]  # folders are nobody else's business
    return {
        "source": source.name,
        "sequences": sequences,
        "steps": steps,
        "validation_sequences": 0 if held_out is None else len(held_out),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.perf_counter() - started, 3),
        "bilstm": metadata.version("bilstm"),
        "torch": metadata.version("torch"),
        "warnings": [text[:LONGEST] for text in messages[:MOST_WARNINGS]],
    }


def restored(saved: Any) -> dict[str, Any]:
    """The same from a model file: what is not of its kind is left out, and so is what an older file lacks."""
    if not isinstance(saved, Mapping):
        return {}
    known = {name: saved[name] for name, kind in KINDS.items() if isinstance(saved.get(name), kind)}
    if not math.isfinite(known.get("seconds", 0.0)):
        del known["seconds"]
    if "warnings" in known:
        known["warnings"] = [str(text) for text in known["warnings"]][:MOST_WARNINGS]
    return known
