"""What each step, column or band contributed, as interactive charts. Knows no gates; computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.formatting import clipped, unique
from bilstm.plotting.charts import Chart, figure, without_markup
from bilstm.plotting.description import BLUE, GREEN, ORANGE, RED
from bilstm.xray.drawing import (
    MOST_BLOCKS,
    MOST_CELLS,
    block_edges,
    block_labels,
    choices,
    digits_of,
    heat,
    is_by_step,
    is_one_step,
    largest_columns,
    menu_of,
    step_axis,
    step_in_words,
    sums,
    thinned,
    units_of,
)
from bilstm.xray.result import XRay

MOST_BARS = 300
MOST_ROWS = 80  # columns or bands of a heat map
PARTS = (("past", BLUE), ("direct", GREEN), ("future", ORANGE))
WAYS = {"past": "read forwards", "direct": "around the BiLSTM", "future": "read backwards"}


def contribution_charts(found: XRay) -> list[Chart]:
    """What each step or column added."""
    if not found.contributions:
        return []
    if is_one_step(found):
        return [_columns(found)]
    several = [_outputs_by_steps(found)] if len(found.contributions) > 1 or is_by_step(found) else []
    by_step = [] if is_by_step(found) else [_steps(found)]
    by_feature = [_features_by_steps(found)] if len(found.features) > 1 else []
    return [*several, *by_step, *by_feature]


def _columns(found: XRay) -> Chart:
    traces: list[dict[str, Any]] = []
    for number, one in enumerate(found.contributions):
        bars = largest_columns(found, one)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "y": unique([without_markup(label) for label in bars.labels]),
                "x": digits_of(bars.amounts),
                "marker": {"color": [RED if amount > 0 else BLUE for amount in bars.amounts]},
                "hovertemplate": "%{y}: %{x:+.4g}<extra></extra>",
                "visible": number == 0,
            }
        )
    note = (
        f"What each column of this row added to {_chosen(found)}. Orange raises it, blue lowers it. From the "
        f"baseline to this row: {_spans(found)}."
    )
    layout = {"yaxis": {"type": "category"}, **menu_of(choices([one.output for one in found.contributions], 1))}
    rows = len(traces[0]["y"])
    return Chart("Contributions", note, figure(traces, x=_unit(found), **layout), height=140 + 24 * rows)


def _steps(found: XRay) -> Chart:
    edges = block_edges(len(found.steps), MOST_BARS)
    labels = unique([without_markup(label) for label in block_labels(found.steps, edges)])
    traces = []
    parts = [part for part in PARTS if any(np.any(getattr(one, part[0])) for one in found.contributions)]
    for number, one in enumerate(found.contributions):
        for name, colour in parts:
            traces.append(
                {
                    "type": "bar",
                    "name": WAYS[name],
                    "x": labels,
                    "y": digits_of(np.add.reduceat(getattr(one, name), edges)),
                    "marker": {"color": colour},
                    "hovertemplate": "%{x}: %{y:+.4g}",
                    "visible": number == 0,
                }
            )
    note = (
        f"What each {step_in_words(found)} added to {_chosen(found)}; bars above zero raise it. Colours tell by which "
        f"direction of the top layer it came. From the baseline to this example: {_spans(found)}. "
        + thinned(found, edges)
    )
    layout = {
        "barmode": "relative",
        "xaxis": step_axis(found),
        **menu_of(choices([one.output for one in found.contributions], len(parts))),
    }
    return Chart("Contributions by step", note, figure(traces, x=found.axis, y=_unit(found), **layout), height=420)


def _chosen(found: XRay) -> str:
    """What a chart with a menu of outputs shows."""
    return "the chosen output" if len(found.contributions) > 1 else found.contributions[0].output


def _spans(found: XRay) -> str:
    """Where each output begins and ends, whichever of them is chosen."""
    return "; ".join(f"{clipped(one.output, 40)} {one.baseline:.4g} → {one.value:.4g}" for one in found.contributions)


def _unit(found: XRay) -> str:
    """The unit of an axis that is the same for all outputs."""
    several = len({one.unit for one in found.contributions}) > 1
    return "added, in the unit of each output" if several else found.contributions[0].unit


def _outputs_by_steps(found: XRay) -> Chart:
    edges = block_edges(len(found.steps), min(MOST_BLOCKS, MOST_CELLS // len(found.contributions)))
    z = np.add.reduceat(sums(found), edges, axis=1)  # (K, blocks)
    names = unique([without_markup(clipped(one.output, 28)) for one in found.contributions])
    labels = unique([without_markup(label) for label in block_labels(found.steps, edges)])
    trace = heat(z, labels, names) | {"hovertemplate": "%{x}<br>for %{y}: %{z:+.3g}<extra></extra>"}
    what = "Each row is one output, each column a " + step_in_words(found)
    own = " Near the diagonal a step speaks for itself, far from it for others."
    note = (
        f"{what}; orange speaks for the output and blue against it, in {units_of(found)}."
        + (own if is_by_step(found) else "")
        + " "
        + thinned(found, edges)
    )
    layout: dict[str, Any] = {"xaxis": step_axis(found), "yaxis": {"type": "category", "autorange": "reversed"}}
    return Chart(
        "Contributions to each output",
        note,
        figure([trace], x=found.axis, **layout),
        height=180 + 26 * len(names),
    )


def _features_by_steps(found: XRay) -> Chart:
    count = len(found.contributions)
    names, groups, fewer = _feature_rows(found)
    cells = max(1, MOST_CELLS // (count * len(groups)))
    edges = block_edges(len(found.steps), min(MOST_BLOCKS, cells))
    labels = unique([without_markup(label) for label in block_labels(found.steps, edges)])
    names = unique([without_markup(clipped(name)) for name in names])
    traces = [
        heat(np.add.reduceat([one.amount[:, group].sum(axis=1) for group in groups], edges, axis=1), labels, names)
        | {"visible": number == 0, "hovertemplate": "%{y}, %{x}: %{z:+.3g}<extra></extra>"}
        for number, one in enumerate(found.contributions)
    ]
    is_sound = found.task == "transcriber"
    what = "Bands of the spectrum over time" if is_sound else "Columns over time"
    note = (
        f"{what}: orange speaks for {_chosen(found)}, blue against it. Columns are summed over the numbers that they "
        f"are encoded as. {fewer}{thinned(found, edges)}"
    )
    layout = {
        "xaxis": step_axis(found),
        "yaxis": {"type": "category", "autorange": True if is_sound else "reversed"},
        **menu_of(choices([one.output for one in found.contributions], 1)),
    }
    height = int(np.clip(160 + 18 * len(names), 320, 640))
    return Chart(
        "Contributions by column and step" if not is_sound else "Contributions by band and time",
        note,
        figure(traces, x=found.axis, **layout),
        height=height,
    )


def _feature_rows(found: XRay) -> tuple[list[str], list[Array], str]:
    """The rows of a heat map of features: a name for each, the features that are summed in it, and a sentence on that.

    Neighbouring bands of sound belong together; of other columns those that matter least are one row.
    """
    count = len(found.features)
    places = np.arange(count)
    if count <= MOST_ROWS:
        return found.features, np.split(places, count), ""
    if found.task == "transcriber":
        edges = block_edges(count, MOST_ROWS)
        said = f"{count} bands are shown as {len(edges)} rows, each named by its lowest. "
        return [found.features[edge] for edge in edges.tolist()], np.split(places, edges[1:]), said
    size = np.abs([one.amount for one in found.contributions]).sum(axis=(0, 1))
    largest = np.sort(np.argsort(-size, kind="stable")[: MOST_ROWS - 1])
    rest = np.setdiff1d(places, largest)
    names = [found.features[k] for k in largest.tolist()] + [f"{len(rest)} others"]
    said = f"The {len(largest)} columns that matter most are shown, the other {len(rest)} as one. "
    return names, [*np.split(largest, len(largest)), rest], said
