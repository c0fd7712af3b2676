"""The models that a server answers for: loaded from their files, and loaded anew when these change.

Knows files, names and formats; does not know HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bilstm.errors import BilstmError, ParameterError, did_you_mean
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.loading import load
from bilstm.server.errors import RequestError, ended
from bilstm.server.formats import Format, format_of
from bilstm.server.metrics import Metrics
from bilstm.server.settings import LARGE, Settings
from bilstm.server.worker import Closed, Worker

log = logging.getLogger(__name__)
Mark = tuple[int, int, int, int]  # what tells one state of a file from another


@dataclass(frozen=True, eq=False)
class Served:
    name: str  # in addresses
    path: Path
    estimator: BiLSTMEstimator
    format: Format
    worker: Worker
    loaded_at: datetime  # in UTC
    mark: Mark  # of the file when it was loaded

    async def predict(self, rows: Any, size: float = math.inf) -> list[dict[str, Any]]:
        """A prediction for each row, in their order, through the same queue as every request.

        Args:
            rows: as the API takes them: a list of JSON values; of a transcriber a list of bytes.
            size: bytes in which they came; many are checked in another thread.

        Raises:
            RequestError: a row is wrong, there is too much to do, or it took too long.
        """
        check = self.format.check
        return await self.worker.predict(check(rows) if size <= LARGE else await asyncio.to_thread(check, rows))

    def facts(self, root: str = "") -> dict[str, Any]:
        """What is told of it below the prefix ``root``."""
        model = self.estimator
        classes = getattr(model, "classes_", None)
        return {
            "name": self.name,
            "task": model.task,
            "columns": [{"name": field.name, "kind": field.kind} for field in self.format.inputs.fields],
            "targets": model.target_names_,
            "classes": None if classes is None else classes.tolist(),
            "epochs": len(model.history_),
            "metrics": {n: v if v == v else None for n, v in model.metrics_.items()},
            "loaded_at": self.loaded_at.isoformat(timespec="seconds"),
            "predict": f"{root}/v1/models/{self.name}/predict",
        }


class Models:
    """Models by name, each with a thread of its own; safe to ask from any thread.

    Args:
        files: paths by name; see :func:`named`.
        settings: the limits.
        metrics: what counts loads and batches; made where there is none.

    Raises:
        ModelFileError: a file cannot be loaded; then none is kept.

    Example:
        >>> models = Models(named(["boston.bilstm"]), Settings())  # doctest: +SKIP
        >>> models.names()  # doctest: +SKIP
        ['boston']
    """

    def __init__(self, files: Mapping[str, Path], settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.version = 0  # grows with every load, so that what is made of the models can be kept until then
        self._lock = threading.Lock()  # held for moments, never while a file is opened
        self._loading: dict[str, threading.Thread] = {}  # the latest of each model
        self._served: dict[str, Served] = {}
        self._refused: dict[str, Mark] = {}  # files that could not be loaded, so that they are not tried every second
        self._seen: dict[str, Mark] = {}  # at the last look
        try:
            for name, path in files.items():
                self._served[name] = self._load(name, path)
                self.metrics.queue.labels(name).set_function(partial(self.waiting, name))
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        """In the order of the command line."""
        return list(self._served)

    def get(self, name: str) -> Served:
        """The model of that name, as it was loaded last; RequestError (404) where there is none."""
        if name in self._served:
            return self._served[name]
        hint = did_you_mean(name[:100], self._served)
        raise RequestError(404, f"expected a model, got {name[:100]!r}", hint, field="name")

    def waiting(self, name: str) -> int:
        return self.get(name).worker.waiting

    async def predict(self, name: str, rows: Any, size: float = math.inf) -> list[dict[str, Any]]:
        """:meth:`Served.predict` of the model of that name, also where it is just being loaded anew.

        RequestError as there, and where the server ends (503).
        """
        while True:
            served = self.get(name)
            try:
                return await served.predict(rows, size)
            except Closed:
                if self.get(name) is served:
                    raise ended() from None

    def reload(self, *, changed: bool = False) -> list[str]:
        """Load all files, or those that ``changed``, and say which; a bad one is logged and the old model stays."""
        before = dict(self._served)
        for thread in self.begin_reload(changed=changed):
            thread.join()
        return [name for name, old in before.items() if self._served[name] is not old]

    def begin_reload(self, *, changed: bool = False) -> list[threading.Thread]:
        """As :meth:`reload`, waiting for nothing: a file on a share that does not answer keeps its own model alone.

        Nor does such a thread keep the process from ending. No model is loaded twice at a time.
        """
        with self._lock:
            for name in self._served:
                earlier = self._loading.get(name)
                if changed and earlier is not None and earlier.is_alive():
                    continue
                loading = threading.Thread(target=self._reload, args=(name, changed, earlier), daemon=True)
                self._loading[name] = loading
                loading.start()
            return list(self._loading.values())

    def _reload(self, name: str, changed: bool, after: threading.Thread | None) -> None:
        if after is not None:
            after.join()
        old, mark = self._served[name], None
        try:
            mark = mark_of(old.path)
            if changed and (mark in (old.mark, self._refused.get(name)) or mark is None):
                return
            before, self._seen[name] = self._seen.get(name, old.mark), mark or old.mark
            if changed and mark and mark != before and mark[:2] == before[:2]:  # a copy over it may not have ended
                return
            self._served[name] = self._load(name, old.path)
        except Exception as error:  # whatever a file does
            self._refused[name] = mark or old.mark
            self.metrics.reload_failures.labels(name).inc()
            log.error("model %s stays as it was: %s", name, error, exc_info=not isinstance(error, BilstmError))
            return
        self._refused.pop(name, None)
        with self._lock:
            self.version += 1
        old.worker.close()  # answers what it has accepted
        log.info("model %s was loaded anew from %s", name, old.path)

    async def warm_up(self) -> None:
        """Let every model predict once, so that the first request is as quick as the next."""
        for name in self.names():
            served = self.get(name)
            try:
                if served.format.inputs.examples:
                    await served.predict(served.format.inputs.examples)
            except Exception as error:  # others may do better than the example
                log.warning("model %s does not predict its own example: %s", name, error)

    def close(self, seconds: float = 0.0) -> None:
        """End the threads once what waits is answered; wait for that at most so many seconds."""
        for served in self._served.values():
            served.worker.close()
        end = time.monotonic() + seconds
        for served in self._served.values():
            served.worker.join(max(0.0, end - time.monotonic()))

    def _load(self, name: str, path: Path) -> Served:
        mark = mark_of(path)
        with self.metrics.load_seconds.labels(name).time():
            estimator: BiLSTMEstimator = load(path)
            format = format_of(estimator, self.settings)
        worker = Worker(name, format, self.settings, self.metrics.batches_of(name))
        return Served(name, path, estimator, format, worker, datetime.now(UTC), mark or (0, 0, 0, 0))


def named(files: Iterable[str | Path]) -> dict[str, Path]:
    """Model files by the names that they have in addresses: ``NAME=FILE``, or the file's own name.

    Raises:
        ParameterError: two of them have the same name.

    Example:
        >>> named(["models/boston.bilstm", "old=models/boston.1.bilstm"])["old"].name
        'boston.1.bilstm'
    """
    paths: dict[str, Path] = {}
    for file in files:
        name, equals, path = str(file).partition("=")
        if not equals or os.path.exists(file):
            path = str(file)
            name = Path(path).name.removesuffix(".bilstm")
        name = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "model"
        if name in paths:
            hint = f"name them: first={paths[name]} second={path}"
            raise ParameterError(f"expected models of different names, got two called {name!r}", hint)
        paths[name] = Path(path)
    return paths


def mark_of(path: Path) -> Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


async def watch(models: Models, seconds: float) -> None:
    """Load what has been replaced, again and again; never ends by itself."""
    while True:
        await asyncio.sleep(seconds)
        try:
            models.begin_reload(changed=True)
        except Exception:  # no thread can be had, for instance
            log.exception("the model files could not be looked at")
