"""Numbers to matplotlib figures. Knows how a figure looks; computes nothing that a report would print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.errors import BilstmError
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger


def predictions(estimator: BiLSTMRegressor | BiLSTMClassifier | BiLSTMTagger, dataset: Dataset) -> Figure:
    """What a fitted estimator says of data with targets, drawn as its task wants it.

    A regressor's first target against the truth; a classifier's confusion, a tagger's over words.
    """
    dataset = estimator._with_targets(dataset)
    if isinstance(estimator, BiLSTMTagger):
        return confusion(
            _flat_tags(dataset),
            np.array([tag for tags in estimator.predict(dataset) for tag in tags]),
            estimator.classes_,
        )
    truth = dataset.target_values
    if isinstance(estimator, BiLSTMClassifier):
        estimator.labels_.transform(truth, dataset.source)  # a class the model does not know has no row
        return confusion(truth, estimator.predict(dataset), estimator.classes_)
    predicted = estimator.predict(dataset)
    first = (slice(None), 0) if truth.ndim == 2 else slice(None)
    return predicted_against_true(truth[first], predicted[first], estimator.target_names_[0])


def _flat_tags(dataset: Dataset) -> Array:
    assert dataset.tags is not None
    return dataset.tags.to_series().to_numpy().astype(str)


def predicted_against_true(truth: Array, predicted: Array, name: str, unit: str = "") -> Figure:
    """Predictions over true values with the line of perfection, and the residuals beside it.

    Args:
        truth: (N,), in the caller's units.
        predicted: (N,).
        name: what the numbers are.
        unit: of the axes, for instance ``1,000 $``.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
    left.plot([low, high], [low, high], color="0.6", linewidth=1, label="perfect")
    left.scatter(truth, predicted, s=16, alpha=0.7, color="C0")
    suffix = f" ({unit})" if unit else ""
    left.set_xlabel(f"true {name}{suffix}")
    left.set_ylabel(f"predicted {name}{suffix}")
    left.legend()
    right.hist(predicted - truth, bins=min(30, max(5, len(truth) // 4)), color="C0", alpha=0.7)
    right.axvline(0, color="0.6", linewidth=1)
    right.set_xlabel(f"predicted − true{suffix}")
    right.set_ylabel("rows")
    return figure


def confusion(truth: Array, predicted: Array, classes: Array) -> Figure:
    """How often each true class (row) was taken for each class (column).

    Args:
        truth: labels (N,).
        predicted: labels (N,).
        classes: the labels in the order of the axes, (K,).
    """
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, predicted, labels=classes)
    size = max(4.0, 0.45 * len(classes) + 2)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        _write_counts(axes, counts, shares)
    names = [str(label) for label in classes]
    axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def _write_counts(axes: Axes, counts: Array, shares: Array) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file whose ending says the format: png, svg, pdf.

    Raises:
        BilstmError: the ending is not a format, or the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BilstmError(f"cannot write the figure {path}: {error.strerror}") from None
    except ValueError as error:
        text = str(error).splitlines()[0]
        raise BilstmError(f"cannot write the figure {path}: {text}", hint="end the name in .png") from None
