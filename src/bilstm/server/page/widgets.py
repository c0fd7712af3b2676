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

from bilstm.errors import BilstmError
from bilstm.plotting.charts import Chart

OPTIONS = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False, "responsive": True}
UNEXPECTED = BilstmError("this was not foreseen", "the log of the server says more")
TEMPLATE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(
    "predictions.jinja"
)


def card(name: str) -> ui.element:
    """A framed part of the page; the name is what a screen reader calls it."""
    return ui.element("section").classes("card").props(f'aria-label="{name}"')


def heading(level: int, content: str) -> ui.element:
    """A heading, h1 to h6."""
    return text(f"h{level}", content)


def text(tag: str, content: str, classes: str = "") -> ui.element:
    """An element that holds text, taken as it is and never as HTML."""
    return TextElement(tag=tag, text=content).classes(classes)


def primary_button(label: str, on_click: Callable[[], Any]) -> ui.button:
    """The one button of a card that does its work."""
    return ui.button(label, on_click=on_click, color=None).props("unelevated no-caps").classes("main-button")


def secondary_button(label: str, on_click: Callable[[], Any] | None = None) -> ui.button:
    """A button for what may be done besides."""
    return ui.button(label, on_click=on_click, color=None).props("flat no-caps").classes("side-button")


def text_box(label: str, value: str = "", *, rows: int = 5, mono: bool = False) -> ui.textarea:
    """A box for a text of several lines."""
    box = ui.textarea(label, value=value).props(f'outlined rows={rows} input-style="resize: vertical"')
    return box.classes("mono" if mono else "").style("width: 100%")


def toggle(choices: list[str], value: str, name: str) -> ui.toggle:
    """A switch between some choices; the name is what a screen reader calls it."""
    return ui.toggle(choices, value=value).props(f'no-caps unelevated aria-label="{name}"')


def busy(label: str) -> None:
    """A sign that something is being made."""
    with ui.element("div").classes("row"):
        ui.spinner(size="1.4em")
        ui.label(label).classes("soft")


def download_button(csv: str, name: str) -> ui.button:
    """A button that saves a table as CSV where the browser saves files."""
    return secondary_button("Download as CSV", lambda: ui.download.content(csv.encode(), name, "text/csv"))


def upload_button(
    label: str,
    on_file: Callable[[str, bytes], Awaitable[None]],
    on_failure: Callable[[str], None],
    *,
    card: ui.element,
    kinds: str,
    most_bytes: int,
) -> ui.upload:
    """A button that asks for a file, and the upload behind it; a file may also be dropped on a card.

    Args:
        label: of the button.
        on_file: called with the name and the content of the file.
        on_failure: called with a sentence where the file cannot be taken.
        card: takes files that are dropped on it.
        kinds: endings of files that are offered first, ``.csv,.tsv``.
        most_bytes: larger files are not sent.
    """

    async def on_upload(event: events.UploadEventArguments) -> None:
        upload.reset()
        await on_file(event.file.name or "file", await event.file.read())

    size = f"{most_bytes / 1e6:.3g} MB"
    upload = ui.upload(auto_upload=True, max_file_size=most_bytes, on_upload=on_upload)
    upload.on_rejected(lambda: on_failure(f"expected a file of at most {size} ({kinds}), got another one"))
    upload.on("failed", lambda: on_failure(f"the file was not taken; it may have at most {size}"), args=[])
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
    with ui.element("div").classes("wrong").props('role="alert"'):
        hint = f"<p>{_sentence(error.hint)}</p>" if error.hint else ""
        ui.html(f"<p><b>That did not work:</b> {html.escape(error.message)}.</p>{hint}", sanitize=True)


def _sentence(hint: str) -> str:
    """A hint as a sentence, escaped."""
    return html.escape(hint[:1].upper() + hint[1:] + ("" if hint.endswith((".", "?", "!")) else "."))


def draw_chart(chart: Chart) -> None:
    """An interactive chart with its title and its note."""
    with ui.element("figure").classes("chart"):
        note = f"<strong>{html.escape(chart.title)}</strong> {html.escape(chart.note)}"
        ui.html(note, sanitize=True, tag="figcaption")
        drawing = ui.plotly({**chart.figure, "config": OPTIONS})
        drawing.props["role"] = "img"
        drawing.props["aria-label"] = f"{chart.title}: {chart.note}"
        drawing.style(f"height: {chart.height}px")


def table(head: list[str], rows: list[list[str]], caption: str, numbers: list[int] | None = None) -> None:
    """A table; ``numbers`` are the columns that hold numbers."""
    draw_html("table", head, rows, caption, numbers or [])


def draw_html(piece: str, *values: Any) -> None:
    """A piece of the template, filled with values, which are escaped."""
    ui.html(rendered(piece, *values))


def rendered(piece: str, *values: Any) -> str:
    """HTML of one piece of the template.

    Example:
        >>> rendered("note", "a < b")
        '<p class="note">a &lt; b</p>'
    """
    return str(getattr(TEMPLATE.module, piece)(*values))
