"""The `bilstm tune` commands, one a task: the options of `fit`, and those of a search. Knows options and words only.

An option of the estimator that is given holds in every trial; the others are searched, where the task's space has them.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bilstm.cli.fit import run as fit_model
from bilstm.cli.options import (
    WORKER_OPTIONS,
    Choice,
    add_task_commands,
    attributes_of,
    columns_of,
    data_options,
    estimator_class,
    model_options,
    optional,
    read_for_fit,
    repeatable,
    value_reader,
    with_options,
)
from bilstm.cli.output import check_output, talk
from bilstm.errors import BilstmError, DataError, ParameterError, from_extra
from bilstm.estimators.space import in_words
from bilstm.files.output import beside

if TYPE_CHECKING:
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns
    from bilstm.tune.result import SearchResult


SEARCH: dict[str, Choice] = {
    "minutes": optional(float, "X", "Minutes of search, over all runs of it; by default 10."),
    "trials": optional(int, "N", "Number of trials, over all runs of the search.", min=1),
    "search": repeatable("NAME=RANGE", "A parameter to search, as NAME=LOW..HIGH or NAME=VALUE,VALUE"),
    "seeds": optional(
        int, "N", "Number of fits, with different seeds, in a trial; by default 5 for few rows or texts, else 1.", min=1
    ),
    "by": (
        str,
        "auto",
        typer.Option(metavar="WHAT", help="Compare trials by loss or metric; auto takes what fit keeps epochs by."),
    ),
    "study": optional(Path, "FOLDER", "The folder that remembers the trials; by default FILE.study."),
    "storage": optional(
        str, "URL", "A database for the trials, so that several machines can help, as postgresql://user@host/name."
    ),
    "ray": optional(
        str, "[ADDRESS]", "Run the trials on a Ray cluster at this address, or without one on this machine."
    ),
    "refit": (bool, True, typer.Option(help="Let the best regressor learn from held-out rows too (not with --valid).")),
    "plot": optional(Path, "OUT", "Draw the trials into this .png, .svg or .pdf file."),
    "as_json": (bool, False, typer.Option("--json", help="Print one JSON object with all trials.")),
}
SUMMARY = "Search for the parameters of a {} that do best on held-out data."
HELP = """Search for the parameters of a model that do best on held-out data, and save the best.

Example: bilstm tune regressor houses.csv --target price --minutes 5 -o houses.bilstm"""
ABOUT = (
    "The first trial has the parameters of `bilstm fit`; an option that is given here holds in all. Trials are "
    "compared on the part that is held out, or on --valid; bad ones are stopped early. The best is fitted and saved."
    "\n\n"
    "A search that was stopped, or killed, goes on where it was when the same command is given again, and may be given "
    "more minutes or trials. The same command on a second terminal helps with it."
)


def add_tune_commands(app: typer.Typer, arguments: Sequence[str]) -> None:
    add_task_commands(app, "tune", HELP, arguments, SUMMARY.format, _command)


def _command(task: str) -> Callable[..., None]:
    data = {name: one for name, one in data_options(task).items() if name not in ("log_every", *WORKER_OPTIONS)}
    own = model_options(task)

    @with_options(data | SEARCH | own)
    def command(context: typer.Context, **options: Any) -> None:
        fixed = [name for name in own if _is_given(context, name)]
        columns = columns_of(task, options)
        model = {name: options.pop(name) for name in own}
        run(estimator_class(task), columns, model, fixed, **options)

    example = f"Example: bilstm tune {task} {attributes_of(task)['tune_example']}"
    command.__doc__ = f"{SUMMARY.format(task)}\n\n{example}\n\n{ABOUT}\n\nSearched: {_searched(task)}"
    return command


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _searched(task: str) -> str:
    """The ranges of a task in words: ``hidden_size 16..128, …; of text hidden_size 48..192, …``."""
    spaces = {name: value for name, value in attributes_of(task).items() if name.startswith("space")}
    parts = [f"{name.removeprefix('space').replace('_', ' ')} {in_words(space)}" for name, space in spaces.items()]
    return "; ".join(part.strip() for part in parts)


def run(
    kind: type[BiLSTMEstimator],
    columns: Columns,
    model: dict[str, Any],
    fixed: Sequence[str],
    data: str,
    output: Path,
    valid: str | None,
    *,
    search: Sequence[str],
    study: Path | None,
    storage: str | None,
    ray: str | None,
    refit: bool,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search, show the result, fit the best and save it.

    Args:
        model: parameters of the constructor; those that are ``fixed`` were given, the others have their defaults.
        options: further ones of :func:`bilstm.tune.search.tune`, under their names.
    """
    from_extra("optuna", "tune")
    from bilstm.cluster.search import tune_together
    from bilstm.data.dataset import Dataset
    from bilstm.tune.search import reload_result, tune
    from bilstm.tune.space import parsed
    from bilstm.tune.storage import sole_access

    for path in [output, *([] if plot is None else [plot])]:
        check_output(path)
    folder = study or beside(output, ".study")
    ranges = parsed(search, kind, value_reader)
    twice = [name for name in fixed if name in ranges]
    if twice:
        raise ParameterError(f"{twice[0]} is both given and searched.", hint="leave one of the two out")
    estimator = kind(**model)
    training, validation = read_for_fit(estimator, data, valid, columns)
    if not isinstance(training, Dataset):
        raise DataError(f"A search needs one file; {data} names a folder.", hint="its data must fit into memory")
    try:
        result = (tune if ray is None else functools.partial(tune_together, address=ray))(
            estimator,
            training,
            validation=validation,
            search=ranges,
            fixed=fixed,
            folder=folder,
            storage=storage,
            verbose=1,
            **options,
        )
    except KeyboardInterrupt:
        raise BilstmError(f"interrupted; the same command goes on from {folder}") from None
    with sole_access(folder) as is_alone:
        if ray is None:  # Ray has waited for all of its trials
            result = reload_result(result, folder, storage)
        best = result.final_params(refit=refit)
        command = _fit_command(kind, data, output, columns, valid, {n: model[n] for n in fixed} | best)
        _show(result, command, plot, as_json)
        if not is_alone:
            talk("Other processes are still at work on this search; the last of them saves the model.")
            return
        if best == result.best_params:
            result.copy_checkpoint(beside(output, ".checkpoint"))
        fit_model(kind, data, output, columns, valid, restart=False, log_every=1, **(model | best))


def _show(result: SearchResult, command: str, plot: Path | None, as_json: bool) -> None:
    """Print the trials and the best of them; draw them into a file."""
    from bilstm.plotting.figures import save_figure
    from bilstm.tune.plots import plot_search

    if plot is not None:
        save_figure(plot_search(result), plot)
        talk(f"wrote {plot}")
    if as_json:
        print(json.dumps(result.to_json() | {"command": command}))
        return
    print(result.table())
    importance = result.importance_table()
    if importance:
        print(f"\nwhich parameters mattered\n{importance}")
    print(f"\nthe best again: {command}")


def _fit_command(
    kind: type[BiLSTMEstimator], data: str, output: Path, columns: Columns, valid: str | None, model: dict[str, Any]
) -> str:
    """The `bilstm fit` that makes the same model."""
    from bilstm.report.facts import options

    words = ["bilstm", "fit", kind.task, data, "-o", str(output)]
    for name, value in (columns | {"valid": valid}).items():
        for one in value if isinstance(value, list) else [value] * (value is not None):
            words += [f"--{name}", str(one)]
    return shlex.join([*words, *options(kind(**model))])
