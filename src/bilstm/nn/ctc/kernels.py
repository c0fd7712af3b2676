"""Which of the two computes CTC, the native kernel or the equations, and the native one as autograd sees it.

Knows autograd and precision; knows nothing that could be wrong with texts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bilstm.nn import core
from bilstm.nn.ctc import equations as ctc_equations
from bilstm.nn.ctc import native as ctc_native
from bilstm.nn.ctc.equations import Alignment, Hypothesis, Search, Texts

DOUBLE = (torch.float64,)


def loss(given: Texts) -> Tensor:
    """−log P(text) of each row, (B,) in double precision. Differentiable."""
    outputs = given.outputs
    if core.native_or_equations(core.serves_eagerly((outputs, outputs))) == "equations":
        wide = torch.float32 if outputs.device.type == "mps" else torch.float64  # Apple's knows no double
        return ctc_equations.loss(given._replace(outputs=outputs.to(wide)))
    if torch.is_grad_enabled() and outputs.requires_grad:
        function: Any = _Eager
        result: Tensor = function.apply(*given)
        return result
    return ctc_native.loss(given, with_gradient=False)[0]


def align(given: Texts) -> list[Alignment | None]:
    """The most probable alignment of each row, whose ``outputs`` are float64 logarithms of probabilities on a CPU."""
    chosen = core.native_or_equations(core.serves_eagerly((given.outputs,), DOUBLE))
    return ctc_native.align(given) if chosen == "native" else ctc_equations.align(given)


def search(log_p: Tensor, lengths: Tensor, what: Search) -> list[list[Hypothesis]]:
    """The best texts of each row; ``log_p`` (B, T, K) are float64 logarithms of probabilities on a CPU."""
    chosen = core.native_or_equations(core.serves_eagerly((log_p,), DOUBLE))
    return (ctc_native.search if chosen == "native" else ctc_equations.search)(log_p, lengths, what)


class _Eager(torch.autograd.Function):
    """The gradient is made on the way forward, where all it needs is at hand, and only weighted on the way back."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        result, gradients = ctc_native.loss(Texts(*given), with_gradient=True)
        ctx.save_for_backward(result, gradients)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_result: Tensor) -> tuple[Tensor | None, ...]:
        result, gradients = ctx.saved_tensors
        weights = d_result.masked_fill(result == torch.inf, 0)  # else an infinite weight would make NaN of nothing
        return gradients * weights.to(gradients.dtype)[:, None, None], None, None, None
