"""X-rays on the page: made one at a time beside the predictions, shown when asked for.

Knows limits and places; what an X-ray is, bilstm.xray knows.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from nicegui import ui

from bilstm.charts import Chart
from bilstm.errors import BilstmError, DataWarning
from bilstm.server.page import parts
from bilstm.server.page.questions import Question

MOST_WAITING = 8  # X-rays of all visitors together
FIRST = "Contributions"  # begins the titles of the charts that are shown at once
OUTPUTS = 12  # of a tagger, a forecaster, a transcriber: so many are explained


class Seen(NamedTuple):
    """What an X-ray shows: what it is measured against in words, notes, charts."""

    against: str
    notes: list[str]
    charts: list[Chart]


class XRays:
    """Makes X-rays in a thread of its own, so that predictions go on.

    Args:
        timeout: seconds after which nobody waits any more.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.waiting = 0
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="x-ray")

    async def seen(self, model: Any, question: Question, row: int) -> Seen:
        """What the X-ray of one input shows.

        Raises:
            BilstmError: too many are waiting, or it takes too long; or the input cannot be explained.
        """
        if self.waiting >= MOST_WAITING:
            raise BilstmError(f"{self.waiting} X-rays are waiting already", "try again in a moment")
        work = asyncio.get_running_loop().run_in_executor(self.pool, functools.partial(_seen, model, question, row))
        self.waiting += 1
        work.add_done_callback(lambda _: setattr(self, "waiting", self.waiting - 1))
        try:
            return await asyncio.wait_for(asyncio.shield(work), self.timeout)
        except TimeoutError:
            work.cancel()  # which helps if it has not begun
            raise BilstmError(f"the X-ray was not ready in {self.timeout:g} s", "take a shorter input") from None


def _seen(model: Any, question: Question, row: int) -> Seen:
    from bilstm.xray import x_ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the prediction has told them
        found = x_ray(model, question.data, row=row, outputs=OUTPUTS)
    return Seen(found.against, found.notes, found.charts())


class Looking:
    """The card below a prediction in which its X-ray appears.

    Args:
        card: that card.
        x_rays: what makes them.
    """

    def __init__(self, card: ui.element, x_rays: XRays) -> None:
        self.card, self.x_rays = card, x_rays
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
            seen: Seen | BilstmError = await self.x_rays.seen(model, question, row)
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
