"""Options that several commands share, and those that are made from the constructors of the estimators."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bilstm.errors import ParameterError
from bilstm.estimators.signatures import declaration

if TYPE_CHECKING:
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns

ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A model file, for instance boston.bilstm.")]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A file of the kind that the model was trained on, or a built-in set: boston, digits, sunspots.",
    ),
]
TextColumn = Annotated[
    str | None, typer.Option("--text", metavar="COL", help="The column of texts, if it is not called as in training.")
]
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", metavar="FILE", help="Transcriber: an n-gram language model in ARPA format.")
]
LanguageModelWeight = Annotated[
    float | None,
    typer.Option("--lm-weight", metavar="X", help="Transcriber: how much the language model counts beside the sound."),
]
WordBonus = Annotated[
    float | None,
    typer.Option("--word-bonus", metavar="X", help="Transcriber: added to the score of a reading for every word."),
]
HotWord = Annotated[
    list[str] | None,
    typer.Option("--hot-word", metavar="WORD", help="Transcriber: a word that the decoder should expect (repeatable)."),
]
Beam = Annotated[
    int | None,
    typer.Option(
        "--beam", min=1, metavar="N", help="Transcriber: number of readings kept at each step; 1 is quickest."
    ),
]
LookAhead = Annotated[
    float | None,
    typer.Option(
        "--look-ahead",
        min=0,
        metavar="SECONDS",
        help="Transcriber: hear at most so many seconds ahead, as in a stream.",
    ),
]
TASKS = {
    "regressor": ("bilstm.estimators.regressor", "BiLSTMRegressor"),
    "classifier": ("bilstm.estimators.classifier", "BiLSTMClassifier"),
    "tagger": ("bilstm.estimators.tagger", "BiLSTMTagger"),
    "forecaster": ("bilstm.estimators.forecaster", "BiLSTMForecaster"),
    "transcriber": ("bilstm.estimators.transcriber", "BiLSTMTranscriber"),
}
TOGETHER = ("workers", "ray", "worker_cpus")  # how several processes fit one model
NOT_OPTIONS = ("checkpoint", "verbose")  # the command has its own words for these


def kind_of(task: str) -> type[BiLSTMEstimator]:
    """The estimator's class."""
    module, name = TASKS[task]
    kind: type[BiLSTMEstimator] = getattr(importlib.import_module(module), name)
    return kind


def said_of(task: str) -> dict[str, Any]:
    """The literal attributes of the estimator's class, which is not imported."""
    return declaration(*TASKS[task]).attributes


def columns_of(task: str, options: dict[str, Any]) -> Columns:
    """Those of the options that say which column of DATA is what; they are taken out."""
    columns: Any = {name: options.pop(name) for name in said_of(task)["reading"]}
    return cast("Columns", columns)


def add_task_commands(
    app: typer.Typer,
    name: str,
    text: str,
    arguments: Sequence[str],
    summary: Callable[[str], str],
    command: Callable[[str], Callable[..., None]],
) -> None:
    """Add a group of commands, one for every task; with all its options for the task that ``arguments`` name.

    Args:
        app: to which it is added.
        name: of the group, for instance ``fit``.
        text: its help.
        arguments: the command line, so that nothing is read that nobody asks for.
        summary: what help says of a task.
        command: makes the command of a task.
    """
    group = typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)
    for task in TASKS if name in arguments else ():
        if task in arguments:
            group.command(task)(command(task))
        else:
            group.command(task, help=summary(task))(lambda: None)
    app.add_typer(group, name=name)


