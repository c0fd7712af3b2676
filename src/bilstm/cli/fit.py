"""The `bilstm fit` commands, one a task, generated from the estimators' constructor signatures.

A default, a type and a help text have one home each: the signature and the class docstring. They are read from the
source text; the task that runs is imported when it does.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bilstm.cli.data import read_for_fit
from bilstm.cli.options import LOCAL, TASKS, columns_of, data_options, kind_of, model_options, said_of, workers_of
from bilstm.errors import BilstmError, DataError

if TYPE_CHECKING:
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns


def add_fit_commands(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Add `fit TASK` for every task; with all its options for the task that ``arguments`` name."""
    fit = typer.Typer(
        help="Train a model on a file and save it.\n\n"
        "Example: bilstm fit regressor houses.csv --target price -o houses.bilstm",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for task in TASKS if "fit" in arguments else ():
        asked_for = task in arguments
        fit.command(task, help=None if asked_for else said_of(task)["summary"])(
            _command(task) if asked_for else lambda: None
        )
    app.add_typer(fit, name="fit")


def _command(task: str) -> Callable[..., None]:
    def command(data: str, output: Path, **options: Any) -> None:
        reading = columns_of(task, options)
        run(kind_of(task), data, output, reading, **options)

    command.__doc__ = (
        f"{said_of(task)['summary']}\n\nExample: bilstm fit {task} {said_of(task)['fit_example']}\n\n"
        f"A run that was stopped goes on where it was when the same command is given again."
    )
    command.__signature__ = inspect.Signature([*data_options(task), *model_options(task)])  # type: ignore[attr-defined]
    return command


def run(
    kind: type[BiLSTMEstimator],
    data: str,
    output: Path,
    reading: Columns,
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
    kind: type[BiLSTMEstimator],
    data: str,
    output: Path,
    reading: Columns,
    valid: str | None,
    parameters: dict[str, Any],
    log_every: int,
) -> None:
    """Read, fit, save; in each of the processes that train together, where there are several."""
    from bilstm.training import workers

    with workers.assembled():
        estimator = kind(**parameters, verbose=log_every if workers.is_first() else 0)
        training, validation = read_for_fit(estimator, data, valid, reading)
        try:
            estimator.fit(training, validation=validation)
        except KeyboardInterrupt:
            checkpoint = parameters["checkpoint"]
            kept = f"; the same command goes on from {checkpoint}" if checkpoint.exists() else ""
            raise BilstmError(f"interrupted{kept}") from None
        if workers.is_first():
            estimator.save(output)
            print(f"wrote {output}; {estimator.fit_report(training, validation)}", file=sys.stderr)
        workers.wait()  # none ends, and forgets the checkpoint, before the model is written


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


def fit_on_workers(
    run: Callable[..., None], output: Path, workers: str | None, ray: str | None, worker_cpus: int | None
) -> None:
    """Let several processes fit one model, here or on a cluster.

    Args:
        run: fits and saves; in each of them.
        output: the model file, beside which the run is written down.
        workers: their number, or ``2..8``: as many as the cluster has room for; None: as many as it has processors.
        ray: address of a cluster.
        worker_cpus: processors of each; by default those of this machine shared out, or one on a cluster.
    """
    from bilstm.cluster.training import train_together

    count = None if workers is None else workers_of(workers)
    if worker_cpus is None:  # on this machine those that there are, dealt out
        most = count[1] if isinstance(count, tuple) else count
        worker_cpus = max(1, (os.cpu_count() or 1) // most) if most and ray in (None, LOCAL) else 1
    told = f"{workers or 'as many as possible'}, of {worker_cpus} processor{'s' * (worker_cpus > 1)} each"
    print(f"workers: {told}", file=sys.stderr, flush=True)
    folder = output.parent.resolve()
    try:
        train_together(
            partial(in_words, run), count=count, cpus=worker_cpus, address=ray, folder=folder, name=output.stem
        )
    except KeyboardInterrupt:
        raise BilstmError("interrupted; the same command goes on from the last finished epoch") from None
    if not output.is_file():
        raise BilstmError(
            f"expected the workers to write {output}, got no such file on this machine",
            hint="all machines of a cluster must share the folder of the model",
        )


def in_words(run: Callable[..., None]) -> None:
    """Run, and say warnings as the command line does."""
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    run()
