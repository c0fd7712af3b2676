"""Text for a classifier or a tagger: typed, pasted or uploaded."""

from __future__ import annotations

import re

from nicegui import ui

from bilstm.data.text import HAN
from bilstm.errors import DataError
from bilstm.server.page.inputs import Input
from bilstm.server.page.parts import side_button, text_box
from bilstm.server.page.questions import PLAIN_TEXTS, Question, question_of_texts, texts_of

EXAMPLES = {
    ("tagger", "Han"): "记者李小明报道，东山公司将在北京市开会。",
    ("tagger", ""): "Ann Keller of Northwind moved from Lisbon to Toronto last May.",
    ("classifier", "Han"): "这部电影非常好看，演员也很出色。",
    ("classifier", ""): "What a lovely surprise, I would see it again tomorrow!",
}


class TextInput(Input):
    """One text in the box, many in a file."""

    def draw(self, card: ui.element) -> None:
        """A box, an example, a file."""
        words = self.model.words_.words[:1000]
        han = sum(bool(re.match(f"[{HAN}]", word)) for word in words) > len(words) / 2
        self.example = EXAMPLES[self.model.task, "Han" if han else ""]
        self.box = text_box("Text", rows=6).props(f'placeholder="{self.example}" stack-label')
        self.box.on("keydown.ctrl.enter", self.submit)
        with self.buttons():
            side_button("Use the example", self._use_example)
            self.upload(card, "Upload texts", texts_of, PLAIN_TEXTS)
        ui.label("Ctrl + Enter predicts. A file holds a text on each line, or in a column of a table.").classes("soft")

    def question(self) -> Question:
        """The text in the box, whole."""
        text = str(self.box.value or "")
        if not text.strip():
            raise DataError("expected a text, got an empty box", "type or paste one, or use the example")
        return question_of_texts([text])

    async def _use_example(self) -> None:
        self.box.value = self.example
        await self.submit()
