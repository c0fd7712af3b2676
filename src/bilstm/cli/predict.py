"""The commands `bilstm predict`, also of many files on a Ray cluster, and `bilstm evaluate`.

Know options; what is written results.py knows.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bilstm.cli.options import DECODING, Choice, ModelFile, TextColumn, optional, read_data, task_options, with_options
from bilstm.cli.output import made_folder, talk
from bilstm.errors import BilstmError, DataError, ParameterError

if TYPE_CHECKING:
    from bilstm.estimators.base import BiLSTMEstimator


@with_options(DECODING)
def predict(
    file: ModelFile,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="A table, a built-in set, a CoNLL file, a .txt file of lines, or - for lines of text on standard "
            "input. A forecaster needs none: it goes on from the end of its training series. A transcriber takes sound "
            "files, folders, a table of paths, or - for a sound file on standard input.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="The file to write, instead of stdout; its ending says the format."
        ),
    ] = None,
    text: TextColumn = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Predict many files into the folder OUT, on a Ray cluster at this address, or without one on this "
            "machine.",
        ),
    ] = None,
    **decoding: Any,
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
    predict_one(model, data or [], output, text, task_options(model, model.predict_options, decoding))


BACKTEST: dict[str, Choice] = {
    "folds": optional(int, "N", "Forecaster: test it on the last N parts of DATA, one after the other.", min=1),
    "steps": optional(
        int, "N", "Forecaster: number of steps in each of these parts; by default a tenth of DATA.", min=1
    ),
}


@with_options(BACKTEST | DECODING)
def evaluate(
    file: ModelFile,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file of the kind that the model was trained on, or a built-in set: boston, digits, sunspots.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    refit: Annotated[
        bool, typer.Option(help="Forecaster: fit anew before each part, or once before the first.")
    ] = True,
    **options: Any,
) -> None:
    """Measure a model on DATA that holds the true targets.

    Of a forecaster what lies behind its training is measured, beside what simple rules say; --folds fits it again
    to what lies before each fold instead. Of a transcriber every mistake is shown, truth above transcript.

    Example: bilstm evaluate boston.bilstm test.csv --json

    Example: bilstm evaluate prices.bilstm prices.csv --folds 4 --steps 250

    Example: bilstm evaluate names.bilstm test.csv --lm names.arpa
    """
    from bilstm.cli.results import print_evaluation
    from bilstm.estimators.loading import load

    model = load(file)
    options["refit"] = None if refit else False
    options = task_options(model, (*model.predict_options, *model.backtest_options), options)
    rows = read_data(model, [data], with_targets=True)
    assert rows is not None
    if rows.fingerprint() == model.trained_on_:
        which = f"{model.row_unit}s"
        talk(f"note: the model was trained on these very {which}; what it knows of new ones, other data must show")
    print_evaluation(model, rows, options, as_json)


def predict_one(
    model: BiLSTMEstimator, data: Sequence[str], output: Path | None, text: str | None, options: Mapping[str, Any]
) -> None:
    from bilstm.cli.results import write_predictions

    dataset = read_data(model, data, text=text)
    write_predictions(model, dataset, data[0] if data else "", output, options)


def predict_on_workers(file: Path, data: Sequence[str], output: Path | None, address: str, text: str | None) -> None:
    """Predict many files into a folder, one output a file; what is there already is not made again."""
    from bilstm.cluster.prediction import outputs_of, predict_files
    from bilstm.estimators.loading import load

    if output is None or output.is_file():
        raise ParameterError("--ray needs a folder for the predictions.", hint="-o FOLDER")
    model = load(file)
    if model.reads_many_files:
        raise ParameterError(f"A {model.task} takes no --ray.", hint="it takes many files without")
    sources = files_of(data)
    pairs = outputs_of(sources, made_folder(output), partial(ending, model.is_language_))
    make = partial(FilePredictor, file.resolve(), text)
    done, failed = 0, []
    for source, target, reason in predict_files(make, pairs, address=address, newer_than=file.stat().st_mtime):
        done += 1
        if reason is not None:
            failed.append(source)
        talk(f"wrote {target}" if reason is None else f"error: {source}: {reason}")
    kept = len(pairs) - done
    rest = f"; {kept} were there already" if kept else ""
    talk(f"{done - len(failed)} of {len(pairs)} files predicted into {output}{rest}")
    if failed:
        raise BilstmError(f"{len(failed)} of {len(pairs)} files could not be predicted.")


class FilePredictor:
    """What `bilstm predict` does with a file, by a model that is loaded once."""

    def __init__(self, file: Path, text: str | None) -> None:
        from bilstm.estimators.loading import load

        self.model = load(file)
        self.text = text

    def __call__(self, source: Path, target: Path) -> None:
        predict_one(self.model, [str(source)], target, self.text, {})


def files_of(data: Sequence[str]) -> list[Path]:
    """Files, those in folders, and those that patterns name, in the order of their names."""
    files: list[Path] = []
    for word in data:
        path = Path(word)
        if path.is_dir():
            files += sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith((".", "_")))
        elif path.exists():
            files.append(path)
        else:
            files += sorted(map(Path, glob.glob(word, recursive=True)))
    if not files:
        raise DataError(f"There are no files to predict ({' '.join(data[:3])}).")
    return list(dict.fromkeys(files))


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
