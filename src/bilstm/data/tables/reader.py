"""Reads CSV, Parquet and JSON lines: one row a sequence, or a long table grouped into sequences."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_column, by_appearance, whole_numbers
from bilstm.data.dataset import Dataset, without_none
from bilstm.data.forks import check_polars
from bilstm.data.source import (
    BLOCK,
    JSON_LINES,
    PARQUET,
    UNREADABLE,
    Source,
    check_cells,
    check_columns,
    check_rows,
    existing_file,
    has_suffix,
    header_of,
    open_bytes,
    separator_of,
    unreadable,
)
from bilstm.data.tables.parquet import read_parquet
from bilstm.errors import DataError, warn

MISSING = ("", "na", "n/a", "nan", "null", "?")  # compared without case and outer blanks
DECIMAL_COMMA = r"^[+-]?\d[\d.]*,\d+$"


def read_table(
    path: str | Path,
    *,
    target: str | Sequence[str] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    order: str | None = None,
    features: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Dataset:
    """Read a table from a file: every row a sequence of one step, or rows grouped into sequences.

    A CSV column is a column of numbers if at least half of its values are numbers; then every other value
    must be a number or missing (empty, NA, N/A, NaN, null, ?). Other columns are categories.

    Args:
        path: a ``.csv`` (also ``.tsv``, ``.txt``, ``.gz``), ``.parquet`` or ``.jsonl`` file.
        target: the column or columns to predict; None where there is nothing to predict yet.
        drop: columns to leave out.
        group: column that says which sequence a row belongs to; rows with one value form one sequence,
            sequences come in the order of their first rows.
        order: column that orders the rows of a sequence; without it the order of the file holds.
        features: the columns that a fitted model needs, in its order; others are ignored.
        kinds: ``number`` or ``category`` for columns that must be so; the others are judged by their values.

    Returns:
        Dataset: with Float64 and String columns, targets (integers where they are whole), the group's values as ids.

    Raises:
        DataError: the file is missing, empty, damaged or not UTF-8; a column is missing; text stands in a
            column of numbers; a target differs inside a group.

    Example:
        >>> data = read_table("houses.csv", target="medv", drop=["b"])  # doctest: +SKIP
    """
    source, targets = Source.of_file(path), [target] if isinstance(target, str) else list(target or ())
    kinds = dict.fromkeys(targets, "target") | dict(kinds or {})
    if group is not None:
        kinds[group] = "category"  # 001 and 1 are two names
    frame = typed_frame(read_raw(path), source, kinds)
    check_columns([*kinds, *drop], frame.columns, source)
    dataset = table_of(frame, source, targets=targets, drop=drop, group=group, order=order, features=features)
    if order is not None:
        warn_of_order(frame[order])
    return dataset


def table_of(
    frame: pl.DataFrame,
    source: Source,
    *,
    targets: Sequence[str],
    drop: Sequence[str] = (),
    group: str | None = None,
    order: str | None = None,
    features: Sequence[str] | None = None,
) -> Dataset:
    """Typed columns of a file, or some of its rows that follow each other, as a Dataset; see :func:`read_table`."""
    if len(set(targets)) < len(targets):
        raise DataError(f"expected different targets, got {', '.join(map(repr, targets))}")
    check_columns([*targets, *filter(None, (group, order))], frame.columns, source)
    if group is None and order is not None:
        raise DataError(f"expected --group beside --order {order}, got none", hint="name the column of the sequences")
    if group is not None:
        frame = _grouped(frame, group, order, source)
    not_features = {*targets, *drop, group, order}
    names = [n for n in frame.columns if n not in not_features] if features is None else list(features)
    check_columns(names, frame.columns, source)
    if not names:
        raise DataError(f"expected at least one feature column, got none ({source})")
    lengths, ids, firsts = np.ones(frame.height, dtype=np.int64), None, None
    if group is not None:
        firsts = (frame[group].rle_id().diff().fill_null(1) != 0).arg_true().to_numpy().astype(np.int64)
        lengths, ids = np.diff(np.append(firsts, frame.height)), frame[group].gather(firsts)
    known = _targets(frame, targets, lengths, firsts, group, source) if targets else None
    read_with = without_none(group=group, order=order)
    return Dataset(frame.select(names), lengths, known, ids, source, read_with)


def typed_frame(frame: pl.DataFrame, source: Source, kinds: Mapping[str, str]) -> pl.DataFrame:
    """What :func:`read_raw` gives, with every column as Float64 or String."""
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and kinds.get(name) != "category"]
    known = set(numbers)
    others = [typed(frame[name], kinds.get(name, ""), source) for name in frame.columns if name not in known]
    # as as_column does, but all at once: for few rows of many columns a call takes longer than its work
    return frame.with_columns(pl.col(numbers).cast(pl.Float64).fill_nan(None)).with_columns(others)


def read_raw(path: str | Path) -> pl.DataFrame:
    """Read a file with the types that it has itself: every column of a CSV file is text."""
    path = existing_file(path, "a table")
    check_polars(f"read {path}")
    try:
        if has_suffix(path, JSON_LINES):
            with open_bytes(path) as file:
                frame = parsed_json(file.read(), path.stat().st_size, path)
        elif has_suffix(path, PARQUET):
            frame = read_parquet(path)
        else:
            with open_bytes(path) as file:
                rows = sum(block.count(b"\n") for block in iter(partial(file.read, BLOCK), b""))
            check_cells(rows, len(header_of(path)), path.stat().st_size, path)
            frame = parsed_csv(path, separator_of(path))
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if frame.height == 0:
        raise DataError(f"expected rows below the header, got none ({path})")
    return frame


def typed(column: pl.Series, kind: str, source: Source) -> pl.Series:
    """A column as Float64 or String, as ``kind`` demands or, without one, as its values are."""
    if column.dtype != pl.String:
        is_label = kind == "target" and column.dtype == pl.Boolean
        return as_column(column, "category" if is_label else kind)
    if not source.has_types:  # a CSV file has no types: its words are read
        column = column.str.strip_chars()
        column = column.set(column.str.to_lowercase().is_in(MISSING), None)
    elif kind != "number":
        return column
    if kind == "category":
        return column
    truth = None if kind == "target" else _as_truth(column)  # as a target, true and false are labels
    return _as_number(column, source, forced=kind == "number") if truth is None else truth


def _as_truth(text: pl.Series) -> pl.Series | None:
    """A column of true and false as 1 and 0, as other files hold it; None if it holds anything else."""
    words = text.str.to_lowercase()
    if text.null_count() == len(text) or not words.is_in(("true", "false")).fill_null(True).all():
        return None
    return words.eq("true").cast(pl.Float64)


def parsed_csv(source: Path | bytes, separator: str) -> pl.DataFrame:
    """Every column of CSV as text."""
    frame = pl.read_csv(source, separator=separator, infer_schema=False, null_values=None)
    # polars gives a blank line as a row of nulls; in a table it stands for nothing
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


DEEPEST = 64  # lists and objects inside of each other; each costs polars more than the last, a thousand the process
NESTED_COST = 8  # cells of an object inside of another take so many times the memory
NESTING = np.zeros(256, dtype=np.int8)
NESTING[[ord("["), ord("{")]], NESTING[[ord("]"), ord("}")]] = 1, -1
NOT_NESTING = bytes(set(range(256)) - set(b"[]{}\n"))


def parsed_json(lines: bytes, size: int, path: Path) -> pl.DataFrame:
    """JSON lines, of a file or a part of ``size`` bytes, as a table with a column for every name that is in them."""
    names: set[bytes] = set()
    rows, file = 0, io.BytesIO(lines)
    while block := b"".join(file.readlines(BLOCK)):
        parts = block.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')  # every other one is inside of quotes
        if len(parts) % 2 == 0:
            raise DataError(f"expected JSON lines, got a quote that is never closed ({path})")
        names.update(name for name, rest in zip(parts[1::2], parts[2::2], strict=True) if rest.lstrip()[:1] == b":")
        signs = np.frombuffer(b"".join(parts[::2]).translate(None, NOT_NESTING), dtype=np.uint8)
        depth, ends = NESTING[signs].cumsum(dtype=np.int32), signs == ord("\n")
        depth -= np.append(0, depth[ends])[ends.cumsum()]
        if depth.max(initial=0) > DEEPEST:
            raise DataError(f"expected lists and objects up to {DEEPEST} deep in each other, got deeper ones ({path})")
        objects = depth[signs == ord("{")]
        rows += len(objects) + (NESTED_COST - 1) * int((objects > 1).sum())
        check_cells(rows, len(names), size, path)
    return pl.read_ndjson(lines, infer_schema_length=None)


def _as_number(text: pl.Series, source: Source, *, forced: bool) -> pl.Series:
    """A column of text as numbers where it holds numbers, else as it is; one bad value among numbers is an error."""
    values = text.cast(pl.Float64, strict=False)
    wrong = values.is_null() & text.is_not_null()
    if wrong.any() and text.filter(wrong).str.contains(DECIMAL_COMMA).all():
        forced = True  # a table written with decimal commas: none of its numbers would be read as one
    count, present = int(wrong.sum()), text.len() - text.null_count()
    if not forced and (present == 0 or count > present / 2):
        return text if present else values
    if count:
        row = int(wrong.arg_true()[0])
        value = text[row]
        hint = "correct it, leave it empty if it is unknown, or drop the column"
        if re.match(DECIMAL_COMMA, value):
            hint = "write decimals with a point and without thousands separators"
        raise DataError(f"expected a number in column {text.name!r}, got {value!r} ({source.at(row)})", hint=hint)
    check_rows(values.is_infinite(), source.at, f"a finite number in column {text.name!r}", text)
    return values


def _grouped(frame: pl.DataFrame, group: str, order: str | None, source: Source) -> pl.DataFrame:
    """Rows of one group next to each other: groups by first appearance, rows by ``order`` or as in the file."""
    for name in [group, *([order] if order else [])]:
        check_rows(frame[name].is_null(), source.at, f"a value of {name!r} in every row")
    _, appearance = by_appearance(frame[group])
    return frame.sort([appearance, *([pl.col(order)] if order else [])], maintain_order=True)


def warn_of_order(column: pl.Series) -> None:
    """Say so if rows are ordered by text that hardly means an order."""
    if column.dtype == pl.String and column.str.len_chars().n_unique() > 1:  # dates written alike have one length
        first, last = str(column.min()), str(column.max())
        warn(
            f"column {column.name!r} orders rows as text, from {first!r} to {last!r}: 'step 10' comes before 'step 2'",
            stacklevel=3,
        )


def _targets(
    frame: pl.DataFrame, names: Sequence[str], lengths: Array, firsts: Array | None, group: str | None, source: Source
) -> pl.DataFrame:
    def at(row: int) -> str:
        return source.at(row) if group is None else f"{source}, {group} {frame[group][row]}"

    columns = []
    for name in names:
        column = frame[name]
        check_target(column, at)
        if firsts is not None:
            first = column.gather(np.repeat(firsts, lengths))
            for row in (first != column).arg_true()[:1]:
                got = f"got {first[row]!r} and {column[row]!r} ({at(row)})"
                hint = "a model with one output a sequence needs a target that is constant inside the group"
                raise DataError(f"expected one {name!r} for a sequence, {got}", hint=hint)
            column = column.gather(firsts)
        columns.append(whole_numbers(column))
    return pl.DataFrame(columns)


def check_target(column: pl.Series, at: Callable[[int], str]) -> None:
    """Raise a DataError for the first row without a target."""
    hint = "leave rows without a target out of this data; to predict them is another step"
    check_rows(column.is_null(), at, f"a value of target {column.name!r} in every row", "a missing one", hint)
