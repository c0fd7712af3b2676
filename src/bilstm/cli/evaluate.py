"""The `bilstm evaluate` command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bilstm.cli.data import read_data
from bilstm.cli.options import DECODING, ModelFile, task_options, with_options
from bilstm.cli.output import talk


@with_options(DECODING)
def evaluate(
    file: ModelFile,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file of the kind that the model was trained on, or a built-in set: boston, digits, sunspots.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    folds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Forecaster: test it on the last N parts of DATA, one after the other."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Forecaster: number of steps in each of these parts; by default a tenth of DATA."
        ),
    ] = None,
    refit: Annotated[
        bool, typer.Option(help="Forecaster: fit anew before each part, or once before the first.")
    ] = True,
    **decoding: Any,
) -> None:
    """Measure a model on DATA that holds the true targets.

    Of a forecaster what lies behind its training is measured, beside what simple rules say; --folds fits it again
    to what lies before each fold instead. Of a transcriber every mistake is shown, truth above transcript.

    Example: bilstm evaluate boston.bilstm test.csv --json

    Example: bilstm evaluate prices.bilstm prices.csv --folds 4 --steps 250

    Example: bilstm evaluate names.bilstm test.csv --lm names.arpa
    """
    from bilstm.cli.results import print_evaluation
    from bilstm.estimators.loading import load

    model = load(file)
    backtest = {"folds": folds, "steps": steps, "refit": None if refit else False}
    options = task_options(model, (*model.predict_options, *model.backtest_options), decoding | backtest)
    rows = read_data(model, [data], with_targets=True)
    assert rows is not None
    if rows.fingerprint() == model.trained_on_:
        which = f"{model.row_unit}s"
        talk(f"note: the model was trained on these very {which}; what it knows of new ones, other data must show")
    print_evaluation(model, rows, options, as_json)
