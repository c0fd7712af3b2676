"""Which kernel may run, and the border to the compiled module, which only this file imports.

Knows the names of the kernels, what is forced, and which tensors the module takes; computes nothing and knows no
equations. It survives the module's absence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bilstm.errors import ParameterError, did_you_mean

KERNEL_NAMES = ("native", "torch", "equations")  # in order of preference
_forced: ContextVar[str | None] = ContextVar("bilstm_forced_kernel", default=None)
last: ContextVar[str | None] = ContextVar("bilstm_last_kernel", default=None)


@contextmanager
def use_kernel(name: str) -> Iterator[None]:
    """Force a kernel inside a ``with`` block: ``"native"``, ``"torch"`` or ``"equations"``.

    A call that the kernel cannot serve goes to the next one in this order; the result is the same. The block
    holds for the thread (or asynchronous task) that opened it and comes before the environment variable
    ``BILSTM_KERNEL``. A compiled function keeps the kernel with which it was compiled.

    Args:
        name: the kernel's name.

    Raises:
        ParameterError: there is no such kernel.

    Example:
        >>> import torch
        >>> from bilstm.nn import BiLSTM, last_kernel, use_kernel
        >>> with use_kernel("equations"):
        ...     output, _ = BiLSTM(3, 4)(torch.zeros(5, 2, 3))
        >>> last_kernel()
        'equations'
    """
    token = _forced.set(_known(name, "use_kernel"))
    try:
        yield
    finally:
        _forced.reset(token)


def last_kernel() -> str | None:
    """The name of the kernel that ran last in this thread, compiled calls left out; None before the first run."""
    return last.get()


def forced_name() -> str | None:
    if (name := _forced.get()) is None and (named := os.environ.get("BILSTM_KERNEL")):
        return _known(named, "environment variable BILSTM_KERNEL")
    return name


# What torch.compiler.assume_constant_result sets, without the second that it takes to import the compiler.
forced_name._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _known(name: str, where: str) -> str:
    if name not in KERNEL_NAMES:
        raise ParameterError(
            f"expected the name of a kernel, got {name!r} ({where})", hint=did_you_mean(str(name), KERNEL_NAMES)
        )
    return name


# --- which kernel may run ---------------------------------------------------------------------------------------

NOT_BUILT = "not built"
FLOAT32 = (torch.float32,)
PLAIN = (Tensor, nn.Parameter)  # what a subclass means by its numbers, only the subclass knows
Maybe = Tensor | None


class Context(Protocol):
    """What torch gives to both halves of an autograd function; its own declaration lacks what backward reads."""

    saved_tensors: tuple[Tensor, ...]  # None for what was None
    needs_input_grad: tuple[Any, ...]  # truth values; a list of them where an operator takes a list

    def save_for_backward(self, *tensors: Maybe) -> None: ...


def takes(tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype] = FLOAT32) -> str | None:
    """None, or in words why the native kernel cannot take these tensors, of which the first is the input."""
    if compiled is None:
        return NOT_BUILT
    for tensor in tensors:
        if tensor.dtype not in dtypes or not tensor.is_cpu or type(tensor) not in PLAIN or tensor.is_neg():
            return misfit(tensor, dtypes) or f"takes plain tensors only, not {type(tensor).__name__}"
    return None if tensors[0].numel() else "leaves a batch without rows or steps to the equations"


def misfit(tensor: Tensor, dtypes: Sequence[torch.dtype]) -> str | None:
    """What of a tensor's device or type the native kernel cannot take, in words."""
    if tensor.device.type != "cpu":
        return f"runs on a CPU, not on {tensor.device.type}"
    return None if tensor.dtype in dtypes else f"computes in float32, not in {str(tensor.dtype).removeprefix('torch.')}"


def serves_eagerly(tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype] = FLOAT32) -> str | None:
    """None, or in words why the native kernel cannot compute a CRF or CTC, which have no operators for compilers."""
    if compiled is None:
        return NOT_BUILT
    if watched() or transformed() or torch._C._get_tracing_state() is not None:
        return "computes a CRF or CTC only eagerly, without transforms of torch.func"
    return takes(tensors, dtypes)


