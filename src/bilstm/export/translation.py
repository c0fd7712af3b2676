"""The operator ``bilstm::lstm`` for torch's own exporter to ONNX: for models of other people that hold a BiLSTM.

Knows the operator's arguments and onnxscript; knows no estimators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bilstm.errors import ParameterError, from_extra
from bilstm.export.graph import EXTRA

INT32 = 6  # of ONNX's types


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What ``torch.onnx.export`` needs to write a program that holds a BiLSTM, one LSTM operator a layer.

    Returns:
        dict: for its argument ``custom_translation_table``.

    Raises:
        ExtraError: the package ``onnxscript`` is missing.

    Note:
        The trap: give ``torch.onnx.export`` a program of ``torch.export``, not the module. Of a module it asks the
        layer itself, which then unrolls its equations for as many steps as the example has.

    Example:
        >>> program = torch.export.export(model.eval(), example, dynamic_shapes=axes)  # doctest: +SKIP
        >>> torch.onnx.export(program, dynamo=True, custom_translation_table=translations())  # doctest: +SKIP
    """
    operators = from_extra("onnxscript", EXTRA).opset18

    def lstm(
        input: Any, h0: Any, c0: Any, weights: Sequence[Any], lengths: Any, masks: Any, directions: int, keep: bool
    ) -> tuple[Any, ...]:
        if masks:
            raise ParameterError("expected a model in evaluation, got one that drops units", hint="model.eval()")
        return _layers(operators, input, (h0, c0), weights, lengths, directions)

    return {torch.ops.bilstm.lstm.default: lstm}


def _layers(op: Any, x: Any, states: tuple[Any, Any], weights: Sequence[Any], lengths: Any, D: int) -> tuple[Any, ...]:
    """output (B, T, D·H), h_n and c_n (L·D, B, H), and nothing kept for a backward."""
    hidden = int(weights[1].shape[1])
    each = 4 if len(weights) > 2 and len(weights[2].shape) == 1 else 2  # of a direction, with biases or without
    x = op.Transpose(x, perm=[1, 0, 2])  # (T, B, F)
    rows = None if lengths is None else op.Cast(lengths, to=INT32)
    h_n: list[Any] = []
    c_n: list[Any] = []
    for first in range(0, len(weights), D * each):
        ways = [weights[k : k + each] for k in range(first, first + D * each, each)]
        W, R = (_stacked(op, [_gates(op, way[k]) for way in ways]) for k in (0, 1))
        B = None if each == 2 else _stacked(op, [op.Concat(*(_gates(op, b) for b in way[2:]), axis=0) for way in ways])
        start, stop = (op.Constant(value_ints=[D * layer]) for layer in (len(h_n), len(h_n) + 1))
        begin = [None if s is None else op.Slice(s, start, stop) for s in states]
        direction = "bidirectional" if D == 2 else "forward"
        y, h, c = op.LSTM(x, W, R, B, rows, *begin, hidden_size=hidden, direction=direction)
        x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), op.Constant(value_ints=[0, 0, D * hidden]))
        h_n.append(_unless_empty(op, h, begin[0], lengths))
        c_n.append(_unless_empty(op, c, begin[1], lengths))
    joined = (parts[0] if len(parts) == 1 else op.Concat(*parts, axis=0) for parts in (h_n, c_n))
    return op.Transpose(x, perm=[1, 0, 2]), *joined, op.Constant(value_floats=[0.0])


def _unless_empty(op: Any, last: Any, begun: Any, lengths: Any) -> Any:
    """Of a row without steps what it began with; ONNX Runtime says zero there."""
    if begun is None or lengths is None:
        return last
    is_empty = op.Equal(lengths, op.Constant(value_int=0))  # (B,)
    return op.Where(op.Unsqueeze(is_empty, op.Constant(value_ints=[1])), begun, last)


def _stacked(op: Any, parts: Sequence[Any]) -> Any:
    return op.Concat(*(op.Unsqueeze(part, op.Constant(value_ints=[0])) for part in parts), axis=0)


def _gates(op: Any, weight: Any) -> Any:
    """(4H, …) from torch's order of gates i, f, g, o to ONNX's i, o, f, c."""
    H = int(weight.shape[0]) // 4
    rows = [gate * H + unit for gate in (0, 3, 1, 2) for unit in range(H)]
    return op.Gather(weight, op.Constant(value_ints=rows), axis=0)
