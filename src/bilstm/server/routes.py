"""Routes that answer every other method with 405 in the shape of all errors, also where a page stands behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bilstm.server.problems import Refusal

Endpoint = Callable[[Request], Awaitable[Response]]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


def route(path: str, **endpoints: Endpoint) -> Route:
    """A route with an endpoint for each method; GET answers HEAD too.

    Args:
        path: with its variable parts in braces.
        endpoints: by method: ``GET=…``, ``POST=…``.
    """
    allowed = sorted({*endpoints, *(("HEAD",) if "GET" in endpoints else ())})
    by_method = {"HEAD": endpoints.get("GET"), **endpoints}

    async def answer(request: Request) -> Response:
        endpoint = by_method.get(request.method)
        if endpoint is None:
            told = " or ".join(allowed)
            raise Refusal(405, f"expected {told}, got {request.method[:20]}", headers={"allow": ", ".join(allowed)})
        return await endpoint(request)

    found = Route(path, answer)
    found.methods = None  # all of them come here
    return found
