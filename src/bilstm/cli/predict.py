"""What `bilstm predict` writes: predictions in the form of the input, with columns added. Knows forms, not models."""

from __future__ import annotations

import glob
import io
import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bilstm.cli.data import STDIN, dataset_of_lines, sentences_for, series_for, text_column
from bilstm.cli.options import (
    RAY,
    Beam,
    HotWord,
    LanguageModel,
    LanguageModelWeight,
    LookAhead,
    ModelFile,
    WordBonus,
    decoding_options,
)
from bilstm.cli.output import with_written_times
from bilstm.errors import BilstmError, DataError, ParameterError

if TYPE_CHECKING:
    import polars as pl

    from bilstm.data.dataset import Dataset
    from bilstm.estimators.forecaster import BiLSTMForecaster


def predict(
    file: ModelFile,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="A table, a built-in set, a CoNLL file, a .txt file of lines, or - for lines of text. A forecaster "
            "needs none: it goes on from the end of its training series. A transcriber takes sound files, folders, "
            "a table of paths, or - for a sound file.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="A file instead of stdout.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COL", help="Column of texts, if not as in training.")] = None,
    lm: LanguageModel = None,
    lm_weight: LanguageModelWeight = None,
    word_bonus: WordBonus = None,
    hot_word: HotWord = None,
    beam: Beam = None,
    look_ahead: LookAhead = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]", help="Predict many files into a folder, on a Ray cluster or one started here."
        ),
    ] = None,
) -> None:
    """Predict every row, sequence or sentence of DATA, in its order.

    Numbers give CSV with a row for each. Language comes back in its own form with columns added: CSV, JSON lines,
    CoNLL; lines of text as words with tags, or as label, probability and text. On a terminal entities are coloured.
    A forecaster gives the steps that come after DATA, with the bounds of its intervals.

    Example: bilstm predict boston.bilstm new_houses.csv -o prices.csv

    Example: echo "Angela Merkel besuchte Paris" | bilstm predict names.bilstm -

    Example: bilstm predict digits.bilstm *.wav -o out.csv

    Example: bilstm predict boston.bilstm 'folder/*.parquet' --ray -o predictions
    """
    if ray is not None:
        predict_on_workers(file, data or [], output, ray, text)
        return
    from bilstm.estimators.loading import load

    model = load(file)
    decoding = decoding_options(model.task, lm, lm_weight, word_bonus, hot_word, beam, look_ahead)
    if not data and model.task != "forecaster":
        raise ParameterError(f"expected DATA beside a {model.task}, got none", hint="name a file to predict")
    if model.task == "transcriber":
        from bilstm.cli.predict_sound import predict_sounds

        predict_sounds(model, data or [], output, decoding)
        return
    if data and len(data) > 1:
        raise ParameterError(f"expected one DATA beside a {model.task}, got {len(data)}: {' '.join(data[:3])}")

    predict_one(model, data[0] if data else None, output, text)


def predict_series(model: BiLSTMForecaster, data: str | None, output: Path | None) -> None:
    """The coming steps after training, or after DATA, as a table to stdout or to a file."""
    import polars as pl
    import polars.selectors

    from bilstm.cli.output import talk, write_text
    from bilstm.data.source import JSON_LINES, PARQUET

    frame = model.predict(None if data is None else series_for(model, data))
    times = model.known_.times.name
    frame = frame.with_columns(pl.selectors.float().exclude(times).round_sig_figs(7))  # what float32 knows
    frame = frame.with_columns(model.known_.clock.plain(frame[times]))
    ending = "" if output is None else output.suffix.lower()
    if output is None:
        sys.stdout.write(with_written_times(frame).write_csv())
        return
    if ending in PARQUET:
        try:
            frame.write_parquet(output)
        except OSError as error:
            raise DataError(f"cannot write {output}: {error.strerror}", hint="choose another file") from None
    elif ending in JSON_LINES:
        write_text(output, with_written_times(frame).write_ndjson())
    else:
        write_text(output, with_written_times(frame).write_csv(separator="\t" if ending == ".tsv" else ","))
    talk(f"wrote {output}: {frame.height} rows")


COLORS = ("bold cyan", "bold magenta", "bold green", "bold yellow", "bold blue", "bold red")


