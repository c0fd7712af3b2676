"""The API's description as a page: Swagger UI from the installed package, no script from elsewhere and none inline."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bilstm.errors import ExtraError, from_extra
from bilstm.server.problems import Refusal, problem_response
from bilstm.server.routes import route

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bilstm: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script src="/docs/start.js" defer></script>
</head>
<body><div id="swagger-ui"></div></body>
</html>
"""
START = b"""addEventListener('DOMContentLoaded', () => {
  SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout'});
});
"""
KINDS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "start.js": "text/javascript"}
KEPT = {"cache-control": "private, max-age=86400"}


def docs_routes() -> list[Route]:
    """``GET /docs`` and its three files."""

    async def show(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in KINDS:
            return problem_response(Refusal(404, "expected a file of this page, got another name"))
        try:
            return Response(_content(name), 200, KEPT, KINDS[name])
        except (ExtraError, OSError) as error:
            return problem_response(Refusal(404, str(error), "pip install 'bilstm[serve]'"))

    return [route("/docs", GET=show), route("/docs/{file}", GET=file)]


@functools.cache
def _content(name: str) -> bytes:
    """One of three files, kept in memory."""
    if name == "start.js":
        return START
    from_extra("swagger_ui_bundle", "serve")
    folder = Path(importlib.import_module("swagger_ui_bundle").swagger_ui_path)
    return (folder / name).read_bytes()
