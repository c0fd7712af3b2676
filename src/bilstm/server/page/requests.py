"""What is asked on the page: files and texts to rows as the API takes them. Knows kinds of data; draws nothing.

No name of an uploaded file ever becomes a path: its content is read from a fresh file of ours.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.tables.reader import read_raw, read_table
from bilstm.data.text.reader import read_lines, read_texts
from bilstm.errors import BilstmError, DataError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.formatting import clipped, written_times

PLAIN_TABLES = ".csv,.tsv,.jsonl,.ndjson"  # compressed ones could grow without bounds
PLAIN_TEXTS = f".txt,{PLAIN_TABLES}"
Content = TypeVar("Content")


@dataclass(frozen=True)
class Request:
    rows: list[Any]  # as Served.predict takes them
    names: list[str]  # what each is called on the page
    data: Any = None  # the same as bilstm.xray.x_ray takes it; None: from the end of a forecaster's training


def read_content(name: str, content: bytes, read: Callable[[Path], Content], kinds: str = PLAIN_TEXTS) -> Content:
    """What a reader of files makes of content that came without a file; errors say ``name`` where it says the path."""
    ending = Path(name).suffix.lower() or ".csv"
    if ending not in kinds.split(","):
        raise DataError(f"expected a table as text ({kinds}), got {ending} ({name})", "save it as CSV")
    handle, path = tempfile.mkstemp(suffix=ending, prefix="bilstm-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return read(Path(path))
    except BilstmError as error:
        hint = error.hint.replace(path, name) if error.hint else None
        raise DataError(error.message.replace(path, name), hint) from None
    finally:
        os.unlink(path)


def rows_of_table(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    data = read_content(name, content, estimator.read)
    return Request(data.steps.to_dicts(), [f"row {n}" for n in range(len(data))], data)


def sequences_of_table(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    """A file of sequences: those of training's column of groups where it has that column, else one sequence."""
    group = estimator.read_with_.get("group")

    def read(path: Path) -> Dataset:
        if group is not None and group in read_raw(path).columns:
            return estimator.read(path)
        kinds = estimator.features_.kinds
        columns = [column for column in estimator.feature_names_ if column in kinds]
        whole = read_table(path, features=columns, kinds=kinds)
        return Dataset(whole.steps, np.array([whole.steps.height]), source=whole.source)

    data = read_content(name, content, read)
    names = [f"sequence {n}" for n in range(len(data))] if data.ids is None else [str(one) for one in data.ids]
    starts = zip(data.starts.tolist(), data.lengths.tolist(), strict=True)
    return Request([data.steps[a : a + t].to_dicts() for a, t in starts], names, data)


def texts_of_file(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    """A file of texts: a table with the column of training, or lines."""
    is_lines = Path(name).suffix.lower() == ".txt"
    column = estimator.read_with_.get("text", "text")
    data = read_content(name, content, read_lines if is_lines else partial(read_texts, text=column))
    texts = [] if data.texts is None else [text for text in data.texts.to_list() if text.strip() or not is_lines]
    if not texts:
        raise DataError(f"expected lines of text, got none ({name})")
    return request_of_texts(texts)


def request_of_texts(texts: list[str]) -> Request:
    return Request(texts, [clipped(text, 40) for text in texts], texts)


def sound_of_file(estimator: BiLSTMEstimator, name: str, content: bytes) -> Request:
    return Request([content], [name], [content])


def series_of_table(estimator: BiLSTMForecaster, name: str, content: bytes) -> Request:
    """A file of series: newer values to go on from."""
    series = read_content(name, content, estimator.read)
    columns, rows = series_columns(estimator), series_rows(estimator, series)
    return Request([[dict(zip(columns, row, strict=True)) for row in rows]], ["the series"], series)


def series_columns(estimator: BiLSTMForecaster) -> list[str]:
    """The columns of a file of series: the names of series, the times, the values."""
    before = [estimator.read_with_[key] for key in ("group", "time") if key in estimator.read_with_]
    return [*before, *estimator.feature_names_]


def series_rows(estimator: BiLSTMForecaster, series: Series) -> list[list[Any]]:
    """Rows of series as they would stand in a file; see :func:`series_columns`."""
    columns = [series.steps[name].to_list() for name in estimator.feature_names_]
    if "time" in estimator.read_with_:
        columns.insert(0, written_times(series.times, series.clock.zoned))
    if "group" in estimator.read_with_ and series.ids is not None:
        owners = np.repeat(np.arange(len(series)), series.lengths)
        columns.insert(0, series.ids.gather(owners).to_list())
    return [list(row) for row in zip(*columns, strict=True)]


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows below a header.

    Example:
        >>> as_csv(["a", "b"], [[1, None]])
        'a,b\\n1,\\n'
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()
