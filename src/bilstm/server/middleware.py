"""The outermost layer: counts and logs every request, adds the headers that browsers obey, and lets no error out.

Pure ASGI. Knows paths and statuses; decides nothing about a request.
"""

from __future__ import annotations

import logging
import sys
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bilstm.server.errors import send_error
from bilstm.server.metrics import Metrics
from bilstm.server.settings import Settings

log = logging.getLogger(__name__)
NO_CONTENT_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
DOCS_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# of the page: its templates are compiled in the browser, which needs eval; nothing comes from or goes to elsewhere
PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    b"connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with less, a browser calls the origin of our own forms null
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]
OWN_PATHS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/login")


class Monitoring:
    """Counts and logs every request, adds security headers, and answers what nobody else has caught."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception:
            if scope["type"] != "websocket":
                raise
            log.exception("websocket %s", _raw_path(scope))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0  # until the response begins

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                has = {name.lower() for name, _ in headers}
                wanted = [*HEADERS, (b"content-security-policy", policy_of(scope["path"]))]
                message = {**message, "headers": headers + [pair for pair in wanted if pair[0] not in has]}
            await send(message)

        started = time.perf_counter()
        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:  # whatever it is, the caller hears of it in the shape of all errors
            log.exception("%s %s", scope["method"], _raw_path(scope))
            if not status:
                await send_error(scope, receive, send_with_headers, RuntimeError())
        finally:
            self.metrics.in_progress.dec()
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        self.metrics.answered(route_of(scope["path"]), scope["method"], status, seconds)
        if self.settings.access_log:
            client, stamp = (scope.get("client") or ("-", 0))[0], time.strftime("%Y-%m-%dT%H:%M:%S%z")
            line = f"{stamp} {client} {scope['method']} {_raw_path(scope)} {status} {1000 * seconds:.1f} ms"
            print(line, file=sys.stderr, flush=True)


def _raw_path(scope: Scope) -> str:
    path: bytes = scope.get("raw_path", b"")
    return path.decode("latin-1")


def policy_of(path: str) -> bytes:
    """What a browser may load for an answer of this path."""
    if path == "/docs" or path.startswith("/docs/"):
        return DOCS_POLICY
    return NO_CONTENT_POLICY if path.startswith(OWN_PATHS) else PAGE_POLICY


def route_of(path: str) -> str:
    """A path with its variable parts left out, so that counters stay few whatever callers ask for.

    Example:
        >>> route_of("/v1/models/boston/predict"), route_of("/wp-admin"), route_of("/_nicegui/3.18.0/static/x.js")
        ('/v1/models/{name}/predict', 'other', '/_nicegui')
    """
    if path.startswith("/v1/models/"):
        return "/v1/models/{name}/predict" if path.endswith("/predict") else "/v1/models/{name}"
    if path in ("/", "/v1/models", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/login"):
        return path
    return next((root for root in ("/docs", "/_nicegui") if path.startswith(root)), "other")
