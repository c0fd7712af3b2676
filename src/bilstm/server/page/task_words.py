"""What the page says of a model: its task in a sentence, its figures, its settings. Knows words, draws nothing."""

from __future__ import annotations

from typing import Any

from bilstm.formatting import listed


def sentence_of(model: Any) -> str:
    """What a fitted model does, in one plain sentence.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> sentence_of(BiLSTMRegressor(hidden_size=2, max_epochs=1).fit(boston()))
        'Predicts medv of rows of 13 columns: crim, zn, indus, chas, nox, rm and 7 more.'
    """
    targets = listed(model.target_names_)
    if model.task == "forecaster":
        steps = f"the next {model.horizon} steps" if model.horizon > 1 else "the next step"
        return f"Forecasts {steps} of {targets} from the {model.history} before, with intervals."
    if model.task == "transcriber":
        return "Writes down what is said in a recording, with the time of every word."
    if model.task == "tagger":
        return f"Gives every word of a text one of {len(model.classes_)} tags: {listed(model.classes_.tolist())}."
    if model.task == "classifier":
        several = ", several at a time" if model.several_ else ""
        return f"Sorts {source_of(model)} by {targets}: {listed(model.classes_.tolist())}{several}."
    return f"Predicts {targets} of {source_of(model)}: {listed(model.feature_names_)}."


def source_of(model: Any) -> str:
    """What goes into a model of one prediction a sequence."""
    if model.is_language_:
        return "texts"
    count = len(model.feature_names_)
    columns = "1 column" if count == 1 else f"{count} columns"
    return f"rows of {columns}" if model.is_table_ else f"sequences of steps with {columns}"
