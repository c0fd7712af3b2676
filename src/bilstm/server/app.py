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
from bilstm.server.addresses import Forwarded, address_of, path_of
from bilstm.server.errors import RequestError, as_request_error, error_response
from bilstm.server.middleware import Limits, Monitoring, route_of
from bilstm.server.models import Models, watch
from bilstm.server.routes import api_routes, docs_routes, route
from bilstm.server.settings import Settings

IDLE = 1.0  # seconds in which threads without work end


def create_app(models: Models, settings: Settings) -> Starlette:
    """The application for some models, which are closed when it ends; another application may mount it.

    The trap: an application that mounts it has to run its lifespan too, which looks at the files and begins the page::

        host = Starlette(routes=[Mount("/ml", app)], lifespan=lambda _: app.router.lifespan_context(app))

    The page keeps its state in the process, so that only one application of a process can have it.
    """
    app = Starlette(
        routes=[*api_routes(models, settings), *docs_routes(), *login_routes(settings)],
        middleware=[  # the first stands outermost
            Middleware(Forwarded, settings=settings),
            Middleware(Monitoring, settings=settings, metrics=models.metrics),
            Middleware(Limits, settings=settings),
            Middleware(AccessControl, settings=settings),
        ],
        exception_handlers={BilstmError: on_error, HTTPException: _on_http_exception},
        lifespan=_lifespan(models, settings),
    )
    app.router.redirect_slashes = False  # which leads to the Host that a proxy calls; see _on_http_exception
    app.state.ready = True  # its models are loaded
    if settings.page and find_spec("nicegui"):
        from bilstm.server.page.home import mount

        mount(app, models, settings)
    else:

        async def to_docs(request: Request) -> Response:
            return RedirectResponse(address_of(request.scope, "/docs"))

        app.router.routes.append(route("/", GET=to_docs))
    return app


def _lifespan(models: Models, settings: Settings) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await models.warm_up()
        watching = asyncio.create_task(watch(models, settings.watch)) if settings.watch else None
        try:
            yield
        finally:
            app.state.ready = False
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            await asyncio.to_thread(models.close, IDLE)  # all requests have their answers

    return lifespan


async def on_error(request: Request, error: Exception) -> Response:
    return error_response(as_request_error(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the router refuses, in the shape of all errors; a slash too many is taken away."""
    assert isinstance(error, HTTPException)
    path = path_of(request.scope).rstrip("/")
    if error.status_code == 404 and path_of(request.scope) == f"{path}/" and route_of(path) == path:
        return RedirectResponse(address_of(request.scope, path))
    phrase = HTTPStatus(error.status_code).phrase
    message, hint = f"expected another request, got one that is answered with {phrase}", None
    if error.status_code == 404:
        message, hint = "expected a page or a route of the API, got another path", "GET /docs lists the routes"
    return error_response(RequestError(error.status_code, message, hint, headers=dict(error.headers or {})))
