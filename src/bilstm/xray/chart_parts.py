"""What the interactive charts of an X-ray share: menus, axes, heat maps, sentences. Knows plotly's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bilstm.charts import BLUE, DIVERGING, GREEN, ORANGE, PINK, RED, SKY, without_markup
from bilstm.data.columns import Array
from bilstm.xray.drawing import clipped
from bilstm.xray.result import XRay

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
