"""Where data came from: a file, whose kind its name tells, and on which line a row stands; or a program's arrays.

Knows files, their separators and lines. Does not know what a column holds.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bilstm.errors import DataError, did_you_mean

DAMAGED = (OSError, EOFError, zlib.error)  # what Python raises for a file that cannot be read to its end, packed or not
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError, *DAMAGED)
LONG = "leave out columns that are mostly empty; or write one row for each value, and name its column there"
SEPARATORS = ",;\t|"
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", *PARQUET, *JSON_LINES)
# Memory stays in keeping with a file's size: as a rule within 500 MB and fifty times its bytes.
BLOCK = 1 << 20  # bytes that are looked at at once
UNPACKED, UNPACKED_PER_BYTE = 128 << 20, 20  # bytes that a packed file may hold: so many, and so many for each it has
CELLS, CELLS_PER_BYTE = 20_000_000, 2  # of a table; in memory a cell takes some 20 bytes
COLUMNS, BYTES_PER_COLUMN = 50_000, 200  # a column of a few cells takes some kilobytes
LONGEST_HEADER = 1 << 24  # characters of a line
csv.field_size_limit(sys.maxsize)  # a long text is no error


@dataclass(frozen=True)
class Source:
    """Where data came from, made by what reads it.

    Example:
        >>> Source.of_file("data/houses.parquet").at(3), Source("X").at(3)
        ('data/houses.parquet, row 3', 'X, row 3')
    """

    text: str = "X"  # what messages call it: a path as it was given, the name of a data set, X for arrays
    path: Path | None = None
    first: int = 0  # row of the file, or of the whole, that is the first of this data; 0 is the first below the header

    @classmethod
    def of_file(cls, path: str | Path, first: int = 0) -> Source:
        """A file, called by its path."""
        return cls(str(path), Path(path), first)

    @classmethod
    def of(cls, source: Source | str) -> Source:
        """What a caller calls its data, as a Source."""
        return source if isinstance(source, Source) else cls(source)

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """What it is called without its folder, which is nobody else's business."""
        return Path(self.text).name or self.text

    @property
    def has_types(self) -> bool:
        """Whether values have types of their own; those of a CSV file are text."""
        return self.path is None or has_suffix(self.path, (*PARQUET, *JSON_LINES))

    def place(self, row: int) -> str:
        """A row (0 = first) in words: its line in a CSV file, for which the file is read, else its number."""
        if self.path is None or self.has_types:
            return f"row {self.first + row}"
        return f"line {line_of_row(self.path, self.first + row)}"

    def at(self, row: int) -> str:
        """The same with the name of the data before it."""
        return f"{self.text}, {self.place(row)}"


ARRAYS = Source()


def has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file has one of the suffixes, also where it is compressed."""
    return path.name.lower().removesuffix(".gz").endswith(tuple(suffixes))


def existing_file(path: str | Path, what: str) -> Path:
    """The path of a file that is there and holds something; ``what`` it should hold, the message says."""
    path = Path(path)
    if not path.exists():
        near = [other.name for other in path.parent.glob("*")]
        hint = did_you_mean(path.name, near) if near else "check the path"
        raise DataError(f"expected a file, got a path where there is none ({path})", hint=hint)
    if path.is_dir():
        raise DataError(f"expected a file, got a folder ({path})")
    if not path.is_file():  # it would be read more than once
        raise DataError(f"expected a file, got a pipe or a device ({path})", hint="write what it gives to a file first")
    if path.stat().st_size == 0:
        raise DataError(f"expected {what}, got an empty file ({path})")
    return path


def open_bytes(path: Path) -> BufferedReader:
    """A file, unpacked where gzip has packed it, or where its name says so; far more than its size is refused."""
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b" or path.suffix.lower() == ".gz"
    return BufferedReader(_Unpacked(gzip.open(path), path), BLOCK) if is_packed else path.open("rb")


class _Unpacked(RawIOBase):
    """What a packed file holds, counted while it is read."""

    def __init__(self, file: gzip.GzipFile, path: Path) -> None:
        self._file, self._path, self._count = file, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._file.read(len(buffer))
        self._count += len(block)
        check_unpacked(self._count, self._path)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(path: Path, newline: str = "") -> TextIOWrapper:
    """The text of a file in UTF-8, with the ends of lines as they are, without a byte order mark."""
    return TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)


def separator_of(path: Path) -> str:
    """The separator that the header uses most; a comma where it uses none."""
    try:
        with open_text(path) as file:
            header = re.sub(r'"[^"]*"', "", file.readline(1 << 20))
    except (UnicodeDecodeError, *DAMAGED) as error:
        raise unreadable(path, error) from None
    return max(SEPARATORS, key=header.count)


def line_of_row(path: Path, row: int) -> int:
    """The line of a CSV file on which record ``row`` (0 = first below the header, blank lines skipped) ends."""
    with open_text(path) as file:
        reader = csv.reader(file, delimiter=separator_of(path))
        records = (reader.line_num for record in reader if any(record))
        return next((line for number, line in enumerate(records) if number == row + 1), row + 2)


def header_of(path: Path) -> list[str]:
    """The names of a CSV file's columns, which must differ."""
    try:
        with open_text(path) as file:
            lines = iter(partial(file.readline, LONGEST_HEADER), "")
            header = next(csv.reader(lines, delimiter=separator_of(path)), [])
    except (UnicodeDecodeError, csv.Error, *DAMAGED) as error:
        raise unreadable(path, error) from None
    check_different(header, f"{path}, line 1")
    return header