def native_or_equations(reason: str | None) -> str:
    """The kernel that is going to run what torch's routines do not know: native unless there is a reason why not."""
    name = "native" if forced_name() in (None, "native") and reason is None else "equations"
    if not torch.compiler.is_compiling():
        last.set(name)
    return name


def transformed() -> bool:
    """Whether a call runs inside torch.func (vmap, grad, jvp …) or under forward-mode automatic differentiation."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def watched() -> bool:
    """Whether a compiler, an exporter or another mode looks on: it must be shown operators, not calls of C++."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


# --- gradients that the native kernels do not know ---------------------------------------------------------------


def wants_equations(d_results: Sequence[Maybe]) -> bool:
    """Whether a backward is to give gradients that have gradients (create_graph), or a batch of them at once (vmap)."""
    batched = torch._C._functorch.is_legacy_batchedtensor
    return torch.is_grad_enabled() or transformed() or any(d is not None and batched(d) for d in d_results)


def gradients_of(
    run: Callable[[Sequence[Any]], Sequence[Tensor]],
    inputs: Sequence[Maybe],
    d_results: Sequence[Maybe],
    wanted: Sequence[bool],
) -> list[Maybe]:
    """The gradient of each of ``inputs`` through ``run``, None where not wanted; differentiable where gradients are on.

    Args:
        run: what the native kernel computes too, in operations that torch can differentiate.
        d_results: of each result of ``run``; None for zero.
    """
    create_graph = torch.is_grad_enabled()

    def leaf(tensor: Tensor) -> Tensor:
        view = tensor.view_as(tensor)  # so that a tensor given twice has two gradients, and its history is left out
        return view if create_graph else view.detach().requires_grad_()

    with torch.enable_grad():
        leaves: list[Any] = [
            leaf(tensor) if want and tensor is not None else tensor for tensor, want in zip(inputs, wanted, strict=True)
        ]
        results = zip(run(leaves), d_results, strict=True)
        ends = [(result, d) for result, d in results if d is not None and result.requires_grad]
        chosen = [k for k, want in enumerate(wanted) if want and leaves[k] is not None]
        gradients: list[Maybe] = [None] * len(leaves)
        if not ends:  # of a batch without steps no result depends on the weights
            for k in chosen:
                gradients[k] = torch.zeros_like(leaves[k])
            return gradients
        found = torch.autograd.grad(
            [result for result, _ in ends],
            [leaves[k] for k in chosen],
            [d for _, d in ends],
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )
    for k, gradient in zip(chosen, found, strict=True):
        gradients[k] = gradient
    return gradients


# --- the border to the compiled module --------------------------------------------------------------------------


def isas() -> list[str]:
    """The instruction sets that this processor can run, best first; none where the kernel is not built."""
    return [] if compiled is None else list(compiled.isas())


def last_isa() -> str:
    """The instruction set that ran last in this process; empty before the first run."""
    return "" if compiled is None else str(compiled.last_isa())


def packed(tensor: Maybe) -> Maybe:
    return None if tensor is None else tensor.contiguous()


def call(function: str, **arguments: object) -> int | None:
    """Call a function of the compiled module, which checks types, devices, order in memory and shapes of tensors."""
    try:
        result: int | None = getattr(compiled, function)(**arguments)
        return result
    except ValueError:  # also of an instruction set that this processor lacks
        named = os.environ.get("BILSTM_ISA", "")
        if named in ("", *isas()):
            raise
        raise ParameterError(
            f"expected an instruction set of this processor, got {named!r} (environment variable BILSTM_ISA)",
            hint=did_you_mean(named, isas()),
        ) from None


compiled: ModuleType | None = None
import_error: str | None = None
try:
    compiled = import_module("bilstm._native")
except ImportError as error:  # installed without a C++ compiler, or built for another Python
    import_error = str(error)
