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
from bilstm.formatting import capitalised, counted, number, shortened
from bilstm.metrics.baselines import means_of_steps
from bilstm.metrics.figures import Evaluation
from bilstm.report.blocks import Block, Drawing, Heading, Section, Table, Text
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
    """What a model did on data."""

    evaluation: Evaluation  # figures, beside those of simple rules
    blocks: list[Block]  # charts and tables of the task
    worst: list[Block]  # the worst cases
    examples: list[Example] = field(default_factory=list)  # for X-rays
    remarks: list[str] = field(default_factory=list)  # what the reader should know of the data, warnings all of them
    verdict: str = ""  # in place of the one by the bootstrap


@singledispatch
def examine(estimator: BiLSTMEstimator, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    """Figures, charts and cases of a fitted estimator on data with targets; ``say`` is told what is being done."""
    message = f"A report on data is not known for a {type(estimator).__name__}."
    raise BilstmError(message, hint="leave the data out of the report")


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
    notes = [Text(f"{capitalised(note)}.") for note in ray.notes if note]
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

    Of every sequence its loss, how sure the model is and whether it is right, (N,); sequences of NaN loss are left out.
    """
    known = np.flatnonzero(~np.isnan(losses))
    if not len(known):
        return []
    typical = known[np.argsort(losses[known], kind="stable")[len(known) // 2]]
    hits, worst = known[right[known]], worst_rows(losses, 1)[0]
    best = [(surest, hits[np.argmax(sure[hits])])] if len(hits) else []
    titles: dict[int, str] = {}
    for title, row in [("A typical one", typical), *best, ("The worst", worst)]:
        titles.pop(int(row), None)  # where they are one, it is called by what is most worth knowing
        titles[int(row)] = title
    return [Example(title, data, row, case_anchor(row) if row == worst else "") for row, title in titles.items()]


def case_anchor(row: int) -> str:
    """The name by which links find a case."""
    return f"case-{row}"


def worst_table(
    dataset: Dataset,
    losses: Array,
    head: Sequence[str],
    cells: Callable[[int], Sequence[str]],
    what: str,
    texts: Sequence[int] = (),
) -> Table:
    """The sequences with the largest losses: their names, ``cells`` of each below ``head``, and what they hold.

    The first of ``head`` says what a sequence is called; ``what`` stands in the caption behind how many there are.
    """
    rows, columns = worst_rows(losses), dataset.steps.columns
    shown = ["text"] if dataset.is_language else columns[:MOST_COLUMNS] if dataset.is_table else ["steps"]
    many = not dataset.is_language and dataset.is_table and len(columns) > len(shown)
    cut = f", with the first {len(shown)} of {len(columns)} columns" if many else ""
    table = [[name_of(dataset, row), *cells(row), *_content(dataset, row)] for row in rows]
    words = [0, *texts, *([len(head)] if dataset.is_language else [])]
    caption = f"The {counted(len(rows), head[0])} {what}{cut}"
    return Table(caption, [*head, *shown], table, words, [case_anchor(row) for row in rows])


def name_of(dataset: Dataset, row: int) -> str:
    """What the caller calls a sequence: by a name of his own, or by its position from 0."""
    return str(row if dataset.ids is None else dataset.ids[row])


def _content(dataset: Dataset, row: int) -> list[str]:
    """A sequence's text, its first columns, or its length."""
    if dataset.is_language:
        return [shortened(texts_in(dataset.take([row]))[0], 200)]
    if not dataset.is_table:
        return [f"{int(dataset.lengths[row]):,}"]
    values = [dataset.steps[name][row] for name in dataset.steps.columns[:MOST_COLUMNS]]
    return ["missing" if value is None else shortened(number(value), 60) for value in values]


def columns_for_rules(estimator: BiLSTMEstimator, dataset: Dataset) -> tuple[Array, str]:
    """The columns (N, F) that a simple rule is fitted to, and what they are; of sequences the means of their steps."""
    matrix = estimator.features_.transform(dataset.steps, dataset.source)
    what = "on the columns" if dataset.is_table else "on the means of the steps"
    return means_of_steps(matrix, dataset.lengths), what
