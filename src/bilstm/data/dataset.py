"""What a reader returns: sequences, targets and their names, in the caller's order.

Knows which columns there are and in which order. Does not scale, encode, pad or shuffle anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import polars as pl

from bilstm.data.columns import (
    Array,
    as_column,
    as_sequences,
    is_missing,
    is_sequence,
    kinds_of,
    matrix_of,
    object_column,
    rows_of,
)
from bilstm.data.source import ARRAYS, Source, check_different
from bilstm.errors import DataError

D = TypeVar("D", bound="Dataset")
WORD = "word"  # the one column of a Dataset of sentences


@dataclass(frozen=True)
class Dataset:
    """N sequences, stored as one frame that holds the steps of all of them, one below the other.

    A table is the case in which every sequence has one step. Sequence n owns
    ``steps[starts[n] : starts[n] + lengths[n]]``.

    Args:
        steps: one row a step, one column a feature: numbers (Float64) or categories (String). Of language the one
            column ``word`` (String).
        lengths: steps of each sequence, (N,), integers, zeros allowed.
        targets: one row a sequence, one column a target, or None where they are not known.
        ids: a name for each sequence (N,), or None: then it is known by its position.
        source: where it came from; a text that error messages call it by will do.
        read_with: which columns of the file gave its form (``group``, ``order``, ``text``, ``tag``; of series ``time``,
            ``group``, ``target``, ``future``), for the next file like it.
        tags: of sentences whose every word has a target: one row a step; ``targets`` is then None.
        texts: what the words were cut from, (N,) String, or None where they came as words.
        spans: first character and the one past the last of each word in its text, (S, 2), beside ``texts``.
        is_language: whether the steps are words, in the column ``word``; a table may have a column of that name too.
        first_rows: row of ``steps`` at which each sequence begins, (N,), where they overlap or leave steps out; None:
            one follows the other.

    Raises:
        DataError: lengths do not add up to the number of steps, or sequences reach beyond them; there is not a row of
            targets for each sequence, or of tags for each step.

    Example:
        >>> data = Dataset.from_arrays([np.zeros((3, 2)), np.ones((1, 2))], np.array([0.5, 1.5]))
        >>> len(data), data.feature_names, data.lengths.tolist()
        (2, ['x0', 'x1'], [3, 1])
    """

    steps: pl.DataFrame
    lengths: Array
    targets: pl.DataFrame | None = None
    ids: pl.Series | None = None
    source: Source = ARRAYS
    read_with: Mapping[str, str] = field(default_factory=dict)
    tags: pl.DataFrame | None = None
    texts: pl.Series | None = None
    spans: Array | None = None
    is_language: bool = False
    first_rows: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Source.of(self.source))
        object.__setattr__(self, "lengths", np.asarray(self.lengths, dtype=np.int64))
        if self.first_rows is not None:
            if (self.first_rows < 0).any() or (self.first_rows + self.lengths > self.steps.height).any():
                raise DataError(f"expected sequences within {self.steps.height} steps, got some that reach beyond them")
        elif int(self.lengths.sum()) != self.steps.height:
            raise DataError(f"expected lengths that add up to {self.steps.height} steps, got {int(self.lengths.sum())}")
        if self.targets is not None and self.targets.height != len(self.lengths):
            raise DataError(f"expected {len(self.lengths)} targets, got {self.targets.height}")
        for name in self.per_step:
            values = getattr(self, name)
            if values is not None and len(values) != self.steps.height:
                raise DataError(f"expected {name} for {self.steps.height} steps, got {len(values)} of them")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def is_named(self) -> bool:
        """Whether the targets have names of the caller's, rather than ours for arrays."""
        return any(not re.fullmatch(r"y\d*", name) for name in self.target_names)

    @property
    def feature_names(self) -> list[str]:
        """Columns of the steps."""
        return self.steps.columns

    @property
    def target_names(self) -> list[str]:
        """Columns of the targets or tags; none where they are not known."""
        known = self.targets if self.tags is None else self.tags
        return [] if known is None else known.columns

    @property
    def kinds(self) -> dict[str, str]:
        """How its columns were read, ``number`` or ``category``, for a second file like it."""
        return kinds_of(self.steps) | ({} if self.targets is None else kinds_of(self.targets))

    @property
    def is_table(self) -> bool:
        """Whether every sequence has exactly one step, and that is no word."""
        return bool((self.lengths == 1).all()) and not self.is_language

    @cached_property
    def starts(self) -> Array:
        """Row of ``steps`` at which each sequence begins, (N,)."""
        return np.cumsum(self.lengths) - self.lengths if self.first_rows is None else self.first_rows

    @property
    def sequences(self) -> list[Array]:
        """The sequences as arrays (T_i, F) of float64, for programs that want plain arrays."""
        matrix = matrix_of(self.steps)
        return [matrix[a : a + t] for a, t in zip(self.starts, self.lengths, strict=True)]

    @property
    def target_values(self) -> Array:
        """The targets as an array: (N,) for one target, (N, K) for several."""
        if self.targets is None:
            raise DataError(f"expected data with targets, got none ({self.source})")
        columns = self.targets.get_columns()
        return columns[0].to_numpy() if len(columns) == 1 else np.stack([c.to_numpy() for c in columns], axis=1)

    per_sequence: ClassVar[tuple[str, ...]] = ("lengths", "targets", "ids", "texts")  # fields with a row for each
    per_step: ClassVar[tuple[str, ...]] = ("steps", "tags", "spans")

    def take(self, rows: Sequence[int] | Array) -> Self:
        """The sequences at positions ``rows``, in that order; or those where a mask (N,) is true."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        steps = np.repeat(self.starts[rows], lengths) + within
        fields = {name: _at(getattr(self, name), rows) for name in self.per_sequence}
        fields |= {name: _at(getattr(self, name), steps) for name in self.per_step}
        return replace(self, first_rows=None, **fields)

    def check_lengths(self) -> None:
        """Raise a DataError if there are no sequences, or one without steps; a text without words is none."""
        if len(self) == 0:
            raise DataError(f"expected at least one sequence, got 0 samples ({self.source})")
        if (self.lengths == 0).any() and not self.is_language:
            position = int((self.lengths == 0).argmax())
            got = f"an empty one ({self.source}, sequence {position if self.ids is None else self.ids[position]})"
            hint = "leave it out; there is nothing in it to learn from"
            raise DataError(f"expected sequences of at least one step, got {got}", hint=hint)

    def renamed(self, names: Sequence[str]) -> Self:
        """The same data with the features called ``names``, position by position."""
        steps = self.steps.clone()
        steps.columns = list(names)
        return replace(self, steps=steps)

    def fingerprint(self) -> str:
        """A digest of values, lengths and targets; the same data has the same one in every process."""
        digest = hashlib.sha256(np.ascontiguousarray(self.lengths).tobytes())
        for frame in (self.steps, self.targets, self.tags):
            for column in [] if frame is None else frame.get_columns():
                digest.update(column.name.encode())
                values = column.to_numpy() if column.dtype.is_numeric() else None
                digest.update(repr(column.to_list()).encode() if values is None else values.tobytes())
        return digest.hexdigest()

    @classmethod
    def from_arrays(cls, X: Any, y: Any = None, source: Source | str = ARRAYS) -> Dataset:
        """Take what a program holds: a table, an array (N, T, F), or a list of arrays (T_i, F).

        Args:
            X: DataFrame (polars, pandas) or array (N, F): one row = a sequence of one step;
                array (N, T, F); list, object array or Series of arrays (T_i, F), or of (T_i,) for one feature.
            y: targets, (N,) or (N, K), array, list, Series or DataFrame; or None.
            source: what error messages call this data.

        Raises:
            DataError: arrays of other shapes, or with different numbers of features.
        """
        source = Source.of(source)
        steps, lengths = _steps_and_lengths(X, source)
        return cls(steps, lengths, None if y is None else target_frame(y), source=source)


def joined(parts: Sequence[D]) -> D:
    """Datasets with the same columns as one, its sequences in their order."""
    if len(parts) == 1:
        return parts[0]
    names = (*parts[0].per_sequence, *parts[0].per_step)
    return replace(parts[0], **{name: _stacked([getattr(part, name) for part in parts]) for name in names})


def without_none(**values: str | None) -> dict[str, str]:
    """The options that were given, as ``read_with`` keeps them."""
    return {name: value for name, value in values.items() if value is not None}


def _at(values: Any, rows: Array) -> Any:
    """Rows of an array, a frame, a Series or a tuple; None where there are none."""
    if isinstance(values, tuple):
        return tuple(values[row] for row in rows)
    if isinstance(values, pl.DataFrame):
        return rows_of(values, rows)
    return None if values is None else values[rows]


def _stacked(parts: Sequence[Any]) -> Any:
    """Values of several Datasets one below the other; whole numbers and others together are numbers."""
    first = parts[0]
    if any(part is None for part in parts):
        return None
    if isinstance(first, tuple):
        return tuple(value for part in parts for value in part)
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, pl.Series):
        return pl.concat(parts)
    if len({tuple(frame.dtypes) for frame in parts}) == 1:
        return pl.DataFrame([pl.concat([frame[name] for frame in parts]) for name in first.columns])
    return pl.concat(parts, how="vertical_relaxed")


def _steps_and_lengths(X: Any, source: Source) -> tuple[pl.DataFrame, Array]:
    if is_frame(X):
        frame = as_frame(X, source)
        return frame, np.ones(frame.height, dtype=np.int64)
    X = as_sequences(X)
    if isinstance(X, (list, tuple)) and any(is_sequence(row) for row in X):
        arrays = [_as_array(row, source, position) for position, row in enumerate(X)]
        if arrays[0].ndim == 2 or len({array.shape for array in arrays}) > 1:
            return _ragged(arrays, source)
        X = arrays
    array = np.asarray(X)
    if array.ndim == 3:
        n, t, f = array.shape
        return numbered_frame(array.reshape(n * t, f), source), np.full(n, t, dtype=np.int64)
    if array.ndim == 2:
        return numbered_frame(array, source), np.ones(len(array), dtype=np.int64)
    expected = "a table (N, F), an array (N, T, F) or a list of arrays (T_i, F)"
    hint = "Reshape your data: array.reshape(-1, 1) for one feature, array.reshape(1, -1) for one row"
    odd = [value for value in array if not (np.isscalar(value) or is_missing(value))] if array.ndim == 1 else []
    if odd:
        raise DataError(f"expected {expected}, got {type(odd[0]).__name__} among its values ({source})")
    if hasattr(X, "to_frame"):
        hint = "a Series of numbers is one column: X.to_frame()"
    elif array.ndim > 3:
        hint = "what stands behind the steps is one axis of features: array.reshape(N, T, -1)"
    raise DataError(f"expected {expected}, got an array of {array.ndim} dimensions ({source})", hint=hint)


def _as_array(sequence: Any, source: Source, position: int) -> Array:
    """One sequence of many as an array (T, F), or (T,) for one feature."""
    try:
        return np.asarray(sequence)
    except ValueError:
        hint = "every step has a value for every feature; NaN stands for one that is missing"
        got = f"steps of different lengths ({source}, sequence {position})"
        raise DataError(f"expected a sequence as an array (T, F), got {got}", hint=hint) from None


def _ragged(arrays: Sequence[Array], source: Source) -> tuple[pl.DataFrame, Array]:
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    height, width = next((array.shape for array in arrays if array.ndim == 2), (0, 1))
    for position, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != width:
            hint = None
            if array.ndim == 2 and array.shape[0] == height:
                hint = "a step is a row, a feature a column: turn each sequence round, x.T"
            elif array.ndim == 0 and is_missing(array.item()):
                hint = "leave sequences out that are missing"
            got = f"{array.item()!r}" if array.ndim == 0 else f"{array.shape}"
            raise DataError(
                f"expected sequences of shape (T, {width}), got {got} ({source}, sequence {position})", hint
            )
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    return numbered_frame(np.concatenate(arrays), source), lengths


def numbered_frame(matrix: Array, source: Source = ARRAYS) -> pl.DataFrame:
    """An array (S, F) as a frame with columns x0, x1, …; objects stay numbers where all of them are."""
    names = [f"x{i}" for i in range(matrix.shape[1])]
    if matrix.dtype.kind in "fiub":
        return pl.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64), schema=names)
    if matrix.dtype.kind == "c":
        raise DataError(f"expected real numbers, got complex ones (Complex data not supported; {source})")
    return pl.DataFrame([object_column(name, matrix[:, i]) for i, name in enumerate(names)])


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of polars or pandas."""
    return hasattr(X, "columns") and (hasattr(X, "to_numpy") or hasattr(X, "__dataframe__"))


