"""The page around input and prediction: bar, model, tabs, light and dark; and what happens when somebody asks.

One Visit belongs to one open tab of a browser, and goes with it. Knows no task.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from bilstm.errors import BilstmError
from bilstm.server.models import Models, Served
from bilstm.server.page import parts
from bilstm.server.page.about import draw_once
from bilstm.server.page.answers import draw_answer
from bilstm.server.page.aside import Aside
from bilstm.server.page.forms import input_of
from bilstm.server.page.looking import Looking
from bilstm.server.page.questions import Question
from bilstm.server.problems import Refusal
from bilstm.server.settings import Settings

LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M4 11h19m-5-6 6 6-6 6" stroke="#0072b2" stroke-width="3.4" '
    'fill="none" stroke-linecap="round" stroke-linejoin="round"/><path d="M28 22H9m5 6-6-6 6-6" stroke="#d55e00" '
    'stroke-width="3.4" fill="none" stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
SIGN_OUT = '<form method="post" action="/logout"><button class="sign-out">Sign out</button></form>'
THEMES = [(None, "brightness_auto", "as the system"), (False, "light_mode", "light"), (True, "dark_mode", "dark")]
LOADED_ANEW = "The model was loaded anew since this page was drawn. This is its form now; please ask again."
TOGETHER = 100  # rows of a file that are predicted together


def theme_button() -> None:
    """A button that goes from the system's theme to light, to dark, and round again."""
    dark = ui.dark_mode(None)

    def turn() -> None:
        value, icon, told = THEMES[([theme[0] for theme in THEMES].index(dark.value) + 1) % len(THEMES)]
        dark.set_value(value)
        button.props(f'icon={icon} aria-label="Theme: {told}"')

    button = ui.button(on_click=turn, color=None).props(f"flat round icon={THEMES[0][1]}")
    button.props(f'aria-label="Theme: {THEMES[0][2]}"').classes("theme")


async def answers_to(question: Question, models: Models, name: str, together: int) -> list[Any]:
    """Predictions for all rows of a question, through the queue of a model, so many rows at a time.

    Raises:
        BilstmError: a row is wrong; named as the page names it.
    """
    answers: list[Any] = []
    for first in range(0, len(question.rows), together):
        try:
            answers += await models.predict(name, question.rows[first : first + together])
        except Refusal as refusal:
            raise renamed(refusal, question.names[first:]) from None
    return answers


def renamed(refusal: Refusal, names: list[str]) -> BilstmError:
    """A refusal of the API in the words of the page: rows by their names, columns as they are.

    Example:
        >>> renamed(Refusal(422, "expected a number, got 'x'", field="rows[0].rooms"), ["row 7"]).message
        "expected a number, got 'x' (row 7: rooms)"
    """

    def name_of(found: re.Match[str]) -> str:
        return names[int(found[1])] if int(found[1]) < len(names) else found[0]

    field = re.sub(r"^rows\[(\d+)\]", name_of, refusal.field or "")
    field = field.replace(".", ": ", 1) if refusal.field and "." in refusal.field else field
    message = re.sub(r"rows\[(\d+)\]", name_of, refusal.message).replace("(X)", f"({names[0]})")
    where = f" ({field})" if field and field not in message and field != "rows" else ""
    return BilstmError(message + where, refusal.hint)


