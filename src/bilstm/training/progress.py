"""Shows a training run while it goes on: a live line on a terminal, plain lines elsewhere. All of it to stderr.

Also knows the most memory that the process has held.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bilstm.training.history import History

Show = Callable[[History], None]
Item = TypeVar("Item")
QUIET = 10.0  # seconds between two lines of a count, where there is no terminal


def say(text: str, verbose: int) -> None:
    """One line of talk, if there is to be any."""
    if verbose:
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(verbose: int, max_epochs: int) -> Iterator[Show | None]:
    """Yield a function to be called after every epoch with the history so far, or None for silence.

    ``verbose`` 1 is a live line on a terminal, about twenty lines elsewhere; n > 1 a line every n epochs.
    """
    if not verbose:
        yield None
    elif verbose == 1 and sys.stderr.isatty():
        with _live(max_epochs) as show:
            yield show
    else:
        yield _lines(verbose if verbose > 1 else max(1, max_epochs // 20), max_epochs)


def both(first: Show | None, second: Show | None) -> Show | None:
    """What tells both of every epoch, as far as they want to know."""
    if first is None or second is None:
        return first or second

    def tell(history: History) -> None:
        first(history)
        second(history)

    return tell


def describe(history: History, row: int = -1) -> str:
    """One epoch in words: loss, validation loss, metric."""
    parts = [f"loss {history['loss'][row]:.5f}"]
    if not math.isnan(history["validation_loss"][row]):
        parts.append(f"validation loss {history['validation_loss'][row]:.5f}")
        parts.append(f"{history.metric_name} {history['metric'][row]:.4g}")
    return " · ".join(parts)


def _lines(every: int, max_epochs: int) -> Show:
    width = len(str(max_epochs))

    def show(history: History) -> None:
        epoch = int(history["epoch"][-1])
        if epoch % every == 0 or epoch == max_epochs or (every > 1 and epoch == 1):
            print(f"epoch {epoch:{width}d} · {describe(history)}", file=sys.stderr, flush=True)

    return show


@contextlib.contextmanager
def _live(max_epochs: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done = TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24)
    columns = *done, TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=8) as bar:
        task = bar.add_task("", total=max_epochs)

        def show(history: History) -> None:
            bar.update(task, completed=history["epoch"][-1], description=describe(history))

        yield show


def counted(items: Sequence[Item], what: str, verbose: int) -> Iterator[Item]:
    """The items one by one; work that takes longer than some seconds says how far it has come."""
    last_said = time.monotonic()
    for done, item in enumerate(items):
        yield item
        if verbose and time.monotonic() - last_said > (1.0 if sys.stderr.isatty() else QUIET):
            last_said = time.monotonic()
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{what}: {done + 1} of {len(items)}", end=end, file=sys.stderr, flush=True)


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes; 0 where the system does not say."""
    try:  # on Linux what getrusage says begins with the memory of the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def mebibytes(size: float) -> str:
    """Bytes in words: ``612 MiB``."""
    return f"{size / 2**20:,.0f} MiB"
