"""The commands that make a model and its report again. Knows options; runs nothing."""

from __future__ import annotations

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

from bilstm.data.builtin import BUILTIN
from bilstm.report.blocks import Block, Code, Text
from bilstm.report.facts import WATCHED, written

MANY = ("target", "future")  # options that are given again for each value; model files hold them as lists


def commands(estimator: Any, file: Path | None, data: str | None) -> list[Block]:
    """What to type, and what cannot be known from the model.

    Args:
        estimator: fitted.
        file: its model file, or None.
        data: what it was examined on, as it was given; None where it was not.
    """
    name = "model.bilstm" if file is None else file.name
    source = estimator.trained_with_.get("source")
    said = "Data options that only choose columns (such as --drop, --category or --valid) are not kept in a model."
    if source is None:
        source, said = "DATA", f"{said} Nor is the name of its data, in a file of this age."
    lines = []
    if source != "X":
        lines.append(
            _line(
                [
                    "bilstm",
                    "fit",
                    estimator.task,
                    source,
                    *_data_options(estimator, source),
                    *options(estimator),
                    "-o",
                    name,
                ]
            )
        )
    else:
        said = "The model was fitted to arrays: its own program fits it again."
        lines.append(f"# {type(estimator).__name__}({_arguments(estimator)}).fit(X, y).save({name!r})")
    shown = [] if data is None else [data]
    if data is not None:
        lines.append(_line(["bilstm", "evaluate", name, *shown]))
    lines.append(_line(["bilstm", "report", name, *shown, "-o", "report.html"]))
    same = "With the same data, seed and versions the model is the same, bit for bit, on one machine."
    if estimator.random_state is None:
        same = "It was trained without a fixed seed (random_state none): another run gives another model."
    return [Code("\n".join(lines)), Text(f"{said} {same}")]


def options(estimator: Any) -> list[str]:
    """Constructor parameters that differ from their defaults, as options of ``bilstm fit``."""
    words: list[str] = []
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        value = getattr(estimator, name)
        if name in WATCHED or repr(value) == repr(parameter.default):
            continue
        option = name.replace("_", "-")
        if parameter.annotation == "bool":
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", written(value)]
    return words


def _data_options(estimator: Any, source: str) -> list[str]:
    """Which columns were read, as far as the model knows."""
    if source in BUILTIN:
        return []
    told = dict(estimator.read_with_)
    words: list[str] = []
    if estimator.task in ("regressor", "classifier"):
        told["target"] = json.dumps(estimator.target_names_)
    for name, value in told.items():
        values = json.loads(value) if name in MANY else [value]
        words += [word for one in values for word in (f"--{name}", one)]
    return words


def _arguments(estimator: Any) -> str:
    parameters = inspect.signature(type(estimator)).parameters
    changed = [
        name
        for name in parameters
        if name not in WATCHED and repr(getattr(estimator, name)) != repr(parameters[name].default)
    ]
    return ", ".join(f"{name}={getattr(estimator, name)!r}" for name in changed)


def _line(words: list[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
