"""One training function run by several workers of Ray Train, which are brought together, watched and started again.

Knows Ray Train; does not know what is trained: the function finds the other workers in ``bilstm.training.workers``,
and goes on from its own checkpoint when it is started again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bilstm.cluster.connection import connected, processors
from bilstm.errors import BilstmError
from bilstm.training import workers

MOST_FAILURES = 20  # deaths of workers in one run, after which something else must be wrong
POLL = 0.2  # seconds between two looks at what the workers have said
MENDED_BY_RESTART = (RuntimeError, OSError)  # what a worker sees when another one dies; anything else it did itself


def train_together(
    work: Callable[[], None],
    *,
    count: int | tuple[int, int] | None = None,
    cpus: int = 1,
    address: str | None = None,
    folder: Path | None = None,
    name: str = "model",
    log: Callable[[str], None] = lambda line: print(line, end="", file=sys.stderr, flush=True),
) -> None:
    """Run a function in several processes that train one model together.

    A worker that dies ends the others; all are started again, and the function goes on from the checkpoint that it
    writes. An exception of its own is raised here, and not tried again. What the first worker writes to stderr, ``log``
    is called with, line by line.

    Args:
        count: of workers; of two numbers, as many from the first to the second as the cluster has room for, and
            fewer or more as machines leave or join; None: as many as it has room for now.
        cpus: processors, and threads, of each worker.
        folder: where Ray notes how the run stands, on every machine of the cluster; None is one of this machine.

    The trap: workers of other machines see the files of those machines, by the paths of this one.
    """
    most = (count if isinstance(count, int) else count[1]) * cpus if count else os.cpu_count() or 1
    with (
        connected(address, most) as ray,
        tempfile.TemporaryDirectory(prefix=".ray-", dir=folder, ignore_cleanup_errors=True) as storage,
    ):
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.util.queue import Queue

        count = count or max(1, processors(ray) // cpus)
        lines, mistakes = (Queue(actor_options={"num_cpus": 0}) for _ in range(2))  # from the workers
        failures = FailureConfig(max_failures=MOST_FAILURES)
        trainer = TorchTrainer(
            in_worker,
            train_loop_config={"work": work, "lines": lines, "mistakes": mistakes, "folder": os.getcwd(), "cpus": cpus},
            scaling_config=ScalingConfig(num_workers=count, resources_per_worker={"CPU": cpus}),  # type: ignore[arg-type]
            run_config=RunConfig(name=name, storage_path=os.path.realpath(storage), failure_config=failures),
            torch_config=TorchConfig(backend="gloo"),
        )
        follow(trainer.fit, lambda: lines.get_nowait_batch(lines.qsize()), log)
        if not mistakes.empty():
            raise mistakes.get()


def follow(run: Callable[[], Any], lines: Callable[[], list[str]], log: Callable[[str], None]) -> None:
    """Run a function to its end in a thread, since Ray would take Ctrl-C for itself in the main one; log lines."""
    failed: list[BaseException] = []

    def to_its_end() -> None:
        try:
            run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=to_its_end, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        for line in lines():
            log(line)
    if failed:
        reason = str(failed[0]).strip().split("\n")[-1]
        raise BilstmError(
            f"expected workers that come to an end, got {type(failed[0]).__name__}: {reason}",
            hint="the same command goes on from the last finished epoch",
        ) from failed[0]


def in_worker(config: dict[str, Any]) -> None:
    """What each worker does: the work, unless a worker before it has found that it cannot be done."""
    import torch

    if not config["mistakes"].empty():
        return
    with contextlib.suppress(OSError):
        os.chdir(config["folder"])  # so that relative paths mean what they mean to the user
    torch.set_num_threads(config["cpus"])
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:  # the first worker speaks; the others would say the same
        first = Lines(config["lines"].put)
        target = first if workers.is_first() else stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stderr(target))
        try:
            config["work"]()
        except MENDED_BY_RESTART:
            raise
        except Exception as error:
            config["mistakes"].put(error)
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()  # wakes those who wait for this one


class Lines(io.TextIOBase):
    """A stream that hands on its lines, each as it is finished."""

    def __init__(self, add: Callable[[str], None]) -> None:
        self.add, self.begun = add, ""

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.add(line + "\n")
        return len(text)
