"""One example of each kind of data as its network reads it: vectors, a baseline, and what they are called.

Knows data and encoders; does not know outputs, gates or gradients.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bilstm.data.batch import Batch, Sequences
from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.series.encoder import MISSING
from bilstm.data.series.windows import Windows, cut
from bilstm.data.sound.encoder import MEL_BREAK, MEL_SCALE
from bilstm.data.sound.reader import sound_blocks
from bilstm.data.sound.recordings import Recordings
from bilstm.data.source import Source
from bilstm.data.text.encoder import COLUMNS, UNKNOWN_CHARACTER
from bilstm.errors import DataError, ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.networks.words import WordReader

CALENDAR = "calendar"
WHOLE_MINUTE = re.compile(r".+ \d\d:\d\d:00")


@dataclass(frozen=True)
class Subject:
    """One sequence with everything that is needed to read it."""

    title: str  # what it is called, plain text
    batch: Batch  # its vectors (1, T, F), and what is known behind it
    baseline: Tensor  # the vectors it is compared with, (T, F)
    against: str  # the baseline in words
    steps: list[str]  # a label for each step, T
    axis: str  # what the steps are
    features: list[str]  # F' names of the caller's
    owners: Array  # the feature that each of the F numbers belongs to, (F,)
    inputs: Array  # what stands there in the caller's units, (T, F'), NaN where it is no number
    shown: list[str] = field(default_factory=list)  # of a single step: its features with what stands there, F'
    notes: list[str] = field(default_factory=list)  # what a reader has to know
    feature: str = "column"  # what a feature is called
    coming: list[str] = field(default_factory=list)  # labels of the steps that a forecaster is asked for


@singledispatch
def subject_of(estimator: BiLSTMEstimator, X: Any, row: int, most_steps: int) -> Subject:
    """The example at position ``row``, of a forecaster that of a series; without X its training series'.

    What is longer than ``most_steps`` is cut, and a note says so; a forecaster's window never is.
    """
    one = _example(estimator, X, row)
    if estimator.is_language_ != one.is_language:
        needed, got = ("numbers", "words") if one.is_language else ("words", "numbers")
        raise DataError(f"expected {needed} as in training, got {got} ({one.source})")
    if estimator.is_table_ and not one.is_table:
        raise DataError(f"expected a table as in training, got sequences of several steps ({one.source})")
    one, notes = _shortened(one, most_steps)
    if isinstance(estimator, LanguageEstimator) and one.is_language:
        subject = _sentence(estimator, one)
    else:
        name = f"row {row}" if one.ids is None else f"{one.ids.name or 'sequence'} {one.ids[0]}"
        subject = _numbers(estimator, one, name)
    return replace(subject, notes=notes)


def _example(estimator: BiLSTMEstimator, X: Any, row: int) -> Dataset:
    if X is None:
        raise DataError(f"expected data beside a {estimator.task}, got none", hint="only a forecaster needs none")
    dataset = X if isinstance(X, Dataset) else estimator.to_dataset(X, None)
    dataset.check_lengths()
    return dataset.take([_position(row, len(dataset), dataset.source)])


def _position(row: int, count: int, source: Source) -> int:
    if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not 0 <= row < count:
        raise ParameterError(f"expected row from 0 to {count - 1}, got {row!r} ({source})")
    return int(row)


def _shortened(one: Dataset, most_steps: int) -> tuple[Dataset, list[str]]:
    """The first steps of a sequence that is too long to be looked at as a whole."""
    length = int(one.lengths[0])
    if length <= most_steps:
        return one, []
    spans, texts = None if one.spans is None else one.spans[:most_steps], one.texts
    if spans is not None and texts is not None:
        texts = pl.Series(texts.name, [texts[0][: int(spans[-1, 1])]])
    steps, tags = one.steps[:most_steps], None if one.tags is None else one.tags[:most_steps]
    short = replace(one, steps=steps, lengths=np.array([most_steps]), tags=tags, spans=spans, texts=texts)
    return short, [
        f"only the first {most_steps:,} of {length:,} steps are looked at, and the prediction is theirs; "
        "fewer outputs reach further"
    ]


# --- words --------------------------------------------------------------------------------------------------


def _sentence(estimator: LanguageEstimator, one: Dataset) -> Subject:
    words = one.steps[WORD].to_list()
    if not words:
        raise DataError(f"expected at least one word, got none ({one.source})", hint="choose another row")
    network, coded = estimator.network_.eval(), estimator.encode(one).whole
    device, reader = next(network.parameters()).device, network.reader
    assert isinstance(reader, WordReader)
    assert coded.forms is not None
    # the same sentence of words without number, vector and known character: what dropped words taught to ignore
    forms = torch.zeros_like(coded.forms[:1])
    forms[:, COLUMNS] = UNKNOWN_CHARACTER
    unknown_words = replace(coded, values=torch.zeros_like(coded.values), forms=forms)
    with torch.no_grad():
        vectors: Tensor = reader(coded.to(device)).cpu()
        unknown: Tensor = reader(unknown_words.to(device)).cpu()
    return Subject(
        title=one.texts[0] if one.texts is not None else " ".join(words),
        batch=replace(coded, values=vectors, forms=None),
        baseline=unknown[0],
        against="as many words that nobody knows",
        steps=words,
        axis="word",
        features=["word"],
        owners=np.zeros(vectors.shape[2], dtype=np.int64),
        inputs=np.full((len(words), 1), np.nan),
        feature="word",
    )


# --- tables and sequences of numbers ------------------------------------------------------------------------


def _numbers(estimator: BiLSTMEstimator, one: Dataset, name: str) -> Subject:
    encoder, coded = estimator.features_, estimator.encode(one).whole
    T = one.steps.height
    used = [column for column in encoder.columns if column.kind != "left out"]
    owners = np.repeat(np.arange(len(used)), [len(column.names) for column in used])
    inputs = np.full((T, len(used)), np.nan)
    for k, column in enumerate(used):
        if column.kind == "number":
            inputs[:, k] = _numbers_of(one.steps[column.name])
    against = "the mean of every column in training"
    if any(column.kind == "category" for column in used):
        against = "the mean of every column of numbers in training, and no known value of the others"
    subject = Subject(
        title=name,
        batch=coded,
        baseline=torch.zeros_like(coded.values[0]),
        against=against,
        steps=[str(t) for t in range(T)] if T > 1 else [name],
        axis="step" if T > 1 else "column",
        features=[column.name for column in used],
        owners=owners,
        inputs=inputs,
        shown=[] if T > 1 else [f"{column.name} = {_written(one.steps[column.name][0])}" for column in used],
    )
    if not estimator.columns_are_steps:
        return subject
    is_first = np.diff(owners, prepend=-1) > 0  # of a column's encoded numbers: it stands for the column's own value
    return replace(
        subject,
        steps=encoder.names,
        axis="column",
        features=["value"],
        owners=np.zeros(1, dtype=np.int64),
        inputs=np.where(is_first, inputs[0, owners], np.nan)[:, None],
        shown=[],
    )


def _numbers_of(column: pl.Series) -> Array:
    values: Array = column.cast(pl.Float64).to_numpy()
    return values


def _written(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# --- series -------------------------------------------------------------------------------------------------


@subject_of.register
def _(estimator: BiLSTMForecaster, X: Any, row: int, most_steps: int) -> Subject:
    series = estimator.known_ if X is None else estimator.to_dataset(X, None)
    windows = cut(series, estimator.history, estimator.horizon, at_end=True)
    window = windows.take([_position(row, len(windows), series.source)])
    coded = estimator.encoder_.sequences(window).whole
    steps = _times_written(window, window.starts[0] + np.arange(estimator.history))
    # targets, then the other columns, then the calendar as one
    owned = list(estimator.encoder_.target_columns)
    for column in [] if estimator.encoder_.columns is None else estimator.encoder_.columns.columns:
        own = column.name.removesuffix(MISSING)
        owned += [own if own in series.feature_names else CALENDAR] * len(column.names)
    features = list(dict.fromkeys(owned))
    inputs = np.full((estimator.history, len(features)), np.nan)
    for k, name in enumerate(features):
        if name in window.steps.columns:
            inputs[:, k] = _numbers_of(window.steps[name].slice(int(window.starts[0]), estimator.history))
    name = "" if window.names is None else f"{window.names[0]}: "
    unused = (
        "the validation part found no use for the BiLSTM (share_ is 0): the forecast is a linear map of "
        "the window, and the gates change nothing"
    )
    return Subject(
        title=f"{name}{', '.join(estimator.target_names_)} after {steps[-1]}",
        batch=coded,
        baseline=coded.values[0, -1:].expand_as(coded.values[0]),
        against="a window that stays at its last value",
        steps=steps,
        axis=series.times.name,
        features=features,
        owners=np.array([features.index(name) for name in owned]),
        inputs=inputs,
        notes=[unused] if estimator.share_ == 0 else [],
        coming=_times_written(window, window.rows_behind[0]),
    )


def _times_written(window: Windows, rows: Array) -> list[str]:
    """Times of some steps of a window's series, as text."""
    times = window.series.clock.plain(window.series.times.gather(rows)).to_list()
    texts = [f"{time:g}" if isinstance(time, float) else str(time) for time in times]
    return [time[:-3] for time in texts] if all(WHOLE_MINUTE.fullmatch(time) for time in texts) else texts


