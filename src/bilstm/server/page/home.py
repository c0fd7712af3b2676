"""The page: where it meets the server, and one open tab of a browser with all that happens in it.

Knows NiceGUI's application; how inputs, predictions and X-rays look, others know.
"""

from __future__ import annotations

import asyncio
import logging
import re
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from nicegui import Client, core, ui
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from bilstm.errors import BilstmError
from bilstm.server.addresses import address_of, path_of
from bilstm.server.errors import RequestError
from bilstm.server.models import Models, Served
from bilstm.server.page import widgets
from bilstm.server.page.about import draw_about
from bilstm.server.page.background import Background, XRayView
from bilstm.server.page.inputs import Request, input_form
from bilstm.server.page.predictions import draw_predictions
from bilstm.server.settings import Settings

# seconds after which a tab that is silent counts as closed; with NiceGUI's three, a busy machine empties open tabs
RECONNECT = 30.0
# tabs at a time: each is kept for a minute even if nobody opens its websocket, so that a loop of requests would add up
MOST_TABS = 300
LOGO = Path(__file__).with_name("logo.svg").read_text(encoding="utf-8").strip()


def mount(app: Starlette, models: Models, settings: Settings) -> None:
    """Put the page at ``/`` of an application, and what it needs under ``/_nicegui``."""
    # starting up, NiceGUI looks at every object there is, and torch has one that warns of being looked at
    warnings.filterwarnings("ignore", message="`torch.distributed.reduce_op`", category=FutureWarning)
    background = Background(settings.timeout)

    ui.add_head_html(f"<script>{Path(__file__).with_name('page.js').read_text(encoding='utf-8')}</script>", shared=True)

    @ui.page("/", title="bilstm", favicon=LOGO, language="en-US", dark=None)
    def home() -> None:
        ui.add_css(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
        Visit(models, settings, background).draw()

    host = FastAPI(openapi_url=None)  # NiceGUI asks for one; of it only start and end are used
    ui.run_with(
        host, title="bilstm", favicon=LOGO, dark=None, language="en-US", tailwind=False, reconnect_timeout=RECONNECT
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
    """Lets requests for the page and its parts through to NiceGUI; any other path is none of its.

    HEAD asks for the page without opening a tab, and is unknown to some of its parts: those see a GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, is_head = path_of(scope), scope.get("method") == "HEAD"
        if path == "/" and is_head:
            await StreamingResponse(iter(()), media_type="text/html")(scope, receive, send)
            return
        if path == "/" and len(Client.instances) >= MOST_TABS:
            message = f"expected at most {MOST_TABS} open tabs, got one more"
            raise RequestError(503, message, "try again in a minute", headers={"retry-after": "60"})
        if path in ("/", "/favicon.ico") or path.startswith("/_nicegui"):
            if path.startswith("/_nicegui/"):  # files, which NiceGUI lets browsers keep where it sees no prefix
                scope = {**scope, "path": path, "root_path": ""}
            await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)
        elif scope["type"] == "http":
            raise HTTPException(404)
        else:
            await send({"type": "websocket.close", "code": 1008})


# --- one open tab --------------------------------------------------------------------------------------------

SIGN_OUT = '<form method="post" action="{}"><button class="sign-out">Sign out</button></form>'
THEMES = [(None, "brightness_auto", "as the system"), (False, "light_mode", "light"), (True, "dark_mode", "dark")]
LOADED_ANEW = "The model was loaded anew since this page was drawn. This is its form now; please ask again."
TOGETHER = 100  # rows of a file that are predicted together


def theme_button() -> None:
    dark = ui.dark_mode(None)

    themes = cycle(THEMES)

    def turn() -> None:
        value, icon, name = next(themes)
        dark.set_value(value)
        button.props(f'icon={icon} aria-label="Theme: {name}"')

    button = ui.button(on_click=turn, color=None).props("flat round").classes("theme")
    turn()


async def predict(request: Request, models: Models, name: str, together: int) -> list[Any]:
    """Predictions for all rows of a request, through the queue of a model, so many rows at a time."""
    predictions: list[Any] = []
    for first in range(0, len(request.rows), together):
        try:
            predictions += await models.predict(name, request.rows[first : first + together])
        except RequestError as error:
            raise renamed(error, request.names[first:]) from None
    return predictions


def renamed(error: RequestError, names: list[str]) -> BilstmError:
    """An error of the API in the words of the page: rows by their names, columns as they are.

    Example:
        >>> renamed(RequestError(422, "expected a number, got 'x'", field="rows[0].rooms"), ["row 7"]).message
        "expected a number, got 'x' (row 7: rooms)"
    """

    def name_of(match: re.Match[str]) -> str:
        return names[int(match[1])] if int(match[1]) < len(names) else match[0]

    field = re.sub(r"^rows\[(\d+)\]", name_of, error.field or "")
    field = field.replace(".", ": ", 1) if error.field and "." in error.field else field
    message = re.sub(r"rows\[(\d+)\]", name_of, error.message).replace("(X)", f"({names[0]})")
    where = f" ({field})" if field and field not in message and field != "rows" else ""
    return BilstmError(message + where, error.hint)


class Visit:
    def __init__(self, models: Models, settings: Settings, background: Background) -> None:
        self.models, self.settings, self.background = models, settings, background
        self.number = 0  # of the latest request
        self.one_at_a_time = asyncio.Lock()

    # -- what is there -------------------------------------------------------------------------------------

    def draw(self) -> None:
        names = self.models.names()
        self.name = names[0]
        with ui.header(fixed=False).classes("bar"), ui.element("div"):
            with ui.element("div").classes("brand"):
                ui.html(LOGO, sanitize=False)
                ui.label("bilstm")
            if len(names) > 1:
                choice = ui.select(names, label="Model", value=self.name, on_change=lambda e: self.draw_model(e.value))
                choice.props("outlined dense options-dense").classes("choice")
            ui.link("API", "/docs")
            theme_button()
            if self.settings.token is not None:
                request = ui.context.client.request
                ui.html(SIGN_OUT.format(address_of(request.scope, "/logout")), sanitize=False)
        self.main = ui.element("div").classes("page")
        ui.skip_link(target=self.main)
        self.draw_model(self.name)

    @property
    def served(self) -> Served:
        """The model as it is served now; it may have been loaded anew since the page was opened."""
        return self.models.get(self.name)

    def draw_model(self, name: str, note: str = "") -> None:
        """Everything below the bar for a model; and a sentence about why it is new."""
        self.name = name
        self.estimator = self.served.estimator
        with self.main.clear():
            widgets.text("h1", self.name)
            widgets.text("p", self.estimator.describe(), "lead")
            if note:
                widgets.text("p", note, "note").props('role="status"')
            with ui.tabs().props("align=left no-caps inline-label") as tabs:
                tab, about = ui.tab("Predict"), ui.tab("About this model")
            with ui.tab_panels(tabs, value=tab, animated=False).props("keep-alive").style("width: 100%") as panels:
                with ui.tab_panel(tab):
                    self.draw_predict()
                with ui.tab_panel(about) as place:
                    pass

            def open_about() -> None:
                if not place.default_slot.children:
                    with place:
                        draw_about(self.served, self.settings, self.background)

            panels.on_value_change(open_about)

    def draw_predict(self) -> None:
        with ui.element("div").classes("two"):
            with widgets.card("Input") as card:
                widgets.text("h2", "Input")
                form = input_form(self.estimator, self.settings, self.ask, self.show_error)
                form.draw(card)
            with widgets.card("Prediction"):
                with ui.element("div").classes("row"):
                    widgets.text("h2", "Prediction").classes("grow")
                    self.spinner = ui.spinner(size="1.4em").props('aria-label="Working"')
                    self.spinner.set_visibility(False)
                self.result = ui.element("div").classes("result").props('aria-live="polite"')
                with self.result:
                    widgets.text("p", "What the model says will stand here.", "empty")
        self.xray = XRayView(widgets.card("X-ray"), self.background)
        if form.is_ready:
            ui.timer(0.05, form.submit, once=True)

    # -- what happens --------------------------------------------------------------------------------------

    async def ask(self, make: Callable[[], Request]) -> None:
        """Ask the model and show what it predicts, or what is wrong; what was typed stays."""
        self.number += 1
        number = self.number
        async with self.one_at_a_time:
            request = await self.answer(make) if number == self.number else None  # nothing newer was asked meanwhile
        if request is not None and number == self.number:
            await self.xray.offer(self.estimator, request)

    async def answer(self, make: Callable[[], Request]) -> Request | None:
        """See :meth:`ask`; the request, where it was answered."""
        served = self.served
        if served.estimator is not self.estimator:
            self.draw_model(self.name, LOADED_ANEW)
            return None
        self.spinner.set_visibility(True)
        try:
            request = await asyncio.to_thread(make)
            predictions = await predict(request, self.models, served.name, min(self.settings.rows, TOGETHER))
            if served.estimator is not self.estimator:  # another was chosen meanwhile
                return None
            if self.served is not served:
                self.draw_model(self.name, LOADED_ANEW)
                return None
            on_pick = partial(self.xray.offer, self.estimator, request)
            with self.result.clear():
                draw_predictions(self.estimator, request, predictions, on_pick)
            return request
        except BilstmError as error:
            self.show_error(error)
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not show a prediction")
            self.show_error(widgets.UNEXPECTED)
        finally:
            self.spinner.set_visibility(False)
        return None

    def show_error(self, error: BilstmError) -> None:
        self.result.clear()
        self.xray.close()
        with self.result:
            widgets.show_error(error)
