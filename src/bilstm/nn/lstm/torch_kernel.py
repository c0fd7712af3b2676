"""The BiLSTM by torch's own routines, padded, packed or pinned. Knows nothing of the native kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import _VF, Tensor
from torch.autograd import forward_ad
from torch.nn.functional import pad
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bilstm.nn import core
from bilstm.nn.lstm.equations import Call, Final, flat, initial_states, needs_gradient, valid_steps

# On a CPU the packed routine runs torch's generic operators step by step and never reaches oneDNN; the padded
# one does. Valid steps / all steps below which packing wins all the same, measured in float32 on 2 cores of
# an AVX-512 CPU over B 8…64, T 20…200, H 32…320: in training pinned/packed break even at a share of 0.05…0.15
# (at 0.6 pinned is 2 to 8 times faster), in inference at 0.15…0.35 (at 0.6: 1 to 2 times).
PINNED_FROM_TRAINING, PINNED_FROM_INFERENCE = 0.15, 0.35


# The weight of the padding's own feature: σ(±1e4) is 0 or 1 in every floating type, with the gradient 0, and
# 1e4 is within float16. The pin holds while the rest of a gate stays below 9,900 in size: x is 0 there and
# |h| ≤ 1, so |bias| + Σ|W_hh| would have to reach it.
PIN = 1e4


def torch_serves(call: Call) -> str | None:
    if core.transformed() and not _one_gradient(call):
        return "knows of torch.func only grad, and no forward-mode gradients"
    if torch.compiler.is_compiling():
        simple = call.lengths is None and call.weights[0][0].projection is None
        return None if simple else "takes ways that a compiler cannot follow"
    if call.input.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not has_narrow_routine():
        return "has no narrow routine for autocast on this processor"
    return "refuses a batch without rows or steps" if call.input.numel() == 0 else None


def has_narrow_routine() -> bool:
    """Whether torch's LSTM runs under autocast on this processor; without AVX-512 oneDNN has none, and it fails."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _one_gradient(call: Call) -> bool:
    """Whether a single torch.func.grad is all that is going on: oneDNN's routine has one derivative, no second."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return False
    if call.lengths is not None and torch._C._functorch.is_functorch_wrapped_tensor(call.lengths):
        return False  # a packed sequence cannot be made of them
    levels = torch._C._functorch.get_interpreter_stack() or []
    return [level.key() for level in levels] == [torch._C._functorch.TransformType.Grad]


def torch_run(call: Call) -> Final:
    """The whole stack in one go where torch can; layer by layer where something has to happen in between."""
    (B, T, _), D = call.input.shape, len(call.weights[0])
    lengths = torch.full((B,), T) if call.lengths is None else call.lengths
    longest = T if call.lengths is None else max(int(lengths.max()), 1)  # what all rows pad is not computed
    way = _torch_way(call, lengths, longest)
    together = len(call.weights) if call.masks is None and way is not _pinned else 1
    x, h_n, c_n = call.input[:, :longest], [], []
    if way is not _padded:
        x = x.masked_fill(_padding(lengths, x), 0)  # so that no NaN can pass through 0·NaN
    for first in range(0, len(call.weights), together):
        layers = slice(first, first + together)
        h0, c0 = (None if state is None else state[first * D :][: together * D] for state in (call.h0, call.c0))
        x, h, c = way(Call(x, h0, c0, call.weights[layers], lengths, None))
        if call.masks is not None and layers.stop < len(call.weights):
            x = x * call.masks[first][:, :longest]
        h_n.append(h)
        c_n.append(c)
    return Final(pad(x, (0, 0, 0, T - longest)) if longest < T else x, torch.cat(h_n), torch.cat(c_n))


def _torch_way(call: Call, lengths: Tensor, longest: int) -> Callable[[Call], Final]:
    fast = call.input.device.type == "cpu" and torch.backends.mkldnn.enabled
    projected = call.weights[0][0].projection is not None  # oneDNN has no projections, and torch warns of it
    if call.lengths is None or int(lengths.min()) == longest:
        return _packed if fast and projected else _padded
    enough = PINNED_FROM_TRAINING if _needs_gradient(call) else PINNED_FROM_INFERENCE
    dense = float(lengths.sum()) >= enough * longest * len(lengths)
    narrow = call.input.dtype in (torch.float32, torch.bfloat16)  # in float64 oneDNN does not serve either
    return _pinned if fast and dense and narrow and not projected else _packed


def _padded(call: Call) -> Final:
    """Every row has T steps: torch's own padded routine."""
    bias, bidirectional = call.weights[0][0].input_bias is not None, len(call.weights[0]) == 2
    weights, training = flat(call.weights), _needs_gradient(call)
    states = initial_states(call)
    return Final(*_VF.lstm(call.input, states, weights, bias, len(call.weights), 0.0, training, bidirectional, True))


