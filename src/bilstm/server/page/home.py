"""Where the page meets the server: its address, its head, its limits. Knows NiceGUI's application."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from nicegui import Client, core, ui
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from bilstm.server.errors import RequestError
from bilstm.server.models import Models
from bilstm.server.page.background import Background
from bilstm.server.page.visit import Visit
from bilstm.server.settings import Settings

# seconds after which a tab that is silent counts as closed; with NiceGUI's three, a busy machine empties open tabs
RECONNECT = 30.0
# tabs at a time: each is kept for a minute even if nobody opens its websocket, so that a loop of requests would add up
MOST_TABS = 300
PATHS = ("/", "/favicon.ico")
FOLDER = Path(__file__).parent
FAVICON = (
    '<svg viewBox="0 0 32 32" xmlns="http://www.w3.org/2000/svg"><path d="M4 11h19m-5-6 6 6-6 6" stroke="#0072b2" '
    'stroke-width="4" fill="none"/><path d="M28 22H9m5 6-6-6 6-6" stroke="#d55e00" stroke-width="4" fill="none"/></svg>'
)

# NiceGUI's charts ask plotly to fit them to their place also when that has just been taken away
QUIET = """addEventListener('unhandledrejection', (event) => {
  if (String(event.reason?.message ?? event.reason).startsWith('Resize must be passed')) event.preventDefault();
});"""


def mount(app: Starlette, models: Models, settings: Settings) -> None:
    """Put the page at ``/`` of an application, and what it needs under ``/_nicegui``."""
    # starting up, NiceGUI looks at every object there is, and torch has one that warns of being looked at
    warnings.filterwarnings("ignore", message="`torch.distributed.reduce_op`", category=FutureWarning)
    background = Background(settings.timeout)

    ui.add_head_html(f"<script>{QUIET}</script>", shared=True)

    @ui.page("/", title="bilstm", favicon=FAVICON, language="en-US", dark=None)
    def home() -> None:
        ui.add_css((FOLDER / "style.css").read_text(encoding="utf-8"))
        Visit(models, settings, background).draw()

    host = FastAPI(openapi_url=None)  # NiceGUI asks for one; of it only start and end are used
    ui.run_with(
        host, title="bilstm", favicon=FAVICON, dark=None, language="en-US", tailwind=False, reconnect_timeout=RECONNECT
    )
    core.sio.eio.cors_allowed_origins = []  # NiceGUI lets every site read; who may ask, AccessControl has decided
    app.router.routes.append(Mount("/", Gate(core.app)))
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with host.router.lifespan_context(host), inner(app):
            yield

    app.router.lifespan_context = lifespan


class Gate:
    """Lets requests for the page and its parts through to NiceGUI; any other path is none of its."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/" and len(Client.instances) >= MOST_TABS:
            message = f"expected at most {MOST_TABS} open tabs, got one more"
            raise RequestError(503, message, "try again in a minute", headers={"retry-after": "60"})
        if path in PATHS or path.startswith("/_nicegui"):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            raise HTTPException(404)
        else:
            await send({"type": "websocket.close", "code": 1008})
