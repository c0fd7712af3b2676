"""The native kernel as torch sees it: an autograd function for eager calls, operators for whoever looks on.

Knows autograd and torch.library; knows nothing of addresses and of the compiled module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bilstm.nn import core
from bilstm.nn.core import Maybe
from bilstm.nn.lstm import equations, native
from bilstm.nn.lstm.equations import Call, Final, Trace, Weights
from bilstm.nn.lstm.native import Given

_is_exporting = getattr(torch.compiler, "is_exporting", bool)  # before torch 2.7 nobody can tell: bool() is False


def run(call: Call) -> Final:
    """Run a call that the native kernel serves: as an operator where somebody looks on, else the shortest way."""
    needed, given = equations.needs_gradient(call), _given(call)
    if core.watched():
        # an exported program seldom trains; where it does, the backward runs the forward once more
        keep = needed and not _is_exporting()
        return Final(*torch.ops.bilstm.lstm(*given, keep)[:3])
    if needed:
        function: Any = _Eager
        return Final(*function.apply(given, given.input, given.h0, given.c0, *given.weights))
    return Final(*native.infer(given))


def trace(call: Call) -> Trace:
    """Each step of a call that the native kernel serves eagerly; its gradient is that of the equations."""
    given = _given(call)
    if equations.needs_gradient(call):
        function: Any = _Traced
        return Trace(*function.apply(given, given.input, given.h0, given.c0, *given.weights))
    return native.trace(given)


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Given, *_: Maybe) -> native.Results:
        """The tensors after ``given`` are its own: so autograd knows of them."""
        reserve = native.empty_reserve(given)
        results = native.forward(given, reserve)
        _save(ctx, given, *results, reserve)
        return results

    @staticmethod
    def backward(ctx: Any, *d_results: Maybe) -> tuple[Maybe, ...]:
        given, (*results, reserve) = _saved(ctx)
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # create_graph: the gradients are to have some themselves
            return None, *_gradients_of_the_equations(given, d_results, wanted)
        if core.watched():
            return None, *_gradients_of_the_operator(given, results, reserve, d_results, wanted)
        if ctx.used_up:  # by an earlier backward that retained the graph
            results = native.forward(given, reserve)
        ctx.used_up = True
        return None, *native.backward(given, results, reserve, d_results, wanted)


class _Traced(torch.autograd.Function):
    """A trace is for looking at: its gradient, seldom wanted, is worth no backward of its own."""

    @staticmethod
    def forward(ctx: Any, given: Given, *_: Maybe) -> tuple[Tensor, ...]:
        _save(ctx, given)
        return tuple(native.trace(given))

    @staticmethod
    def backward(ctx: Any, *d_steps: Maybe) -> tuple[Maybe, ...]:
        given, _ = _saved(ctx)
        return None, *_gradients_of_the_equations(given, d_steps, ctx.needs_input_grad[1:], equations.trace)


def _save(ctx: Any, given: Given, *kept: Tensor) -> None:
    """In the way that torch knows of: it frees tensors after the backward, and sees if one was changed before."""
    input, h0, c0, weights, lengths, masks, _ = given
    ctx.save_for_backward(*kept, input, h0, c0, lengths, *weights, *masks)
    ctx.directions, ctx.kept, ctx.weights, ctx.used_up = given.directions, len(kept), len(weights), False
    ctx.set_materialize_grads(False)


def _saved(ctx: Any) -> tuple[Given, Any]:
    saved = ctx.saved_tensors  # to be asked for once: a checkpoint computes them anew
    kept, (input, h0, c0, lengths, *rest) = saved[: ctx.kept], saved[ctx.kept :]
    weights, masks = rest[: ctx.weights], rest[ctx.weights :]
    return Given(input, h0, c0, weights, lengths, masks, ctx.directions), kept


def _gradients_of_the_equations(
    given: Given,
    d_results: Sequence[Maybe],
    wanted: Sequence[bool],
    run: Callable[[Call], Sequence[Tensor]] = equations.run,
) -> list[Maybe]:
    """Of input, h0, c0 and every weight, None where not wanted; differentiable themselves where gradients are on."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # views, so that a tensor given twice has two gradients, and one's own history is left out
        own = [given.input, given.h0, given.c0, *given.weights]
        leaves: list[Any] = [None if tensor is None else tensor.view_as(tensor) for tensor in own]
        if not create_graph:
            leaves = [None if leaf is None else leaf.detach().requires_grad_() for leaf in leaves]
        input, h0, c0, *weights = leaves
        found = run(_call(given._replace(input=input, h0=h0, c0=c0, weights=weights)))
        ends = [(result, d) for result, d in zip(found, d_results, strict=True) if d is not None]
        gradients = iter(
            torch.autograd.grad(
                [result for result, _ in ends],
                [leaf for leaf, want in zip(leaves, wanted, strict=True) if want],
                [d for _, d in ends],
                create_graph=create_graph,
                allow_unused=True,
                materialize_grads=True,
            )
        )
    return [next(gradients) if want else None for want in wanted]


