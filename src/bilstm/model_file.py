"""A fitted estimator as one file, and back. Knows what a model is made of; runs no code from the file.

The format, version 3: a safetensors file. Its ``__metadata__`` has one entry, ``bilstm``, a JSON object with
``format`` (version), ``estimator`` (class), ``parameters`` (of the constructor), ``features`` (names of the input
columns), ``named`` (whether the caller gave these names), ``targets``, ``read_with``, ``is_table``, ``trained_on``
(a digest of the data), ``encoders``, ``history``, ``metrics`` (on the validation part), ``versions`` (of libraries)
and perhaps ``trained_with`` (what else is remembered of the fit). Its tensors are the network's weights, by their
names in ``network_.state_dict()``.
"""

from __future__ import annotations

import importlib
import math
import platform
from importlib import metadata
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from polars.exceptions import PolarsError

from bilstm import tensor_file
from bilstm.errors import ModelFileError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.circumstances import restored
from bilstm.estimators.parameters import check_parameters
from bilstm.history import History

FORMAT = 3  # 1 knew no words, 2 no corrections of their vectors; such files are still read
ESTIMATORS = {  # the only classes that a file can name
    "BiLSTMRegressor": "bilstm.estimators.regressor",
    "BiLSTMClassifier": "bilstm.estimators.classifier",
    "BiLSTMTagger": "bilstm.estimators.tagger",
    "BiLSTMForecaster": "bilstm.estimators.forecaster",
    "BiLSTMTranscriber": "bilstm.estimators.transcriber",
}
READ_WITH = ("group", "order", "text", "tag", "time", "target", "future", "sound")  # what Dataset.read_with may say
CORRECTIONS = "reader.corrections.weight"
LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "polars")


def save(estimator: BiLSTMEstimator, path: Path) -> None:
    """Write a fitted estimator; see :meth:`BiLSTMEstimator.save`."""
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
        "encoders": estimator._encoders(),
        "history": estimator.history_.to_json(),
        "metrics": {n: None if math.isnan(v) else v for n, v in estimator.metrics_.items()},
        "versions": {"python": platform.python_version()} | {n: metadata.version(n) for n in LIBRARIES},
    }
    tensor_file.write(path, header, estimator.network_.state_dict())


def load(path: str | Path) -> Any:
    """Read a fitted estimator from a file that :meth:`BiLSTMEstimator.save` has written.

    Loading runs no code from the file; sizes are checked before memory is taken.

    Args:
        path: the model file.

    Returns:
        The estimator, ready to predict.

    Raises:
        ModelFileError: the file is missing, damaged, of another kind, or written by a newer version.

    Example:
        >>> model = load("boston.bilstm")  # doctest: +SKIP
    """
    path = Path(path)
    header, tensors = tensor_file.read(path)
    version = header.get("format")
    if "checkpoint" in header:
        raise ModelFileError(
            f"expected a model file, got the checkpoint of an unfinished training ({path})",
            hint="run the same `bilstm fit` again: it goes on from there and writes the model",
        )
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"expected a model file, got a header without a format version ({path})")
    if version > FORMAT:
        raise ModelFileError(
            f"expected a model file of format {FORMAT} or older, got format {version} ({path})",
            hint="it was written by a newer version: pip install --upgrade bilstm",
        )
    try:
        return _restore(header, tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{error.message} ({path})", error.hint) from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        RuntimeError,
        PolarsError,
    ) as error:
        raise ModelFileError(
            f"expected a whole model file, got a damaged header: {type(error).__name__} {error} ({path})"
        ) from None


def _restore(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> BiLSTMEstimator:
    name = header["estimator"]
    if name not in ESTIMATORS:
        raise ModelFileError(f"expected an estimator of this version, got {name!r}")
    kind = getattr(importlib.import_module(ESTIMATORS[name]), name)
    parameters = header["parameters"]
    check_parameters(parameters, kind.by_kind)
    estimator: BiLSTMEstimator = kind(**parameters)
    estimator.feature_names_ = [str(feature) for feature in header["features"]]
    if header["named"]:
        estimator.feature_names_in_ = np.array(estimator.feature_names_, dtype=object)
    estimator.n_features_in_ = len(estimator.feature_names_)
    estimator.target_names_ = [str(target) for target in header["targets"]]
    estimator.read_with_ = {k: str(v) for k, v in header["read_with"].items() if k in READ_WITH}
    estimator.trained_on_ = str(header["trained_on"])
    estimator.trained_with_ = restored(header.get("trained_with"))
    estimator.is_table_ = bool(header["is_table"])
    estimator._restore_encoders(header["encoders"])
    estimator.history_ = History.from_json(header["history"])
    estimator.history_.keeps_best_metric = kind.keeps_best_metric
    estimator.metrics_ = {n: math.nan if v is None else v for n, v in header["metrics"].items()}
    if estimator.num_layers > len(tensors):  # a layer has several; building a billion empty ones takes for ever
        raise ModelFileError(
            f"expected weights of {estimator.num_layers} layers, got {len(tensors)} tensors: the file is damaged"
        )
    # built without memory: a header that claims a huge network must meet tensors of that size in the file
    with torch.device("meta"):
        network = estimator._build()
    if header["format"] < 3 and (corrected := network.state_dict().get(CORRECTIONS)) is not None:
        tensors = {CORRECTIONS: torch.zeros(corrected.shape)} | tensors
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if expected != found:
        wrong = next(key for key in sorted(expected | found) if expected.get(key) != found.get(key))
        raise ModelFileError(
            f"expected weights {wrong} of shape {expected.get(wrong)}, got {found.get(wrong)}: the file is damaged"
        )
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise ModelFileError("expected weights in float32, got another kind: the file is damaged")
    network.load_state_dict(tensors, assign=True)
    estimator.network_ = network.requires_grad_(True).eval()
    return estimator


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
