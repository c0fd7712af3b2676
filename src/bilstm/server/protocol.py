"""How connections are read: a head too large or too slow, or a connection too many, is refused before any route.

Knows bytes and timers; what stands in a whole request is not its business.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bilstm.server.errors import RequestError, error_json
from bilstm.server.settings import Settings

ON_ITS_WAY = 0.5  # seconds for the requests of callers who cannot know yet that the server ends


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with the limits of :attr:`settings`.

    Uvicorn offers no hook between a connection and a request, and answers these cases in another shape or not at all.
    This is the one class that depends on its insides: ``pyproject.toml`` bounds its releases to those read for this.
    """

    settings = Settings()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._bytes = 0  # of the head, as far as it has come
        self._is_too_large = False
        self._is_last = False  # whether the next request is the last of this connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            message = f"expected at most {self.settings.connections} connections, got one more"
            self._refuse(RequestError(503, message, "try again in a moment", headers={"retry-after": "1"}))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head while it comes; those of a body are counted where it is read."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._bytes += len(data)
            if self._bytes > self.settings.header and not self.transport.is_closing():
                self._is_too_large = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A further head on the same connection has the same time as the first."""
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        counted = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        self._is_too_large = counted > self.settings.header
        if self._is_too_large:
            raise ValueError("the head is too large")  # the parser ends, and send_400_response answers
        super().on_headers_complete()
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server ends: a request that is on its way is still answered, an idle connection closed."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        self._is_last = True
        self.loop.call_later(ON_ITS_WAY, self._close_if_idle)

    def _close_if_idle(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, in the shape of all errors."""
        if self._is_too_large:
            message = f"expected a request's head of at most {self.settings.header} bytes, got more"
            self._refuse(RequestError(431, message, "send fewer headers"))
        else:
            self._refuse(RequestError(400, "expected a request of HTTP/1.1, got something else"))

    def _await_head(self) -> None:
        self._stop_waiting()
        self._in_head, self._bytes = True, 0
        self._timer = self.loop.call_later(self.settings.head_timeout, self._give_up)

    def _stop_waiting(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            message = f"expected a request's head within {self.settings.head_timeout:g} seconds, got none"
            self._refuse(RequestError(408, message))

    def _refuse(self, error: RequestError) -> None:
        self._stop_waiting()
        body = error_json(error)
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in (headers | error.headers).items())
        self.transport.write(STATUS_LINE[error.status] + head.encode() + b"\r\n" + body)
        self.transport.close()
