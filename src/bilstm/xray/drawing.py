"""What figures and charts of an X-ray share: labels that fit, fewer cells than there are, which units come first.

Knows arrays and words; draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.xray.result import Contribution, XRay

LONGEST_LABEL = 18  # characters of a word below an axis
TOP = 20  # columns that are shown by themselves
GATES = {
    "forget_gate": "forget gate: what the cell keeps",
    "input_gate": "input gate: what the cell takes in",
    "candidate": "candidate: what there is to take in",
    "cell": "cell: the memory",
    "output_gate": "output gate: what the cell shows",
    "hidden": "hidden state: what is shown",
}
ONE_SIDED = ("forget_gate", "input_gate", "output_gate")  # between 0 and 1; the others may be negative
NOT_COUNTED = 1e4  # steps: a longer half-life is drawn as this one


class Bars(NamedTuple):
    """Amounts of single columns, the largest last."""

    labels: list[str]
    amounts: Array


def clipped(text: str, most: int = LONGEST_LABEL) -> str:
    """A text that is no longer than ``most`` characters; white space is one blank.

    Example:
        >>> clipped("a   very long word indeed", 10)
        'a very lo…'
    """
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def unique(labels: Sequence[str]) -> list[str]:
    """Labels that look the same but are not: the second *the* has an invisible sign more than the first.

    Example:
        >>> len(set(unique(["the", "cat", "the"])))
        3
    """
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        found.append(label + "\u200b" * seen[label])
        seen[label] += 1
    return found


def block_edges(count: int, most: int) -> Array:
    """Where blocks of neighbours begin, at most ``most`` of them, as even as can be."""
    return np.unique(np.linspace(0, count, min(count, most), endpoint=False).astype(int))


def block_labels(steps: Sequence[str], edges: Array) -> list[str]:
    """The label of every block: that of its first step."""
    return [clipped(steps[edge]) for edge in edges.tolist()]


def by_memory(half_life: Array) -> Array:
    """Units (H,) from the longest memory to the shortest."""
    return np.argsort(-half_life, kind="stable")


def largest_columns(found: XRay, one: Contribution, most: int = TOP) -> Bars:
    """The columns of a single step that matter most, and all others as one."""
    amounts = one.amount[0]
    order = np.argsort(-np.abs(amounts), kind="stable")
    shown = order[: most if len(order) <= most else most - 1]
    labels, values = [clipped(found.shown[k], 36) for k in shown], amounts[shown].tolist()
    if len(order) > len(shown):
        labels.append(f"{len(order) - len(shown)} other columns")
        values.append(float(amounts[order[len(shown) :]].sum()))
    return Bars(labels[::-1], np.array(values[::-1]))


def is_one_step(found: XRay) -> bool:
    """Whether columns, not steps, are what a reader wants to compare."""
    return len(found.steps) == 1 and len(found.features) > 1


def is_by_step(found: XRay) -> bool:
    """Whether every output belongs to a step."""
    return bool(found.contributions) and found.contributions[0].at is not None


def sums(found: XRay) -> Array:
    """What each step adds to each output, (K, T)."""
    rows = [one.amount.sum(axis=1) for one in found.contributions]
    result: Array = np.stack(rows) if rows else np.zeros((0, len(found.steps)))
    return result
