"""Small pieces that every part of the page is made of: buttons, uploads, boxes of text, charts, mistakes.

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

from bilstm.errors import BilstmError
from bilstm.plotting.charts import Chart

OPTIONS = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False, "responsive": True}
UNFORESEEN = BilstmError("this was not foreseen", "the log of the server says more")
Taken = Callable[[str, bytes], Awaitable[None]]


def heading(level: int, text: str) -> ui.element:
    """A heading, h1 to h6."""
    return words(f"h{level}", text)


def words(tag: str, text: str, classes: str = "") -> ui.element:
    """An element that holds text, taken as it is and never as HTML."""
    return TextElement(tag=tag, text=text).classes(classes)


def main_button(text: str, on_click: Callable[[], Any]) -> ui.button:
    """The one button of a card that does its work."""
    return ui.button(text, on_click=on_click, color=None).props("unelevated no-caps").classes("main-button")


def side_button(text: str, on_click: Callable[[], Any] | None = None) -> ui.button:
    """A button for what may be done besides."""
    return ui.button(text, on_click=on_click, color=None).props("flat no-caps").classes("side-button")


def text_box(label: str, value: str = "", *, rows: int = 5, mono: bool = False) -> ui.textarea:
    """A box for a text of several lines."""
    box = ui.textarea(label, value=value).props(f'outlined rows={rows} input-style="resize: vertical"')
    return box.classes("mono" if mono else "").style("width: 100%")


def download_button(table: str, name: str) -> ui.button:
    """A button that saves a table of CSV where the browser saves files."""
    return side_button("Download as CSV", lambda: ui.download.content(table.encode(), name, "text/csv"))


def upload_button(text: str, taken: Taken, failed: Callable[[str], None], *, kinds: str, most_bytes: int) -> ui.upload:
    """A button that asks for a file, and the upload behind it.

    Args:
        text: on the button.
        taken: called with the name and the content of the file.
        failed: called with a sentence where the file cannot be taken.
        kinds: endings of files that are offered first, ``.csv,.tsv``.
        most_bytes: larger files are not sent.
    """

    async def arrived(event: events.UploadEventArguments) -> None:
        upload.reset()
        await taken(event.file.name or "file", await event.file.read())

    size = f"{most_bytes / 1e6:.3g} MB"
    upload = ui.upload(auto_upload=True, max_file_size=most_bytes, on_upload=arrived)
    upload.on_rejected(lambda: failed(f"expected a file of at most {size} ({kinds}), got another one"))
    upload.on("failed", lambda: failed(f"the file was not taken; it may have at most {size}"), args=[])
    upload.props(f'accept="{kinds}"').classes("unseen").props('aria-hidden="true"')
    button = side_button(text)
    button.on("click", js_handler=f"() => getElement({upload.id}).$refs.qRef.pickFiles()")
    return upload


def droppable(card: ui.element, upload: ui.upload) -> None:
    """Files that are dropped on a card go to its upload."""
    add, remove = (f"getElement({card.id}).classList.{what}('drop')" for what in ("add", "remove"))
    card.on("dragover", js_handler=f"(e) => {{ e.preventDefault(); {add}; }}")
    card.on("dragleave", js_handler=f"() => {{ {remove}; }}")
    take = f"getElement({upload.id}).$refs.qRef.addFiles(e.dataTransfer.files)"
    card.on("drop", js_handler=f"(e) => {{ e.preventDefault(); {remove}; {take}; }}")


def mistake(error: BilstmError) -> None:
    """What went wrong and what to do, in the words of the package."""
    with ui.element("div").classes("wrong").props('role="alert"'):
        hint = f"<p>{_sentence(error.hint)}</p>" if error.hint else ""
        ui.html(f"<p><b>That did not work:</b> {html.escape(error.message)}.</p>{hint}", sanitize=True)


def _sentence(text: str) -> str:
    """A hint as a sentence, escaped."""
    return html.escape(text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else "."))


def draw(chart: Chart) -> None:
    """An interactive chart with its title and its note."""
    with ui.element("figure").classes("chart"):
        note = f"<strong>{html.escape(chart.title)}</strong> {html.escape(chart.note)}"
        ui.html(note, sanitize=True, tag="figcaption")
        drawing = ui.plotly({**chart.figure, "config": OPTIONS})
        drawing.props["role"] = "img"
        drawing.props["aria-label"] = f"{chart.title}: {chart.note}"
        drawing.style(f"height: {chart.height}px")


_TEMPLATE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("answers.jinja")


def rendered(piece: str, *values: Any) -> str:
    """HTML of one piece of the template.

    Example:
        >>> rendered("note", "a < b")
        '<p class="note">a &lt; b</p>'
    """
    return str(getattr(_TEMPLATE.module, piece)(*values))
