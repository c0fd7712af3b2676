"""A sequence of vectors: rows of numbers, pasted or uploaded. Knows columns; what they mean the model knows."""

from __future__ import annotations

from nicegui import ui

from bilstm.server.page.inputs import Input
from bilstm.server.page.parts import text_box
from bilstm.server.page.questions import Question, as_csv, sequences_of_table

EXAMPLE_STEPS = 6


class SequenceInput(Input):
    """One sequence in the box, one or many in a file."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        """A box with steps that waver about the means of training."""
        columns = [column for column in self.model.features_.columns if column.kind != "left out"]
        rows = [
            [
                float(f"{column.mean + (-1) ** step * column.scale / 2:.3g}")
                if column.kind == "number"
                else (column.values[0] if column.values else None)
                for column in columns
            ]
            for step in range(EXAMPLE_STEPS)
        ]
        start = as_csv([column.name for column in columns], rows)
        self.box = text_box("CSV: the names of the columns, then a row for each step", start, rows=12, mono=True)
        self.box.on("keydown.ctrl.enter", self.submit)
        with self.buttons():
            self.upload(card, "Upload sequences", sequences_of_table)
        group = self.model.read_with_.get("group")
        told = f"A file with a column {group!r} holds many sequences; without it, one." if group else ""
        ui.label(f"The steps in the box are made up, near the mean of the training data. {told}").classes("soft")

    def question(self) -> Question:
        """The sequence in the box."""
        return sequences_of_table(self.model, "the pasted rows", str(self.box.value or "").encode())
