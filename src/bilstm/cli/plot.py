"""The `bilstm plot` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.data import read_data
from bilstm.cli.options import ModelFile


def plot(
    file: ModelFile,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Data with the true targets, beside which predictions are drawn; of a transcriber one recording.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The .png, .svg or .pdf file to write.")
    ] = None,
) -> None:
    """Draw the loss curves of a model's training; with DATA, its predictions against the truth.

    Of a forecaster the coming steps and their intervals are drawn too; with DATA, what it said of them before they
    came. Of a transcriber DATA is one recording: its spectrum, and the characters that are heard in it.

    Example: bilstm plot boston.bilstm test.csv -o predictions.png
    """
    from bilstm.estimators.loading import load
    from bilstm.plotting.figures import save_figure
    from bilstm.report.plots import predictions

    model = load(file)
    if data is None and model.needs_data:
        figure, name = model.history_.plot(), "loss"
    else:
        figure = predictions(model, read_data(model, [] if data is None else [data], with_targets=True))
        name = Path(data).stem if data is not None and model.reads_many_files else model.figure_name
    output = output or Path(f"{file.stem}-{name}.png")
    save_figure(figure, output)
    print(output)