def predict_one(model: Any, data: str | None, output: Path | None, text: str | None) -> None:
    """Predictions for one file, to a file or to stdout."""
    from bilstm.cli.output import talk, write_text

    if data is None or model.task == "forecaster":
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

    from bilstm.cli.data import read_for
    from bilstm.cli.output import talk, write_text

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
    from bilstm.data.source import TABLES, has_suffix

    path = Path(data)
    if data != STDIN and has_suffix(path, TABLES):
        return _table(model, path, column)
    if data == STDIN or has_suffix(path, (".txt",)):
        return _lines(model, dataset_of_lines(data))
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
    from bilstm.data.text.conll import write_with_column

    dataset = model.read(path)
    out = io.StringIO(newline="")
    write_with_column(path, [tag for tags in model.predict(dataset) for tag in tags], out)
    return out.getvalue()


def _table(model: Any, path: Path, column: str | None) -> str:
    """The rows as they are with columns behind them: CSV stays CSV, JSON lines and Parquet give JSON lines."""
    import polars as pl

    from bilstm.data.source import separator_of
    from bilstm.data.tables.reader import read_raw
    from bilstm.data.text.reader import read_texts

    dataset = read_texts(path, text=text_column(model, path, column))
    frame = read_raw(path)
    is_csv = ".csv" in path.name.lower() or ".tsv" in path.name.lower()
    added = _tagger_columns(model, dataset) if model.task == "tagger" else model.prediction_columns(dataset)
    frame = pl.concat([frame.drop([s.name for s in added], strict=False), pl.DataFrame(added)], how="horizontal")
    if not is_csv:
        return frame.write_ndjson()
    flat = [_as_json(frame[name]) if frame[name].dtype.is_nested() else frame[name] for name in frame.columns]
    return pl.DataFrame(flat).write_csv(separator=separator_of(path), float_precision=None)


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


def predict_on_workers(file: Path, data: Sequence[str], output: Path | None, address: str, text: str | None) -> None:
    """Predict many files into a folder, one output a file; what is there already is not made again."""
    from bilstm.cli.output import made_folder
    from bilstm.cluster.prediction import outputs_of, predict_files
    from bilstm.estimators.loading import load

    if output is None or output.is_file():
        found = "none" if output is None else f"a file ({output})"
        raise ParameterError(f"expected a folder for the predictions beside {RAY}, got {found}", hint="-o FOLDER")
    model = load(file)
    if model.task == "transcriber":
        raise ParameterError(f"expected a model of tables or text beside {RAY}, got a transcriber")
    sources = files_of(data)
    pairs = outputs_of(sources, made_folder(output), partial(ending, model.is_language_))
    make = partial(FilePredictor, file.resolve(), text)
    count, failed = 0, []
    for source, target, reason in predict_files(make, pairs, address=address, newer_than=file.stat().st_mtime):
        count += 1
        if reason is not None:
            failed.append(source)
        print(f"wrote {target}" if reason is None else f"error: {source}: {reason}", file=sys.stderr, flush=True)
    kept = len(pairs) - count
    there = f"; {kept} were there already" if kept else ""
    print(f"{count - len(failed)} of {len(pairs)} files predicted into {output}{there}", file=sys.stderr)
    if failed:
        raise BilstmError(f"expected files that can be predicted, got {len(failed)} of {len(pairs)} that cannot")


class FilePredictor:
    """What `bilstm predict` does with a file, by a model that is loaded once."""

    def __init__(self, file: Path, text: str | None) -> None:
        from bilstm.estimators.loading import load

        self.model = load(file)
        self.text = text

    def __call__(self, source: Path, target: Path) -> None:

        predict_one(self.model, str(source), target, self.text)


def files_of(data: Sequence[str]) -> list[Path]:
    """Files, those in folders, and those that patterns name, in the order of their names."""
    found: list[Path] = []
    for word in data:
        path = Path(word)
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith((".", "_")))
        elif path.exists():
            found.append(path)
        else:
            found += sorted(map(Path, glob.glob(word, recursive=True)))
    if not found:
        raise DataError(f"expected files to predict, got none ({' '.join(data[:3])})")
    return list(dict.fromkeys(found))


def ending(is_language: bool, source: Path) -> str:
    """How the name of an output ends: language comes back in its own form, numbers as CSV.

    Example:
        >>> ending(True, Path("a.parquet")), ending(True, Path("a.conll")), ending(False, Path("a.parquet"))
        ('.jsonl', '.conll', '.csv')
    """
    if not is_language:
        return ".csv"
    suffix = source.name.lower().removesuffix(".gz").rpartition(".")[2]
    return {"parquet": ".jsonl", "pq": ".jsonl", "ndjson": ".jsonl"}.get(suffix, f".{suffix}")
