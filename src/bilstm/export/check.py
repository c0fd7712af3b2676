"""A few made-up inputs run by ONNX Runtime and by the model that the graph was made of; data as a graph takes them.

What a caller does by the JSON beside the graph is done here with the package's readers. Knows no ONNX operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import log_softmax

from bilstm.data.columns import Array, as_text
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.encoders import Column
from bilstm.data.series.windows import Windows, cut
from bilstm.errors import ModelFileError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.export.columns import MISSING, UNKNOWN, used
from bilstm.export.forecast import learns
from bilstm.networks.forecast import ForecastNetwork

Data = Dataset | Sequence[Array]  # what an estimator reads: sequences, windows of series, or waveforms
Feed = dict[str, Array]
ROWS = 8
WRONG = 1e-3  # float32 differs by some millionths


class Checked(NamedTuple):
    """How far a graph is from its model."""

    difference: float  # the largest
    unit: str
    runtime: str  # its version


def checked(model: BiLSTMEstimator, content: bytes) -> Checked | None:
    """Run the graph on made-up inputs and compare; None where ONNX Runtime is not installed."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    data = made_up(model)
    results = run(content, feed(model, data))
    difference, unit = compared(model, data, results)
    if not difference <= WRONG:
        raise ModelFileError(
            f"expected ONNX Runtime {onnxruntime.__version__} to compute what the model does, got results that differ "
            f"by {difference:.3g} ({unit})",
            hint="nothing was written; try another version of onnxruntime",
        )
    return Checked(difference, unit, onnxruntime.__version__)


def run(content: bytes, inputs: Feed) -> dict[str, Array]:
    """All outputs of a graph by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@singledispatch
def made_up(estimator: BiLSTMEstimator) -> Data:
    """A few inputs of different lengths, of the kind that the estimator reads."""
    random = np.random.default_rng(0)
    lengths = np.ones(ROWS, dtype=np.int64) if estimator.is_table_ else random.integers(1, 9, ROWS)
    S = int(lengths.sum())
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        words = [*estimator.words_.words[:1000], "Unheard-of"]
        steps = pl.DataFrame({WORD: [words[k] for k in random.integers(0, len(words), S)]})
    else:
        used = [column for column in estimator.features_.columns if column.kind != "left out"]
        steps = pl.DataFrame([_made_up_column(column, S, random) for column in used])
    return Dataset(steps, lengths, is_language=estimator.is_language_)


@made_up.register
def _(estimator: BiLSTMForecaster) -> Data:
    return cut(estimator.known_, estimator.history, estimator.horizon, at_end=True)


@made_up.register
def _(estimator: BiLSTMTranscriber) -> Data:
    random = np.random.default_rng(0)
    seconds = random.uniform(0.1, 1.0, ROWS)
    return [random.normal(0, 0.1, round(s * estimator.sound_.rate)).astype(np.float32) for s in seconds]


def _made_up_column(column: Column, S: int, random: np.random.Generator) -> pl.Series:
    """As training had it, with a missing value where it had some."""
    if column.kind == "number":
        values: list[Any] = (column.mean + column.scale * random.normal(0, 1, S)).tolist()
    else:
        values = [column.values[k] for k in random.integers(0, len(column.values), S)]
    if column.flag:
        values[0] = None
    return pl.Series(column.name, values, dtype=pl.Float64 if column.kind == "number" else pl.String)


# -- the model's own results, and how far the graph's are from them ------------------------------------------------


@singledispatch
def compared(estimator: BiLSTMEstimator, data: Data, results: dict[str, Array]) -> tuple[float, str]:
    """The largest difference, and what it is counted in."""
    raise ModelFileError(f"There is nothing to compare the graph of a {type(estimator).__name__} with.")


@compared.register
def _(estimator: BiLSTMRegressor, data: Dataset, results: dict[str, Array]) -> tuple[float, str]:
    missed = (results["predictions"] - estimator.values(data)) / estimator.scaler_.scale
    return _largest(missed), "deviations of the target"


@compared.register
def _(estimator: BiLSTMClassifier, data: Dataset, results: dict[str, Array]) -> tuple[float, str]:
    return _largest(results["probabilities"] - estimator.predict_proba(data)), "probability"


@compared.register
def _(estimator: BiLSTMTagger, data: Dataset, results: dict[str, Array]) -> tuple[float, str]:
    own = estimator.outputs(data)  # (S, K)
    inside = np.arange(results["tags"].shape[1]) < data.lengths[:, None]
    if (results["tags"][inside] != estimator.decode(own, data.lengths)).any():
        return np.inf, "other tags"
    return _largest(results["scores"][inside] - own) / max(1.0, _largest(own)), "share of the largest score"


@compared.register
def _(estimator: BiLSTMForecaster, data: Windows, results: dict[str, Array]) -> tuple[float, str]:
    own = estimator.forecasts_of(data)
    missed = [results["forecast"] - own.forecast]
    missed += [results[name] - bound for name, bound in (("low", own.lows), ("high", own.highs)) if len(bound)]
    size = np.maximum(np.nanstd(data.series.target_matrix, axis=0), np.finfo(np.float64).tiny)
    return max(_largest(part / size) for part in missed), "deviations of the target"


@compared.register
def _(estimator: BiLSTMTranscriber, data: list[Array], results: dict[str, Array]) -> tuple[float, str]:
    missed = [0.0]
    for row, (count, own) in enumerate(zip(results["steps"], estimator.outputs(data), strict=True)):
        if count != (0 if own is None else len(own)):
            return np.inf, "another number of steps"
        if own is not None:
            missed.append(_largest(results["log_probabilities"][row, :count] - log_softmax(np.float64(own), axis=1)))
    return max(missed), "logarithm of a probability"


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))


# -- data as the inputs of a graph ----------------------------------------------------------------------------------


@singledispatch
def feed(estimator: BiLSTMEstimator, data: Data) -> Feed:
    """The inputs of an estimator's graph for data."""
    assert isinstance(data, Dataset)
    if isinstance(estimator, LanguageEstimator) and estimator.is_language_:
        ids, forms = estimator.words_.transform(data.steps[WORD])
        nothing = np.zeros((1, forms.shape[1]), dtype=np.int64)  # the form of padding: a graph needs one at least
        words = _padded(ids[:, 0] + 1, data.lengths, 0)
        return {"words": words, "forms": np.concatenate([nothing, forms]), "lengths": data.lengths}
    inputs = {} if estimator.columns_are_steps else {"lengths": data.lengths}
    if columns := used(estimator.features_, "number"):
        values = data.steps.select(pl.col([column.name for column in columns]).cast(pl.Float64).fill_null(np.nan))
        inputs["numbers"] = _padded(values.to_numpy(), data.lengths, np.nan)
    if columns := used(estimator.features_, "category"):
        codes = [_codes(as_text(data.steps[column.name]), column.values) for column in columns]
        inputs["categories"] = _padded(np.stack(codes, axis=1), data.lengths, UNKNOWN)
    return inputs


def _padded(steps: Array, lengths: Array, fill: Any) -> Array:
    """Steps of all sequences one below the other (S, F) as (B, T, F), and ``fill`` behind the ends."""
    inside = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    values = np.full((*inside.shape, *steps.shape[1:]), fill, dtype=steps.dtype)
    values[inside] = steps
    return values


def _codes(text: pl.Series, values: Sequence[str]) -> Array:
    codes = text.replace_strict(list(values), range(len(values)), default=UNKNOWN, return_dtype=pl.Int64)
    numbers: Array = codes.set(text.is_null(), MISSING).to_numpy()
    return numbers


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
