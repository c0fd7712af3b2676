"""The `bilstm export` command. Knows its options; the files are written elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bilstm.cli.options import ModelFile
from bilstm.cli.output import check_output, talk
from bilstm.errors import DataError, ParameterError, did_you_mean

KINDS = ("onnx",)


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
