"""What figures and charts of an X-ray share: labels that fit, fewer cells than there are, which units come first.

Knows arrays and words; draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.formatting import clipped
from bilstm.plotting.charts import without_markup
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PINK, RED, SKY
from bilstm.xray.result import Contribution, XRay

DIVERGING = [[0.0, BLUE], [0.5, "#f7f7f7"], [1.0, RED]]  # against · nothing · for
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


MOST_CELLS = 20_000  # of all pictures of one heat map: some 150 kB of a page
MOST_BLOCKS = 150  # along an axis


def heat(z: Array, x: Sequence[str], y: Sequence[str]) -> dict[str, Any]:
    """A heat map (y, x) whose colours are the same on both sides of 0."""
    most = float(np.abs(z).max()) if z.size else 1.0
    return {
        "type": "heatmap",
        "z": digits_of(z, 3),
        "x": x,
        "y": y,
        "zmin": -(most or 1.0),
        "zmax": most or 1.0,
        "colorscale": DIVERGING,
        "colorbar": {"thickness": 12},
    }


def menu_of(choices: list[tuple[str, list[bool]]]) -> dict[str, Any]:
    """A menu that shows some traces and hides the others; nothing where there is no choice."""
    if len(choices) < 2:
        return {}
    buttons = [
        {"label": without_markup(clipped(label, 40)), "method": "restyle", "args": [{"visible": shown}]}
        for label, shown in choices
    ]
    menu = {
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "pad": {"b": 4},
        "bgcolor": "#ffffff",
        "bordercolor": "#a8a8a8",
        "font": {"color": "#1b1b1b"},
    }
    return {"updatemenus": [menu], "margin": {"l": 40, "r": 16, "t": 70, "b": 40}, "legend": LEGEND}


LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
NO_TICKS = {"type": "category", "showticklabels": False, "ticks": ""}


def step_axis(found: XRay) -> dict[str, Any]:
    """Every word by its name; of times and numbers a few."""
    return {"type": "category", **({} if found.axis in ("word", "column") else {"nticks": 14})}


def choices(labels: Sequence[str], traces: int) -> list[tuple[str, list[bool]]]:
    """For each label which traces are shown, ``traces`` of each in a row."""
    return [(label, [k // traces == n for k in range(len(labels) * traces)]) for n, label in enumerate(labels)]


def by_direction(values: Array) -> Array:
    """(L, D, H) → (L·D, H), in the order of the layers' names."""
    return values.reshape(-1, values.shape[-1])


def colours(found: XRay) -> list[str]:
    """One for each layer."""
    palette = (BLUE, ORANGE, GREEN, PINK, RED, SKY)
    return [palette[n % len(palette)] for n in range(len(found.layers))]


def digits_of(values: Array, digits: int = 4) -> Array:
    """Numbers rounded to so many significant digits."""
    values = np.asarray(values, dtype=np.float64)
    known = np.where(np.isfinite(values) & (values != 0), np.abs(values), 1.0)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(known)))
    result: Array = np.round(values * scale) / scale
    return result


def step_in_words(found: XRay) -> str:
    """What a step is called."""
    return {"seconds": "moment", "word": "word", "column": "column"}.get(found.axis, "step")


def units_of(found: XRay) -> str:
    """What contributions are counted in."""
    return " and ".join(dict.fromkeys(one.unit for one in found.contributions))


def thinned(found: XRay, edges: Array, how: str = "their amounts are added") -> str:
    """A sentence where neighbours are shown together."""
    if len(edges) == len(found.steps):
        return ""
    return f"{len(found.steps):,} steps are shown as {len(edges)} blocks; {how}."
