"""Rows of one file in chunks, as the reader of whole files would give them. Knows where rows and records end.

A shard can be read without the others: of Parquet some row groups; CSV and JSON lines are read from their beginning.
Does not know what a column means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from bilstm.data.source import (
    JSON_LINES,
    PARQUET,
    UNREADABLE,
    check_cells,
    has_suffix,
    header_of,
    open_bytes,
    separator_of,
    unreadable,
)
from bilstm.data.tables.parquet import MOST_ROWS, open_parquet, parquet_frames
from bilstm.data.tables.reader import parsed_csv, parsed_json
from bilstm.errors import DataError

PIECE = 16 << 20  # bytes of a piece's columns as float64, about; several pieces are in memory at once
TEXT_SHARE = 4  # bytes of CSV or JSON that make a piece are so many times fewer: a value takes more as a column
LONGEST_RECORD = 64 << 20  # bytes; where a quote is opened and never closed, the rest of the file would be one record
Chunk = tuple[int, pl.DataFrame]  # which row of the file its first one is; the rows


class Shard(NamedTuple):
    """Rows of a file that follow each other and can be read without the others."""

    path: Path
    groups: tuple[int, ...] | None = None  # of Parquet; None for a file that is read from its beginning to its end
    first: int = 0  # which row of the file its first one is
    rows: int = MOST_ROWS  # of a Parquet file that are read at once
    size: int = PIECE // TEXT_SHARE  # bytes of another file that are
    held: int = 0  # bytes that reading holds in memory beside these, about


def shards_of(path: Path, *, together: bool, piece: int) -> list[Shard]:
    """The shards of a file: of Parquet row groups of about ``piece`` bytes together; with ``together`` all as one."""
    if not has_suffix(path, PARQUET):
        return [Shard(path, size=piece // TEXT_SHARE)]
    about = open_parquet(path).metadata
    sizes = [about.row_group(number) for number in range(about.num_row_groups)]
    cells = 8 * max(about.num_columns, 1)

    def shard() -> Shard:
        each = max(cells, size // max(rows, 1))
        return Shard(path, tuple(groups), first, max(1, min(MOST_ROWS, piece // each)), held=size)

    shards: list[Shard] = []
    groups: list[int] = []
    first = rows = size = 0
    for number, group in enumerate(sizes):
        if groups and not together and size + group.total_byte_size > piece:
            shards.append(shard())
            groups, first, rows, size = [], first + rows, 0, 0
        groups, rows, size = [*groups, number], rows + group.num_rows, size + group.total_byte_size
    return [*shards, shard()] if rows else shards


def read_chunks(shard: Shard, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
    """The rows of a shard in their order, some at a time, with the file's own types; of Parquet only ``columns``."""
    if shard.groups is not None:
        frames = _parquet_frames(shard, columns)
    else:
        frames = _json_frames(shard) if has_suffix(shard.path, JSON_LINES) else _csv_frames(shard)
    first = shard.first
    try:
        for frame in frames:
            if frame.height:
                yield first, frame
                first += frame.height
    except UNREADABLE as error:
        raise unreadable(shard.path, error) from None


def whole_groups(chunks: Iterator[Chunk], group: str, path: Path) -> Iterator[Chunk]:
    """The same rows, cut so that no sequence of a long table is split: the last one waits for what follows."""
    waiting: pl.DataFrame | None = None
    start = 0
    for first, frame in chunks:
        start, rows = (first, frame) if waiting is None else (start, pl.concat([waiting, frame]))
        runs = rows[group].rle_id()
        cut = int(runs.search_sorted(runs[-1]))
        if cut:
            names = rows[:cut, group].rle().struct.field("value")
            if names.n_unique() < len(names):
                raise interrupted(group, names.filter(names.is_duplicated())[0], str(path))
            yield start, rows[:cut]
        waiting, start = rows[cut:], start + cut
        if waiting.estimated_size() > 16 * PIECE:
            got = f"one of more than {waiting.height:,} rows ({path}, {group} {waiting[group][0]})"
            hint = f"is {group} the column that names the sequence?"
            raise DataError(f"expected sequences that fit into memory, got {got}", hint=hint)
    if waiting is not None:
        yield start, waiting


def interrupted(group: str, name: Any, where: str) -> DataError:
    """The rows of a sequence are not next to each other."""
    hint = f"sort each file by {group}, and keep a sequence in one file; a table that fits into memory needs neither"
    got = f"got {group} {name!r} again after others ({where})"
    return DataError(f"expected the rows of a sequence next to each other, {got}", hint=hint)


def _parquet_frames(shard: Shard, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    file = open_parquet(shard.path)
    kept = None if columns is None else [name for name in file.schema_arrow.names if name in set(columns)]
    return parquet_frames(file, shard.path, shard.rows, shard.groups, kept)


def _csv_frames(shard: Shard) -> Iterator[pl.DataFrame]:
    separator, width, header = separator_of(shard.path), len(header_of(shard.path)), b""
    with _without_mark(shard.path) as file:
        for records in whole_records(file, shard.path, shard.size):
            table = header + records
            header = header or records[: first_end(records)]
            check_cells(records.count(b"\n"), width, len(records), shard.path)
            yield parsed_csv(table, separator)


def _json_frames(shard: Shard) -> Iterator[pl.DataFrame]:
    with _without_mark(shard.path) as file:
        while lines := file.readlines(shard.size):
            whole = b"".join(lines)
            if whole.strip():
                yield parsed_json(whole, len(whole), shard.path)


def _without_mark(path: Path) -> BufferedIOBase:
    """A file behind its byte order mark."""
    file = open_bytes(path)
    if file.peek(3)[:3] == b"\xef\xbb\xbf":
        file.read(3)
    return file


def whole_records(file: BufferedIOBase, path: Path, size: int) -> Iterator[bytes]:
    """The bytes of CSV, some at a time, cut at line ends that no quotes surround.

    Example:
        >>> import io
        >>> list(whole_records(io.BytesIO(b'a,b\\n1,"x\\ny"\\n2,z'), Path("t.csv"), size=8))
        [b'a,b\\n', b'1,"x\\ny"\\n', b'2,z']
    """
    rest = b""
    while block := file.read(size):
        rest += block
        cut = last_end(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > LONGEST_RECORD:
            hint = "is there a quote that is opened and never closed?"
            message = f"expected records of at most {LONGEST_RECORD >> 20} MiB, got a longer one ({path})"
            raise DataError(message, hint=hint)
    if rest:
        yield rest


def last_end(records: bytes) -> int:
    """One past the last line end outside of quotes; 0 where there is none."""
    inside = records.count(b'"') % 2  # whether the end of the bytes lies inside of quotes
    end = len(records)
    while (cut := records.rfind(b"\n", 0, end)) >= 0:
        inside ^= records.count(b'"', cut, end) % 2
        if not inside:
            return cut + 1
        end = cut
    return 0


def first_end(records: bytes) -> int:
    """One past the first line end outside of quotes; the length where there is none."""
    inside = begin = 0
    while (cut := records.find(b"\n", begin)) >= 0:
        inside ^= records.count(b'"', begin, cut) % 2
        if not inside:
            return cut + 1
        begin = cut + 1
    return len(records)
