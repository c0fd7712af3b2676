"""A call of a layer: checked, laid out as the kernels take it, and its results laid out as torch.nn.LSTM's are.

Knows shapes, orders of axes and how mistakes are worded, for any ``torch.nn.LSTM``; computes nothing itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bilstm.errors import DataError, ShapeError
from bilstm.nn import core
from bilstm.nn.lstm import equations, kernels
from bilstm.nn.lstm.equations import Call, Trace, Weights

States = tuple[Tensor, Tensor]
Lengths = Iterable[int] | Tensor | None
Output = tuple[Tensor | PackedSequence, States]


def forward(layer: nn.LSTM, input: Tensor | PackedSequence, hx: States | None, lengths: Lengths) -> Output:
    """What ``BiLSTM.forward`` returns, of any nn.LSTM."""
    weights = _flat_weights(layer)
    if lengths is None and (other := _other_forward(input, weights)) is not None:
        if not torch.compiler.is_compiling():
            core.last.set("torch")
        return other(layer, input, hx)
    if isinstance(input, PackedSequence):
        return _forward_packed(layer, input, hx, lengths)
    call = _call(layer, weights, input, hx, lengths, layer.dropout if layer.training else 0.0)
    output, h_n, c_n = kernels.run(call)
    if input.dim() == 2:
        return output.squeeze(0), (h_n.squeeze(1), c_n.squeeze(1))
    return output if layer.batch_first else output.transpose(0, 1), (h_n, c_n)


def trace(layer: nn.LSTM, input: Tensor, hx: States | None, lengths: Lengths) -> Trace:
    """What ``BiLSTM.trace`` returns, of any nn.LSTM."""
    if isinstance(input, PackedSequence):
        raise DataError(
            "expected a tensor to trace, got a PackedSequence",
            hint="pad_packed_sequence makes input and lengths of it",
        )
    return kernels.trace(_call(layer, _flat_weights(layer), input, hx, lengths, dropout=0.0))


def weights_of(layer: nn.LSTM) -> list[list[Weights]]:
    """weights[layer][direction], those with which torch would compute now."""
    return _by_layer(layer, _flat_weights(layer))


# --- what torch's own forward does with weights and checks --------------------------------------------------------

_PLAIN = frozenset(core.PLAIN)


def _flat_weights(layer: nn.LSTM) -> list[Tensor]:
    """nn.LSTM's own list, brought up to date as nn.LSTM.forward does.

    torch.func, parametrizations and fast weights laid over parameters replace what the list was made of, some programs
    the list itself.
    """
    names = layer._flat_weights_names
    if core.watched():  # a compiler or exporter is to see no change of the module
        changed = layer._weights_have_changed()  # type: ignore[no-untyped-call]
        return [getattr(layer, name) for name in names] if changed else cast(list[Tensor], layer._flat_weights)
    # what _weights_have_changed asks, in a tenth of its time: a module looks for an attribute among its parameters last
    own, made_of = map(layer._parameters.get, names), map(operator.call, cast(Any, layer._flat_weight_refs))
    try:
        unchanged = layer.__dict__.keys().isdisjoint(names) and all(map(operator.is_, made_of, own))
    except TypeError:  # None stands for a weight that was missing when the list was made
        unchanged = False
    if not unchanged:
        layer._update_flat_weights()
    return cast(list[Tensor], layer._flat_weights)


def _by_layer(layer: nn.LSTM, flat: list[Tensor]) -> list[list[Weights]]:
    tensors: Any = iter(flat)
    return [
        [
            Weights(
                next(tensors),
                next(tensors),
                next(tensors) if layer.bias else None,
                next(tensors) if layer.bias else None,
                next(tensors) if layer.proj_size else None,
            )
            for _ in range(2 if layer.bidirectional else 1)
        ]
        for _ in range(layer.num_layers)
    ]


def _other_forward(input: Tensor | PackedSequence | fx.Proxy, weights: list[Tensor]) -> Callable[..., Output] | None:
    """What runs instead of the kernels where somebody looks for torch's layer itself, else None."""
    if isinstance(input, fx.Proxy):
        return _leaf
    tensor = input.data if isinstance(input, PackedSequence) else input
    if torch._C._get_tracing_state() is not None or (tensor is not input and not tensor.is_cpu):
        return nn.LSTM.forward
    if core.watched():
        return None
    # what a subclass of Tensor means by its numbers, only torch's routines can ask it
    if not _PLAIN.issuperset(map(type, weights)):
        return _by_operators
    return None if type(tensor) in core.PLAIN else nn.LSTM.forward


