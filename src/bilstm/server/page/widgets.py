"""Small pieces that every part of the page is made of: buttons, uploads, boxes of text, charts, errors.

Knows how a piece looks and what a screen reader says of it; knows no model.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from nicegui import events, ui
from nicegui.elements.mixins.text_element import TextElement

from bilstm.errors import BilstmError, DataError
from bilstm.plotting.charts import Chart

OPTIONS = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False, "responsive": True}
UNEXPECTED = BilstmError("this was not foreseen", "the log of the server says more")
TEMPLATE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(
    "predictions.jinja"
)


def card(name: str) -> ui.element:
    """A framed part of the page; the name is what a screen reader calls it."""
    return ui.element("section").classes("card").props(f'aria-label="{name}"')


def text(tag: str, content: str, classes: str = "") -> ui.element:
    """An element that holds text, taken as it is and never as HTML."""
    return TextElement(tag=tag, text=content).classes(classes)


def primary_button(label: str, on_click: Callable[[], Any]) -> ui.button:
    return ui.button(label, on_click=on_click, color=None).props("unelevated no-caps").classes("main-button")


def secondary_button(label: str, on_click: Callable[[], Any] | None = None) -> ui.button:
    return ui.button(label, on_click=on_click, color=None).props("flat no-caps").classes("side-button")


def text_box(label: str, value: str = "", *, rows: int = 5, mono: bool = False) -> ui.textarea:
    box = ui.textarea(label, value=value).props(f'outlined rows={rows} input-style="resize: vertical"')
    return box.classes("mono" if mono else "").style("width: 100%")


def toggle(choices: list[str], value: str, name: str) -> ui.toggle:
    """A switch between some choices; the name is what a screen reader calls it."""
    return ui.toggle(choices, value=value).props(f'no-caps unelevated aria-label="{name}"')


def download_button(csv: str, name: str) -> ui.button:
    return secondary_button("Download as CSV", lambda: ui.download.content(csv.encode(), name, "text/csv"))


def upload_button(
    label: str,
    on_file: Callable[[str, bytes], Awaitable[None]],
    on_error: Callable[[BilstmError], None],
    *,
    card: ui.element,
    kinds: str,
    most_bytes: int,
    hint: str,
) -> ui.upload:
    """A button that asks for a file of some kinds (``.csv,.tsv``), and the upload behind it.

    A file may also be dropped on the card; ``on_file`` gets its name and its content. The hint tells what to do where
    a file cannot be taken.
    """

    async def on_upload(event: events.UploadEventArguments) -> None:
        upload.reset()
        await on_file(event.file.name or "file", await event.file.read())

    size = f"{most_bytes / 1e6:.3g} MB"
    rejected = DataError(f"expected a file of at most {size} ({kinds}), got another one", hint)
    failed = DataError(f"the file was not taken; it may have at most {size}", hint)
    upload = ui.upload(auto_upload=True, max_file_size=most_bytes, on_upload=on_upload)
    upload.on_rejected(lambda: on_error(rejected)).on("failed", lambda: on_error(failed), args=[])
    upload.props(f'accept="{kinds}"').classes("unseen").props('aria-hidden="true"')
    secondary_button(label).on("click", js_handler=f"() => getElement({upload.id}).$refs.qRef.pickFiles()")
    add, remove = (f"getElement({card.id}).classList.{what}('drop')" for what in ("add", "remove"))
    card.on("dragover", js_handler=f"(e) => {{ e.preventDefault(); {add}; }}")
    card.on("dragleave", js_handler=f"() => {{ {remove}; }}")
    take = f"getElement({upload.id}).$refs.qRef.addFiles(e.dataTransfer.files)"
    card.on("drop", js_handler=f"(e) => {{ e.preventDefault(); {remove}; {take}; }}")
    return upload


def show_error(error: BilstmError) -> None:
    """What went wrong and what to do, in the words of the package."""
    hint = error.hint or ""
    hint += "." if hint and not hint.endswith((".", "?", "!")) else ""
    with ui.element("div").classes("wrong").props('role="alert"'):
        draw_html("error", error.message, hint[:1].upper() + hint[1:])


def draw_chart(chart: Chart) -> None:
    with ui.element("figure").classes("chart"):
        note = f"<strong>{html.escape(chart.title)}</strong> {html.escape(chart.note)}"
        ui.html(note, sanitize=True, tag="figcaption")
        drawing = ui.plotly({**chart.figure, "config": OPTIONS}).style(f"height: {chart.height}px")
        drawing.props["role"] = "img"
        drawing.props["aria-label"] = f"{chart.title}: {chart.note}"


def draw_html(piece: str, *values: Any) -> None:
    """A piece of predictions.jinja, filled with values, which are escaped."""
    ui.html(str(getattr(TEMPLATE.module, piece)(*values)))
