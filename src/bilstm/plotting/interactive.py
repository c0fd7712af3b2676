"""Panels as a figure of plotly.js. Knows plotly's keys; computes nothing that is shown."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bilstm.data.columns import Array
from bilstm.formatting import clipped, unique
from bilstm.plotting.charts import FONT
from bilstm.plotting.description import SCALES, Axis, Band, Bars, HeatMap, Line, Mark, Panel, Points, Rule, Span, Texts

Trace = dict[str, Any]
GAP = 0.08  # of the height, between panels
FEW_TICKS = 14
SCALE_KEYS = {"log": {"type": "log"}, "percent": {"tickformat": ".0%"}, "whole": {"tickformat": ",d"}}
PLACES = 10  # digits of where a value stands: of steps there are many, and years have a fraction
STYLE = {
    "font": {"family": FONT, "size": 13},
    "margin": {"l": 40, "r": 16, "t": 16, "b": 40},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    "hoverlabel": {"align": "left"},
}
MENU = {
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "pad": {"b": 4},
    "bgcolor": "#ffffff",
    "bordercolor": "#a8a8a8",
    "font": {"color": "#1b1b1b"},
}
BESIDE_A_MENU = {
    "margin": {"l": 40, "r": 16, "t": 70, "b": 40},
    "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
}


def to_plotly(shown: Sequence[Panel] | Mapping[str, Sequence[Panel]]) -> dict[str, Any]:
    """The figure of a Chart: panels one below the other, over the axis x of the last.

    Or such panels for each label of a menu, which differ in what they show, not in their axes.

    Example:
        >>> figure = to_plotly([Panel([Line([3.0, 2.0])], y=Axis("loss"))])
        >>> figure["layout"]["yaxis"]["title"]["text"], figure["data"][0]["y"]
        ('loss', [3.0, 2.0])
    """
    choices = dict(shown) if isinstance(shown, Mapping) else {"": list(shown)}
    traces: list[Trace] = []
    owners: list[int] = []
    for number, panels in enumerate(choices.values()):
        bars: set[str] = set()
        own = [trace for place, panel in enumerate(panels) for trace in _traces(panel, place, bars)]
        if len(choices) > 1:
            own = [trace | {"visible": number == 0} for trace in own]
        traces += own
        owners += [number] * len(own)
    layout = _layout(next(iter(choices.values())))
    if len(choices) > 1:
        buttons = []
        for number, label in enumerate(choices):
            visible = [{"visible": [owner == number for owner in owners]}]
            buttons.append({"label": without_markup(clipped(label, 40)), "method": "restyle", "args": visible})
        layout |= {"updatemenus": [{"buttons": buttons, **MENU}], **BESIDE_A_MENU}
    plain: dict[str, Any] = _plain({"data": traces, "layout": STYLE | layout})
    return plain


def without_markup(text: str) -> str:
    """A text in which plotly finds no markup: names and labels of the caller's are shown as they are.

    Example:
        >>> without_markup("<i>price</i>")
        '&lt;i&gt;price&lt;/i&gt;'
    """
    return html.escape(text, quote=False)


def _plain(value: Any) -> Any:
    """Numbers, lists and strings as JSON can say them; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _layout(panels: Sequence[Panel]) -> dict[str, Any]:
    """Axes, and what is drawn across whole panels."""
    total = sum(panel.height for panel in panels)
    top = 1.0
    layout: dict[str, Any] = {}
    shapes: list[dict[str, Any]] = []
    for place, panel in enumerate(panels):
        axis = _axis(panel.y)
        if len(panels) > 1:
            bottom = max(0.0, top - (1 - GAP * (len(panels) - 1)) * panel.height / total)
            axis["domain"] = [round(bottom, 4), round(top, 4)]
            top = bottom - GAP
        layout[f"yaxis{_number(place)}"] = axis
        shapes += [shape for mark in panel.marks for shape in _shapes(mark, place)]
    x = _axis(panels[-1].x)
    if len(panels) > 1:
        x["anchor"] = f"y{_number(len(panels) - 1)}"
    layout["xaxis"] = x
    if shapes:
        layout["shapes"] = shapes
    if any(isinstance(mark, Bars) for panel in panels for mark in panel.marks):
        layout["barmode"] = "relative"
    if any(panel.is_compared for panel in panels):
        layout["hovermode"] = "x unified"
    return layout


def _number(place: int) -> str:
    """As plotly numbers axes: y, y2, y3 …"""
    return "" if place == 0 else str(place + 1)


def _axis(axis: Axis) -> dict[str, Any]:
    keys: dict[str, Any] = {"title": {"text": without_markup(axis.title).replace("\n", "<br>")}, "automargin": True}
    if axis.labels is not None or axis.is_bare:
        keys["type"] = "category"
    if axis.is_bare:
        keys |= {"showticklabels": False, "ticks": ""}
    elif axis.few:
        keys["nticks"] = FEW_TICKS
    keys |= SCALE_KEYS.get(axis.scale, {})
    if axis.limits is not None:
        keys["range"] = list(axis.limits)
    if axis.is_reversed:
        keys["autorange"] = "reversed"
    return keys


def _traces(panel: Panel, place: int, bars: set[str]) -> Iterator[Trace]:
    """What plotly draws of a panel; ``bars`` names the scales that have their bar of colours already."""
    for mark in panel.marks:
        for trace in _of(mark, panel):
            if place:
                trace["yaxis"] = f"y{place + 1}"
            if isinstance(mark, HeatMap):
                trace["showscale"] = bool(mark.scale) and mark.scale not in bars
                bars.add(mark.scale)
            if mark.hover:
                trace["hovertemplate"] = mark.hover
            if mark.details is not None:
                trace["customdata"] = list(mark.details)
            yield trace