def check_unpacked(count: int, path: Path) -> None:
    """Raise a DataError if a packed file holds more bytes than it could without being made to."""
    size = path.stat().st_size
    most = UNPACKED + UNPACKED_PER_BYTE * size
    if count > most:
        message = f"expected at most {most:,} bytes in a packed file of {size:,}, got more ({path})"
        raise DataError(message, hint="is it what it should be? then unpack it first, or write it as CSV")


def check_cells(rows: int, columns: int, size: int, path: Path) -> None:
    """Raise a DataError if ``size`` bytes ask for memory for many more cells, nearly all of them empty or the same."""
    most, widest = CELLS + CELLS_PER_BYTE * size, COLUMNS + size // BYTES_PER_COLUMN
    if columns > widest:
        raise DataError(f"expected at most {widest:,} columns in {size:,} bytes, got {columns:,} ({path})", hint=LONG)
    if rows * columns > most:
        got = f"got {rows:,} rows of {columns:,} columns ({path})"
        raise DataError(f"expected at most {most:,} cells in {size:,} bytes, {got}", hint=LONG)


def unreadable(path: Path, error: Exception) -> DataError:
    """A table that cannot be read, in the words of its reader, with a hint where the cause is known."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    hint = None
    if isinstance(error, UnicodeDecodeError) or "utf-8" in text:
        text, hint = "bytes that are not UTF-8", "save the file as UTF-8 (a spreadsheet calls it 'CSV UTF-8')"
    elif "more fields" in text:
        text = f"more fields on line {_first_long_line(path)} than in the header"
        hint = "quote values that hold the separator"
    return DataError(f"expected a table, got {text} ({path})", hint=hint)


def _first_long_line(path: Path) -> int:
    with open_text(path) as file:
        reader = csv.reader(file, delimiter=separator_of(path))
        width = len(next(reader))
        return next((reader.line_num for record in reader if len(record) > width), 1)


def check_rows(
    wrong: pl.Series | NDArray[np.bool_],
    at: Callable[[int], str],
    expected: str,
    got: str | pl.Series = "none",
    hint: str | None = None,
) -> None:
    """Raise a DataError that names the first row where a mask (S,) is true, and what ``got``, (S,), has there."""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = got if isinstance(got, str) else repr(got[row])
        raise DataError(f"expected {expected}, got {value} ({at(row)})", hint=hint)


def check_different(columns: Sequence[str], where: object) -> None:
    """Raise a DataError if two columns have one name."""
    for name in sorted(name for name, count in Counter(columns).items() if count > 1):
        raise DataError(f"expected different column names, got {name!r} twice ({where})")


def check_columns(names: Sequence[str], columns: Sequence[str], source: Source | str) -> None:
    """Raise a DataError, which names the nearest neighbour, for the first of ``names`` that is no column."""
    known = set(columns)
    for name in (name for name in names if name not in known):
        raise DataError(f"expected a column {name!r}, got none ({source})", hint=did_you_mean(name, columns))
