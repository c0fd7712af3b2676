"""An X-ray as matplotlib figures. Knows how they look on paper; computes nothing that they show."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bilstm.data.columns import Array
from bilstm.formatting import clipped
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PINK, RED, SKY
from bilstm.plotting.fonts import drawable, fonts
from bilstm.xray.drawing import GATES, NOT_COUNTED, ONE_SIDED, by_memory, is_by_step, is_one_step, largest_columns, sums
from bilstm.xray.gates import HIGH, LOW, SIGMOIDS
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


COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
MOST_TAGS, MOST_WRITTEN = 60, 14  # tags that are named; up to which scores are written


def gates(found: XRay, layer: int = -1) -> Figure:
    """Every gate, the cell and the hidden state of a layer: a row for each, a column for each direction."""
    L, D, _, H = found.gates.hidden.shape
    figure = Figure(figsize=(5.4 * D + 0.8, 9.5), layout="constrained")
    places = figure.subplots(len(GATES), D, sharex=True, squeeze=False)
    for row, (name, said) in zip(places, GATES.items(), strict=True):
        values = getattr(found.gates, name)[layer]  # (D, T, H)
        most = 1.0 if name != "cell" else max(1.0, float(np.abs(values).max()))
        low, colours = (0.0, SHUT_TO_OPEN) if name in ONE_SIDED else (-most, FOR_AND_AGAINST)
        for d, axes in enumerate(row):
            z = values[d][:, rows_of(found, layer, d)].T  # (units, T)
            image = axes.imshow(z, aspect="auto", cmap=colours, vmin=low, vmax=most, interpolation="nearest")
            axes.set_yticks([])
            axes.tick_params(bottom=axes in places[-1])
        row[0].set_title(said, fontsize=9, loc="left", color="0.3")
        figure.colorbar(image, ax=list(row), pad=0.01, aspect=12).ax.tick_params(labelsize=7)
    for d, axes in enumerate(places[-1]):
        label_steps(axes, found.steps, found.axis, share=D)
        places[0, d].set_title(("forward →", "← backward")[d], fontsize=9, loc="right")
    number = f" of layer {layer % L + 1}" if L > 1 else ""
    fewer = f", {len(rows_of(found, layer, 0))} of {H} units" if len(rows_of(found, layer, 0)) < H else ""
    title = f"Gates{number}, units that remember longest on top{fewer}\n{clipped(found.title, 70)}"
    figure.suptitle(drawable(title), fontsize=11, **fonts())
    return figure


def memory(found: XRay) -> Figure:
    """Half-lives of all units; how often each gate is shut and open; how many units are dead."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    above, below = np.asarray(figure.subfigures(2, 1)).tolist()
    lives, dead = above.subplots(1, 2, width_ratios=[2, 1])
    layers = list(enumerate(found.layers))
    H = found.half_life.shape[-1]
    for n, name in layers:
        values = np.clip(np.sort(found.half_life.reshape(-1, H)[n])[::-1], 1e-2, NOT_COUNTED)
        line = "-" if "forward" in name else ":"
        lives.plot(100 * (np.arange(H) + 0.5) / H, values, line, color=COLOURS[n % len(COLOURS)], label=name)
    lives.set(yscale="log", xlabel="% of the units", ylabel="half-life in steps")
    lives.set_title("how long units remember", fontsize=9, loc="left", color="0.3")
    lives.legend(fontsize=8, frameon=False)
    counts = found.dead.reshape(-1, H).sum(axis=1)
    dead.barh(range(len(layers)), counts, color=[COLOURS[n % len(COLOURS)] for n, _ in layers])
    dead.set_yticks(range(len(layers)), found.layers, fontsize=8)
    dead.set_xlim(0, H)
    dead.invert_yaxis()
    dead.set_title(f"dead units, of {H}", fontsize=9, loc="left", color="0.3")
    for axes, name in zip(below.subplots(1, len(SIGMOIDS), sharey=True), SIGMOIDS, strict=True):
        shut, opened = (found.saturated[f"{name}_{end}"].reshape(-1, H) for end in ("shut", "open"))
        for n, _ in layers:
            axes.plot(shut[n], opened[n], "o", color=COLOURS[n % len(COLOURS)], alpha=0.5, markersize=5, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"share of steps below {LOW:g} (shut)")
        axes.set_title(name.replace("_", " "), fontsize=9, loc="left", color="0.3")
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(f"above {HIGH:g} (open)")
    figure.suptitle(drawable(f"Memory of the units\n{clipped(found.title, 70)}"), fontsize=11, **fonts())
    return figure


def transitions(found: XRay) -> Figure:
    """What a CRF adds to the score of one tag following another; empty where the rules forbid it."""
    assert found.transitions is not None
    tags, matrix, start, end = found.transitions
    K = len(tags)
    z = np.full((K + 1, K + 1), np.nan)
    z[:-1, :-1], z[-1, :-1], z[:-1, -1] = matrix, start, end
    z[~np.isfinite(z)] = np.nan
    most = float(np.nanmax(np.abs(z))) if np.isfinite(z).any() else 1.0
    size = float(np.clip(2.5 + 0.4 * K, 5, 14))
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(z, cmap=FOR_AND_AGAINST, vmin=-most, vmax=most)
    names = [drawable(clipped(tag)) for tag in tags]
    if K <= MOST_TAGS:
        axes.set_xticks(range(K + 1), [*names, "(end)"], rotation=60, ha="right", fontsize=8, **fonts())
        axes.set_yticks(range(K + 1), [*names, "(start)"], fontsize=8, **fonts())
    if K <= MOST_WRITTEN:
        for row, column in np.argwhere(np.isfinite(z)).tolist():
            colour = "white" if abs(z[row, column]) > 0.6 * most else "black"
            axes.text(column, row, f"{z[row, column]:.2g}", ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="next tag", ylabel="tag")
    figure.colorbar(image, ax=axes, pad=0.01, aspect=30).ax.tick_params(labelsize=7)
    axes.set_title("what the CRF adds; empty is forbidden", fontsize=10, loc="left", color="0.3")
    return figure
