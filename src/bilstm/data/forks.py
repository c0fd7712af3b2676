"""What a forked process lacks: threads. Who waits for those of Polars or of OpenMP there waits for ever."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from bilstm.errors import BilstmError

# names of threads that Polars starts at its first work, not when it is imported
WORKERS = re.compile(r"polars-\d|async-executor|tokio-rt")
HINT = (
    "start processes by 'spawn' or 'forkserver', or do this before the fork; arrays, tables, texts and sound can be "
    "predicted after it too"
)


class _Process:
    """What is known of this process."""

    def __init__(self) -> None:
        self.is_forked = False
        self.has_polars_behind = False  # Polars had begun its work where this process was forked
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_child=self._after)

    def _before(self) -> None:
        self._polars_works = "polars" in sys.modules and _polars_has_begun()

    def _after(self) -> None:
        self.is_forked = True
        self.has_polars_behind = self.has_polars_behind or self._polars_works


def _polars_has_begun() -> bool:
    try:
        return any(WORKERS.match(task.read_text()) for task in Path("/proc/self/task").glob("*/comm"))
    except OSError:  # a thread has just ended
        return True


_process = _Process()


def is_forked() -> bool:
    """Whether this process, or one before it, was forked from one that had this package in it."""
    return _process.is_forked


def check_polars(work: str) -> None:
    """Raise an error if ``work``, in a word such as ``fit``, needs threads of Polars that a fork left behind."""
    if _process.has_polars_behind:
        got = "Polars was at work before this process was forked, and its threads have stayed behind"
        raise BilstmError(f"Cannot {work} in this process: {got}.", hint=HINT)
