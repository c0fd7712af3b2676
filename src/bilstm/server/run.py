"""Runs the server in this process: its socket, its signals, its log. Knows uvicorn; knows no route and no model."""

from __future__ import annotations

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

import uvicorn
from starlette.applications import Starlette

from bilstm.errors import BilstmError, DataError
from bilstm.server.app import create_app
from bilstm.server.models import Models
from bilstm.server.protocol import LimitedProtocol
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
