"""Long work beside the predictions: one piece at a time, in a thread of its own. Knows limits; not what the work is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")

    async def run(self, work: Callable[[], Found], what: str) -> Found:
        """What the work gives.

        Args:
            work: takes seconds.
            what: it makes, in a word or two.

        Raises:
            BilstmError: too many are waiting, or it takes too long; or as the work does.
        """
        if self.waiting >= MOST_WAITING:
            raise BilstmError(f"{self.waiting} X-rays or reports are waiting already", "try again in a moment")
        running = asyncio.get_running_loop().run_in_executor(self.pool, work)
        self.waiting += 1
        running.add_done_callback(lambda _: setattr(self, "waiting", self.waiting - 1))
        try:
            return await asyncio.wait_for(asyncio.shield(running), self.timeout)
        except TimeoutError:
            running.cancel()  # which helps if it has not begun
            raise BilstmError(f"the {what} was not ready in {self.timeout:g} s", "give it less at once") from None
