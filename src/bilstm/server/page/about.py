"""The tab about a model: what training did, how it was measured, how it was set. Knows figures; predicts nothing."""

from __future__ import annotations

import math
from typing import Any

from nicegui import ui

from bilstm.formatting import number
from bilstm.plotting.charts import Chart, figure
from bilstm.plotting.description import BLUE, ORANGE
from bilstm.server.models import Served
from bilstm.server.page import parts
from bilstm.server.page.aside import Aside
from bilstm.server.page.parts import rendered
from bilstm.server.page.reporting import Report
from bilstm.server.settings import Settings
from bilstm.training.history import History

MOST_POINTS = 600  # of a curve; of more epochs every second, third, … is drawn


def draw_once(place: ui.element, served: Served, settings: Settings, aside: Aside) -> None:
    """Fill the tab when it is opened first."""
    if place.default_slot.children:
        return
    with place:
        draw_about(served)
        Report(served, settings, aside).draw()


def draw_about(served: Served) -> None:
    """Loss curves, figures of the validation part, settings."""
    model = served.estimator
    with ui.element("div").classes("two"):
        with ui.element("section").classes("card").props('aria-label="Training"'):
            parts.heading(2, "Training")
            parts.draw(loss_chart(model.history_))
        with ui.element("section").classes("card").props('aria-label="Figures"'):
            parts.heading(2, "Figures of the validation part")
            _figures(model)
    with ui.element("section").classes("card").props('aria-label="Facts"'):
        parts.heading(2, "Facts")
        rows = [[name, str(value)] for name, value in facts(served)]
        ui.html(rendered("table", ["fact", "value"], rows, "Facts about the model"))
        with ui.expansion("All parameters").props("dense").style("width: 100%"):
            rows = [[name, "none" if value is None else str(value)] for name, value in model.get_params().items()]
            ui.html(rendered("table", ["parameter", "value"], rows, "Parameters of the training"))


def _figures(model: Any) -> None:
    if not model.metrics_:
        parts.words("p", "No rows were set aside in training, so there are none.", "empty")
        return
    parts.words("p", "Training stopped and chose by this part, so that it flatters a little.", "soft")
    rows = [[name, number(value)] for name, value in model.metrics_.items()]
    ui.html(rendered("table", ["figure", "value"], rows, "Figures of the validation part", [1]))


def facts(served: Served) -> list[tuple[str, str]]:
    """What is known of a model as a whole, in words."""
    model = served.estimator
    weights = sum(weight.numel() for weight in model.network_.parameters())
    return [
        ("task", model.task),
        ("columns", ", ".join(model.feature_names_)),
        ("targets", ", ".join(model.target_names_)),
        ("epochs", number(len(model.history_))),
        ("seconds of training", number(math.fsum(model.history_["seconds"]))),
        ("weights", number(weights)),
    ]


def loss_chart(history: History) -> Chart:
    """The loss of every epoch, of training and of what was set aside."""
    curves = [("training", "loss", BLUE)]
    if history.has_validation:
        curves.append(("validation", "validation_loss", ORANGE))
    every = slice(None, None, math.ceil(len(history) / MOST_POINTS))
    look = {"type": "scatter", "mode": "lines", "x": history["epoch"][every]}
    data = [
        {**look, "name": name, "y": history[column][every], "line": {"color": color}} for name, column, color in curves
    ]
    is_log = min((value for value in history["loss"] if not math.isnan(value)), default=0.0) > 0
    note = f"{len(history)} epochs. Where the validation loss no longer falls, training learns its own rows by heart."
    note = note if history.has_validation else f"{len(history)} epochs, on all rows: nothing was set aside."
    drawn = figure(data, x="epoch", y="loss", yaxis={"type": "log" if is_log else "linear"})
    return Chart("Loss", note, drawn, height=320)
