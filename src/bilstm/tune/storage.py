"""Where a search writes down what it tried, a journal in its folder or a database; who is at work on it, for how long.

Knows Optuna's storages, locks and the system's monotonic clock. A lock falls when its process ends, however it ends:
nobody has to guess whether the owner of a trial is alive.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, ReadWriteLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from bilstm.errors import BilstmError, ParameterError, from_extra

JOURNAL = "trials.journal"
DRIVER = "postgresql+psycopg"  # SQLAlchemy's own choice for postgresql:// is a package that the extra does not bring
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

    Two at work at a time count once; the time between a stop and the next start does not count. Moments are those of
    the system's monotonic clock, which all processes share and nobody sets; one that lies ahead is of an earlier boot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._since = time.monotonic()
        self._seconds = self._read()[0]

    @property
    def seconds(self) -> float:
        return self._seconds + time.monotonic() - self._since

    def tick(self, *, now: bool = False) -> float:
        """Write down the time since the last tick, if it is worth it; returns the seconds so far."""
        if now or time.monotonic() - self._since >= TICK:
            with lock(self.path.with_suffix(".lock")):
                seconds, until = self._read()
                moment = time.monotonic()
                self._seconds = seconds + moment - (max(until, self._since) if until <= moment else self._since)
                self._since = moment
                temporary = self.path.with_suffix(f".{os.getpid()}")
                temporary.write_text(json.dumps({"seconds": self._seconds, "until": moment}))
                os.replace(temporary, self.path)
        return self.seconds

    def _read(self) -> tuple[float, float]:
        try:
            values = json.loads(self.path.read_text())
            return float(values["seconds"]), float(values["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0, 0.0


# --- what was tried --------------------------------------------------------------------------------------------


class Journal(JournalFileBackend):
    """Optuna's journal, a line an event, that a process killed at any moment leaves in order.

    Its lock is the system's, which nobody has to break after a kill, and a line that was not written to its end is
    cut off before the next one. Like a checkpoint it is not flushed to the disk after every line: a killed process
    loses nothing by that, and a power cut the last lines.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with lock(self.path.with_suffix(".lock")), self.path.open("r+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.seek(file.read().rfind(b"\n") + 1))
            file.write(text.encode())


@contextlib.contextmanager
def open_storage(folder: Path, url: str | None) -> Iterator[BaseStorage]:
    """The journal of a folder, or a database, which is left without a connection; Optuna is quiet meanwhile."""
    with optuna_quiet():
        if url is None:
            yield JournalStorage(Journal(folder / JOURNAL))
            return
        database = _database(url)
        try:
            yield database
        except optuna.exceptions.StorageInternalError as error:
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            hint = f"the same command goes on from {folder} when it can"
            raise BilstmError(f"expected a database that goes on, got: {cause}", hint) from error
        finally:
            database.remove_session()
            database.engine.dispose()


def _database(url: str) -> RDBStorage:
    sqlalchemy = from_extra("sqlalchemy", "tune")
    try:
        place = sqlalchemy.engine.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        hint = "for instance postgresql://user@host/tuning"
        raise ParameterError("expected a database as its URL, got words that are none", hint) from None
    if place.drivername in ("postgresql", "postgres"):
        from_extra("psycopg", "tune")
        place = place.set(drivername=DRIVER)
    try:
        return RDBStorage(place.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True})
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, optuna.exceptions.OptunaError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise BilstmError(f"cannot use the database {place.render_as_string()}: {reason}") from None


@contextlib.contextmanager
def optuna_quiet() -> Iterator[None]:
    """Optuna says nothing of what is going on, nor which of its parts are new; mistakes are raised as ever."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            yield
    finally:
        optuna.logging.set_verbosity(level)
