"""What the page says of a model: its task in a sentence, its figures, its settings. Knows words, draws nothing."""

from __future__ import annotations

import math
from typing import Any

LISTED = 6  # names in a sentence, at most


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


def listed(names: Any) -> str:
    """Names as in a sentence, the first few of many.

    Example:
        >>> listed("ab"), listed(range(9))
        ('a, b', '0, 1, 2, 3, 4, 5 and 3 more')
    """
    known = [str(name) for name in names]
    if len(known) > LISTED:
        return ", ".join(known[:LISTED]) + f" and {len(known) - LISTED} more"
    return ", ".join(known)


def number(value: Any) -> str:
    """A number as a person writes it, four digits or all of a whole one; what is none as it is.

    Example:
        >>> number(0.123456), number(1234567.0), number(None), number("a")
        ('0.1235', '1,234,567', '–', 'a')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value and math.isfinite(value) and (abs(value) >= 1e9 or abs(value) < 1e-4):
        return f"{value:.4g}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if math.isfinite(value) else 0
    return f"{float(f'{value:.4g}'):,.{digits}f}"


def percent(chance: float) -> str:
    """A probability in percent, never 100 % or 0 % unless it is.

    Example:
        >>> percent(0.5), percent(0.99999), percent(0.00001)
        ('50.0 %', '> 99.9 %', '< 0.1 %')
    """
    if 0.9995 <= chance < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < chance < 0.0005 else f"{100 * chance:.1f} %"
