"""The training loop: one visible function. Knows networks, losses and epochs; does not know tasks or files' formats.

Every epoch draws its randomness (order of rows, dropout) from its own seed, so an interrupted run that goes on
from its last finished epoch ends in the same model as an unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bilstm.checkpoint import Checkpoint
from bilstm.data.batch import Batch, Sequences, unsorted, unsorted_steps
from bilstm.errors import TrainingError
from bilstm.history import History

OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "cosine")
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # outputs (B, …), targets (B, …), lengths (B,) → (B,)
PREDICTION_BATCH = 512  # rows at a time, so that memory does not grow with the data


class Supply(Protocol):
    """What training learns from: epochs of batches, wherever they come from. Its length counts sequences."""

    def __len__(self) -> int: ...

    def batches(self, batch_size: int | None, seed: int) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch: each sequence once, ``batch_size`` at a time (the last batch may be smaller), in an order drawn
        from the seed; with each batch its targets (B, …) and weights (B,)."""
        ...


@dataclass(frozen=True)
class Examples:
    """Sequences with their encoded targets and weights (N,), all in one order.

    Targets are (N, …), one a sequence; or (S,), one a step; or the steps that follow each sequence, as Sequences.
    """

    sequences: Sequences
    targets: Tensor | Sequences
    weights: Tensor
    each_step: bool = False

    def __len__(self) -> int:
        return len(self.sequences)

    def targets_of(self, batch: Batch) -> Tensor:
        """The targets of a batch: (B, …), or (B, T) with zeros behind the ends for one a step, or (B, h, K)."""
        if isinstance(self.targets, Sequences):
            return self.targets.padded(self.targets.matrix, batch.rows)
        return self.sequences.padded(self.targets, batch.rows) if self.each_step else self.targets[batch.rows]

    def batches(self, batch_size: int | None, seed: int) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch's batches, their targets (B, …) and weights (B,): everything at once where it fits, in the
        caller's order, else shuffled."""
        if batch_size is None or batch_size >= len(self.sequences):
            yield self.sequences.whole, self.targets_of(self.sequences.whole), self.weights
            return
        for batch in self.sequences.shuffled(batch_size, torch.Generator().manual_seed(seed)):
            yield batch, self.targets_of(batch), self.weights[batch.rows]


