"""Model files back into estimators. Knows which class reads which file; runs no code of the file."""

from __future__ import annotations

import importlib
import math
import reprlib
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bilstm.errors import BilstmError, ExtraError, ModelFileError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.provenance import restored
from bilstm.files import tensor_file
from bilstm.files.model_file import FORMAT
from bilstm.files.schema import MODEL, check
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
LONGEST = 300  # characters of what is said of a damaged header
SMALL, TIMES = 2**24, 16  # numbers that are not in the file: so many, and so many times those that are
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
        check(header, MODEL, "")
        return _restore(header, tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{error.message} ({path})", error.hint) from None
    except ExtraError:
        raise
    except Exception as error:  # whatever values that do not go together do where they are used
        said = error.message if isinstance(error, BilstmError) else f"{type(error).__name__} {error}"
        short = textwrap.shorten(said, LONGEST)
        raise ModelFileError(f"expected a whole model file, got a damaged header: {short} ({path})") from None


def _restore(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> BiLSTMEstimator:
    name = header["estimator"]
    if name not in ESTIMATORS:
        raise ModelFileError(f"expected an estimator of this version, got {name[:100]!r}")
    kind = getattr(importlib.import_module(ESTIMATORS[name]), name)
    parameters = header["parameters"]
    check_parameters(parameters, kind.by_kind)
    estimator: BiLSTMEstimator = kind(**parameters)
    estimator.feature_names_, estimator.target_names_ = header["features"], header["targets"]
    for names in (estimator.feature_names_, estimator.target_names_):
        if len(set(names)) < max(1, len(names)):
            raise ModelFileError(f"expected different names of columns, got {reprlib.repr(names)}: the file is damaged")
    if header["named"]:
        estimator.feature_names_in_ = np.array(estimator.feature_names_, dtype=object)
    estimator.n_features_in_ = len(estimator.feature_names_)
    estimator.read_with_ = {k: v for k, v in header["read_with"].items() if k in READ_WITH}
    estimator.trained_on_, estimator.is_table_ = header["trained_on"], header["is_table"]
    estimator.trained_with_ = restored(header.get("trained_with"))
    estimator.restore_encoders(header["encoders"])
    estimator.history_ = History.from_json(header["history"])
    estimator.history_.keeps_best_metric = kind.keeps_best_metric
    estimator.metrics_ = {n: math.nan if v is None else v for n, v in header["metrics"].items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    estimator.check_sizes(shapes)
    # built without memory: a header that claims a huge network must meet tensors of that size in the file
    with torch.device("meta"):
        network = estimator.build_network()
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    if header["format"] < 3 and CORRECTIONS in expected and CORRECTIONS not in tensors:
        tensors[CORRECTIONS] = _no_corrections(expected[CORRECTIONS], tensors)
        shapes[CORRECTIONS] = expected[CORRECTIONS]
    if expected != shapes:
        wrong = next(key for key in sorted(expected | shapes) if expected.get(key) != shapes.get(key))
        raise ModelFileError(
            f"expected weights {wrong} of shape {expected.get(wrong)}, got {shapes.get(wrong)}: the file is damaged"
        )
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise ModelFileError("expected weights in float32, got another kind: the file is damaged")
    network.load_state_dict(tensors, assign=True)
    if not all(weight.detach().sum().isfinite() for weight in network.parameters()):
        raise ModelFileError("expected finite weights, got NaN or infinity among them: the file is damaged")
    estimator.network_ = network.requires_grad_(True).eval()
    return estimator


def _no_corrections(shape: tuple[int, ...], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a file of an older format says of corrections, in keeping with what it says of the words themselves."""
    if math.prod(shape) > SMALL + TIMES * sum(tensor.numel() for tensor in tensors.values()):
        raise ModelFileError(f"expected weights of the words, got none for vectors of {shape}: the file is damaged")
    return torch.zeros(shape)
