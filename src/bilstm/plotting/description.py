"""What a chart shows, in plain data: lines, points, bars, bands, heat maps; axes; panels of them.

Knows no library that draws: :func:`bilstm.plotting.figures.to_matplotlib` and :func:`bilstm.plotting.charts.to_plotly`
do. Texts are given as they are; what draws them takes care of signs that mean something else there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# of Okabe and Ito's palette, which the colour-blind can tell apart
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
GREY = "#8c8c8c"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
SCALES = {
    "diverging": (BLUE, "#f7f7f7", RED),  # against · nothing · for
    "share": ("#f7f7f7", BLUE),  # nothing · all
    "sound": ("#000004", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf"),  # matplotlib's magma
}

POINTS = 2000  # that one mark shows
Values = Sequence[Any] | NDArray[Any]  # numbers, or dates of numpy


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that is drawn."""

    name: str = ""  # in the legend; without one it is not listed there
    hover: str = ""  # what is shown beside a pointer on it, in plotly's template language; not on paper
    details: Values | None = None  # what ``%{customdata}`` stands for in ``hover``, one for each point


@dataclass(frozen=True)
class Line(Mark):
    """Values joined by a line; without x at 0, 1, 2 …; ``marker`` is the size of a dot at each value."""

    y: Values
    x: Values | None = None
    colour: str = BLUE
    width: float = 1.5
    dash: Literal["solid", "dot", "dash"] = "solid"
    marker: float = 0
    opacity: float = 1.0


@dataclass(frozen=True)
class Points(Mark):
    """Single points."""

    x: Values
    y: Values
    colour: str = BLUE
    size: float = 6
    opacity: float = 0.6


@dataclass(frozen=True)
class Bars(Mark):
    """Bars from 0; those of a panel at the same place stand on each other, below 0 apart from above."""

    amounts: Values
    at: Values | None = None  # 0, 1, 2 … without
    colour: str | Sequence[str] = BLUE  # of all, or of each
    width: float | None = None  # in units of ``at``; chosen by the renderer without
    is_horizontal: bool = False  # they lie, and ``at`` is on the axis y

    @property
    def places(self) -> Values:
        """Where they stand."""
        return np.arange(len(self.amounts)) if self.at is None else self.at


@dataclass(frozen=True)
class Band(Mark):
    """All between two lines."""

    x: Values
    low: Values
    high: Values
    colour: str = BLUE
    opacity: float = 0.2


@dataclass(frozen=True)
class HeatMap(Mark):
    """Numbers as colours."""

    z: NDArray[Any]  # (rows, columns); NaN stays empty
    colours: str = "diverging"  # one of SCALES
    # what the ends of the scale stand for; without, 0 is in the middle of a diverging one, and others go from the
    # smallest to the largest number
    low: float | None = None
    high: float | None = None
    x: Values | None = None  # the middles of columns and rows, where these are numbers; 0, 1, 2 … without
    y: Values | None = None
    scale: str = ""  # maps of the same name share one bar of colours; without a name there is none
    scale_title: str = ""  # beside the bar
    written: Sequence[Sequence[str]] | None = None  # a text for each cell, "" for none

    def limits(self) -> tuple[float, float]:
        """What the ends of the scale stand for."""
        known = self.z[np.isfinite(self.z)]
        if self.colours == "diverging":
            high = float(np.abs(known).max(initial=0.0)) or 1.0
            low = -high
        else:
            low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        return low if self.low is None else self.low, high if self.high is None else self.high


@dataclass(frozen=True)
class Rule(Mark):
    """A straight line across the panel at a value of one axis."""

    at: float
    axis: Literal["x", "y"] = "x"
    colour: str = GREY


@dataclass(frozen=True)
class Span(Mark):
    """A strip of the panel between two values of x."""

    start: float
    end: float
    colour: str = BLUE
    opacity: float = 0.15


@dataclass(frozen=True)
class Texts(Mark):
    """Words at points, centred above them; without a colour in that of the axes' texts."""

    x: Values
    y: Values
    texts: Sequence[str]
    colour: str = ""


@dataclass(frozen=True)
class Axis:
    """One axis of a panel."""

    title: str = ""  # beside it; a line break is one
    labels: Sequence[str] | None = None  # what stands at 0, 1, 2 …, where places have names
    scale: Literal["linear", "log", "percent", "whole"] = "linear"  # dates are recognised
    limits: tuple[float, float] | None = None  # from where to where; all that is drawn without
    is_reversed: bool = False  # from the top down, or from right to left
    is_bare: bool = False  # no ticks and no labels
    few: bool = False  # labels are neighbours of each other, and a few of them tell enough


@dataclass(frozen=True)
class Panel:
    """A pair of axes and what is drawn between them, the first mark at the bottom; without marks the title alone."""

    marks: Sequence[Mark]
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    title: str = ""  # above it on paper; an interactive chart has a title and a note of its own
    span: int = 1  # how many columns of a figure it takes
    height: float = 1.0  # beside the others'
    is_compared: bool = False  # beside a pointer stands all that there is at one x


def thinned(count: int, most: int = POINTS) -> NDArray[np.int64]:
    """Positions of at most so many rows, evenly chosen.

    Example:
        >>> thinned(3).tolist(), len(thinned(100_000))
        ([0, 1, 2], 2000)
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
