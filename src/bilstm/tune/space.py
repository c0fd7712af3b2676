"""What a search may change: for every task some parameters with their ranges, and how words narrow them.

Knows parameters and ranges, by name; does not know how values are drawn, or what is done with them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.errors import ParameterError, did_you_mean, from_extra

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 3  # of a number that is drawn: more says nothing, and nobody could type it
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


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones, or by their logarithm.

    Example:
        >>> Range(16, 256, log=True, whole=True)
        Range(low=16, high=256, log=True, whole=True)
        >>> print(Range(0.0, 0.5))
        0..0.5
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    @property
    def ends(self) -> tuple[float, ...]:
        return self.low, self.high

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.whole or value == int(value))

    def value(self, drawn: Any) -> Any:
        """What a trial is given for a number that was drawn: three digits of it."""
        if self.whole:
            return int(drawn)
        return min(max(float(f"{drawn:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class Choices:
    """One of some values.

    Example:
        >>> print(Choices(("mean", None)))
        mean,none
    """

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ",".join(map(said, self.values))

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def __contains__(self, value: Any) -> bool:
        return any(value == one and type(value) is type(one) for one in self.values)

    def value(self, drawn: Any) -> Any:
        """A choice is what it is."""
        return drawn


Dimension = Range | Choices
Space = dict[str, Dimension]

# What takes several times as long as the defaults is not in these spaces: ten minutes would not hold five trials of it.
SIZE = Range(16, 128, log=True, whole=True)
LAYERS = Range(1, 2, whole=True)
RATE = Range(1e-3, 1e-2, log=True)
DECAY = Choices((0.0, 1e-5, 1e-4, 1e-3))
POOLING = Choices(("final", "mean", "max", "attention"))

NUMBERS: Space = {
    "hidden_size": SIZE,
    "num_layers": LAYERS,
    "dropout": Range(0.0, 0.5),
    "input_noise": Range(0.0, 0.5),
    "learning_rate": RATE,
    "weight_decay": DECAY,
    "batch_size": Choices((16, 32, 64)),
}
WORDS: Space = {
    "hidden_size": Range(48, 192, log=True, whole=True),
    "dropout": Range(0.3, 0.7),
    "embedding_dropout": Range(0.3, 0.7),
    "word_dropout": Range(0.0, 0.2),
    "embedding_size": Range(50, 300, log=True, whole=True),
    "char_hidden_size": Range(16, 64, log=True, whole=True),
    "learning_rate": Range(1e-3, 6e-3, log=True),
    "batch_size": Choices((16, 32, 64)),
}
SPACES: dict[str, Space] = {
    "regressor": NUMBERS,
    "classifier": NUMBERS,
    "tagger": WORDS,
    "forecaster": {
        "hidden_size": SIZE,
        "num_layers": Range(1, 2, whole=True),
        "dropout": Range(0.0, 0.5),
        "target_as": Choices(("level", "difference", "log-return")),
        "learning_rate": Range(2e-4, 1e-2, log=True),
        "weight_decay": DECAY,
        "batch_size": Choices((64, 128, 256)),
    },
    "transcriber": {
        "hidden_size": Range(128, 512, log=True, whole=True),
        "num_layers": Range(2, 4, whole=True),
        "dropout": Range(0.2, 0.6),
        "learning_rate": Range(3e-4, 3e-3, log=True),
        "speed_change": Range(0.0, 0.2),
        "batch_size": Choices((4, 8, 16)),
    },
}


def space_for(
    estimator: Any, data: Dataset, search: Mapping[str, Dimension] | None = None, fixed: Collection[str] = ()
) -> Space:
    """What is searched for an estimator on data: the task's own ranges, narrowed or widened by ``search``.

    A parameter of ``estimator`` that is not its constructor's default is fixed, unless ``search`` names it.

    Args:
        estimator: not fitted.
        data: what it will be fitted to; texts, tables and sequences are searched differently.
        search: ranges by name, in place of the task's own or beside them; one with a single value fixes it.
        fixed: names that are not searched though they have their default.

    Raises:
        ParameterError: no such parameter, one that a search must leave alone, or a value out of its limits.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> space = space_for(BiLSTMRegressor(dropout=0.2), boston(), {"hidden_size": Range(8, 16, whole=True)})
        >>> " ".join(space), str(space["hidden_size"])
        ('hidden_size num_layers input_noise learning_rate weight_decay batch_size', '8..16')
    """
    own = _own_space(estimator, data)
    defaults = inspect.signature(type(estimator)).parameters
    pinned = {name for name in own if name in fixed or getattr(estimator, name) != defaults[name].default}
    space = {name: dimension for name, dimension in own.items() if name not in pinned} | dict(search or {})
    check_space(estimator, space)
    if not space:
        raise ParameterError("expected a parameter to search, got all of them fixed", hint="leave some options out")
    return space


def _own_space(estimator: Any, data: Dataset) -> Space:
    if data.is_language and estimator.task == "classifier":
        return WORDS | {"pooling": POOLING}
    space = SPACES[estimator.task]
    if estimator.task in ("regressor", "classifier") and not (data.is_table and estimator.table_as == "one step"):
        return space | {"pooling": POOLING}  # of one step all poolings are the same
    if isinstance(data, Series) and not (data.goal_values > 0).all():
        return space | {"target_as": Choices(("level", "difference"))}  # what is not positive has no logarithm
    return space


def check_space(estimator: Any, space: Space) -> None:
    """Raise a ParameterError for a name that cannot be searched, or an end that is out of its parameter's limits."""
    from bilstm.estimators.parameters import check_parameters  # which brings torch, and help does without

    known = inspect.signature(type(estimator)).parameters
    for name, dimension in space.items():
        if name not in known:
            raise ParameterError(f"expected a parameter to search, got {name!r}", hint=did_you_mean(name, known, 40))
        if name in FIXED:
            raise ParameterError(f"expected a parameter to search, got {name!r}: {FIXED[name]}")
        for end in dimension.ends:
            check_parameters({name: end}, estimator.by_kind)


