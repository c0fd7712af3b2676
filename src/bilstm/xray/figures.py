"""An X-ray as matplotlib figures. Knows how they look on paper; computes nothing that they show."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bilstm.charts import BLUE, GREEN, ORANGE, RED
from bilstm.data.columns import Array
from bilstm.xray.drawing import by_memory, clipped, is_by_step, is_one_step, largest_columns, sums
from bilstm.xray.fonts import drawable, fonts
from bilstm.xray.result import Contribution, XRay

PARTS = (("past", BLUE, "read forwards"), ("direct", GREEN, "around the BiLSTM"), ("future", ORANGE, "read backwards"))
FOR_AND_AGAINST = LinearSegmentedColormap.from_list("for_and_against", [BLUE, "#f7f7f7", RED])
SHUT_TO_OPEN = LinearSegmentedColormap.from_list("shut_to_open", ["#f7f7f7", BLUE])
MOST_WORDS, MOST_TIMES = 40, 12  # labels below the steps
MOST_ROWS = 40  # units of a direction that are drawn


def overview(found: XRay, output: int = 0) -> Figure:
    """Contributions above; below them the cells and the forget gates of both directions of the top layer."""
    if is_one_step(found) and found.contributions:
        return columns(found, output)
    T = len(found.steps)
    rows = len(found.contributions) if is_by_step(found) else 0
    height = 2.6 if not rows else 1.1 + 0.26 * rows
    figure = Figure(figsize=(9, height + 4.9), layout="constrained")
    above, *below = figure.subplots(5, 1, sharex=True, height_ratios=[height, 1, 1, 1, 1])
    if not found.contributions:
        above.set_axis_off()
    elif rows:
        _outputs(above, found)
    else:
        _bars(above, found, found.contributions[min(output, len(found.contributions) - 1)])
    cells, gates = found.gates.cell[-1], found.gates.forget_gate[-1]
    most = max(float(np.abs(np.tanh(cells)).max()), 1e-3)
    pictures = [(np.tanh(cells), "cell", FOR_AND_AGAINST, -most, most), (gates, "forget gate", SHUT_TO_OPEN, 0.0, 1.0)]
    places = iter(below)
    for values, name, colours, low, high in pictures:
        pair = []
        for d, direction in enumerate(("forward →", "← backward")[: values.shape[0]]):
            axes = next(places)
            pair.append(axes)
            shown = rows_of(found, -1, d)
            image = axes.imshow(
                values[d][:, shown].T, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
            )
            axes.set_yticks([])
            axes.tick_params(bottom=axes is below[-1])
            axes.set_ylabel(f"{name}\n{direction}", fontsize=8)
        figure.colorbar(image, ax=pair, pad=0.01, aspect=18).ax.tick_params(labelsize=7)
    label_steps(below[-1], found.steps, found.axis)
    above.tick_params(labelbottom=False, bottom=False)
    above.set_xlim(-0.5, T - 0.5)
    figure.suptitle(_title(found), fontsize=11, **fonts())
    return figure


def columns(found: XRay, output: int = 0) -> Figure:
    """What each column of a table's row added, the largest on top."""
    one = found.contributions[min(output, len(found.contributions) - 1)]
    bars = largest_columns(found, one)
    figure = Figure(figsize=(8, 1.4 + 0.27 * len(bars.labels)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(bars.labels)), bars.amounts, color=[RED if amount > 0 else BLUE for amount in bars.amounts])
    axes.set_yticks(range(len(bars.labels)), [drawable(label) for label in bars.labels], **fonts())
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.margins(y=0.01)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.set_xlabel(drawable(f"{_span(one)}   ({one.unit})"), **fonts())
    figure.suptitle(_title(found), fontsize=11, **fonts())
    return figure


def _bars(axes: Axes, found: XRay, one: Contribution) -> None:
    """Each step's amount, split by the way that it came."""
    steps = np.arange(len(found.steps))
    above, below = np.zeros(len(steps)), np.zeros(len(steps))
    for name, colour, label in PARTS:
        amounts: Array = getattr(one, name)
        if not np.any(amounts):
            continue
        base = np.where(amounts > 0, above, below)
        axes.bar(steps, amounts, bottom=base, color=colour, width=0.8 if len(steps) < 100 else 1.0, label=label)
        above, below = above + np.maximum(amounts, 0), below + np.minimum(amounts, 0)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_ylabel(drawable(f"added, {one.unit}"), fontsize=9, **fonts())
    axes.set_title(drawable(_span(one)), fontsize=9, loc="left", color="0.3", **fonts())
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="best")


def _outputs(axes: Axes, found: XRay) -> None:
    """What every step adds to every output."""
    z = sums(found)
    most = max(float(np.abs(z).max()), 1e-9)
    image = axes.imshow(z, aspect="auto", cmap=FOR_AND_AGAINST, vmin=-most, vmax=most, interpolation="nearest")
    axes.set_yticks(
        range(len(z)), [drawable(clipped(one.output, 28)) for one in found.contributions], fontsize=8, **fonts()
    )
    step = "word" if found.axis == "word" else "step"
    said = drawable(f"what each {step} adds to each output, {found.contributions[0].unit}")
    axes.set_title(said, fontsize=9, loc="left", color="0.3", **fonts())
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, pad=0.01, aspect=18).ax.tick_params(labelsize=7)


def _span(one: Contribution) -> str:
    return f"{clipped(one.output, 40)}: {one.baseline:.4g} at the baseline → {one.value:.4g}"


def rows_of(found: XRay, layer: int, direction: int) -> Array:
    """Units of a direction that are drawn, those that remember longest first."""
    order = by_memory(found.half_life[layer, direction])
    shown: Array = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_ROWS)).astype(int))]
    return shown


def _title(found: XRay) -> str:
    says = clipped(found.prediction, 60)
    return drawable(f"{clipped(found.title, 70)}\n{says}" if found.task != "tagger" else clipped(found.title, 90))


def label_steps(axes: Axes, steps: list[str], axis: str, share: int = 1) -> None:
    """Names below the steps, as many as fit where ``share`` pictures stand side by side."""
    every = -(-len(steps) * share // (MOST_WORDS if axis in ("word", "column") else MOST_TIMES))
    shown = list(range(0, len(steps), every))
    labels = [drawable(clipped(steps[t])) for t in shown]
    long = max(map(len, labels), default=0) * len(labels) * share > 90
    axes.set_xticks(shown, labels, rotation=60 if long else 0, ha="right" if long else "center", fontsize=9, **fonts())
    if axis != "word":
        axes.set_xlabel(drawable(axis), **fonts())
