"""The tab about a model: what training did, how it was measured, how it was set; and a report on data of the visitor's.

Draws the blocks of ``bilstm.report``, and measures nothing itself. The whole report is a file to be saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, singledispatch
from pathlib import Path

from nicegui import ui

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.source import Source
from bilstm.errors import BilstmError, DataError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.formatting import number
from bilstm.report.blocks import Block, Drawing, Facts, Heading, Section, Table, Text
from bilstm.report.facts import learned_from, settings, training
from bilstm.report.page import measured_sections, report_html
from bilstm.server.models import Served
from bilstm.server.page import widgets
from bilstm.server.page.background import Background
from bilstm.server.page.inputs import PLAIN_TABLES, most_bytes, read_content
from bilstm.server.settings import Settings

MOST_MEASURED = 20_000  # rows of a file; a report of more takes longer than anybody waits


def draw_about(served: Served, server: Settings, background: Background) -> None:
    """Loss curves, figures of the validation part, facts, settings, and a report on new data."""
    estimator = served.estimator
    with ui.element("div").classes("two"):
        with widgets.card("Training"):
            widgets.text("h2", "Training")
            _draw_blocks(training(estimator.history_)[:2])  # the summary and the losses
        with widgets.card("Figures"):
            widgets.text("h2", "Figures of the validation part")
            if estimator.metrics_:
                widgets.text("p", "Training stopped and chose by this part, so that it flatters a little.", "soft")
                rows = [[name, number(value)] for name, value in estimator.metrics_.items()]
                widgets.draw_html("table", ["figure", "value"], rows, "Figures of the validation part", [1])
            else:
                widgets.text("p", "No rows were set aside in training, so there are none.", "empty")
    with widgets.card("Facts"):
        widgets.text("h2", "Facts")
        weights = sum(weight.numel() for weight in estimator.network_.parameters())
        targets = ", ".join(estimator.target_names_)
        facts = [("task", estimator.task), ("targets", targets), ("weights", number(weights))]
        _draw_facts([*facts, *learned_from(estimator).pairs])
        with ui.expansion("All parameters").props("dense").style("width: 100%"):
            _draw_blocks(settings(estimator))
    draw_report(served, server, background)


# --- a report on a file -------------------------------------------------------------------------------------


@singledispatch
def measured_files(estimator: BiLSTMEstimator) -> str:
    """Endings of files with their targets that can be measured on the page; none where that takes a folder of files."""
    return PLAIN_TABLES


@measured_files.register
def _(estimator: BiLSTMTagger) -> str:
    return f".conll,.conllu,.txt,{PLAIN_TABLES}"


@measured_files.register
def _(estimator: BiLSTMTranscriber) -> str:
    return ""


def draw_report(served: Served, settings: Settings, background: Background) -> None:
    """The card in which a report appears, with its button; nothing is measured yet."""
    estimator, kinds = served.estimator, measured_files(served.estimator)

    async def measure(name: str, content: bytes) -> None:
        await background.draw(place, "Measuring …", partial(measured, estimator, name, content), "report", show)

    def show(result: tuple[Dataset, list[Section]]) -> None:
        data, sections = result
        widgets.text("p", f"Measured on {data.source}.", "soft")
        button = widgets.secondary_button("Download the whole report", partial(save, data))
        button.style("align-self: flex-start")
        for section in sections:
            widgets.text("h2", section.title)
            _draw_blocks(section.blocks)

    def fail(error: BilstmError) -> None:
        with place.clear():
            widgets.show_error(error)

    async def save(data: Dataset) -> None:
        ui.notify("The report with its X-rays is being made …")
        try:
            html = await background.run(partial(report_html, estimator, data), "report")
        except BilstmError as error:
            ui.notify(error.message, type="negative")
        else:
            ui.download.content(html.encode(), f"{served.name}-report.html", "text/html")

    with widgets.card("Report") as card:
        widgets.text("h2", "Report")
        if not kinds:
            command = "the command makes their report, bilstm report FILE DATA."
            widgets.text("p", f"Recordings lie in files beside their table: {command}", "soft")
            return
        widgets.text("p", "How good is it on data that it has not seen? Give it rows with their true targets.")
        with ui.element("div").classes("row"):
            hint, limit = "choose a smaller file, or use the command line: bilstm report", most_bytes(settings)
            widgets.upload_button("Upload a file", measure, fail, card=card, kinds=kinds, most_bytes=limit, hint=hint)
        place = ui.element("div").classes("result").props('aria-live="polite"')


def measured(estimator: BiLSTMEstimator, name: str, content: bytes) -> tuple[Dataset, list[Section]]:
    """The data of a file, and what a report says of them."""

    def read(path: Path) -> Dataset:
        return replace(estimator.read(path, with_targets=True), source=Source(name))

    data = read_content(name, content, read, measured_files(estimator))
    rows = data.steps.height if isinstance(data, Series) else len(data)
    if rows > MOST_MEASURED:
        message = f"expected at most {MOST_MEASURED:,} rows to measure on the page, got {rows:,} ({name})"
        raise DataError(message, "use the command line: bilstm report MODEL FILE")
    return data, measured_sections(estimator, data)


def _draw_blocks(blocks: list[Block]) -> None:
    """Words, tables and charts; marked sentences stand in the whole report."""
    for block in blocks:
        if isinstance(block, Text):
            widgets.text("p", block.text, "note" if block.tone == "warning" else "")
        elif isinstance(block, Heading):
            widgets.text("h3", block.text)
        elif isinstance(block, Drawing):
            widgets.draw_chart(block.chart)
        elif isinstance(block, Facts):
            _draw_facts(block.pairs)
        elif isinstance(block, Table):
            rows = [[f"{cell.text} {cell.small}".strip() for cell in row] for row in block.cells]
            figures = [column for column in range(len(block.head)) if column not in block.texts]
            widgets.text("p", block.caption, "soft")
            widgets.draw_html("table", list(block.head), rows, block.caption, figures)


def _draw_facts(pairs: Sequence[tuple[str, str]]) -> None:
    widgets.draw_html("table", ["fact", "value"], [list(pair) for pair in pairs], "Facts about the model")
