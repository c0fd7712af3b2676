"""The commands that write a file about a model: `bilstm plot`, `bilstm report`, `bilstm export`.

Know their options; what is written is made elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.options import ModelFile, read_data
from bilstm.cli.output import check_output, talk
from bilstm.errors import DataError, ParameterError, did_you_mean

KINDS = ("onnx",)


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


def export(
    file: ModelFile,
    to: Annotated[str, typer.Option("--to", metavar="KIND", help="The kind of file to write: onnx.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The .onnx file to write; by default it is called as FILE."),
    ] = None,
) -> None:
    """Write a model for machines without torch: an ONNX file, and a JSON file beside it that says what goes in.

    Scaling, missing values, features of sound, best tags, calibrated probabilities and intervals are in the graph. If
    onnxruntime is installed, it runs the file beside the model before anything is written.

    Example: bilstm export boston.bilstm --to onnx -o boston.onnx
    """
    from bilstm.estimators.loading import load
    from bilstm.export import to_onnx

    if to not in KINDS:
        raise ParameterError(f"There is no export to {to!r}.", hint=did_you_mean(to, KINDS))
    output = output or file.with_suffix(".onnx")
    check_output(output)
    if output.suffix == ".json":
        raise DataError(f"Cannot write {output}: the JSON file beside it has that name.", hint="choose another -o")
    check = to_onnx(load(file), output)
    if check is None:
        talk("not checked: ONNX Runtime is not installed (pip install 'bilstm[export]')")
    else:
        talk(
            f"ONNX Runtime {check.runtime} differs by {check.difference:.1e} at most, on made-up inputs ({check.unit})"
        )
    print(output)
    print(output.with_suffix(".json"))