def _by_operators(layer: nn.LSTM, input: Tensor | PackedSequence, hx: States | None) -> Output:
    """Without oneDNN's routine for a whole layer, which no weight of a class of its own (ExpandedWeight) knows."""
    with torch.backends.mkldnn.flags(enabled=False):
        return nn.LSTM.forward(layer, input, hx)


def _leaf(layer: nn.LSTM, input: fx.Proxy, hx: Any) -> Any:
    """One node of a torch.fx graph, as torch.fx makes of nn.LSTM."""
    tracer = cast(fx.Tracer, input.tracer)
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), (input,) if hx is None else (input, hx), {})


def _has_checks(layer: nn.LSTM) -> bool:
    """Whether a subclass, or this layer alone, checks what it is given in a way of its own."""
    kind, torchs = type(layer), nn.LSTM
    inherited = kind is torchs or (
        kind.check_forward_args is torchs.check_forward_args
        and kind.check_input is torchs.check_input
        and kind.check_hidden_size is torchs.check_hidden_size
        and kind.get_expected_hidden_size is torchs.get_expected_hidden_size
        and kind.get_expected_cell_size is torchs.get_expected_cell_size
    )
    return not inherited or "check_forward_args" in layer.__dict__


# --- the call -----------------------------------------------------------------------------------------------------


def _forward_packed(
    layer: nn.LSTM, input: PackedSequence, hx: States | None, lengths: object
) -> tuple[PackedSequence, States]:
    if lengths is not None:
        raise DataError(
            "expected no lengths beside a PackedSequence, got both",
            hint="a PackedSequence carries its lengths: leave the argument out",
        )
    x, row_lengths = pad_packed_sequence(input, batch_first=layer.batch_first)  # the caller's order
    padded, states = forward(layer, x, hx, row_lengths)
    assert isinstance(padded, Tensor)
    output = padded if layer.batch_first else padded.transpose(0, 1)
    if input.sorted_indices is not None:
        output = output.index_select(0, input.sorted_indices)
        row_lengths = row_lengths.index_select(0, input.sorted_indices.cpu())
    data = pack_padded_sequence(output, row_lengths, batch_first=True).data
    return input._replace(data=data), states


def _call(
    layer: nn.LSTM, flat: list[Tensor], input: Tensor, hx: States | None, lengths: object, dropout: float
) -> Call:
    """Check everything and lay it out as the kernels take it: batch first, lengths on the CPU."""
    _check_input(input, layer.input_size, flat[0].dtype)
    batched = input.dim() == 3
    x = input if batched else input.unsqueeze(0 if layer.batch_first else 1)
    if _has_checks(layer):
        batch = (x.shape[0] if layer.batch_first else x.shape[1],)
        h, c = [x.new_zeros(shape) for shape in _state_shapes(layer, batch)] if hx is None else hx
        layer.check_forward_args(x, (h, c) if batched or hx is None else (h.unsqueeze(1), c.unsqueeze(1)), None)
    x = x if layer.batch_first else x.transpose(0, 1)  # (B, T, F)
    B, T, _ = x.shape
    h0, c0 = (None, None) if hx is None else _states(layer, hx, x, batched)
    rows = None if lengths is None else row_lengths(lengths, B, T)
    return Call(x, h0, c0, _by_layer(layer, flat), rows, _dropout_masks(layer, x, dropout))


