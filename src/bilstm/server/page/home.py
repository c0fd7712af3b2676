"""Where the page meets the server: its address, its head, its content policy. Knows NiceGUI's application."""

from __future__ import annotations

import warnings
from pathlib import Path

from fastapi import FastAPI
from nicegui import Client, core, ui
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from bilstm.server.models import Models
from bilstm.server.page.aside import Aside
from bilstm.server.page.frame import Visit
from bilstm.server.problems import Refusal
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


def open_home(app: FastAPI, models: Models, settings: Settings) -> None:
    """See :func:`bilstm.server.page.mount`."""
    # starting up, NiceGUI looks at every object there is, and torch has one that warns of being looked at
    warnings.filterwarnings("ignore", message="`torch.distributed.reduce_op`", category=FutureWarning)
    aside = Aside(settings.timeout)

    ui.add_head_html(f"<script>{QUIET}</script>", shared=True)

    @ui.page("/", title="bilstm", favicon=FAVICON, language="en-US", dark=None)
    def home() -> None:
        ui.add_css((FOLDER / "style.css").read_text(encoding="utf-8"))
        Visit(models, settings, aside).draw()

    ui.run_with(
        app,
        title="bilstm",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=RECONNECT,
    )
    core.sio.eio.cors_allowed_origins = []  # NiceGUI lets every site read; who may ask, Callers has decided
    app.router.routes.pop()  # NiceGUI has put itself at every path that is left
    app.router.routes.append(Mount("/", Gate(core.app)))


class Gate:
    """Lets requests for the page and its parts through to NiceGUI; any other path is none of its.

    Args:
        app: NiceGUI's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket."""
        path: str = scope["path"]
        if path == "/" and len(Client.instances) >= MOST_TABS:
            message = f"expected at most {MOST_TABS} open tabs, got one more"
            raise Refusal(503, message, "try again in a minute", headers={"retry-after": "60"})
        if path in PATHS or path.startswith("/_nicegui"):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            raise HTTPException(404)
        else:
            await send({"type": "websocket.close", "code": 1008})
