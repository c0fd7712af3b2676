"""A classifier of several labels a sequence examined: figures, each label, reliability, the worst cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.formatting import counted, percent, shortened
from bilstm.metrics.simple_rules import folds, logistic
from bilstm.report.blocks import Block, Table
from bilstm.report.classification import (
    LOG_FLOOR,
    content,
    content_head,
    inputs_for_logistic,
    reliability,
    shares_of,
    unit_of,
)
from bilstm.report.examined import Examined, examples, names_of, worst_rows, worst_table
from bilstm.report.measured import Measure, Measured, Rival


def examine(estimator: BiLSTMClassifier, dataset: Dataset, say: Callable[[str], None]) -> Examined:
    """Figures, charts and cases of a classifier on data with lists of labels."""
    truth, chances = estimator.label_matrix(dataset), estimator.predict_proba(dataset)  # (N, K)
    classes = [str(label) for label in estimator.classes_.tolist()]
    unit = unit_of(dataset)
    constant = np.broadcast_to(truth.mean(axis=0), truth.shape)
    rivals = [Rival("the commonest labels", "those that more than half of this data has", _sums(truth, constant))]
    if folds(len(truth)):
        say(f"fitting logistic regressions to compare with ({len(truth):,} {unit}s)")
        columns, what = inputs_for_logistic(estimator, dataset)
        how = f"one a label, {what}, cross-validated on this data itself in {folds(len(truth))} folds"
        rivals.append(Rival("logistic regression", how, _sums(truth, logistic(columns, truth, len(classes)))))
    measured = Measured(unit, counted(len(truth), unit), _measures(len(classes)), _sums(truth, chances), rivals)
    losses = -np.log(np.clip(np.where(truth, chances, 1 - chances), LOG_FLOOR, 1.0)).mean(axis=1)
    guess = chances >= 0.5
    sure = np.maximum(chances, 1 - chances)
    rows = [
        [shortened(name, 80), *shares_of(*(int(part[:, k].sum()) for part in (guess & truth, guess, truth)))]
        for k, name in enumerate(classes)
    ]
    blocks: list[Block] = [
        Table("Each label", ["label", "precision", "recall", "f1", "true ones"], rows),
        reliability(sure.ravel(), (guess == truth).ravel(), "answer"),
    ]
    found = examples(dataset, losses, sure.min(axis=1), (guess == truth).all(axis=1))
    return Examined(measured, blocks, [_worst(dataset, truth, chances, classes, losses)], found)


def _measures(K: int) -> list[Measure]:
    return [
        Measure("f1_micro", "f1 over all labels", partial(_f1, K=K, of_each=False), higher_is_better=True),
        Measure("f1_macro", "mean f1 over the labels", partial(_f1, K=K, of_each=True), higher_is_better=True),
        Measure("accuracy", "share of sets of labels without a mistake", _exact, higher_is_better=True, is_share=True),
        Measure("log_loss", "mean of −log of the probability of each answer", _log_loss),
    ]


def _sums(truth: Array, chances: Array) -> Array:
    """(N, 3 + 3 K): one, exact, log loss; of each label true, predicted, found."""
    guess = chances >= 0.5
    lost = -np.log(np.clip(np.where(truth, chances, 1 - chances), LOG_FLOOR, 1.0)).mean(axis=1)
    whole = (guess == truth).all(axis=1)
    return np.column_stack([np.ones(len(truth)), whole, lost, truth, guess, truth & guess]).astype(float)


def _exact(sums: Array) -> Array:
    return sums[..., 1] / sums[..., 0]


def _log_loss(sums: Array) -> Array:
    return sums[..., 2] / sums[..., 0]


def _f1(sums: Array, K: int, of_each: bool) -> Array:
    true, guessed, hit = (sums[..., 3 + k * K : 3 + (k + 1) * K] for k in range(3))
    if not of_each:
        true, guessed, hit = (part.sum(axis=-1, keepdims=True) for part in (true, guessed, hit))
    found: Array = (2 * hit / np.maximum(true + guessed, 1)).mean(axis=-1)
    return found


def _worst(dataset: Dataset, truth: Array, chances: Array, classes: list[str], losses: Array) -> Table:
    rows, guess = worst_rows(losses), chances >= 0.5
    table = []
    for row, called in zip(rows, names_of(dataset, rows), strict=True):
        k = int(np.argmin(np.where(truth[row], chances[row], 1 - chances[row])))
        doubted = f"{classes[k]} {percent(float(chances[row, k]))}"
        cells = [called, _listed(truth[row], classes), _listed(guess[row], classes), doubted]
        table.append((row, [*cells, *content(dataset, row)]))
    caption = f"The {counted(len(table), unit_of(dataset))} with the largest loss"
    head = [unit_of(dataset), "true labels", "predicted", "furthest off", *content_head(dataset)]
    return worst_table(caption, head, table, texts=(0, 1, 2, 3, 4) if dataset.is_language else (0, 1, 2, 3))


def _listed(chosen: Array, classes: list[str]) -> str:
    return shortened(", ".join(classes[k] for k in np.flatnonzero(chosen)) or "none", 120)
