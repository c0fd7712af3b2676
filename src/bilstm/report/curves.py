"""What training did, as charts: loss, metric, learning rate, gradient norm. Knows a History only."""

from __future__ import annotations

import math

import numpy as np

from bilstm.formatting import counted, number
from bilstm.plotting.charts import Chart, figure, rounded, thinned
from bilstm.plotting.description import BLUE, GREEN, ORANGE, PINK
from bilstm.report.blocks import Block, Drawing, Text
from bilstm.training.history import History


def curves(history: History) -> list[Block]:
    """Loss curves, the metric, and how the optimiser went.

    Args:
        history: of an estimator.
    """
    rows = thinned(len(history))
    epochs = np.asarray(history["epoch"])[rows].astype(int).tolist()

    def line(name: str, label: str, colour: str) -> dict[str, object]:
        shape = {"type": "scatter", "mode": "lines" if len(rows) > 2 else "lines+markers", "name": label}
        return {**shape, "x": epochs, "y": rounded(np.asarray(history[name])[rows]), "line": {"color": colour}}

    losses = [line("loss", "training", BLUE)]
    note = "It should fall and level off."
    if history.has_validation:
        losses.append(line("validation_loss", "validation", ORANGE))
        note = (
            "Both should fall. Where the validation loss rises while the other falls, the model learns its training "
            "rows by heart; the kept epoch is the best one of the validation part."
        )
    values = [v for name in ("loss", "validation_loss") for v in history[name] if not math.isnan(v)]
    ratio = max(values) / min(values) if values and min(values) > 0 else 1.0
    scale = {"type": "log", "dtick": 1 if ratio > 100 else "D2", "exponentformat": "power"} if ratio > 10 else {}
    whole = {"dtick": 1} if len(history) < 12 else {}
    charts = [Chart("Loss", note, figure(losses, x="epoch", y="loss", yaxis=scale, xaxis=whole))]
    if history.has_validation:
        metric = line("metric", history.metric_name, GREEN)
        said = "Measured on the validation part after every epoch, in the caller's units."
        shown = figure([metric], x="epoch", y=history.metric_name, xaxis=whole)
        charts.append(Chart(history.metric_name, said, shown, height=260))
    rate = {**line("learning_rate", "learning rate", PINK), "yaxis": "y2"}
    axis = {"overlaying": "y", "side": "right", "title": {"text": "learning rate"}, "showgrid": False}
    axis |= {"automargin": True, "rangemode": "tozero", "tickmode": "auto", "nticks": 5, "exponentformat": "power"}
    steps = figure(
        [line("gradient_norm", "gradient norm", BLUE), rate], x="epoch", y="gradient norm", yaxis2=axis, xaxis=whole
    )
    said = "The gradient's size before clipping, and that of the optimiser's steps. If the first keeps growing, beware."
    charts.append(Chart("Gradient and learning rate", said, steps, height=260))
    seconds = sum(value for value in history["seconds"] if not math.isnan(value))
    summary = f"{counted(len(history), 'epoch')} in {number(seconds, 3)} seconds."
    return [Text(summary), *(Drawing(chart) for chart in charts)]
