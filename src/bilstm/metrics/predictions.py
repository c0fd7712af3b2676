"""Figures of merit of numbers and labels beside the truth, and the one way in which a model is measured.

Each task has parts (what every sequence adds), figures of the sums of these, and metrics (the figures of all).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy import sparse

from bilstm.data.columns import Array
from bilstm.metrics.figures import Figure, Parts, figures_of, mean_of, ratio, share, totals

BINS = 15  # of stated probabilities, in the calibration error


class Measurable(Protocol):
    """A fitted estimator, as far as it is measured."""

    def with_targets(self, dataset: Any) -> Any: ...

    def outputs(self, X: Any) -> Any: ...

    def measure(self, dataset: Any, outputs: Any) -> dict[str, float]: ...


def evaluate(estimator: Measurable, dataset: Any) -> dict[str, float]:
    """The metrics of a fitted estimator on a Dataset with targets: the one way in which a model is measured.

    Example:
        >>> evaluate(model, read_table("test.csv", target="medv"))  # doctest: +SKIP
        {'rmse': 3.02, 'mae': 2.11, 'r2': 0.88, 'n': 51}
    """
    dataset = estimator.with_targets(dataset)
    return estimator.measure(dataset, estimator.outputs(dataset))


# -- numbers -----------------------------------------------------------------------------------------------------


def regression_metrics(truth: Array, predicted: Array) -> dict[str, float]:
    """``rmse``, ``mae``, ``r2`` and ``n`` of values (N,) or (N, K); several targets are averaged with equal weight.

    r2 is NaN for fewer than two rows; of a target that does not vary it is 1 without an error, or else 0, as in
    scikit-learn.
    """
    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1)
    sums = totals(regression_parts(truth, predicted))
    result = figures_of(regression_figures(truth.shape[1]), sums)
    explained = _explained(sums)
    explained = np.where(np.isnan(explained), sums[: len(explained)] == 0, explained)
    result["r2"] = float(explained.mean()) if len(truth) > 1 else float("nan")
    return result | {"n": len(truth)}


def regression_parts(truth: Array, predicted: Array) -> Parts:
    """What each row (N, K) adds: squared and absolute errors, deviations from the mean and their squares, one."""
    error, apart = predicted - truth, truth - truth.mean(axis=0)  # about the mean r2 loses the fewest digits
    return [error**2, np.abs(error), apart, apart**2, np.ones(len(truth))]


def regression_figures(targets: int) -> list[Figure]:
    """Figures of these sums."""
    over = " (mean over the targets)" if targets > 1 else ""
    return [
        Figure("rmse", f"root mean squared error{over}", lambda sums: np.sqrt(_mean_errors(sums, 0)).mean(axis=-1)),
        Figure("mae", f"mean absolute error{over}", lambda sums: _mean_errors(sums, 1).mean(axis=-1)),
        Figure("r2", f"share of the variance explained{over}", lambda sums: _explained(sums).mean(axis=-1), True),
    ]


def _mean_errors(sums: Array, kind: int) -> Array:
    K = sums.shape[-1] // 4
    means: Array = sums[..., kind * K : (kind + 1) * K] / sums[..., -1:]
    return means


def _explained(sums: Array) -> Array:
    """r2 of each target (…, K); NaN where the target does not vary."""
    K = sums.shape[-1] // 4
    apart, squares = sums[..., 2 * K : 3 * K], sums[..., 3 * K : 4 * K]
    variation = squares - apart**2 / sums[..., -1:]
    known = variation > 1e-12 * squares
    explained: Array = np.where(known, 1 - sums[..., :K] / np.where(known, variation, 1.0), np.nan)
    return explained


# -- one label a sequence ----------------------------------------------------------------------------------------


def classification_metrics(truth: Array, probabilities: Array, classes: Array) -> dict[str, float]:
    """``accuracy``, ``f1_macro``, ``log_loss``, ``calibration_error`` and ``n``, of labels (N,) and chances (N, K).

    ``classes`` are sorted, (K,); f1_macro is the mean over those that occur in truth or prediction.
    """
    parts = classification_parts(np.searchsorted(classes, truth), probabilities)
    return figures_of(CLASSIFICATION, totals(parts)) | {"n": len(truth)}


def log_losses(chances: Array) -> Array:
    """−log of the probabilities that the truth was given.

    A floor keeps one certain mistake from making a mean infinite, as in scikit-learn's log_loss.
    """
    losses: Array = -np.log(np.clip(chances, np.finfo(chances.dtype).eps, 1.0))
    return losses


def classification_parts(truth: Array, probabilities: Array) -> Parts:
    """What each sequence adds, of class numbers (N,) and probabilities (N, K).

    One, right, loss; its gap in its bin of confidence; its true class, its predicted class, that class if right.
    """
    N, K = probabilities.shape
    rows, guess, confidence = np.arange(N), probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = guess == truth

    def marked(columns: Array, amounts: Array) -> Any:
        return sparse.csr_array((amounts.astype(np.float64), (rows, columns)), shape=(N, K))

    counts = [marked(truth, np.ones(N)), marked(guess, np.ones(N)), marked(truth, right)]
    return [np.ones(N), right, log_losses(probabilities[rows, truth]), _gaps(confidence, right, BINS), *counts]


def _f1_macro(sums: Array) -> Array:
    true, predicted, both = np.split(sums[..., 3 + BINS :], 3, axis=-1)
    return mean_of(f1_of(true, predicted, both), true + predicted > 0)


def f1_of(true: Array, predicted: Array, both: Array) -> Array:
    """2 · both / (true + predicted); 0 where there is neither."""
    f1: Array = 2 * both / np.maximum(true + predicted, 1)
    return f1


def _calibration_error(sums: Array) -> Array:
    error: Array = np.abs(sums[..., 3 : 3 + BINS]).sum(axis=-1) / sums[..., 0]
    return error


CALIBRATION = (
    "how far stated probabilities are from the shares that come true; few rows alone make it larger, and resamples "
    "more so: it has no interval"
)
CLASSIFICATION = (
    share("accuracy", "share of right labels", ratio(1, 0)),
    Figure("f1_macro", "mean f1 over the classes", _f1_macro, higher_is_better=True),
    Figure("log_loss", "mean of −log of the probability given to the true class", ratio(2, 0)),
    # a resample adds its own chance to every gap, and absolute gaps cannot cancel: all resamples lie too high
    Figure("calibration_error", CALIBRATION, _calibration_error, has_interval=False),
)


def calibration_error(confidence: Array, right: Array, bins: int = BINS) -> float:
    """The expected calibration error: how far stated probabilities (N,) are from the shares that come true.

    .. math:: \\mathrm{ECE} = \\sum_b \\frac{n_b}{N} \\, |\\mathrm{accuracy}_b - \\mathrm{confidence}_b|

    over bins of equal width. Naeini, Cooper and Hauskrecht 2015; Guo, Pleiss, Sun and Weinberger 2017.

    Example:
        >>> calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False]))
        0.0
    """
    gaps = _gaps(np.ravel(confidence), np.ravel(right), bins).sum(axis=0)
    return float(np.abs(gaps).sum() / np.size(confidence))


def bins_of(confidence: Array, bins: int = BINS) -> Array:
    """The bin that each stated probability falls into, (N,)."""
    places: Array = np.minimum((confidence * bins).astype(int), bins - 1)
    return places


def _gaps(confidence: Array, right: Array, bins: int) -> Any:
    """What each prediction adds to n_b (accuracy_b − confidence_b), (N, bins), sparse."""
    N = len(confidence)
    return sparse.csr_array((right - confidence, (np.arange(N), bins_of(confidence, bins))), shape=(N, bins))


# -- several labels a sequence -----------------------------------------------------------------------------------


def several_labels_metrics(truth: Array, probabilities: Array) -> dict[str, float]:
    """Metrics where a sequence may have several labels, (N, K): ``accuracy`` counts whole sets of labels.

    f1_macro, log_loss and calibration_error are means over the labels, f1_micro is of all of them together.
    """
    result = figures_of(SEVERAL_LABELS, totals(several_labels_parts(truth, probabilities)))
    answers = np.where(truth, probabilities, 1 - probabilities)
    result["log_loss"] = float(log_losses(answers).mean())  # of all at once: sums of rows would differ in the last bits
    right = (probabilities >= 0.5) == truth
    result["calibration_error"] = calibration_error(np.maximum(probabilities, 1 - probabilities), right)
    return result | {"n": len(truth)}


def several_labels_parts(truth: Array, probabilities: Array) -> Parts:
    """What each sequence adds: one, exact, mean loss; of each label true, predicted, both."""
    predicted = probabilities >= 0.5
    losses = log_losses(np.where(truth, probabilities, 1 - probabilities)).mean(axis=1)
    return [np.ones(len(truth)), (predicted == truth).all(axis=1), losses, truth, predicted, truth & predicted]


def _f1_of_labels(sums: Array) -> Array:
    mean: Array = f1_of(*np.split(sums[..., 3:], 3, axis=-1)).mean(axis=-1)
    return mean


def _f1_micro(sums: Array) -> Array:
    return f1_of(*(part.sum(axis=-1) for part in np.split(sums[..., 3:], 3, axis=-1)))


SEVERAL_LABELS = (
    share("accuracy", "share of sets of labels without a mistake", ratio(1, 0)),
    Figure("f1_macro", "mean f1 over the labels", _f1_of_labels, higher_is_better=True),
    Figure("f1_micro", "f1 over all labels", _f1_micro, higher_is_better=True),
    Figure("log_loss", "mean of −log of the probability of each answer", ratio(2, 0)),
)


def precision_recall(both: int, predicted: int, true: int) -> dict[str, float]:
    """``precision``, ``recall``, ``f1`` and ``support`` of a class, from how many are both, predicted, and true.

    Example:
        >>> precision_recall(3, 4, 6)
        {'precision': 0.75, 'recall': 0.5, 'f1': 0.6, 'support': 6}
    """
    return {
        "precision": both / predicted if predicted else 0.0,
        "recall": both / true if true else 0.0,
        "f1": 2 * both / (predicted + true) if predicted + true else 0.0,
        "support": true,
    }
