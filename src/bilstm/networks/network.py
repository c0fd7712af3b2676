"""The networks of the estimators: one output a sequence (pooling over time), or one a step (with a CRF).

Knows batches of numbers; does not know what they mean, how they are trained, or where they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bilstm.data.batch import Batch
from bilstm.networks import batch_invariant
from bilstm.nn.crf.layer import CRF
from bilstm.nn.lstm.equations import valid_steps
from bilstm.nn.lstm.layer import BiLSTM
from bilstm.training.host import Dropout, Redirected, dropout, generator


class Network(nn.Module):
    """A BiLSTM, a pooling over the valid steps, and a head of two linear layers.

    .. math:: y = W_2 \\, \\mathrm{relu}(W_1 \\, \\mathrm{relu}(\\mathrm{pool}(\\mathrm{BiLSTM}(x))) + b_1) + b_2

    Example:
        >>> from bilstm.data.batch import Sequences
        >>> batch = Sequences(torch.zeros(5, 3).numpy(), [2, 3]).batch([0, 1])
        >>> Network(3, 1, hidden_size=4)(batch).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        input_size: int,  # F, numbers a step
        output_size: int,  # K, numbers a sequence
        *,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,  # between the layers and before the head
        input_noise: float = 0.0,  # deviation of what is added to the inputs in training
        pooling: str = "final",
        reader: nn.Module | None = None,  # turns a batch of words into vectors (B, T, F)
    ) -> None:
        super().__init__()
        self.reader = reader
        self.lstm = bilstm_layers(input_size, hidden_size, num_layers, dropout)
        self.input_noise = input_noise
        self.pooling = pooling
        self.attention = nn.Linear(2 * hidden_size, 1) if pooling == "attention" else None
        self.dropout = Dropout(dropout)
        self.hidden = nn.Linear(2 * hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, batch: Batch) -> Tensor:
        """A batch of sequences to (B, K)."""
        values = batch.values if self.reader is None else self.reader(batch)  # (B, T, F)
        if self.training and self.input_noise and self.reader is None:
            noise = torch.empty_like(values).normal_(generator=generator(values.device))
            values = values + self.input_noise * noise
        states, (h_n, _) = self.lstm(values, lengths=batch.lengths)  # (B, T, 2H), (2L, B, H)
        if self.pooling == "final":
            pooled = final_pool(states, h_n)  # (B, 2H)
        elif self.attention is not None:
            scores = batch_invariant.score(self.attention, states)  # (B, T)
            pooled = batch_invariant.by_length(attention_pool, states, batch.lengths, scores)
        else:
            pooled = batch_invariant.by_length(POOLINGS[self.pooling], states, batch.lengths)
        hidden = batch_invariant.linear(self.hidden, self.dropout(pooled.relu())).relu()  # (B, H)
        return batch_invariant.linear(self.output, hidden)  # (B, K)


class StepNetwork(nn.Module):
    """A BiLSTM with K numbers for every step, and a CRF that knows which tag may follow which.

    .. math:: e_t = W \\, \\mathrm{BiLSTM}(x)_t + b

    Before the output, dropout drops a unit at every step of a sentence or at none.

    Source: Huang, Xu and Yu 2015; Lample et al. 2016; Gal and Ghahramani 2016 (one mask for all steps).
    """

    def __init__(
        self,
        input_size: int,  # F, numbers a step
        output_size: int,  # K, tags
        *,
        reader: nn.Module,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        crf: CRF | None,  # None leaves every step alone
    ) -> None:
        super().__init__()
        self.reader = reader
        self.lstm = bilstm_layers(input_size, hidden_size, num_layers, dropout)
        self.dropout = dropout
        self.output = nn.Linear(2 * hidden_size, output_size)
        self.crf = crf

    def forward(self, batch: Batch) -> Tensor:
        """A batch of sentences to the score of each tag at each step, (B, T, K)."""
        states, _ = self.lstm(self.reader(batch), lengths=batch.lengths)  # (B, T, 2H)
        if self.training and self.dropout:
            states = states * dropout(states.new_ones(len(states), 1, states.shape[2]), self.dropout)
        return batch_invariant.linear(self.output, states)  # (B, T, K)


class Layers(BiLSTM):
    """A BiLSTM whose dropout between the layers is drawn as the rest of the network is."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        if not (self.training and self.dropout):
            return super().forward(*arguments, **named)
        with Redirected():
            return super().forward(*arguments, **named)


def bilstm_layers(input_size: int, hidden_size: int, num_layers: int, dropout: float) -> BiLSTM:
    """Layers with dropout between them: of one alone torch would warn."""
    if num_layers == 1:
        return BiLSTM(input_size, hidden_size, batch_first=True)
    return Layers(input_size, hidden_size, num_layers, batch_first=True, dropout=dropout)


def final_pool(states: Tensor, h_n: Tensor) -> Tensor:
    """The last hidden state of both directions (B, T, 2H), (2L, B, H) → (B, 2H)."""
    if states.shape[1] == 1:  # then they are the output, whose gradient is small; that of h_n holds every layer
        return states.squeeze(1)
    return h_n[-2:].transpose(0, 1).flatten(1)


def mean_pool(states: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the valid steps (B, T, C) → (B, C); zero for a sequence without steps."""
    total = (states * valid_steps(lengths, states)[..., None]).sum(dim=1)
    return total / lengths.to(states.device).clamp(min=1)[:, None]


def max_pool(states: Tensor, lengths: Tensor) -> Tensor:
    """Maximum over the valid steps (B, T, C) → (B, C); zero for a sequence without steps."""
    outside = ~valid_steps(lengths, states)[..., None]
    if states.shape[1] == 0:
        return states.new_zeros(states.shape[0], states.shape[2])
    highest = states.masked_fill(outside, -torch.inf).amax(dim=1)
    return highest.masked_fill(lengths.to(states.device)[:, None] == 0, 0.0)


def attention_pool(states: Tensor, lengths: Tensor, scores: Tensor) -> Tensor:
    """Mean over the valid steps weighted by softmax of ``scores`` (B, T): (B, T, C) → (B, C)."""
    # the lowest finite number, not −inf: a sequence without steps would become 0/0
    scores = scores.masked_fill(~valid_steps(lengths, states), torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=1) * valid_steps(lengths, states)
    return (weights[..., None] * states).sum(dim=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": mean_pool, "max": max_pool}
POOLING_NAMES = ("final", *POOLINGS, "attention")
