"""The `bilstm fit` commands, one a task, generated from the estimators' constructor signatures.

A default, a type and a help text have one home each: the signature and the class docstring. They are read from the
source text; the task that runs is imported when it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from bilstm.cli.options import (
    add_task_commands,
    attributes_of,
    columns_of,
    data_options,
    estimator_class,
    model_options,
    with_options,
)
from bilstm.cli.training import run

HELP = """Train a model on a file and save it.

Example: bilstm fit regressor houses.csv --target price -o houses.bilstm"""
GOES_ON = "A run that was stopped goes on where it was when the same command is given again."


def add_fit_commands(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Add `fit TASK` for every task."""
    add_task_commands(app, "fit", HELP, arguments, lambda task: attributes_of(task)["summary"], _command)


def _command(task: str) -> Callable[..., None]:
    @with_options(data_options(task) | model_options(task))
    def command(data: str, output: Path, **options: Any) -> None:
        run(estimator_class(task), data, output, columns_of(task, options), **options)

    attributes = attributes_of(task)
    command.__doc__ = f"{attributes['summary']}\n\nExample: bilstm fit {task} {attributes['fit_example']}\n\n{GOES_ON}"
    return command
