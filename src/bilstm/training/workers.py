"""The processes that train one model together: whose rows are whose, and how what each one found is added up.

Knows torch.distributed; not what is trained, nor what started the processes (torchrun, Ray). Every function is called
by all of them at the same point; of a process alone each gives back what it was given.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return rank() == 0


def share() -> slice:
    """Which rows of a batch are this worker's: every so many, so that of rows sorted by length all get alike."""
    return slice(None) if count() == 1 else slice(rank(), None, count())


def total(value: float) -> float:
    """The sum of what each worker gives."""
    if count() == 1:
        return value
    summed = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(summed)
    return float(summed)


def add_up(sums: Tensor) -> None:
    """Replace a tensor, in place, by the sum of those of all workers: the same bits in each of them."""
    if count() > 1:
        dist.all_reduce(sums)


def copy_first(tensor: Tensor) -> None:
    """Replace a tensor, in place, by that of the first worker."""
    if count() > 1:
        dist.broadcast(tensor, src=0)


def from_first(value: Item) -> Item:
    """What the first worker gives."""
    if count() == 1:
        return value
    values: list[Any] = [value]
    dist.broadcast_object_list(values, src=0)
    first: Item = values[0]
    return first


def gathered(items: list[Item]) -> list[Item]:
    """The items of all workers, those of the first one first."""
    if count() == 1:
        return items
    parts: list[Any] = [None] * count()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def wait() -> None:
    """Go on when all have come here."""
    if count() > 1:
        dist.barrier()


class Average:
    """The mean of a vector over all workers, each weighed: made once, called whenever the vector has new numbers.

    Workers of one machine write their numbers side by side into memory that all of them see, wait for each other once,
    and add up what stands there; others send them (gloo's ring). Every worker ends with the same bits.

    The vector, (N,) float32, is replaced in place; its last number is no more than room for the weight, which travels
    with the others: one call, one wait.
    """

    def __init__(self, numbers: Tensor, *, shared: bool = True) -> None:
        self.numbers = numbers
        can = count() > 1 and numbers.device.type == "cpu" and numbers.dtype == torch.float32
        memory = _shared_memory(2 * count() * len(numbers)) if shared and can else None
        self.boards = None if memory is None else memory.view(2, count(), len(numbers))
        self.turn = 0

    def __call__(self, weight: float) -> float:
        """Replace the numbers by their mean, each worker's weighed by its weight; returns the sum of the weights."""
        if count() == 1:
            return weight
        self.numbers *= weight
        self.numbers[-1] = weight
        if self.boards is None:
            add_up(self.numbers)
        else:
            board = self.boards[self.turn]
            self.turn = 1 - self.turn  # who is ahead by a step writes where nobody reads any more
            board[rank()] = self.numbers
            wait()
            torch.sum(board, 0, out=self.numbers)
        whole = float(self.numbers[-1])
        self.numbers /= max(whole, 1e-12)
        return whole


def _shared_memory(size: int) -> Tensor | None:
    """Float32 numbers (size,) that every worker sees; None where they are not all on one machine, or it has no room."""
    path, memory = None, None
    if is_first():
        with suppress(OSError):  # no such folder (it is Linux's), or no room
            handle, path = tempfile.mkstemp(prefix="bilstm-", dir="/dev/shm")  # for this user's processes only
            try:
                os.posix_fallocate(handle, 0, 4 * size)  # a page that cannot be had later would end the process
            except OSError:
                os.unlink(path)
                path = None
            os.close(handle)
    path = from_first(path)
    if path is not None and os.path.exists(path):
        memory = torch.from_file(path, shared=True, size=size)
    all_see = total(memory is not None) == count()
    if is_first() and path is not None:
        os.unlink(path)  # the memory lives as long as somebody has it open: nothing is left behind by a kill
    return memory if all_see else None


@contextmanager
def assembled() -> Iterator[None]:
    """Find the others, where this process was started by torchrun as one of several.

    Example:
        >>> with assembled():
        ...     count(), rank(), share()
        (1, 0, slice(None, None, None))
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or count() > 1:  # alone, or Ray has brought them together
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
