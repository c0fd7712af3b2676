"""Runs the server in this process: its socket, its signals, its log. Knows uvicorn; knows no route and no model."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from bilstm.errors import BilstmError, DataError
from bilstm.server.app import create_app
from bilstm.server.models import Models
from bilstm.server.protocol import protocol_for
from bilstm.server.settings import Settings

LARGEST_MESSAGE = 2**20  # bytes of a websocket's message; the page's are small, files come by HTTP
WAITING = 1024  # connections that wait to be accepted


def serve(files: Mapping[str, Path], settings: Settings, say: Callable[[str], None]) -> None:
    """Load models and answer until SIGTERM or SIGINT; SIGHUP loads the models anew.

    Args:
        files: paths of model files by name.
        settings: limits and choices.
        say: told where the server listens.

    Raises:
        ModelFileError: a model cannot be loaded.
        DataError: the address cannot be taken.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logging.getLogger("bilstm").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    listener = _listener(settings)
    with listener:
        models = Models(files, settings)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        token = "callers need the token" if settings.token is not None else "no token, this machine only"
        line = f"serving {', '.join(models.names())} at http://{shown}:{port} ({token})"
        app = create_app(models, settings)
        Server(config_of(app, settings), models, lambda: say(line)).run([listener])


def config_of(app: Any, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run the application."""
    return uvicorn.Config(
        app,
        http=protocol_for(settings),
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


class Server(uvicorn.Server):
    """Uvicorn's server, which ends with status 0 when it is asked to, and loads models anew on SIGHUP."""

    def __init__(self, config: uvicorn.Config, models: Models, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.models = models
        self.on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Warm up, listen, and say so.

        Raises:
            BilstmError: that failed.
        """
        try:
            await super().startup(sockets)
        except SystemExit:
            error = getattr(self.config.app.state, "failure", None)  # type: ignore[union-attr]
            told = f"{type(error).__name__}: {error}" if error is not None else "it ended"
            raise BilstmError(f"expected a server that starts, got an error on its way ({told})") from error
        self.on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Any] = {signal.SIGINT: self.handle_exit, signal.SIGTERM: self.handle_exit}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._load_anew
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _load_anew(self, *_: Any) -> None:
        threading.Thread(target=self.models.reload, name="bilstm-reload", daemon=True).start()


def _listener(settings: Settings) -> socket.socket:
    """The socket, before models are loaded: a taken port is known at once, and a killed server's can be taken again."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise DataError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror}",
            hint="choose another --port; --port 0 takes a free one",
        ) from None
    return listener
