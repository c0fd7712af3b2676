"""Gates, memory, saturation and transitions as interactive charts. Knows no contributions; computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.formatting import clipped, unique
from bilstm.plotting.charts import Chart, figure, without_markup
from bilstm.plotting.description import BLUE
from bilstm.xray.drawing import (
    DIVERGING,
    GATES,
    MOST_BLOCKS,
    MOST_CELLS,
    NO_TICKS,
    NOT_COUNTED,
    ONE_SIDED,
    block_edges,
    block_labels,
    by_direction,
    by_memory,
    choices,
    colours,
    digits_of,
    heat,
    menu_of,
    step_axis,
    thinned,
)
from bilstm.xray.result import XRay

SHUT_TO_OPEN = [[0.0, "#f7f7f7"], [1.0, BLUE]]


def gate_charts(found: XRay) -> list[Chart]:
    """Every gate of a layer, the forward direction above the backward one; a chart for each layer."""
    L, D, T, H = found.gates.hidden.shape
    steps = block_edges(T, min(MOST_BLOCKS, max(10, MOST_CELLS // (len(GATES) * D * min(H, 24)))))
    units = min(H, max(12, MOST_CELLS // (len(GATES) * D * len(steps))))
    return [_gates_of(found, layer, steps, units, L) for layer in range(L)]


def _gates_of(found: XRay, layer: int, steps: Array, units: int, layers: int) -> Chart:
    _, D, T, H = found.gates.hidden.shape
    labels = unique([without_markup(label) for label in block_labels(found.steps, steps)])
    counts = np.diff(np.append(steps, T))
    traces = []
    for name in GATES:
        for d in range(D):
            rows = by_memory(found.half_life[layer, d])[block_edges(H, units)][::-1]  # the longest memory on top
            values = getattr(found.gates, name)[layer, d][:, rows].T  # (units, T)
            z = np.add.reduceat(values, steps, axis=1) / counts
            traces.append(_gate_map(name, z, labels, [f"unit {unit}" for unit in rows.tolist()], d))
    title = "Gates" if layers == 1 else f"Gates of layer {layer + 1}"
    fewer = f" {units} of {H} units are shown." if units < H else ""
    note = (
        "Above the forward direction, which reads from the left, below the backward one, which reads from the right; "
        f"each row is a unit, those that remember longest on top. The menu chooses the gate.{fewer} "
        + thinned(found, steps, "the mean of each block is shown")
    )
    axes = {
        "yaxis": {"domain": [0.54, 1.0], **NO_TICKS},
        "yaxis2": {"domain": [0.0, 0.46], "title": {"text": "backward"}, **NO_TICKS},
        "xaxis": {"anchor": "y2", **step_axis(found)},
    }
    menu = menu_of(choices(list(GATES.values()), D))
    return Chart(title, note, figure(traces, x=found.axis, y="forward", **axes, **menu), height=620)


def gates_of_a_step(found: XRay) -> Chart:
    """Every gate of a single step: a row for each layer and direction, a column for each unit."""
    H = found.gates.hidden.shape[-1]
    traces = []
    for name in GATES:
        values = by_direction(getattr(found.gates, name)[:, :, 0])  # (L·D, H)
        trace = _gate_map(name, values, [f"unit {unit}" for unit in range(H)], found.layers, 0)
        traces.append(trace)
    note = (
        "This is one step, so that there is nothing to remember: cells begin empty, forget gates keep "
        f"nothing, and the weights from step to step are not used. Each column is one of {H} units; the menu "
        "chooses the gate."
    )
    layout: dict[str, Any] = {"xaxis": NO_TICKS, "yaxis": {"type": "category", "autorange": "reversed"}}
    menu = menu_of(choices(list(GATES.values()), 1))
    rows = len(found.layers)
    return Chart("Gates", note, figure(traces, x="units", **layout, **menu), height=180 + 30 * rows)


def _gate_map(name: str, z: Array, x: Sequence[str], y: Sequence[str], direction: int) -> dict[str, Any]:
    one_sided = name in ONE_SIDED
    most = 1.0 if name != "cell" else max(1.0, float(np.abs(z).max()))
    return {
        "type": "heatmap",
        "z": np.round(z.astype(np.float64), 2),
        "x": x,
        "y": y,
        "yaxis": "y2" if direction else "y",
        "zmin": 0 if one_sided else -most,
        "zmax": most,
        "colorscale": SHUT_TO_OPEN if one_sided else DIVERGING,
        "showscale": direction == 0,
        "colorbar": {"thickness": 12},
        "visible": name == next(iter(GATES)),
        "hovertemplate": "%{y} at %{x}: %{z}<extra></extra>",
    }


def half_lives(found: XRay) -> Chart:
    """How long the units of each direction remember, from the longest to the shortest."""
    traces = []
    for name, colour, lives in zip(found.layers, colours(found), by_direction(found.half_life), strict=True):
        sorted_lives = np.sort(np.minimum(lives, NOT_COUNTED))[::-1]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": digits_of(100 * (np.arange(len(lives)) + 0.5) / len(lives), 3),
                "y": digits_of(np.maximum(sorted_lives, 1e-2)),
                "line": {"color": colour, "width": 2, "dash": "solid" if "forward" in name else "dot"},
                "hovertemplate": "%{y:.3g} steps",
            }
        )
    longest = float(np.median(found.half_life))
    note = (
        "After how many steps half of a cell's content is forgotten, at the mean forget gate of this example; units "
        f"from the longest memory to the shortest. Half of all units remember for {longest:.2g} steps or more."
    )
    layout = {"yaxis": {"type": "log", "automargin": True}, "hovermode": "x unified"}
    return Chart("How long units remember", note, figure(traces, x="% of the units", y="half-life in steps", **layout))


def saturation(found: XRay) -> Chart:
    """How often each gate is shut and how often it is open, unit by unit."""
    names = ("forget_gate", "input_gate", "output_gate")
    traces = []
    for number, name in enumerate(names):
        shares = (by_direction(found.saturated[f"{name}_{end}"]) for end in ("shut", "open"))
        for title, colour, shut, open_ in zip(found.layers, colours(found), *shares, strict=True):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": title,
                    "x": digits_of(shut, 3),
                    "y": digits_of(open_, 3),
                    "marker": {"color": colour, "size": 8, "opacity": 0.5},
                    "customdata": list(range(len(shut))),
                    "hovertemplate": "unit %{customdata}: shut %{x:.0%}, open %{y:.0%}",
                    "visible": number == 0,
                }
            )
    gone = int(found.dead.sum())
    dead = f" {gone} of {found.dead.size} units never move here." if gone else ""
    note = (
        "Each point is a unit: the share of steps at which its gate is below 0.1 (shut) and above 0.9 (open). A forget "
        f"gate on the left at the top keeps what it has; near the origin a gate weighs.{dead}"
    )
    axis = {"range": [-0.03, 1.03], "tickformat": ".0%"}
    menu = menu_of(choices([GATES[name].split(":")[0] for name in names], len(found.layers)))
    layout = {"xaxis": axis, "yaxis": axis, **menu}
    return Chart("Open and shut gates", note, figure(traces, x="shut", y="open", **layout), height=460)


def transitions(found: XRay) -> Chart:
    """What a CRF adds to the score of one tag following another."""
    assert found.transitions is not None
    tags, matrix, start, end = found.transitions
    z = np.full((len(tags) + 1, len(tags) + 1), np.nan)
    z[:-1, :-1], z[-1, :-1], z[:-1, -1] = matrix, start, end
    z[~np.isfinite(z)] = np.nan
    most = float(np.nanmax(np.abs(z))) if np.isfinite(z).any() else 1.0
    names = unique([without_markup(clipped(tag)) for tag in tags])
    trace = heat(np.nan_to_num(z), [*names, "(end)"], [*names, "(start)"])
    trace |= {
        "z": digits_of(z, 3),
        "zmin": -most,
        "zmax": most,
        "hovertemplate": "%{y} → %{x}: %{z:+.3g}<extra></extra>",
    }
    note = (
        "What the CRF adds to a sequence in which the tag of a column follows that of a row: orange where it likes to, "
        "blue where it does not; empty where the rules forbid it."
    )
    layout = {"xaxis": {"type": "category"}, "yaxis": {"type": "category", "autorange": "reversed"}}
    return Chart(
        "Which tag follows which",
        note,
        figure([trace], x="next tag", y="tag", **layout),
        height=int(np.clip(160 + 26 * len(names), 300, 720)),
    )
