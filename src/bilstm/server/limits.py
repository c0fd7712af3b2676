"""What a request may cost before a route has looked at it: how many at a time, how many bytes, how many seconds.

Pure ASGI, so that it holds for the page as for the API. Knows numbers; does not know callers or content.
"""

from __future__ import annotations

import asyncio
import math

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bilstm.server.errors import RequestError, send_error
from bilstm.server.settings import Settings

API = "/v1/"
CLOSE = {"connection": "close"}  # what else the caller would send is not read
SMALL = 64 * 2**10  # bytes of an unread body for which a connection is kept all the same
SLACK = 10.0  # seconds beside those of body and answer, for the caller to take the answer


class Limits:
    """Refuses bodies that are too large (413) or too slow (408), and requests that are too many at a time (429)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _LimitedRequest(self.settings, scope, receive, send)
        if request.error is not None:
            await send_error(scope, receive, send, request.error)
        elif not scope["path"].startswith(API):
            await request.run(self.app)
        elif self.in_progress >= self.settings.requests:
            message = f"expected at most {self.settings.requests} requests at a time, got one more"
            error = RequestError(429, message, "try again in a moment", headers={"retry-after": "1"})
            await send_error(scope, receive, request.send, error)
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
        self._has_begun = False
        self._announced = self._length()
        self._is_whole = self._announced == 0
        self._end = asyncio.get_running_loop().time() + settings.body_timeout

    def _length(self) -> float:
        """Bytes of the body by its head; infinity where that does not say. Refuses before a byte of it is read."""
        length: float = 0
        for name, value in self._scope["headers"]:
            if name == b"transfer-encoding":
                length = math.inf
            elif name != b"content-length":
                continue
            elif not value.isdigit():
                self.error = RequestError(
                    400, "expected content-length to be a number, got something else", headers=CLOSE
                )
            elif len(value) > 18 or int(value) > self.settings.body:
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
            self._has_begun = True
            await send_error(self._scope, self._receive, self._send, error)

    async def receive(self) -> Message:
        """The next part of the body."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            text = f"expected the whole body within {self.settings.body_timeout:g} seconds, got a part of it"
            self.error = RequestError(408, text, headers=CLOSE)
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
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        self._has_begun = True
        await self._send(message)

    def _too_large(self) -> RequestError:
        hint = "send less at a time, or raise --max-body where the server runs"
        message = f"expected a body of at most {self.settings.body} bytes, got more"
        return RequestError(413, message, hint, headers=CLOSE)
