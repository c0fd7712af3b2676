"""What is strange about the data that a model is examined on: gaps, new values, foreign ranges, leaks, copies.

Knows datasets and encoders; trains and measures nothing. Every finding is one sentence.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import polars as pl

from bilstm.data.columns import as_text
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.encoders import Column
from bilstm.data.series.leaks import find_leaks
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows
from bilstm.data.sound.recordings import Recordings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.formatting import capitalised, counted, listed, percent, shortened

FAR = 6.0  # standard deviations of the training mean beyond which a number is strange to the model
MOST = 8  # columns that are named one by one
NEW_WORDS = 0.3  # share of unknown words that is worth a warning


def same_as_training(estimator: BiLSTMEstimator, dataset: Dataset) -> str | None:
    """A sentence if these are the very sequences that the model was fitted to."""
    try:
        same = dataset.fingerprint() == estimator.trained_on_
    except OSError:  # a recording that cannot be read now
        return None
    if not same:
        return None
    return (
        "The model was trained on this very data: the figures flatter. What it knows of new data, other data must show."
    )


@singledispatch
def findings(estimator: BiLSTMEstimator, dataset: Dataset) -> list[str]:
    """What a reader of the figures should know of the data, most serious first."""
    return _copies(dataset) + _missing(dataset.steps) + _foreign(estimator, dataset.steps)


@findings.register
def _(estimator: LanguageEstimator, dataset: Dataset) -> list[str]:
    if dataset.is_language:
        return _copies(dataset) + _of_words(estimator, dataset)
    return findings.dispatch(BiLSTMEstimator)(estimator, dataset)


@findings.register
def _(estimator: BiLSTMForecaster, dataset: Dataset) -> list[str]:
    series = dataset.series if isinstance(dataset, Windows) else dataset
    assert isinstance(series, Series)
    names, targets, future = series.steps.columns, list(series.target_columns), list(series.future)
    leaks = find_leaks(series.steps.to_numpy(), names, targets, future, series.lengths, estimator.horizon)
    return [f"{capitalised(leak)}." for leak in leaks] + _missing(series.steps)


@findings.register
def _(estimator: BiLSTMTranscriber, dataset: Dataset) -> list[str]:
    assert isinstance(dataset, Recordings)
    unknown = set() if dataset.targets is None else estimator.characters_.unknown(dataset.texts_said)
    if not unknown:
        return []
    signs = ", ".join(repr(sign) for sign in sorted(unknown)[:20])
    return [f"The texts have characters that the model cannot write: {signs}. Words with them are mistakes."]


def _copies(dataset: Dataset) -> list[str]:
    frame = dataset.steps
    if dataset.is_table:
        again, unit = frame.height - frame.n_unique() if frame.height else 0, "row"
    else:
        firsts, ends = dataset.starts, dataset.starts + dataset.lengths
        hashes = frame.hash_rows(seed=0).to_numpy()
        keys = {hashes[a:b].tobytes() for a, b in zip(firsts, ends, strict=True)}
        again, unit = len(dataset) - len(keys), "sequence"
    if not again:
        return []
    verb = "repeats" if again == 1 else "repeat"
    remark = f"{counted(again, unit)} of {len(dataset):,} {verb} the input of another."
    return [f"{remark} Copies count more than once, and a rule that is cross-validated here may have seen them."]


def _missing(steps: pl.DataFrame) -> list[str]:
    counts = {name: count for name, count in zip(steps.columns, steps.null_count().row(0), strict=True) if count}
    if not counts:
        return []
    shares = [f"{shortened(name, 40)} {percent(count / steps.height)}" for name, count in counts.items()]
    return [f"Values are missing: {listed(shares, MOST)}."]


def _foreign(estimator: BiLSTMEstimator, steps: pl.DataFrame) -> list[str]:
    remarks, unused = [], []
    for column in estimator.features_.columns:
        if column.kind == "left out" or column.name not in steps.columns:
            unused.append(column.name)
            continue
        series = steps[column.name]
        remark = _new_values(column, series) if column.kind == "category" else _far(column, series)
        remarks += [remark] if remark else []
    more = [f"So it is in {len(remarks) - MOST} more columns."] if len(remarks) > MOST else []
    left = [f"The model leaves out {listed(unused, MOST)}."] if unused else []
    return remarks[:MOST] + more + left


def _new_values(column: Column, series: pl.Series) -> str | None:
    text = as_text(series).drop_nulls()
    new = text.filter(~text.is_in(column.values))
    if not len(new):
        return None
    shown = ", ".join(repr(shortened(value, 40)) for value in new.unique(maintain_order=True)[:3])
    where = f"in {percent(len(new) / len(series))} of the steps"
    return f"Column {shortened(column.name, 40)} has values that training never saw {where}, such as {shown}."


def _far(column: Column, series: pl.Series) -> str | None:
    values = series.cast(pl.Float64).drop_nulls().to_numpy()
    values = values[~np.isnan(values)]
    if not len(values) or not column.scale > 0:
        return None
    away = np.abs(values - column.mean) / column.scale
    share = float((away > FAR).mean())
    if not share:
        return None
    return (
        f"Column {shortened(column.name, 40)} lies beyond {FAR:g} standard deviations of the training mean in "
        f"{percent(share)} of the steps, at most {away.max():.3g} away."
    )


def _of_words(estimator: LanguageEstimator, dataset: Dataset) -> list[str]:
    words = dataset.steps[WORD]
    remarks = []
    empty = int((dataset.lengths == 0).sum())
    if empty:
        verb = "has" if empty == 1 else "have"
        remarks.append(f"{counted(empty, 'text')} of {len(dataset):,} {verb} no words.")
    if len(words):
        ids, forms = estimator.words_.transform(words)
        unknown = forms[ids[:, 0], 0] == 0
        share = float(unknown.mean())
        tail = "; of these the model knows their letters and vectors only" if share else ""
        remark = f"{percent(share)} of the words were not seen (often enough) in training{tail}."
        remarks.append(remark + (" That is a lot: the data may be of another kind." if share > NEW_WORDS else ""))
    if dataset.tags is not None:
        new = sorted(set(dataset.tags.to_series().unique().to_list()) - set(estimator.classes_.tolist()))
        if new:
            remarks.append(f"Tags that training never saw count as mistakes: {listed(new, MOST)}.")
    return remarks
