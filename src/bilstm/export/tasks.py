"""A fitted estimator, or a layer, as an ONNX file and the JSON beside it, from what a caller has to what was asked.

Knows fitted estimators and the two files. How layers, columns and sound become operators, the files beside this one
know. The JSON, format 1, is described in docs/export.md.
"""

from __future__ import annotations

import hashlib
import json
from functools import singledispatch
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from bilstm.data.encoders import FeatureEncoder
from bilstm.data.series.clock import calendar
from bilstm.data.series.encoder import MISSING as IS_MISSING
from bilstm.data.tables.reader import MISSING
from bilstm.data.text.encoder import BLANK, CASES, COLUMNS, LONGEST_WORD, WordEncoder
from bilstm.data.text.reader import WORDS
from bilstm.errors import ModelFileError, ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.export import sound
from bilstm.export.check import Checked, checked
from bilstm.export.columns import described, encoded, used
from bilstm.export.forecast import forecast, learns
from bilstm.export.graph import IR_VERSION, OPSET, Graph
from bilstm.export.layers import Rows, linear, lstm, pooled, rows, viterbi, whole_rows, word_vectors
from bilstm.files.output import write_whole
from bilstm.formatting import listed
from bilstm.networks.forecast import ForecastNetwork
from bilstm.networks.network import Network, StepNetwork
from bilstm.networks.speech import SpeechNetwork
from bilstm.networks.words import WordReader
from bilstm.nn import BiLSTM

FORMAT = 1
Spec = dict[str, Any]


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
        write_whole(target, data, error=ModelFileError, durable=True)
    return result


def written(model: BiLSTMEstimator) -> tuple[bytes, Spec]:
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
        ParameterError: it is no LSTM, has projections, or is not of float32.
        ModelFileError: the file cannot be written.

    Example:
        >>> from bilstm import BiLSTM
        >>> layer_to_onnx(BiLSTM(8, 16), "layer.onnx")  # doctest: +SKIP
    """
    _check_is_lstm(layer)
    graph = Graph("BiLSTM")
    D, H = 2 if layer.bidirectional else 1, layer.hidden_size
    x = graph.input("input", "float", ["B", "T", layer.input_size])
    read = lstm(graph, layer, x, rows(graph, graph.input("lengths", "int64", ["B"]), x))
    graph.output("output", read.output, "float", ["B", "T", D * H])
    for name, parts in (("h_n", read.h_n), ("c_n", read.c_n)):
        graph.output(name, graph.add("Concat", *parts, axis=0), "float", [D * layer.num_layers, "B", H])
    content = graph.model(repr(layer)).SerializeToString()
    write_whole(Path(path), content, error=ModelFileError, durable=True)


def _check_is_lstm(layer: Any) -> None:
    """Raise a ParameterError for what computes something else than the LSTM that is to be written."""
    name = type(layer).__name__
    if isinstance(layer, nn.LSTM):
        if type(layer).forward not in (nn.LSTM.forward, BiLSTM.forward):
            hint = "torch.onnx.export(layer, …) writes what the class computes"
            raise ParameterError(f"expected an nn.LSTM or a BiLSTM, got {name}, which has a forward of its own", hint)
        return
    hint = "torch.onnx.export(module, …) writes other modules"
    inner = (
        [f".{path}" for path, part in layer.named_modules() if isinstance(part, nn.LSTM)]
        if isinstance(layer, nn.Module)
        else []
    )
    if inner:
        hint = f"pass the layer that it holds: {listed(inner, 4)}"
    elif isinstance(layer, BiLSTMEstimator):
        hint = "to_onnx(model, path) writes a fitted estimator"
    raise ParameterError(f"expected an nn.LSTM or a BiLSTM, got {name}", hint=hint)


def _described(values: Any) -> dict[str, Any]:
    """Names, types and shapes of what goes in or out."""
    from onnx import TensorProto

    described = {}
    for value in values:
        kind = value.type.tensor_type
        shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
        described[value.name] = {"type": TensorProto.DataType.Name(kind.elem_type).lower(), "shape": shape}
    return described


# -- what each estimator is ------------------------------------------------------------------------------------


@singledispatch
def operators(estimator: BiLSTMEstimator, graph: Graph) -> Spec:
    """Write the operators, inputs and outputs of an estimator into a graph; gives what the JSON says of it alone."""
    raise ModelFileError(f"There is no ONNX graph of a {type(estimator).__name__}.")


@operators.register
def _(estimator: BiLSTMRegressor, graph: Graph) -> Spec:
    """Columns (B, T, …) to numbers (B, K) in the caller's units."""
    outputs, spec = _of_sequences(graph, estimator)
    scaled = graph.add("Mul", graph.cast(outputs, "double"), graph.constant("target_scales", estimator.scaler_.scale))
    results = graph.add("Add", scaled, graph.constant("target_means", estimator.scaler_.mean))
    graph.output("predictions", results, "double", ["B", len(estimator.target_names_)])
    return spec


@operators.register
def _(estimator: BiLSTMClassifier, graph: Graph) -> Spec:
    """Columns or words (B, T, …) to calibrated probabilities (B, K), and the number of the most probable class (B,)."""
    outputs, spec = _of_sequences(graph, estimator)
    scores = graph.add("Div", outputs, graph.constant("temperature", np.float32(estimator.temperature_)), name="scores")
    results = graph.add("Sigmoid", scores) if estimator.several_ else graph.add("Softmax", scores, axis=1)
    graph.output("probabilities", results, "float", ["B", len(estimator.classes_)])
    if not estimator.several_:
        graph.output("label", graph.add("ArgMax", scores, axis=1, keepdims=0), "int64", ["B"])
    return spec | {"labels": estimator.classes_.tolist(), "several": estimator.several_}


