"""How predictions and figures of merit are written, by the kind of the model.

Knows forms of files and words; what is predicted and measured the estimators know. They bring torch, so that a command
imports this file when it runs.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path
from typing import Any

import polars as pl

from bilstm.cli.options import STDIN
from bilstm.cli.output import print_figures, talk, write_frame, write_text
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.sound.recordings import Recordings
from bilstm.data.source import TABLES, has_suffix, separator_of
from bilstm.data.tables.reader import read_raw
from bilstm.data.text.conll import write_with_column
from bilstm.data.text.reader import texts_in, words_in
from bilstm.errors import DataError, ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.estimators.transcripts import columns_of
from bilstm.metrics.predictions import evaluate

COLORS = ("bold cyan", "bold magenta", "bold green", "bold yellow", "bold blue", "bold red")

# -- predictions -----------------------------------------------------------------------------------------------


@singledispatch
def write_predictions(
    model: BiLSTMEstimator, dataset: Dataset | None, source: str, output: Path | None, options: Mapping[str, Any]
) -> None:
    """Predict, and write what is predicted to a file or to stdout: a table with a row for each.

    ``source`` is DATA as the user named it, whose form predictions of language take.
    """
    write_frame(model.prediction_frame(dataset), output)


@write_predictions.register
def _(model: LanguageEstimator, dataset: Dataset, source: str, output: Path | None, options: Mapping[str, Any]) -> None:
    if not model.is_language_:
        write_frame(model.prediction_frame(dataset), output)
    elif has_suffix(Path(source), TABLES):
        write_text(_table(model, dataset, Path(source)), output)
    elif _is_lines(source):
        labels, probabilities = (column.to_list() for column in model.prediction_columns(dataset))
        rows = zip(labels, probabilities, texts_in(dataset), strict=True)
        lines = (f"{_word(label)}\t{_word(probability)}\t{text}\n" for label, probability, text in rows)
        write_text("".join(lines), output)
    else:
        raise DataError(
            f"The ending of {source} does not say whether it is a table or lines of text.",
            hint="texts stand in .csv, .jsonl or .parquet, or one a line in .txt",
        )


@write_predictions.register
def _(model: BiLSTMTagger, dataset: Dataset, source: str, output: Path | None, options: Mapping[str, Any]) -> None:
    if output is None and sys.stdout.isatty():
        paint(model, dataset)
        return
    if has_suffix(Path(source), TABLES):
        write_text(_table(model, dataset, Path(source)), output)
        return
    out = io.StringIO(newline="")
    tags = model.predict(dataset)
    if _is_lines(source):
        for words, names in zip(words_in(dataset), tags, strict=True):
            out.writelines(f"{word}\t{tag}\n" for word, tag in zip(words, names, strict=True))
            out.write("\n")
    else:
        write_with_column(Path(source), [tag for names in tags for tag in names], out)
    write_text(out.getvalue(), output)


@write_predictions.register
def _(model: BiLSTMTranscriber, dataset: Dataset, source: str, output: Path | None, options: Mapping[str, Any]) -> None:
    assert isinstance(dataset, Recordings)
    names, transcripts = dataset.names, model.transcribe(dataset, **options)
    for name, transcript in zip(names, transcripts, strict=True):
        if transcript.note is not None:
            talk(f"note: {name}: {transcript.note}")
    if all(transcript.note is not None and not transcript.text for transcript in transcripts):
        raise DataError(f"Nothing can be heard in {', '.join(names[:3])}.")
    ending = "" if output is None else output.suffix.lower()
    if ending in (".json", ".jsonl", ".ndjson"):
        rows = [{"path": name} | one.to_json() for name, one in zip(names, transcripts, strict=True)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = f"[{', '.join(lines)}]\n" if ending == ".json" else "\n".join(lines) + "\n"
    elif ending == ".txt" or (output is None and len(transcripts) == 1):
        text = "".join(f"{transcript.text}\n" for transcript in transcripts)
    else:
        separator = "\t" if ending == ".tsv" else ","
        text = pl.DataFrame(columns_of(names, transcripts)).write_csv(separator=separator)
    write_text(text, output, f": {len(transcripts)} recordings")


def paint(model: BiLSTMTagger, dataset: Dataset) -> None:
    """The sentences on a terminal, entities in colour with their types; other tags behind their words."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    if model.scheme_ is None:
        for words, tags in zip(words_in(dataset), model.predict(dataset), strict=True):
            pieces = [part for word, tag in zip(words, tags, strict=True) for part in (word, (f"/{tag} ", "cyan"))]
            console.print(Text.assemble(*pieces))
        return
    colors: dict[str, str] = {}
    for text, entities in zip(texts_in(dataset), model.entities(dataset), strict=True):
        line, end = Text(), 0
        for entity in entities:
            color = colors.setdefault(entity.type, COLORS[len(colors) % len(COLORS)])
            line.append(text[end : entity.start])
            line.append(f"[{entity.text}]", style=color)
            line.append(f"{entity.type} {entity.probability:.2f}", style="dim")
            end = entity.end
        console.print(line + Text(text[end:]))


