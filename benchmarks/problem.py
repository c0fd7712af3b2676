"""A layer over a batch as the contenders of benchmarks/layer.py are asked to run it, its size, and its right answer.

Knows torch, which gives the answer; knows no contender and no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from tests.cases import Case
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Array = np.ndarray[Any, Any]


class Contender(NamedTuple):
    """What is timed, and how its result is read."""

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]]  # of the result: [output (B, T, 2H)], or the gradient of every weight


class Unable(Exception):
    """A contender cannot do this; the message says why."""


@dataclass(frozen=True)
class Problem:
    """A layer over a batch: inference, or a training step's forward and backward.

    In training the gradient of output is given, dense and random; gradients are wanted of every weight, not of the
    input, as in the first layer of a network.
    """

    case: Case
    lengths: Tensor | None  # (B,); None: all are T
    training: bool = False
    bf16: bool = False  # inference in bfloat16, as each contender offers it
    threads: int = 2

    @cached_property
    def x(self) -> Tensor:
        return self.case.input()  # (B, T, F)

    @cached_property
    def d_output(self) -> Tensor:
        return self.case.probes()[0]  # (B, T, 2H)

    @property
    def row_lengths(self) -> Tensor:
        return torch.full((self.case.batch,), self.case.time) if self.lengths is None else self.lengths

    @property
    def gflop(self) -> float:
        """Two a multiply-add, over valid steps; a training step counts three times its forward."""
        c = self.case
        inputs = [c.features] + [2 * c.hidden] * (c.layers - 1)
        forward = sum(2 * 2 * int(self.row_lengths.sum()) * 4 * c.hidden * (width + c.hidden) for width in inputs)
        return forward * (3 if self.training else 1) / 1e9

    def truth(self) -> list[Array]:
        """The answer by torch.nn.LSTM in float64."""
        layer, x = self.case.layer(nn.LSTM, torch.float64), self.case.input(torch.float64)
        forward = padded if self.lengths is None else packed
        if not self.training:
            with torch.inference_mode():
                return [forward(layer, x, self.row_lengths).numpy()]
        output, d_output = forward(layer, x, self.row_lengths), self.case.probes(torch.float64)[0]
        return [t.numpy() for t in torch.autograd.grad(output, list(layer.parameters()), d_output)]


def padded(layer: nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """Reads the padding like any other step: right only where all lengths are equal."""
    output: Tensor = layer(x)[0]
    return output


def packed(layer: nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """PyTorch's own way with unequal lengths."""
    output, _ = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0]
