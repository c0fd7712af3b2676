"""Reads CSV, Parquet and JSON lines: one row a sequence, or a long table grouped into sequences.

Knows files, columns, line numbers and what counts as missing. Does not scale or encode.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from bilstm.data.columns import as_column, whole_numbers
from bilstm.data.dataset import Dataset
from bilstm.data.files import DAMAGED, existing_file
from bilstm.errors import DataError, DataWarning, did_you_mean

MISSING = ("", "na", "n/a", "nan", "null", "?")  # compared without case and outer blanks
SEPARATORS = ",;\t|"
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", *PARQUET, *JSON_LINES)
DECIMAL_COMMA = r"^[+-]?\d[\d.]*,\d+$"


csv.field_size_limit(sys.maxsize)  # a long text is no error


NO_KINDS: Mapping[str, str] = {}


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
    path = Path(path)
    targets = [target] if isinstance(target, str) else list(target or ())
    kinds = dict.fromkeys(targets, "target") | dict(kinds or {})
    if group is not None:
        kinds[group] = "category"  # 001 and 1 are two names
    frame = read_frame(path, kinds)
    for name in [*kinds, *drop]:
        if name not in frame.columns:
            raise missing_column(name, frame.columns, path)
    dataset = table_of(frame, path, targets=targets, drop=drop, group=group, order=order, features=features)
    if order is not None:
        warn_of_order(frame[order])
    return dataset


def table_of(
    frame: pl.DataFrame,
    path: Path,
    *,
    targets: Sequence[str],
    drop: Sequence[str] = (),
    group: str | None = None,
    order: str | None = None,
    features: Sequence[str] | None = None,
    first: int = 0,
) -> Dataset:
    """Typed columns as a Dataset; the arguments are those of :func:`read_table`.

    Args:
        frame: the rows of a file, or some of them that follow each other.
        first: which row of the file the first of them is, for messages.
    """
    if len(set(targets)) < len(targets):
        raise DataError(f"expected different targets, got {', '.join(map(repr, targets))}")
    for name in [*targets, *([group] if group else []), *([order] if order else [])]:
        if name not in frame.columns:
            raise missing_column(name, frame.columns, path)
    if group is None and order is not None:
        raise DataError(f"expected --group beside --order {order}, got none", hint="name the column of the sequences")
    if group is not None:
        frame = _grouped(frame, group, order, path, first)
    not_features = {*targets, *drop, *([group] if group else []), *([order] if order else [])}
    names = list(features) if features is not None else [n for n in frame.columns if n not in not_features]
    known = set(frame.columns)
    for name in names:
        if name not in known:
            raise missing_column(name, frame.columns, path)
    if not names:
        raise DataError(f"expected at least one feature column, got none ({path})")
    if group is None:
        lengths, firsts, ids = np.ones(frame.height, dtype=np.int64), None, None
    else:
        lengths, firsts = _runs(frame[group])
        ids = frame[group].gather(firsts)
    return Dataset(
        steps=frame.select(names),
        lengths=lengths,
        targets=_targets(frame, targets, lengths, firsts, group, path, first) if targets else None,
        ids=ids,
        source=str(path),
        read_with={k: v for k, v in (("group", group), ("order", order)) if v is not None},
    )


def read_frame(path: str | Path, kinds: Mapping[str, str] = NO_KINDS) -> pl.DataFrame:
    """Read a file as it is: Float64 for columns of numbers, String for all others.

    Raises:
        DataError: as in :func:`read_table`.
    """
    path = Path(path)
    return typed_frame(read_raw(path), path, kinds)


def typed_frame(frame: pl.DataFrame, path: Path, kinds: Mapping[str, str], first: int = 0) -> pl.DataFrame:
    """What :func:`read_raw` gives, with every column as Float64 or String; ``first`` as in :func:`table_of`."""
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and kinds.get(name) != "category"]
    found = set(numbers)
    others = [typed(frame[name], kinds.get(name, ""), path, first) for name in frame.columns if name not in found]
    # as as_column does, but all at once: for few rows of many columns a call takes longer than its work
    return frame.with_columns(pl.col(numbers).cast(pl.Float64).fill_nan(None)).with_columns(others)


def read_raw(path: Path) -> pl.DataFrame:
    """Read a file with the types that it has itself: every column of a CSV file is text.

    Raises:
        DataError: the file is missing, empty, damaged or not UTF-8.
    """
    existing_file(path, "a table")
    frame = _read_typed(path) if has_types(path) else _read_csv(path)
    if frame.height == 0:
        raise DataError(f"expected rows below the header, got none ({path})")
    return frame


def line_of_row(path: Path, row: int) -> int:
    """The line of a CSV file on which record ``row`` (0 = first below the header, blank lines skipped) ends."""
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=separator_of(path))
        records = (reader.line_num for record in reader if any(record))
        for number, line in enumerate(records):
            if number == row + 1:
                return line
    return row + 2


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def separator_of(path: Path) -> str:
    """The separator that the header uses most; a comma where it uses none."""
    try:
        with _open_text(path) as file:
            header = re.sub(r'"[^"]*"', "", file.readline(1 << 20))
    except (UnicodeDecodeError, *DAMAGED) as error:
        raise unreadable(path, error) from None
    return max(SEPARATORS, key=header.count)


def typed(column: pl.Series, kind: str, path: Path, first: int = 0) -> pl.Series:
    """A column as Float64 or String, as ``kind`` demands or, without one, as its values are."""
    if column.dtype != pl.String:
        is_label = kind == "target" and column.dtype == pl.Boolean
        return as_column(column, "category" if is_label else kind)
    if not has_types(path):  # a CSV file has no types: its words are read
        column = column.str.strip_chars()
        column = column.set(column.str.to_lowercase().is_in(MISSING), None)
    elif kind != "number":
        return column
    if kind == "category":
        return column
    truth = None if kind == "target" else _as_truth(column)  # as a target, true and false are labels
    return _as_number(column, path, first, forced=kind == "number") if truth is None else truth


def _as_truth(text: pl.Series) -> pl.Series | None:
    """A column of true and false as 1 and 0, as other files hold it; None if it holds anything else."""
    words = text.str.to_lowercase()
    if text.null_count() == len(text) or not words.is_in(("true", "false")).fill_null(True).all():
        return None
    return words.eq("true").cast(pl.Float64)


def _read_csv(path: Path) -> pl.DataFrame:
    separator = separator_of(path)
    try:
        with _open_text(path) as file:
            header = next(csv.reader(file, delimiter=separator), [])
        frame = parsed_csv(path, separator)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, csv.Error, *DAMAGED) as error:
        raise unreadable(path, error) from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"expected different column names, got {repeated[0]!r} twice ({path}, line 1)")
    return frame


def parsed_csv(source: Path | bytes, separator: str) -> pl.DataFrame:
    """Every column of CSV as text."""
    frame = pl.read_csv(source, separator=separator, infer_schema=False, null_values=None)
    # polars gives a blank line as a row of nulls; in a table it stands for nothing
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def unreadable(path: Path, error: Exception) -> DataError:
    """A table that cannot be read, in the words of its reader, with a hint where the cause is known."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    hint = None
    if isinstance(error, UnicodeDecodeError) or "utf-8" in text:
        text, hint = "bytes that are not UTF-8", "save the file as UTF-8 (a spreadsheet calls it 'CSV UTF-8')"
    elif "more fields" in text:
        line = _first_long_line(path)
        text = f"more fields on line {line} than in the header"
        hint = "quote values that hold the separator"
    return DataError(f"expected a table, got {text} ({path})", hint=hint)


