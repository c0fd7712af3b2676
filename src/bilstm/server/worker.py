"""One thread that predicts for one model: what comes while it works is its next batch. Nothing waits for a clock.

Knows jobs, their order and their limits; does not know HTTP, nor what is predicted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import torch

from bilstm.errors import BilstmError
from bilstm.server.errors import RequestError
from bilstm.server.formats import Format
from bilstm.server.settings import Settings

log = logging.getLogger(__name__)
Outcome = list[dict[str, Any]] | BaseException


class Closed(Exception):
    """A worker that takes nothing any more: another model stands in its place, or the server ends."""


class Job(NamedTuple):
    """The checked rows of one request, and where their predictions are awaited."""

    rows: Sequence[Any]
    answer: Future[list[dict[str, Any]]]


class Worker:
    """Predicts for one model, batch after batch, in a thread of its own.

    ``on_batch`` is called with the rows of each batch and the seconds that it took.
    """

    def __init__(
        self, name: str, format: Format, settings: Settings, on_batch: Callable[[int, float], None] | None = None
    ) -> None:
        self.name, self.format, self.settings, self.on_batch = name, format, settings, on_batch
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()  # nothing comes into the queue behind its end
        self._is_closed = False
        self._held: Job | None = None  # came with the last batch and did not fit into it
        self._thread = threading.Thread(target=self._work, name=f"bilstm-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._jobs.qsize()

    async def predict(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Predictions of checked rows, in their order; Closed, with nothing done, after :meth:`close`."""
        if self.waiting >= self.settings.queue:
            message = f"expected at most {self.settings.queue} requests waiting for {self.name!r}, got one more"
            raise RequestError(503, message, "try again in a moment", headers={"retry-after": "1"})
        job = Job(rows, Future())
        with self._lock:
            if self._is_closed:
                raise Closed(self.name)
            self._jobs.put(job)
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await asyncio.wrap_future(job.answer)
        except TimeoutError:
            message = f"expected an answer within {self.settings.timeout:g} seconds, got none"
            hint = "send fewer or shorter rows, or try again when there is less to do"
            raise RequestError(504, message, hint, headers={"retry-after": "5"}) from None

    def close(self) -> None:
        """End the thread once all that waits is answered; returns at once."""
        with self._lock:
            self._is_closed = True
            self._jobs.put(None)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    # -- in the thread -------------------------------------------------------------------------------------

    def _work(self) -> None:
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        while (jobs := self._next_batch()) is not None:
            started = time.perf_counter()
            outcomes = self._outcomes(jobs)
            if self.on_batch is not None:  # before the answers: who has one finds it counted
                self.on_batch(sum(len(job.rows) for job in jobs), time.perf_counter() - started)
            for job, outcome in zip(jobs, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    job.answer.set_exception(outcome)
                else:
                    job.answer.set_result(outcome)

    def _next_batch(self) -> list[Job] | None:
        """All that waits, as far as it fits together; None at the end."""
        first = self._held or self._jobs.get()
        self._held = None
        if first is None:
            return None
        jobs, count = [first], len(first.rows)
        while self.settings.batch > 1:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:  # the end comes after this batch
                self._jobs.put(None)
                break
            if count + len(job.rows) > self.settings.batch:
                self._held = job
                break
            jobs.append(job)
            count += len(job.rows)
        return [job for job in jobs if job.answer.set_running_or_notify_cancel()]  # others were given up

    def _outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Predictions of each job or what went wrong with it; nobody's mistake is another's."""
        prepared = [self._tried(self.format.prepare, job.rows) for job in jobs]
        good = [rows for rows in prepared if isinstance(rows, list)]
        together = self._tried(self.format.predict, [row for rows in good for row in rows]) if good else []
        if isinstance(together, list):
            left = iter(together)
            return [list(islice(left, len(rows))) if isinstance(rows, list) else rows for rows in prepared]
        if len(good) == 1:
            return [together if isinstance(rows, list) else rows for rows in prepared]
        return [self._tried(self.format.predict, rows) if isinstance(rows, list) else rows for rows in prepared]

    def _tried(self, work: Callable[[Any], list[Any]], rows: Any) -> Outcome:
        try:
            return work(rows)
        except BilstmError as error:
            return error
        except Exception as error:  # the thread goes on, whatever a model does
            log.exception("model %s: %s", self.name, type(error).__name__)
            return error
