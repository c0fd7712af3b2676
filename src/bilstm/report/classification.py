"""A classifier examined: figures, confusion, reliability, the worst cases; of one label a sequence, or of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.text.reader import words_in
from bilstm.estimators.classifier import BiLSTMClassifier, true_labels
from bilstm.formatting import counted, listed, percent, shortened
from bilstm.metrics.baselines import folds, logistic
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.predictions import (
    BINS,
    CLASSIFICATION,
    SEVERAL_LABELS,
    bins_of,
    classification_parts,
    log_losses,
    several_labels_parts,
)
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import ORANGE, Axis, Bars, Line, Panel
from bilstm.plotting.interactive import to_plotly
from bilstm.plotting.panels import confusion_panel
from bilstm.report.blocks import Block, Drawing, Table
from bilstm.report.examination import Examination, columns_for_rules, examine, examples, worst_table

Report = dict[str, dict[str, float]]  # of each class its precision, recall, f1 and support

MOST_CLASSES = 60  # that a confusion matrix shows, the commonest


@examine.register
def _(estimator: BiLSTMClassifier, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    dataset = estimator.with_targets(dataset)
    dataset.check_lengths()
    return (_several_labels if estimator.several_ else _one_label)(estimator, dataset, say)


def _one_label(estimator: BiLSTMClassifier, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    dataset, remarks = _known(estimator, dataset)
    truth = estimator.labels_.transform(true_labels(dataset), dataset.source)
    chances = estimator.predict_proba(dataset)  # (N, K)
    classes = [str(label) for label in estimator.classes_.tolist()]
    unit, parts = estimator.row_unit, classification_parts(truth, chances)
    references = _references(estimator, dataset, truth, say)
    evaluation = Evaluation(unit, counted(len(truth), unit), CLASSIFICATION, parts, references)
    guess = chances.argmax(axis=1)
    losses = log_losses(chances[np.arange(len(truth)), truth])
    blocks: list[Block] = [
        confusion(truth, guess, classes),
        reliability(chances.max(axis=1), guess == truth, unit),
        class_table("Each class", "class", class_report(classes, truth, guess)),
    ]
    chosen = examples(dataset, losses, chances.max(axis=1), guess == truth)
    return Examination(evaluation, blocks, [_worst(dataset, losses, unit, truth, chances, classes)], chosen, remarks)


def _known(estimator: BiLSTMClassifier, dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The sequences whose class the model knows, and what is to be said of the others."""
    labels = true_labels(dataset)
    kind = estimator.classes_.dtype.kind
    if (labels.dtype.kind in "OU") != (kind in "OU"):
        labels = labels.astype(str)
        known = np.isin(labels, estimator.classes_.astype(str))
    else:
        known = np.isin(labels, estimator.classes_)
    if known.all():
        return dataset, []
    if not known.any():
        estimator.labels_.transform(true_labels(dataset), dataset.source)  # which says it
    shown = listed(sorted({str(label) for label in labels[~known]}), 8)
    remark = (
        f"{counted(int((~known).sum()), estimator.row_unit)} of {len(known):,} have a class that training never saw "
        f"({shown}). The model cannot be right there; all figures are of the others."
    )
    kept = dataset.take(known)
    if kept.ids is None:  # it stays known by its position in what the caller gave
        kept = replace(kept, ids=pl.Series("row", np.flatnonzero(known)))
    return kept, [remark]


def _logistic(
    estimator: BiLSTMClassifier, dataset: Dataset, truth: Array, say: Callable[[str], None]
) -> tuple[Array, str]:
    """What a logistic regression says of the same sequences (N, K), and how it came about."""
    if dataset.is_language:
        columns: Array | list[list[str]] = words_in(dataset)
        what = "on the words, weighed by TF-IDF"
    else:
        columns, what = columns_for_rules(estimator, dataset)
    say(f"fitting a logistic regression to compare with ({counted(len(truth), estimator.row_unit)})")
    how = f"{what}, cross-validated on this data itself in {folds(len(truth))} folds"
    return logistic(columns, truth, len(estimator.classes_)), how


def _references(
    estimator: BiLSTMClassifier, dataset: Dataset, truth: Array, say: Callable[[str], None]
) -> list[Reference]:
    shares = np.bincount(truth, minlength=len(estimator.classes_)) / len(truth)
    how = "of this data itself, with the shares of the classes as probabilities"
    constant = classification_parts(truth, np.broadcast_to(shares, (len(truth), len(shares))))
    references = [Reference("the commonest class", how, constant)]
    if folds(len(truth)) and len(np.unique(truth)) > 1:
        chances, how = _logistic(estimator, dataset, truth, say)
        references.append(Reference("logistic regression", how, classification_parts(truth, chances)))
    return references


def confusion(truth: Array, guess: Array, classes: list[str], what: str = "classes") -> Drawing:
    """How often each true class (row) was taken for each (column), as a heat map."""
    counts = confusion_matrix(truth, guess, labels=np.arange(len(classes)))
    kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_CLASSES])
    left = "" if len(kept) == len(classes) else f" The {len(kept)} commonest of {len(classes)} {what} are shown."
    note = "Rows are true classes, columns what they were taken for; off the diagonal are the mistakes."
    return confusion_chart("Confusion", note + left, counts[np.ix_(kept, kept)], [classes[place] for place in kept])


