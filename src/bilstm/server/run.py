"""Runs the server in this process: its socket, its signals, its log, and how it reads connections.

Knows uvicorn; knows no route and no model.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bilstm.errors import BilstmError, DataError
from bilstm.server.app import create_app
from bilstm.server.errors import RequestError, error_json
from bilstm.server.middleware import SILENCE
from bilstm.server.models import Models
from bilstm.server.settings import Settings
from bilstm.server.signals import Handler, handled, leave, leave_in

LARGEST_MESSAGE = 2**20  # bytes of a websocket's message; the page's are small, files come by HTTP
WAITING = 1024  # connections that wait to be accepted
MARGIN = 2.0  # seconds beside those for requests, in which all the rest ends
Result = TypeVar("Result")


def serve(files: Mapping[str, Path], settings: Settings, say: Callable[[str], None]) -> None:
    """Load models and answer until SIGTERM or SIGINT; SIGHUP loads the models anew.

    ``say`` is called with a line that says where the server listens. A BilstmError where a model cannot be loaded, the
    address cannot be taken, or the server cannot start.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logging.getLogger("bilstm").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with _listener(settings) as listener, handled({signal.SIGTERM: lambda *_: _leave(settings)}):
        models = _in_thread(partial(Models, files, settings))
        app = create_app(models, settings)
        server = uvicorn.Server(_config(app, settings))
        inner = app.router.lifespan_context
        failure: Exception | None = None

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            nonlocal failure
            with handled(_handlers(server, models, settings)):
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


def _in_thread(work: Callable[[], Result]) -> Result:
    """The result of some work. Signals are handled meanwhile, also where it waits for a disk that does not answer."""
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(context.run(work))
        except BaseException as error:
            result.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=run, name="bilstm-start", daemon=True).start()
    return result.result()


def _leave(settings: Settings) -> None:
    if settings.uds is not None:
        Path(settings.uds).unlink(missing_ok=True)
    leave()


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
        timeout_graceful_shutdown=int(settings.shutdown_timeout),
        backlog=WAITING,
    )


def _handlers(server: uvicorn.Server, models: Models, settings: Settings) -> dict[int, Handler]:
    """What signals do while the application lives.

    Uvicorn's own handlers would raise the signal again at the end, so that the exit status would not be 0.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if not server.should_exit:
            leave_in(settings.shutdown_timeout + MARGIN, partial(_leave, settings))
        elif number == signal.SIGINT:  # asked a second time
            server.force_exit = True
        server.should_exit = True

    def reload(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=models.begin_reload, name="bilstm-reload", daemon=True).start()

    handlers: dict[int, Handler] = {signal.SIGINT: end, signal.SIGTERM: end}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = reload
    return handlers


def _first_line(listener: socket.socket, models: Models, settings: Settings) -> str:
    token = "callers need the token" if settings.token is not None else "no token, this machine only"
    if settings.uds is not None:
        return f"serving {', '.join(models.names())} at unix:{settings.uds} ({token})"
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"serving {', '.join(models.names())} at http://{shown}:{port} ({token})"


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The socket, before models are loaded: a taken port is known at once, and a killed server's can be taken again."""
    try:
        listener = _bound(settings)
    except OSError as error:
        where, hint = f"{settings.host}:{settings.port}", "choose another --port; --port 0 takes a free one"
        if settings.uds is not None:
            where, hint = settings.uds, "choose another --uds, in a folder that there is"
        raise DataError(f"cannot listen at {where}: {error.strerror or error}", hint) from None
    try:
        yield listener
    finally:
        listener.close()
        if settings.uds is not None:
            Path(settings.uds).unlink(missing_ok=True)


def _bound(settings: Settings) -> socket.socket:
    family: int
    address: Any
    if settings.uds is None:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
    else:
        family, address = socket.AF_UNIX, settings.uds
        _make_room(address)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if settings.uds is not None:
            os.chmod(address, 0o666)  # as uvicorn does: a proxy has a user of its own
    except OSError:
        listener.close()
        raise
    return listener


def _make_room(path: str) -> None:
    """Delete a Unix socket that nobody listens to; of all else that is there ``bind`` says what it is."""
    with socket.socket(socket.AF_UNIX) as other, suppress(OSError):
        try:
            other.connect(path)
        except ConnectionRefusedError:
            if Path(path).is_socket():
                Path(path).unlink()


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
        self.timeout_keep_alive = self.settings.keep_alive  # type: ignore[assignment]
        self._is_refused = False
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
            self.transport.close()  # a further one is not kept for anything
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head while it comes; those of a body are counted where it is read."""
        if self._is_refused or self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_idle and not self._in_head and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)
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

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle and not self.transport.is_closing():
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
        self._is_refused = True
        self.transport.write_eof()  # closed at once, what the caller still sends would make it lose the answer
        self.loop.call_later(SILENCE, self.transport.close)