def _gradients_of_the_operator(
    given: Given, results: native.Results, reserve: Tensor, d_results: Sequence[Maybe], wanted: Sequence[bool]
) -> list[Maybe]:
    found = iter(torch.ops.bilstm.lstm_backward(*given, *results, reserve, *d_results, wanted))
    return [next(found) if want else None for want in wanted]


def _given(call: Call) -> Given:
    states, weights = (call.h0, call.c0), equations.flat(call.weights)
    return Given(call.input, *states, weights, call.lengths, call.masks or (), len(call.weights[0]))


def _call(given: Given) -> Call:
    """The Call again."""
    weights: Any = given.weights
    without = [None] * (len(Weights._fields) - given.each)
    ways = [Weights(*weights[k : k + given.each], *without) for k in range(0, len(weights), given.each)]
    layers = [ways[k : k + given.directions] for k in range(0, len(ways), given.directions)]
    return Call(given.input, given.h0, given.c0, layers, given.lengths, given.masks or None)


GIVEN = "Tensor input, Tensor? h0, Tensor? c0, Tensor[] weights, Tensor? lengths, Tensor[] masks, int directions"


torch.library.define("bilstm::lstm", f"({GIVEN}, bool keep) -> (Tensor, Tensor, Tensor, Tensor)")


torch.library.define(
    "bilstm::lstm_backward",
    f"({GIVEN}, Tensor output, Tensor h_n, Tensor c_n, Tensor reserve, "
    "Tensor? d_output, Tensor? d_h_n, Tensor? d_c_n, bool[] wanted) -> Tensor[]",
)


@torch.library.impl("bilstm::lstm", "CompositeExplicitAutograd")
def _lstm(*arguments: Any) -> tuple[Tensor, ...]:
    *results, reserve = _lstm_room(*arguments)
    given, keep = Given(*arguments[:7]), arguments[7]
    if given.lengths is not None:
        equations.check_lengths(given.lengths, given.input.shape[1])  # while compiling, they had no values
    call = _call(given)
    if core.takes(equations.tensors(call)) is None:
        return *native.forward(given, reserve if keep else None), reserve
    return *(room.copy_(result) for room, result in zip(results, equations.run(call), strict=True)), reserve


def _lstm_room(*arguments: Any) -> tuple[Tensor, ...]:
    given, keep = Given(*arguments[:7]), arguments[7]
    reserve = native.empty_reserve_for_any_lengths(given) if keep else given.input.new_empty(0)
    return *native.empty_results(given), reserve


@torch.library.impl("bilstm::lstm_backward", "CompositeExplicitAutograd")
def _lstm_backward(*arguments: Any) -> list[Tensor]:
    given, results, reserve, d_results, wanted = _backward_arguments(arguments)
    if core.takes(equations.tensors(_call(given))) is not None:
        found = _gradients_of_the_equations(given, d_results, wanted)
        rooms = native.empty_gradients(given, wanted)
        return [room.copy_(d) for room, d in zip(rooms, found, strict=True) if room is not None and d is not None]
    if reserve.numel():
        reserve = reserve.clone()  # an operator changes nothing that it is given
    else:
        reserve = native.empty_reserve(given)
        results = native.forward(given, reserve)
    return [d for d in native.backward(given, results, reserve, d_results, wanted) if d is not None]


def _lstm_backward_room(*arguments: Any) -> list[Tensor]:
    given, _, _, _, wanted = _backward_arguments(arguments)
    return [room for room in native.empty_gradients(given, wanted) if room is not None]


def _backward_arguments(arguments: Sequence[Any]) -> tuple[Given, Any, Any, Any, Any]:
    return Given(*arguments[:7]), arguments[7:10], arguments[10], arguments[11:14], arguments[14]


def _lstm_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *results, reserve = output
    ctx.mark_non_differentiable(reserve)
    _save(ctx, Given(*inputs[:7]), *results, reserve)


def _lstm_gradients(ctx: Any, *d_results: Maybe) -> tuple[Any, ...]:
    given, (*results, reserve) = _saved(ctx)
    needed = ctx.needs_input_grad
    wanted = [*needed[:3], *needed[3]]
    if torch.is_grad_enabled():
        gradients = _gradients_of_the_equations(given, d_results[:3], wanted)
    else:
        gradients = _gradients_of_the_operator(given, results, reserve, d_results[:3], wanted)
    d_input, d_h0, d_c0, *d_weights = gradients
    return d_input, d_h0, d_c0, d_weights, None, [None] * len(given.masks), None, None


torch.library.register_fake("bilstm::lstm", _lstm_room)


torch.library.register_fake("bilstm::lstm_backward", _lstm_backward_room)


torch.library.register_autograd("bilstm::lstm", _lstm_gradients, setup_context=_lstm_setup)
