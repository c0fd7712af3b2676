"""The `bilstm demo` command."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.options import TASKS
from bilstm.cli.output import made_folder
from bilstm.errors import ParameterError, did_you_mean


def demo(
    task: Annotated[
        str,
        typer.Argument(
            metavar="[TASK]",
            help=f"What to show: {', '.join(TASKS)}; or data.",
            autocompletion=lambda: [*TASKS, "data"],
        ),
    ] = next(iter(TASKS)),
    folder: Annotated[
        Path | None,
        typer.Option("--folder", "-o", metavar="FOLDER", help="The folder to write into; by default demo-TASK."),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            "--max-epochs",
            min=1,
            metavar="N",
            help="Number of passes over the data; fewer than by default for a quick look.",
        ),
    ] = None,
) -> None:
    """Train on real data that needs no download, and show the result.

    regressor: the classic Boston housing job, 10,000 epochs. classifier: handwritten digits.
    tagger: names in Chinese sentences that are made up. forecaster: the sunspots of three hundred years.
    transcriber: digits from the tones of a telephone's keys. data: small files for each task, to try the commands with.

    Example: bilstm demo regressor

    Example: bilstm demo data -o .
    """
    if task == "data" and max_epochs is not None:
        raise ParameterError("bilstm demo data trains nothing, so it takes no --max-epochs.")
    if task == "data":  # which needs nothing that trains
        from bilstm.demo.files import write_demo_data as show
    else:
        from bilstm.demo.demonstrations import DEMOS

        if task not in DEMOS:
            raise ParameterError(f"There is no demo {task!r}.", hint=did_you_mean(task, [*DEMOS, "data"]))
        show = DEMOS[task]
    folder = made_folder(folder or Path(f"demo-{task}"))
    show(folder, functools.partial(print, flush=True), **({} if max_epochs is None else {"epochs": max_epochs}))
