"""What an X-ray shows as panels: contributions, gates, memory, transitions. Knows arrays and words; draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bilstm.data.columns import Array
from bilstm.formatting import clipped
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PALETTE, RED, Axis, Bars, HeatMap, Line, Panel, Points
from bilstm.xray.gates import HIGH, LOW, SIGMOIDS
from bilstm.xray.result import Contribution, XRayData

TOP = 20  # columns that are shown by themselves
NOT_COUNTED = 1e4  # steps: a longer half-life is drawn as this one
MOST_WRITTEN = 14  # tags up to which scores are written
GATES = {
    "forget_gate": "forget gate: what the cell keeps",
    "input_gate": "input gate: what the cell takes in",
    "candidate": "candidate: what there is to take in",
    "cell": "cell: the memory",
    "output_gate": "output gate: what the cell shows",
    "hidden": "hidden state: what is shown",
}
PARTS = {"past": (BLUE, "read forwards"), "direct": (GREEN, "around the BiLSTM"), "future": (ORANGE, "read backwards")}
DIRECTIONS = ("forward →", "← backward")


# --- steps, and blocks of neighbours where there are too many ----------------------------------------------------


def block_edges(count: int, most: int) -> Array:
    """Where blocks of neighbours begin, at most ``most`` of them, as even as can be."""
    return np.unique(np.linspace(0, count, min(count, most), endpoint=False).astype(int))


def step_axis(ray: XRayData, edges: Array) -> Axis:
    """Every word by its name, of times and numbers a few; a block is called as its first step."""
    return Axis(ray.axis, [ray.steps[edge] for edge in edges.tolist()], few=ray.axis not in ("word", "column"))


def is_by_step(ray: XRayData) -> bool:
    """Whether every output belongs to a step."""
    return bool(ray.contributions) and ray.contributions[0].at is not None


# --- contributions -----------------------------------------------------------------------------------------------


def columns(ray: XRayData, one: Contribution) -> Panel:
    """What each column of a table's row added, the largest on top; beyond ``TOP`` bars the others are one."""
    amounts = one.amount[0]
    order = np.argsort(-np.abs(amounts), kind="stable")
    shown = order[: TOP if len(order) <= TOP else TOP - 1]
    names, values = [clipped(ray.shown[k], 36) for k in shown], amounts[shown]
    if rest := len(order) - len(shown):
        names, values = [*names, f"{rest} other columns"], np.append(values, amounts[order[-rest:]].sum())
    colours = [RED if value > 0 else BLUE for value in values]
    bars = Bars(values, colour=colours, is_horizontal=True, hover="%{y}: %{x:+.4g}<extra></extra>")
    return Panel([bars], Axis(_added(ray)), Axis(labels=names, is_reversed=True), title=change(one))


def steps(ray: XRayData, one: Contribution, edges: Array) -> Panel:
    """Each step's amount, split by the way that it came."""
    marks = [
        Bars(np.add.reduceat(getattr(one, name), edges), colour=colour, name=way, hover="%{x}: %{y:+.4g}")
        for name, (colour, way) in PARTS.items()
        if any(np.any(getattr(other, name)) for other in ray.contributions)
    ]
    return Panel(marks, step_axis(ray, edges), Axis(_added(ray)), title=change(one))


def outputs(ray: XRayData, edges: Array) -> Panel:
    """What every step adds to every output: a row for each output."""
    amounts = np.add.reduceat([one.amount.sum(axis=1) for one in ray.contributions], edges, axis=1)
    heat = HeatMap(amounts, scale="contributions", hover="%{x}<br>for %{y}: %{z:+.3g}<extra></extra>")
    names = [clipped(one.output, 28) for one in ray.contributions]
    title = f"what each {'word' if ray.axis == 'word' else 'step'} adds to each output, {units(ray)}"
    return Panel([heat], step_axis(ray, edges), Axis(labels=names, is_reversed=True), title=title)


def features(ray: XRayData, one: Contribution, edges: Array, names: Sequence[str], groups: Sequence[Array]) -> Panel:
    """What each column or band added at each step; low bands of sound lie below."""
    amounts = np.add.reduceat([one.amount[:, group].sum(axis=1) for group in groups], edges, axis=1)
    heat = HeatMap(amounts, scale="contributions", hover="%{y}, %{x}: %{z:+.3g}<extra></extra>")
    y = Axis(labels=[clipped(name) for name in names], is_reversed=ray.feature != "band")
    return Panel([heat], step_axis(ray, edges), y, title=change(one))


def change(one: Contribution) -> str:
    return f"{clipped(one.output, 40)}: {one.baseline:.4g} at the baseline → {one.value:.4g} ({one.unit})"


def units(ray: XRayData) -> str:
    """What contributions are counted in."""
    return " and ".join(dict.fromkeys(one.unit for one in ray.contributions))


def _added(ray: XRayData) -> str:
    """The title of an axis that is the same for all outputs."""
    return "added, " + (
        "in the unit of each output" if len({one.unit for one in ray.contributions}) > 1 else units(ray)
    )


# --- gates -------------------------------------------------------------------------------------------------------


def gates(ray: XRayData, layer: int, name: str, edges: Array, most: int) -> list[Panel]:
    """One gate of a layer, a panel for each direction: a row for each unit, at most ``most``, a column for each block.

    Units that remember longest are on top.
    """
    values = getattr(ray.gates, name)[layer]  # (D, T, H)
    return _states(ray, layer, name, values, _limits(name, values), edges, most)


