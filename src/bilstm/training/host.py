"""What a host program may have left set in torch and NumPy, kept away from our work, and left as it was.

Nothing here touches what belongs to the whole process, the default type and the default generator of torch: fits in
several threads would disturb each other there, and the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bilstm.data.forks import is_forked

Context = AbstractContextManager[Any, Any]
MAKERS = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}  # that ask for the default type


@contextmanager
def isolated() -> Iterator[None]:
    """Inside, gradients are recorded, nothing is cast, and who makes a tensor gets float32 on the CPU if not told else.

    The trap: not to be held open across a ``yield`` to a caller, whose state it would be as well.
    """
    with ExitStack() as stack, np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        for context in _changed():
            stack.enter_context(context)
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        yield


def inference() -> Context:
    """The same for what needs no gradients, within some microseconds."""
    return _isolated_inference() if _changed() else torch.inference_mode()


@contextmanager
def _isolated_inference() -> Iterator[None]:
    with isolated(), torch.inference_mode():
        yield


def _changed() -> list[Context]:
    """What undoes for this thread what a host has changed, apart from gradients: mostly nothing."""
    kinds = ("cpu", "cuda")
    changed: list[Context] = [torch.autocast(kind, enabled=False) for kind in kinds if torch.is_autocast_enabled(kind)]
    made = torch.empty(0)  # asks for type and device in one; torch.get_default_device() takes three times as long
    if made.dtype != torch.float32:
        changed.append(_Float32())
    if not made.is_cpu:
        changed.append(torch.device("cpu"))
    if is_forked() and torch.get_num_threads() > 1:
        changed.append(_one_thread())
    return changed


@contextmanager
def _one_thread() -> Iterator[None]:
    """In a forked process OpenMP would wait for threads that are not there."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Float32(TorchFunctionMode):
    """Gives float32 to who makes a tensor without a type; torch.set_default_dtype would do so to all threads."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS and kwargs.get("dtype") is None:
            kwargs = kwargs | {"dtype": torch.float32}
        return func(*args, **kwargs)


# --- random numbers -----------------------------------------------------------------------------------------------


class Draws(dict[torch.device, torch.Generator]):
    """The generators of one fit, one for each device, made when it is first asked for."""

    def seed(self, seed: int) -> None:
        self.clear()
        self.number = seed

    def __missing__(self, device: torch.device) -> torch.Generator:
        return self.setdefault(device, torch.Generator(device).manual_seed(self.number))


_CURRENT: ContextVar[Draws | None] = ContextVar("bilstm_draws", default=None)


@contextmanager
def drawing(seed: int) -> Iterator[Draws]:
    """Draw from generators of one's own inside, in this thread."""
    token = _CURRENT.set(draws := Draws())
    draws.seed(seed)
    try:
        yield draws
    finally:
        _CURRENT.reset(token)


def generator(device: torch.device) -> torch.Generator | None:
    """What to draw from on a device; outside a fit None, which torch takes for its default generator."""
    draws = _CURRENT.get()
    return None if draws is None else draws[device]


def dropout(values: Tensor, share: float) -> Tensor:
    """torch's dropout in training, with the same numbers from an equal seed on a CPU."""
    kept = torch.empty_like(values).bernoulli_(1 - share, generator=generator(values.device))
    return values * kept.div_(1 - share)


class Dropout(nn.Dropout):
    """The same as a module."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training and self.p else input


class Redirected(TorchFunctionMode):
    """Inside, torch's own layers draw from :func:`generator` too: their first weights, and dropout between layers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.dropout:
            return dropout(args[0], kwargs["p"])
        if "generator" in kwargs:  # a function of torch.nn.init, which names all that it is given
            kwargs = kwargs | {"generator": generator(kwargs["tensor"].device)}
        return func(*args, **kwargs)
