"""Pieces of HTML from a template that escapes whatever it is given. Knows the template; knows no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

_TEMPLATE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("answers.jinja")


def rendered(piece: str, *values: Any) -> str:
    """HTML of one piece of the template.

    Example:
        >>> rendered("note", "a < b")
        '<p class="note">a &lt; b</p>'
    """
    return str(getattr(_TEMPLATE.module, piece)(*values))