def parsed(words: Iterable[str], estimator: type, reader: Callable[[str], Callable[[Any], Any]]) -> Space:
    """Ranges from words of a command line: ``dropout=0..0.3``, ``pooling=mean,max``, ``num_layers=2``.

    A range is searched by its logarithm where the task's own is, or where its high end is ten times its low end.

    Args:
        words: one a parameter.
        estimator: whose parameters they are.
        reader: an annotation to what reads a value of that type.

    Raises:
        ParameterError: a word that is none of these.

    Example:
        >>> from bilstm import BiLSTMRegressor
        >>> parsed(["learning_rate=1e-4..1e-2", "batch_size=16,32"], BiLSTMRegressor, lambda _: float)["batch_size"]
        Choices(values=(16.0, 32.0))
    """
    known = inspect.signature(estimator).parameters
    space: Space = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not text.strip():
            raise ParameterError(
                f"expected NAME=LOW..HIGH or NAME=VALUE,VALUE, got {word!r}", hint="for instance hidden_size=32..256"
            )
        if name not in known:
            raise ParameterError(f"expected a parameter to search, got {name!r}", hint=did_you_mean(name, known, 40))
        space[name] = _dimension(name, text, str(known[name].annotation), SPACES[estimator.task], reader)  # type: ignore[attr-defined]
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
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
        raise ParameterError(f"expected numbers from low to high for {name}, got {text!r}", hint=f"{name}=A,B")
    if ends[0] > ends[1]:
        raise ParameterError(f"expected numbers from low to high for {name}, got {text!r}")
    if ends[0] == ends[1]:
        return Choices((ends[0],))
    whole = all(isinstance(end, int) for end in ends)
    known = own.get(name)
    if isinstance(known, Range):
        return replace(known, low=ends[0], high=ends[1], whole=whole, log=known.log and ends[0] > 0)
    return Range(*ends, log=0 < ends[0] * WIDE <= ends[1], whole=whole)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The same as Optuna says it."""
    optuna = from_extra("optuna.distributions", "tune")
    found: dict[str, BaseDistribution] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Choices):
            found[name] = optuna.CategoricalDistribution(dimension.values)
        elif dimension.whole:
            found[name] = optuna.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            found[name] = optuna.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return found


def values(space: Space, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn as a trial's parameters."""
    return {name: dimension.value(drawn[name]) for name, dimension in space.items()}


def defaults(estimator: Any, space: Space, is_language: bool) -> dict[str, Any]:
    """The estimator's own values, as far as the space holds them: what the first trial tries."""
    found = {}
    for name, dimension in space.items():
        value = getattr(estimator, name)
        if value is None and name in estimator.by_kind:
            value = estimator.by_kind[name][is_language]
        if value in dimension:
            found[name] = value
        elif isinstance(dimension, Choices):
            found[name] = dimension.values[0]
    return found


def said(value: Any) -> str:
    """A value as the command line takes it.

    Example:
        >>> said(None), said(True), said(0.001), said("mean")
        ('none', 'true', '0.001', 'mean')
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{DIGITS}g}" if isinstance(value, float) and float(f"{value:.{DIGITS}g}") == value else str(value)