def _states(layer: nn.LSTM, hx: States, x: Tensor, batched: bool) -> States:
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise DataError("expected hx as the pair (h_0, c_0), got " + type(hx).__name__)
    shapes = _state_shapes(layer, (x.shape[0],) if batched else ())
    for which, name in enumerate(("h_0", "c_0")):
        state, expected = hx[which], shapes[which]
        if tuple(state.shape) != expected:
            raise ShapeError(
                f"Expected hidden[{which}] size {expected}, got {tuple(state.shape)} ({name} of hx).",
                hint="states are (layers × directions, batch, units), whatever batch_first says",
            )
        _check_dtype(state, x.dtype, name)
    h0, c0 = hx
    return (h0, c0) if batched else (h0.unsqueeze(1), c0.unsqueeze(1))


def _state_shapes(layer: nn.LSTM, batch: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    return (rows, *batch, layer.proj_size or layer.hidden_size), (rows, *batch, layer.hidden_size)


def _dropout_masks(layer: nn.LSTM, x: Tensor, dropout: float) -> list[Tensor] | None:
    """Drawn here so that every kernel drops the same; drawn time first, as torch.nn.LSTM draws them."""
    if dropout == 0.0 or layer.num_layers == 1:
        return None
    (B, T, _), width = x.shape, (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    kept = torch.ones(T, B, width, dtype=x.dtype, device=x.device)
    return [nn.functional.dropout(kept, dropout).transpose(0, 1) for _ in range(layer.num_layers - 1)]


def _check_input(input: Tensor, features: int, dtype: torch.dtype) -> None:
    if input.dim() not in (2, 3):
        raise ShapeError(
            f"Expected input to be 2D or 3D, got {input.dim()}D instead, of shape {tuple(input.shape)}.",
            hint="a batch is (time, batch, features), or (batch, time, features) with batch_first=True",
        )
    if input.shape[-1] != features:
        raise ShapeError(
            f"input.size(-1) must be equal to input_size. Expected {features}, got {input.shape[-1]}, of an input of "
            f"shape {tuple(input.shape)}.",
            hint=f"features are the last axis; this layer was made with input_size={features}",
        )
    _check_dtype(input, dtype, "input")


def _check_dtype(tensor: Tensor, dtype: torch.dtype, name: str) -> None:
    if tensor.dtype != dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise ShapeError(
            f"{name} must have the type {dtype}, got type {tensor.dtype}.",
            hint=f"convert it, {name}.to({dtype}), or the layer, layer.to({tensor.dtype})",
        )


def every_length(lengths: Lengths, B: int, T: int) -> Tensor:
    """(B,) int64 on the CPU; T for each row where no lengths are given."""
    rows = None if lengths is None else row_lengths(lengths, B, T)
    return torch.full((B,), T, dtype=torch.int64, device="cpu") if rows is None else rows


def row_lengths(lengths: Any, B: int, T: int) -> Tensor | None:
    """(B,) int64 on the CPU; None where every row has T steps."""
    if isinstance(lengths, Tensor):
        whole = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
    else:
        try:
            lengths = list(lengths)
            whole = not any(isinstance(length, bool) for length in lengths)
            lengths = torch.tensor([operator.index(n) for n in lengths], dtype=torch.int64) if whole else lengths
        except TypeError:
            whole = False
    if not whole:
        raise DataError(
            f"expected lengths as whole numbers, got {lengths}",
            hint="from a mask that is True on valid steps: lengths = mask.sum(1)",
        )
    if tuple(lengths.shape) != (B,):
        raise DataError(
            f"expected {B} lengths, one for each row, got shape {tuple(lengths.shape)}",
            hint="rows are counted along the batch axis; batch_first says which that is",
        )
    rows: Tensor = lengths.to("cpu", torch.int64)
    if core.watched() or type(rows) is not Tensor or torch._C._functorch.is_functorch_wrapped_tensor(rows):
        return rows  # they have no values that one could look at
    if B == 0:
        return None
    shortest, longest = rows.aminmax()
    if int(shortest) < 0 or int(longest) > T:
        equations.check_lengths(rows, T)
    return None if int(shortest) == T else rows