def as_frame(X: Any, source: Source = ARRAYS) -> pl.DataFrame:
    """A polars or pandas DataFrame as polars, every column Float64 or String."""
    names = [str(name) for name in X.columns]
    check_different(names, source)
    if isinstance(X, pl.DataFrame):
        return pl.DataFrame([as_column(column) for column in X.get_columns()])
    return pl.DataFrame([_pandas_column(name, X.iloc[:, i]) for i, name in enumerate(names)])


def _pandas_column(name: str, column: Any) -> pl.Series:
    if column.dtype.kind in "mM":  # dates are text
        column = column.astype(str).where(column.notna(), None)
    values = column.to_numpy()
    if values.dtype.kind in "fiub":
        is_category = str(column.dtype) == "category"
        return as_column(pl.Series(name, values), "category" if is_category else "")
    return object_column(name, np.asarray(values, dtype=object))


def target_frame(y: Any) -> pl.DataFrame:
    """Targets of every kind that a program holds as a frame with one row a sequence; sets of labels as lists."""
    if isinstance(y, pl.Series):
        y = y.to_frame(y.name or "y")
    if isinstance(y, pl.DataFrame):
        return y
    if hasattr(y, "columns"):
        return pl.DataFrame({str(name): _target_series(np.asarray(y[name])) for name in y.columns})
    name = str(getattr(y, "name", None) or "y")
    y = as_sequences(y)
    if is_labels_lists(y):
        return pl.DataFrame({name: pl.Series([sorted(map(str, labels)) for labels in y], dtype=pl.List(pl.String))})
    values = np.asarray(y)
    if values.dtype.kind == "U" and not (isinstance(y, np.ndarray) and y.dtype.kind == "U"):
        values = np.asarray(y, dtype=object)  # numpy would turn a missing label into the text 'nan'
    if values.ndim == 1:
        return pl.DataFrame({name: _target_series(values)})
    if values.ndim == 2:
        return pl.DataFrame({f"y{i}": _target_series(values[:, i]) for i in range(values.shape[1])})
    raise DataError(f"expected targets of shape (N,) or (N, K), got {values.shape}")


def is_labels_lists(y: Any) -> bool:
    """Whether every sequence has a list (or set) of labels."""
    y = as_sequences(y)
    if not isinstance(y, (list, tuple)) or not all(isinstance(labels, (list, tuple, set, frozenset)) for labels in y):
        return False
    return any(len(labels) for labels in y) and all(isinstance(label, str) for labels in y for label in labels)


def _target_series(values: Array) -> pl.Series:
    if values.dtype.kind != "O":
        return pl.Series(values)
    present = [None if is_missing(value) else value for value in values]
    if len({isinstance(value, str) for value in present if value is not None}) > 1:
        odd = next(value for value in present if value is not None and not isinstance(value, str))
        raise DataError(f"expected targets of one kind, got text and {odd!r} together")
    return pl.Series(present, strict=False)
