"""Figures of merit of tags and of the entities that they mark, beside the truth. Knows tags; not who wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.text.tags import entities, scheme_of
from bilstm.errors import DataError
from bilstm.metrics.figures import Figure, Parts, figures_of, ratio, share, totals
from bilstm.metrics.predictions import f1_of, precision_recall

Tags = Sequence[Sequence[str]]


def tagging_metrics(truth: Tags, predicted: Tags) -> dict[str, float]:
    """``accuracy`` over words; ``f1``, ``precision``, ``recall`` where tags are BIO or IOBES; ``n`` and ``tokens``.

    precision = found / predicted, recall = found / true, f1 = 2·found / (predicted + true), counted over all entities;
    an entity is found if type, beginning and end agree. Broken tags are read as :func:`bilstm.data.text.tags.entities`
    does; a quotient by zero is 0, as in seqeval; accuracy of no words is NaN.

    The trap: accuracy compares tags as they are spelt, so bring truth and prediction into one scheme first.

    Example:
        >>> figures = tagging_metrics([["B-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-LOC"]])
        >>> figures["precision"], figures["recall"], figures["n"], figures["tokens"]
        (0.5, 1.0, 1, 3)
    """
    _check_lengths(truth, predicted)
    typed = scheme_of([*truth, *predicted]) is not None
    result = figures_of(TAGS + (ENTITIES if typed else ()), totals(tag_parts(truth, predicted, typed)))
    return result | {"n": len(truth), "tokens": sum(map(len, truth))}


def tag_parts(truth: Tags, predicted: Tags, typed: bool) -> Parts:
    """What each sentence adds: words, right words; entities that are true, predicted, both; none where not typed."""
    rows = []
    for tags, others in zip(truth, predicted, strict=True):
        true, guessed = (set(entities(part)) if typed else set() for part in (tags, others))
        right = sum(a == b for a, b in zip(tags, others, strict=True))
        rows.append((len(tags), right, len(true), len(guessed), len(true & guessed)))
    return [np.array(rows, dtype=np.float64).reshape(-1, 5)]


def _f1(sums: Array) -> Array:
    return f1_of(*(sums[..., kind] for kind in (2, 3, 4)))


TAGS = (share("accuracy", "share of words with the right tag", ratio(1, 0)),)
ENTITIES = (
    Figure("f1", "f1 of entities, right only if type, beginning and end agree", _f1, higher_is_better=True),
    share("precision", "share of the found entities that are right", ratio(4, 3, 1)),
    share("recall", "share of the true entities that are found", ratio(4, 2, 1)),
)


def entity_report(truth: Tags, predicted: Tags) -> dict[str, dict[str, float]]:
    """``precision``, ``recall``, ``f1`` and ``support`` (true entities) of every type, sorted, counted as in the whole.

    A type that was only predicted has support 0.
    """
    _check_lengths(truth, predicted)
    both, true, guessed = Counter[str](), Counter[str](), Counter[str]()
    for tags, others in zip(truth, predicted, strict=True):
        here, there = set(entities(tags)), set(entities(others))
        for counts, spans in ((true, here), (guessed, there), (both, here & there)):
            counts.update(kind for kind, _, _ in spans)
    return {kind: precision_recall(both[kind], guessed[kind], true[kind]) for kind in sorted(true | guessed)}


def type_confusion(truth: Tags, predicted: Tags) -> dict[tuple[str, str], int]:
    """How often entities of one type were taken for another, or for none, by (true type, predicted type), sorted.

    Entities of the same extent are set beside each other. A true one without such a partner counts as (its type,
    ``O``), missed; a predicted one as (``O``, its type), spurious: an entity with a wrong end is both.

    Example:
        >>> type_confusion([["B-PER", "O", "B-LOC"]], [["B-ORG", "B-ORG", "O"]])
        {('LOC', 'O'): 1, ('O', 'ORG'): 1, ('PER', 'ORG'): 1}
    """
    _check_lengths(truth, predicted)
    counts: Counter[tuple[str, str]] = Counter()
    for tags, others in zip(truth, predicted, strict=True):
        true, guessed = ({(first, end): kind for kind, first, end in entities(part)} for part in (tags, others))
        counts.update((true.get(extent, "O"), guessed.get(extent, "O")) for extent in true | guessed)
    return dict(sorted(counts.items()))


def entity_tables(truth: Tags, predicted: Tags) -> str:
    """:func:`entity_report` and :func:`type_confusion` as two tables of text, for a reader."""
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


def _check_lengths(truth: Tags, predicted: Tags) -> None:
    if len(truth) != len(predicted):
        raise DataError(f"expected tags of {len(truth)} sentences, got {len(predicted)}")
    for number, (tags, others) in enumerate(zip(truth, predicted, strict=True), 1):
        if len(tags) != len(others):
            raise DataError(f"expected {len(tags)} tags, got {len(others)} (sentence {number})")
