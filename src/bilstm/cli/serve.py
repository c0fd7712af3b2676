"""The command `bilstm serve`: its options and where the token comes from. Everything else is the server's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bilstm.errors import ParameterError, from_extra
from bilstm.server.settings import Settings

DEFAULT = Settings()
TOKEN = "BILSTM_TOKEN"
NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client", "python_multipart")


def serve(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Model files to serve; NAME=FILE serves one under another name."),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = DEFAULT.host,
    port: Annotated[int, typer.Option(metavar="N", help="The port to listen on; 0 takes a free one.")] = DEFAULT.port,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help=f"A file with the token that callers must send; or set {TOKEN}."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A host name under which a proxy reaches this server (repeatable)."
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option(help="Serve the page for people, besides the interface for programs.")
    ] = DEFAULT.page,
    access_log: Annotated[bool, typer.Option("--access-log", help="Write a line to stderr for every request.")] = False,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Number of processor threads that one prediction may use.")
    ] = DEFAULT.threads,
    batch: Annotated[
        int,
        typer.Option(metavar="N", help="Number of rows of several requests that are predicted together; 1 for none."),
    ] = DEFAULT.batch,
    max_body: Annotated[
        int, typer.Option(metavar="BYTES", help="Largest size of the body of a request.")
    ] = DEFAULT.body,
    max_rows: Annotated[int, typer.Option(metavar="N", help="Largest number of rows of a request.")] = DEFAULT.rows,
    max_steps: Annotated[
        int, typer.Option(metavar="N", help="Largest number of steps, or of words, of a row.")
    ] = DEFAULT.steps,
    max_characters: Annotated[
        int, typer.Option(metavar="N", help="Largest number of characters of a text.")
    ] = DEFAULT.characters,
    max_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Longest sound of a request.")
    ] = DEFAULT.seconds,
    max_requests: Annotated[
        int,
        typer.Option(metavar="N", help="Number of requests at a time from all callers; further ones get status 429."),
    ] = DEFAULT.requests,
    max_queue: Annotated[
        int, typer.Option(metavar="N", help="Number of predictions that may wait; further ones get status 503.")
    ] = DEFAULT.queue,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Longest time to an answer.")] = DEFAULT.timeout,
) -> None:
    """Answer predictions over HTTP, and show a page for people.

    Listens on this machine alone unless --host says otherwise; then callers need a token. Models are loaded anew when
    their files are replaced, and on SIGHUP. SIGTERM answers what was accepted, and ends.

    Example: bilstm serve boston.bilstm

    Example: BILSTM_TOKEN=… bilstm serve prices=v3.bilstm names.bilstm --host 0.0.0.0 --port 8080
    """
    for module in NEEDED:
        from_extra(module, "serve")
    from bilstm.cli.output import talk
    from bilstm.server.models import named
    from bilstm.server.run import serve as run

    settings = Settings(
        host=host,
        port=port,
        token=read_token(token_file),
        allowed_hosts=tuple(name.lower() for name in allow_host or ()),
        page=page,
        access_log=access_log,
        threads=threads,
        batch=batch,
        body=max_body,
        rows=max_rows,
        steps=max_steps,
        characters=max_characters,
        seconds=max_seconds,
        requests=max_requests,
        queue=max_queue,
        timeout=timeout,
    )
    run(named(files), settings, talk)


def read_token(path: Path | None) -> str | None:
    """The token of a file, or of the environment; None where neither has one.

    Raises:
        ParameterError: the file cannot be read or is empty.
    """
    if path is None:
        return os.environ.get(TOKEN, "").strip() or None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ParameterError(f"expected a file with the token, got none that can be read ({path}: {reason})") from None
    if not token:
        raise ParameterError(f"expected a token, got an empty file ({path})")
    return token
