"""A model examined on data: one function a task, what all of them return, and X-rays of a few examples.

Knows how cases and examples are chosen; measures nothing. The functions register where each task is examined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.text.reader import texts_in
from bilstm.errors import BilstmError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.formatting import number, shortened
from bilstm.metrics.figures import Evaluation
from bilstm.report.blocks import Block, Cell, Drawing, Heading, Section, Table, Text
from bilstm.xray import x_ray

WORST = 10  # cases that a report shows
MOST_COLUMNS = 6  # of the input that a table of them shows
# charts that are much the same for every example, and shown of the first alone
ONCE = ("How long units remember", "Open and shut gates", "Which tag follows which")


@dataclass(frozen=True)
class Example:
    """One sequence whose X-ray is worth a look: why, and where it stands in ``data``."""

    title: str
    data: Any
    row: int
    anchor: str = ""


@dataclass(frozen=True)
class Examination:
    """What a model did on data.

    Args:
        evaluation: figures, beside those of simple rules.
        blocks: charts and tables of the task.
        worst: the worst cases.
        examples: for X-rays.
        remarks: what the reader should know of the data, warnings all of them.
        verdict: in place of the one by the bootstrap.
    """

    evaluation: Evaluation
    blocks: list[Block]
    worst: list[Block]
    examples: list[Example] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    verdict: str = ""


@singledispatch
def examine(estimator: BiLSTMEstimator, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    """Figures, charts and cases of a fitted estimator on data with targets.

    Args:
        estimator: fitted.
        dataset: with targets that the estimator has not seen.
        say: is told what is being done.
    """
    raise BilstmError(
        f"A report on data is not known for a {type(estimator).__name__}.", hint="leave the data out of the report"
    )


@singledispatch
def without_data(estimator: BiLSTMEstimator) -> tuple[list[Block], list[Example]]:
    """What a fitted estimator can show without new data: charts, and examples for X-rays."""
    return [], []


def x_rays(estimator: BiLSTMEstimator, chosen: Sequence[Example], say: Callable[[str], None]) -> list[Section]:
    """A section with an X-ray of each example."""
    blocks: list[Block] = []
    for place, example in enumerate(chosen):
        say(f"looking into it: {example.title.lower()}")
        blocks += _x_ray(estimator, example, in_full=place == 0)
    return [Section("xrays", "Inside the model", blocks)] if blocks else []


def _x_ray(estimator: BiLSTMEstimator, example: Example, in_full: bool) -> list[Block]:
    heading = Heading(example.title, example.anchor.replace("case-", "xray-"))
    try:
        ray = x_ray(estimator, example.data, row=example.row)
    except BilstmError as error:
        return [heading, Text(f"There is no X-ray of it: {error.message}.")]
    charts = [chart for chart in ray.charts() if in_full or chart.title not in ONCE]
    answer = Text(f"{shortened(ray.title, 300)}: {shortened(ray.prediction, 600)}")
    notes = [Text(f"{note[0].upper()}{note[1:]}.") for note in ray.notes if note]
    return [heading, answer, *(Drawing(chart) for chart in charts), *notes]


def worst_rows(losses: Array, count: int = WORST) -> list[int]:
    """Positions of the largest losses, largest first; NaN is none.

    Example:
        >>> worst_rows(np.array([1.0, 3.0, np.nan, 2.0]), 2)
        [1, 3]
    """
    order = np.argsort(-np.nan_to_num(losses, nan=-np.inf), kind="stable")
    return [int(row) for row in order[:count] if not np.isnan(losses[row])]


def examples(
    data: Any, losses: Array, sure: Array, right: Array, surest: str = "The surest that is right"
) -> list[Example]:
    """A typical sequence, the surest of those that are right, and the worst: each only once.

    Args:
        data: as ``predict`` takes it.
        losses: of each sequence, (N,).
        sure: how sure the model is of each, (N,).
        right: whether it is right, (N,).
        surest: what the second is called.
    """
    known = np.flatnonzero(~np.isnan(losses))
    if not len(known):
        return []
    worst = worst_rows(losses, 1)[0]
    chosen = [("The worst", worst, case_anchor(worst))]
    hits = np.flatnonzero(right & ~np.isnan(losses))
    if len(hits):
        chosen.insert(0, (surest, int(hits[np.argmax(sure[hits])]), ""))
    typical = int(known[np.argsort(losses[known], kind="stable")[len(known) // 2]])
    chosen.insert(0, ("A typical one", typical, ""))
    seen: dict[int, Example] = {}
    for title, row, anchor in reversed(chosen):  # where they are one, it is called by what is most worth knowing
        seen.setdefault(row, Example(title, data, row, anchor))
    return list(reversed(seen.values()))


def case_anchor(row: int) -> str:
    """The name by which links find a case."""
    return f"case-{row}"


def worst_table(
    caption: str, head: Sequence[str], rows: Sequence[tuple[int, Sequence[Cell | str]]], **how: Any
) -> Table:
    """A table of cases that links can find.

    Args:
        caption: what is told of them.
        head: names of the columns.
        rows: of each case its position and its cells.
        how: further arguments of a Table.
    """
    return Table(caption, head, [cells for _, cells in rows], anchors=[case_anchor(row) for row, _ in rows], **how)


def names_of(dataset: Dataset, rows: Sequence[int]) -> list[str]:
    """What the caller calls these sequences: his own names, or positions from 0."""
    if dataset.ids is not None:
        return [str(dataset.ids[row]) for row in rows]
    return [str(row) for row in rows]


def content(dataset: Dataset, row: int) -> list[Cell | str]:
    """What a table of cases shows of a sequence: its text, its first columns, or its length."""
    if dataset.is_language:
        return [shortened(texts_in(dataset.take([row]))[0], 200)]
    if not dataset.is_table:
        return [f"{int(dataset.lengths[row]):,}"]
    values = [dataset.steps[name][row] for name in dataset.steps.columns[:MOST_COLUMNS]]
    return [
        "missing" if v is None else number(v) if isinstance(v, (int, float)) else shortened(str(v), 60) for v in values
    ]


def content_head(dataset: Dataset) -> list[str]:
    """The heads of these columns."""
    return ["text"] if dataset.is_language else dataset.steps.columns[:MOST_COLUMNS] if dataset.is_table else ["steps"]