def _first_long_line(path: Path) -> int:
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=separator_of(path))
        width = len(next(reader))
        return next((reader.line_num for record in reader if len(record) > width), 1)


def _as_number(text: pl.Series, path: Path, first: int, *, forced: bool) -> pl.Series:
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
        raise DataError(
            f"expected a number in column {text.name!r}, got {value!r} ({where(path, first + row)})",
            hint="write decimals with a point and without thousands separators"
            if re.match(DECIMAL_COMMA, value)
            else "correct it, leave it empty if it is unknown, or drop the column",
        )
    infinite = values.is_infinite().fill_null(False)
    if infinite.any():
        row = int(infinite.arg_true()[0])
        place = where(path, first + row)
        raise DataError(f"expected a finite number in column {text.name!r}, got {text[row]!r} ({place})")
    return values


def where(path: Path, row: int) -> str:
    """A row of a file (0 = first below the header) in words."""
    if has_types(path):
        return f"{path}, row {row}"
    return f"{path}, line {line_of_row(path, row)}"


def has_types(path: Path) -> bool:
    """Whether a file's values have types of their own: Parquet, JSON lines; not CSV."""
    return has_suffix(path, (*PARQUET, *JSON_LINES))


def has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file is called by one of the suffixes, also where it is compressed."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(tuple(suffixes))


