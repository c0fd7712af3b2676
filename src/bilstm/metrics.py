"""Figures of merit of predictions beside the truth. Knows numbers and labels; not who made them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import metrics

Array = np.ndarray[Any, np.dtype[Any]]


def regression_metrics(truth: Array, predicted: Array) -> dict[str, float]:
    """``rmse``, ``mae``, ``r2`` and ``n``; several targets are averaged with equal weight.

    Args:
        truth: (N,) or (N, K), in the caller's units.
        predicted: of the same shape.

    Returns:
        dict: r2 is NaN for fewer than two rows, where it means nothing.
    """
    squared = metrics.mean_squared_error(truth, predicted, multioutput="raw_values")
    return {
        "rmse": float(np.sqrt(squared).mean()),
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
        "r2": float(metrics.r2_score(truth, predicted)) if len(truth) > 1 else float("nan"),
        "n": len(truth),
    }


def classification_metrics(truth: Array, probabilities: Array, classes: Array) -> dict[str, float]:
    """``accuracy``, ``f1_macro``, ``log_loss`` and ``n``.

    Args:
        truth: labels (N,); each is one of ``classes``.
        probabilities: (N, K), columns in the order of ``classes``.
        classes: sorted labels (K,).

    Returns:
        dict: f1_macro is the mean over the classes that occur in truth or prediction.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    codes = np.searchsorted(classes, truth)
    chosen = probabilities[np.arange(len(codes)), codes]
    return {
        "accuracy": float(np.mean(predicted == truth)),
        "f1_macro": float(metrics.f1_score(truth, predicted, average="macro")),
        # the floor keeps one certain mistake from making the mean infinite, as scikit-learn's log_loss does
        "log_loss": float(-np.log(np.clip(chosen, np.finfo(probabilities.dtype).eps, 1.0)).mean()),
        "n": len(truth),
    }


def evaluate(estimator: Any, dataset: Any) -> dict[str, float]:
    """The metrics of a fitted estimator on a Dataset with targets: the one way in which a model is measured.

    Example:
        >>> evaluate(model, read_table("test.csv", target="medv"))  # doctest: +SKIP
        {'rmse': 3.02, 'mae': 2.11, 'r2': 0.88, 'n': 51}
    """
    dataset = estimator._with_targets(dataset)
    result: dict[str, float] = estimator._metrics(dataset, estimator._decode(estimator._outputs(dataset)))
    return result
