"""Files that say who is at work, and how long a search has been at work. Knows the system's locks and clock only.

A lock of the system (flock) is given back when its process ends, however it ends: nobody has to guess whether the
owner of a trial is alive.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bilstm.errors import BilstmError

PRESENT = "present.lock"
TICK = 1.0  # seconds between two writings of the clock at least


class Lock:
    """An exclusive lock on a file, held until it is released or the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock; false if another process has it and we do not wait."""
        try:
            import fcntl
        except ImportError:
            raise BilstmError("expected a system with flock (Linux, macOS), got one without") from None
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back; harmless if it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file; waits for it."""
    lock = Lock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Be one of those at work on the search of a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / PRESENT)
        lock.acquire(shared=True)
    except OSError as error:
        raise BilstmError(f"cannot write to the folder {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Whether no other process is at work on the search of a folder; until the end none begins."""
    lock = Lock(folder / PRESENT)
    is_alone = not folder.is_dir() or lock.acquire(wait=False)
    try:
        yield is_alone
    finally:
        lock.release()


class Clock:
    """Seconds during which at least one process was at work on a search, over all of its runs.

    Two at work at a time count once; the time between a stop and the next start does not count.

    Args:
        path: the file that keeps the seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._since = time.time()
        self._seconds = self._read()[0]

    @property
    def seconds(self) -> float:
        """So far."""
        return self._seconds + max(0.0, time.time() - self._since)

    def tick(self, *, now: bool = False) -> float:
        """Write down the time since the last tick, if it is worth it; returns the seconds so far."""
        if now or time.time() - self._since >= TICK:
            with locked(self.path.with_suffix(".lock")):
                seconds, until = self._read()
                moment = time.time()
                self._seconds = seconds + max(0.0, moment - max(until, self._since))
                self._since = moment
                self._write(self._seconds, max(until, moment))
        return self.seconds

    def _read(self) -> tuple[float, float]:
        try:
            found = json.loads(self.path.read_text())
            return float(found["seconds"]), float(found["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0, 0.0

    def _write(self, seconds: float, until: float) -> None:
        temporary = self.path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"seconds": seconds, "until": until}))
        os.replace(temporary, self.path)
