"""What stands around all routes: counts, logs and security headers, and the limits of what a request may cost.

Pure ASGI, so that it holds for the page as for the API. Knows paths, statuses and numbers; not callers or content.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bilstm.server.addresses import path_of
from bilstm.server.errors import RequestError, ended, send_error
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
                wanted = [*HEADERS, (b"content-security-policy", policy_of(path_of(scope)))]
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
        self.metrics.answered(route_of(path_of(scope)), scope["method"], status, seconds)
        if self.settings.access_log:
            client, stamp = (scope.get("client") or ("-", 0))[0], time.strftime("%Y-%m-%dT%H:%M:%S%z")
            line = f"{stamp} {client} {scope['method']} {_raw_path(scope)} {status} {1000 * seconds:.1f} ms"
            print(line, file=sys.stderr, flush=True)


def _raw_path(scope: Scope) -> str:
    path: bytes = scope.get("raw_path", b"")
    return path.decode("latin-1")


def policy_of(path: str) -> bytes:
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


# --- what a request may cost: how many at a time, how many bytes, how many seconds ---------------------------------

API = "/v1/"
SMALL = 64 * 2**10  # bytes of an unread body for which a connection is kept
# seconds for which the rest of a body is still taken once it was refused, and for which nothing may come of it: who
# closes before has the system throw away the answer that the caller has not read; the numbers are nginx's
LINGER, SILENCE = 30.0, 5.0
SLACK = 10.0  # seconds beside those of body and answer, for the caller to take the answer


class Limits:
    """Refuses bodies that are too large (413), too slow (408) or compressed (415), and requests too many (429)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _LimitedRequest(self.settings, scope, receive, send)
        try:
            await self._answer(request, scope)
        except asyncio.CancelledError:  # the server's time to end is over
            await request.send_error(ended())
            raise
        await request.linger()

    async def _answer(self, request: _LimitedRequest, scope: Scope) -> None:
        if request.error is not None:
            await request.send_error(request.error)
        elif not path_of(scope).startswith(API):
            await request.run(self.app)
        elif self.in_progress >= self.settings.requests:
            message = f"expected at most {self.settings.requests} requests at a time, got one more"
            error = RequestError(429, message, "try again in a moment", headers={"retry-after": "1"})
            await request.send_error(error)
        else:
            self.in_progress += 1
            try:
                # until the answer is taken: a caller who does not read it frees the place of the next
                async with asyncio.timeout(self.settings.body_timeout + self.settings.timeout + SLACK) as limit:
                    await request.run(self.app)
            except TimeoutError:
                if not limit.expired():
                    raise
                hint = "try again when there is less to do"  # begun responses are cut off: uvicorn closes these
                await request.send_error(RequestError(504, "expected an answer in time, got none", hint))
            finally:
                self.in_progress -= 1


class _LimitedRequest:
    """One request whose body is counted while it is read; a response that has not begun becomes the error."""

    def __init__(self, settings: Settings, scope: Scope, receive: Receive, send: Send) -> None:
        self.settings = settings
        self.error: RequestError | None = None
        self._scope, self._receive, self._send = scope, receive, send
        self._bytes = 0
        self._has_begun = self._is_closing = False
        self._announced = self._length()  # bytes; infinity where the connection is not kept whatever comes
        self._is_whole = self._announced == 0
        self._end = asyncio.get_running_loop().time() + settings.body_timeout

    def _length(self) -> float:
        """Bytes of the body by its head; infinity where that does not say. Refuses before a byte of it is read."""
        length: float = 0
        for name, value in self._scope["headers"]:
            if name in (b"content-encoding", b"transfer-encoding"):
                length = math.inf if name == b"transfer-encoding" else length
                codings = {one.strip().lower() for one in value.decode("latin-1").split(",")}
                if further := codings - {"", "identity", "chunked"}:
                    message = f"expected a body as it is, got one compressed by {', '.join(sorted(further))[:100]!r}"
                    headers = {"accept-encoding": "identity"}
                    self.error = RequestError(415, message, "send it without Content-Encoding", headers=headers)
            elif name != b"content-length":
                continue
            elif not value.isdigit():
                length = math.inf
                self.error = RequestError(400, "expected content-length to be a number, got something else")
            elif len(value) > 18 or int(value) > self.settings.body:
                length = math.inf
                self.error = self._too_large()
            else:
                length = max(length, int(value))
        return length

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except RequestError:
            if self.error is None:
                raise
        if self.error is not None:
            await self.send_error(self.error)

    async def send_error(self, error: RequestError) -> None:
        if not self._has_begun:
            self.error = None  # this is the response
            await send_error(self._scope, self._receive, self.send, error)

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            text = f"expected the whole body within {self.settings.body_timeout:g} seconds, got a part of it"
            self._announced = math.inf
            self.error = RequestError(408, text)
            raise self.error from None
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._bytes > self.settings.body:
                self.error = self._too_large()
                raise self.error
        return message

    async def send(self, message: Message) -> None:
        """The response, unless the body was refused: then whatever the route makes of that is not sent."""
        if self.error is not None and not self._has_begun:
            return
        if not self._has_begun and not self._is_whole and self._announced > SMALL:
            self._is_closing = True
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        self._has_begun = True
        if self._is_closing and message["type"] == "http.response.body":
            message = {**message, "more_body": True}  # the server closes at the end: see linger
        await self._send(message)

    async def linger(self) -> None:
        """Take what still comes of a body that was not read, so that its sender gets to read the answer."""
        if not self._is_closing:
            return
        now = asyncio.get_running_loop().time
        end = now() + LINGER
        with suppress(TimeoutError):
            while not self._is_whole and now() < end:
                async with asyncio.timeout(SILENCE):
                    message = await self._receive()
                self._is_whole = not message.get("more_body", False)  # also where the caller has gone
        await self._send({"type": "http.response.body", "body": b""})

    def _too_large(self) -> RequestError:
        hint = "send less at a time, or raise --max-body where the server runs"
        message = f"expected a body of at most {self.settings.body} bytes, got more"
        return RequestError(413, message, hint)
