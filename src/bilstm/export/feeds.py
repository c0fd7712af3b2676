"""Data as an exported graph takes it: what a caller does by the JSON beside the graph, done with the package's readers.

Knows estimators and Datasets; knows no ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_text
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.encoders import FeatureEncoder
from bilstm.data.series.windows import Windows
from bilstm.export.columns import MISSING, UNKNOWN, used
from bilstm.export.forecast import learns

Feed = dict[str, Array]


def feed(model: Any, data: Any) -> Feed:
    """The inputs of the graph of ``model`` for a Dataset, Windows of a series, or a list of waveforms."""
    if model.task == "transcriber":
        return _of_sound(model, data)
    if isinstance(data, Windows):
        return _of_windows(model, data)
    if model.is_language_:
        return _of_words(model, data)
    found = _of_columns(model.features_, data)
    return found if model.is_table_ and model.table_as == "steps" else found | {"lengths": data.lengths}


def padded(steps: Array, lengths: Array, fill: Any) -> Array:
    """Steps of all sequences one below the other (S, F) as (B, T, F), and ``fill`` behind the ends."""
    inside = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    found = np.full((*inside.shape, *steps.shape[1:]), fill, dtype=steps.dtype)
    found[inside] = steps
    return found


def _of_columns(encoder: FeatureEncoder, data: Dataset) -> Feed:
    found = {}
    if columns := used(encoder, "number"):
        values = data.steps.select(pl.col([column.name for column in columns]).cast(pl.Float64).fill_null(np.nan))
        found["numbers"] = padded(values.to_numpy(), data.lengths, np.nan)
    if columns := used(encoder, "category"):
        codes = [_codes(data.steps[column.name], column.values) for column in columns]
        found["categories"] = padded(np.stack(codes, axis=1), data.lengths, UNKNOWN)
    return found


def _codes(column: pl.Series, values: Sequence[str]) -> Array:
    text = as_text(column)
    known = {value: code for code, value in enumerate(values)}
    codes = text.replace_strict(known, default=UNKNOWN, return_dtype=pl.Int64)
    found: Array = codes.set(text.is_null(), MISSING).to_numpy()
    return found


def _of_words(model: Any, data: Dataset) -> Feed:
    ids, forms = model.words_.transform(data.steps[WORD])
    nothing = np.zeros((1, forms.shape[1]), dtype=np.int64)  # the form of padding: a graph needs one at least
    words = padded(ids[:, 0] + 1, data.lengths, 0)
    return {"words": words, "forms": np.concatenate([nothing, forms]), "lengths": data.lengths}


def _of_windows(model: Any, windows: Windows) -> Feed:
    encoder, series = model.encoder_, windows.series
    here = windows.starts[:, None] + np.arange(windows.history)  # (W, T)
    goals = series.forward_filled(series.steps.select(encoder.target_columns))
    found = {"targets": goals.to_numpy()[here]}
    if not learns(model.network_):
        return found
    for prefix, columns, frame, rows in (
        ("", encoder.columns, encoder.beside(series), here),
        ("future_", encoder.ahead, encoder.known_ahead(series), windows.rows_behind),
    ):
        if names := [column.name for column in used(columns, "number")]:
            filled = series.forward_filled(frame.select(names)).cast(pl.Float64).fill_null(np.nan)
            found[f"{prefix}numbers"] = filled.to_numpy()[rows]
        if flagged := [column.name for column in used(columns, "number") if column.flag]:
            gone = frame.select(pl.col(flagged).is_null().cast(pl.Float32))
            found[f"{prefix}missing"] = gone.to_numpy()[rows]
    return found


def _of_sound(model: Any, waveforms: Sequence[Array]) -> Feed:
    lengths = np.array([len(waveform) for waveform in waveforms])
    longest = max(int(lengths.max(initial=0)), model.sound_.window)
    samples = np.zeros((len(waveforms), longest), dtype=np.float32)
    for row, waveform in zip(samples, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return {"samples": samples, "lengths": lengths}
