"""X-rays on the page, shown when asked for. Knows places; what an X-ray is, bilstm.xray knows."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from bilstm.errors import record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.plotting.charts import Chart
from bilstm.server.page import widgets
from bilstm.server.page.background import Background
from bilstm.server.page.requests import Request

FIRST = "Contributions"  # begins the titles of the charts that are shown at once
OUTPUTS = 12  # of a tagger, a forecaster, a transcriber: so many are explained
XRayCharts = tuple[str, list[str], list[Chart]]  # what it is measured against in words, notes, charts


class XRayView:
    """The card below a prediction in which its X-ray appears."""

    def __init__(self, card: ui.element, background: Background) -> None:
        self.card, self.background = card, background
        self.is_open = False
        self.close()

    def close(self) -> None:
        self.card.clear().set_visibility(False)

    async def offer(self, estimator: BiLSTMEstimator, request: Request, row: int = 0) -> None:
        """Put a button there; once it was pressed, later predictions are X-rayed at once."""
        self.card.set_visibility(True)
        with self.card.clear():
            widgets.text("h2", "X-ray")
            about = f"{request.names[row]}: which parts made the prediction, and how the gates moved."
            widgets.text("p", about, "soft")
            place = ui.element("div").classes("charts").props('aria-live="polite"')

        async def show() -> None:
            self.is_open = True
            work = partial(_x_ray, estimator, request, row)
            await self.background.draw(place, "Looking inside …", work, "X-ray", _draw)

        if self.is_open:
            await show()
            return
        with place:
            widgets.secondary_button("Show the X-ray", show).style("align-self: flex-start")


def _x_ray(estimator: BiLSTMEstimator, request: Request, row: int) -> XRayCharts:
    from bilstm.xray import x_ray

    with record_warnings(show=False):  # the prediction has said them
        result = x_ray(estimator, request.data, row=row, outputs=OUTPUTS)
    return result.against, result.notes, result.charts()


def _draw(result: XRayCharts) -> None:
    against, notes, charts = result
    widgets.text("p", f"Contributions are measured against {against}.")
    for note in notes:
        widgets.text("p", note, "note")
    others = [chart for chart in charts if not chart.title.startswith(FIRST)]
    for chart in charts:
        if chart.title.startswith(FIRST):
            widgets.draw_chart(chart)
    if not others:
        return
    with ui.expansion("Gates and memory: how the BiLSTM read it").classes("more") as more:
        place = ui.element("div").classes("charts")

    def draw_others() -> None:
        if not place.default_slot.children:
            with place:
                for chart in others:
                    widgets.draw_chart(chart)

    more.on_value_change(draw_others)
