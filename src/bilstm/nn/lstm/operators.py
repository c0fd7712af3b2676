"""The native kernel as torch sees it: an autograd function for eager calls, operators for whoever looks on.

Knows autograd and torch.library; knows nothing of the compiled module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from bilstm.nn import core
from bilstm.nn.core import Context, Maybe
from bilstm.nn.lstm import equations, native
from bilstm.nn.lstm.equations import Call, Final, Trace, Weights
from bilstm.nn.lstm.native import Inputs

_is_exporting = getattr(torch.compiler, "is_exporting", bool)  # before torch 2.7 nobody can tell: bool() is False


def run(call: Call) -> Final:
    """Run a call that the native kernel serves: as an operator where somebody looks on, else the shortest way."""
    needed, inputs = equations.needs_gradient(call), _inputs(call)
    if core.watched():
        # an exported program seldom trains; where it does, the backward runs the forward once more
        keep = needed and not _is_exporting()
        return Final(*torch.ops.bilstm.lstm(*inputs, keep)[:3])
    if needed:
        differentiable: Callable[..., native.Results] = _Eager.apply
        return Final(*differentiable(inputs, inputs.input, inputs.h0, inputs.c0, *inputs.weights))
    return Final(*native.infer(inputs))


def trace(call: Call) -> Trace:
    """Each step of a call that the native kernel serves eagerly; its gradient is that of the equations."""
    inputs = _inputs(call)
    if equations.needs_gradient(call):
        differentiable: Callable[..., tuple[Tensor, ...]] = _Traced.apply
        return Trace(*differentiable(inputs, inputs.input, inputs.h0, inputs.c0, *inputs.weights))
    return native.trace(inputs)


class _Context(Context, Protocol):
    directions: int
    kept: int  # how many of the saved tensors are no inputs
    weights: int  # how many of them are weights
    used_up: bool  # whether a backward has used the reserve

    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, inputs: Inputs, *_: Maybe) -> native.Results:
        """The tensors after ``inputs`` are its own: so autograd knows of them."""
        reserve = native.empty_reserve(inputs)
        results = native.forward(inputs, reserve)
        _save(ctx, inputs, reserve)  # and no result: the caller may change them in place, as torch's
        return results

    @staticmethod
    def backward(ctx: _Context, *d_results: Maybe) -> tuple[Maybe, ...]:
        (inputs, (reserve,)), wanted = _saved(ctx), ctx.needs_input_grad[1:]
        if core.wants_equations(d_results):
            return None, *_gradients_of_the_equations(inputs, d_results, wanted)
        if core.watched():
            return None, *_gradients_of_the_operator(inputs, reserve, d_results, wanted)
        if ctx.used_up:  # by an earlier backward that retained the graph
            native.forward(inputs, reserve)
        ctx.used_up = True
        return None, *native.backward(inputs, reserve, d_results, wanted)


class _Traced(torch.autograd.Function):
    """A trace is for looking at: its gradient, seldom wanted, is worth no backward of its own."""

    @staticmethod
    def forward(ctx: _Context, inputs: Inputs, *_: Maybe) -> tuple[Tensor, ...]:
        _save(ctx, inputs)
        return tuple(native.trace(inputs))

    @staticmethod
    def backward(ctx: _Context, *d_steps: Maybe) -> tuple[Maybe, ...]:
        inputs, _ = _saved(ctx)
        return None, *_gradients_of_the_equations(inputs, d_steps, ctx.needs_input_grad[1:], equations.trace)


def _save(ctx: _Context, inputs: Inputs, *kept: Tensor) -> None:
    """In the way that torch knows of: it frees tensors after the backward, and sees if one was changed before."""
    input, h0, c0, weights, lengths, masks, _ = inputs
    ctx.save_for_backward(*kept, input, h0, c0, lengths, *weights, *(masks or ()))
    ctx.directions, ctx.kept, ctx.weights, ctx.used_up = inputs.directions, len(kept), len(weights), False
    ctx.set_materialize_grads(False)


def _saved(ctx: _Context) -> tuple[Inputs, Sequence[Tensor]]:
    saved = ctx.saved_tensors  # to be asked for once: a checkpoint computes them anew
    kept, (input, h0, c0, lengths, *rest) = saved[: ctx.kept], saved[ctx.kept :]
    weights, masks = rest[: ctx.weights], rest[ctx.weights :]
    return Inputs(input, h0, c0, weights, lengths, masks or None, ctx.directions), kept


def _gradients_of_the_equations(
    inputs: Inputs,
    d_results: Sequence[Maybe],
    wanted: Sequence[bool],
    run: Callable[[Call], Sequence[Tensor]] = equations.run,
) -> list[Maybe]:
    def of(leaves: Sequence[Any]) -> Sequence[Tensor]:
        input, h0, c0, *weights = leaves
        return run(_call(inputs._replace(input=input, h0=h0, c0=c0, weights=weights)))

    return core.gradients_of(of, (inputs.input, inputs.h0, inputs.c0, *inputs.weights), d_results, wanted)


def _gradients_of_the_operator(
    inputs: Inputs, reserve: Tensor, d_results: Sequence[Maybe], wanted: Sequence[bool]
) -> list[Maybe]:
    gradients = iter(torch.ops.bilstm.lstm_backward(*inputs, reserve, *d_results, wanted))
    return [next(gradients) if want else None for want in wanted]


def _inputs(call: Call) -> Inputs:
    states, weights = (call.h0, call.c0), equations.flat(call.weights)
    return Inputs(call.input, *states, weights, call.lengths, call.masks, len(call.weights[0]))


def _call(inputs: Inputs) -> Call:
    """The Call again."""
    ways = []
    for k in range(0, len(inputs.weights), inputs.each):
        input, hidden, *biases = inputs.weights[k : k + inputs.each]
        input_bias, hidden_bias = biases or (None, None)
        ways.append(Weights(input, hidden, input_bias, hidden_bias, None))
    layers = [ways[k : k + inputs.directions] for k in range(0, len(ways), inputs.directions)]
    return Call(inputs.input, inputs.h0, inputs.c0, layers, inputs.lengths, inputs.masks)


INPUTS = "Tensor input, Tensor? h0, Tensor? c0, Tensor[] weights, Tensor? lengths, Tensor[]? masks, int directions"

torch.library.define("bilstm::lstm", f"({INPUTS}, bool keep) -> (Tensor, Tensor, Tensor, Tensor)")

torch.library.define(
    "bilstm::lstm_backward",
    f"({INPUTS}, Tensor reserve, Tensor? d_output, Tensor? d_h_n, Tensor? d_c_n, bool[] wanted) -> Tensor[]",
)


# The same in Python: the fields of Inputs.
_Operands = tuple[Tensor, Maybe, Maybe, list[Tensor], Maybe, list[Tensor] | None, int]
_BackwardOperands = tuple[*_Operands, Tensor, Maybe, Maybe, Maybe, list[bool]]  # reserve, gradients, wanted


@torch.library.impl("bilstm::lstm", "CompositeExplicitAutograd")
def _lstm(*arguments: *tuple[*_Operands, bool]) -> tuple[Tensor, ...]:
    *results, reserve = _lstm_room(*arguments)
    inputs, keep = Inputs(*arguments[:7]), arguments[7]
    if inputs.lengths is not None:
        equations.check_lengths(inputs.lengths, inputs.input.shape[1])  # while compiling, they had no values
    call = _call(inputs)
    if core.takes(equations.tensors(call)) is None:
        return *native.forward(inputs, reserve.flatten() if keep else None), reserve
    return *(room.copy_(result) for room, result in zip(results, equations.run(call), strict=True)), reserve


def _lstm_room(*arguments: *tuple[*_Operands, bool]) -> tuple[Tensor, ...]:
    inputs, keep = Inputs(*arguments[:7]), arguments[7]
    reserve = native.empty_reserve_for_any_lengths(inputs) if keep else inputs.input.new_empty(0)
    return *native.empty_results(inputs), reserve


@torch.library.impl("bilstm::lstm_backward", "CompositeExplicitAutograd")
def _lstm_backward(*arguments: *_BackwardOperands) -> list[Tensor]:
    inputs, reserve, d_results, wanted = Inputs(*arguments[:7]), arguments[7], arguments[8:11], arguments[11]
    if core.takes(equations.tensors(_call(inputs))) is not None:
        gradients = _gradients_of_the_equations(inputs, d_results, wanted)
        rooms = native.empty_gradients(inputs, wanted)
        return [room.copy_(d) for room, d in zip(rooms, gradients, strict=True) if room is not None and d is not None]
    if reserve.numel():
        reserve = reserve.flatten().clone()  # an operator changes nothing that it is given
    else:
        reserve = native.empty_reserve(inputs)
        native.forward(inputs, reserve)
    return [d for d in native.backward(inputs, reserve, d_results, wanted) if d is not None]


def _lstm_backward_room(*arguments: *_BackwardOperands) -> list[Tensor]:
    return [room for room in native.empty_gradients(Inputs(*arguments[:7]), arguments[11]) if room is not None]


def _lstm_setup(ctx: _Context, inputs: tuple[*_Operands, bool], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(output[3])
    _save(ctx, Inputs(*inputs[:7]), output[3])


def _lstm_gradients(ctx: _Context, *d_results: Maybe) -> tuple[Maybe | Sequence[Maybe], ...]:
    inputs, (reserve,) = _saved(ctx)
    wanted = [*ctx.needs_input_grad[:3], *ctx.needs_input_grad[3]]
    if core.wants_equations(d_results):
        gradients = _gradients_of_the_equations(inputs, d_results[:3], wanted)
    else:
        gradients = _gradients_of_the_operator(inputs, reserve, d_results[:3], wanted)
    d_input, d_h0, d_c0, *d_weights = gradients
    return d_input, d_h0, d_c0, d_weights, None, inputs.masks and [None] * len(inputs.masks), None, None


torch.library.register_fake("bilstm::lstm", _lstm_room)
torch.library.register_fake("bilstm::lstm_backward", _lstm_backward_room)
torch.library.register_autograd("bilstm::lstm", _lstm_gradients, setup_context=_lstm_setup)
