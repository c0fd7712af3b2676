"""What a search changes: the estimator's own space, narrowed or widened by the caller, and as Optuna says it.

Knows parameters and ranges, by name; does not know how values are drawn, or what is done with them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bilstm.data.dataset import Dataset
from bilstm.errors import ParameterError, did_you_mean, from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.space import Choices as Choices
from bilstm.estimators.space import Dimension, Space
from bilstm.estimators.space import Range as Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

WIDE = 10.0  # how many times its low end the high end of a new range must be to be searched by its logarithm
FIXED = {
    "random_state": "every trial has the same seeds",
    "validation_fraction": "trials are compared on the same held-out part",
    "max_epochs": "trials are compared epoch by epoch",
    "class_weight": "it changes what the validation loss means",
    "horizon": "it changes what is forecast",
    "season": "it changes what errors are measured by",
    "strict": "it changes what is learned from",
    "device": "it does not change the model",
    "checkpoint": "every trial has its own",
    "verbose": "it does not change the model",
}


def space_for(
    estimator: BiLSTMEstimator,
    data: Dataset,
    search: Mapping[str, Dimension] | None = None,
    fixed: Collection[str] = (),
) -> Space:
    """What is searched for an estimator on data: its own ranges, narrowed or widened by ``search``.

    A parameter of ``estimator`` that is not its constructor's default, or that is named in ``fixed``, is not searched,
    unless ``search`` names it; a range there with a single value fixes it, too.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> space = space_for(BiLSTMRegressor(dropout=0.2), boston(), {"hidden_size": Range(8, 16, whole=True)})
        >>> " ".join(space), str(space["hidden_size"])
        ('hidden_size num_layers input_noise learning_rate weight_decay batch_size', '8..16')
    """
    own = estimator.search_space(data)
    defaults = inspect.signature(type(estimator)).parameters
    pinned = {name for name in own if name in fixed or getattr(estimator, name) != defaults[name].default}
    space = {name: dimension for name, dimension in own.items() if name not in pinned} | dict(search or {})
    check_space(estimator, space)
    if not space:
        raise ParameterError("expected a parameter to search, got all of them fixed", hint="leave some options out")
    return space


def check_space(estimator: BiLSTMEstimator, space: Space) -> None:
    """Raise a ParameterError for a name that cannot be searched, or an end that is out of its parameter's limits."""
    known = inspect.signature(type(estimator)).parameters
    for name, dimension in space.items():
        if name not in known:
            raise ParameterError(f"expected a parameter to search, got {name!r}", hint=did_you_mean(name, known, 40))
        if name in FIXED:
            raise ParameterError(f"expected a parameter to search, got {name!r}: {FIXED[name]}")
        for end in dimension.ends:
            check_parameters({name: end}, estimator.by_kind)


def parsed(
    words: Iterable[str], estimator: type[BiLSTMEstimator], reader: Callable[[str], Callable[[Any], Any]]
) -> Space:
    """Ranges from words of a command line: ``dropout=0..0.3``, ``pooling=mean,max``, ``num_layers=2``.

    A range is searched by its logarithm where the estimator's own is, or where its high end is ten times its low end.
    The ``reader`` gives for an annotation what reads a value of that type.

    Example:
        >>> from bilstm import BiLSTMRegressor
        >>> parsed(["learning_rate=1e-4..1e-2", "batch_size=16,32"], BiLSTMRegressor, lambda _: float)["batch_size"]
        Choices(values=(16.0, 32.0))
    """
    known = inspect.signature(estimator).parameters
    space: Space = {}
    for word in words:
        name, _, text = word.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not text.strip():
            message = f"expected NAME=LOW..HIGH or NAME=VALUE,VALUE, got {word!r}"
            raise ParameterError(message, hint="for instance hidden_size=32..256")
        if name not in known:
            raise ParameterError(f"expected a parameter to search, got {name!r}", hint=did_you_mean(name, known, 40))
        space[name] = _dimension(name, text, str(known[name].annotation), estimator.space, reader)
    return space


def _dimension(
    name: str, text: str, annotation: str, own: Space, reader: Callable[[str], Callable[[Any], Any]]
) -> Dimension:
    read = reader(annotation)
    low, dots, high = text.partition("..")
    try:
        if not dots:
            return Choices(tuple(dict.fromkeys(read(part.strip()) for part in text.split(","))))
        ends = read(low.strip()), read(high.strip())
    except ValueError:
        raise ParameterError(f"expected values of {name} ({annotation}), got {text!r}") from None
    are_numbers = all(type(end) in (int, float) and math.isfinite(end) for end in ends)
    if not are_numbers or ends[0] > ends[1]:
        hint = None if are_numbers else f"{name}=A,B"
        raise ParameterError(f"expected numbers from low to high for {name}, got {text!r}", hint)
    if ends[0] == ends[1]:
        return Choices((ends[0],))
    whole = all(isinstance(end, int) for end in ends)
    known = own.get(name)
    if isinstance(known, Range):
        return replace(known, low=ends[0], high=ends[1], whole=whole, log=known.log and ends[0] > 0)
    return Range(*ends, log=0 < ends[0] * WIDE <= ends[1], whole=whole)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    optuna = from_extra("optuna.distributions", "tune")
    result: dict[str, BaseDistribution] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Choices):
            result[name] = optuna.CategoricalDistribution(dimension.values)
        elif dimension.whole:
            result[name] = optuna.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            result[name] = optuna.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return result


def trial_params(space: Space, drawn: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dimension.value(drawn[name]) for name, dimension in space.items()}


def default_params(estimator: BiLSTMEstimator, space: Space, is_language: bool) -> dict[str, Any]:
    """The estimator's own values, as far as the space holds them: what the first trial tries."""
    params = {}
    for name, dimension in space.items():
        value = estimator.resolved(name, is_language=is_language)
        if value in dimension:
            params[name] = value
        elif isinstance(dimension, Choices):
            params[name] = dimension.values[0]
    return params
