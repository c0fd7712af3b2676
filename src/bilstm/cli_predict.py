"""What `bilstm predict` writes: predictions in the form of the input, with columns added. Knows forms, not models."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from bilstm.data.dataset import Dataset

STDIN = "-"
COLORS = ("bold cyan", "bold magenta", "bold green", "bold yellow", "bold blue", "bold red")


def predict_one(model: Any, data: str | None, output: Path | None, text: str | None) -> None:
    """Predictions for one file, to a file or to stdout."""
    from bilstm.cli import talk, write_text

    if data is None or model.task == "forecaster":
        from bilstm.cli_series import predict_series

        predict_series(model, data, output)
        return
    if model.is_language_:
        if output is None and model.task == "tagger" and sys.stdout.isatty():
            painted(model, data, text)
        elif output is None:
            sys.stdout.write(predicted_text(model, data, text))
        else:
            write_text(output, predicted_text(model, data, text))
            talk(f"wrote {output}")
        return
    _rows(model, data, output)


def _rows(model: Any, data: str, output: Path | None) -> None:
    """Predictions of numbers as CSV, one row a sequence."""
    import polars as pl
    import polars.selectors

    from bilstm.cli import read_for, talk, write_text

    rows = read_for(model, data)
    frame = pl.DataFrame(model.prediction_columns(rows))
    frame = frame.with_columns(pl.selectors.float().round_sig_figs(7))  # what float32 knows
    if rows.ids is not None:
        frame = frame.insert_column(0, rows.ids)
    if output is None:
        sys.stdout.write(frame.write_csv())
    else:
        write_text(output, frame.write_csv())
        talk(f"wrote {output}: {frame.height} rows")


def predicted_text(model: Any, data: str, column: str | None) -> str:
    """DATA once more with what a model that reads words says of it.

    Args:
        model: a fitted classifier of text or a tagger.
        data: a table, a CoNLL file, a file of lines, or ``-`` for lines from stdin.
        column: the column of texts in a table; None for the one of the training file.
    """
    from bilstm.data.tables import TABLES, has_suffix

    path = Path(data)
    if data != STDIN and has_suffix(path, TABLES):
        return _table(model, path, column)
    if data == STDIN or has_suffix(path, (".txt",)):
        return _lines(model, _dataset_of_lines(data))
    if model.task == "tagger":
        return _conll(model, path)
    raise DataError(
        f"expected a table or a text file, got {path.suffix or 'a file without an ending'} ({path})",
        hint="texts stand in .csv, .jsonl or .parquet, or one a line in .txt",
    )


def painted(model: Any, data: str, column: str | None) -> None:
    """The sentences of DATA on a terminal, entities in colour with their types; other tags behind their words."""
    from rich.console import Console
    from rich.text import Text

    dataset = sentences_for(model, data, column)
    console = Console(highlight=False, soft_wrap=True)
    kinds: dict[str, str] = {}
    if model.scheme_ is None:
        for words, tags in zip(_words(dataset), model.predict(dataset), strict=True):
            pieces = [part for word, tag in zip(words, tags, strict=True) for part in (word, (f"/{tag} ", "cyan"))]
            console.print(Text.assemble(*pieces))
        return
    for text, found in zip(_texts(dataset), model.entities(dataset), strict=True):
        line, end = Text(), 0
        for entity in found:
            color = kinds.setdefault(entity.type, COLORS[len(kinds) % len(COLORS)])
            line.append(text[end : entity.start])
            line.append(f"[{entity.text}]", style=color)
            line.append(f"{entity.type} {entity.probability:.2f}", style="dim")
            end = entity.end
        console.print(line + Text(text[end:]))


def sentences_for(model: Any, data: str, column: str | None) -> Dataset:
    """DATA of words in any form: a file of lines, lines from stdin, a table, or what the model itself reads."""
    from bilstm.data.tables import TABLES, has_suffix
    from bilstm.data.text import read_texts

    path = Path(data)
    if data == STDIN or has_suffix(path, (".txt",)):
        return _dataset_of_lines(data)
    if has_suffix(path, TABLES):
        return read_texts(path, text=_text_column(model, path, column))
    found: Dataset = model.read(path)
    return found


def _dataset_of_lines(data: str) -> Dataset:
    from bilstm.data.files import existing_file
    from bilstm.data.text import from_texts

    raw = sys.stdin.buffer.read() if data == STDIN else existing_file(data, "lines of text").read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"expected UTF-8 text, got other bytes ({data}, line {line})") from None
    lines = text.splitlines()
    if not lines:
        raise DataError(f"expected lines of text, got none ({data})")
    return from_texts(lines, source=data)


def _lines(model: Any, dataset: Dataset) -> str:
    """Of a tagger: words and tags, a blank line behind each sentence. Of a classifier: label, probability, text."""
    if model.task == "tagger":
        out = io.StringIO()
        for words, tags in zip(_words(dataset), model.predict(dataset), strict=True):
            out.writelines(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
            out.write("\n")
        return out.getvalue()
    labels, chances = (column.to_list() for column in model.prediction_columns(dataset))
    rows = zip(labels, chances, _texts(dataset), strict=True)
    return "".join(f"{_word(label)}\t{_word(chance)}\t{text}\n" for label, chance, text in rows)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "|".join(map(_word, value)) if isinstance(value, list) else str(value)


def _conll(model: Any, path: Path) -> str:
    from bilstm.data.conll import write_with_column

    dataset = model.read(path)
    out = io.StringIO(newline="")
    write_with_column(path, [tag for tags in model.predict(dataset) for tag in tags], out)
    return out.getvalue()


def _table(model: Any, path: Path, column: str | None) -> str:
    """The rows as they are with columns behind them: CSV stays CSV, JSON lines and Parquet give JSON lines."""
    import polars as pl

    from bilstm.data.tables import read_raw, separator_of
    from bilstm.data.text import read_texts

    dataset = read_texts(path, text=_text_column(model, path, column))
    frame = read_raw(path)
    is_csv = ".csv" in path.name.lower() or ".tsv" in path.name.lower()
    added = _tagger_columns(model, dataset) if model.task == "tagger" else model.prediction_columns(dataset)
    frame = pl.concat([frame.drop([s.name for s in added], strict=False), pl.DataFrame(added)], how="horizontal")
    if not is_csv:
        return frame.write_ndjson()
    flat = [_as_json(frame[name]) if frame[name].dtype.is_nested() else frame[name] for name in frame.columns]
    return pl.DataFrame(flat).write_csv(separator=separator_of(path), float_precision=None)


def _text_column(model: Any, path: Path, column: str | None) -> str:
    from bilstm.data.tables import missing_column, read_raw

    column = column or model.read_with_.get("text")
    if column is None:
        columns = read_raw(path).columns
        column = "text" if "text" in columns else None
        if column is None:
            raise missing_column("text", columns, path)
    return column


def _tagger_columns(model: Any, dataset: Dataset) -> list[pl.Series]:
    """Words, tags, and entities with their places where the tags are of that kind."""
    import polars as pl

    columns = [pl.Series("words", list(_words(dataset)), dtype=pl.List(pl.String))]
    columns.append(pl.Series("tags", model.predict(dataset), dtype=pl.List(pl.String)))
    if model.scheme_ is not None:
        found = [
            [entity._asdict() | {"probability": round(entity.probability, 4)} for entity in row]
            for row in model.entities(dataset)
        ]
        columns.append(pl.Series("entities", found))
    return columns


def _as_json(column: pl.Series) -> pl.Series:
    import polars as pl

    values = [None if value is None else json.dumps(_plain(value), ensure_ascii=False) for value in column]
    return pl.Series(column.name, values, dtype=pl.String)


def _plain(value: Any) -> Any:
    return value.to_list() if hasattr(value, "to_list") else value


def _words(dataset: Dataset) -> Iterable[list[str]]:
    words = dataset.steps["word"].to_list()
    return [words[a : a + t] for a, t in zip(dataset.starts, dataset.lengths, strict=True)]


def _texts(dataset: Dataset) -> list[str]:
    if dataset.texts is not None:
        return dataset.texts.to_list()
    return [" ".join(words) for words in _words(dataset)]