def train(
    network: nn.Module,
    training: Supply,
    validation: Examples | None,
    *,
    loss: Loss,
    metric: Callable[[np.ndarray[Any, Any]], float] | None,
    metric_name: str,
    keep_best_metric: bool = False,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    schedule: str,
    clip_norm: float | None,
    batch_size: int | None,
    max_epochs: int,
    patience: int | None,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[History], None] | None = None,
    on_infinite: Callable[[Tensor], None] | None = None,
) -> History:
    """Train a network in place, epoch by epoch, and leave the best weights in it.

    Args:
        network: maps a Batch to outputs (B, K).
        training: what to learn from.
        validation: what to stop by; without it the last epoch's weights are kept.
        loss: outputs (B, K), targets (B, …) and lengths (B,) to one loss a row, (B,).
        metric: outputs (N, K), or (S, K) of every step, of the validation part to one number for the history, or None.
        keep_best_metric: the best epoch is that of the highest metric (of equals that of the lowest loss), not that of
            the lowest validation loss. A CRF's loss grows where it is sure and wrong while its f1 still rises.
        optimizer: ``adam`` or ``adamw``; the others are the estimator's parameters of the same name.
        checkpoint: where the state is written after every epoch and read from at the start.
        on_infinite: told the rows (in the order of ``training``) whose loss is +inf, since the model rules out their
            targets; they are left out of the step. By default such a loss is an error.

    Returns:
        History: one row an epoch.

    Raises:
        TrainingError: a loss, gradient or validation loss is not finite; says which, and when.
    """
    parameters = list(network.to(device).parameters())
    vector, gradient = joined(parameters)
    state = State(network, make_optimizer(optimizer, vector, learning_rate, weight_decay), History(metric_name))
    if checkpoint is not None:
        checkpoint.restore(state)
        if state.epoch > max_epochs:
            raise TrainingError(
                f"expected a checkpoint of at most {max_epochs} epochs, got one of {state.epoch}",
                hint="delete it, or raise max_epochs",
            )
    steps = -(-len(training) // (batch_size or len(training)))

    for epoch in range(state.epoch + 1, max_epochs + 1):
        if patience is not None and validation is not None and state.epochs_since_best >= patience:
            break
        started = time.perf_counter()
        seed_generators(seed + epoch, device)
        if not network.training:
            network.train()
        lost = weighed = norms = 0.0
        for step, (batch, targets, weights) in enumerate(training.batches(batch_size, seed + epoch)):
            rate = learning_rate * rate_factor(schedule, (epoch - 1 + step / steps) / max_epochs)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            outputs = network(batch.to(device))  # (B, K)
            each = loss(outputs, targets.to(device), batch.lengths)  # (B,)
            if on_infinite is not None and (ruled_out := each.detach().cpu() == math.inf).any():
                on_infinite(batch.rows[ruled_out])
                each, weights = each.masked_fill(ruled_out.to(device), 0), weights.masked_fill(ruled_out, 0)
            weight = float(weights.sum())
            value = each @ (weights / max(weight, 1e-12)).to(device)
            gradients = torch.autograd.grad(value, parameters, materialize_grads=True)
            torch.cat([part.flatten() for part in gradients], out=gradient)
            norm = float(gradient.norm())
            guard(epoch, value.item(), norm, network, gradients)
            if clip_norm is not None and norm > clip_norm:
                gradient *= clip_norm / norm
            state.optimizer.step()
            torch.autograd.graph.increment_version(parameters)  # the step changed them through the vector
            lost, weighed, norms = lost + value.item() * weight, weighed + weight, norms + norm
        state.epoch = epoch
        row = {
            "epoch": epoch,
            "loss": lost / max(weighed, 1e-12),
            "learning_rate": rate,
            "gradient_norm": norms / steps,
        }
        if validation is not None:
            outputs, each = measure(network, validation, loss, device)  # (N, K), (N,)
            row["validation_loss"] = float((each * validation.weights).sum() / validation.weights.sum())
            row["metric"] = math.nan if metric is None else metric(outputs.numpy())
            guard_validation(epoch, row["validation_loss"])
            state.keep_if_best(row["metric"] if keep_best_metric else math.nan, row["validation_loss"])
        state.history.add(**row, seconds=time.perf_counter() - started)
        if checkpoint is not None:
            checkpoint.save(state)
        if on_epoch is not None:
            on_epoch(state.history)

    if state.best is not None:
        network.load_state_dict(state.best)
    separate(parameters)
    network.eval()
    return state.history


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


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed what dropout and noise draw from. torch.manual_seed itself formats stack traces: 0.1 to 0.5 ms an epoch."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def measure(network: nn.Module, examples: Examples, loss: Loss, device: torch.device) -> tuple[Tensor, Tensor]:
    """Outputs as :func:`predict` gives them, and the loss of each sequence, (N,)."""
    losses = torch.zeros(len(examples.sequences))

    def lose(batch: Batch, outputs: Tensor) -> None:
        losses[batch.rows] = loss(outputs, examples.targets_of(batch).to(device), batch.lengths).cpu().float()

    return predict(network, examples.sequences, device, lose), losses


def predict(
    network: nn.Module,
    sequences: Sequences,
    device: torch.device,
    on_batch: Callable[[Batch, Tensor], None] | None = None,
) -> Tensor:
    """Outputs (N, K) on the CPU in the order of ``sequences``; (S, K) where a network speaks of every step."""
    if network.training:
        network.eval()
    parts, rows = [], []
    with torch.inference_mode():
        for batch in sequences.in_order(PREDICTION_BATCH):
            outputs = network(batch.to(device))
            if on_batch is not None:
                on_batch(batch, outputs)
            parts.append(outputs.cpu())
            rows.append(batch.rows)
        return unsorted(parts, rows) if parts[0].dim() == 2 else unsorted_steps(parts, rows, sequences.lengths)


def joined(parameters: list[nn.Parameter]) -> tuple[nn.Parameter, Tensor]:
    """One vector whose parts the parameters become, and its gradient.

    The optimiser then makes one call a step, not one a parameter, which is what a small network's epoch consists of.
    """
    vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    vector.grad = torch.zeros_like(vector)
    parts = torch.split(vector.detach(), [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.data = part.view_as(parameter)
    return vector, vector.grad


def separate(parameters: list[nn.Parameter]) -> None:
    """Give each parameter its own memory again, so that it can be saved and copied alone."""
    for parameter in parameters:
        parameter.data = parameter.data.clone()


def make_optimizer(name: str, vector: nn.Parameter, rate: float, decay: float) -> torch.optim.Optimizer:
    """Adam or AdamW; fused, because one pass over the vector takes half of the time of several."""
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind([vector], lr=rate, weight_decay=decay, fused=True)


def rate_factor(schedule: str, progress: float) -> float:
    """Share of the learning rate at ``progress`` (0 = start, 1 = end of the last epoch)."""
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


HINT = "try a smaller learning_rate, set clip_norm (for example 1.0), and look for extreme values in the data"


def guard(epoch: int, value: float, norm: float, network: nn.Module, gradients: Sequence[Tensor]) -> None:
    """Stop before a step that would write NaN into the weights."""
    if math.isfinite(value + norm):
        return
    if not math.isfinite(value):
        raise TrainingError(f"expected a finite loss, got {value} (epoch {epoch})", hint=HINT)
    named = zip(network.named_parameters(), gradients, strict=True)
    where = next((name for (name, _), gradient in named if not gradient.isfinite().all()), "all parameters together")
    raise TrainingError(f"expected finite gradients, got one that is not in {where} (epoch {epoch})", hint=HINT)


def guard_validation(epoch: int, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingError(f"expected a finite validation loss, got {value} (epoch {epoch})", hint=HINT)
