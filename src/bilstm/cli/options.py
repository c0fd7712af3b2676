"""Options that commands share, those made from the constructors of the estimators, and how the command line reads DATA.

What is read the estimators know.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bilstm.errors import ParameterError
from bilstm.estimators.signatures import declaration

if TYPE_CHECKING:
    from bilstm.data.dataset import Dataset
    from bilstm.data.stream import Stream
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns

ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A model file, for instance boston.bilstm.")]
TextColumn = Annotated[
    str | None, typer.Option("--text", metavar="COL", help="The column of texts, if it is not called as in training.")
]
TASKS = {
    "regressor": ("bilstm.estimators.regressor", "BiLSTMRegressor"),
    "classifier": ("bilstm.estimators.classifier", "BiLSTMClassifier"),
    "tagger": ("bilstm.estimators.tagger", "BiLSTMTagger"),
    "forecaster": ("bilstm.estimators.forecaster", "BiLSTMForecaster"),
    "transcriber": ("bilstm.estimators.transcriber", "BiLSTMTranscriber"),
}
WORKER_OPTIONS = ("workers", "ray", "worker_cpus")  # how several processes fit one model
NOT_OPTIONS = ("checkpoint", "verbose")  # the command has its own words for these


def estimator_class(task: str) -> type[BiLSTMEstimator]:
    module, name = TASKS[task]
    kind: type[BiLSTMEstimator] = getattr(importlib.import_module(module), name)
    return kind


def attributes_of(task: str) -> dict[str, Any]:
    """The literal attributes of the estimator's class, which is not imported."""
    return declaration(*TASKS[task]).attributes


def columns_of(task: str, options: dict[str, Any]) -> Columns:
    """Those of the options that say which column of DATA is what; they are taken out."""
    return cast("Columns", {name: options.pop(name) for name in attributes_of(task)["reading"]})


def add_task_commands(
    app: typer.Typer,
    name: str,
    text: str,
    arguments: Sequence[str],
    summary: Callable[[str], str],
    command: Callable[[str], Callable[..., None]],
) -> None:
    """Add a group of commands, one for every task; only for the task that ``arguments`` name it is made in full."""
    group = typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)
    for task in TASKS if name in arguments else ():
        if task in arguments:
            group.command(task)(command(task))
        else:
            group.command(task, help=summary(task))(lambda: None)
    app.add_typer(group, name=name)


Choice = tuple[Any, Any, Any]  # an option: its type, its default (... where it must be given), and typer's words for it


def optional(kind: Any, metavar: str, text: str, *flags: str, **others: Any) -> Choice:
    return kind | None, None, typer.Option(*flags, metavar=metavar, help=text, **others)


def column(text: str) -> Choice:
    return optional(str, "COL", text)


def repeatable(metavar: str, text: str) -> Choice:
    return list[str], [], typer.Option(metavar=metavar, help=f"{text} (repeatable).")


def with_options(options: Mapping[str, Choice]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command that is declared with ``**options`` take these."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        declared = inspect.signature(command, eval_str=True).parameters.values()
        own = [one for one in declared if one.name not in options and one.kind != inspect.Parameter.VAR_KEYWORD]
        further = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[kind, info],
                default=inspect.Parameter.empty if default is ... else default,
            )
            for name, (kind, default, info) in options.items()
        ]
        command.__signature__ = inspect.Signature([*own, *further])  # type: ignore[attr-defined]
        return command

    return decorate


DECODING: dict[str, Choice] = {
    "lm": optional(Path, "FILE", "Transcriber: an n-gram language model in ARPA format."),
    "lm_weight": optional(float, "X", "Transcriber: how much the language model counts beside the sound."),
    "word_bonus": optional(float, "X", "Transcriber: added to the score of a reading for every word."),
    "hot_words": optional(
        list[str], "WORD", "Transcriber: a word that the decoder should expect (repeatable).", "--hot-word"
    ),
    "beam": optional(int, "N", "Transcriber: number of readings kept at each step; 1 is quickest.", min=1),
    "look_ahead": optional(float, "SECONDS", "Transcriber: hear at most so many seconds ahead, as in a stream.", min=0),
}
DATA_OPTIONS: dict[str, Choice] = {
    "output": (Path, ..., typer.Option("--output", "-o", metavar="FILE", help="The model file to write.")),
    "time": column("The column of times; by default the only one there is."),
    "sound": column("The column of paths, if it is not called path."),
    "target": repeatable("COL", "A column to predict"),
    "future": repeatable("COL", "A column whose values are known ahead"),
    "drop": repeatable("COL", "A column to leave out"),
    "category": repeatable("COL", "A column whose numbers are names rather than amounts"),
    "group": column("In a long table, the column that names the sequence of each row."),
    "order": column("In a long table, the column that orders the rows of a sequence."),
    "text": column("The column of texts."),
    "tag": column(
        "The column of tags: its number in a CoNLL file (by default the last), upos or xpos in CoNLL-U, or its name "
        "in a table (by default tags)."
    ),
    "valid": optional(str, "FILE", "A second file, to stop the training by; by default a part of DATA is set aside."),
    "restart": (bool, False, typer.Option("--restart", help="Forget an unfinished run and begin anew.")),
    "log_every": (
        int,
        1,
        typer.Option(
            min=0, metavar="N", help="1 shows progress, N > 1 prints a line every N epochs, 0 prints nothing."
        ),
    ),
    "workers": optional(str, "N|M..N", "Train with N processes, or with M to N of them as there is room (needs Ray)."),
    "ray": optional(str, "[ADDRESS]", "Train on a Ray cluster: auto, or HOST:PORT; alone, on this machine."),
    "worker_cpus": optional(int, "N", "Processor cores of each worker.", min=1),
}


