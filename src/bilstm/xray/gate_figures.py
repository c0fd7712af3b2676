"""Gates, memory and transitions of an X-ray as matplotlib figures. Knows no contributions; computes nothing."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bilstm.charts import BLUE, GREEN, ORANGE, PINK, RED, SKY
from bilstm.xray.drawing import GATES, NOT_COUNTED, ONE_SIDED, clipped
from bilstm.xray.figures import FOR_AND_AGAINST, SHUT_TO_OPEN, label_steps, rows_of
from bilstm.xray.fonts import drawable, fonts
from bilstm.xray.gates import HIGH, LOW, SIGMOIDS
from bilstm.xray.result import XRay

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
