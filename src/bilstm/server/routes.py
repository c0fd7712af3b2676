"""The routes of the API and of its description. Knows addresses; what models need to predict, others know."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bilstm.errors import ExtraError, from_extra
from bilstm.server.bodies import rows_of
from bilstm.server.errors import RequestError
from bilstm.server.formats.inputs import JSON
from bilstm.server.metrics import METHODS
from bilstm.server.models import Models
from bilstm.server.openapi import document
from bilstm.server.settings import Settings

Endpoint = Callable[[Request], Awaitable[Response]]


def route(path: str, **endpoints: Endpoint) -> Route:
    """A route with an endpoint for each method; other methods get 405 in the shape of all errors.

    Starlette's own 405 is not used: the page behind these routes takes every path, and would be asked first.

    Args:
        path: with its variable parts in braces.
        endpoints: by method: ``GET=…``, ``POST=…``; GET answers HEAD too.
    """
    allowed = sorted({*endpoints, *(("HEAD",) if "GET" in endpoints else ())})
    by_method = {"HEAD": endpoints.get("GET"), **endpoints}

    async def respond(request: Request) -> Response:
        endpoint = by_method.get(request.method)
        if endpoint is None:
            message = f"expected {' or '.join(allowed)}, got {request.method[:20]}"
            raise RequestError(405, message, headers={"allow": ", ".join(allowed)})
        return await endpoint(request)

    every_method = Route(path, respond)
    every_method.methods = None
    return every_method


def api_routes(models: Models, settings: Settings) -> list[Route]:
    """Predictions, facts about models, health and figures of the server."""
    described: tuple[int, bytes] = (-1, b"")  # version of the models, and their description

    async def predict(request: Request) -> Response:
        name = request.path_params["name"]
        rows = await rows_of(request, models.get(name).format.inputs.media, settings)
        size = float(request.headers.get("content-length", math.inf))
        return as_json({"predictions": await models.predict(name, rows, size)})

    async def all_models(request: Request) -> Response:
        return as_json({"models": [models.get(name).facts() for name in models.names()]})

    async def one_model(request: Request) -> Response:
        return as_json(models.get(request.path_params["name"]).facts())

    async def health(request: Request) -> Response:
        return as_json({"status": "ok"})

    async def ready(request: Request) -> Response:
        if not request.app.state.ready:
            raise RequestError(503, "expected models that are loaded, got a server that starts or ends")
        return as_json({"status": "ready"})

    async def metrics(request: Request) -> Response:
        return Response(models.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def description(request: Request) -> Response:
        nonlocal described
        if described[0] != models.version:
            described = models.version, orjson.dumps(document(models, settings), option=orjson.OPT_NON_STR_KEYS)
        return Response(described[1], media_type=JSON)

    async def not_found(request: Request) -> Response:
        raise RequestError(404, "expected a route of the API, got another path", "GET /docs lists them")

    return [
        route("/v1/models/{name}/predict", POST=predict),
        route("/v1/models", GET=all_models),
        route("/v1/models/{name}", GET=one_model),
        route("/v1/{rest:path}", **dict.fromkeys(METHODS, not_found)),
        route("/healthz", GET=health),
        route("/readyz", GET=ready),
        route("/metrics", GET=metrics),
        route("/openapi.json", GET=description),
    ]


def as_json(value: Any) -> Response:
    """A response of JSON; numbers of float64 are written so that they read back the same."""
    return Response(orjson.dumps(value), media_type=JSON)


# --- the description as a page: Swagger UI of the installed package, no script from elsewhere and none inline -----

OWN = Path(__file__).parent
FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "start.js": "text/javascript"}
CACHED = {"cache-control": "private, max-age=86400"}


def docs_routes() -> list[Route]:
    """``GET /docs`` and its three files."""

    async def show(request: Request) -> Response:
        return HTMLResponse((OWN / "docs.html").read_text(encoding="utf-8"))

    async def file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in FILES:
            raise RequestError(404, "expected a file of this page, got another name")
        try:
            return Response(_file_content(name), 200, CACHED, FILES[name])
        except (ExtraError, OSError) as error:
            raise RequestError(404, str(error), "pip install 'bilstm[serve]'") from None

    return [route("/docs", GET=show), route("/docs/{file}", GET=file)]


@functools.cache
def _file_content(name: str) -> bytes:
    if name == "start.js":
        return (OWN / "docs.js").read_bytes()
    from_extra("swagger_ui_bundle", "serve")
    folder = Path(importlib.import_module("swagger_ui_bundle").swagger_ui_path)
    return (folder / name).read_bytes()