def data_options(task: str) -> dict[str, Choice]:
    """The options of a task that are not of its model: what is read and how, where it is saved, who works on it."""
    attributes = attributes_of(task)
    chosen = {"output", "valid", "restart", "log_every", *WORKER_OPTIONS, *attributes["reading"]}
    options = {name: choice for name, choice in DATA_OPTIONS.items() if name in chosen}
    named = {name: column(text) for name, text in attributes["option_help"].items()}
    return {"data": (str, ..., typer.Argument(metavar="DATA", help=attributes["data_help"])), **options, **named}


def model_options(task: str) -> dict[str, Choice]:
    """An option for each parameter of an estimator's constructor, with its default and its help."""
    made = declaration(*TASKS[task])
    options: dict[str, Choice] = {}
    for parameter in made.parameters:
        kind, default, text = str(parameter.annotation), parameter.default, made.texts[parameter.name]
        if kind == "bool":
            options[parameter.name] = (bool, default, typer.Option(help=text))
        elif parameter.name not in NOT_OPTIONS:
            shown = "none" if default is None else True
            info = typer.Option(parser=value_reader(kind), metavar=_metavar(kind), help=text, show_default=shown)
            options[parameter.name] = (str, default, info)
    return options


def _metavar(annotation: str) -> str:
    word = {"int": "N", "float": "X", "str": "NAME", "bool": "true|false"}.get(annotation.split(" ")[0], "VALUE")
    word = "FILE" if "Path" in annotation else word
    return f"{word}|none" if "None" in annotation or annotation == "Any" else word


def value_reader(annotation: str) -> Callable[[Any], Any]:
    """Words of the command line to a value of the annotated type; ``none`` is None where that is allowed."""
    is_optional = "None" in annotation or annotation == "Any"
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": _truth, "Any": _value}
    kind = kinds.get(annotation.split(" ")[0], str)

    def parse(word: Any) -> Any:
        if not isinstance(word, str):  # a default, already of the right type
            return word
        return None if is_optional and word.lower() == "none" else kind(word)

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


FLAGS = {"hot_words": "hot-word", "refit": "no-refit"}  # where the option is not called as the parameter


def task_options(model: BiLSTMEstimator, known: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Of options that only some tasks have those that were given; ParameterError if this task does not know one."""
    given = {name: value for name, value in options.items() if value is not None and value != []}
    for name in given:
        if name not in known:
            takers = [
                task
                for task in TASKS
                if name in attributes_of(task)["predict_options"] + attributes_of(task)["backtest_options"]
            ]
            flag = FLAGS.get(name, name.replace("_", "-"))
            raise ParameterError(f"A {model.task} takes no --{flag}.", hint=f"a {' or a '.join(takers)} takes it")
    return given


LOCAL = "local"
STDIN = "-"


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """Words of a command line in which ``--ray`` may stand without an address: one is started here then.

    Example:
        >>> with_ray_address(["predict", "m.bilstm", "a.parquet", "--ray", "-o", "out"])
        ['predict', 'm.bilstm', 'a.parquet', '--ray', 'local', '-o', 'out']
    """
    words: list[str] = []
    for word, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        words += [word, LOCAL] if word == "--ray" and following.startswith("-") else [word]
    return words


# --- DATA ------------------------------------------------------------------------------------------------------


def read_data(
    model: BiLSTMEstimator, data: Sequence[str], *, with_targets: bool = False, text: str | None = None
) -> Dataset | None:
    """DATA as the model needs it: files, a built-in set by name, or standard input (``-``); None where it needs none.

    ``text`` is the column of texts, if it is not called as in training.
    """
    if not data:
        if model.needs_data:
            raise ParameterError(f"A {model.task} needs DATA.", hint="name a file, or a built-in set")
        return None
    if STDIN in data:
        if len(data) > 1:
            raise ParameterError("Standard input (-) cannot be read together with other files.")
        return model.read(sys.stdin.buffer.read(), with_targets=with_targets, text=text)
    if len(data) == 1 and model.is_language_ and " " in data[0] and not Path(data[0]).exists():
        hint = "a text itself comes on standard input: echo 'a text' | bilstm predict FILE -"
        raise ParameterError(f"There is no file {data[0][:40]!r}.", hint=hint)
    return model.read(data if len(data) > 1 else data[0], with_targets=with_targets, text=text)


def read_for_fit(
    estimator: BiLSTMEstimator, data: str, valid: str | None, columns: Columns
) -> tuple[Dataset | Stream, Dataset | None]:
    """DATA to train on, and the file to stop by, which is read as DATA was."""
    from bilstm.data.stream import Stream

    training = estimator.read_for_fit(data, **columns)
    if valid is None:
        return training, None
    second = estimator.read_for_fit(valid, like=training, **columns)
    assert not isinstance(second, Stream)  # of a second file never
    return training, estimator.validation_part(second, training)
