"""Figures of merit of predictions beside the truth. Knows numbers, labels and entities; not who made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from bilstm.data.columns import Array
from bilstm.data.text.tags import entities, scheme_of
from bilstm.errors import DataError


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
        dict: f1_macro is the mean over the classes that occur in truth or prediction; ``calibration_error`` that of
            :func:`calibration_error`.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    codes = np.searchsorted(classes, truth)
    chosen = probabilities[np.arange(len(codes)), codes]
    return {
        "accuracy": float(np.mean(predicted == truth)),
        "f1_macro": float(metrics.f1_score(truth, predicted, average="macro")),
        # the floor keeps one certain mistake from making the mean infinite, as scikit-learn's log_loss does
        "log_loss": float(-np.log(np.clip(chosen, np.finfo(probabilities.dtype).eps, 1.0)).mean()),
        "calibration_error": calibration_error(probabilities.max(axis=1), predicted == truth),
        "n": len(truth),
    }


def several_labels_metrics(truth: Array, probabilities: Array) -> dict[str, float]:
    """Metrics where a sequence may have several labels: ``accuracy`` counts whole sets of labels.

    Args:
        truth: which labels each sequence has, (N, K) of truth values.
        probabilities: of each label, (N, K).

    Returns:
        dict: accuracy, f1_macro (mean over labels), f1_micro, log_loss (mean over labels), calibration_error, n.
    """
    predicted = probabilities >= 0.5
    chosen = np.where(truth, probabilities, 1 - probabilities)
    return {
        "accuracy": float((predicted == truth).all(axis=1).mean()),
        "f1_macro": float(metrics.f1_score(truth, predicted, average="macro", zero_division=0)),
        "f1_micro": float(metrics.f1_score(truth, predicted, average="micro", zero_division=0)),
        "log_loss": float(-np.log(np.clip(chosen, np.finfo(probabilities.dtype).eps, 1.0)).mean()),
        "calibration_error": calibration_error(np.maximum(probabilities, 1 - probabilities), predicted == truth),
        "n": len(truth),
    }


def calibration_error(confidence: Array, right: Array, bins: int = 15) -> float:
    """How far stated probabilities are from the shares that come true: the expected calibration error.

    .. math:: \\mathrm{ECE} = \\sum_b \\frac{n_b}{N} \\, |\\mathrm{accuracy}_b - \\mathrm{confidence}_b|

    over bins of equal width.

    Args:
        confidence: the probability of each prediction, (N,), in 0 … 1.
        right: whether each came true, (N,).
        bins: how many.

    Source: Naeini, Cooper and Hauskrecht 2015; Guo, Pleiss, Sun and Weinberger 2017.

    Example:
        >>> calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False]))
        0.0
    """
    confidence, right = np.ravel(confidence), np.ravel(right)
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=right - confidence, minlength=bins)  # n_b (accuracy_b − confidence_b)
    return float(np.abs(gaps).sum() / len(confidence))


def tagging_metrics(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """``accuracy`` over words; where tags are BIO or IOBES ``f1``, ``precision``, ``recall``; ``n`` and ``tokens``.

    precision = found / predicted, recall = found / true, f1 = 2·found / (predicted + true), counted over all entities;
    an entity is found if type, beginning and end agree. Broken tags are read as
    :func:`bilstm.data.text.tags.entities` does.

    Args:
        truth: the tags of every sentence.
        predicted: of the same lengths.

    Returns:
        dict: ``n`` counts sentences; a quotient by zero is 0, as seqeval has it; accuracy of no words is NaN.

    Raises:
        DataError: the lengths differ.

    The trap: accuracy compares tags as they are spelt, so bring truth and prediction into one scheme first.

    Example:
        >>> figures = tagging_metrics([["B-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-LOC"]])
        >>> figures["precision"], figures["recall"], figures["n"], figures["tokens"]
        (0.5, 1.0, 1, 3)
    """
    _check_lengths(truth, predicted)
    tokens = sum(map(len, truth))
    same = sum(t == p for tags, others in zip(truth, predicted, strict=True) for t, p in zip(tags, others, strict=True))
    result: dict[str, float] = {"accuracy": same / tokens if tokens else float("nan")}
    if scheme_of([*truth, *predicted]) is not None:
        found, true, guessed = (counts.total() for counts in _entity_counts(truth, predicted))
        result |= {"f1": _ratio(2 * found, guessed + true), "precision": _ratio(found, guessed)}
        result["recall"] = _ratio(found, true)
    return result | {"n": len(truth), "tokens": tokens}


def entity_report(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """``precision``, ``recall``, ``f1`` and ``support`` (true entities) of every type, counted as in the whole.

    Args:
        truth: the BIO or IOBES tags of every sentence.
        predicted: of the same lengths.

    Returns:
        dict: by type, sorted; a type that was only predicted has support 0.

    Raises:
        DataError: the lengths differ, or a tag is neither O nor a prefix with or without a type.

    Example:
        >>> entity_report([["B-PER", "O"]], [["B-PER", "B-LOC"]])["LOC"]
        {'precision': 0.0, 'recall': 0.0, 'f1': 0.0, 'support': 0}
    """
    found, true, guessed = _entity_counts(truth, predicted)
    return {
        kind: {
            "precision": _ratio(found[kind], guessed[kind]),
            "recall": _ratio(found[kind], true[kind]),
            "f1": _ratio(2 * found[kind], guessed[kind] + true[kind]),
            "support": true[kind],
        }
        for kind in sorted(true | guessed)
    }


def type_confusion(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[tuple[str, str], int]:
    """How often entities of one type were taken for another, or for none.

    Entities of the same extent are set beside each other. A true one without such a partner counts as (its type,
    ``O``), missed; a predicted one as (``O``, its type), spurious: an entity with a wrong end is both.

    Args:
        truth: the BIO or IOBES tags of every sentence.
        predicted: of the same lengths.

    Returns:
        dict: counts by (true type, predicted type), sorted; pairs that do not occur are left out.

    Raises:
        DataError: the lengths differ, or a tag is neither O nor a prefix with or without a type.

    Example:
        >>> type_confusion([["B-PER", "O", "B-LOC"]], [["B-ORG", "B-ORG", "O"]])
        {('LOC', 'O'): 1, ('O', 'ORG'): 1, ('PER', 'ORG'): 1}
    """
    _check_lengths(truth, predicted)
    counts: Counter[tuple[str, str]] = Counter()
    for tags, others in zip(truth, predicted, strict=True):
        true, guessed = _by_extent(tags), _by_extent(others)
        counts.update((true.get(extent, "O"), guessed.get(extent, "O")) for extent in true | guessed)
    return dict(sorted(counts.items()))


def entity_tables(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> str:
    """:func:`entity_report` and :func:`type_confusion` as two tables of text, for a reader.

    Example:
        >>> print(entity_tables([["B-PER", "O"]], [["B-PER", "O"]]).splitlines()[1])
        PER          1.0000    1.0000    1.0000         1
    """
    report, counts = entity_report(truth, predicted), type_confusion(truth, predicted)
    width = max([8, *map(len, report)])
    lines = [f"{'type':<{width}} {'precision':>10}{'recall':>10}{'f1':>10}{'support':>10}"]
    for kind, row in report.items():
        figures = "".join(f"{row[name]:>10.4f}" for name in ("precision", "recall", "f1"))
        lines.append(f"{kind:<{width}} {figures}{row['support']:>10}")
    kinds = [*report, "O"]
    lines += ["", "true types (rows) taken for others (columns); O: no entity of just these words"]
    lines.append(" " * width + " " + "".join(f"{kind[:9]:>10}" for kind in kinds))
    for true in kinds:
        taken = "".join(f"{counts.get((true, guess), '.'):>10}" for guess in kinds)
        lines.append(f"{true:<{width}} {taken}")
    return "\n".join(lines)


def evaluate(estimator: Any, dataset: Any) -> dict[str, float]:
    """The metrics of a fitted estimator on a Dataset with targets: the one way in which a model is measured.

    Example:
        >>> evaluate(model, read_table("test.csv", target="medv"))  # doctest: +SKIP
        {'rmse': 3.02, 'mae': 2.11, 'r2': 0.88, 'n': 51}
    """
    dataset = estimator.with_targets(dataset)
    result: dict[str, float] = estimator.measure(dataset, estimator.outputs(dataset))
    return result


def _entity_counts(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> tuple[Counter[str], ...]:
    """Entities by type: found, true, predicted."""
    _check_lengths(truth, predicted)
    found: Counter[str] = Counter()
    true: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    for tags, others in zip(truth, predicted, strict=True):
        here, there = entities(tags), entities(others)
        true.update(kind for kind, _, _ in here)
        guessed.update(kind for kind, _, _ in there)
        found.update(kind for kind, _, _ in set(here) & set(there))
    return found, true, guessed


def _by_extent(tags: Sequence[str]) -> dict[tuple[int, int], str]:
    return {(first, end): kind for kind, first, end in entities(tags)}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _check_lengths(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    if len(truth) != len(predicted):
        raise DataError(f"expected tags of {len(truth)} sentences, got {len(predicted)}")
    for number, (tags, others) in enumerate(zip(truth, predicted, strict=True), 1):
        if len(tags) != len(others):
            raise DataError(f"expected {len(tags)} tags, got {len(others)} (sentence {number})")
