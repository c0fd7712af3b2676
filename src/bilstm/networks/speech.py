"""The network of the transcriber: scores of every character at every step; whole, or block by block for a stream.

Knows batches of numbers; does not know sound, characters, or how scores become text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bilstm.data.batch import Batch
from bilstm.networks import batch_invariant
from bilstm.networks.network import bilstm_layers
from bilstm.nn.lstm import kernels
from bilstm.nn.lstm.calls import weights_of
from bilstm.nn.lstm.equations import Call, Weights
from bilstm.training.host import Dropout, generator

BANDS, WIDEST_BAND = 2, 0.2  # masks over frequencies, and the largest share of the bands that one covers
SPANS, LONGEST_SPAN = 2, 0.2  # masks over time, and the largest share of a recording that one covers
MOST_STEPS = 10  # and never more steps: 0.3 s of three stacked frames, a word or two
State = tuple[Tensor, Tensor]  # h and c (1, B, H) of one layer's forward direction


class SpeechNetwork(nn.Module):
    """BiLSTM layers with K numbers for every step.

    .. math:: e_t = W \\, \\mathrm{BiLSTM}(x)_t + b

    Example:
        >>> from bilstm.data.batch import Sequences
        >>> batch = Sequences(torch.zeros(5, 4).numpy(), [2, 3]).batch([0, 1])
        >>> SpeechNetwork(4, 3, hidden_size=4)(batch).shape
        torch.Size([2, 3, 3])

    Source: Graves and Jaitly 2014; masks: Park et al. 2019; blocks: Zhang et al. 2016 (latency-controlled BiLSTM).
    """

    def __init__(
        self,
        input_size: int,  # F, numbers a step
        output_size: int,  # K, characters and the blank
        *,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        stack: int = 1,  # frames of input_size / stack bands in a step, one behind the other
        masks: bool = False,  # cover random bands and spans in training (SpecAugment without its warping of time)
    ) -> None:
        super().__init__()
        self.stack, self.masks = stack, masks
        self.lstm = bilstm_layers(input_size, hidden_size, num_layers, dropout)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(2 * hidden_size, output_size)

    def forward(self, batch: Batch) -> Tensor:
        """A batch of recordings to the score of each character at each step, (B, T, K)."""
        values = batch.values  # (B, T, F)
        if self.training and self.masks:
            values = masked(values, batch.lengths, self.stack)
        states, _ = self.lstm(values, lengths=batch.lengths)  # (B, T, 2H)
        return batch_invariant.linear(self.output, self.dropout(states))  # (B, T, K)

    def block(self, values: Tensor, count: int, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Scores (B, N, K) of the next ``count`` = N steps of a stream, and each layer's forward state at their end.

        Of each layer the forward direction goes on from the block before; the backward direction starts anew, from
        zero, at the end of the R steps of look-ahead in ``values`` (B, N + R, F). With all that is to come as
        look-ahead the scores are those of the whole. ``states`` is what the block before left.
        """
        x, left = values, []
        for layer, (forward, backward) in enumerate(weights_of(self.lstm)):
            kept, state = _one_way(forward, x[:, :count], None if states is None else states[layer])
            ahead, _ = _one_way(forward, x[:, count:], state)
            behind, _ = _one_way(backward, x.flip(1), None)
            x = torch.cat([torch.cat([kept, ahead], dim=1), behind.flip(1)], dim=2)  # (B, N + R, 2H)
            left.append(state)
        return batch_invariant.linear(self.output, x[:, :count]), left


def _one_way(weights: Weights, x: Tensor, state: State | None) -> tuple[Tensor, State]:
    """One direction of one layer over steps as they stand: (B, T, F) → (B, T, H) and the state at the end."""
    if x.shape[1] == 0:
        assert state is not None
        return x.new_zeros(len(x), 0, weights.hidden.shape[1]), state
    h0, c0 = (None, None) if state is None else state
    output, h_n, c_n = kernels.run(Call(x, h0, c0, [[weights]], None, None))
    return output, (h_n, c_n)


def masked(values: Tensor, lengths: Tensor, stack: int) -> Tensor:
    """Steps (B, T, stack · bands) with random bands and spans set to 0, which is the mean; each row has its own."""
    (rows, steps, width), device = values.shape, values.device
    bands = width // stack
    kept = torch.ones(rows, 1, bands, dtype=torch.bool)
    for _ in range(BANDS):
        kept &= ~_ranges(torch.full((rows,), bands), torch.full((rows,), int(bands * WIDEST_BAND)), bands)[:, None]
    inside = torch.ones(rows, steps, 1, dtype=torch.bool)
    for _ in range(SPANS):
        longest = (lengths * LONGEST_SPAN).long().clamp(max=MOST_STEPS)
        inside &= ~_ranges(lengths, longest, steps)[..., None]
    return values * (kept.repeat(1, 1, stack) & inside).to(device)


def _ranges(sizes: Tensor, longest: Tensor, width: int) -> Tensor:
    """One random range in each row, within its ``sizes`` (B,) and at most ``longest`` (B,): (B, width) of truths."""
    draws = generator(sizes.device)
    lengths = (torch.rand(len(sizes), generator=draws) * (longest + 1)).long()
    first = (torch.rand(len(sizes), generator=draws) * (sizes - lengths + 1)).long()

    place = torch.arange(width)
    return (place >= first[:, None]) & (place < (first + lengths)[:, None])
