"""Panels as a matplotlib figure. Knows how they look on paper; computes nothing that they show."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache, singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from bilstm.data.columns import Array
from bilstm.errors import DataError
from bilstm.files.output import write_whole
from bilstm.formatting import clipped
from bilstm.plotting.description import SCALES, Axis, Band, Bars, HeatMap, Line, Mark, Panel, Points, Rule, Span, Texts

LABELS, FEW_LABELS = 4.5, 1.4  # that fit in an inch, turned where they are long; of times
LETTERS = 10  # that fit in an inch side by side
DASHES = {"solid": "-", "dot": ":", "dash": "--"}
INK = "0.3"
# with signs that DejaVu lacks; the first that there is helps out
OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)
MISSING_SIGN = "▯"


class Picture(Figure):
    """A figure that a notebook shows where a cell ends in it, whether or not pyplot was ever asked for one."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()


def to_matplotlib(
    rows: Sequence[Sequence[Panel]], *, size: tuple[float, float], title: str = "", one_legend: bool = False
) -> Picture:
    """Panels as a figure of so many inches, rows from the top; the spans of a row's panels say how wide each is.

    ``one_legend``: that of the first panel, above all where there is no title; others whose names it has have none.
    """
    figure = Picture(figsize=size, layout="constrained")
    columns = max(sum(panel.span for panel in row) for row in rows)
    grid = figure.add_gridspec(len(rows), columns, height_ratios=[max(p.height for p in row) for row in rows])
    drawn: list[tuple[Axes, Panel]] = []
    for place, row in enumerate(rows):
        column = 0
        for panel in row:
            axes = figure.add_subplot(grid[place, column : column + panel.span])
            column += panel.span
            width, height = size[0] * panel.span / columns, size[1] / len(rows)
            _draw_panel(axes, panel, width, height)
            if not one_legend or not drawn or not _names(panel) <= _names(drawn[0][1]):
                _legend(axes, panel, is_above=one_legend and not drawn and not title)
            drawn.append((axes, panel))
    _colour_bars(figure, drawn)
    if title:
        figure.suptitle(drawable(title), fontsize=11, **fonts())
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file whose ending says the format: png, svg, pdf; without an ending it is png."""
    picture, path = io.BytesIO(), Path(path)
    try:
        figure.savefig(picture, dpi=150, format=path.suffix[1:] or "png")
    except ValueError as error:
        text = str(error).splitlines()[0]
        raise DataError(f"Cannot write {path}: {text}.", hint="end the name in .png") from None
    write_whole(path, picture.getvalue())


def _names(panel: Panel) -> set[str]:
    return {mark.name for mark in panel.marks if mark.name}


def _legend(axes: Axes, panel: Panel, is_above: bool) -> None:
    """Names of a panel's marks, inside it or above the whole figure."""
    handles, names = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if not names or figure is None:
        return
    if is_above:
        figure.legend(handles, names, loc="outside upper left", ncols=5, frameon=False)
        return
    bars = any(isinstance(mark, Bars) for mark in panel.marks)
    axes.legend(fontsize=8, frameon=False, ncols=3 if bars else 1, loc="best")


