"""Words in, words out: the `bilstm` command. Knows options and exit statuses; every piece of work is done elsewhere.

Nothing heavy is imported before a command runs, so that `bilstm --help` answers at once. Result data goes to
stdout, talk to stderr. Exit status: 0 done, 1 the work failed, 2 the call was wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.export import export, plot, report
from bilstm.cli.fit import add_fit_commands
from bilstm.cli.options import TASKS, with_ray_address
from bilstm.cli.output import fault_of_stdout, made_folder, notes_of_warnings, prepare_streams, talk
from bilstm.cli.predict import evaluate, predict
from bilstm.cli.serve import serve
from bilstm.cli.tune import add_tune_commands
from bilstm.cli.xray import xray
from bilstm.errors import BilstmError, ParameterError, did_you_mean

app = typer.Typer(
    name="bilstm",
    help="Bidirectional LSTMs: from a file to a trained, measured and saved model.\n\n"
    "Example: bilstm fit regressor houses.csv --target price -o houses.bilstm",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options before the command; ``--debug`` is read by :func:`main`."""
    if version:
        import bilstm

        print(bilstm.__version__)
        raise typer.Exit


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
    show(folder, partial(print, flush=True), **({} if max_epochs is None else {"epochs": max_epochs}))


def doctor() -> None:
    """Say which versions, processor and kernels there are, and which kernel would run, and why.

    Example: bilstm doctor
    """
    from bilstm.doctor import diagnose

    for title, lines in diagnose():
        print(title)
        for name, value in lines:
            print(f"  {name:<20}{value}")


for command in (demo, predict, evaluate, plot, doctor, xray, report, serve, export):
    app.command()(command)


def _words_to_complete() -> list[str]:
    """The command line so far, where a shell asks what may follow: bash's variable, or that of other shells."""
    return [word for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS") for word in os.environ.get(name, "").split()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and turn mistakes into one short paragraph and an exit status."""
    prepare_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = with_ray_address([word for word in arguments if word != "--debug"])  # it may stand anywhere
    try:
        words = arguments or _words_to_complete()
        add_fit_commands(app, words)
        add_tune_commands(app, words)
        with notes_of_warnings():
            _run(arguments)
    except BilstmError as error:
        if debug:
            raise
        talk(f"error: {error}")
        sys.exit(2 if isinstance(error, ParameterError) else 1)
    except KeyboardInterrupt:
        talk("interrupted")
        sys.exit(1)
    except Exception as error:
        reason = fault_of_stdout(error)
        if debug:
            raise
        if isinstance(error, BrokenPipeError):
            pass  # the reader of our stdout has gone, as `head` does, and wants to hear no more
        elif reason is not None:
            talk(f"error: Cannot write to standard output: {reason}.\nhint: name a file with -o, which is UTF-8")
        else:
            talk(f"error: {type(error).__name__}: {error}")
            talk("hint: this was not foreseen; --debug shows where it happened")
        sys.exit(1)


def _run(arguments: list[str]) -> None:
    """The command, with all that it printed handed over before its exit status is."""
    try:
        app(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
