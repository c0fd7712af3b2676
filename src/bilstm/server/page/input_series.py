"""A series to go on from: the end of the training series, or newer values that are pasted or uploaded."""

from __future__ import annotations

from nicegui import ui

from bilstm.data.series import Series
from bilstm.errors import DataError
from bilstm.server.page.inputs import Input
from bilstm.server.page.parts import text_box
from bilstm.server.page.questions import (
    Question,
    as_csv,
    columns_of_series,
    question_of_series,
    series_of_table,
    written_series,
    written_times,
)

AFTER_TRAINING, NEWER = "After training", "After newer values"
MOST_CELLS = 4000  # of the end of training, to be shown in the box


class SeriesInput(Input):
    """The steps after training need no input."""

    button = "Forecast"
    is_ready = True

    def draw(self, card: ui.element) -> None:
        """A switch, and a box for newer values, which starts with the last of training."""
        known: Series = self.model.known_
        self.kind = ui.toggle([AFTER_TRAINING, NEWER], value=AFTER_TRAINING)
        self.kind.props('no-caps unelevated aria-label="Where the forecast starts"')
        last = written_times(known.known_times)[-1] if "time" in self.model.read_with_ else "its last step"
        of = "" if len(known) == 1 else f" of {len(known)} series"
        ui.label(f"Training{of} ended at {last}.").classes("soft").bind_visibility_from(
            self.kind, "value", value=AFTER_TRAINING
        )
        names = columns_of_series(self.model)
        rows = written_series(self.model, known) if known.steps.height * len(names) <= MOST_CELLS else []
        label = f"CSV: {', '.join(names)}; at least {self.model.history} steps"
        self.box = text_box(label, as_csv(names, rows), rows=12, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=NEWER)
        with self.buttons():
            self.upload(card, "Upload a series", series_of_table)

    def question(self) -> Question:
        """None of a series; or that in the box."""
        if self.kind.value == AFTER_TRAINING:
            return question_of_series(self.model, None)
        text = str(self.box.value or "")
        if not text.strip():
            raise DataError(
                "expected newer values, got an empty box", f"paste rows of {', '.join(columns_of_series(self.model))}"
            )
        return series_of_table(self.model, "the pasted rows", text.encode())
