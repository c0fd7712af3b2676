"""The native kernel: one call of C++ for a whole stack of layers (native/lstm.hpp).

Knows which calls it serves, how tensors must lie in memory for it and what room its results take; computes nothing
and knows no autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bilstm.nn import core
from bilstm.nn.core import FLOAT32, NOT_BUILT, Maybe, call, misfit, packed, takes, transformed, watched
from bilstm.nn.lstm.equations import Call, Trace, needs_gradient, tensors

Results = tuple[Tensor, Tensor, Tensor]  # output, h_n, c_n


class Inputs(NamedTuple):
    """A Call whose weights are one list, four or (without biases) two for each layer and direction."""

    input: Tensor
    h0: Maybe
    c0: Maybe
    weights: Sequence[Tensor]
    lengths: Maybe
    masks: Sequence[Tensor] | None
    directions: int

    @property
    def each(self) -> int:
        """Weights of a layer in one direction; if they have biases, a vector comes third."""
        return 4 if len(self.weights) > 2 and self.weights[2].dim() == 1 else 2

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """B, T, F, H, L, D."""
        B, T, F = self.input.shape
        layers = len(self.weights) // (self.directions * self.each)
        return B, T, F, self.weights[1].shape[1], layers, self.directions


def serves(call: Call) -> str | None:
    """None, or in words why the native kernel cannot serve the call."""
    if core.compiled is None:
        return NOT_BUILT
    if call.weights[0][0].projection is not None:
        return "knows no projections"
    if transformed():
        return "knows no transforms of torch.func and no forward-mode gradients"
    if torch._C._get_tracing_state() is not None:
        return "cannot be recorded by torch.jit.trace"
    if call.input.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu"):
        return _serves_bfloat16(call)
    if watched():
        return "has no ONNX operator" if torch.onnx.is_in_onnx_export() else misfit(call.input, FLOAT32)
    return takes(tensors(call))


def _serves_bfloat16(call: Call) -> str | None:
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is not torch.bfloat16:
        return "knows autocast to bfloat16 only"
    if watched() or needs_gradient(call):
        return "computes in bfloat16 only eagerly and without gradients"
    return takes(tensors(call), (torch.bfloat16, torch.float32))


def infer(inputs: Inputs) -> Results:
    """Run all layers without a thought of gradients, in float32 or bfloat16."""
    if _in_float32(inputs):
        return forward(inputs, None)
    # in float32 every bfloat16 is itself; the products may be made of bfloat16 where that is faster
    output, h_n, c_n = forward(_widened(inputs), None, bfloat16=True)
    return output.bfloat16(), h_n.bfloat16(), c_n.bfloat16()


def trace(inputs: Inputs) -> Trace:
    """Each step of the run that ``infer`` makes, to the bit: i, f, g, o, c and h, (L, D, B, T, H) each."""
    narrow = not _in_float32(inputs)
    inputs = _widened(inputs) if narrow else inputs
    B, T, _, H, L, D = inputs.sizes
    parts = Trace(*(inputs.input.new_empty(L, D, B, T, H) for _ in Trace._fields))
    output, h_n, c_n = empty_results(inputs)
    call("trace", **_arguments(inputs), output=output, h_n=h_n, c_n=c_n, bf16=narrow, **parts._asdict())
    return Trace(*(part.bfloat16() for part in parts)) if narrow else parts


def forward(inputs: Inputs, reserve: Maybe, bfloat16: bool = False) -> Results:
    """Run all layers; a reserve (one axis), where there is one, is filled with what backward needs of the run."""
    output, h_n, c_n = results = empty_results(inputs)
    call("forward", **_arguments(inputs), output=output, h_n=h_n, c_n=c_n, reserve=reserve, bf16=bfloat16)
    return results


def backward(inputs: Inputs, reserve: Tensor, d_results: Sequence[Maybe], wanted: Sequence[bool]) -> list[Maybe]:
    """The gradients of input, h0, c0 and each weight, None where not wanted. Uses the reserve up."""
    d_output, d_h_n, d_c_n = (None if d is None else d.resolve_neg() for d in d_results)
    d_input, d_h0, d_c0, *d_weights = gradients = empty_gradients(inputs, wanted)
    call(
        "backward",
        **_arguments(inputs),
        reserve=reserve,
        d_output=_adjacent(d_output),
        d_h_n=packed(d_h_n),
        d_c_n=packed(d_c_n),
        d_input=d_input,
        d_h0=d_h0,
        d_c0=d_c0,
        d_weights=d_weights,
    )
    return gradients


def empty_results(inputs: Inputs) -> Results:
    """Room for output (B, T, D·H), time first in memory as torch's is whatever the input's strides, h_n and c_n."""
    (B, T, _, H, L, D), input = inputs.sizes, inputs.input
    output = input.new_empty_strided((B, T, D * H), (D * H, B * D * H, 1))
    return output, input.new_empty((L * D, B, H)), input.new_empty((L * D, B, H))


def empty_gradients(inputs: Inputs, wanted: Sequence[bool]) -> list[Maybe]:
    """Room for the gradients of input, h0, c0 and each weight; None where not wanted."""
    d_input = _empty_like_steps(inputs.input) if wanted[0] else None
    rest = zip((inputs.h0, inputs.c0, *inputs.weights), wanted[1:], strict=True)
    return [d_input, *(_packed_room(tensor) if want and tensor is not None else None for tensor, want in rest)]


def empty_reserve(inputs: Inputs) -> Tensor:
    """Room for what backward needs of a run."""
    return inputs.input.new_empty(_reserve_size(inputs, inputs.sizes, inputs.lengths))


def empty_reserve_for_any_lengths(inputs: Inputs) -> Tensor:
    """The same where lengths and sizes are not known yet: its own size is a product of theirs."""
    B, T, F, H, L, D = inputs.sizes
    # a run of n steps keeps at most n times what a run of one step keeps; the one more is for n = 0
    return inputs.input.new_empty((B * T + 1, _reserve_size(inputs, (1, 1, int(F), int(H), L, D), None)))


def _empty_like_steps(like: Tensor) -> Tensor:
    """Room for (B, T, F), time first in memory where that is how ``like`` lies."""
    B, T, F = like.shape
    time_first = like.stride(0) < like.stride(1)
    return like.new_empty_strided((B, T, F), (F, B * F, 1) if time_first else (T * F, F, 1))


def _packed_room(like: Tensor) -> Tensor:
    # empty_like takes a third of new_empty's time, and there are as many of these as weights
    return torch.empty_like(like) if like.is_contiguous() else like.new_empty(like.shape)


def _reserve_size(inputs: Inputs, sizes: tuple[int, int, int, int, int, int], lengths: Maybe) -> int:
    B, T, F, H, L, D = sizes
    dropout = bool(inputs.masks)
    return call("reserve_size", B=B, T=T, F=F, H=H, L=L, D=D, lengths=packed(lengths), dropout=dropout) or 0


def _in_float32(inputs: Inputs) -> bool:
    return inputs.input.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")


def _widened(inputs: Inputs) -> Inputs:
    input, h0, c0, weights, _, masks, _ = inputs
    return inputs._replace(
        input=input.float(),
        h0=None if h0 is None else h0.float(),
        c0=None if c0 is None else c0.float(),
        weights=[weight.float() for weight in weights],
        masks=masks and [mask.float() for mask in masks],
    )


def _arguments(inputs: Inputs) -> dict[str, object]:
    """What forward, trace and backward of the module begin with."""
    return {
        "input": _adjacent(inputs.input),
        "h0": packed(inputs.h0),
        "c0": packed(inputs.c0),
        "weights": [weight.contiguous() for weight in inputs.weights],
        "biases": inputs.each == 4,
        "lengths": packed(inputs.lengths),
        "masks": [_adjacent(mask) for mask in inputs.masks or ()],
        "directions": inputs.directions,
        "threads": torch.get_num_threads(),
    }


def _adjacent(steps: Maybe) -> Maybe:
    """(B, T, ·) with the features of a step adjacent in memory."""
    return steps if steps is None or steps.stride(2) == 1 else steps.contiguous()
