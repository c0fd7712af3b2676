"""What one piece of work warns of, though others of the process change the filters of warnings at the same time.

Filters and records of the module ``warnings`` belong to the whole process; a context variable to one thread or task.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bilstm.errors import DataWarning

_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)
_shown = warnings.warn


@contextmanager
def data_warnings_heard() -> Iterator[list[str]]:
    """The texts of all DataWarnings of this piece of work, which are then not shown; others are shown as ever.

    The trap: from the first use on, ``warnings.warn`` of the process looks whether somebody listens.

    Example:
        >>> with data_warnings_heard() as told:
        ...     warnings.warn("a column is empty", DataWarning)
        >>> told
        ['a column is empty']
    """
    if warnings.warn is not _heard_or_shown:
        warnings.warn = _heard_or_shown
    told: list[str] = []
    token = _HEARD.set(told)
    try:
        yield told
    finally:
        _HEARD.reset(token)


def _heard_or_shown(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **more: Any) -> None:
    told = _HEARD.get()
    kind = type(message) if isinstance(message, Warning) else category
    if told is not None and isinstance(kind, type) and issubclass(kind, DataWarning):
        told.append(str(message))
    else:
        _shown(message, category, stacklevel + 1, source, **more)
