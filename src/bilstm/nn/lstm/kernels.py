"""The fast twins of the equations, and which of them runs a call.

Every kernel takes a Call and returns a Final, as equations.run does; one that cannot serve a call says why,
and the next in the list runs it. Knows torch's own LSTM routines; knows no module and no parameter names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from bilstm.nn.core import forced_name, last, native_or_equations, watched
from bilstm.nn.lstm import equations, native, operators
from bilstm.nn.lstm.equations import Call, Final, Trace, Weights
from bilstm.nn.lstm.torch_kernel import torch_run, torch_serves


class Kernel(NamedTuple):
    """A way to run a stack of layers."""

    name: str
    serves: Callable[[Call], str | None]  # None, or in words why it cannot serve this call
    run: Callable[[Call], Final]


def run(call: Call) -> Final:
    """Run the call by the first kernel that serves it."""
    kernel = choose(call)
    if not torch.compiler.is_compiling():
        last.set(kernel.name)
    final = kernel.run(call)
    if kernel is KERNELS[0]:
        return final
    # time first in memory, as torch's own output, whatever view of it a caller takes
    return final._replace(output=final.output.transpose(0, 1).contiguous().transpose(0, 1))


def trace(call: Call) -> Trace:
    """Every gate and cell of the run, by the native kernel or else by the equations: torch's routines show none."""
    reason = "traces only eagerly" if watched() else native.serves(call)  # there is no operator of it
    return operators.trace(call) if native_or_equations(reason) == "native" else equations.trace(call)


def choose(call: Call) -> Kernel:
    """The first kernel that serves the call, counted from the forced one where one is forced."""
    return next(kernel for kernel in _candidates() if kernel.serves(call) is None)


def explain(call: Call | None = None) -> list[tuple[str, str]]:
    """Which kernel would run the call (by default a small batch of unequal lengths), and why not the others.

    Returns:
        For each kernel in order of preference its name and ``"runs"`` or the reason why it does not.
    """
    call = _typical_call() if call is None else call
    chosen, candidates = choose(call).name, _candidates()
    reasons = {kernel.name: kernel.serves(call) or f"{chosen} comes first" for kernel in candidates} | {chosen: "runs"}
    return [(kernel.name, reasons.get(kernel.name, f"{candidates[0].name} is forced")) for kernel in KERNELS]


def _candidates() -> tuple[Kernel, ...]:
    name = forced_name()
    return KERNELS if name is None else KERNELS[[kernel.name for kernel in KERNELS].index(name) :]


def _typical_call() -> Call:
    weights = Weights(torch.zeros(32, 4), torch.zeros(32, 8), torch.zeros(32), torch.zeros(32), None)
    return Call(torch.zeros(2, 3, 4), None, None, [[weights, weights]], torch.tensor([3, 2]), None)


KERNELS = (
    Kernel("native", native.serves, operators.run),
    Kernel("torch", torch_serves, torch_run),
    Kernel("equations", lambda call: None, equations.run),
)
