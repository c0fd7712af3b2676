"""Exceptions with a hint. Knows how a mistake is worded; knows nothing of data, models or terminals.

BilstmError                 everything this package raises on purpose
├── DataError               the data given is not the data needed     (also a ValueError)
├── ParameterError          a parameter is out of its range           (also a ValueError)
├── ModelFileError          a model file cannot be used               (also a ValueError)
├── ExtraError              a package that only some tasks need is missing (also an ImportError)
└── TrainingError           training cannot go on                     (also an ArithmeticError)

DataWarning                 work goes on                              (a UserWarning)

Warnings of data go through :func:`warn`, so that a piece of work can record its own: the filters and hooks of the
module ``warnings`` belong to the whole process, a context variable to one thread or task.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType


class BilstmError(Exception):
    """A mistake in one or two plain sentences: what is wrong and where; then a hint, on a line of its own, what to do.

    Example:
        >>> print(DataError("There is no column 'medv' in houses.csv.", hint="name it with --target"))
        There is no column 'medv' in houses.csv.
        hint: name it with --target
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[BilstmError], tuple[str, str | None]]:
        return type(self), (self.message, self.hint)


class DataWarning(UserWarning):
    """Something about the data that a user would want to know, though work goes on."""


_RECORDS: ContextVar[tuple[tuple[list[str], bool], ...]] = ContextVar("records", default=())


def warn(message: str, stacklevel: int = 1) -> None:
    """Issue a :class:`DataWarning`: to whoever records those of this piece of work, and to the reader.

    The stacklevel is that of ``warnings.warn``: 1 names the line that calls this function, 2 the caller of that one.
    """
    records = _RECORDS.get()
    for messages, _ in records:
        if message not in messages:
            messages.append(message)
    if all(show for _, show in records):
        warnings.warn(message, DataWarning, stacklevel=stacklevel + 1)


@contextmanager
def record_warnings(*, show: bool = True) -> Iterator[list[str]]:
    """Record the texts of all DataWarnings of this piece of work, each text once, and show them too if ``show``.

    The trap: a thread that the work starts records only if it is run in a copy of this context
    (``contextvars.copy_context().run``); other threads are not listened to.
    """
    messages: list[str] = []
    token = _RECORDS.set((*_RECORDS.get(), (messages, show)))
    try:
        yield messages
    finally:
        _RECORDS.reset(token)


class DataError(BilstmError, ValueError):
    """The data given is not the data needed."""


class ShapeError(DataError, RuntimeError):
    """A tensor has not the shape or type that a layer needs; a RuntimeError too, as of torch's layers."""


class ParameterError(BilstmError, ValueError):
    """A parameter is out of its range."""


class ModelFileError(BilstmError, ValueError):
    """A model file is damaged, foreign, too new, or cannot be written."""


class TrainingError(BilstmError, ArithmeticError):
    """Training cannot go on; the message names the epoch and the quantity."""


class ExtraError(BilstmError, ImportError):
    """A package that only some tasks need is not installed."""


def from_extra(module: str, extra: str) -> ModuleType:
    """Import a module that comes with one of this package's extras, or raise an ExtraError that names the extra."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library of the system that the module needs is missing
        reason = f"no module {module!r}" if isinstance(error, ModuleNotFoundError) else f"{module!r}: {error}"
        raise ExtraError(f"expected the extra {extra!r}, got {reason}", f"pip install 'bilstm[{extra}]'") from None


def did_you_mean(word: str, choices: Iterable[object], limit: int = 8) -> str:
    """Say which of ``choices`` comes nearest to ``word``, or list them.

    Example:
        >>> did_you_mean("medw", ["medv", "crim"])
        "did you mean 'medv'?"
        >>> did_you_mean("price", ["medv", "crim"])
        "there are 'medv', 'crim'"
    """
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(word, names, n=1) or [name for name in names if name.lower() == word.lower()]
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(repr(name) for name in names[:limit])
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"there are {shown}{rest}" if names else "there are none"