def _read_typed(path: Path) -> pl.DataFrame:
    try:
        if has_suffix(path, JSON_LINES):
            source = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path
            return pl.read_ndjson(source, infer_schema_length=None)
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, *DAMAGED) as error:
        raise unreadable(path, error) from None


def missing_column(name: str, columns: Sequence[str], path: Path) -> DataError:
    """A column that is not in a file, with its nearest neighbour."""
    return DataError(f"expected a column {name!r}, got none ({path})", hint=did_you_mean(name, columns))


def _grouped(frame: pl.DataFrame, group: str, order: str | None, path: Path, first: int) -> pl.DataFrame:
    """Rows of one group next to each other: groups by first appearance, rows by ``order`` or as in the file."""
    for name in [group, *([order] if order else [])]:
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_true()[0])
            raise DataError(f"expected a value of {name!r} in every row, got none ({where(path, first + row)})")
    names = frame[group].unique(maintain_order=True)
    appearance = frame[group].replace_strict(names, pl.Series(range(len(names))), return_dtype=pl.Int64)
    return frame.sort([appearance, *([pl.col(order)] if order else [])], maintain_order=True)


def warn_of_order(column: pl.Series) -> None:
    """Say so if rows are ordered by text that hardly means an order."""
    if column.dtype == pl.String and column.str.len_chars().n_unique() > 1:  # dates written alike have one length
        first, last = str(column.min()), str(column.max())
        warnings.warn(
            f"column {column.name!r} orders rows as text, from {first!r} to {last!r}: 'step 10' comes before 'step 2'",
            DataWarning,
            stacklevel=3,
        )


def _runs(column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and first rows of the runs of equal values."""
    firsts = (column.rle_id().diff().fill_null(1) != 0).arg_true().to_numpy().astype(np.int64)
    return np.diff(np.append(firsts, len(column))), firsts


def _targets(
    frame: pl.DataFrame,
    names: Sequence[str],
    lengths: np.ndarray,
    firsts: np.ndarray | None,
    group: str | None,
    path: Path,
    first: int,
) -> pl.DataFrame:
    columns = []
    for name in names:
        column = frame[name]
        if column.null_count():
            row = int(column.is_null().arg_true()[0])
            raise no_target(name, where(path, first + row) if group is None else f"{path}, {group} {frame[group][row]}")
        if firsts is not None:
            column = column.gather(firsts)
            repeated = column.gather(np.repeat(np.arange(len(lengths)), lengths))
            differs = repeated.ne_missing(frame[name])
            if differs.any():
                row = int(differs.arg_true()[0])
                raise DataError(
                    f"expected one {name!r} for a sequence, got {repeated[row]!r} and {frame[name][row]!r} "
                    f"({path}, {group} {frame[group][row] if group else ''})",
                    hint="a model with one output a sequence needs a target that is constant inside the group",
                )
        columns.append(whole_numbers(column))
    return pl.DataFrame(columns)


def no_target(name: str, place: str) -> DataError:
    """A target is missing at a place."""
    return DataError(
        f"expected a value of target {name!r} in every row, got a missing one ({place})",
        hint="leave rows without a target out of this data; to predict them is another step",
    )
