"""What of a running training is kept at the end of an epoch: weights, optimiser, schedule, random numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bilstm.training.history import History


class State:
    """All that an epoch leaves to the next: weights, the best ones so far, the optimiser, the history."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, history: History) -> None:
        self.network = network
        self.optimizer = optimizer
        self.history = history
        self.epoch = 0
        self.best: dict[str, Tensor] | None = None
        self.best_value = math.inf, math.inf  # the lower the better: minus the metric where it decides; the loss
        self.best_epoch = 0

    @property
    def epochs_since_best(self) -> int:
        return self.epoch - self.best_epoch

    def keep_if_best(self, metric: float, loss: float) -> None:
        """Keep these weights if the metric is higher than before; where it is NaN or equal, if the loss is lower."""
        value = 0.0 if math.isnan(metric) else -metric, loss
        if value < self.best_value:
            self.best_value, self.best_epoch = value, self.epoch
            self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
