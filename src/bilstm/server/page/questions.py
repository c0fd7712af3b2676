"""What a person asks: files and forms to rows as the API takes them. Knows forms of data; draws nothing.

No name of an uploaded file ever becomes a path: its content is read from a fresh file of ours.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.tables.reader import read_raw, read_table
from bilstm.data.text.reader import read_texts
from bilstm.errors import BilstmError, DataError
from bilstm.formatting import clipped, written_times

PLAIN_TABLES = ".csv,.tsv,.jsonl,.ndjson"  # compressed ones could grow without bounds
PLAIN_TEXTS = f".txt,{PLAIN_TABLES}"


@dataclass(frozen=True)
class Question:
    """One or several inputs.

    Args:
        rows: as ``Served.predict`` takes them.
        names: what each is called on the page.
        data: the same as ``bilstm.xray.x_ray`` takes them; None: from the end of a forecaster's training.
    """

    rows: list[Any]
    names: list[str]
    data: Any = None


def read_content(name: str, content: bytes, read: Callable[[Path], Any], kinds: str = PLAIN_TEXTS) -> Any:
    """What a reader of files says of content that came without a file.

    Args:
        name: of the file it was in, for its ending and for messages.
        content: of it.
        read: takes a path.
        kinds: endings that it reads.

    Raises:
        DataError: as the reader does, with ``name`` where it would say the path.
    """
    ending = Path(name).suffix.lower() or ".csv"
    if ending not in kinds.split(","):
        raise DataError(f"expected a table as text ({kinds}), got {ending} ({name})", "save it as CSV")
    handle, path = tempfile.mkstemp(suffix=ending, prefix="bilstm-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return read(Path(path))
    except BilstmError as error:
        told = error.message.replace(path, name), error.hint.replace(path, name) if error.hint else None
        raise DataError(*told) from None
    finally:
        os.unlink(path)


def columns_of(model: Any) -> list[str]:
    """The columns that a model of tables, sequences or series needs."""
    used = model.features_.kinds if hasattr(model, "features_") else model.feature_names_
    return [name for name in model.feature_names_ if name in used]


def rows_of_table(model: Any, name: str, content: bytes) -> Question:
    """A file of a table, a row each."""
    data = read_content(name, content, model.read)
    return Question(data.steps.to_dicts(), [f"row {n}" for n in range(len(data))], data)


def sequences_of_table(model: Any, name: str, content: bytes) -> Question:
    """A file of sequences: those of training's column of groups where it has that column, else one sequence."""
    group = model.read_with_.get("group")

    def read(path: Path) -> Dataset:
        if group is not None and group in read_raw(path).columns:
            found: Dataset = model.read(path)
            return found
        whole = read_table(path, features=columns_of(model), kinds=model.features_.kinds)
        return Dataset(whole.steps, [whole.steps.height], source=whole.source)  # type: ignore[arg-type]

    data = read_content(name, content, read)
    names = [f"sequence {n}" for n in range(len(data))] if data.ids is None else [str(one) for one in data.ids]
    starts = zip(data.starts, data.lengths, strict=True)
    return Question([data.steps[int(a) : int(a + t)].to_dicts() for a, t in starts], names, data)


def texts_of(model: Any, name: str, content: bytes) -> Question:
    """A file of texts: a table with the column of training, or lines."""
    if Path(name).suffix.lower() != ".txt":
        column = model.read_with_.get("text", "text")
        texts = read_content(name, content, lambda path: _texts(path, column))
    else:
        texts = [line for line in _decoded(name, content).splitlines() if line.strip()]
    if not texts:
        raise DataError(f"expected lines of text, got none ({name})")
    return question_of_texts(texts)


def question_of_texts(texts: list[str]) -> Question:
    """Texts by themselves."""
    return Question(texts, [clipped(text, 40) for text in texts], texts)


def series_of_table(model: Any, name: str, content: bytes) -> Question:
    """A file of series: newer values to go on from."""
    return question_of_series(model, read_content(name, content, model.read))


def question_of_series(model: Any, series: Series | None) -> Question:
    """What comes after series; None: after those of training."""
    if series is None:
        return Question([None], ["the training series"])
    names, rows = columns_of_series(model), written_series(model, series)
    return Question([[dict(zip(names, row, strict=True)) for row in rows]], ["the series"], series)


def columns_of_series(model: Any) -> list[str]:
    """The columns of a file of series: the names of series, the times, the values."""
    return [*(model.read_with_[key] for key in ("group", "time") if key in model.read_with_), *model.feature_names_]


def written_series(model: Any, series: Series) -> list[list[Any]]:
    """Rows of series as they would stand in a file; see :func:`columns_of_series`."""
    columns = [series.steps[name].to_list() for name in model.feature_names_]
    if "time" in model.read_with_:
        columns.insert(0, written_times(series.times, series.clock.zoned))
    if "group" in model.read_with_ and series.ids is not None:
        owners = np.repeat(np.arange(len(series)), series.lengths)
        columns.insert(0, series.ids.gather(owners).to_list())
    return [list(row) for row in zip(*columns, strict=True)]


def as_csv(columns: list[str], rows: list[list[Any]]) -> str:
    """Rows below a header.

    Example:
        >>> as_csv(["a", "b"], [[1, None]])
        'a,b\\n1,\\n'
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


def _texts(path: Path, column: str) -> list[str]:
    texts = read_texts(path, text=column).texts
    assert texts is not None
    return texts.to_list()


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"expected UTF-8 text, got other bytes ({name}, line {line})") from None
