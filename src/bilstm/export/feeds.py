"""Data as an exported graph takes it: what a caller does by the JSON beside the graph, done with the package's readers.

Knows estimators and Datasets; knows no ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_text
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.encoders import FeatureEncoder
from bilstm.data.series.windows import Windows
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.export.columns import MISSING, UNKNOWN, used
from bilstm.export.forecast import learns
from bilstm.networks.forecast import ForecastNetwork

Data = Dataset | Sequence[Array]  # what an estimator reads: sequences, windows of series, or waveforms
Feed = dict[str, Array]


@singledispatch
def feed(estimator: BiLSTMEstimator, data: Data) -> Feed:
    """The inputs of an estimator's graph for data."""
    assert isinstance(data, Dataset)
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        return _of_words(estimator, data)
    columns = _of_columns(estimator.features_, data)
    return columns if estimator.columns_are_steps else columns | {"lengths": data.lengths}


def padded(steps: Array, lengths: Array, fill: Any) -> Array:
    """Steps of all sequences one below the other (S, F) as (B, T, F), and ``fill`` behind the ends."""
    inside = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    values = np.full((*inside.shape, *steps.shape[1:]), fill, dtype=steps.dtype)
    values[inside] = steps
    return values


def _of_columns(encoder: FeatureEncoder, data: Dataset) -> Feed:
    inputs = {}
    if columns := used(encoder, "number"):
        values = data.steps.select(pl.col([column.name for column in columns]).cast(pl.Float64).fill_null(np.nan))
        inputs["numbers"] = padded(values.to_numpy(), data.lengths, np.nan)
    if columns := used(encoder, "category"):
        codes = [_codes(data.steps[column.name], column.values) for column in columns]
        inputs["categories"] = padded(np.stack(codes, axis=1), data.lengths, UNKNOWN)
    return inputs


def _codes(column: pl.Series, values: Sequence[str]) -> Array:
    text = as_text(column)
    known = {value: code for code, value in enumerate(values)}
    codes = text.replace_strict(known, default=UNKNOWN, return_dtype=pl.Int64)
    numbers: Array = codes.set(text.is_null(), MISSING).to_numpy()
    return numbers


def _of_words(estimator: LanguageEstimator, data: Dataset) -> Feed:
    ids, forms = estimator.words_.transform(data.steps[WORD])
    nothing = np.zeros((1, forms.shape[1]), dtype=np.int64)  # the form of padding: a graph needs one at least
    words = padded(ids[:, 0] + 1, data.lengths, 0)
    return {"words": words, "forms": np.concatenate([nothing, forms]), "lengths": data.lengths}


@feed.register
def _(estimator: BiLSTMForecaster, windows: Windows) -> Feed:
    network, encoder, series = estimator.network_, estimator.encoder_, windows.series
    assert isinstance(network, ForecastNetwork)
    here = windows.starts[:, None] + np.arange(windows.history)  # (W, T)
    targets = series.forward_filled(series.steps.select(encoder.target_columns))
    inputs = {"targets": targets.to_numpy()[here]}
    if not learns(network):
        return inputs
    for prefix, columns, frame, rows in (
        ("", encoder.columns, encoder.beside(series), here),
        ("future_", encoder.ahead, encoder.known_ahead(series), windows.rows_behind),
    ):
        if names := [column.name for column in used(columns, "number")]:
            filled = series.forward_filled(frame.select(names)).cast(pl.Float64).fill_null(np.nan)
            inputs[f"{prefix}numbers"] = filled.to_numpy()[rows]
        if flagged := [column.name for column in used(columns, "number") if column.flag]:
            gone = frame.select(pl.col(flagged).is_null().cast(pl.Float32))
            inputs[f"{prefix}missing"] = gone.to_numpy()[rows]
    return inputs


@feed.register
def _(estimator: BiLSTMTranscriber, waveforms: Sequence[Array]) -> Feed:
    lengths = np.array([len(waveform) for waveform in waveforms])
    longest = max(int(lengths.max(initial=0)), estimator.sound_.window)
    samples = np.zeros((len(waveforms), longest), dtype=np.float32)
    for row, waveform in zip(samples, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return {"samples": samples, "lengths": lengths}
