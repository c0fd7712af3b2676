"""An X-ray as figures for paper and as interactive charts, each with what one should see in it.

Knows which panels belong together and how much of them fits; what a panel shows, ``panels`` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.formatting import clipped, unique
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import Axis, Panel
from bilstm.plotting.interactive import to_plotly
from bilstm.xray import panels
from bilstm.xray.gates import SIGMOIDS
from bilstm.xray.panels import GATES, block_edges, is_by_step, units
from bilstm.xray.result import XRayData

STEPS = {"seconds": "moment", "word": "word", "column": "column"}  # what a step of an axis is called
MOST_BARS = 300
MOST_CELLS = 20_000  # of all pictures of one chart: some 150 kB of a page
MOST_BLOCKS = 150  # along an axis
MOST_FEATURES = 80  # rows of a heat map of columns or bands
MOST_UNITS = 40  # of a direction that a figure shows


# --- figures -----------------------------------------------------------------------------------------------------


class Sheet(NamedTuple):
    """What :func:`bilstm.plotting.figures.to_matplotlib` draws."""

    rows: Sequence[Sequence[Panel]]
    size: tuple[float, float]  # in inches
    title: str = ""
    one_legend: bool = False


def overview(ray: XRayData, output: int) -> Sheet:
    """Contributions above; below them the cells and the forget gates of both directions of the top layer."""
    chosen = min(output, len(ray.contributions) - 1)
    title = f"{clipped(ray.title, 70)}\n{clipped(ray.prediction, 60)}"
    if is_one_step(ray) and ray.contributions:
        panel = panels.columns(ray, ray.contributions[chosen])
        return Sheet([[panel]], size=(8, 1.4 + 0.27 * len(panel.y.labels or [])), title=title)
    steps = np.arange(len(ray.steps))
    height = 1.1 + 0.26 * len(ray.contributions) if is_by_step(ray) else 2.6
    shown = panels.overview(ray, steps, MOST_UNITS)
    if ray.contributions:
        above = panels.outputs(ray, steps) if is_by_step(ray) else panels.steps(ray, ray.contributions[chosen], steps)
        shown.insert(0, replace(above, height=height))
    rows = [[replace(panel, title="" if panel.y.is_bare else panel.title, x=_bare(panel))] for panel in shown[:-1]]
    return Sheet([*rows, [replace(shown[-1], title="")]], size=(9, height + 4.9), title=title)


def gates(ray: XRayData, layer: int) -> Sheet:
    """Every gate, the cell and the hidden state of a layer: a row for each, a column for each direction."""
    L, D, T, H = ray.gates.hidden.shape
    rows = [panels.gates(ray, layer, name, np.arange(T), MOST_UNITS) for name in GATES]
    rows = [[replace(panel, x=_bare(panel)) for panel in row] for row in rows[:-1]] + rows[-1:]
    number = f" of layer {layer % L + 1}" if L > 1 else ""
    fewer = f", {MOST_UNITS} of {H} units" if MOST_UNITS < H else ""
    title = f"Gates{number}, units that remember longest on top{fewer}\n{clipped(ray.title, 70)}"
    return Sheet(rows, size=(5.4 * D + 0.8, 9.5), title=title)


def memory(ray: XRayData) -> Sheet:
    """Half-lives of all units; how often each gate is shut and open; how many units are dead."""
    rows = [[panels.half_lives(ray), panels.dead_units(ray)], [panels.saturation(ray, gate) for gate in SIGMOIDS]]
    return Sheet(rows, size=(11, 6.4), title=f"Memory of the units\n{clipped(ray.title, 70)}", one_legend=True)


def transitions(ray: XRayData) -> Sheet:
    """The scores of a CRF."""
    panel = panels.transitions(ray)
    size = float(np.clip(2.5 + 0.4 * len(panel.y.labels or []), 5, 14))
    return Sheet([[panel]], size=(size + 1, size))


def is_one_step(ray: XRayData) -> bool:
    """Whether columns, not steps, are what a reader wants to compare."""
    return len(ray.steps) == 1 and len(ray.features) > 1


def _bare(panel: Panel) -> Axis:
    """The axis x of a panel above another with the same steps."""
    return replace(panel.x, title="", is_bare=True)


# --- charts ------------------------------------------------------------------------------------------------------


def charts(ray: XRayData) -> list[Chart]:
    """All charts of an X-ray, in the order of reading."""
    shown = [*contribution_charts(ray)]
    shown += [_gates_of_a_step(ray)] if len(ray.steps) == 1 else [*_gate_charts(ray), *_memory_charts(ray)]
    return shown if ray.transitions is None else [*shown, _transitions(ray)]


def contribution_charts(ray: XRayData) -> Iterator[Chart]:
    """What each step or column added."""
    if not ray.contributions:
        return
    if is_one_step(ray):
        yield _columns(ray)
        return
    if len(ray.contributions) > 1 or is_by_step(ray):
        yield _outputs_by_steps(ray)
    if not is_by_step(ray):
        yield _steps(ray)
    if len(ray.features) > 1:
        yield _features_by_steps(ray)


def _by_output(ray: XRayData, each: Sequence[Panel]) -> dict[str, list[Panel]]:
    """A panel of each output, for a menu."""
    names = unique([one.output for one in ray.contributions])
    return {name: [panel] for name, panel in zip(names, each, strict=True)}


def _columns(ray: XRayData) -> Chart:
    note = (
        f"What each column of this row added to {_chosen(ray)}. Orange raises it, blue lowers it. From the "
        f"baseline to this row: {_changes(ray)}."
    )
    each = [panels.columns(ray, one) for one in ray.contributions]
    height = 140 + 24 * len(each[0].y.labels or [])
    return Chart("Contributions", note, to_plotly(_by_output(ray, each)), height=height)


def _steps(ray: XRayData) -> Chart:
    edges = block_edges(len(ray.steps), MOST_BARS)
    note = (
        f"What each {STEPS.get(ray.axis, 'step')} added to {_chosen(ray)}; bars above zero raise it. Colours tell by "
        f"which direction of the top layer it came. From the baseline to this example: {_changes(ray)}. "
        + _thinned(ray, edges)
    )
    each = [panels.steps(ray, one, edges) for one in ray.contributions]
    return Chart("Contributions by step", note, to_plotly(_by_output(ray, each)), height=420)


def _chosen(ray: XRayData) -> str:
    """What a chart with a menu of outputs shows."""
    return "the chosen output" if len(ray.contributions) > 1 else ray.contributions[0].output


def _changes(ray: XRayData) -> str:
    """Where each output begins and ends, whichever of them is chosen."""
    return "; ".join(f"{clipped(one.output, 40)} {one.baseline:.4g} → {one.value:.4g}" for one in ray.contributions)


def _outputs_by_steps(ray: XRayData) -> Chart:
    count = len(ray.contributions)
    edges = block_edges(len(ray.steps), min(MOST_BLOCKS, MOST_CELLS // count))
    own = " Near the diagonal a step speaks for itself, far from it for others." if is_by_step(ray) else ""
    note = (
        f"Each row is one output, each column a {STEPS.get(ray.axis, 'step')}; orange speaks for the output and blue "
        f"against it, in {units(ray)}.{own} {_thinned(ray, edges)}"
    )
    figure = to_plotly([panels.outputs(ray, edges)])
    return Chart("Contributions to each output", note, figure, height=180 + 26 * count)


def _features_by_steps(ray: XRayData) -> Chart:
    names, groups, fewer = _feature_rows(ray)
    cells = max(1, MOST_CELLS // (len(ray.contributions) * len(groups)))
    edges = block_edges(len(ray.steps), min(MOST_BLOCKS, cells))
    title, what = "Contributions by column and step", "Columns over time"
    if ray.feature == "band":
        title, what = "Contributions by band and time", "Bands of the spectrum over time"
    note = (
        f"{what}: orange speaks for {_chosen(ray)}, blue against it. Columns are summed over the numbers that they "
        f"are encoded as. {fewer}{_thinned(ray, edges)}"
    )
    each = [panels.features(ray, one, edges, names, groups) for one in ray.contributions]
    return Chart(title, note, to_plotly(_by_output(ray, each)), height=int(np.clip(160 + 18 * len(names), 320, 640)))


def _feature_rows(ray: XRayData) -> tuple[list[str], list[Array], str]:
    """The rows of a heat map of features: a name for each, the features that are summed in it, and a sentence on that.

    Neighbouring bands of sound belong together; of other columns those that matter least are one row.
    """
    count = len(ray.features)
    positions = np.arange(count)
    if count <= MOST_FEATURES:
        return ray.features, np.split(positions, count), ""
    if ray.feature == "band":
        edges = block_edges(count, MOST_FEATURES)
        note = f"{count} bands are shown as {len(edges)} rows, each named by its lowest. "
        return [ray.features[edge] for edge in edges.tolist()], np.split(positions, edges[1:]), note
    size = np.abs([one.amount for one in ray.contributions]).sum(axis=(0, 1))
    largest = np.sort(np.argsort(-size, kind="stable")[: MOST_FEATURES - 1])
    rest = np.setdiff1d(positions, largest)
    names = [ray.features[k] for k in largest.tolist()] + [f"{len(rest)} others"]
    note = f"The {len(largest)} columns that matter most are shown, the other {len(rest)} as one. "
    return names, [*np.split(largest, len(largest)), rest], note


def _thinned(ray: XRayData, edges: Array, how: str = "their amounts are added") -> str:
    """A sentence where neighbours are shown together."""
    if len(edges) == len(ray.steps):
        return ""
    return f"{len(ray.steps):,} steps are shown as {len(edges)} blocks; {how}."


def _gate_charts(ray: XRayData) -> Iterator[Chart]:
    """Every gate of a layer, the forward direction above the backward one; a chart for each layer."""
    L, D, T, H = ray.gates.hidden.shape
    edges = block_edges(T, min(MOST_BLOCKS, max(10, MOST_CELLS // (len(GATES) * D * min(H, 24)))))
    most = min(H, max(12, MOST_CELLS // (len(GATES) * D * len(edges))))
    fewer = f" {most} of {H} units are shown." if most < H else ""
    note = (
        "Above the forward direction, which reads from the left, below the backward one, which reads from the right; "
        f"each row is a unit, those that remember longest on top. The menu chooses the gate.{fewer} "
        + _thinned(ray, edges, "the mean of each block is shown")
    )
    for layer in range(L):
        figure = to_plotly({label: panels.gates(ray, layer, name, edges, most) for name, label in GATES.items()})
        yield Chart("Gates" if L == 1 else f"Gates of layer {layer + 1}", note, figure, height=620)


def _gates_of_a_step(ray: XRayData) -> Chart:
    note = (
        "This is one step, so that there is nothing to remember: cells begin empty, forget gates keep nothing, and the "
        f"weights from step to step are not used. Each column is one of {ray.gates.hidden.shape[-1]} units; the menu "
        "chooses the gate."
    )
    shown = {label: [panels.gates_of_a_step(ray, name)] for name, label in GATES.items()}
    return Chart("Gates", note, to_plotly(shown), height=180 + 30 * len(ray.layers))


def _memory_charts(ray: XRayData) -> Iterator[Chart]:
    note = (
        "After how many steps half of a cell's content is forgotten, at the mean forget gate of this example; units "
        "from the longest memory to the shortest. Half of all units remember for "
        f"{float(np.median(ray.half_life)):.2g} steps or more."
    )
    yield Chart("How long units remember", note, to_plotly([panels.half_lives(ray)]))
    gone = int(ray.dead.sum())
    note = (
        "Each point is a unit: the share of steps at which its gate is below 0.1 (shut) and above 0.9 (open). A forget "
        "gate on the left at the top keeps what it has; near the origin a gate weighs."
        + (f" {gone} of {ray.dead.size} units never move here." if gone else "")
    )
    shown = {gate.replace("_", " "): [panels.saturation(ray, gate)] for gate in GATES if gate in SIGMOIDS}
    yield Chart("Open and shut gates", note, to_plotly(shown), height=460)


def _transitions(ray: XRayData) -> Chart:
    panel = panels.transitions(ray)
    note = (
        "What the CRF adds to a sequence in which the tag of a column follows that of a row: orange where it likes to, "
        "blue where it does not; empty where the rules forbid it."
    )
    height = int(np.clip(160 + 26 * len(panel.y.labels or []), 300, 720))
    return Chart("Which tag follows which", note, to_plotly([panel]), height=height)
