"""How signals end a server: with status 0 and in time, whatever it does just then.

Imports little, so that it can stand before what takes long to import. Knows no server and no model.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def handled(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """Handle signals so meanwhile; outside the main thread, which alone gets them, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(*signal_and_frame: object) -> None:
    """End this process at once with status 0.

    As Python ends by itself, it waits for threads of pools, and those that compute may crash it.
    """
    os._exit(0)


def leave_in(seconds: float, leave: Callable[[], object] = leave) -> None:
    """:func:`leave` at that time, unless the process has ended before."""
    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
