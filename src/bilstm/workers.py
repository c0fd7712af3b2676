"""The processes that train one model together: whose rows are whose, and how what each one found is added up.

Knows torch.distributed; not what is trained, nor what started the processes (torchrun, Ray). Every function is called
by all of them at the same point; of a process alone each gives back what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    found = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(found)
    return float(found)


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
    told: list[Any] = [value]
    dist.broadcast_object_list(told, src=0)
    found: Item = told[0]
    return found


def gathered(items: list[Item]) -> list[Item]:
    """The items of all workers, those of the first one first."""
    if count() == 1:
        return items
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, items)
    return [item for part in found for item in part]


def wait() -> None:
    """Go on when all have come here."""
    if count() > 1:
        dist.barrier()


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
