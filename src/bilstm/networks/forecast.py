"""The forecaster's network: a linear map of the window, and a BiLSTM for what is not linear.

Knows windows of standardised numbers; does not know dates, units, or what an interval covers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bilstm.data.batch import Batch
from bilstm.networks.network import bilstm_layers, final_pool
from bilstm.training.host import Dropout

LEAST_SCALE = 1e-3  # of a window without changes, as a share of the usual one


class ForecastNetwork(nn.Module):
    """Forecasts the next steps of K targets from a window that ends at the last known step.

    .. math:: \\hat z_{t+j} = z_t + A_j (z_{t-T+1:t} - z_t) + s \\, r_t \\, \\sigma_j u_j(x_{t-T+1:t})

    z are the standardised targets, the first K of the inputs x; u is what a BiLSTM over the window gives. Both
    parts see and give differences to the last known value, so a level that training never saw does no harm
    (reversible normalisation), and a network that knows nothing forecasts the last value.

    The linear map A, the usual sizes σ and the share s in 0…1 are buffers, worked out without gradients.

    Example:
        >>> from bilstm.data.batch import Sequences
        >>> batch = Sequences(torch.randn(20, 3).numpy(), [10, 10]).whole
        >>> network = ForecastNetwork(3, 1, history=10, horizon=4, hidden_size=8)
        >>> bool((network(batch) == batch.values[:, -1:, 0]).all())  # the last value, until it has learned
        True

    Source: the linear path beside a recurrent network is that of Lai, Chang, Yang and Liu 2018 (LSTNet); the difference
        to the last value that of Zeng, Chen, Zhang and Xu 2023 (NLinear) and Kim et al. 2022 (RevIN).
    """

    linear: Tensor
    sizes: Tensor
    inside_size: Tensor
    change_size: Tensor
    share: Tensor
    spread: Tensor

    def __init__(
        self,
        input_size: int,  # F, numbers a step; the first K are the targets
        targets: int,  # K
        *,
        history: int,  # T, steps of a window
        horizon: int,  # h, steps to forecast
        hidden_size: int,
        future_size: int = 0,  # numbers of a step to come that are known ahead
        num_layers: int = 1,
        dropout: float = 0.0,  # between the layers and before the head
        changes: bool = False,  # whether the BiLSTM reads changes from step to step, not distances to the last value
        rescale: bool = False,  # whether a window's changes are measured by their own size r, else r = 1
        levels: int = 0,  # intervals
        with_linear: bool = True,
    ) -> None:
        super().__init__()
        self.targets, self.horizon = targets, horizon
        self.changes, self.rescale, self.with_linear = changes, rescale, with_linear
        self.lstm = bilstm_layers(input_size, hidden_size, num_layers, dropout)
        self.dropout = Dropout(dropout)
        self.hidden = nn.Linear(2 * hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, horizon * targets)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.ahead = _Ahead(future_size, hidden_size, targets) if future_size else None
        self.register_buffer("linear", torch.zeros(history + 1, horizon))  # the last row is the intercept
        self.register_buffer("sizes", torch.ones(horizon, targets))  # of a change over 1…h steps
        self.register_buffer("inside_size", torch.ones(targets))  # of the distance to the last value in a window
        self.register_buffer("change_size", torch.ones(targets))  # of a change over one step
        self.register_buffer("share", torch.ones(()))
        self.register_buffer("spread", torch.zeros(levels, horizon, targets))  # half the width of intervals, over r

    def forward(self, batch: Batch) -> Tensor:
        """A batch of windows to the standardised targets of the steps to come, (B, h·K)."""
        z = batch.values[:, :, : self.targets]  # (B, T, K)
        last = z[:, -1:]  # (B, 1, K)
        scale = self.scale(z)  # (B, 1, K)
        forecast = (last + self.linear_part(z - last)) if self.with_linear else last.repeat(1, self.horizon, 1)
        if torch.compiler.is_compiling() or self.share > 0:  # a compiler cannot look; what it adds is then 0
            forecast = forecast + self.share * scale * self.sizes * self.learned_part(batch, z, last, scale)
        return forecast.flatten(1)

    def scale(self, z: Tensor) -> Tensor:
        """r: the size of a window's changes as a share of the usual one, (B, 1, K)."""
        return self.restlessness(z) if self.rescale else torch.ones_like(z[:, :1])

    def width(self, z: Tensor) -> Tensor:
        """How wide an interval is beside the usual one, (B, 1, K).

        Its square is two thirds of the window's own variance and a third of the usual; all its own with ``rescale``.
        A window tells its own variance badly and the past no longer tells it well; series of different sizes have
        nothing usual.
        """
        own = self.restlessness(z)
        return own if self.rescale else ((2 * own.square() + 1) / 3).sqrt()

    def restlessness(self, z: Tensor) -> Tensor:
        """The root mean square of a window's changes as a share of the usual one, (B, 1, K)."""
        square = (z.diff(dim=1) / self.change_size).square().mean(dim=1, keepdim=True)
        return square.clamp(min=LEAST_SCALE**2).sqrt()  # in this order no gradient divides by zero

    def linear_part(self, distances: Tensor) -> Tensor:
        """Distances to the last value (B, T, K) to the changes to come, (B, h, K); all targets share one map."""
        return torch.einsum("btk,th->bhk", distances, self.linear[:-1]) + self.linear[-1, :, None]

    def learned_part(self, batch: Batch, z: Tensor, last: Tensor, scale: Tensor) -> Tensor:
        """What the BiLSTM adds, in units of the usual change, (B, h, K)."""
        if self.changes:
            own = torch.cat([torch.zeros_like(last), z.diff(dim=1)], dim=1) / self.change_size
        else:
            own = (z - last) / self.inside_size
        steps = torch.cat([own / scale, batch.values[:, :, self.targets :]], dim=2)  # (B, T, F)
        states, (h_n, _) = self.lstm(steps, lengths=batch.lengths)
        hidden = self.hidden(self.dropout(final_pool(states, h_n))).relu()  # (B, H)
        learned: Tensor = self.output(self.dropout(hidden)).unflatten(1, (self.horizon, self.targets))
        if self.ahead is not None:
            assert batch.future is not None
            learned = learned + self.ahead(hidden, batch.future)
        return learned


class _Ahead(nn.Module):
    """What the columns known ahead say of each step to come, given what the window said."""

    def __init__(self, future_size: int, hidden_size: int, targets: int) -> None:
        super().__init__()
        self.future = nn.Linear(future_size, hidden_size)
        self.window = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, targets)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, hidden: Tensor, future: Tensor) -> Tensor:
        """(B, H) and (B, h, F') → (B, h, K)."""
        result: Tensor = self.output((self.window(hidden).unsqueeze(1) + self.future(future)).relu())
        return result
