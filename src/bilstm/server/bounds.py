"""What a request may cost before a route has looked at it: how many at a time, how many bytes, how many seconds.

Pure ASGI, so that it holds for the page as for the API. Knows numbers; does not know callers or content.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bilstm.server.problems import Refusal, as_refusal, problem_json
from bilstm.server.settings import Settings

API = "/v1/"
CLOSE = {"connection": "close"}  # what else the caller would send is not read
CLOSE_PAIR = (b"connection", b"close")
SMALL = 64 * 2**10  # bytes of an unread body for which a connection is kept all the same
SLACK = 10.0  # seconds beside those of body and answer, for the caller to take the answer


class Bounds:
    """Refuses bodies that are too large (413) or too slow (408), and requests that are too many at a time (429)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with its body counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counted = _Counted(self.settings, scope, receive, send)
        if counted.refusal is not None:
            await refuse(scope, send, counted.refusal)
        elif not scope["path"].startswith(API):
            await counted.run(self.app)
        elif self.in_progress >= self.settings.requests:
            most = self.settings.requests
            message = f"expected at most {most} requests at a time, got one more"
            refusal = Refusal(429, message, "try again in a moment", headers={"retry-after": "1"})
            await refuse(scope, counted.send, refusal)
        else:
            self.in_progress += 1
            try:
                await self._in_time(counted)
            finally:
                self.in_progress -= 1

    async def _in_time(self, counted: _Counted) -> None:
        """The whole request, to the caller's taking of the answer: who does not read it frees the place of the next."""
        try:
            async with asyncio.timeout(self.settings.body_timeout + self.settings.timeout + SLACK) as limit:
                await counted.run(self.app)
        except TimeoutError:
            if not limit.expired():
                raise
            await counted.give_up()


class _Counted:
    """One request whose body is counted while it is read; an answer that has not begun becomes the refusal."""

    def __init__(self, settings: Settings, scope: Scope, receive: Receive, send: Send) -> None:
        self.settings = settings
        self.refusal: Refusal | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._bytes = 0
        self._has_begun = False
        self._announced = self._length()
        self._is_whole = self._announced == 0
        self._end = asyncio.get_running_loop().time() + settings.body_timeout

    def _length(self) -> float:
        """Bytes of the body by its head; infinity where that does not tell. Refuses before a byte of it is read."""
        found: float = 0
        for name, value in self._scope["headers"]:
            if name == b"transfer-encoding":
                found = math.inf
            elif name == b"content-length" and not value.isdigit():
                self.refusal = Refusal(400, "expected content-length to be a number, got something else", headers=CLOSE)
            elif name == b"content-length" and (len(value) > 18 or int(value) > self.settings.body):
                self.refusal = too_large(self.settings.body)
            elif name == b"content-length":
                found = max(found, int(value))
        return found

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Refusal:
            if self.refusal is None:
                raise
        if self.refusal is not None and not self._has_begun:
            self._has_begun = True
            await refuse(self._scope, self._send, self.refusal)

    async def give_up(self) -> None:
        """Say that the time is over; where the answer has begun, uvicorn closes the connection."""
        if not self._has_begun:
            self._has_begun = True
            refusal = Refusal(504, "expected an answer in time, got none", "try again when there is less to do")
            await refuse(self._scope, self._send, refusal)

    async def receive(self) -> Message:
        """The next part of the body."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            seconds = self.settings.body_timeout
            raise self._refused(
                Refusal(408, f"expected the whole body within {seconds:g} seconds, got a part of it", headers=CLOSE)
            ) from None
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._bytes > self.settings.body:
                raise self._refused(too_large(self.settings.body))
        return message

    def _refused(self, refusal: Refusal) -> Refusal:
        self.refusal = refusal
        return refusal

    async def send(self, message: Message) -> None:
        """The answer, unless the body was refused: then whatever the route makes of that is not sent."""
        if self.refusal is not None and not self._has_begun:
            return
        if not self._has_begun and not self._is_whole and self._announced > SMALL:
            message = {**message, "headers": [*message["headers"], CLOSE_PAIR]}
        self._has_begun = True
        await self._send(message)


def too_large(most: int) -> Refusal:
    """A body of more bytes than are taken."""
    hint = "send less at a time, or raise --max-body where the server runs"
    return Refusal(413, f"expected a body of at most {most} bytes, got more", hint, headers=CLOSE)


async def refuse(scope: Scope, send: Send, error: BaseException) -> None:
    """Answer a request with an error, or close a websocket that was not accepted."""
    refusal = as_refusal(error)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:100]})
        return
    body = problem_json(refusal)
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
