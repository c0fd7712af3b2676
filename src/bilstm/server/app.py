"""The application: its routes, what stands before them, and its life from start to end.

Knows addresses; what models need to predict and callers may not do, others know.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bilstm.errors import BilstmError
from bilstm.server.bodies import rows_of
from bilstm.server.bounds import Bounds
from bilstm.server.callers import Callers
from bilstm.server.docs import docs_routes
from bilstm.server.forms.form import JSON
from bilstm.server.login import login_routes
from bilstm.server.models import Models, watch
from bilstm.server.openapi import document
from bilstm.server.outside import Outside
from bilstm.server.problems import Refusal, as_refusal, phrase, problem_response
from bilstm.server.routes import METHODS, route
from bilstm.server.settings import Settings


def create_app(models: Models, settings: Settings) -> FastAPI:
    """The application for some models.

    Args:
        models: loaded; they are closed when the application ends.
        settings: limits and choices.

    The trap: the page keeps its state in the process, so that only one application of a process can have it.
    """
    app = FastAPI(title="bilstm", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_life(models, settings))
    app.state.ready = False
    app.add_exception_handler(BilstmError, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.router.routes.extend([*_api_routes(app, models, settings), *docs_routes(), *login_routes(settings)])
    for layer, options in (  # the last one added stands outermost
        (Callers, {"settings": settings}),
        (Bounds, {"settings": settings}),
        (Outside, {"settings": settings, "metrics": models.metrics}),
    ):
        app.add_middleware(layer, **options)
    if settings.page and find_spec("nicegui") and find_spec("bilstm.server.page"):
        importlib.import_module("bilstm.server.page").mount(app, models, settings)
    else:
        app.router.routes.append(route("/", GET=_to_docs))
    return app


def _api_routes(app: FastAPI, models: Models, settings: Settings) -> list[Route]:
    described: tuple[int, bytes] = (-1, b"")

    async def predict(request: Request) -> Response:
        name = request.path_params["name"]
        rows = await rows_of(request, models.get(name).form.reads.media, settings)
        size = float(request.headers.get("content-length", math.inf))
        predictions = await models.predict(name, rows, size)
        return as_json({"predictions": predictions})

    async def all_models(request: Request) -> Response:
        return as_json({"models": [models.get(name).facts() for name in models.names()]})

    async def one_model(request: Request) -> Response:
        return as_json(models.get(request.path_params["name"]).facts())

    async def health(request: Request) -> Response:
        return as_json({"status": "ok"})

    async def ready(request: Request) -> Response:
        if not app.state.ready:
            raise Refusal(503, "expected models that are loaded, got a server that starts or ends")
        return as_json({"status": "ready"})

    async def figures(request: Request) -> Response:
        return Response(models.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def description(request: Request) -> Response:
        nonlocal described
        if described[0] != models.version:
            described = models.version, orjson.dumps(document(models, settings), option=orjson.OPT_NON_STR_KEYS)
        return Response(described[1], media_type=JSON)

    async def nothing(request: Request) -> Response:
        raise Refusal(404, "expected a route of the API, got another path", "GET /docs lists them")

    return [
        route("/v1/models/{name}/predict", POST=predict),
        route("/v1/models", GET=all_models),
        route("/v1/models/{name}", GET=one_model),
        route("/v1/{rest:path}", **dict.fromkeys(METHODS, nothing)),
        route("/healthz", GET=health),
        route("/readyz", GET=ready),
        route("/metrics", GET=figures),
        route("/openapi.json", GET=description),
    ]


def as_json(value: Any) -> Response:
    """An answer of JSON; numbers of float64 are written so that they read back the same."""
    return Response(orjson.dumps(value), media_type=JSON)


def _life(models: Models, settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            await models.warm_up()
        except Exception as error:
            app.state.failure = error  # uvicorn keeps it to itself
            raise
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

    return life


async def _to_docs(request: Request) -> Response:
    return RedirectResponse("/docs")


async def _refused(request: Request, error: Exception) -> Response:
    return problem_response(as_refusal(error))


async def _not_found(request: Request, error: Exception) -> Response:
    """What the router refuses, in the shape of all errors."""
    assert isinstance(error, HTTPException)
    message, hint = f"expected another request, got one that is answered with {phrase(error.status_code)}", None
    if error.status_code == 404:
        message, hint = "expected a page or a route of the API, got another path", "GET /docs lists the routes"
    return problem_response(Refusal(error.status_code, message, hint, headers=dict(error.headers or {})))
