"""The `bilstm evaluate` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bilstm.cli.data import read_for, series_for, written
from bilstm.cli.options import (
    Beam,
    Data,
    HotWord,
    LanguageModel,
    LanguageModelWeight,
    LookAhead,
    ModelFile,
    WordBonus,
    decoding_options,
)
from bilstm.cli.output import print_figures, talk
from bilstm.errors import ParameterError

if TYPE_CHECKING:
    from bilstm.data.series.reader import Series
    from bilstm.estimators.forecaster import BiLSTMForecaster
    from bilstm.estimators.forecasts import Forecasts
    from bilstm.estimators.transcriber import BiLSTMTranscriber


def evaluate(
    file: ModelFile,
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    folds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Forecaster: walk through the last N parts of DATA.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps of a fold; by default a tenth.")] = None,
    refit: Annotated[bool, typer.Option(help="Fit anew before every fold, or once before the first.")] = True,
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
    from bilstm.estimators.loading import load
    from bilstm.metrics import predictions as metrics

    model = load(file)
    decoding = decoding_options(model.task, lm, lm_weight, word_bonus, hot_word, beam, look_ahead)
    if model.task == "forecaster":
        evaluate_series(model, data, folds, steps, refit, as_json)
        return
    if folds is not None or steps is not None or not refit:
        raise ParameterError(f"expected no --folds, --steps or --no-refit beside a {model.task}, got one")
    if model.task == "transcriber":
        evaluate_sounds(model, data, decoding, as_json)
        return
    rows = read_for(model, data, with_targets=True)
    if rows.fingerprint() == model.trained_on_:
        talk("note: the model was trained on these very rows; what it knows of new ones, other data must show")
    print_figures(metrics.evaluate(model, rows), as_json)
    if not as_json and getattr(model, "scheme_", None) is not None:
        print("\n" + model.report(rows))


def evaluate_series(
    model: BiLSTMForecaster, data: str, folds: int | None, steps: int | None, refit: bool, as_json: bool
) -> None:
    """Figures, baselines and verdict: of what lies behind training, or of a walk through DATA in folds."""
    from bilstm.cli.output import print_figures

    series = series_for(model, data)
    if folds is None and (steps is not None or not refit):
        raise ParameterError(f"expected --folds beside {'--no-refit' if steps is None else '--steps'}, got none")
    if folds is None:
        found = model.forecasts(series)
    else:
        found = model.set_params(verbose=1).backtest(series, folds=folds, steps=steps, refit=refit)
    if not as_json:
        print(f"{span(found, series)}\n{found.report()}")
        return
    figures: dict[str, Any] = dict(found.metrics)
    if "coverage_95" in figures:
        figures = {"coverage": figures["coverage_95"]} | figures
    print_figures(figures | {"verdict": found.verdict}, as_json)


def span(found: Forecasts, series: Series) -> str:
    """How many forecasts there are, and when they were made."""
    first, last = (written(series, moment) for moment in (found.origins.min(), found.origins.max()))
    name = series.clock.name
    steps = f"{found.horizon} step{'s' * (found.horizon > 1)}{'' if 'step' in name else f' ({name})'}"
    return f"{len(found):,} forecasts of {steps}, made {first} to {last}"


def evaluate_sounds(model: BiLSTMTranscriber, data: str, decoding: dict[str, Any], as_json: bool) -> None:
    """Word and character error rates; without ``--json`` with every mistake, truth above transcript."""
    from bilstm.cli.output import print_figures, talk

    recordings = model.read(data, with_targets=True)
    if recordings.fingerprint() == model.trained_on_:
        talk("note: the model was trained on these very recordings; what it knows of new ones, other data must show")
    found = model.compare(recordings, **decoding)
    if not as_json:
        print(f"{found.alignment()}\n")
    print_figures(found.metrics, as_json)
