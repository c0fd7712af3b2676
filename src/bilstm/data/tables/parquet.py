"""Reads Parquet in batches of rows. Knows pyarrow, and how few bytes of a file may stand for how much in memory.

pyarrow and not polars, which is at hand: there a damaged file is an exception, where Rust ends the process or tells the
terminal of its own insides; and what a file holds is known before memory is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bilstm.data.source import check_cells, check_unpacked, unreadable
from bilstm.errors import DataError

COLUMN_BUFFER = 1 << 16  # bytes of a column that are read from the disk at once
BATCH, MOST_ROWS = 64 << 20, 65_536  # bytes as they stand in the file, and rows, that are read at once


def open_parquet(path: Path) -> Any:
    """An open Parquet file. A text that occurs a thousand times is held once, until it is known how much that is."""
    import pyarrow
    import pyarrow.parquet

    options: dict[str, Any] = {"buffer_size": COLUMN_BUFFER, "pre_buffer": False}
    try:
        file = pyarrow.parquet.ParquetFile(path, **options)
        _check_names(file.schema_arrow)
        texts = [column.path for column in _columns(file) if column.physical_type == "BYTE_ARRAY"]
        return pyarrow.parquet.ParquetFile(path, read_dictionary=texts, metadata=file.metadata, **options)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from None


def read_parquet(path: Path) -> pl.DataFrame:
    """A whole file."""
    file = open_parquet(path)
    about = file.metadata
    size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    rows = max(1, min(MOST_ROWS, BATCH * about.num_rows // max(size, 1)))
    frames = list(parquet_frames(file, path, rows))
    return pl.concat(frames) if frames else _empty(file)


def parquet_frames(
    file: Any, path: Path, rows: int, groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """All or some row groups, ``rows`` at a time; refused where they are far more in memory than in the file."""
    import pyarrow

    groups = range(file.num_row_groups) if groups is None else groups
    schema = _empty(file).schema
    texts = 0
    try:
        _check_size(file, path, groups)
        for batch in file.iter_batches(rows, row_groups=list(groups), columns=columns, use_threads=False):
            batch.validate(full=True)  # text too
            texts += sum(map(_text_bytes, batch.columns))
            check_unpacked(texts, path)
            yield pl.DataFrame(pl.from_arrow(batch.replace_schema_metadata())).cast(
                {name: schema[name] for name in batch.schema.names}
            )
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from None


def empty_parquet(path: Path) -> pl.DataFrame:
    """The columns of a file without its rows."""
    return _empty(open_parquet(path))


def _empty(file: Any) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(file.metadata.schema.to_arrow_schema().remove_metadata().empty_table()))
    return frame.cast({pl.Categorical: pl.String})


def _columns(file: Any) -> list[Any]:
    """The columns, those inside of lists and structs too, as the file's schema has them."""
    return [file.schema.column(number) for number in range(len(file.schema))]


def _check_names(fields: Iterable[Any]) -> None:
    """Raise a UnicodeDecodeError for the damaged name of a column, or of a part of one."""
    for field in fields:
        str(field.name)
        _check_names(field.type.field(number) for number in range(field.type.num_fields))


def _check_size(file: Any, path: Path, groups: Sequence[int]) -> None:
    """A value that is the same everywhere takes no room in the file, however often it is there."""
    parts = [file.metadata.row_group(number) for number in groups]
    rows = sum(part.num_rows for part in parts)
    for number, column in enumerate(_columns(file)):
        if column.max_repetition_level:  # a list may be long
            rows = max(rows, sum(part.column(number).num_values for part in parts))
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            check_unpacked(rows * column.length, path)
    check_cells(rows, file.metadata.num_columns, path.stat().st_size, path)


def _text_bytes(array: Any) -> int:
    """Bytes of the texts of an array, each as often as it is there."""
    import pyarrow.compute

    if hasattr(array, "dictionary"):
        lengths = pyarrow.compute.binary_length(array.dictionary)
        return pyarrow.compute.sum(lengths.take(array.indices)).as_py() or 0
    kind = array.type
    if hasattr(kind, "num_fields") and kind.num_fields:
        children = array.flatten()
        return sum(map(_text_bytes, children if isinstance(children, list) else [children]))
    return 0
