"""Which form reads the questions to a model, and which writes its answers."""

from __future__ import annotations

from typing import Any

from bilstm.server.forms.form import Form
from bilstm.server.settings import Settings


def form_of(estimator: Any, settings: Settings) -> Form:
    """The form of a fitted estimator."""
    from bilstm.server.forms import language, numbers, series, sound

    if estimator.task == "forecaster":
        return Form(series.SeriesRows(estimator, settings), series.Forecasting(estimator), settings)
    if estimator.task == "transcriber":
        return Form(sound.Sounds(estimator, settings), sound.Transcription(estimator), settings)
    if estimator.task == "tagger":
        return Form(language.Texts(estimator, settings), language.Tagging(estimator), settings)
    answers = numbers.Regression(estimator) if estimator.task == "regressor" else numbers.Classification(estimator)
    if estimator.is_language_:
        return Form(language.Texts(estimator, settings), answers, settings)
    reads = numbers.TableRows if estimator.is_table_ else numbers.StepRows
    return Form(reads(estimator, settings), answers, settings)
