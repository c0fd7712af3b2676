"""A fitted estimator as one file, and back. Knows what a model is made of; runs no code from the file.

The format, version 3: a safetensors file. Its ``__metadata__`` has one entry, ``bilstm``, a JSON object with
``format`` (version), ``estimator`` (class), ``parameters`` (of the constructor), ``features`` (names of the input
columns), ``named`` (whether the caller gave these names), ``targets``, ``read_with``, ``is_table``, ``trained_on``
(a digest of the data), ``encoders``, ``history``, ``metrics`` (on the validation part), ``versions`` (of libraries)
and perhaps ``trained_with`` (what else is remembered of the fit). Its tensors are the network's weights, by their
names in ``network_.state_dict()``.
"""

from __future__ import annotations

import math
import platform
from importlib import metadata
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from bilstm.files import tensor_file

FORMAT = 3  # 1 knew no words, 2 no corrections of their vectors; such files are still read
LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "polars")


class ToJson(Protocol):
    def to_json(self) -> dict[str, Any]: ...


class Fitted(Protocol):
    """A fitted estimator, as far as a model file keeps it."""

    feature_names_: list[str]
    target_names_: list[str]
    read_with_: dict[str, str]
    is_table_: bool
    trained_on_: str
    trained_with_: dict[str, Any]
    metrics_: dict[str, float]
    network_: nn.Module

    @property
    def history_(self) -> ToJson: ...

    def get_params(self, deep: bool = ...) -> dict[str, Any]: ...

    def encoders(self) -> dict[str, Any]: ...


def save(estimator: Fitted, path: Path) -> None:
    """Write a fitted estimator; what the estimators' ``save`` does."""
    header = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": _plain(estimator.get_params(deep=False)),
        "features": estimator.feature_names_,
        "named": hasattr(estimator, "feature_names_in_"),
        "targets": estimator.target_names_,
        "read_with": estimator.read_with_,
        "is_table": estimator.is_table_,
        "trained_on": estimator.trained_on_,
        "trained_with": estimator.trained_with_,
        "encoders": estimator.encoders(),
        "history": estimator.history_.to_json(),
        "metrics": {n: None if math.isnan(v) else v for n, v in estimator.metrics_.items()},
        "versions": {"python": platform.python_version()} | {n: metadata.version(n) for n in LIBRARIES},
    }
    tensor_file.write(path, header, estimator.network_.state_dict())


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Constructor parameters as JSON can say them; where this run was watched and checkpointed is not kept."""
    plain = {**parameters, "verbose": 0, "checkpoint": None}
    if plain.get("vectors") is not None:
        plain["vectors"] = str(plain["vectors"])
    if not isinstance(plain["random_state"], (Integral, type(None))):
        plain["random_state"] = None  # a generator object has no value that could be written down
    if isinstance(plain.get("class_weight"), dict):
        # in JSON a key is always text; the classifier finds its classes by their words
        plain["class_weight"] = {str(key): float(value) for key, value in plain["class_weight"].items()}
    return {key: value.item() if hasattr(value, "item") else value for key, value in plain.items()}
