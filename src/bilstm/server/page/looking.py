"""X-rays on the page, shown when asked for. Knows places; what an X-ray is, bilstm.xray knows."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, NamedTuple

from nicegui import ui

from bilstm.errors import BilstmError
from bilstm.plotting.charts import Chart
from bilstm.server.heard import data_warnings_heard
from bilstm.server.page import parts
from bilstm.server.page.aside import Aside
from bilstm.server.page.questions import Question

FIRST = "Contributions"  # begins the titles of the charts that are shown at once
OUTPUTS = 12  # of a tagger, a forecaster, a transcriber: so many are explained


class Seen(NamedTuple):
    """What an X-ray shows: what it is measured against in words, notes, charts."""

    against: str
    notes: list[str]
    charts: list[Chart]


def _seen(model: Any, question: Question, row: int) -> Seen:
    from bilstm.xray import x_ray

    with data_warnings_heard():  # the prediction has told them
        found = x_ray(model, question.data, row=row, outputs=OUTPUTS)
    return Seen(found.against, found.notes, found.charts())


class Looking:
    """The card below a prediction in which its X-ray appears.

    Args:
        card: that card.
        aside: where they are made.
    """

    def __init__(self, card: ui.element, aside: Aside) -> None:
        self.card, self.aside = card, aside
        self.is_open = False
        self.number = 0  # of the latest offer: what comes of an older one is not shown
        self.close()

    def close(self) -> None:
        """There is nothing to look inside."""
        self.number += 1
        self.card.set_visibility(False)

    async def offer(self, model: Any, question: Question, row: int = 0) -> None:
        """Put a button there; once it was pressed, later predictions are X-rayed at once."""
        self.number += 1
        self.card.clear()
        self.card.set_visibility(True)
        with self.card:
            parts.heading(2, "X-ray")
            parts.words(
                "p", f"{question.names[row]}: which parts made the prediction, and how the gates moved.", "soft"
            )
            place = ui.element("div").classes("charts").props('aria-live="polite"')
            with place:
                if not self.is_open:
                    parts.side_button("Show the X-ray", lambda: self.show(place, model, question, row)).style(
                        "align-self: flex-start"
                    )
        if self.is_open:
            await self.show(place, model, question, row)

    async def show(self, place: ui.element, model: Any, question: Question, row: int) -> None:
        """Make it, and draw its charts."""
        self.is_open = True
        number = self.number
        place.clear()
        with place, ui.element("div").classes("row"):
            ui.spinner(size="1.4em")
            ui.label("Looking inside …").classes("soft")
        try:
            seen: Seen | BilstmError = await self.aside.run(partial(_seen, model, question, row), "X-ray")
        except BilstmError as error:
            seen = error
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not make an X-ray")
            seen = parts.UNFORESEEN
        if number == self.number:
            place.clear()
            with place:
                _draw(seen)


def _draw(seen: Seen | BilstmError) -> None:
    if isinstance(seen, BilstmError):
        parts.mistake(seen)
        return
    parts.words("p", f"Contributions are measured against {seen.against}.")
    for note in seen.notes:
        parts.words("p", note, "note")
    first = [chart for chart in seen.charts if chart.title.startswith(FIRST)]
    others = [chart for chart in seen.charts if not chart.title.startswith(FIRST)]
    for chart in first:
        parts.draw(chart)
    if not others:
        return
    with ui.expansion("Gates and memory: how the BiLSTM read it").classes("more") as more:
        charts = ui.element("div").classes("charts")

    def draw_others() -> None:
        if not charts.default_slot.children:
            with charts:
                for chart in others:
                    parts.draw(chart)

    more.on_value_change(draw_others)
