"""A fitted estimator, or a layer, as an ONNX file, and the JSON beside it. Knows the two files; computes nothing.

The JSON, format 1, is described in docs/export.md.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted
from torch import nn

from bilstm.estimators.base import BiLSTMEstimator
from bilstm.export.check import Checked, checked
from bilstm.export.graph import IR_VERSION, OPSET, Graph
from bilstm.export.layers import lstm, rows
from bilstm.export.tasks import operators
from bilstm.files import tensor_file

FORMAT = 1


def to_onnx(model: BiLSTMEstimator, path: str | Path) -> Checked | None:
    """Write a fitted estimator as ``path`` (ONNX) and, beside it, as ``.json`` what a caller has to know.

    Everything from the caller's numbers, word numbers or samples to his units, tags and probabilities stands in the
    graph: scaling, missing values, log-mel features, the best path of a CRF, temperature, intervals.

    Args:
        model: of any task.
        path: of the ONNX file; by custom it ends in ``.onnx``.

    Returns:
        How far ONNX Runtime was from the model on a few made-up inputs; None where ONNX Runtime is not installed.

    Raises:
        NotFittedError: the model is not fitted.
        ExtraError: the package ``onnx`` is missing.
        ModelFileError: a file cannot be written, or ONNX Runtime computes something else.

    Note:
        The trap: the two files belong together. The JSON holds the digest of its ONNX file.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> model = BiLSTMRegressor(max_epochs=2).fit(boston())
        >>> to_onnx(model, "boston.onnx").difference < 1e-4  # doctest: +SKIP
        True
    """
    path = Path(path)
    content, spec = written(model)
    result = checked(model, content)
    text = json.dumps(spec, ensure_ascii=False, allow_nan=False, indent=1)
    for target, data in ((path, content), (path.with_suffix(".json"), text.encode())):
        tensor_file.replace(target, data)
    return result


def written(model: BiLSTMEstimator) -> tuple[bytes, dict[str, Any]]:
    """The ONNX file of a fitted estimator, and what the JSON beside it says."""
    check_is_fitted(model)
    graph = Graph(model.task)
    own = operators(model, graph)
    made_by = f"bilstm {metadata.version('bilstm')}"
    whole = graph.model(f"A {model.task} of {made_by}; the JSON beside it says what its inputs are.")
    whole.producer_name, whole.producer_version = made_by.split()
    content = whole.SerializeToString()
    spec = {
        "format": FORMAT,
        "made_by": made_by,
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "onnx_sha256": hashlib.sha256(content).hexdigest(),
        "task": model.task,
        "targets": model.target_names_,
        "inputs": _described(whole.graph.input),
        "outputs": _described(whole.graph.output),
    }
    return content, spec | own


def layer_to_onnx(layer: nn.LSTM, path: str | Path) -> None:
    """Write a bare layer, ours or torch's: ``input`` (B, T, F) and ``lengths`` (B,) to ``output``, ``h_n`` and ``c_n``.

    Args:
        layer: of float32, without projections; ``batch_first`` or not, the file's batch comes first.
        path: of the ONNX file.

    Raises:
        ExtraError: the package ``onnx`` is missing.
        ParameterError: the layer has projections, or is not of float32.
        ModelFileError: the file cannot be written.

    Example:
        >>> from bilstm import BiLSTM
        >>> layer_to_onnx(BiLSTM(8, 16), "layer.onnx")  # doctest: +SKIP
    """
    graph = Graph("BiLSTM")
    D, H = 2 if layer.bidirectional else 1, layer.hidden_size
    x = graph.input("input", "float", ["B", "T", layer.input_size])
    read = lstm(graph, layer, x, rows(graph, graph.input("lengths", "int64", ["B"]), x))
    graph.output("output", read.output, "float", ["B", "T", D * H])
    for name, parts in (("h_n", read.h_n), ("c_n", read.c_n)):
        graph.output(name, graph.add("Concat", *parts, axis=0), "float", [D * layer.num_layers, "B", H])
    tensor_file.replace(Path(path), graph.model(repr(layer)).SerializeToString())


def _described(values: Any) -> dict[str, Any]:
    """Names, types and shapes of what goes in or out."""
    from onnx import TensorProto

    described = {}
    for value in values:
        kind = value.type.tensor_type
        shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
        described[value.name] = {"type": TensorProto.DataType.Name(kind.elem_type).lower(), "shape": shape}
    return described
