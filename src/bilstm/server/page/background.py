"""Long work beside the predictions: one piece at a time, in a thread of its own. Knows limits; not what the work is."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from bilstm.errors import BilstmError
from bilstm.server.page.widgets import UNEXPECTED

MOST_WAITING = 8  # pieces of all visitors together
Result = TypeVar("Result")


class Background:
    """Where X-rays and reports are made, so that predictions go on.

    Args:
        timeout: seconds after which nobody waits any more.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.waiting = 0
        self._pieces: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # no pool: a process that ends waits for a pool's threads, however long a report takes
        threading.Thread(target=self._work, name="bilstm-background", daemon=True).start()

    async def run(self, work: Callable[[], Result], what: str) -> Result:
        """The result of some work.

        Args:
            work: takes seconds.
            what: it makes, in a word or two.

        Raises:
            BilstmError: too many are waiting, it takes too long, or it fails; what nobody foresaw is logged.
        """
        if self.waiting >= MOST_WAITING:
            raise BilstmError(
                f"expected at most {MOST_WAITING} X-rays or reports waiting, got one more", "try again in a moment"
            )
        piece: Future[Result] = Future()
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
        except BilstmError:
            raise
        except Exception:
            logging.getLogger("bilstm.server").exception("the page could not make the %s", what)
            raise UNEXPECTED from None

    def _work(self) -> None:
        while True:
            piece, work = self._pieces.get()
            if not piece.set_running_or_notify_cancel():
                continue
            try:
                piece.set_result(work())
            except BaseException as error:  # the thread goes on, whatever the work does
                piece.set_exception(error)
