"""Model files back into estimators. Knows which class reads which file; runs no code of the file."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from polars.exceptions import PolarsError

from bilstm.errors import ModelFileError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.provenance import restored
from bilstm.files import tensor_file
from bilstm.files.model_file import FORMAT
from bilstm.training.history import History
from bilstm.training.host import isolated

ESTIMATORS = {  # the only classes that a file can name
    "BiLSTMRegressor": "bilstm.estimators.regressor",
    "BiLSTMClassifier": "bilstm.estimators.classifier",
    "BiLSTMTagger": "bilstm.estimators.tagger",
    "BiLSTMForecaster": "bilstm.estimators.forecaster",
    "BiLSTMTranscriber": "bilstm.estimators.transcriber",
}
READ_WITH = ("group", "order", "text", "tag", "time", "target", "future", "sound")  # what Dataset.read_with may say
CORRECTIONS = "reader.corrections.weight"


@isolated()
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
        hint = "run the same `bilstm fit` again: it goes on from there and writes the model"
        raise ModelFileError(f"expected a model file, got the checkpoint of an unfinished training ({path})", hint=hint)
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
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, PolarsError) as error:
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
    estimator.restore_encoders(header["encoders"])
    estimator.history_ = History.from_json(header["history"])
    estimator.history_.keeps_best_metric = kind.keeps_best_metric
    estimator.metrics_ = {n: math.nan if v is None else v for n, v in header["metrics"].items()}
    if estimator.num_layers > len(tensors):  # a layer has several; building a billion empty ones takes for ever
        raise ModelFileError(
            f"expected weights of {estimator.num_layers} layers, got {len(tensors)} tensors: the file is damaged"
        )
    # built without memory: a header that claims a huge network must meet tensors of that size in the file
    with torch.device("meta"):
        network = estimator.build_network()
    if header["format"] < 3 and (corrected := network.state_dict().get(CORRECTIONS)) is not None:
        tensors = {CORRECTIONS: torch.zeros(corrected.shape)} | tensors
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if expected != shapes:
        wrong = next(key for key in sorted(expected | shapes) if expected.get(key) != shapes.get(key))
        raise ModelFileError(
            f"expected weights {wrong} of shape {expected.get(wrong)}, got {shapes.get(wrong)}: the file is damaged"
        )
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise ModelFileError("expected weights in float32, got another kind: the file is damaged")
    network.load_state_dict(tensors, assign=True)
    estimator.network_ = network.requires_grad_(True).eval()
    return estimator