def confusion_chart(title: str, note: str, counts: Array, names: list[str]) -> Drawing:
    """Counts of true names in rows and predicted ones in columns, as high as they need."""
    height = int(min(900, 220 + 22 * max(len(names), 8)))
    return Drawing(Chart(title, note, to_plotly([confusion_panel(counts, names)]), height))


def reliability(sure: Array, right: Array, unit: str) -> Drawing:
    """Stated probabilities over the shares that came true, in bins of equal width, and how many fall into each."""
    bins = bins_of(sure)
    counts = np.bincount(bins, minlength=BINS)
    some = counts > 0
    stated = np.bincount(bins, weights=sure, minlength=BINS)[some] / counts[some]
    came = np.bincount(bins, weights=right, minlength=BINS)[some] / counts[some]
    hover = f"said %{{x:.1%}}, came true %{{y:.1%}}<br>%{{customdata}} {unit}s<extra></extra>"
    perfect = Line([0, 1], [0, 1], name="perfect", colour=ORANGE, dash="dash")
    points = Line(came, stated, name="this model", marker=8, hover=hover, details=counts[some])
    x = Axis("stated probability", scale="percent", limits=(max(0.0, float(stated.min()) - 0.1), 1.02))
    curve = Panel([perfect, points], x, Axis("share that is right", scale="percent", limits=(-0.03, 1.05)), height=3)
    middles = (np.arange(BINS)[some] + 0.5) / BINS
    amounts = Panel([Bars(counts[some], middles, width=0.9 / BINS)], x, Axis(f"{unit}s"))
    note = (
        "Of what it says with 80 % probability, 80 % should be right. Below the line it is too sure, above it too "
        f"modest. The bars say how many {unit}s there are."
    )
    return Drawing(Chart("Reliability", note, to_plotly([curve, amounts]), height=420))


def class_table(caption: str, kind: str, report: Report) -> Table:
    """Precision, recall, f1 and how many there truly are, of each class, label, tag or type."""
    columns = ("precision", "recall", "f1")
    rows = [
        [shortened(name, 80), *(percent(row[column]) for column in columns), f"{row['support']:,}"]
        for name, row in report.items()
    ]
    return Table(caption, [kind, *columns, "true ones"], rows)


def class_report(names: Sequence[str], truth: Array, guess: Array) -> Report:
    """Precision, recall, f1 and support of each class, of its numbers (N,) or of a matrix (N, K) of labels."""
    figures = precision_recall_fscore_support(truth, guess, labels=np.arange(len(names)), zero_division=np.nan)
    columns = ("precision", "recall", "f1", "support")
    return {name: dict(zip(columns, row, strict=True)) for name, *row in zip(names, *figures, strict=True)}


def _worst(dataset: Dataset, losses: Array, unit: str, truth: Array, chances: Array, classes: list[str]) -> Table:
    guess = chances.argmax(axis=1)

    def cells(row: int) -> list[str]:
        both = (truth[row], guess[row])
        return [text for k in both for text in (classes[k], percent(float(chances[row, k])))]

    head = [unit, "true", "its probability", "predicted", "with probability"]
    return worst_table(dataset, losses, head, cells, "whose true class seemed least probable", texts=(1, 3))


# -- several labels a sequence -----------------------------------------------------------------------------------


def _several_labels(estimator: BiLSTMClassifier, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    truth, chances = estimator.label_matrix(dataset), estimator.predict_proba(dataset)  # (N, K)
    classes = [str(label) for label in estimator.classes_.tolist()]
    unit = estimator.row_unit
    constant = several_labels_parts(truth, np.broadcast_to(truth.mean(axis=0), truth.shape))
    references = [Reference("the commonest labels", "those that more than half of this data has", constant)]
    if folds(len(truth)):
        said, how = _logistic(estimator, dataset, truth, say)
        references.append(Reference("logistic regression", f"one a label, {how}", several_labels_parts(truth, said)))
    known = {figure.name: figure for figure in SEVERAL_LABELS}
    figures = [known[name] for name in ("f1_micro", "f1_macro", "accuracy", "log_loss")]
    parts = several_labels_parts(truth, chances)
    evaluation = Evaluation(unit, counted(len(truth), unit), figures, parts, references)
    losses = log_losses(np.where(truth, chances, 1 - chances)).mean(axis=1)
    guess = chances >= 0.5
    sure = np.maximum(chances, 1 - chances)
    blocks: list[Block] = [
        class_table("Each label", "label", class_report(classes, truth, guess)),
        reliability(sure.ravel(), (guess == truth).ravel(), "answer"),
    ]
    chosen = examples(dataset, losses, sure.min(axis=1), (guess == truth).all(axis=1))
    return Examination(evaluation, blocks, [_worst_sets(dataset, losses, unit, truth, chances, classes)], chosen)


def _worst_sets(dataset: Dataset, losses: Array, unit: str, truth: Array, chances: Array, classes: list[str]) -> Table:
    guess = chances >= 0.5

    def cells(row: int) -> list[str]:
        k = int(np.argmin(np.where(truth[row], chances[row], 1 - chances[row])))
        doubted = f"{classes[k]} {percent(float(chances[row, k]))}"
        return [_set(truth[row], classes), _set(guess[row], classes), doubted]

    head = [unit, "true labels", "predicted", "furthest off"]
    return worst_table(dataset, losses, head, cells, "with the largest loss", texts=(1, 2, 3))


def _set(chosen: Array, classes: list[str]) -> str:
    return shortened(", ".join(classes[k] for k in np.flatnonzero(chosen)) or "none", 120)
