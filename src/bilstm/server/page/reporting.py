"""The report on the page: rows with their true targets come, figures and charts are shown. Measures nothing itself.

The whole report, with X-rays and how to make it again, is a file to be saved.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from bilstm.data.source import Source
from bilstm.errors import BilstmError, DataError
from bilstm.report.blocks import Block, Drawing, Heading, Section, Table, Text
from bilstm.report.page import measured_sections, report_html
from bilstm.server.models import Served
from bilstm.server.page import parts
from bilstm.server.page.aside import Aside
from bilstm.server.page.inputs import OVERHEAD
from bilstm.server.page.parts import rendered
from bilstm.server.page.questions import PLAIN_TABLES, read_content
from bilstm.server.settings import Settings

TAGGED = f".conll,.conllu,.txt,{PLAIN_TABLES}"
MOST_MEASURED = 20_000  # rows of a file; a report of more takes longer than anybody waits
BY_COMMAND = "Recordings lie in files beside their table: the command makes their report, bilstm report FILE DATA."


class Report:
    """The card in which a report appears.

    Args:
        served: the model.
        settings: of the server, for its limits.
        aside: where reports are made.
    """

    def __init__(self, served: Served, settings: Settings, aside: Aside) -> None:
        self.served, self.settings, self.aside = served, settings, aside

    def draw(self) -> None:
        """The card with its button; nothing is measured yet."""
        with ui.element("section").classes("card").props('aria-label="Report"') as card:
            parts.heading(2, "Report")
            if self.served.estimator.task == "transcriber":
                parts.words("p", BY_COMMAND, "soft")
                return
            parts.words("p", "How good is it on data that it has not seen? Give it rows with their true targets.")
            kinds = TAGGED if self.served.estimator.task == "tagger" else PLAIN_TABLES
            with ui.element("div").classes("row"):
                limit = max(self.settings.body - OVERHEAD, 1)
                upload = parts.upload_button("Upload a file", self.taken, self.failed, kinds=kinds, most_bytes=limit)
            parts.droppable(card, upload)
            self.place = ui.element("div").classes("result").props('aria-live="polite"')

    def failed(self, message: str) -> None:
        """A file that was not sent."""
        self.show_mistake(DataError(message, "choose a smaller file, or use the command line: bilstm report"))

    def show_mistake(self, error: BilstmError) -> None:
        """A mistake in place of a report."""
        self.place.clear()
        with self.place:
            parts.mistake(error)

    async def taken(self, name: str, content: bytes) -> None:
        """Measure the model on a file, and show what came out."""
        model = self.served.estimator
        self.place.clear()
        with self.place, ui.element("div").classes("row"):
            ui.spinner(size="1.4em")
            ui.label("Measuring …").classes("soft")
        try:
            data, sections = await self.aside.run(partial(_measured, model, name, content), "report")
        except BilstmError as error:
            self.show_mistake(error)
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not make a report")
            self.show_mistake(parts.UNFORESEEN)
        else:
            self.place.clear()
            with self.place:
                parts.words("p", f"Measured on {name}.", "soft")
                parts.side_button("Download the whole report", partial(self.save, model, data)).style(
                    "align-self: flex-start"
                )
                for section in sections:
                    _draw(section)

    async def save(self, model: Any, data: Any) -> None:
        """Make the whole report and let the browser save it."""
        ui.notify("The report with its X-rays is being made …")
        try:
            html = await self.aside.run(partial(report_html, model, data), "report")
        except BilstmError as error:
            ui.notify(error.message, type="negative")
        else:
            ui.download.content(html.encode(), f"{self.served.name}-report.html", "text/html")


def _measured(model: Any, name: str, content: bytes) -> tuple[Any, list[Section]]:
    def read(path: Path) -> Any:
        return replace(model.read(path, with_targets=True), source=Source(name))

    data = read_content(name, content, read, TAGGED if model.task == "tagger" else PLAIN_TABLES)
    rows = data.steps.height if model.task == "forecaster" else len(data)
    if rows > MOST_MEASURED:
        told = f"expected at most {MOST_MEASURED:,} rows to measure on the page, got {rows:,} ({name})"
        raise DataError(told, "use the command line: bilstm report MODEL FILE")
    return data, measured_sections(model, data)


def _draw(section: Section) -> None:
    """A section: its words, tables and charts; marked sentences stand in the whole report."""
    parts.heading(2, section.title)
    for block in section.blocks:
        _draw_block(block)


def _draw_block(block: Block) -> None:
    if isinstance(block, Text):
        parts.words("p", block.text, "note" if block.tone == "warning" else "")
    elif isinstance(block, Heading):
        parts.heading(3, block.text)
    elif isinstance(block, Drawing):
        parts.draw(block.chart)
    elif isinstance(block, Table):
        rows = [[f"{cell.text} {cell.small}".strip() for cell in row] for row in block.cells]
        figures: Sequence[int] = [column for column in range(len(block.head)) if column not in block.texts]
        parts.words("p", block.caption, "soft")
        ui.html(rendered("table", block.head, rows, block.caption, figures))
