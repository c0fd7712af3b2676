"""What a search for parameters may change: ranges and choices, and the spaces that estimators begin with.

Plain data; imports nothing heavy, so that help can list what is searched. Knows parameters by name; does not know
which values the constructors allow, or how values are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bilstm.formatting import as_option

DIGITS = 3  # of a number that is drawn: more says nothing, and nobody could type it


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

    def __post_init__(self) -> None:  # NumPy's numbers become Python's, as those of estimators do
        plain = tuple(value.item() if hasattr(value, "item") else value for value in self.values)
        object.__setattr__(self, "values", plain)

    def __str__(self) -> str:
        return ",".join(map(as_option, self.values))

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


def in_words(space: Mapping[str, Dimension]) -> str:
    """A space in one line.

    Example:
        >>> in_words({"dropout": Range(0.0, 0.5), "batch_size": Choices((16, None))})
        'dropout 0..0.5, batch_size 16,none'
    """
    return ", ".join(f"{name} {dimension}" for name, dimension in space.items())


# What takes several times as long as the defaults is not in these spaces: ten minutes would not hold five trials of it.
SIZE = Range(16, 128, log=True, whole=True)
DECAY = Choices((0.0, 1e-5, 1e-4, 1e-3))

NUMBERS: Space = {
    "hidden_size": SIZE,
    "num_layers": Range(1, 2, whole=True),
    "dropout": Range(0.0, 0.5),
    "input_noise": Range(0.0, 0.5),
    "learning_rate": Range(1e-3, 1e-2, log=True),
    "weight_decay": DECAY,
    "batch_size": Choices((16, 32, 64)),
}
POOLING: Space = {"pooling": Choices(("final", "mean", "max", "attention"))}
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
SERIES: Space = {
    "hidden_size": SIZE,
    "num_layers": Range(1, 2, whole=True),
    "dropout": Range(0.0, 0.5),
    "target_as": Choices(("level", "difference", "log-return")),
    "learning_rate": Range(2e-4, 1e-2, log=True),
    "weight_decay": DECAY,
    "batch_size": Choices((64, 128, 256)),
}
SOUND: Space = {
    "hidden_size": Range(128, 512, log=True, whole=True),
    "num_layers": Range(2, 4, whole=True),
    "dropout": Range(0.2, 0.6),
    "learning_rate": Range(3e-4, 3e-3, log=True),
    "speed_change": Range(0.0, 0.2),
    "batch_size": Choices((4, 8, 16)),
}
