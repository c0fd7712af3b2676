"""What the commands write: figures, files, talk on stderr. Knows no model."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def write_text(path: Path, text: str) -> None:
    """Write a file, or say why not."""
    try:
        path.write_text(text, encoding="utf-8", newline="")  # line ends stay what they are
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}.", hint="choose another file") from None


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

    ending = "" if output is None else output.suffix.lower()
    if output is None:
        sys.stdout.write(with_written_times(frame).write_csv())
        return
    if ending in PARQUET:
        try:
            frame.write_parquet(output)
        except OSError as error:
            raise DataError(f"Cannot write {output}: {error.strerror}.", hint="choose another file") from None
    elif ending in JSON_LINES:
        write_text(output, with_written_times(frame).write_ndjson())
    else:
        write_text(output, with_written_times(frame).write_csv(separator="\t" if ending == ".tsv" else ","))
    talk(f"wrote {output}: {frame.height} rows")


def check_output(path: Path) -> None:
    """Raise a DataError before the work rather than after it, if a file cannot be written there."""
    if path.is_dir() or not path.parent.is_dir():
        reason = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise DataError(f"Cannot write {path}: {reason}.", hint="choose another file")


@contextlib.contextmanager
def notes_of_warnings() -> Iterator[None]:
    """Show warnings as lines ``note: …`` on stderr while this lasts."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: talk(f"note: {message}")
        yield
