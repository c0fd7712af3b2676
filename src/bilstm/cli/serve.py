"""The command `bilstm serve`: its options and where the token comes from. Everything else is the server's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from bilstm.cli.options import Choice, optional, with_options
from bilstm.cli.output import talk
from bilstm.errors import ParameterError, from_extra
from bilstm.server.settings import Settings

DEFAULT = Settings()
TOKEN = "BILSTM_TOKEN"
NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client", "python_multipart")


def setting(kind: Any, default: Any, metavar: str, text: str) -> Choice:
    return kind, default, typer.Option(metavar=metavar, help=text)


OPTIONS: dict[str, Choice] = {  # but for files, token_file and allow_host called as in Settings, with or without max_
    "files": (
        list[str],
        ...,
        typer.Argument(metavar="FILE…", help="Model files to serve; NAME=FILE serves one under another name."),
    ),
    "host": setting(str, DEFAULT.host, "ADDRESS", "The address to listen on."),
    "port": setting(int, DEFAULT.port, "N", "The port to listen on; 0 takes a free one."),
    "token_file": optional(Path, "FILE", f"A file with the token that callers must send; or set {TOKEN}."),
    "allow_host": optional(list[str], "NAME", "A host name under which a proxy reaches this server (repeatable)."),
    "page": (bool, DEFAULT.page, typer.Option(help="Serve the page for people, besides the interface for programs.")),
    "access_log": (bool, False, typer.Option("--access-log", help="Write a line to stderr for every request.")),
    "threads": setting(int | None, DEFAULT.threads, "N", "Number of processor threads that one prediction may use."),
    "batch": setting(int, DEFAULT.batch, "N", "Number of rows that are predicted together; 1 for none."),
    "max_body": setting(int, DEFAULT.body, "BYTES", "Largest size of the body of a request."),
    "max_rows": setting(int, DEFAULT.rows, "N", "Largest number of rows of a request."),
    "max_steps": setting(int, DEFAULT.steps, "N", "Largest number of steps, or of words, of a row."),
    "max_characters": setting(int, DEFAULT.characters, "N", "Largest number of characters of a text."),
    "max_seconds": setting(float, DEFAULT.seconds, "SECONDS", "Longest sound of a request."),
    "max_requests": setting(int, DEFAULT.requests, "N", "Number of requests at a time; further ones get status 429."),
    "max_queue": setting(int, DEFAULT.queue, "N", "Number of requests that may wait; further ones get status 503."),
    "timeout": setting(float, DEFAULT.timeout, "SECONDS", "Longest time to an answer."),
}


@with_options(OPTIONS)
def serve(files: list[str], token_file: Path | None, allow_host: list[str] | None, **options: Any) -> None:
    """Answer predictions over HTTP, and show a page for people.

    Listens on this machine alone unless --host says otherwise; then callers need a token. Models are loaded anew when
    their files are replaced, and on SIGHUP. SIGTERM answers what was accepted, and ends.

    Example: bilstm serve boston.bilstm

    Example: BILSTM_TOKEN=… bilstm serve prices=v3.bilstm names.bilstm --host 0.0.0.0 --port 8080
    """
    for module in NEEDED:
        from_extra(module, "serve")
    from bilstm.server.models import named
    from bilstm.server.run import serve as run

    settings = Settings(
        token=read_token(token_file),
        allowed_hosts=tuple(name.lower() for name in allow_host or ()),
        **{name.removeprefix("max_"): value for name, value in options.items()},
    )
    run(named(files), settings, talk)


def read_token(path: Path | None) -> str | None:
    """The token of a file, or of the environment; None where neither has one."""
    if path is None:
        return os.environ.get(TOKEN, "").strip() or None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ParameterError(f"The token cannot be read from {path}: {reason}.") from None
    if not token:
        raise ParameterError(f"The file {path} holds no token.")
    return token