def overview(ray: XRayData, edges: Array, most: int) -> list[Panel]:
    """What the cells of the top layer hold, as they are shown, and its forget gates."""
    cells = np.tanh(ray.gates.cell[-1])
    largest = max(float(np.abs(cells).max()), 1e-3)
    rows = _states(ray, -1, "cell", cells, (-largest, largest), edges, most)
    rows += gates(ray, -1, "forget_gate", edges, most)
    return [replace(row, y=replace(row.y, title=f"{row.title.split(':')[0]}\n{row.y.title}")) for row in rows]


def gates_of_a_step(ray: XRayData, name: str) -> Panel:
    """One gate of a single step: a row for each layer and direction, a column for each unit."""
    values = _by_direction(getattr(ray.gates, name)[:, :, 0])  # (L·D, H)
    x = Axis("units", [f"unit {unit}" for unit in range(values.shape[1])], is_bare=True)
    y = Axis(labels=ray.layers, is_reversed=True)
    return Panel([_gate_map(values, name, _limits(name, values))], x, y, title=GATES[name])


def _states(
    ray: XRayData, layer: int, name: str, values: Array, limits: tuple[float, float], edges: Array, most: int
) -> list[Panel]:
    """States (D, T, H) of a layer, a panel for each direction."""
    D, T, H = values.shape
    counts = np.diff(np.append(edges, T))
    rows = []
    for d in range(D):
        by_memory = np.argsort(-ray.half_life[layer, d], kind="stable")
        units = by_memory[block_edges(H, most)]
        means = np.add.reduceat(values[d][:, units].T, edges, axis=1) / counts  # (units, blocks)
        y = Axis(DIRECTIONS[d], [f"unit {unit}" for unit in units.tolist()], is_reversed=True, is_bare=True)
        rows.append(Panel([_gate_map(means, name, limits)], step_axis(ray, edges), y, title=GATES[name]))
    return rows


def _gate_map(z: Array, name: str, limits: tuple[float, float]) -> HeatMap:
    colours = "share" if name in SIGMOIDS else "diverging"
    return HeatMap(z, colours, *limits, scale=name, hover="%{y} at %{x}: %{z}<extra></extra>")


def _limits(name: str, values: Array) -> tuple[float, float]:
    if name in SIGMOIDS:
        return 0.0, 1.0
    largest = max(1.0, float(np.abs(values).max())) if name == "cell" else 1.0
    return -largest, largest


# --- memory and transitions --------------------------------------------------------------------------------------


def _by_direction(values: Array) -> Array:
    """(L, D, H) → (L·D, H), in the order of the layers' names."""
    return values.reshape(-1, values.shape[-1])


def _colours(ray: XRayData) -> list[str]:
    """One for each layer and direction."""
    return [PALETTE[n % len(PALETTE)] for n in range(len(ray.layers))]


def half_lives(ray: XRayData) -> Panel:
    """How long the units of each direction remember, from the longest to the shortest."""
    marks = []
    for name, colour, lives in zip(ray.layers, _colours(ray), _by_direction(ray.half_life), strict=True):
        values = np.clip(np.sort(lives)[::-1], 1e-2, NOT_COUNTED)
        share = 100 * (np.arange(len(lives)) + 0.5) / len(lives)
        line = Line(values, share, name=name, colour=colour, width=2, hover="%{y:.3g} steps")
        marks.append(line if "forward" in name else replace(line, dash="dot"))
    x, y = Axis("% of the units"), Axis("half-life in steps", scale="log")
    return Panel(marks, x, y, title="how long units remember", span=4, is_compared=True)


def dead_units(ray: XRayData) -> Panel:
    """How many units of each direction never move."""
    H = ray.dead.shape[-1]
    bars = Bars(_by_direction(ray.dead).sum(axis=1), colour=_colours(ray), is_horizontal=True)
    x, y = Axis(limits=(0, H)), Axis(labels=ray.layers, is_reversed=True)
    return Panel([bars], x, y, title=f"dead units, of {H}", span=2)


def saturation(ray: XRayData, gate: str) -> Panel:
    """How often a gate is shut and how often it is open, unit by unit."""
    shut, opened = (_by_direction(ray.saturated[f"{gate}_{end}"]) for end in ("shut", "open"))
    hover = "unit %{customdata}: shut %{x:.0%}, open %{y:.0%}"
    units = list(range(shut.shape[1]))
    marks = [
        Points(shut[n], opened[n], name=name, colour=colour, size=8, opacity=0.5, hover=hover, details=units)
        for n, (name, colour) in enumerate(zip(ray.layers, _colours(ray), strict=True))
    ]
    x = Axis(f"share of steps below {LOW:g} (shut)", scale="percent", limits=(-0.03, 1.03))
    y = Axis(f"above {HIGH:g} (open)", scale="percent", limits=(-0.03, 1.03))
    return Panel(marks, x, y, title=gate.replace("_", " "), span=2)


def transitions(ray: XRayData) -> Panel:
    """What a CRF adds to the score of one tag following another; empty where the rules forbid it."""
    assert ray.transitions is not None
    tags, matrix, start, end = ray.transitions
    z = np.block([[matrix, end[:, None]], [start, np.nan]])
    z[~np.isfinite(z)] = np.nan
    written = None
    if len(tags) <= MOST_WRITTEN:
        written = [[f"{value:.2g}" if np.isfinite(value) else "" for value in row] for row in z.tolist()]
    heat = HeatMap(z, scale="scores", written=written, hover="%{y} → %{x}: %{z:+.3g}<extra></extra>")
    names = [clipped(tag) for tag in tags]
    y = Axis("tag", [*names, "(start)"], is_reversed=True)
    return Panel([heat], Axis("next tag", [*names, "(end)"]), y, title="what the CRF adds; empty is forbidden")
