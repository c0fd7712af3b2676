"""Long work beside the predictions: one piece at a time, in a thread of its own. Knows limits; not what the work is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from bilstm.errors import BilstmError

MOST_WAITING = 8  # pieces of all visitors together
Found = TypeVar("Found")


class Aside:
    """Where X-rays and reports are made, so that predictions go on.

    Args:
        timeout: seconds after which nobody waits any more.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.waiting = 0
        self._pieces: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # no pool: a process that ends waits for a pool's threads, however long a report takes
        threading.Thread(target=self._work, name="bilstm-aside", daemon=True).start()

    async def run(self, work: Callable[[], Found], what: str) -> Found:
        """What the work gives.

        Args:
            work: takes seconds.
            what: it makes, in a word or two.

        Raises:
            BilstmError: too many are waiting, or it takes too long; or as the work does.
        """
        if self.waiting >= MOST_WAITING:
            raise BilstmError(
                f"expected at most {MOST_WAITING} X-rays or reports waiting, got one more", "try again in a moment"
            )
        piece: Future[Found] = Future()
        running = asyncio.wrap_future(piece)
        self.waiting += 1
        running.add_done_callback(lambda _: setattr(self, "waiting", self.waiting - 1))
        self._pieces.put((piece, work))
        try:
            return await asyncio.wait_for(asyncio.shield(running), self.timeout)
        except TimeoutError:
            running.cancel()  # which helps if it has not begun
            raise BilstmError(
                f"expected the {what} within {self.timeout:g} seconds, got none", "give it less at once"
            ) from None

    def _work(self) -> None:
        while True:
            _finish(*self._pieces.get())


def _finish(piece: Future[Any], work: Callable[[], Any]) -> None:
    if not piece.set_running_or_notify_cancel():
        return
    try:
        piece.set_result(work())
    except BaseException as error:  # the thread goes on, whatever the work does
        piece.set_exception(error)
