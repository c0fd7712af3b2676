"""The routes of the API and of its description, and what stands in bodies: JSON, sound, or parts of a form.

Knows addresses and kinds of bodies; what rows mean and what models need to predict, others know.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bilstm.errors import ExtraError, did_you_mean, from_extra
from bilstm.server.addresses import address_of
from bilstm.server.errors import RequestError, invalid
from bilstm.server.formats.inputs import JSON, MULTIPART
from bilstm.server.formats.values import LIKELY, kind_of
from bilstm.server.metrics import METHODS
from bilstm.server.models import Models
from bilstm.server.openapi import document
from bilstm.server.settings import LARGE, Settings

Endpoint = Callable[[Request], Awaitable[Response]]


def route(path: str, **endpoints: Endpoint) -> Route:
    """A route with an endpoint for each method; other methods get 405 in the shape of all errors.

    GET answers HEAD too. Starlette's own 405 is not used: the page behind these routes takes every path, and would be
    asked first.
    """
    if "GET" in endpoints:
        endpoints.setdefault("HEAD", endpoints["GET"])

    async def respond(request: Request) -> Response:
        if request.method in endpoints:
            return await endpoints[request.method](request)
        allowed = sorted(endpoints)
        message = f"expected {' or '.join(allowed)}, got {request.method[:20]}"
        raise RequestError(405, message, headers={"allow": ", ".join(allowed)})

    every_method = Route(path, respond)
    every_method.methods = None
    return every_method


def api_routes(models: Models, settings: Settings) -> list[Route]:
    described: tuple[tuple[int, str], bytes] = ((-1, ""), b"")  # version of the models, prefix, and the description

    async def predict(request: Request) -> Response:
        name = request.path_params["name"]
        rows = await rows_of(request, models.get(name).format.inputs.media, settings)
        size = float(request.headers.get("content-length", math.inf))
        return as_json({"predictions": await models.predict(name, rows, size)})

    async def all_models(request: Request) -> Response:
        root = address_of(request.scope, "")
        return as_json({"models": [models.get(name).facts(root) for name in models.names()]})

    async def one_model(request: Request) -> Response:
        return as_json(models.get(request.path_params["name"]).facts(address_of(request.scope, "")))

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
        made_for = models.version, address_of(request.scope, "")
        if described[0] != made_for:
            content = document(models, settings, made_for[1])
            described = made_for, orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
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
        folder = OWN
        if name != "start.js":
            try:
                folder = Path(from_extra("swagger_ui_bundle", "serve").swagger_ui_path)
            except ExtraError as error:
                raise RequestError(404, str(error), "pip install 'bilstm[serve]'") from None
        return Response((folder / name).read_bytes(), 200, CACHED, FILES[name])

    return [route("/docs", GET=show), route("/docs/{file}", GET=file)]


# --- what stands in the body of a request to predict; nothing of it is ever taken for the name of a file -----------


async def rows_of(request: Request, media: tuple[str, ...], settings: Settings) -> Any:
    """The rows of a request whose body is of one of the kinds ``media``; else refused with 415, 400 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in media:
        message = f"expected a content-type of {' or '.join(media)}, got {repr(kind[:100]) if kind else 'none'}"
        raise RequestError(415, message, headers={"accept": ", ".join(media)})
    try:
        if kind == MULTIPART:
            return await _parts(request, settings)
        body = await request.body()
    except ClientDisconnect:  # nobody reads the answer
        raise RequestError(400, "expected the whole body, got a part of it") from None
    if kind != JSON:
        return [body]
    return _rows(await asyncio.to_thread(_parsed, body) if len(body) > LARGE else _parsed(body))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"expected JSON, got something else ({error.msg}; line {error.lineno}, column {error.colno})"
        raise RequestError(400, message, 'send {"rows": […]}') from None


def _rows(value: Any) -> Any:
    if not isinstance(value, dict):
        raise invalid(f"expected an object, got {kind_of(value)}", None, 'send {"rows": […]}')
    if "rows" not in value:
        names = [name[:LIKELY] for name in islice(value, LIKELY)]
        hint = did_you_mean("rows", names) if names else 'send {"rows": […]}'
        raise invalid("expected rows, got none", "rows", hint)
    others = [name for name in value if name != "rows"]
    if others:
        raise invalid(f"expected rows alone, got {others[0][:100]!r} too", others[0][:100])
    return value["rows"]


async def _parts(request: Request, settings: Settings) -> list[bytes]:
    """The files of a form's fields called ``sound``; what they are called on the caller's disk does not matter."""
    try:
        async with request.form(max_files=settings.rows, max_fields=settings.rows, max_part_size=settings.body) as form:
            parts = form.getlist("sound")
            sounds = [await part.read() for part in parts if isinstance(part, UploadFile)]
    except (MultiPartException, HTTPException) as error:
        reason = getattr(error, "message", None) or getattr(error, "detail", "")
        raise RequestError(400, f"expected a form of {MULTIPART}, got one that cannot be read ({reason})") from None
    if len(sounds) < len(parts) or not sounds:
        raise invalid("expected files in fields called 'sound', got none", "sound", "curl -F sound=@recording.wav …")
    return sounds
