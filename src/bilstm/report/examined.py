"""What the examination of a model on data found, whatever its task. Knows how examples are chosen; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.report.blocks import Block, Cell, Table
from bilstm.report.measured import Measured

WORST = 10  # cases that a report shows
MOST_COLUMNS = 6  # of the input that a table of them shows


@dataclass(frozen=True)
class Example:
    """One sequence whose X-ray is worth a look: why, and where it stands in ``data``."""

    title: str
    data: Any
    row: int
    anchor: str = ""


@dataclass(frozen=True)
class Examined:
    """What was found.

    Args:
        measured: figures, beside those of simple rules.
        blocks: charts and tables of the task.
        worst: the worst cases.
        examples: for X-rays.
        remarks: what the reader should know of the data, warnings all of them.
        verdict: in place of the one by the bootstrap.
    """

    measured: Measured
    blocks: list[Block]
    worst: list[Block]
    examples: list[Example] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    verdict: str = ""


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


def names_of(dataset: Any, rows: Sequence[int]) -> list[str]:
    """What the caller calls these sequences: his own names, or positions from 0."""
    if dataset.ids is not None:
        return [str(dataset.ids[row]) for row in rows]
    return [str(row) for row in rows]
