"""The command `bilstm serve`: its options and where the token comes from. Everything else is the server's."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, get_type_hints

import typer

from bilstm.cli.options import Choice, optional, with_options
from bilstm.cli.output import talk
from bilstm.errors import ParameterError, from_extra
from bilstm.estimators.signatures import described
from bilstm.server.settings import Settings
from bilstm.server.signals import handled, leave

DEFAULT, KINDS = Settings(), get_type_hints(Settings)
TEXTS = described(Settings)
TOKEN = "BILSTM_TOKEN"
NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client", "python_multipart")

SETTINGS = ("host", "port", "uds", "root_path", "forwarded_allow_ips", "threads", "batch", "timeout", "keep_alive")
LIMITS = (
    "body",
    "rows",
    "steps",
    "characters",
    "seconds",
    "requests",
    "queue",
)  # settings whose options begin with max
METAVARS = {"host": "ADDRESS", "uds": "FILE", "root_path": "PATH", "forwarded_allow_ips": "ADDRESSES", float: "SECONDS"}


def setting(name: str) -> Choice:
    """A setting as an option; its help is the setting's own."""
    metavar = METAVARS.get(name) or METAVARS.get(KINDS[name], "N")
    info = typer.Option(metavar=metavar, help=TEXTS.get(name), envvar="PORT" if name == "port" else None)
    return KINDS[name], getattr(DEFAULT, name), info


OPTIONS: dict[str, Choice] = {
    "files": (
        list[str],
        ...,
        typer.Argument(metavar="FILE…", help="Model files to serve; NAME=FILE serves one under another name."),
    ),
    **{name: setting(name) for name in SETTINGS},
    **{f"max_{name}": setting(name) for name in LIMITS},
    "token_file": optional(Path, "FILE", f"A file with the token that callers must send; or set {TOKEN}."),
    "allow_host": optional(list[str], "NAME", "A host name, or NAME:PORT, under which a proxy shows it (repeatable)."),
    "page": (bool, DEFAULT.page, typer.Option(help="Serve the page for people, besides the interface for programs.")),
    "access_log": (bool, False, typer.Option("--access-log", help="Write a line to stderr for every request.")),
}


@with_options(OPTIONS)
def serve(files: list[str], token_file: Path | None, allow_host: list[str] | None, **options: Any) -> None:
    """Answer predictions over HTTP, and show a page for people.

    Listens on this machine alone unless --host says otherwise; then callers need a token. Models are loaded anew when
    their files are replaced, and on SIGHUP. SIGTERM answers what was accepted, and ends.

    Example: bilstm serve boston.bilstm

    Example: BILSTM_TOKEN=… bilstm serve prices=v3.bilstm names.bilstm --host 0.0.0.0 --port 8080
    """
    with handled({signal.SIGTERM: leave}):  # what is imported takes a while
        for module in NEEDED:
            from_extra(module, "serve")
        from bilstm.server.models import named
        from bilstm.server.run import serve as run

        settings = Settings(
            token=read_token(token_file),
            allowed_hosts=tuple(allow_host or ()),
            **{name.removeprefix("max_"): value for name, value in options.items()},
        )
        run(named(files), settings, talk)
        leave()


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
