"""The `bilstm plot` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.data import read_for
from bilstm.cli.options import ModelFile


def plot(
    file: ModelFile,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Data with targets: plots predictions; or a sound.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="A .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Draw the loss curves of a model's training; with DATA, its predictions against the truth.

    Of a forecaster the coming steps and their intervals are drawn too; with DATA, what it said of them before they
    came. Of a transcriber DATA is one recording: its spectrum, and the characters that are heard in it.

    Example: bilstm plot boston.bilstm test.csv -o predictions.png
    """
    from bilstm.cli.data import series_for
    from bilstm.estimators.loading import load
    from bilstm.plotting.plots import forecasts, predictions, save_figure, transcript

    model = load(file)
    if model.task == "forecaster":
        figure, name = forecasts(model, None if data is None else series_for(model, data)), "forecast"
    elif data is None:
        figure, name = model.history_.plot(), "loss"
    elif model.task == "transcriber":
        figure, name = transcript(model, Path(data)), Path(data).stem
    else:
        figure, name = predictions(model, read_for(model, data, with_targets=True)), "predictions"
    output = output or Path(f"{file.stem}-{name}.png")
    save_figure(figure, output)
    print(output)
