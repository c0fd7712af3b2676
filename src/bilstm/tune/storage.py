"""Where a search writes down what it tried: a journal in its folder, or a database. Knows Optuna's storages only."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from bilstm.errors import BilstmError, ParameterError, from_extra
from bilstm.tune.locks import lock

JOURNAL = "trials.journal"
DRIVER = "postgresql+psycopg"  # SQLAlchemy's own choice for postgresql:// is a package that the extra does not bring


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