@operators.register
def _(estimator: BiLSTMTagger, graph: Graph) -> Spec:
    """Words (B, T) to the numbers of their tags (B, T), and the scores of every tag (B, T, K)."""
    network = estimator.network_
    assert isinstance(network, StepNetwork)
    x, row, spec = _words(graph, estimator, network.reader)
    scores = linear(graph, network.output, lstm(graph, network.lstm, x, row).output, "tag_scores")  # (B, T, K)
    if network.crf is not None:
        tags = viterbi(graph, network.crf, scores, row)
    else:
        best = graph.add("ArgMax", scores, axis=2, keepdims=0)
        tags = graph.add("Where", row.inside, best, graph.whole(0))
    graph.output("tags", tags, "int64", ["B", "T"])
    graph.output("scores", scores, "float", ["B", "T", len(estimator.classes_)])
    return spec | {"labels": estimator.classes_.tolist(), "scheme": estimator.scheme_}


@operators.register
def _(estimator: BiLSTMForecaster, graph: Graph) -> Spec:
    """Windows (B, history, …) to the steps to come (B, horizon, K) in the caller's units, with bounds of intervals."""
    network, encoder, known = estimator.network_, estimator.encoder_, estimator.known_
    assert isinstance(network, ForecastNetwork)
    levels, read = forecast(graph, network, encoder, estimator.history), learns(network)
    dates = calendar(known.times, known.clock, encoder.span_years).columns if encoder.span_years and read else []
    return {
        "reads": "series",
        "missing": MISSING,
        "history": estimator.history,
        "horizon": estimator.horizon,
        "step": known.clock.name,
        "window": _beside(encoder.columns if read else None),
        "ahead": _beside(encoder.ahead if read else None),
        "calendar": dates,
        "gaps": {name + IS_MISSING: name for name in encoder.flagged if read},
        "levels": levels,
    }


def _beside(columns: FeatureEncoder | None) -> Spec:
    """The numbers beside the targets, and of which of them gaps are shown."""
    numbers = used(columns, "number")
    return {
        "numbers": [column.name for column in numbers],
        "missing": [column.name for column in numbers if column.flag],
    }


@operators.register
def _(estimator: BiLSTMTranscriber, graph: Graph) -> Spec:
    """Samples (B, S) to the logarithm of every character's probability (B, T, K), and how many steps there are (B,)."""
    encoder, network = estimator.sound_, estimator.network_
    assert isinstance(network, SpeechNetwork)
    samples, lengths = graph.input("samples", "float", ["B", "S"]), graph.input("lengths", "int64", ["B"])
    x, count = sound.steps(graph, encoder, samples, lengths)
    read = lstm(graph, network.lstm, x, rows(graph, count, x))
    scores = linear(graph, network.output, read.output, "character_scores")
    results = graph.add("LogSoftmax", scores, axis=2)
    graph.output("log_probabilities", results, "float", ["B", "T", len(estimator.characters_)])
    graph.output("steps", count, "int64", ["B"])
    return {
        "reads": "sound",
        "rate": encoder.rate,
        "least_samples": encoder.window,
        "step_seconds": encoder.step_seconds,
        "characters": estimator.characters_.characters,
        "blank": BLANK,
    }


# -- what goes in ----------------------------------------------------------------------------------------------


def _of_sequences(graph: Graph, estimator: BiLSTMEstimator) -> tuple[str, Spec]:
    """What the network says of each sequence, (B, K)."""
    network = estimator.network_
    assert isinstance(network, Network)
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        x, row, spec = _words(graph, estimator, network.reader)
    else:
        x, row, spec = _columns(graph, estimator)
    vector = graph.add("Relu", pooled(graph, network, lstm(graph, network.lstm, x, row), row))
    hidden = graph.add("Relu", linear(graph, network.hidden, vector, "hidden"))
    return linear(graph, network.output, hidden, "outputs"), spec


def _columns(graph: Graph, estimator: BiLSTMEstimator) -> tuple[str, Rows, Spec]:
    """Steps of columns (B, T, …), or table rows (B, 1, …) of which every column is a step."""
    spec = {
        "reads": "table" if estimator.is_table_ else "sequences",
        "columns": described(estimator.features_),
        "missing": MISSING,
        "read_with": estimator.read_with_,
    }
    if estimator.columns_are_steps:
        x = graph.transpose(encoded(graph, estimator.features_, ["B", 1]), 0, 2, 1)  # (B, F, 1)
        return x, whole_rows(graph, x, len(estimator.features_.names)), spec
    x = encoded(graph, estimator.features_, ["B", "T"])
    return x, rows(graph, graph.input("lengths", "int64", ["B"]), x), spec


def _words(graph: Graph, estimator: LanguageEstimator, reader: nn.Module | None) -> tuple[str, Rows, Spec]:
    """Which of the batch's distinct words stands where (B, T), and the numbers of these (U, 3 + C)."""
    words = graph.input("words", "int64", ["B", "T"])
    forms = graph.input("forms", "int64", ["U", "C"])
    assert isinstance(reader, WordReader)
    x = word_vectors(graph, reader, words, forms)
    row = rows(graph, graph.input("lengths", "int64", ["B"]), words)
    return x, row, {"reads": "words", "words": _vocabulary(estimator.words_), "read_with": estimator.read_with_}


def _vocabulary(words: WordEncoder) -> Spec:
    return {
        "pattern": WORDS.pattern,
        "ignore_case": True,
        "columns": ["word", "vector", "case", "characters"],
        "first_character": COLUMNS,
        "longest": LONGEST_WORD,
        "lowercase": words.lowercase,
        "cases": list(CASES),
        "words": words.words,
        "vectors": words.vector_words,
        "characters": words.characters,
    }
