"""The `bilstm fit` commands, one a task, generated from the estimators' constructor signatures.

A default, a type and a help text have one home each: the signature and the class docstring. They are read from the
source text; the task that runs is imported when it does.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bilstm.cli_cluster import fit_on_workers
from bilstm.cli_folder import is_folder, read_folder_for_fit
from bilstm.cli_series import fit_report, newer_part, read_steps
from bilstm.cli_sound import read_recordings_for_fit
from bilstm.errors import BilstmError, DataError, ParameterError, did_you_mean
from bilstm.estimators.signatures import constructor

if TYPE_CHECKING:
    from bilstm.data.dataset import Dataset
    from bilstm.data.stream import Stream

TASKS = {
    "regressor": ("bilstm.estimators.regressor", "BiLSTMRegressor", "One or more numbers for a row or a sequence."),
    "classifier": ("bilstm.estimators.classifier", "BiLSTMClassifier", "A label for a row, a sequence or a text."),
    "tagger": ("bilstm.estimators.tagger", "BiLSTMTagger", "A tag for every word of a sentence."),
    "forecaster": ("bilstm.estimators.forecaster", "BiLSTMForecaster", "The next steps of series, with intervals."),
    "transcriber": ("bilstm.estimators.transcriber", "BiLSTMTranscriber", "The text of a recording."),
}
EXAMPLES = {
    "regressor": "houses.csv --target price -o houses.bilstm",
    "classifier": "reviews.csv --text review --target stars -o reviews.bilstm",
    "tagger": "train.conll --valid dev.conll -o names.bilstm",
    "forecaster": "prices.csv --time Date --target Close --history 60 --horizon 5 -o prices.bilstm",
    "transcriber": "train.csv --group speaker -o digits.bilstm",
}
DATA_HELP = {
    "tagger": "CoNLL columns, CoNLL-U, JSON lines with lists of words and tags, or a folder of such tables.",
    "forecaster": "CSV, Parquet or JSON lines with a row for every step, or sunspots.",
    "transcriber": "CSV, Parquet or JSON lines with columns path and text; paths start in its folder.",
    "": "CSV, Parquet or JSON lines, a folder of them (larger than memory), or boston, digits.",
}
GROUP_HELP = {
    "transcriber": "Column that names the speaker: whole speakers are held out to stop by.",
    "": "Long table: column that names the sequence.",
}
TEXT_HELP = {
    "transcriber": "Column of what is said, if it is not called text.",
    "": "Column of texts; of a tagger, of lists of words.",
}
FORECAST = "bilstm fit forecaster reads it"
TOGETHER = ("workers", "ray", "worker_cpus")  # how several processes fit one model
NOT_OPTIONS = ("checkpoint", "verbose")  # the command has its own words for these


def add_fit_commands(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Add `fit TASK` for every task; with all its options for the task that ``arguments`` name."""
    fit = typer.Typer(
        help="Train a model on a file and save it.\n\n"
        "Example: bilstm fit regressor houses.csv --target price -o houses.bilstm",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for task, (_, _, summary) in TASKS.items():
        asked_for = task in arguments and "fit" in arguments
        fit.command(task, help=None if asked_for else summary)(_command(task) if asked_for else lambda: None)
    app.add_typer(fit, name="fit")


def _command(task: str) -> Callable[..., None]:
    def command(data: str, output: Path, **options: Any) -> None:
        reading = {key: options.pop(key) for key in reading_options(task)}
        run(kind_of(task), data, output, reading, **options)

    command.__doc__ = (
        f"{TASKS[task][2]}\n\nExample: bilstm fit {task} {EXAMPLES[task]}\n\n"
        f"A run that was stopped goes on where it was when the same command is given again."
    )
    command.__signature__ = inspect.Signature([*data_options(task), *model_options(task)])  # type: ignore[attr-defined]
    return command


def kind_of(task: str) -> Any:
    """The estimator's class."""
    module, name, _ = TASKS[task]
    return getattr(importlib.import_module(module), name)


def run(
    kind: Any,
    data: str,
    output: Path,
    reading: dict[str, Any],
    valid: str | None,
    restart: bool,
    log_every: int,
    workers: str | None = None,
    ray: str | None = None,
    worker_cpus: int | None = None,
    **parameters: Any,
) -> None:
    """Read, fit, save; the checkpoint lies beside the model file until the model is written."""
    checkpoint = checkpoint_of(output, restart)
    work = functools.partial(
        fit_and_save, kind, data, output, reading, valid, parameters | {"checkpoint": checkpoint}, log_every
    )
    if workers or ray or worker_cpus:
        fit_on_workers(work, output, workers, ray, worker_cpus)
    else:
        work()
    checkpoint.unlink(missing_ok=True)


def fit_and_save(
    kind: Any,
    data: str,
    output: Path,
    reading: dict[str, Any],
    valid: str | None,
    parameters: dict[str, Any],
    log_every: int,
) -> None:
    """Read, fit, save; in each of the processes that train together, where there are several."""
    from bilstm import workers

    with workers.assembled():
        reader = reader_for(reading)
        training: Any = read_folder_for_fit(data, kind.task, reading) if is_folder(data) else reader(data, **reading)
        validation = None if valid is None else reader(valid, **reading, like=training)
        if validation is not None and "time" in reading:
            validation = newer_part(validation, training, parameters["history"])
        estimator = kind(**parameters, verbose=log_every if workers.is_first() else 0)
        try:
            estimator.fit(training, validation=validation)
        except KeyboardInterrupt:
            checkpoint = parameters["checkpoint"]
            kept = f"; the same command goes on from {checkpoint}" if checkpoint.exists() else ""
            raise BilstmError(f"interrupted{kept}") from None
        if workers.is_first():
            estimator.save(output)
            print(f"wrote {output}; {_measured(estimator, reading, training, validation)}", file=sys.stderr)
        workers.wait()  # none ends, and forgets the checkpoint, before the model is written


def _measured(estimator: Any, reading: dict[str, Any], training: Any, validation: Any) -> str:
    """What is to be said of a fitted estimator."""
    if "time" in reading:
        return fit_report(estimator, training, validation)
    figures = " · ".join(f"{name} {shown(value)}" for name, value in estimator.metrics_.items())
    return f"on the validation part: {figures}" if figures else "nothing was held out to measure it by"


def checkpoint_of(output: Path, restart: bool) -> Path:
    """Where an unfinished run of that model file is written down; with ``restart`` it is forgotten."""
    if not output.parent.is_dir():
        raise DataError(f"expected a folder for the model, got none ({output.parent})", hint="make it first")
    if output.is_dir():
        raise DataError(f"expected a file for the model, got a folder ({output})", hint=f"-o {output / 'model.bilstm'}")
    checkpoint = output.with_name(output.name + ".checkpoint")
    if restart:
        checkpoint.unlink(missing_ok=True)
    return checkpoint


def reader_for(reading: dict[str, Any]) -> Callable[..., Any]:
    """What reads DATA, by the options that say how."""
    if "time" in reading:
        return read_steps
    if "sound" in reading:
        return read_recordings_for_fit
    return read_language if "tag" in reading or reading.get("text") else read


def shown(value: float) -> str:
    """A count as a whole number, else four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def read(
    data: str,
    target: Sequence[str],
    drop: Sequence[str],
    category: Sequence[str],
    group: str | None,
    order: str | None,
    text: str | None = None,
    like: Dataset | Stream | None = None,
) -> Dataset:
    """DATA for training: a file with a target, or a built-in set. ``like`` is the training data of a second file."""
    from bilstm.cli import builtin_named
    from bilstm.data.tables import read_frame, read_table

    builtin = builtin_named(data, drop)
    if builtin is not None:
        told = {"target": target, "category": category, "group": group, "order": order}
        for option in [name for name, value in told.items() if value]:
            raise ParameterError(f"expected no --{option} beside the built-in set {data!r}, got {told[option]!r}")
        if not builtin.target_names:
            raise ParameterError(f"expected rows or sequences with targets, got the series {data!r}", hint=FORECAST)
        return builtin
    if not target:
        columns = read_frame(data).columns
        raise DataError(
            f"expected --target, the column to predict, got none ({data})", hint=did_you_mean("", columns, 20)
        )
    kinds = dict.fromkeys(category, "category") if like is None else like.kinds
    return read_table(data, target=target, drop=drop, group=group, order=order, kinds=kinds)


def read_language(
    data: str,
    target: Sequence[str] = (),
    text: str | None = None,
    tag: str | None = None,
    like: Dataset | Stream | None = None,
    **others: Any,
) -> Dataset:
    """DATA of texts with a target column, or of tagged sentences."""
    from bilstm.data.sentences import read_sentences
    from bilstm.data.tables import read_frame
    from bilstm.data.text import read_texts

    for option in [name for name, value in others.items() if value]:
        raise ParameterError(f"expected no --{option} beside --text {text}, got {others[option]!r}")
    if not others:
        return read_sentences(data, tag=tag, text=text)
    if len(target) != 1:
        hint = None if target else did_you_mean("", read_frame(Path(data)).columns, 20)
        raise DataError(f"expected one --target beside --text {text}, got {len(target)} ({data})", hint=hint)
    assert text is not None
    return read_texts(data, text=text, target=target[0])


def reading_options(task: str) -> list[str]:
    """The options that say how DATA of a task is read."""
    options = {
        "classifier": ["target", "drop", "category", "group", "order", "text"],
        "tagger": ["text", "tag"],
        "forecaster": ["time", "target", "group", "future", "drop"],
        "transcriber": ["sound", "text", "group"],
    }
    return options.get(task, ["target", "drop", "category", "group", "order"])


def data_options(task: str) -> list[inspect.Parameter]:
    """The options of a task that are not of its model: what is read and how, where it is saved, who works on it."""
    option = typer.Option
    column = functools.partial(option, metavar="COL")
    choices: list[tuple[str, Any, Any]] = [
        ("data", Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP.get(task, DATA_HELP[""]))], ...),
        (
            "output",
            Annotated[Path, option("--output", "-o", metavar="FILE", help="The model file to write.")],
            ...,
        ),
        ("time", Annotated[str | None, column(help="Column of times; by default the only one there is.")], None),
        ("sound", Annotated[str | None, column(help="Column of paths, if it is not called path.")], None),
        ("target", Annotated[list[str], column(help="Column to predict; give it twice for two targets.")], []),
        ("future", Annotated[list[str], column(help="Column that is known ahead; may be given again.")], []),
        ("drop", Annotated[list[str], column(help="Column to leave out; may be given again.")], []),
        ("category", Annotated[list[str], column(help="Column of numbers that are names.")], []),
        ("group", Annotated[str | None, column(help=GROUP_HELP.get(task, GROUP_HELP[""]))], None),
        ("order", Annotated[str | None, column(help="Long table: column that orders its rows.")], None),
        ("text", Annotated[str | None, column(help=TEXT_HELP.get(task, TEXT_HELP[""]))], None),
        (
            "tag",
            Annotated[str | None, column(help="Tags: a column's number, upos or xpos, or a name; last by default.")],
            None,
        ),
        ("valid", Annotated[str | None, option(metavar="FILE", help="Stop by this, not by a part of DATA.")], None),
        ("restart", Annotated[bool, option("--restart", help="Forget an unfinished run.")], False),
        (
            "log_every",
            Annotated[int, option(min=0, metavar="N", help="1 shows progress, n > 1 a line every n epochs.")],
            1,
        ),
        ("workers", Annotated[str | None, option(metavar="N|M..N", help="Train with several processes (Ray).")], None),
        ("ray", Annotated[str | None, option(metavar="[ADDRESS]", help="On a Ray cluster: auto, or HOST:PORT.")], None),
        ("worker_cpus", Annotated[int | None, option(min=1, metavar="N", help="Processors of each worker.")], None),
    ]
    chosen = {"data", "output", "valid", "restart", "log_every", *TOGETHER, *reading_options(task)}
    return [option_parameter(name, annotation, default) for name, annotation, default in choices if name in chosen]


def model_options(task: str) -> list[inspect.Parameter]:
    """An option for each parameter of an estimator's constructor, with its default and its help."""
    module, name, _ = TASKS[task]
    made = constructor(module, name)
    return [
        option_parameter(parameter.name, _model_option(parameter, made.texts[parameter.name]), parameter.default)
        for parameter in made.parameters
        if parameter.name not in NOT_OPTIONS
    ]


def _model_option(parameter: inspect.Parameter, text: str) -> Any:
    if parameter.annotation == "bool":
        return Annotated[bool, typer.Option(help=text)]
    return Annotated[
        str,
        typer.Option(
            parser=value_reader(str(parameter.annotation)),
            metavar=_metavar(str(parameter.annotation)),
            help=text,
            show_default="none" if parameter.default is None else True,
        ),
    ]


def option_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """An option as a parameter of a command; without a default (``...``) it must be given."""
    kind = inspect.Parameter.KEYWORD_ONLY
    if default is ...:
        return inspect.Parameter(name, kind, annotation=annotation)
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _metavar(annotation: str) -> str:
    word = {"int": "N", "float": "X", "str": "NAME", "bool": "true|false"}.get(annotation.split(" ")[0], "VALUE")
    word = "FILE" if "Path" in annotation else word
    return f"{word}|none" if "None" in annotation or annotation == "Any" else word


def value_reader(annotation: str) -> Callable[[Any], Any]:
    """Words of the command line to a value of the annotated type; ``none`` is None where that is allowed."""
    optional = "None" in annotation or annotation == "Any"
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": _truth, "Any": _value}
    kind = kinds.get(annotation.split(" ")[0], str)

    def parse(word: Any) -> Any:
        if not isinstance(word, str):  # a default, already of the right type
            return word
        return None if optional and word.lower() == "none" else kind(word)

    parse.__name__ = annotation
    return parse


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise ValueError(word)
    return word.lower() == "true"


def _value(word: str) -> Any:
    """A whole number, a name, or weights like ``yes=2,no=1``."""
    if word.lstrip("-").isdigit():
        return int(word)
    if "=" in word:
        pairs = (pair.rpartition("=") for pair in word.split(","))
        return {name: float(weight) for name, _, weight in pairs}
    return word
