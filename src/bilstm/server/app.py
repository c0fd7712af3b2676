"""The application: its routes, its middleware, and its life from start to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from http import HTTPStatus
from importlib.util import find_spec

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bilstm.errors import BilstmError
from bilstm.server.access import AccessControl, login_routes
from bilstm.server.errors import RequestError, as_request_error, error_response
from bilstm.server.middleware import Limits, Monitoring
from bilstm.server.models import Models, watch
from bilstm.server.routes import api_routes, docs_routes, route
from bilstm.server.settings import Settings


def create_app(models: Models, settings: Settings) -> Starlette:
    """The application for some models, which are closed when it ends.

    The trap: the page keeps its state in the process, so that only one application of a process can have it.
    """
    app = Starlette(
        routes=[*api_routes(models, settings), *docs_routes(), *login_routes(settings)],
        middleware=[  # the first stands outermost
            Middleware(Monitoring, settings=settings, metrics=models.metrics),
            Middleware(Limits, settings=settings),
            Middleware(AccessControl, settings=settings),
        ],
        exception_handlers={BilstmError: on_error, HTTPException: _on_http_exception},
        lifespan=_lifespan(models, settings),
    )
    app.state.ready = False
    if settings.page and find_spec("nicegui"):
        from bilstm.server.page.home import mount

        mount(app, models, settings)
    else:

        async def to_docs(request: Request) -> Response:
            return RedirectResponse("/docs")

        app.router.routes.append(route("/", GET=to_docs))
    return app


def _lifespan(models: Models, settings: Settings) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await models.warm_up()
        watching = asyncio.create_task(watch(models, settings.watch)) if settings.watch else None
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            await asyncio.to_thread(models.close, settings.shutdown_timeout)

    return lifespan


async def on_error(request: Request, error: Exception) -> Response:
    return error_response(as_request_error(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the router refuses, in the shape of all errors."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    message, hint = f"expected another request, got one that is answered with {phrase}", None
    if error.status_code == 404:
        message, hint = "expected a page or a route of the API, got another path", "GET /docs lists the routes"
    return error_response(RequestError(error.status_code, message, hint, headers=dict(error.headers or {})))
