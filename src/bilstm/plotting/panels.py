"""What is predicted beside what is true, as panels. Knows arrays and no estimator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bilstm.data.columns import Array
from bilstm.plotting.description import GREY, Axis, Bars, HeatMap, Line, Panel, Points, Rule, Values

MOST_WRITTEN = 20  # classes up to which a confusion matrix has its counts written


def scatter_panel(truth: Array, predicted: Array, name: str, suffix: str = "", rows: Values | None = None) -> Panel:
    """Predictions over true values with the line of perfection; ``rows`` are shown beside a pointer."""
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    hover = "" if rows is None else "row %{customdata}<br>true %{x}<br>predicted %{y}<extra></extra>"
    points = Points(truth, predicted, size=4, opacity=0.7, hover=hover, details=rows)
    perfect = Line(ends, ends, name="perfect", colour=GREY, width=1)
    return Panel([perfect, points], Axis(f"true {name}{suffix}"), Axis(f"predicted {name}{suffix}"))


def errors_panel(errors: Array, suffix: str = "") -> Panel:
    """How many rows have an error of which size."""
    counts, edges = np.histogram(errors, bins=int(np.clip(2 * np.sqrt(len(errors)), 5, 40)))
    bars = Bars(counts, (edges[:-1] + edges[1:]) / 2, width=float(edges[1] - edges[0]))
    return Panel([bars, Rule(0.0)], Axis(f"predicted − true{suffix}"), Axis("rows"))


def confusion_panel(counts: Array, names: Sequence[str]) -> Panel:
    """Counts (K, K) of true classes in rows that were taken for those in columns, coloured by the share of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    written = np.where(counts > 0, counts.astype(str), "").tolist() if len(names) <= MOST_WRITTEN else None
    hover = "true %{y}, taken for %{x}: %{customdata} (%{z:.1%} of the true ones)<extra></extra>"
    look = {"scale": "share", "scale_title": "share of the true class", "hover": hover}
    heat = HeatMap(shares, "share", 0, 1, written=written, details=counts, **look)
    return Panel([heat], Axis("predicted", names), Axis("true", names, is_reversed=True))
