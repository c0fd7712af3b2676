"""The page in front of the API: a form for each kind of input, predictions, X-rays. Only this room knows NiceGUI.

NiceGUI has one application a process, and so has the page; a second server in one process has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bilstm.errors import from_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from bilstm.server.models import Models
    from bilstm.server.settings import Settings


def mount(app: FastAPI, models: Models, settings: Settings) -> None:
    """Put the page at ``/`` of an application, and what it needs under ``/_nicegui``.

    Args:
        app: of the server; its routes go before the page's.
        models: that can be asked.
        settings: limits, which hold for the page as for the API.

    Raises:
        ExtraError: nicegui is not installed.
    """
    from_extra("nicegui", "serve")
    from bilstm.server.page.home import open_home

    open_home(app, models, settings)
