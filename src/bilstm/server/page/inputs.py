"""The side of the page on which a person asks: what all kinds of input share, and which model has which.

A form draws itself and hands questions on; what becomes of them it does not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from bilstm.errors import BilstmError, DataError
from bilstm.server.page.parts import droppable, main_button, upload_button
from bilstm.server.page.questions import PLAIN_TABLES, Question

OVERHEAD = 64 * 2**10  # bytes of a body that are not the file in it
Ask = Callable[[Callable[[], Question]], Awaitable[None]]
Fail = Callable[[BilstmError], None]


class Input(ABC):
    """One kind of input.

    Args:
        model: the fitted estimator that is asked.
        settings: of the server, for its limits.
        ask: takes what makes a question, which may fail or take a while, and shows the answer.
        fail: shows a mistake.
    """

    button = "Predict"
    is_ready = False  # whether there is something to ask before anything was typed

    def __init__(self, model: Any, settings: Any, ask: Ask, fail: Fail) -> None:
        self.model, self.settings, self.ask, self.fail = model, settings, ask, fail

    @abstractmethod
    def draw(self, card: ui.element) -> None:
        """Draw the form into its card, which is the current place."""

    @abstractmethod
    def question(self) -> Question:
        """What is typed as a question.

        Raises:
            DataError: it is none.
        """

    async def submit(self) -> None:
        """Ask what is typed."""
        await self.ask(self.question)

    def buttons(self) -> ui.element:
        """The row of buttons below the form; its main one asks."""
        row = ui.element("div").classes("row")
        with row:
            main_button(self.button, self.submit)
        return row

    def upload(
        self, card: ui.element, text: str, read: Callable[[Any, str, bytes], Question], kinds: str = PLAIN_TABLES
    ) -> None:
        """A button for files, which may be dropped on the card too; a file is asked at once."""

        async def taken(name: str, content: bytes) -> None:
            await self.ask(lambda: read(self.model, name, content))

        def failed(message: str) -> None:
            self.fail(DataError(message, "choose a smaller file, or ask with the command line: bilstm predict"))

        limit = max(self.settings.body - OVERHEAD, 1)
        droppable(card, upload_button(text, taken, failed, kinds=kinds, most_bytes=limit))
