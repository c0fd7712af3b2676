"""The command that looks into a model: `bilstm xray`. Knows options and words; the X-ray is made elsewhere.

Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bilstm.cli.options import ModelFile, TextColumn, read_data
from bilstm.cli.output import talk
from bilstm.errors import DataWarning

if TYPE_CHECKING:
    from bilstm.xray import Contribution, XRay


LARGEST = 10  # contributions that are printed of one output
LARGEST_OF_SEVERAL = 3  # and of each where there are several
LONGEST = 400  # characters of a title or a prediction
COLUMN = 24  # characters of a label on a terminal


def xray(
    file: ModelFile,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="What predict takes: a table, a built-in set, a CoNLL file, a .txt file, or - for lines of text; "
            "sound files for a transcriber; nothing for a forecaster.",
        ),
    ] = None,
    row: Annotated[
        int, typer.Option("--row", min=0, metavar="N", help="The number of the row, sentence or file; 0 is the first.")
    ] = 0,
    outputs: Annotated[
        int, typer.Option("--outputs", min=1, metavar="N", help="The number of outputs to explain, at most.")
    ] = 12,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Also write a .html, .png, .svg, .pdf, .npz or .json file."),
    ] = None,
    text: TextColumn = None,
) -> None:
    """Look into a model while it reads one example: what each word, column or second contributed, and the gates.

    The largest contributions are printed. They add up to what the model says less what it says of a baseline; those of
    a class, tag or character are log-odds. A page of HTML shows all of them, and every gate.

    Example: bilstm xray boston.bilstm new_houses.csv --row 3

    Example: echo "Angela Merkel besuchte Paris" | bilstm xray names.bilstm - -o paris.html
    """
    from bilstm.estimators.loading import load
    from bilstm.xray import x_ray
    from bilstm.xray.showing import ending_of

    if output is not None:
        ending_of(output)  # before the work rather than after it
    model = load(file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the contributions to", DataWarning)  # the notes say it too
        result = x_ray(model, read_data(model, data or [], text=text), row=row, outputs=outputs)
    print(table(result))
    for note in result.notes:
        talk(f"note: {note}")
    if output is not None:
        result.save(output)
        talk(f"wrote {output}")


def table(result: XRay) -> str:
    from bilstm.formatting import clipped

    lines = [clipped(result.title, LONGEST), clipped(result.prediction, LONGEST), ""]
    if len(result.contributions) == 1 and result.contributions[0].at is None:
        lines += _of_one(result, result.contributions[0])
    else:
        lines += _of_several(result)
    return "\n".join(lines)


def _of_one(result: XRay, one: Contribution) -> list[str]:
    """Each of the largest contributions on a line, with the part that came by each way."""
    head = f"{one.output}: {one.value:.4g} and {one.baseline:.4g} at the baseline ({result.against})"
    if len(result.steps) == 1 and len(result.features) > 1:
        amounts, labels = one.amount[0], result.shown
        ways = {}
    else:
        amounts, labels = one.amount.sum(axis=1), result.steps
        ways = {"forwards": one.past, "backwards": one.future} | ({"direct": one.direct} if one.direct.any() else {})
    order = sorted(range(len(labels)), key=lambda k: -abs(float(amounts[k])))[:LARGEST]
    lines = [head, ""]
    if ways:
        lines.append(_padded("", COLUMN) + "".join(f"{name:>12}" for name in ("amount", *ways)))
    for k in order:
        parts = [amounts[k], *(part[k] for part in ways.values())]
        lines.append(_padded(labels[k], COLUMN) + "".join(f"{float(part):>+12.4g}" for part in parts))
    if len(labels) > len(order):
        rest = float(amounts.sum()) - sum(float(amounts[k]) for k in order)
        lines.append(_padded(f"{len(labels) - len(order)} others", COLUMN) + f"{rest:>+12.4g}")
    return lines


def _of_several(result: XRay) -> list[str]:
    """Each output on a line with its value and what moved it most."""
    lines = []
    for one in result.contributions:
        amounts = one.amount.sum(axis=1) if len(result.steps) > 1 else one.amount[0]
        labels = result.steps if len(result.steps) > 1 else result.shown
        order = sorted(range(len(labels)), key=lambda k: -abs(float(amounts[k])))[:LARGEST_OF_SEVERAL]
        moves = ", ".join(f"{' '.join(labels[k].split())} {float(amounts[k]):+.3g}" for k in order)
        lines.append(f"{_padded(one.output, COLUMN)}{one.value:>10.4g}   {moves}")
    if not lines:
        return ["there is nothing to explain"]
    units = " and ".join(dict.fromkeys(one.unit for one in result.contributions))
    return [f"{_padded('', COLUMN)}{'value':>10}   largest contributions, in {units}", *lines]


def _padded(text: str, width: int) -> str:
    """A label in so many columns of a terminal, in which Chinese signs take two each."""
    from rich.cells import cell_len, set_cell_size

    text = " ".join(text.split())
    if cell_len(text) >= width:
        text = set_cell_size(text, width - 2).rstrip() + "…"
    return set_cell_size(text, width)
