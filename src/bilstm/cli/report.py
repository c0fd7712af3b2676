"""The `bilstm report` command. Knows its options; the report is made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.options import ModelFile
from bilstm.cli.output import check_output, talk


def report(
    file: ModelFile,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="A file with true targets that the model was not trained on, or a built-in set."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The .html file to write; by default FILE-report.html."),
    ] = None,
) -> None:
    """Write a report on a model: one HTML file that needs no network, to be read, shown and printed.

    With DATA it says how good the model is, with intervals and beside simple rules, what it does, where it is worst,
    what goes on inside, and what is strange about DATA. Without DATA it tells what training kept.

    Example: bilstm report boston.bilstm new_houses.csv -o report.html

    Example: bilstm report names.bilstm test.conll
    """
    from bilstm.estimators.loading import load
    from bilstm.report import write_report

    output = output or file.with_name(f"{file.stem}-report.html")
    check_output(output)
    model = load(file)
    write_report(model, data, output, file=file, verbose=1)
    talk(f"{output.stat().st_size / 1e6:.1f} MB, works without a network")
    print(output)