# --- sound --------------------------------------------------------------------------------------------------


@subject_of.register
def _(estimator: BiLSTMTranscriber, X: Any, row: int, most_steps: int) -> Subject:
    one = _example(estimator, X, row)
    if not isinstance(one, Recordings):
        raise DataError(f"expected recordings, got a table or sequences ({one.source})", hint="use read_recordings")
    encoder, name = estimator.sound_, one.names[0]
    mel = encoder.mel_of(sound_blocks(one.sounds[0], encoder.rate, name=name))  # (frames, mels)
    matrix = encoder.encoded(mel)
    length, notes = len(matrix), []
    if not length:
        raise DataError(f"expected sound of at least {encoder.window / encoder.rate:g} seconds, got less ({name})")
    if length > most_steps:
        matrix, mel = matrix[:most_steps], mel[: most_steps * encoder.stack]
        seconds = [steps * encoder.step_seconds for steps in (most_steps, length)]
        notes = [
            f"only the first {seconds[0]:.1f} of {seconds[1]:.1f} seconds are looked at, and the text is theirs; "
            "fewer outputs reach further"
        ]
    coded = Sequences(matrix, np.array([len(matrix)])).whole
    stacked = encoder.stacked(mel).reshape(len(matrix), encoder.stack, encoder.mels)
    hertz = MEL_BREAK * np.expm1(encoder.mel_edges[1:-1] / MEL_SCALE)  # the middle of each band
    features = [f"{number}: {f:.0f} Hz" for number, f in enumerate(hertz, 1)]
    return Subject(
        title=Path(name).name,
        batch=coded,
        baseline=torch.zeros_like(coded.values[0]),
        against="sound that is everywhere as loud as the mean",
        steps=[f"{step * encoder.step_seconds:.2f}" for step in range(len(matrix))],
        axis="seconds",
        features=features,
        owners=np.tile(np.arange(encoder.mels), encoder.stack),
        inputs=stacked.mean(axis=1),
        notes=notes,
        feature="band",
    )
