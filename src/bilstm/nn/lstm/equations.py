"""The law book: what a bidirectional LSTM is, forward only; autograd makes its gradient.

Every kernel answers to these equations. They know tensors and nothing else: no module, no speed, no packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, sigmoid, tanh

from bilstm.errors import DataError


class Weights(NamedTuple):
    """The parameters of one layer in one direction; gates stacked in the order i, f, g, o, as torch does."""

    input: Tensor  # (4H, F): weight_ih
    hidden: Tensor  # (4H, H_out): weight_hh
    input_bias: Tensor | None  # (4H): bias_ih
    hidden_bias: Tensor | None  # (4H): bias_hh
    projection: Tensor | None  # (H_out, H): weight_hr; without it H_out = H


class Call(NamedTuple):
    """What every kernel is given."""

    input: Tensor  # (B, T, F); what stands at or after a row's length never matters, NaN included
    h0: Tensor | None  # (L·D, B, H_out), or None for zeros
    c0: Tensor | None  # (L·D, B, H), None if and only if h0 is
    weights: Sequence[Sequence[Weights]]  # [layer][direction], the reverse direction second
    lengths: Tensor | None  # (B,) int64 on the CPU, each in 0…T; None where every row has T steps
    masks: Sequence[Tensor] | None  # (B, T, D·H_out) for each layer but the last: its output is multiplied with it


class Trace(NamedTuple):
    """Every gate and cell: (B, H) at one step, (L, D, B, T, H) of a whole stack; zero on padding."""

    input_gate: Tensor
    forget_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    cell: Tensor
    hidden: Tensor  # before the projection


class Final(NamedTuple):
    """What a stack of layers returns."""

    output: Tensor  # (B, T, D·H_out), zero where there is padding
    h_n: Tensor  # (L·D, B, H_out)
    c_n: Tensor  # (L·D, B, H)


def step(x: Tensor, h: Tensor, c: Tensor, weights: Weights) -> Trace:
    """One time step: x (B, F), h (B, H_out) and c (B, H) give the gates, the new cell and hidden state."""
    W_i, W_f, W_g, W_o = weights.input.chunk(4)  # (H, F) each
    U_i, U_f, U_g, U_o = weights.hidden.chunk(4)  # (H, H_out) each
    b_i, b_f, b_g, b_o = _bias(weights).chunk(4)  # (H,) each

    f = sigmoid(x @ W_f.T + h @ U_f.T + b_f)  # the forget gate: what the cell keeps
    i = sigmoid(x @ W_i.T + h @ U_i.T + b_i)  # the input gate: what the cell takes in
    g = tanh(x @ W_g.T + h @ U_g.T + b_g)  # the candidate: what there is to take in
    c = f * c + i * g  # the cell
    o = sigmoid(x @ W_o.T + h @ U_o.T + b_o)  # the output gate: what the cell shows
    h = o * tanh(c)  # the hidden state
    return Trace(i, f, g, o, c, h)


def run_direction(
    x: Tensor, h: Tensor, c: Tensor, weights: Weights, lengths: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, list[Trace]]:
    """One layer in one direction over x (B, T, F): output (B, T, H_out), last h, last c, each step's Trace.

    A row that is over, or in reverse has not begun, keeps its state: so in reverse each starts at its own
    end.
    """
    valid = valid_steps(lengths, x)  # (B, T)
    output, steps = [h.unsqueeze(1)[:, :0]], []  # the empty start lets T = 0 be a case like any other
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        now = step(x[:, t], h, c, weights)
        alive = valid[:, t, None]  # (B, 1)
        h = torch.where(alive, _projected(now.hidden, weights), h)
        c = torch.where(alive, now.cell, c)
        output.append(h.masked_fill(~alive, 0).unsqueeze(1))
        steps.append(Trace(*(part.masked_fill(~alive, 0) for part in now)))
    if reverse:
        output[1:], steps = output[:0:-1], steps[::-1]
    return torch.cat(output, dim=1), h, c, steps


def run(call: Call) -> Final:
    """A stack of layers in one or both directions."""
    return _stack(call)[0]


def trace(call: Call) -> Trace:
    """Every gate, cell and hidden state of the same run, (L, D, B, T, H) each."""
    layers = _stack(call)[1]  # [L][D][T] of (B, H)
    if not call.input.shape[1]:
        H = call.weights[0][0].hidden.shape[0] // 4
        nothing = call.input.new_empty(len(layers), len(layers[0]), call.input.shape[0], 0, H)
        return Trace(*(nothing for _ in Trace._fields))
    return Trace(
        *(
            torch.stack([torch.stack([torch.stack([now[k] for now in way], 1) for way in ways]) for ways in layers])
            for k in range(len(Trace._fields))
        )
    )


def valid_steps(lengths: Tensor, like: Tensor) -> Tensor:
    """(B, T) bool: True where a row of ``like`` (B, T, …) still has a step, False on padding."""
    return torch.arange(like.shape[1], device=like.device) < lengths.to(like.device).unsqueeze(1)


def check_lengths(lengths: Tensor, T: int) -> None:
    """Raise a DataError unless each of lengths (B,) is in 0…T."""
    outside = ((lengths < 0) | (lengths > T)).nonzero()
    if len(outside):
        row = int(outside[0])
        raise DataError(f"expected lengths from 0 to {T}, the steps of input, got {int(lengths[row])} (row {row})")


def initial_states(call: Call) -> tuple[Tensor, Tensor]:
    """h0 (L·D, B, H_out) and c0 (L·D, B, H): the call's own, or zeros."""
    if call.h0 is not None and call.c0 is not None:
        return call.h0, call.c0
    gates, H_out = call.weights[0][0].hidden.shape  # 4H, H_out
    rows = len(call.weights) * len(call.weights[0]), call.input.shape[0]
    return call.input.new_zeros(*rows, H_out), call.input.new_zeros(*rows, gates // 4)


def tensors(call: Call) -> list[Tensor]:
    """What a gradient may be wanted of: the input, the states where there are any, every weight."""
    states = [] if call.h0 is None or call.c0 is None else [call.h0, call.c0]
    return [call.input, *states, *flat(call.weights)]


def needs_gradient(call: Call) -> bool:
    """Whether a gradient may be asked for later."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors(call))


def flat(weights: Sequence[Sequence[Weights]]) -> list[Tensor]:
    """Every weight of a stack, in the order of torch's own routines."""
    return [tensor for layer in weights for way in layer for tensor in way if tensor is not None]


def _stack(call: Call) -> tuple[Final, list[list[list[Trace]]]]:
    """Layer over layer: each reads what the directions of the one below say together."""
    x, lengths = call.input, call.lengths
    if lengths is None:
        lengths = torch.full((x.shape[0],), x.shape[1])
    x = x.masked_fill(~valid_steps(lengths, x).unsqueeze(2), 0)  # so that no NaN can pass through 0·NaN
    h0, c0 = initial_states(call)
    h_n, c_n, traces, D = [], [], [], len(call.weights[0])
    for layer, weights in enumerate(call.weights):
        states = zip(h0[layer * D :], c0[layer * D :], weights, strict=False)
        ways = [run_direction(x, h, c, w, lengths, d == 1) for d, (h, c, w) in enumerate(states)]
        x = torch.cat([output for output, *_ in ways], dim=2)  # (B, T, D·H_out)
        if call.masks is not None and layer < len(call.weights) - 1:
            x = x * call.masks[layer]
        h_n += [h for _, h, _, _ in ways]
        c_n += [c for _, _, c, _ in ways]
        traces.append([steps for *_, steps in ways])
    return Final(x, torch.stack(h_n), torch.stack(c_n)), traces


def _projected(hidden: Tensor, weights: Weights) -> Tensor:
    return hidden if weights.projection is None else hidden @ weights.projection.T


def _bias(weights: Weights) -> Tensor:
    """The two biases are one: torch keeps two because cuDNN does."""
    if weights.input_bias is None or weights.hidden_bias is None:
        return weights.hidden.new_zeros(weights.hidden.shape[0])
    return weights.input_bias + weights.hidden_bias
