"""The limits of every constructor parameter, in one table, and how a mistake in them is worded.

The constructor's signature is the configuration; this file only says which values make sense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

from bilstm.data.sound.encoder import WAYS as NORMALISE
from bilstm.errors import ParameterError, did_you_mean
from bilstm.networks.network import POOLING_NAMES
from bilstm.training.loop import OPTIMIZERS, SCHEDULES

TARGET_AS = ("auto", "level", "difference", "log-return")


class Limit(NamedTuple):
    """What a parameter may be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def whole(low: int) -> Limit:
    """Whole numbers from ``low`` on."""
    words = f"a whole number of at least {low}"
    return Limit(words, lambda v: not isinstance(v, bool) and isinstance(v, Integral) and int(v) >= low)


def real(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False) -> Limit:
    """Finite numbers between ``low`` and ``high``, which belong to them unless that end is open."""
    words = f"a number {'above' if open_low else 'of at least'} {low:g}"
    if high < math.inf:
        words += f" and {'below' if open_high else 'at most'} {high:g}"

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            return False
        is_end = (open_low and value == low) or (open_high and value == high)
        return low <= float(value) <= high and not is_end

    return Limit(words, holds)


def one_of(*choices: str) -> Limit:
    """Some words."""
    return Limit(f"one of {', '.join(map(repr, choices))}", lambda v: isinstance(v, str) and v in choices, choices)


def or_none(limit: Limit) -> Limit:
    """What another limit holds for, and None."""
    return Limit(f"{limit.words}, or None", lambda v: v is None or limit.holds(v), limit.choices)


ANY = Limit("anything", lambda value: True)
TRUTH = Limit("True or False", lambda v: isinstance(v, bool))

LIMITS: dict[str, Limit] = {
    "hidden_size": whole(1),
    "num_layers": whole(1),
    "dropout": real(0, 1, open_high=True),
    "input_noise": real(0),
    "label_smoothing": real(0, 1, open_high=True),
    "pooling": one_of(*POOLING_NAMES),
    "table_as": one_of("one step", "steps"),
    "optimizer": one_of(*OPTIMIZERS),
    "learning_rate": real(0, open_low=True),
    "weight_decay": real(0),
    "schedule": one_of(*SCHEDULES),
    "clip_norm": or_none(real(0, open_low=True)),
    "batch_size": or_none(whole(1)),
    "max_epochs": whole(1),
    "patience": or_none(whole(1)),
    "validation_fraction": real(0, 1, open_high=True),
    "history": whole(2),
    "horizon": whole(1),
    "target_as": one_of(*TARGET_AS),
    "season": or_none(whole(1)),
    "linear": TRUTH,
    "calendar": TRUTH,
    "rescale": or_none(TRUTH),
    "sample_rate": or_none(whole(1000)),
    "mels": whole(3),
    "stack": whole(1),
    "normalise": one_of(*NORMALISE),
    "speed_change": real(0, 0.5),
    "masks": TRUTH,
    "strict": TRUTH,
    "crf": TRUTH,
    "embedding_size": whole(0),
    "char_hidden_size": whole(0),
    "embedding_dropout": real(0, 1, open_high=True),
    "word_dropout": real(0, 1, open_high=True),
    "min_count": whole(1),
    "lowercase": TRUTH,
    "vectors": or_none(Limit("a file", lambda v: isinstance(v, (str, Path)))),
    "extra_vectors": whole(0),
    "class_weight": ANY,  # checked against the classes, in fit
    "random_state": ANY,  # checked by scikit-learn's check_random_state, in fit
    "device": Limit("a device such as 'auto', 'cpu' or 'cuda:0'", lambda v: isinstance(v, str)),
    "checkpoint": ANY,
    "verbose": whole(0),
}


def store(estimator: object, arguments: dict[str, Any]) -> None:
    """What a constructor does: keep its arguments under their own names, unchanged and unchecked."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def check_parameters(parameters: dict[str, Any], by_kind: Collection[str] = ()) -> None:
    """Raise one error that names every parameter out of its limits; those of ``by_kind`` may be None, too."""
    wrong, hints = [], []
    for name, limit in LIMITS.items():
        value = parameters.get(name)
        may_be_none = name in by_kind and value is None
        if name in parameters and not may_be_none and not limit.holds(value):
            wrong.append(f"expected {name} to be {limit.words}, got {value!r}")
            if limit.choices and isinstance(value, str):
                hints.append(did_you_mean(value, limit.choices))
    if wrong:
        raise ParameterError("; ".join(wrong), hint=hints[0] if hints else None)
