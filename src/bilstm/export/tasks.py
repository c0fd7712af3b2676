"""Each estimator as one graph, from what a caller has to what was asked; and what the JSON beside it has to say.

Knows fitted estimators. How layers, columns and sound become operators, the files beside this one know.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from torch import nn

from bilstm.data.encoders import FeatureEncoder
from bilstm.data.series.clock import calendar
from bilstm.data.series.encoder import MISSING as IS_MISSING
from bilstm.data.tables.reader import MISSING
from bilstm.data.text.encoder import BLANK, CASES, COLUMNS, LONGEST_WORD, WordEncoder
from bilstm.data.text.reader import WORDS
from bilstm.errors import ModelFileError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.export import sound
from bilstm.export.columns import described, encoded, used
from bilstm.export.forecast import forecast, learns
from bilstm.export.graph import Graph
from bilstm.export.layers import Rows, linear, lstm, pooled, rows, viterbi, whole_rows, word_vectors
from bilstm.networks.forecast import ForecastNetwork
from bilstm.networks.network import Network, StepNetwork
from bilstm.networks.speech import SpeechNetwork
from bilstm.networks.words import WordReader

Spec = dict[str, Any]


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
