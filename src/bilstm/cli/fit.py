"""The `bilstm fit` commands, one a task: read DATA, fit a model to it, in one process or in several, and save it.

The options are generated from the estimators' constructor signatures: a default, a type and a help text have one home
each, the signature and the class docstring. They are read from the source text; the task that runs is imported when
it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bilstm.cli.options import (
    LOCAL,
    add_task_commands,
    attributes_of,
    columns_of,
    data_options,
    estimator_class,
    model_options,
    read_for_fit,
    with_options,
)
from bilstm.cli.output import check_output, notes_of_warnings, talk
from bilstm.errors import BilstmError, ParameterError
from bilstm.files.output import beside

if TYPE_CHECKING:
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns

HELP = """Train a model on a file and save it.

Example: bilstm fit regressor houses.csv --target price -o houses.bilstm"""
GOES_ON = "A run that was stopped goes on where it was when the same command is given again."


def add_fit_commands(app: typer.Typer, arguments: Sequence[str]) -> None:
    add_task_commands(app, "fit", HELP, arguments, lambda task: attributes_of(task)["summary"], _command)


def _command(task: str) -> Callable[..., None]:
    @with_options(data_options(task) | model_options(task))
    def command(data: str, output: Path, **options: Any) -> None:
        run(estimator_class(task), data, output, columns_of(task, options), **options)

    attributes = attributes_of(task)
    command.__doc__ = f"{attributes['summary']}\n\nExample: bilstm fit {task} {attributes['fit_example']}\n\n{GOES_ON}"
    return command


def run(
    kind: type[BiLSTMEstimator],
    data: str,
    output: Path,
    columns: Columns,
    valid: str | None,
    restart: bool,
    log_every: int,
    workers: str | None = None,
    ray: str | None = None,
    worker_cpus: int | None = None,
    **parameters: Any,
) -> None:
    """Read, fit, save; the checkpoint lies beside the model file until the model is written."""
    check_output(output)
    checkpoint = beside(output, ".checkpoint")
    if restart:
        checkpoint.unlink(missing_ok=True)
    work = partial(fit_and_save, kind, data, output, columns, valid, parameters | {"checkpoint": checkpoint}, log_every)
    if workers or ray or worker_cpus:
        fit_on_workers(work, output, workers, ray, worker_cpus)
    else:
        work()
    checkpoint.unlink(missing_ok=True)


def fit_and_save(
    kind: type[BiLSTMEstimator],
    data: str,
    output: Path,
    columns: Columns,
    valid: str | None,
    parameters: dict[str, Any],
    log_every: int,
) -> None:
    """Read, fit, save; in each of the processes that train together, where there are several."""
    from bilstm.training import workers

    with notes_of_warnings(), workers.assembled():  # workers are processes of their own
        estimator = kind(**parameters, verbose=log_every if workers.is_first() else 0)
        estimator.keeps_interrupted = False  # what the checkpoint holds can go on
        training, validation = read_for_fit(estimator, data, valid, columns)
        try:
            estimator.fit(training, validation=validation)
        except KeyboardInterrupt:
            checkpoint = parameters["checkpoint"]
            kept = f"; the same command goes on from {checkpoint}" if checkpoint.exists() else ""
            raise BilstmError(f"interrupted{kept}") from None
        if workers.is_first():
            estimator.save(output)
            talk(f"wrote {output}; {estimator.fit_report(training, validation)}")
        workers.wait()  # none ends, and forgets the checkpoint, before the model is written


def fit_on_workers(
    run: Callable[..., None], output: Path, workers: str | None, ray: str | None, worker_cpus: int | None
) -> None:
    """Let several processes fit one model, here or on a cluster; beside the model file the run is written down.

    Without ``workers`` there are as many as the cluster has processors. Without ``worker_cpus`` each has its share of
    this machine's processors, or one on a cluster.
    """
    from bilstm.cluster.training import train_together

    count = None if workers is None else workers_of(workers)
    if worker_cpus is None:
        most = count[1] if isinstance(count, tuple) else count
        worker_cpus = max(1, (os.cpu_count() or 1) // most) if most and ray in (None, LOCAL) else 1
    talk(f"workers: {workers or 'as many as possible'}, of {worker_cpus} processor{'s' * (worker_cpus > 1)} each")
    folder = output.parent.resolve()
    try:
        train_together(run, count=count, cpus=worker_cpus, address=ray, folder=folder, name=output.stem)
    except KeyboardInterrupt:
        raise BilstmError("interrupted; the same command goes on from the last finished epoch") from None
    if not output.is_file():
        raise BilstmError(
            f"expected the workers to write {output}, got no such file on this machine",
            hint="all machines of a cluster must share the folder of the model",
        )


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
    raise ParameterError(f"--workers takes a number of at least 1, or two such as 2..8; got {words!r}.")
