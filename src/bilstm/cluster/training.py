"""One training function run by several workers of Ray Train, which are brought together, watched and started again.

Knows Ray Train; does not know what is trained: the function finds the other workers in ``bilstm.training.workers``,
and goes on from its own checkpoint when it is started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bilstm.cluster.connection import connected, processors, ray_module
from bilstm.errors import BilstmError
from bilstm.training import workers

MOST_FAILURES = 20  # deaths of workers in one run, after which something else must be wrong
PATIENCE = 0.2  # seconds between two looks at what the workers have said
MENDED_BY_RESTART = (RuntimeError, OSError)  # what a worker sees when another one dies; anything else it did itself


def train_together(
    work: Callable[[], None],
    *,
    count: int | tuple[int, int] | None = None,
    cpus: int = 1,
    address: str | None = None,
    folder: Path | None = None,
    name: str = "model",
    tell: Callable[[str], None] = lambda line: print(line, end="", file=sys.stderr, flush=True),
) -> None:
    """Run a function in several processes that train one model together.

    A worker that dies ends the others; all are started again, and the function goes on from the checkpoint that it
    writes. An exception of its own is raised here, and not tried again.

    Args:
        work: called once in each worker; what it imports must be importable there.
        count: of workers; of two numbers, as many from the first to the second as the cluster has room for, and
            fewer or more as machines leave or join; None: as many as it has room for now.
        cpus: processors, and threads, of each worker.
        address: see :func:`bilstm.cluster.connection.connected`.
        folder: where Ray notes how the run stands, on every machine of the cluster; None is one of this machine.
        name: of the run, in Ray's dashboard.
        tell: is given what the first worker writes to stderr.

    Raises:
        ExtraError: Ray is not installed.
        BilstmError: workers died more often than can be chance; or what ``work`` raises.

    The trap: workers of other machines see the files of those machines, by the paths of this one.
    """
    most = (count if isinstance(count, int) else count[1]) * cpus if count else os.cpu_count() or 1
    with connected(address, most) as ray, scratch(folder) as storage:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        count = count or max(1, processors(ray) // cpus)
        post = ray.remote(num_cpus=0)(Post).remote()
        trainer = TorchTrainer(
            in_worker,
            train_loop_config={"work": work, "post": post, "folder": os.getcwd(), "cpus": cpus},
            scaling_config=ScalingConfig(num_workers=count, resources_per_worker={"CPU": cpus}),  # type: ignore[arg-type]
            run_config=RunConfig(
                name=name, storage_path=str(storage), failure_config=FailureConfig(max_failures=MOST_FAILURES)
            ),
            torch_config=TorchConfig(backend="gloo"),
        )
        follow(trainer.fit, lambda: ray.get(post.take.remote()), tell)
        if (failure := ray.get(post.failure.remote())) is not None:
            raise failure


def follow(run: Callable[[], Any], lines: Callable[[], list[str]], tell: Callable[[str], None]) -> None:
    """Run a function to its end, and tell meanwhile what there is to be told.

    In a thread: Ray would take Ctrl-C for itself in the main one.
    """
    failed: list[BaseException] = []

    def to_its_end() -> None:
        try:
            run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=to_its_end, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(PATIENCE)
        for line in lines():
            tell(line)
    if failed:
        reason = str(failed[0]).strip().split("\n")[-1]
        raise BilstmError(
            f"expected workers that come to an end, got {type(failed[0]).__name__}: {reason}",
            hint="the same command goes on from the last finished epoch",
        ) from failed[0]


class Post:
    """An actor where the workers leave what the one who started them shall know."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.raised: Exception | None = None

    def say(self, text: str) -> None:
        self.said.append(text)

    def take(self) -> list[str]:
        said, self.said = self.said, []
        return said

    def fail(self, error: Exception) -> None:
        self.raised = self.raised or error

    def failure(self) -> Exception | None:
        return self.raised


def in_worker(told: dict[str, Any]) -> None:
    """What each worker does: the work, unless a worker before it has found that it cannot be done."""
    import torch

    ray, post = ray_module(), told["post"]
    if ray.get(post.failure.remote()) is not None:
        return
    with contextlib.suppress(OSError):
        os.chdir(told["folder"])  # so that relative paths mean what they mean to the user
    torch.set_num_threads(told["cpus"])
    with heard(lambda text: ray.get(post.say.remote(text))):
        try:
            told["work"]()
        except Exception as error:
            if isinstance(error, MENDED_BY_RESTART):
                raise
            ray.get(post.fail.remote(error))
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()  # wakes those who wait for this one


@contextlib.contextmanager
def heard(say: Callable[[str], None]) -> Iterator[None]:
    """What the first worker writes to stderr is said; the others keep silent, since they would say the same."""
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        target = Voice(say) if workers.is_first() else stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stderr(target))
        yield


class Voice:
    """A stream whose lines are said, each as it is finished."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.begun = ""

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.say(line + "\n")
        return len(text)

    def flush(self) -> None:
        """Nothing: a line is said when it ends."""

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """A folder for as long as it is needed, in ``folder`` where all machines must see it."""
    with tempfile.TemporaryDirectory(prefix=".ray-", dir=folder, ignore_cleanup_errors=True) as path:
        yield Path(path).resolve()
