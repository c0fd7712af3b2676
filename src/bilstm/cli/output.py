"""What the commands write: figures, files, talk on stderr. Knows no model."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError
from bilstm.files.output import write_whole

if TYPE_CHECKING:
    import polars as pl

NO_ROOM = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # or nobody who reads


def prepare_streams() -> None:
    """Results are UTF-8 wherever they go, unless PYTHONIOENCODING asks for less; a terminal shows what it can.

    A stream that was closed before the program began is no file's: what is written to it is an error, talk is lost.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the program runs)
    if sys.stdout is None:
        sys.stdout = open(os.devnull)  # noqa: SIM115 (which cannot be written to)
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return  # of a test, or of a program that calls this one
    if sys.stdout.isatty():
        sys.stdout.reconfigure(errors="backslashreplace")
    elif "PYTHONIOENCODING" not in os.environ:
        sys.stdout.reconfigure(encoding="utf-8")


def fault_of_stdout(error: Exception) -> str | None:
    """Why standard output took not all that it was given, if an error was about that; it is given up then.

    Of files ``write_whole`` has told the same already.
    """
    if isinstance(error, UnicodeEncodeError):
        return f"its encoding, {error.encoding}, has no {error.object[error.start]!r}"
    if not sys.stdout.writable():
        return "it is closed"
    if not isinstance(error, OSError) or error.filename is not None or error.errno not in NO_ROOM:
        return None
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what still waits to be written
    return error.strerror


def write_text(text: str, output: Path | None, what: str = "") -> None:
    """A result to a file, and a word of ``what`` it is to stderr; or to standard output."""
    if output is None:
        sys.stdout.write(text)
    else:
        write_whole(output, text.encode())
        talk(f"wrote {output}{what}")


def made_folder(path: Path) -> Path:
    """A folder that is there, made if need be; or why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Cannot make the folder {path}: {error.strerror}.", hint="choose another folder") from None
    return path


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """Figures of merit, one a line, or as one JSON object, which knows neither NaN nor infinity."""
    if as_json:
        print(json.dumps({n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in figures.items()}))
        return
    width = max(12, *map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}{value:>12.6g}")


def talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def with_written_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Times of day as text that every program reads; seconds have a fraction where there is one."""
    import polars as pl

    columns = []
    for column in frame.get_columns():
        if isinstance(column.dtype, pl.Datetime):
            whole = bool((column.dt.microsecond() == 0).all())
            zone = "Z" if column.dtype.time_zone else ""
            columns.append(column.dt.to_string(f"%Y-%m-%dT%H:%M:%S{'' if whole else '%.6f'}{zone}"))
        else:
            columns.append(column)
    return pl.DataFrame(columns)


def write_frame(frame: pl.DataFrame, output: Path | None) -> None:
    """A table to a file in the format that its name says, or as CSV to stdout."""
    from bilstm.data.source import JSON_LINES, PARQUET

    ending, what = "" if output is None else output.suffix.lower(), f": {frame.height} rows"
    if output is not None and ending in PARQUET:
        content = io.BytesIO()
        frame.write_parquet(content)
        write_whole(output, content.getvalue())
        talk(f"wrote {output}{what}")
    elif ending in JSON_LINES:
        write_text(with_written_times(frame).write_ndjson(), output, what)
    else:
        write_text(with_written_times(frame).write_csv(separator="\t" if ending == ".tsv" else ","), output, what)


def check_output(path: Path) -> None:
    """Raise a DataError before the work rather than after it, if a file cannot be written there."""
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
        reason = "it is a folder" if is_folder else None if has_folder else f"there is no folder {path.parent}"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise DataError(f"Cannot write {path}: {reason}.", hint="choose another file")


@contextlib.contextmanager
def notes_of_warnings() -> Iterator[None]:
    """Show warnings as lines ``note: …`` on stderr while this lasts."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: talk(f"note: {message}")
        yield
