"""X-rays on the page, shown when asked for. Knows places; what an X-ray is, bilstm.xray knows."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from nicegui import ui

from bilstm.errors import BilstmError, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.plotting.charts import Chart
from bilstm.server.page import widgets
from bilstm.server.page.background import Background
from bilstm.server.page.requests import Request

FIRST = "Contributions"  # begins the titles of the charts that are shown at once
OUTPUTS = 12  # of a tagger, a forecaster, a transcriber: so many are explained


class XRayCharts(NamedTuple):
    """What an X-ray shows: what it is measured against in words, notes, charts."""

    against: str
    notes: list[str]
    charts: list[Chart]


def _x_ray(estimator: BiLSTMEstimator, request: Request, row: int) -> XRayCharts:
    from bilstm.xray import x_ray

    with record_warnings(show=False):  # the prediction has said them
        result = x_ray(estimator, request.data, row=row, outputs=OUTPUTS)
    return XRayCharts(result.against, result.notes, result.charts())


class XRayView:
    """The card below a prediction in which its X-ray appears.

    Args:
        card: that card.
        background: where X-rays are made.
    """

    def __init__(self, card: ui.element, background: Background) -> None:
        self.card, self.background = card, background
        self.is_open = False
        self.number = 0  # of the latest offer: what comes of an older one is not shown
        self.close()

    def close(self) -> None:
        """There is nothing to look inside."""
        self.number += 1
        self.card.set_visibility(False)

    async def offer(self, estimator: BiLSTMEstimator, request: Request, row: int = 0) -> None:
        """Put a button there; once it was pressed, later predictions are X-rayed at once."""
        self.number += 1
        self.card.clear()
        self.card.set_visibility(True)
        with self.card:
            widgets.heading(2, "X-ray")
            about = f"{request.names[row]}: which parts made the prediction, and how the gates moved."
            widgets.text("p", about, "soft")
            place = ui.element("div").classes("charts").props('aria-live="polite"')
        show = partial(self.show, place, partial(_x_ray, estimator, request, row))
        if self.is_open:
            await show()
            return
        with place:
            widgets.secondary_button("Show the X-ray", show).style("align-self: flex-start")

    async def show(self, place: ui.element, work: partial[XRayCharts]) -> None:
        """Make it, and draw its charts."""
        self.is_open = True
        number = self.number
        place.clear()
        with place:
            widgets.busy("Looking inside …")
        try:
            result: XRayCharts | BilstmError = await self.background.run(work, "X-ray")
        except BilstmError as error:
            result = error
        if number == self.number:
            place.clear()
            with place:
                _draw(result)


def _draw(result: XRayCharts | BilstmError) -> None:
    if isinstance(result, BilstmError):
        widgets.show_error(result)
        return
    widgets.text("p", f"Contributions are measured against {result.against}.")
    for note in result.notes:
        widgets.text("p", note, "note")
    others = []
    for chart in result.charts:
        if chart.title.startswith(FIRST):
            widgets.draw_chart(chart)
        else:
            others.append(chart)
    if not others:
        return
    with ui.expansion("Gates and memory: how the BiLSTM read it").classes("more") as more:
        charts = ui.element("div").classes("charts")

    def draw_others() -> None:
        if not charts.default_slot.children:
            with charts:
                for chart in others:
                    widgets.draw_chart(chart)

    more.on_value_change(draw_others)
