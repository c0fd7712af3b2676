"""A table's row as a form with a field for each column, or a table to be pasted or uploaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from nicegui import ui

from bilstm.data.dataset import Dataset
from bilstm.data.encoders import Column
from bilstm.server.forms.records import usual
from bilstm.server.page.inputs import Input
from bilstm.server.page.parts import text_box
from bilstm.server.page.questions import Question, as_csv, rows_of_table

MOST_FIELDS = 60  # columns; more are pasted or uploaded
FIELDS, PASTE = "Fields", "Paste rows"


class TableInput(Input):
    """Numbers start at the mean of training, categories at the first of them."""

    is_ready = True

    def draw(self, card: ui.element) -> None:
        """Fields, and behind a switch a box for CSV."""
        self.columns = [column for column in self.model.features_.columns if column.kind != "left out"]
        self.fields: dict[str, Any] = {}
        has_fields = len(self.columns) <= MOST_FIELDS
        self.kind = ui.toggle([FIELDS, PASTE], value=FIELDS if has_fields else PASTE)
        self.kind.props('no-caps unelevated aria-label="How to give the row"').set_visibility(has_fields)
        if has_fields:
            with ui.element("div").classes("fields").bind_visibility_from(self.kind, "value", value=FIELDS):
                for column in self.columns:
                    self.fields[column.name] = self._field(column)
        row = [usual(column) for column in self.columns]
        start = as_csv([column.name for column in self.columns], [row])
        self.box = text_box("CSV: the names of the columns, then rows", start, rows=6, mono=True)
        self.box.bind_visibility_from(self.kind, "value", value=PASTE)
        with self.buttons():
            self.upload(card, "Upload a table", rows_of_table)
        told = (
            "Fields start at the mean of the training data, which the X-ray measures from: change some. "
            if has_fields
            else ""
        )
        ui.label(f"{told}An empty field is a value that is not known.").classes("soft")

    def question(self) -> Question:
        """The row in the fields, or the rows in the box."""
        if self.kind.value == PASTE:
            return rows_of_table(self.model, "the pasted rows", str(self.box.value or "").encode())
        row = {column.name: _value(column, self.fields[column.name].value) for column in self.columns}
        kinds = {column.name: pl.Float64 if column.kind == "number" else pl.String for column in self.columns}
        data = Dataset(pl.DataFrame([row], schema=kinds), np.ones(1, dtype=np.int64), source="the form")
        return Question([row], ["this row"], data)

    def _field(self, column: Column) -> ui.element:
        if column.kind == "number":
            field = ui.number(column.name, value=usual(column)).props('outlined dense step="any"')
            return field.on("keydown.enter", self.submit)
        return ui.select(column.values, label=column.name, value=usual(column), clearable=True).props(
            "outlined dense options-dense"
        )


def _value(column: Column, value: Any) -> Any:
    """What a field holds, as a row of the API holds it."""
    if value is None or value == "":
        return None
    return float(value) if column.kind == "number" else str(value)
