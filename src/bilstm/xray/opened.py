"""A fitted network opened at its BiLSTM: answers to vectors, and gradients told apart by the way that they came.

Knows networks, vectors and autograd; does not know what the numbers mean or along which path they are integrated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bilstm.data.batch import Batch
from bilstm.nn.lstm.equations import Trace
from bilstm.nn.lstm.layer import BiLSTM

Score = Callable[[Tensor, Tensor], Tensor]  # outputs of the network and which number of each row: (M, …), (M,) → (M,)
Way = tuple[slice, slice]  # of what a BiLSTM gives: part of the width of its output, and rows of h_n


class Passthrough(nn.Module):
    """Stands where a network turns words into vectors: the vectors are given, (B, T, F)."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.values


class Run(NamedTuple):
    """One run of a BiLSTM."""

    input: Tensor
    before: tuple[Tensor, Tensor]  # output and h_n as they came out
    after: tuple[Tensor, Tensor]  # the same as leaves of a new graph


def _record(
    runs: list[Run], lstm: nn.Module, inputs: tuple[Tensor, ...], result: tuple[Tensor, tuple[Tensor, Tensor]]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Keep a run of a BiLSTM; output and h_n go on as leaves of a new graph where gradients are recorded."""
    output, (h_n, c_n) = result
    after = output.detach(), h_n.detach()
    runs.append(Run(inputs[0].detach(), (output, h_n), after))
    for leaf in after:
        leaf.requires_grad_(torch.is_grad_enabled())
    return after[0], (after[1], c_n.detach())


class Opened:
    """A copy of a fitted network that takes vectors, keeps what its BiLSTM is given, and knows gradients by their way.

    The copy shares nothing that changes with the network: others may predict with it meanwhile. ``batch`` holds the one
    sequence that is looked at, with vectors as values (1, T, F), and what is known of the steps behind it.
    """

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        reader = getattr(network, "reader", None)
        instead: dict[int, object] = {} if reader is None else {id(reader): Passthrough()}
        self.network = copy.deepcopy(network, instead).cpu().eval().requires_grad_(False)
        self.batch = batch
        lstm = self.network.lstm
        assert isinstance(lstm, BiLSTM)
        self.lstm, self.runs = lstm, list[Run]()
        lstm.register_forward_hook(partial(_record, self.runs))
        H = lstm.hidden_size
        self.directions: tuple[Way, Way] = (slice(0, H), slice(-2, -1)), (slice(H, 2 * H), slice(-1, None))
        self.together: tuple[Way] = ((slice(None), slice(-2, None)),)

    def outputs(self, points: Tensor) -> Tensor:
        """What the network says of vectors (M, T, F): (M, …), without gradients."""
        with torch.no_grad():
            return self._outputs(points)

    def gradients(self, points: Tensor, which: Tensor, score: Score, ways: Sequence[Way]) -> Tensor:
        """Gradient of each row's score of output ``which`` (M,) with respect to its vectors (M, T, F), by its way.

        (len(ways) + 1, M, T, F): through each of the ways, which must not overlap and must hold all that the network
        uses, and last what does not pass the BiLSTM. Their sum is the gradient.
        """
        points = points.detach().requires_grad_()
        total = score(self._outputs(points), which).sum()
        run = self.runs[-1] if self.runs else None  # None of a forecaster whose BiLSTM was found to be of no use
        leaves = (points,) if run is None else (points, *run.after)
        gradients = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
        direct, *after = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(gradients, leaves, strict=True)]
        if run is None:
            return torch.stack([torch.zeros_like(direct)] * len(ways) + [direct])
        parts: list[Tensor] = []
        for width, rows in ways:
            kept = [_only(after[0], (..., width)), _only(after[1], rows)]
            more = len(parts) < len(ways) - 1
            parts.append(torch.autograd.grad(run.before, points, kept, retain_graph=more)[0])
        return torch.stack([*parts, direct])

    def trace(self) -> Trace:
        """Every gate, cell and hidden state of the sequence, (L, D, T, H) each, whether or not they are used."""
        self.outputs(self.batch.values)
        if not self.runs:
            share = self.network.share
            assert isinstance(share, Tensor)
            share.fill_(1.0)
            self.outputs(self.batch.values)
            share.fill_(0.0)
        with torch.no_grad():
            trace = self.lstm.trace(self.runs[-1].input, lengths=self.batch.lengths)
        return Trace(*(part.squeeze(2) for part in trace))

    def _outputs(self, points: Tensor) -> Tensor:
        self.runs.clear()
        M, future = len(points), self.batch.future
        future = None if future is None else future.expand(M, *future.shape[1:])
        lengths, rows = self.batch.lengths.expand(M), torch.arange(M)
        outputs: Tensor = self.network(replace(self.batch, values=points, lengths=lengths, rows=rows, future=future))
        return outputs


def _only(gradient: Tensor, place: Any) -> Tensor:
    """A gradient at one place, and zero elsewhere."""
    kept = torch.zeros_like(gradient)
    kept[place] = gradient[place]
    return kept