def _draw_panel(axes: Axes, panel: Panel, width: float, height: float) -> None:
    kinds = {type(mark) for mark in panel.marks}
    lying = any(isinstance(mark, Bars) and mark.is_horizontal for mark in panel.marks)
    for mark, base in zip(panel.marks, _bases(panel), strict=True):
        _draw(mark, axes, base)
    if HeatMap not in kinds:
        axes.spines[["top", "right", "left"] if lying else ["top", "right"]].set_visible(False)
        if Bars not in kinds:
            axes.grid(color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
    if not panel.marks:
        axes.set_axis_off()
    _set_up(axes, "x", panel.x, width, panel)
    _set_up(axes, "y", panel.y, height, panel)
    if lying:
        axes.margins(y=0.01)
        axes.tick_params(left=False)
    if panel.title:
        axes.set_title(drawable(panel.title), fontsize=9, loc="left", color=INK, **fonts())


def _bases(panel: Panel) -> Iterator[Array | None]:
    """Where the bars of each mark begin: on those that stand already at the same place, on the same side of 0."""
    above, below = dict[float, float](), dict[float, float]()
    for mark in panel.marks:
        if not isinstance(mark, Bars):
            yield None
            continue
        base = np.zeros(len(mark.amounts))
        for n, (at, amount) in enumerate(zip(mark.places, mark.amounts, strict=True)):
            standing = above if amount > 0 else below
            base[n] = standing.get(float(at), 0.0)
            standing[float(at)] = base[n] + float(amount)
        yield base


def _set_up(axes: Axes, name: str, axis: Axis, inches: float, panel: Panel) -> None:
    """Title, labels, scale and limits of one axis."""
    own = axes.xaxis if name == "x" else axes.yaxis
    if axis.title:
        own.set_label_text(drawable(axis.title), fontsize=9, **fonts())
    if axis.labels is not None and not any(isinstance(mark, HeatMap) for mark in panel.marks) and name == "x":
        axes.set_xlim(-0.5, len(axis.labels) - 0.5)
    if axis.is_bare:
        own.set_ticks([])
    elif axis.labels is not None:
        _name_places(axes, name, axis.labels, axis.few, inches)
    elif axis.scale == "log":
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    elif axis.scale == "percent":
        own.set_major_formatter(PercentFormatter(1.0, decimals=0))
    elif axis.scale == "whole":
        own.set_major_locator(MaxNLocator(nbins=max(2, round(inches)), integer=True))
    elif name == "x" and any(_is_dates(mark) for mark in panel.marks):
        locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
        own.set_major_locator(locator)
        own.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    if axis.limits is not None:
        (axes.set_xlim if name == "x" else axes.set_ylim)(axis.limits)
    if axis.is_reversed and not own.get_inverted():
        own.set_inverted(True)


def _name_places(axes: Axes, name: str, labels: Sequence[str], few: bool, inches: float) -> None:
    """Names at the places, as many as fit."""
    most = max(2, int(inches * (FEW_LABELS if few else LABELS)))
    shown = range(0, len(labels), -(-len(labels) // most))
    texts = [drawable(clipped(labels[place], 24 if name == "x" else 36)) for place in shown]
    if name == "y":
        axes.set_yticks(shown, texts, fontsize=8, **fonts())
        return
    is_long = max(map(len, texts), default=0) * len(texts) > LETTERS * inches
    turn, side = (60, "right") if is_long else (0, "center")
    axes.set_xticks(shown, texts, fontsize=8, rotation=turn, ha=side, **fonts())


def _is_dates(mark: Mark) -> bool:
    return isinstance(mark, (Line, Points, Band)) and np.asarray(mark.x).dtype.kind == "M"


def _colour_bars(figure: Figure, drawn: Sequence[tuple[Axes, Panel]]) -> None:
    """A bar of colours beside all maps that share it."""
    sharing: dict[str, list[tuple[Axes, HeatMap]]] = {}
    for axes, panel in drawn:
        for mark in panel.marks:
            if isinstance(mark, HeatMap) and mark.scale:
                sharing.setdefault(mark.scale, []).append((axes, mark))
    for maps in sharing.values():
        image = maps[0][0].get_images()[0]
        bar = figure.colorbar(image, ax=[axes for axes, _ in maps], pad=0.01, aspect=18, label=maps[0][1].scale_title)
        bar.ax.tick_params(labelsize=7)


@singledispatch
def _draw(mark: Mark, axes: Axes, base: Array | None) -> None:
    raise TypeError(f"nobody knows how to draw a {type(mark).__name__}")


@_draw.register
def _(mark: Line, axes: Axes, base: None) -> None:
    x = np.arange(len(mark.y)) if mark.x is None else mark.x
    line = axes.plot(x, mark.y, color=mark.colour, lw=mark.width, alpha=mark.opacity, label=mark.name or None)[0]
    line.set(linestyle=DASHES[mark.dash], marker="o" if mark.marker else "", markersize=mark.marker)


@_draw.register
def _(mark: Points, axes: Axes, base: None) -> None:
    dots = axes.plot(mark.x, mark.y, "o", color=mark.colour, alpha=mark.opacity, label=mark.name or None)[0]
    dots.set(markersize=mark.size, markeredgewidth=0, clip_on=False)


@_draw.register
def _(mark: Bars, axes: Axes, base: Array) -> None:
    at = mark.places
    width = mark.width or (0.8 if len(at) < 100 else 1.0)
    if mark.is_horizontal:
        axes.barh(at, mark.amounts, width, left=base, color=mark.colour, label=mark.name or None)
        axes.axvline(0, color="0.4", linewidth=0.8)
    else:
        axes.bar(at, mark.amounts, width, bottom=base, color=mark.colour, label=mark.name or None)
        axes.axhline(0, color="0.4", linewidth=0.8)


@_draw.register
def _(mark: Band, axes: Axes, base: None) -> None:
    name = mark.name or None
    axes.fill_between(mark.x, mark.low, mark.high, color=mark.colour, alpha=mark.opacity, linewidth=0, label=name)


@_draw.register
def _(mark: HeatMap, axes: Axes, base: None) -> None:
    low, high = mark.limits()
    colours = LinearSegmentedColormap.from_list(mark.colours, list(SCALES[mark.colours]))
    extent = (*_ends(mark.x, mark.z.shape[1]), *_ends(mark.y, mark.z.shape[0]))
    image = axes.imshow(mark.z, colours, aspect="auto", origin="lower", extent=extent, interpolation="nearest")
    image.set_clim(low, high)
    for (row, column), text in np.ndenumerate(np.array(mark.written if mark.written is not None else [], dtype=str)):
        share = (mark.z[row, column] - low) / (high - low)
        is_dark = share > 0.6 if mark.colours == "share" else not 0.2 <= share <= 0.8
        colour = "white" if is_dark else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _ends(middles: ArrayLike | None, count: int) -> tuple[float, float]:
    """Where the first cell begins and the last one ends."""
    if middles is None:
        return -0.5, count - 0.5
    known = np.asarray(middles, dtype=np.float64)
    half = (known[1] - known[0]) / 2 if count > 1 else 0.5
    return float(known[0] - half), float(known[-1] + half)


@_draw.register
def _(mark: Rule, axes: Axes, base: None) -> None:
    across = axes.axvline if mark.axis == "x" else axes.axhline
    across(mark.at, color=mark.colour, linewidth=1, label=mark.name or None)


@_draw.register
def _(mark: Span, axes: Axes, base: None) -> None:
    axes.axvspan(mark.start, mark.end, color=mark.colour, alpha=mark.opacity, linewidth=0, label=mark.name or None)


@_draw.register
def _(mark: Texts, axes: Axes, base: None) -> None:
    for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True):
        colour = mark.colour or None
        axes.annotate(drawable(text), (x, y), ha="center", va="bottom", color=colour, fontsize=9, **fonts())


# -- fonts -------------------------------------------------------------------------------------------------------


@cache
def _families() -> tuple[str, ...]:
    """matplotlib's own font, and one with the signs of Chinese and Japanese where there is one."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in OTHER_FONTS if name in known][:1])


def fonts() -> dict[str, Any]:
    """What every text of the caller's is drawn with."""
    return {"fontfamily": list(_families())}


@cache
def _signs() -> frozenset[int]:
    """Code points that the fonts in use can draw."""
    paths = [str(Path(font_manager.findfont(name))) for name in _families()]
    return frozenset(sign for path in paths for sign in font_manager.get_font(path).get_charmap())


def drawable(text: str) -> str:
    """A text that can be drawn without a warning: signs that no font has become ▯, and $ is no mathematics.

    Example:
        >>> drawable("1,000 $")
        '1,000 \\\\$'
    """
    signs = _signs()
    known = "".join(sign if ord(sign) in signs or sign == "\n" else MISSING_SIGN for sign in text)
    return known.replace("$", r"\$")
