"""The `bilstm evaluate` command."""

from __future__ import annotations

from typing import Annotated

import typer

from bilstm.cli.data import read_data
from bilstm.cli.options import (
    Beam,
    Data,
    HotWord,
    LanguageModel,
    LanguageModelWeight,
    LookAhead,
    ModelFile,
    WordBonus,
    task_options,
)
from bilstm.cli.output import talk


def evaluate(
    file: ModelFile,
    data: Data,
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
    lm: LanguageModel = None,
    lm_weight: LanguageModelWeight = None,
    word_bonus: WordBonus = None,
    hot_word: HotWord = None,
    beam: Beam = None,
    look_ahead: LookAhead = None,
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
    decoding = {"lm": lm, "lm_weight": lm_weight, "word_bonus": word_bonus, "hot_words": hot_word}
    decoding |= {"beam": beam, "look_ahead": look_ahead}
    backtest = {"folds": folds, "steps": steps, "refit": None if refit else False}
    options = task_options(model, (*model.predict_options, *model.backtest_options), decoding | backtest)
    rows = read_data(model, [data], with_targets=True)
    assert rows is not None
    if rows.fingerprint() == model.trained_on_:
        which = f"{model.row_unit}s"
        talk(f"note: the model was trained on these very {which}; what it knows of new ones, other data must show")
    print_evaluation(model, rows, options, as_json)
