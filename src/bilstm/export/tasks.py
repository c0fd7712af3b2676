"""Each task as one graph, from what a caller has to what he asked for; and what he must know beside it, for JSON.

Knows fitted estimators. How layers, columns and sound become operators, the files beside this one know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bilstm.data.encoders import FeatureEncoder
from bilstm.data.series.clock import calendar
from bilstm.data.series.encoder import MISSING as IS_MISSING
from bilstm.data.tables.reader import MISSING
from bilstm.data.text.encoder import BLANK, CASES, COLUMNS, LONGEST_WORD, WordEncoder
from bilstm.data.text.reader import WORDS
from bilstm.export import sound
from bilstm.export.columns import described, encoded, used
from bilstm.export.forecast import forecast, learns
from bilstm.export.graph import Graph
from bilstm.export.layers import Rows, linear, lstm, pooled, rows, rows_of, viterbi, word_vectors

Spec = dict[str, Any]


def regressor(graph: Graph, model: Any) -> Spec:
    """Columns (B, T, …) to numbers (B, K) in the caller's units."""
    outputs, spec = _of_sequences(graph, model)
    scaled = graph.add("Mul", graph.cast(outputs, "double"), graph.constant("target_scales", model.scaler_.scale))
    found = graph.add("Add", scaled, graph.constant("target_means", model.scaler_.mean))
    graph.output("predictions", found, "double", ["B", len(model.target_names_)])
    return spec


def classifier(graph: Graph, model: Any) -> Spec:
    """Columns or words (B, T, …) to calibrated probabilities (B, K), and the number of the most probable class (B,)."""
    outputs, spec = _of_sequences(graph, model)
    scores = graph.add("Div", outputs, graph.constant("temperature", np.float32(model.temperature_)), name="scores")
    found = graph.add("Sigmoid", scores) if model.several_ else graph.add("Softmax", scores, axis=1)
    graph.output("probabilities", found, "float", ["B", len(model.classes_)])
    if not model.several_:
        graph.output("label", graph.add("ArgMax", scores, axis=1, keepdims=0), "int64", ["B"])
    return spec | {"labels": model.classes_.tolist(), "several": model.several_}


def tagger(graph: Graph, model: Any) -> Spec:
    """Words (B, T) to the numbers of their tags (B, T), and the scores of every tag (B, T, K)."""
    network = model.network_
    x, row, spec = _words(graph, model)
    scores = linear(graph, network.output, lstm(graph, network.lstm, x, row).output, "tag_scores")  # (B, T, K)
    if network.crf is not None:
        tags = viterbi(graph, network.crf, scores, row)
    else:
        best = graph.add("ArgMax", scores, axis=2, keepdims=0)
        tags = graph.add("Where", row.inside, best, graph.constant("number_0", np.int64(0)))
    graph.output("tags", tags, "int64", ["B", "T"])
    graph.output("scores", scores, "float", ["B", "T", len(model.classes_)])
    return spec | {"labels": model.classes_.tolist(), "scheme": model.scheme_}


def forecaster(graph: Graph, model: Any) -> Spec:
    """Windows (B, history, …) to the steps to come (B, horizon, K) in the caller's units, with bounds of intervals."""
    levels = forecast(graph, model.network_, model.encoder_, model.history)
    encoder, known = model.encoder_, model.known_
    read = learns(model.network_)
    dates = calendar(known.times, known.clock, encoder.span_years).columns if encoder.span_years and read else []
    return {
        "reads": "series",
        "missing": MISSING,
        "history": model.history,
        "horizon": model.horizon,
        "step": known.clock.name,
        "window": _beside(encoder.columns if read else None),
        "ahead": _beside(encoder.ahead if read else None),
        "calendar": dates,
        "gaps": {name + IS_MISSING: name for name in encoder.flagged if read},
        "levels": levels,
    }


def _beside(columns: FeatureEncoder | None) -> Spec:
    """The numbers beside the targets, and of which of them gaps are told."""
    numbers = used(columns, "number")
    return {
        "numbers": [column.name for column in numbers],
        "missing": [column.name for column in numbers if column.flag],
    }


def transcriber(graph: Graph, model: Any) -> Spec:
    """Samples (B, S) to the logarithm of every character's probability (B, T, K), and how many steps there are (B,)."""
    encoder, network = model.sound_, model.network_
    samples, lengths = graph.input("samples", "float", ["B", "S"]), graph.input("lengths", "int64", ["B"])
    x, count = sound.steps(graph, encoder, samples, lengths)
    read = lstm(graph, network.lstm, x, rows(graph, count, x))
    scores = linear(graph, network.output, read.output, "character_scores")
    found = graph.add("LogSoftmax", scores, axis=2)
    graph.output("log_probabilities", found, "float", ["B", "T", len(model.characters_)])
    graph.output("steps", count, "int64", ["B"])
    return {
        "reads": "sound",
        "rate": encoder.rate,
        "least_samples": encoder.window,
        "step_seconds": encoder.step_seconds,
        "characters": model.characters_.characters,
        "blank": BLANK,
    }


TASKS: dict[str, Callable[[Graph, Any], Spec]] = {
    "regressor": regressor,
    "classifier": classifier,
    "tagger": tagger,
    "forecaster": forecaster,
    "transcriber": transcriber,
}


# -- what goes in ----------------------------------------------------------------------------------------------


def _of_sequences(graph: Graph, model: Any) -> tuple[str, Spec]:
    """What the network says of each sequence, (B, K)."""
    network = model.network_
    x, row, spec = _words(graph, model) if model.is_language_ else _columns(graph, model)
    vector = graph.add("Relu", pooled(graph, network, lstm(graph, network.lstm, x, row), row))
    hidden = graph.add("Relu", linear(graph, network.hidden, vector, "hidden"))
    return linear(graph, network.output, hidden, "outputs"), spec


def _columns(graph: Graph, model: Any) -> tuple[str, Rows, Spec]:
    """Steps of columns (B, T, …), or table rows (B, 1, …) of which every column is a step."""
    spec = {
        "reads": "table" if model.is_table_ else "sequences",
        "columns": described(model.features_),
        "missing": MISSING,
        "read_with": model.read_with_,
    }
    if model.is_table_ and model.table_as == "steps":
        x = graph.transpose(encoded(graph, model.features_, ["B", 1]), 0, 2, 1)  # (B, F, 1)
        return x, rows_of(graph, x, len(model.features_.names)), spec
    x = encoded(graph, model.features_, ["B", "T"])
    return x, rows(graph, graph.input("lengths", "int64", ["B"]), x), spec


def _words(graph: Graph, model: Any) -> tuple[str, Rows, Spec]:
    """Which of the batch's distinct words stands where (B, T), and the numbers of these (U, 3 + C)."""
    words = graph.input("words", "int64", ["B", "T"])
    forms = graph.input("forms", "int64", ["U", "C"])
    x = word_vectors(graph, model.network_.reader, words, forms)
    row = rows(graph, graph.input("lengths", "int64", ["B"]), words)
    return x, row, {"reads": "words", "words": _vocabulary(model.words_), "read_with": model.read_with_}


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
