"""Long work beside the predictions, one piece at a time, in a thread of its own; and X-rays, which are such work."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from nicegui import ui

from bilstm.errors import BilstmError, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.plotting.charts import Chart
from bilstm.server.page import widgets
from bilstm.server.page.inputs import Request

MOST_WAITING = 8  # pieces of all visitors together
Result = TypeVar("Result")


class Background:
    """Where X-rays and reports are made, so that predictions go on."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout  # seconds after which nobody waits any more
        self.waiting = 0
        self._pieces: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # no pool: a process that ends waits for a pool's threads, however long a report takes
        threading.Thread(target=self._work, name="bilstm-background", daemon=True).start()

    async def run(self, work: Callable[[], Result], what: str) -> Result:
        """The result of work that makes a ``what``; BilstmError where too many wait, it fails or takes too long."""
        if self.waiting >= MOST_WAITING:
            message = f"expected at most {MOST_WAITING} X-rays or reports waiting, got one more"
            raise BilstmError(message, "try again in a moment")
        piece: Future[Result] = Future()
        running = asyncio.wrap_future(piece)
        self.waiting += 1
        running.add_done_callback(lambda _: setattr(self, "waiting", self.waiting - 1))
        self._pieces.put((piece, work))
        try:
            return await asyncio.wait_for(asyncio.shield(running), self.timeout)
        except TimeoutError:
            running.cancel()  # which helps if it has not begun
            message = f"expected the {what} within {self.timeout:g} seconds, got none"
            raise BilstmError(message, "give it less at once") from None
        except BilstmError:
            raise
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not make the %s", what)
            raise widgets.UNEXPECTED from None

    async def draw(
        self, place: ui.element, label: str, work: Callable[[], Result], what: str, draw: Callable[[Result], None]
    ) -> None:
        """Draw what comes of some work, or what went wrong, in a place that shows a label until then."""
        with place.clear(), ui.element("div").classes("row"):
            ui.spinner(size="1.4em")
            ui.label(label).classes("soft")
        try:
            show = partial(draw, await self.run(work, what))
        except BilstmError as error:
            show = partial(widgets.show_error, error)
        if not place.is_deleted:  # nobody has asked for anything else meanwhile
            with place.clear():
                show()

    def _work(self) -> None:
        while True:
            piece, work = self._pieces.get()
            if not piece.set_running_or_notify_cancel():
                continue
            try:
                piece.set_result(work())
            except BaseException as error:  # the thread goes on, whatever the work does
                piece.set_exception(error)


# --- X-rays, shown when asked for ------------------------------------------------------------------------------

FIRST = "Contributions"  # begins the titles of the charts that are shown at once
OUTPUTS = 12  # of a tagger, a forecaster, a transcriber: so many are explained
XRayCharts = tuple[str, list[str], list[Chart]]  # what it is measured against in words, notes, charts


class XRayView:
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