class Visit:
    """One open tab.

    Args:
        models: those that can be asked.
        settings: of the server.
        aside: where X-rays and reports are made.
    """

    def __init__(self, models: Models, settings: Settings, aside: Aside) -> None:
        self.models, self.settings, self.aside = models, settings, aside
        self.number = 0  # of the latest question
        self.one_at_a_time = asyncio.Lock()

    # -- what is there -------------------------------------------------------------------------------------

    def draw(self) -> None:
        """The whole page."""
        names = self.models.names()
        self.name = names[0]
        with ui.header(fixed=False).classes("bar"), ui.element("div"):
            with ui.element("div").classes("brand"):
                ui.html(LOGO, sanitize=False)
                ui.label("bilstm")
            if len(names) > 1:
                choice = ui.select(names, label="Model", value=self.name, on_change=lambda e: self.choose(e.value))
                choice.props("outlined dense options-dense").classes("choice")
            ui.link("API", "/docs")
            theme_button()
            if self.settings.token is not None:
                ui.html(SIGN_OUT, sanitize=False)
        self.main = ui.element("div").classes("page")
        ui.skip_link(target=self.main)
        self.draw_model()

    def choose(self, name: str) -> None:
        """Another model: everything below the bar is drawn anew."""
        self.name = name
        self.draw_model()

    @property
    def served(self) -> Served:
        """The model as it is served now; it may have been loaded anew since the page was opened."""
        return self.models.get(self.name)

    def draw_model(self, note: str = "") -> None:
        """Heading, tabs and their contents for the chosen model; and a sentence about why they are new."""
        self.model = self.served.estimator
        self.main.clear()
        with self.main:
            parts.heading(1, self.name)
            parts.words("p", self.model.describe(), "lead")
            if note:
                parts.words("p", note, "note").props('role="status"')
            with ui.tabs().props("align=left no-caps inline-label") as tabs:
                predict, about = ui.tab("Predict"), ui.tab("About this model")
            with ui.tab_panels(tabs, value=predict, animated=False).props("keep-alive").style("width: 100%") as panels:
                with ui.tab_panel(predict):
                    self.draw_predict()
                with ui.tab_panel(about) as place:
                    pass
            panels.on_value_change(lambda: draw_once(place, self.served, self.settings, self.aside))

    def draw_predict(self) -> None:
        """Input beside prediction, the X-ray below."""
        with ui.element("div").classes("two"):
            with ui.element("section").classes("card").props('aria-label="Input"') as card:
                parts.heading(2, "Input")
                self.input = input_of(self.model, self.settings, self.ask, self.show_mistake)
                self.input.draw(card)
            with ui.element("section").classes("card").props('aria-label="Prediction"'):
                with ui.element("div").classes("row"):
                    parts.heading(2, "Prediction").classes("grow")
                    self.spinner = ui.spinner(size="1.4em").props('aria-label="Working"')
                    self.spinner.set_visibility(False)
                self.result = ui.element("div").classes("result").props('aria-live="polite"')
                with self.result:
                    parts.words("p", "What the model says will stand here.", "empty")
        inside = ui.element("section").classes("card").props('aria-label="X-ray"')
        self.looking = Looking(inside, self.aside)
        if self.input.is_ready:
            ui.timer(0.05, self.input.submit, once=True)

    # -- what happens --------------------------------------------------------------------------------------

    async def ask(self, make: Callable[[], Question]) -> None:
        """Put a question to the model and show what it says, or what is wrong; what was typed stays."""
        self.number += 1
        number = self.number
        async with self.one_at_a_time:
            question = await self.answer(make) if number == self.number else None  # nothing newer was asked meanwhile
        if question is not None and number == self.number:
            await self.looking.offer(self.model, question)

    async def answer(self, make: Callable[[], Question]) -> Question | None:
        """See :meth:`ask`; the question, where it was answered."""
        served = self.served
        if served.estimator is not self.model:
            self.draw_model(LOADED_ANEW)
            return None
        self.spinner.set_visibility(True)
        try:
            question = await asyncio.to_thread(make)
            answers = await answers_to(question, self.models, served.name, min(self.settings.rows, TOGETHER))
            if served.estimator is not self.model:  # another was chosen meanwhile
                return None
            if self.served is not served:
                self.draw_model(LOADED_ANEW)
                return None
            self.show_answer(question, answers)
            return question
        except BilstmError as error:
            self.show_mistake(error)
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not show a prediction")
            self.show_mistake(parts.UNFORESEEN)
        finally:
            self.spinner.set_visibility(False)
        return None

    def show_mistake(self, error: BilstmError) -> None:
        """A mistake in place of a prediction."""
        self.result.clear()
        self.looking.close()
        with self.result:
            parts.mistake(error)

    def show_answer(self, question: Question, answers: list[Any]) -> None:
        """Predictions; which of them is looked into can be chosen among them."""
        self.result.clear()
        with self.result:
            draw_answer(self.model, question, answers, partial(self.looking.offer, self.model, question))