option = typer.Option
DATA_OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "output": (Path, ..., option("--output", "-o", metavar="FILE", help="The model file to write.")),
    "time": (str | None, None, option(metavar="COL", help="The column of times; by default the only one there is.")),
    "sound": (str | None, None, option(metavar="COL", help="The column of paths, if it is not called path.")),
    "target": (list[str], [], option(metavar="COL", help="The column to predict (repeatable, for several targets).")),
    "future": (list[str], [], option(metavar="COL", help="A column whose values are known ahead (repeatable).")),
    "drop": (list[str], [], option(metavar="COL", help="A column to leave out (repeatable).")),
    "category": (
        list[str],
        [],
        option(metavar="COL", help="A column whose numbers are names rather than amounts (repeatable)."),
    ),
    "group": (
        str | None,
        None,
        option(metavar="COL", help="In a long table, the column that names the sequence of each row."),
    ),
    "order": (
        str | None,
        None,
        option(metavar="COL", help="In a long table, the column that orders the rows of a sequence."),
    ),
    "text": (str | None, None, option(metavar="COL", help="The column of texts.")),
    "tag": (
        str | None,
        None,
        option(
            metavar="COL",
            help="The column of tags: its number in a CoNLL file (by default the last), upos or xpos in CoNLL-U, or "
            "its name in a table (by default tags).",
        ),
    ),
    "valid": (
        str | None,
        None,
        option(metavar="FILE", help="A second file, to stop the training by; by default a part of DATA is set aside."),
    ),
    "restart": (bool, False, option("--restart", help="Forget an unfinished run and begin anew.")),
    "log_every": (
        int,
        1,
        option(min=0, metavar="N", help="1 shows progress, N > 1 prints a line every N epochs, 0 prints nothing."),
    ),
    "workers": (
        str | None,
        None,
        option(metavar="N|M..N", help="Train with N processes, or with M to N of them as there is room (needs Ray)."),
    ),
    "ray": (
        str | None,
        None,
        option(metavar="[ADDRESS]", help="Train on a Ray cluster: auto, or HOST:PORT; alone, on this machine."),
    ),
    "worker_cpus": (int | None, None, option(min=1, metavar="N", help="Processor cores of each worker.")),
}


def data_options(task: str) -> list[inspect.Parameter]:
    """The options of a task that are not of its model: what is read and how, where it is saved, who works on it."""
    said = said_of(task)
    chosen = {"output", "valid", "restart", "log_every", *TOGETHER, *said["reading"]}
    options = {name: choice for name, choice in DATA_OPTIONS.items() if name in chosen}
    for name, text in said.get("option_help", {}).items():
        kind, default, _ = options[name]
        options[name] = (kind, default, typer.Option(metavar="COL", help=text))
    return parameters_of({"data": (str, ..., typer.Argument(metavar="DATA", help=said["data_help"]))} | options)


def parameters_of(options: Mapping[str, tuple[Any, Any, Any]]) -> list[inspect.Parameter]:
    """Options, each as its type, its default and what typer is told of it, as parameters of a command."""
    return [option_parameter(name, Annotated[kind, told], default) for name, (kind, default, told) in options.items()]


def model_options(task: str) -> list[inspect.Parameter]:
    """An option for each parameter of an estimator's constructor, with its default and its help."""
    made = declaration(*TASKS[task])
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


def task_options(model: BiLSTMEstimator, known: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Of options that only some tasks have those that were given.

    Args:
        model: fitted.
        known: names of those that its task has.
        options: all of them; None, or an empty list, where one was not given.

    Raises:
        ParameterError: one was given that the task does not have.
    """
    given = {name: value for name, value in options.items() if value is not None and value != []}
    for name in given:
        if name not in known:
            flag = FLAGS.get(name, name).replace("_", "-")
            raise ParameterError(f"expected no --{flag} beside a {model.task}, got one", hint=_who_knows(name))
    return given


FLAGS = {"hot_words": "hot_word", "refit": "no_refit"}  # where the option is not called as the parameter


def _who_knows(option: str) -> str:
    tasks = [
        task
        for task in TASKS
        if option in (*said_of(task).get("predict_options", ()), *said_of(task).get("backtest_options", ()))
    ]
    return f"a {' or a '.join(tasks)} knows it"


RAY = "--ray"
LOCAL = "local"


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """Words of a command line in which ``--ray`` may stand without an address: one is started here then.

    Example:
        >>> with_ray_address(["predict", "m.bilstm", "a.parquet", "--ray", "-o", "out"])
        ['predict', 'm.bilstm', 'a.parquet', '--ray', 'local', '-o', 'out']
    """
    words: list[str] = []
    for word, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        words += [word, LOCAL] if word == RAY and following.startswith("-") else [word]
    return words
