"""An X-ray as interactive charts, and as one page of them. Knows how it is shown; computes nothing that it shows."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bilstm import charts as house
from bilstm.charts import BLUE, DIVERGING, GREEN, ORANGE, PINK, RED, SKY, Chart, figure
from bilstm.data.columns import Array
from bilstm.xray.drawing import (
    GATES,
    NOT_COUNTED,
    ONE_SIDED,
    block_edges,
    block_labels,
    by_memory,
    clipped,
    is_by_step,
    is_one_step,
    largest_columns,
    sums,
    unique,
)
from bilstm.xray.result import Contribution, XRay

MOST_CELLS = 20_000  # of all pictures of one heat map: some 150 kB of a page
MOST_BLOCKS = 150  # along an axis
MOST_BARS = 300
PARTS = (("past", BLUE), ("direct", GREEN), ("future", ORANGE))
WAYS = {"past": "read forwards", "direct": "around the BiLSTM", "future": "read backwards"}
SHUT_TO_OPEN = [[0.0, "#f7f7f7"], [1.0, BLUE]]


def charts(found: XRay) -> list[Chart]:
    """All charts of an X-ray, in the order of reading."""
    parts = [*contribution_charts(found), *gate_charts(found), half_lives(found), saturation(found)]
    return parts + ([] if found.transitions is None else [transitions(found)])


def page(found: XRay) -> str:
    """One page of HTML: what the model says, the coloured words, all charts."""
    lines = [f"<p><strong>{html.escape(clipped(found.prediction, 2000))}</strong></p>"]
    if found.axis == "word" and found.contributions:
        lines += [_coloured(found, one) for one in found.contributions if one.at is None]
    lines.append(f"<p>Contributions are measured from a baseline: {html.escape(found.against)}.</p>")
    lines += [f"<p>Note: {html.escape(note)}.</p>" for note in found.notes]
    title = f"X-ray of a {found.task}: {clipped(found.title, 160)}"
    return house.page(title, charts(found), before="\n".join(lines))


def _coloured(found: XRay, one: Contribution) -> str:
    """The words of a sentence, red where they speak for the output and blue where they speak against it."""
    amounts = one.amount.sum(axis=1)
    most = float(np.abs(amounts).max()) or 1.0
    words = []
    for word, amount in zip(found.steps, amounts.tolist(), strict=True):
        colour = "213,94,0" if amount > 0 else "0,114,178"
        strength = round(0.6 * abs(amount) / most, 3)
        words.append(
            f'<span style="background:rgba({colour},{strength});padding:.1em .2em;border-radius:.2em" '
            f'title="{amount:+.3g}">{html.escape(word)}</span>'
        )
    return f'<p style="font-size:1.2rem;line-height:2">{" ".join(words)}</p>'


# --- contributions ------------------------------------------------------------------------------------------


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
    traces = []
    for number, one in enumerate(found.contributions):
        bars = largest_columns(found, one)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "y": unique([_plain(label) for label in bars.labels]),
                "x": _digits(bars.amounts),
                "marker": {"color": [RED if amount > 0 else BLUE for amount in bars.amounts]},
                "hovertemplate": "%{y}: %{x:+.4g}<extra></extra>",
                "visible": number == 0,
            }
        )
    first = found.contributions[0]
    note = (
        f"What each column of this row added to {first.output}, from {first.baseline:.4g} at the baseline to "
        f"{first.value:.4g}. Orange raises it, blue lowers it."
    )
    layout = {"yaxis": {"type": "category"}, **_menu(_choices([one.output for one in found.contributions], 1))}
    rows = len(traces[0]["y"])
    return Chart("Contributions", note, figure(traces, x=_plain(first.unit), **layout), height=140 + 24 * rows)


def _steps(found: XRay) -> Chart:
    edges = block_edges(len(found.steps), MOST_BARS)
    labels = unique([_plain(label) for label in block_labels(found.steps, edges)])
    traces = []
    for number, one in enumerate(found.contributions):
        for name, colour in PARTS:
            traces.append(
                {
                    "type": "bar",
                    "name": WAYS[name],
                    "x": labels,
                    "y": _digits(np.add.reduceat(getattr(one, name), edges)),
                    "marker": {"color": colour},
                    "hovertemplate": "%{x}: %{y:+.4g}",
                    "visible": number == 0,
                }
            )
    first = found.contributions[0]
    note = (
        f"What each {_a(found)} added to {first.output}, from {first.baseline:.4g} at the baseline to "
        f"{first.value:.4g}; bars above zero raise it. Colours tell by which direction of the top layer it came. "
        + _thinned(found, edges)
    )
    layout = {
        "barmode": "relative",
        "xaxis": {"type": "category"},
        **_menu(_choices([one.output for one in found.contributions], len(PARTS))),
    }
    return Chart(
        "Contributions by step", note, figure(traces, x=found.axis, y=_plain(first.unit), **layout), height=420
    )


def _outputs_by_steps(found: XRay) -> Chart:
    edges = block_edges(len(found.steps), min(MOST_BLOCKS, MOST_CELLS // len(found.contributions)))
    z = np.add.reduceat(sums(found), edges, axis=1)  # (K, blocks)
    names = unique([_plain(clipped(one.output, 28)) for one in found.contributions])
    labels = unique([_plain(label) for label in block_labels(found.steps, edges)])
    trace = _heat(z, labels, names) | {"hovertemplate": "%{x}<br>for %{y}: %{z:+.3g}<extra></extra>"}
    what = "Each row is one output, each column a " + _a(found)
    own = " Where the eye runs along the diagonal, a step speaks for itself; far from it, context speaks."
    note = (
        f"{what}; orange speaks for the output and blue against it, in {_units(found)}."
        + (own if is_by_step(found) else "")
        + " "
        + _thinned(found, edges)
    )
    layout = {"xaxis": {"type": "category"}, "yaxis": {"type": "category", "autorange": "reversed"}}
    return Chart(
        "Contributions to each output",
        note,
        figure([trace], x=found.axis, **layout),
        height=180 + 26 * len(names),
    )


def _features_by_steps(found: XRay) -> Chart:
    count = len(found.contributions)
    rows = block_edges(len(found.features), 80)
    cells = max(1, MOST_CELLS // (count * len(rows)))
    edges = block_edges(len(found.steps), min(MOST_BLOCKS, cells))
    labels = unique([_plain(label) for label in block_labels(found.steps, edges)])
    names = unique([_plain(label) for label in block_labels(found.features, rows)])
    traces = [
        _heat(np.add.reduceat(np.add.reduceat(one.amount.T, rows, axis=0), edges, axis=1), labels, names)
        | {"visible": number == 0, "hovertemplate": "%{y}, %{x}: %{z:+.3g}<extra></extra>"}
        for number, one in enumerate(found.contributions)
    ]
    is_sound = found.task == "transcriber"
    what = "Bands of the spectrum over time" if is_sound else "Columns over time"
    note = (
        f"{what}: orange speaks for {'the chosen output' if count > 1 else found.contributions[0].output}, blue "
        f"against it. Columns are summed over the numbers that they are encoded as. {_thinned(found, edges)}"
    )
    layout = {
        "xaxis": {"type": "category"},
        "yaxis": {"type": "category", "autorange": True if is_sound else "reversed"},
        **_menu(_choices([one.output for one in found.contributions], 1)),
    }
    height = int(np.clip(160 + 18 * len(names), 320, 640))
    return Chart(
        "Contributions by column and step" if not is_sound else "Contributions by band and time",
        note,
        figure(traces, x=found.axis, **layout),
        height=height,
    )


def _heat(z: Array, x: Sequence[str], y: Sequence[str]) -> dict[str, Any]:
    most = float(np.abs(z).max()) if z.size else 1.0
    return {
        "type": "heatmap",
        "z": _digits(z, 3),
        "x": x,
        "y": y,
        "zmin": -(most or 1.0),
        "zmax": most or 1.0,
        "colorscale": DIVERGING,
        "colorbar": {"thickness": 12},
    }


# --- gates --------------------------------------------------------------------------------------------------


def gate_charts(found: XRay) -> list[Chart]:
    """Every gate of a layer, the forward direction above the backward one; a chart for each layer."""
    L, D, T, H = found.gates.hidden.shape
    steps = block_edges(T, min(MOST_BLOCKS, max(10, MOST_CELLS // (len(GATES) * D * min(H, 24)))))
    units = min(H, max(12, MOST_CELLS // (len(GATES) * D * len(steps))))
    return [_gates_of(found, layer, steps, units, L) for layer in range(L)]


def _gates_of(found: XRay, layer: int, steps: Array, units: int, layers: int) -> Chart:
    _, D, T, H = found.gates.hidden.shape
    labels = unique([_plain(label) for label in block_labels(found.steps, steps)])
    counts = np.diff(np.append(steps, T))
    traces = []
    for name in GATES:
        for d in range(D):
            rows = by_memory(found.half_life[layer, d])[block_edges(H, units)][::-1]  # the longest memory on top
            values = getattr(found.gates, name)[layer, d][:, rows].T  # (units, T)
            z = np.add.reduceat(values, steps, axis=1) / counts
            traces.append(_gate_map(name, z, labels, [f"unit {unit}" for unit in rows.tolist()], d))
    first = "layer" if layers == 1 else f"layer {layer + 1}"
    fewer = f" {units} of {H} units are shown." if units < H else ""
    note = (
        "Above the forward direction, which reads from the left, below the backward one, which reads from the right; "
        f"each row is a unit, those that remember longest on top. The menu chooses the gate.{fewer} "
        + _thinned(found, steps, "the mean of each block is shown")
    )
    axes = {
        "yaxis": {"domain": [0.54, 1.0], "showticklabels": False, "type": "category"},
        "yaxis2": {"domain": [0.0, 0.46], "showticklabels": False, "type": "category", "title": {"text": "backward"}},
        "xaxis": {"type": "category", "anchor": "y2"},
    }
    menu = _menu(_choices(list(GATES.values()), D))
    return Chart(f"Gates of the {first}", note, figure(traces, x=found.axis, y="forward", **axes, **menu), height=620)


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
    for name, colour, lives in zip(found.layers, _colours(found), _by_direction(found.half_life), strict=True):
        sorted_lives = np.sort(np.minimum(lives, NOT_COUNTED))[::-1]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": _digits(100 * (np.arange(len(lives)) + 0.5) / len(lives), 3),
                "y": _digits(np.maximum(sorted_lives, 1e-2)),
                "line": {"color": colour, "width": 2, "dash": "solid" if "forward" in name else "dot"},
                "hovertemplate": "%{y:.3g} steps",
            }
        )
    longest = float(np.median(found.half_life))
    note = (
        "After how many steps half of a cell's content is forgotten, at the mean forget gate of this example; units "
        f"from the longest memory to the shortest. Half of all units remember for {longest:.2g} steps or more."
    )
    layout = {"yaxis": {"type": "log"}, "hovermode": "x unified"}
    return Chart("How long units remember", note, figure(traces, x="% of the units", y="half-life in steps", **layout))


def saturation(found: XRay) -> Chart:
    """How often each gate is shut and how often it is open, unit by unit."""
    names = ("forget_gate", "input_gate", "output_gate")
    traces = []
    for number, name in enumerate(names):
        shares = (_by_direction(found.saturated[f"{name}_{end}"]) for end in ("shut", "open"))
        for title, colour, shut, open_ in zip(found.layers, _colours(found), *shares, strict=True):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": title,
                    "x": _digits(shut, 3),
                    "y": _digits(open_, 3),
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
    menu = _menu(_choices([GATES[name].split(":")[0] for name in names], len(found.layers)))
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
    names = unique([_plain(clipped(tag)) for tag in tags])
    trace = _heat(np.nan_to_num(z), [*names, "(end)"], [*names, "(start)"])
    trace |= {"z": _digits(z, 3), "zmin": -most, "zmax": most, "hovertemplate": "%{y} → %{x}: %{z:+.3g}<extra></extra>"}
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


# --- parts --------------------------------------------------------------------------------------------------


def _menu(choices: list[tuple[str, list[bool]]]) -> Mapping[str, Any]:
    """A menu that shows some traces and hides the others; nothing where there is no choice."""
    if len(choices) < 2:
        return {}
    buttons = [
        {"label": _plain(clipped(label, 40)), "method": "restyle", "args": [{"visible": shown}]}
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
    return {"updatemenus": [menu], "margin": {"l": 40, "r": 16, "t": 70, "b": 40}, "legend": _LEGEND}


_LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}


def _choices(labels: Sequence[str], traces: int) -> list[tuple[str, list[bool]]]:
    """For each label which traces are shown, ``traces`` of each in a row."""
    return [(label, [k // traces == n for k in range(len(labels) * traces)]) for n, label in enumerate(labels)]


def _by_direction(values: Array) -> Array:
    """(L, D, H) → (L·D, H), in the order of the layers' names."""
    return values.reshape(-1, values.shape[-1])


def _colours(found: XRay) -> list[str]:
    palette = (BLUE, ORANGE, GREEN, PINK, RED, SKY)
    return [palette[n % len(palette)] for n in range(len(found.layers))]


def _digits(values: Array, digits: int = 4) -> Array:
    """Numbers rounded to so many significant digits."""
    values = np.asarray(values, dtype=np.float64)
    known = np.where(np.isfinite(values) & (values != 0), np.abs(values), 1.0)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(known)))
    result: Array = np.round(values * scale) / scale
    return result


def _plain(text: str) -> str:
    """A text in which plotly finds no markup."""
    return html.escape(text, quote=False)


def _a(found: XRay) -> str:
    return {"seconds": "moment", "word": "word", "column": "column"}.get(found.axis, "step")


def _units(found: XRay) -> str:
    return " and ".join(dict.fromkeys(one.unit for one in found.contributions))


def _thinned(found: XRay, edges: Array, how: str = "their amounts are added") -> str:
    """A sentence where neighbours are shown together."""
    if len(edges) == len(found.steps):
        return ""
    return f"{len(found.steps):,} steps are shown as {len(edges)} blocks; {how}."
