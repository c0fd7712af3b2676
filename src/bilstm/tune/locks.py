"""Who is at work on the search of a folder, and for how long. Knows locks and the clock of the system only.

A lock of the system falls when its process ends, however it ends: nobody has to guess whether the owner of a trial is
alive.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, ReadWriteLock, Timeout

from bilstm.errors import BilstmError

PRESENT = "present.lock"
POLL = 0.005  # seconds between two attempts to take a lock that another process has
TICK = 1.0  # seconds between two writings of the clock at least


def lock(path: Path) -> FileLock:
    """An exclusive lock on a file; to be entered, which waits for it."""
    return FileLock(path, poll_interval=POLL)


def acquired(path: Path) -> FileLock | None:
    """The exclusive lock on a file, held until it is released or the process ends; None if another one has it."""
    taken = lock(path)
    try:
        taken.acquire(blocking=False)
    except Timeout:
        return None
    return taken


@contextlib.contextmanager
def participation(folder: Path) -> Iterator[None]:
    """Be one of those at work on the search of a folder, which is made if it is not there."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(ReadWriteLock(folder / PRESENT, is_singleton=False).read_lock())
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise BilstmError(f"cannot write to the folder {folder}: {reason}") from None
        yield


@contextlib.contextmanager
def sole_access(folder: Path) -> Iterator[bool]:
    """Whether no other process is at work on the search of a folder; until the end none begins."""
    with contextlib.ExitStack() as stack:
        try:
            if folder.is_dir():
                stack.enter_context(ReadWriteLock(folder / PRESENT, is_singleton=False).write_lock(blocking=False))
        except Timeout:
            yield False
        else:
            yield True


class Clock:
    """Seconds during which at least one process was at work on a search, over all of its runs, kept in a file.

    Two at work at a time count once; the time between a stop and the next start does not count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._since = time.time()
        self._seconds = self._read()[0]

    @property
    def seconds(self) -> float:
        return self._seconds + max(0.0, time.time() - self._since)

    def tick(self, *, now: bool = False) -> float:
        """Write down the time since the last tick, if it is worth it; returns the seconds so far."""
        if now or time.time() - self._since >= TICK:
            with lock(self.path.with_suffix(".lock")):
                seconds, until = self._read()
                moment = time.time()
                self._seconds = seconds + max(0.0, moment - max(until, self._since))
                self._since = moment
                temporary = self.path.with_suffix(f".{os.getpid()}")
                temporary.write_text(json.dumps({"seconds": self._seconds, "until": max(until, moment)}))
                os.replace(temporary, self.path)
        return self.seconds

    def _read(self) -> tuple[float, float]:
        try:
            values = json.loads(self.path.read_text())
            return float(values["seconds"]), float(values["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0, 0.0
