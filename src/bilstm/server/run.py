"""Runs the server in this process: its socket, its signals, its log, and how it reads connections.

Knows uvicorn; knows no route and no model.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bilstm.errors import BilstmError, DataError
from bilstm.server.app import create_app
from bilstm.server.errors import RequestError, error_json
from bilstm.server.models import Models
from bilstm.server.settings import Settings

LARGEST_MESSAGE = 2**20  # bytes of a websocket's message; the page's are small, files come by HTTP
WAITING = 1024  # connections that wait to be accepted


def serve(files: Mapping[str, Path], settings: Settings, say: Callable[[str], None]) -> None:
    """Load models and answer until SIGTERM or SIGINT; SIGHUP loads the models anew.

    ``say`` is called with a line that says where the server listens. A BilstmError where a model cannot be loaded, the
    address cannot be taken, or the server cannot start.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logging.getLogger("bilstm").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with _listener(settings) as listener:
        models = Models(files, settings)
        app = create_app(models, settings)
        server = uvicorn.Server(_config(app, settings))
        inner = app.router.lifespan_context
        failure: Exception | None = None

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            nonlocal failure
            with _signal_handlers(server, models):
                try:
                    async with inner(app):
                        listener.listen(WAITING)
                        say(_first_line(listener, models, settings))
                        yield
                except Exception as error:  # uvicorn keeps it to itself
                    failure = error
                    raise

        app.router.lifespan_context = lifespan
        try:
            server.run([listener])
        except SystemExit:
            reason = f"{type(failure).__name__}: {failure}" if failure is not None else "it ended"
            message = f"expected a server that starts, got an error on its way ({reason})"
            raise BilstmError(message) from failure


def _config(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=type("Protocol", (LimitedProtocol,), {"settings": settings}),
        ws_max_size=LARGEST_MESSAGE,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever calls could claim to be another
        server_header=False,
        timeout_keep_alive=int(settings.head_timeout),
        timeout_graceful_shutdown=int(settings.shutdown_timeout),
        backlog=WAITING,
    )


@contextmanager
def _signal_handlers(server: uvicorn.Server, models: Models) -> Iterator[None]:
    """Handle signals while the application lives.

    Uvicorn's own handlers would raise the signal again at the end, so that the exit status would not be 0.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if server.should_exit and number == signal.SIGINT:  # asked a second time
            server.force_exit = True
        server.should_exit = True

    def reload(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=models.reload, name="bilstm-reload", daemon=True).start()

    handlers = {signal.SIGINT: end, signal.SIGTERM: end}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = reload
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(listener: socket.socket, models: Models, settings: Settings) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    token = "callers need the token" if settings.token is not None else "no token, this machine only"
    return f"serving {', '.join(models.names())} at http://{shown}:{port} ({token})"


def _listener(settings: Settings) -> socket.socket:
    """The socket, before models are loaded: a taken port is known at once, and a killed server's can be taken again."""
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        hint = "choose another --port; --port 0 takes a free one"
        raise DataError(f"cannot listen at {settings.host}:{settings.port}: {error.strerror}", hint) from None
    return listener


# --- how connections are read: what is refused before any route --------------------------------------------------

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