def _is_lines(source: str) -> bool:
    return source == STDIN or has_suffix(Path(source), (".txt",))


def _table(model: LanguageEstimator, dataset: Dataset, path: Path) -> str:
    """The rows as they are with columns behind them: CSV stays CSV, JSON lines and Parquet give JSON lines."""
    frame, added = read_raw(path), model.prediction_columns(dataset)
    frame = pl.concat([frame.drop([s.name for s in added], strict=False), pl.DataFrame(added)], how="horizontal")
    if not has_suffix(path, (".csv", ".tsv")):
        return frame.write_ndjson()
    flat = [_as_json(frame[name]) if frame[name].dtype.is_nested() else frame[name] for name in frame.columns]
    return pl.DataFrame(flat).write_csv(separator=separator_of(path), float_precision=None)


def _as_json(column: pl.Series) -> pl.Series:
    values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_list()]
    return pl.Series(column.name, values, dtype=pl.String)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "|".join(map(_word, value)) if isinstance(value, list) else str(value)


# -- figures of merit ------------------------------------------------------------------------------------------


@singledispatch
def print_evaluation(model: BiLSTMEstimator, dataset: Dataset, options: Mapping[str, Any], as_json: bool) -> None:
    print_figures(evaluate(model, dataset), as_json)


@print_evaluation.register
def _(model: BiLSTMTagger, dataset: Dataset, options: Mapping[str, Any], as_json: bool) -> None:
    print_figures(evaluate(model, dataset), as_json)
    if not as_json and model.scheme_ is not None:
        print("\n" + model.report(dataset))


@print_evaluation.register
def _(model: BiLSTMForecaster, dataset: Dataset, options: Mapping[str, Any], as_json: bool) -> None:
    if options and "folds" not in options:
        raise ParameterError(f"{'--steps' if 'steps' in options else '--no-refit'} needs --folds.")
    assert isinstance(dataset, Series)
    forecasts = model.set_params(verbose=1).backtest(dataset, **options) if options else model.forecasts(dataset)
    if not as_json:
        print(f"{forecasts.span(dataset.clock)}\n{forecasts.report()}")
        return
    figures = forecasts.metrics
    coverage = {"coverage": figures["coverage_95"]} if "coverage_95" in figures else {}
    print_figures({**coverage, **figures, "verdict": forecasts.verdict}, as_json)


@print_evaluation.register
def _(model: BiLSTMTranscriber, dataset: Dataset, options: Mapping[str, Any], as_json: bool) -> None:
    comparison = model.compare(dataset, **options)
    if not as_json:
        print(f"{comparison.alignment()}\n")
    print_figures(comparison.metrics, as_json)
