"""Options that several commands share, and those that are made from the constructors of the estimators."""

from __future__ import annotations

import functools
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
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", metavar="FILE", help="Transcriber: a language model, as ARPA text.")
]
LanguageModelWeight = Annotated[
    float | None, typer.Option("--lm-weight", metavar="X", help="How much it counts beside the sound.")
]
WordBonus = Annotated[
    float | None, typer.Option("--word-bonus", metavar="X", help="Transcriber: added for every word.")
]
HotWord = Annotated[
    list[str] | None, typer.Option("--hot-word", metavar="WORD", help="Transcriber: to be expected; give it again.")
]
Beam = Annotated[
    int | None, typer.Option("--beam", min=1, metavar="N", help="Transcriber: readings kept; 1 is quickest.")
]
LookAhead = Annotated[
    float | None,
    typer.Option("--look-ahead", min=0, metavar="SECONDS", help="Transcriber: hear no more ahead, as in a stream."),
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


def data_options(task: str) -> list[inspect.Parameter]:
    """The options of a task that are not of its model: what is read and how, where it is saved, who works on it."""
    said, option = said_of(task), typer.Option
    texts = {
        "group": "In a long table, the column that names the sequence of each row.",
        "text": "The column of texts.",
    } | said.get("option_help", {})
    column = functools.partial(option, metavar="COL")
    choices: list[tuple[str, Any, Any]] = [
        ("data", Annotated[str, typer.Argument(metavar="DATA", help=said["data_help"])], ...),
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
        ("group", Annotated[str | None, column(help=texts["group"])], None),
        ("order", Annotated[str | None, column(help="Long table: column that orders its rows.")], None),
        ("text", Annotated[str | None, column(help=texts["text"])], None),
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
    chosen = {"data", "output", "valid", "restart", "log_every", *TOGETHER, *said["reading"]}
    return [option_parameter(name, annotation, default) for name, annotation, default in choices if name in chosen]


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


def workers_of(words: str) -> int | tuple[int, int]:
    """``4``, or ``2..8``.

    Example:
        >>> workers_of("4"), workers_of("2..8")
        (4, (2, 8))
    """
    try:
        numbers = [int(word) for word in words.split("..")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return numbers[0]
    if len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise ParameterError(f"expected a number of workers, or two like 2..8, got {words!r} (--workers)")