def _at(positions: ArrayLike | None, count: int, axis: Axis) -> Any:
    """Where values stand, as plotly takes it: names of places, dates as texts, or numbers."""
    if axis.labels is not None:
        names = unique([without_markup(clipped(label, 36)) for label in axis.labels])
        return names if positions is None else [names[int(place)] for place in np.asarray(positions)]
    if positions is None:
        return list(range(count))
    values = np.asarray(positions)
    if values.dtype.kind == "M":
        return np.datetime_as_string(values).tolist()
    return rounded(values, PLACES) if values.dtype.kind == "f" else values


def rounded(values: ArrayLike, digits: int = 5) -> Array:
    """Numbers with so many significant digits."""
    numbers = np.asarray(values, dtype=np.float64)
    known = np.where(np.isfinite(numbers) & (numbers != 0), np.abs(numbers), 1.0)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(known)))
    result: Array = np.round(numbers * scale) / scale
    return result


def _named(mark: Mark, **more: Any) -> Trace:
    """What every trace begins with."""
    own = {"name": without_markup(mark.name)} if mark.name else {"showlegend": False}
    return own | more


@singledispatch
def _of(mark: Mark, panel: Panel) -> list[Trace]:
    """The traces of a mark; none of one that is a shape."""
    return []


@_of.register
def _(mark: Line, panel: Panel) -> list[Trace]:
    x = _at(mark.x, len(mark.y), panel.x)
    line = {"color": mark.colour, "width": mark.width, "dash": mark.dash}
    more: Trace = {"mode": "lines+markers", "marker": {"size": mark.marker}} if mark.marker else {"mode": "lines"}
    return [_named(mark, type="scatter", x=x, y=rounded(mark.y), line=line, opacity=mark.opacity, **more)]


@_of.register
def _(mark: Points, panel: Panel) -> list[Trace]:
    x, y = _at(mark.x, len(mark.y), panel.x), _at(mark.y, len(mark.y), panel.y)
    marker = {"color": mark.colour, "size": mark.size, "opacity": mark.opacity}
    return [_named(mark, type="scatter", mode="markers", x=x, y=y, marker=marker)]


@_of.register
def _(mark: Bars, panel: Panel) -> list[Trace]:
    at = _at(mark.at, len(mark.amounts), panel.y if mark.is_horizontal else panel.x)
    amounts = rounded(mark.amounts)
    lying: Trace = {"orientation": "h", "y": at, "x": amounts} if mark.is_horizontal else {"x": at, "y": amounts}
    colour = mark.colour if isinstance(mark.colour, str) else list(mark.colour)
    width = {} if mark.width is None else {"width": mark.width}
    return [_named(mark, type="bar", marker={"color": colour}, **lying, **width)]


@_of.register
def _(mark: Band, panel: Panel) -> list[Trace]:
    red, green, blue = (int(mark.colour[k : k + 2], 16) for k in (1, 3, 5))
    x = _at(mark.x, len(mark.low), panel.x)
    edge: Trace = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
    shade: Trace = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},{mark.opacity})"}
    below = {**edge, "y": rounded(mark.low), "showlegend": False}
    return [below, _named(mark, **edge, **shade, y=rounded(mark.high))]


@_of.register
def _(mark: HeatMap, panel: Panel) -> list[Trace]:
    low, high = mark.limits()
    colours = SCALES[mark.colours]
    trace: Trace = {
        "type": "heatmap",
        "z": rounded(mark.z, 3),
        "x": _at(mark.x, mark.z.shape[1], panel.x),
        "y": _at(mark.y, mark.z.shape[0], panel.y),
        "zmin": low,
        "zmax": high,
        "colorscale": list(zip(np.linspace(0, 1, len(colours)), colours, strict=True)),
        "colorbar": {"thickness": 12, "title": {"text": without_markup(mark.scale_title), "side": "right"}},
    }
    if mark.written is not None:
        trace |= {"text": [[without_markup(text) for text in row] for row in mark.written], "texttemplate": "%{text}"}
    return [trace]


@_of.register
def _(mark: Texts, panel: Panel) -> list[Trace]:
    x, texts = _at(mark.x, len(mark.texts), panel.x), [without_markup(text) for text in mark.texts]
    more: Trace = {"textposition": "top center", "hoverinfo": "skip"}
    if mark.colour:
        more["textfont"] = {"color": mark.colour}
    return [_named(mark, type="scatter", mode="text", x=x, y=rounded(mark.y), text=texts, **more)]


@singledispatch
def _shapes(mark: Mark, place: int) -> list[dict[str, Any]]:
    """What plotly draws across a panel beside its traces."""
    return []


@_shapes.register
def _(mark: Rule, place: int) -> list[dict[str, Any]]:
    y = f"y{_number(place)}"
    line = {"type": "line", "line": {"color": mark.colour, "width": 1}}
    if mark.axis == "x":
        return [{**line, "xref": "x", "yref": f"{y} domain", "x0": mark.at, "x1": mark.at, "y0": 0, "y1": 1}]
    return [{**line, "xref": "x domain", "yref": y, "x0": 0, "x1": 1, "y0": mark.at, "y1": mark.at}]


@_shapes.register
def _(mark: Span, place: int) -> list[dict[str, Any]]:
    strip = {"type": "rect", "line": {"width": 0}, "fillcolor": mark.colour, "opacity": mark.opacity, "layer": "below"}
    ends = {"x0": mark.start, "x1": mark.end, "y0": 0, "y1": 1}
    return [{**strip, "xref": "x", "yref": f"y{_number(place)} domain", **ends}]