def _pinned(call: Call) -> Final:
    """One layer whose rows differ in length, by the padded routine: padding pins the gates.

    One more feature p is 1 on padding and 0 elsewhere, with the weights −PIN, +PIN, 0, −PIN for the gates i,
    f, g, o:
        i = σ(… − PIN) = 0,  f = σ(… + PIN) = 1,  o = σ(… − PIN) = 0
        c_t = 1·c_(t−1) + 0·g_t = c_(t−1),  h_t = 0·tanh(c_t) = 0
    exactly, and all gradients through a pinned gate are exactly 0. So output is zero on padding, c_n is the
    cell of each row's own last step, and h_n stands in output at the first or last of its steps. In reverse
    the padding comes first and would wipe h0 (not c0): there h0 enters as features of the row's own first
    step, where its weights are W_hh, since the gates only ever see W_ih·x + W_hh·h.
    """
    (B, T, _), lengths, D = call.input.shape, _lengths(call), len(call.weights[0])
    h0, c0 = initial_states(call)
    padding = _padding(lengths, call.input)
    features = [call.input, padding.to(call.input.dtype)]
    columns = [[_pin(way.hidden)] for way in call.weights[0]]
    last = (lengths - 1).clamp(min=0).to(call.input.device)  # (B,): the first step in reverse
    started = h0
    if D == 2 and call.h0 is not None:
        here = (torch.arange(T, device=last.device) == last.unsqueeze(1)).unsqueeze(2) & ~padding  # (B, T, 1)
        features.append(torch.where(here, h0[1].unsqueeze(1), 0))
        columns[0].append(torch.zeros_like(call.weights[0][0].hidden))
        columns[1].append(call.weights[0][1].hidden)
        started = torch.stack([h0[0], torch.zeros_like(h0[1])])
    weights = [
        way._replace(input=torch.cat([way.input, *extra], dim=1))
        for way, extra in zip(call.weights[0], columns, strict=True)
    ]
    output, _, c_n = _padded(Call(torch.cat(features, dim=2), started, c0, [weights], None, None))
    ends = [output[torch.arange(B, device=last.device), last], output[:, 0]]  # (B, D·H) each
    empty = _empty(lengths, output)
    h_n = [torch.where(empty, h0[d], ends[d].chunk(D, dim=1)[d]) for d in range(D)]
    return Final(output, torch.stack(h_n), torch.where(empty, c0, c_n))


def _packed(call: Call) -> Final:
    """Rows differ in length: torch's packed routine. A row without steps runs one and is put back."""
    lengths = _lengths(call)
    h0, c0 = initial_states(call)
    packed = pack_padded_sequence(call.input, lengths.clamp(min=1), batch_first=True, enforce_sorted=False)
    bias, bidirectional = call.weights[0][0].input_bias is not None, len(call.weights[0]) == 2
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    states = h0.index_select(1, order), c0.index_select(1, order)
    weights, training = flat(call.weights), _needs_gradient(call)
    data, h_n, c_n = _VF.lstm(
        packed.data, packed.batch_sizes, states, weights, bias, len(call.weights), 0.0, training, bidirectional
    )
    output, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=call.input.shape[1])
    h_n, c_n = h_n.index_select(1, back), c_n.index_select(1, back)
    if int(lengths.min()) > 0:
        return Final(output, h_n, c_n)
    output, empty = output.masked_fill(_padding(lengths, output), 0), _empty(lengths, output)
    return Final(output, torch.where(empty, h0, h_n), torch.where(empty, c0, c_n))


def _pin(like: Tensor) -> Tensor:
    """(4H, 1): the padding feature's weights, a column of W_ih."""
    signs = torch.tensor([-PIN, PIN, 0.0, -PIN], dtype=like.dtype, device=like.device)
    return signs.repeat_interleave(like.shape[0] // 4).unsqueeze(1)


def _padding(lengths: Tensor, x: Tensor) -> Tensor:
    return ~valid_steps(lengths, x).unsqueeze(2)  # (B, T, 1)


def _empty(lengths: Tensor, like: Tensor) -> Tensor:
    return (lengths == 0).to(like.device).unsqueeze(1)  # (B, 1)


def _lengths(call: Call) -> Tensor:
    assert call.lengths is not None
    return call.lengths


def _needs_gradient(call: Call) -> bool:
    """Whether torch has to keep what a gradient needs: what torch.jit.trace records may be trained later."""
    return torch._C._get_tracing_state() is not None or needs_gradient(call)
