"""The training loop: one visible function. Knows networks, losses and epochs; does not know tasks or files' formats.

Every epoch draws its randomness (order of rows, dropout) from its own seed, so an interrupted run that goes on
from its last finished epoch ends in the same model as an unbroken one. Several processes train one model by each
working on a share of every batch (workers.py); what is done with the sum of their gradients is then the same in all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from bilstm.data.batch import ALL, Batch, Sequences, unsorted, unsorted_steps
from bilstm.errors import TrainingError
from bilstm.training import workers
from bilstm.training.checkpoint import Checkpoint, State
from bilstm.training.history import History
from bilstm.training.host import drawing, inference

OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "cosine")
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # outputs (B, …), targets (B, …), lengths (B,) → (B,)
PREDICTION_BATCH = 512  # rows at a time, so that memory does not grow with the data
APART = 1_000_003  # between the seeds of two workers: more than there are epochs


class Batches(Protocol):
    """What training learns from: epochs of batches, wherever they come from. Its length counts sequences."""

    def __len__(self) -> int: ...

    def batches(self, batch_size: int | None, seed: int) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch: each sequence once, ``batch_size`` at a time (the last batch may be smaller), in an order drawn
        from the seed; with each batch its targets (B, …) and weights (B,). Of several workers each gets a part of
        every batch, perhaps an empty one, and all get equally many."""
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

    def batches(
        self, batch_size: int | None, seed: int, share: slice | None = None
    ) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """One epoch's batches, their targets (B, …) and weights (B,): everything at once where it fits, in the
        caller's order, else shuffled. Of each batch only the ``share``, be it empty; by default this worker's."""
        share, sequences = workers.share() if share is None else share, self.sequences
        if batch_size is None or batch_size >= len(sequences):
            batch = sequences.whole if share == ALL else sequences.batch(torch.arange(len(sequences))[share])
            yield batch, self.targets_of(batch), self.weights[share]
            return
        for batch in sequences.shuffled(batch_size, torch.Generator().manual_seed(seed), share):
            yield batch, self.targets_of(batch), self.weights[batch.rows]


def train(
    network: nn.Module,
    training: Batches,
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
    keep_interrupted: bool = False,
) -> History:
    """Train a network in place, epoch by epoch, and leave the best weights in it, without validation the last ones.

    Args:
        network: maps a Batch to outputs (B, K).
        metric: outputs (N, K), or (S, K) of every step, of the validation part to one number for the history.
        keep_best_metric: the best epoch is that of the highest metric (of equals that of the lowest loss), not that of
            the lowest validation loss. A CRF's loss grows where it is sure and wrong while its f1 still rises.
        on_infinite: told the rows (in the order of ``training``) whose loss is +inf, since the model rules out their
            targets; they are left out of the step. By default such a loss is an error, like all that is not finite.
        keep_interrupted: a KeyboardInterrupt ends the training where it is, if an epoch is over; else it goes on up.
    """
    parameters = list(network.to(device).parameters())
    vector, sums = joined(parameters)
    gradient, average = sums[:-2], workers.Average(sums)
    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
    # fused, because one pass over the vector takes half of the time of several
    fused = kind([vector], lr=learning_rate, weight_decay=weight_decay, fused=True)
    state = State(network, fused, History(metric_name))
    if checkpoint is not None:
        checkpoint.restore(state)
        if state.epoch > max_epochs:
            raise TrainingError(
                f"expected a checkpoint of at most {max_epochs} epochs, got one of {state.epoch}",
                hint="delete it, or raise max_epochs",
            )
    steps = -(-len(training) // (batch_size or len(training)))

    with until_interrupted(state, keep=keep_interrupted), drawing(seed) as draws:
        for epoch in range(state.epoch + 1, max_epochs + 1):
            if patience is not None and validation is not None and state.epochs_since_best >= patience:
                break
            started = time.perf_counter()
            draws.seed(seed + epoch + workers.rank() * APART)
            workers.copy_first(vector.detach())  # other processors may round otherwise, and drift
            if not network.training:
                network.train()
            lost = weighed = norms = 0.0
            ruled_out: list[Tensor] = []
            for step, (batch, targets, weights) in enumerate(training.batches(batch_size, seed + epoch)):
                rate = learning_rate * rate_factor(schedule, (epoch - 1 + step / steps) / max_epochs)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate
                if len(batch):
                    each = loss(network(batch.to(device)), targets.to(device), batch.lengths)  # (B,)
                else:  # more workers than rows
                    each = weights.to(device)
                if on_infinite is not None and (infinite := each.detach().cpu() == math.inf).any():
                    ruled_out.append(batch.rows[infinite])
                    each, weights = each.masked_fill(infinite.to(device), 0), weights.masked_fill(infinite, 0)
                weight = float(weights.sum())
                differentiate(each @ (weights / max(weight, 1e-12)).to(device), parameters, sums)
                weight = average(weight)
                value, norm = float(sums[-2]), float(gradient.norm())
                guard(epoch, value, norm, network, gradient)
                if clip_norm is not None and norm > clip_norm:
                    gradient *= clip_norm / norm
                state.optimizer.step()
                torch.autograd.graph.increment_version(parameters)  # the step changed them through the vector
                lost, weighed, norms = lost + value * weight, weighed + weight, norms + norm
            if on_infinite is not None and (ruled_out := workers.gathered(ruled_out)):
                on_infinite(torch.cat(ruled_out))
            state.epoch = epoch
            row = {"epoch": epoch, "learning_rate": rate}
            row |= {"loss": lost / max(weighed, 1e-12), "gradient_norm": norms / (step + 1)}
            if validation is not None:
                outputs, each = measure(network, validation, loss, device)  # (N, K), (N,)
                mean_loss = float((each * validation.weights).sum() / validation.weights.sum())
                figure = math.nan if metric is None else metric(outputs.numpy())
                row |= workers.from_first({"validation_loss": mean_loss, "metric": figure})
                if not math.isfinite(row["validation_loss"]):
                    shown = f"{row['validation_loss']} (epoch {epoch})"
                    raise TrainingError(f"expected a finite validation loss, got {shown}", hint=HINT)
                state.keep_if_best(row["metric"] if keep_best_metric else math.nan, row["validation_loss"])
            state.history.add(**row, seconds=time.perf_counter() - started)
            if checkpoint is not None and workers.is_first():
                checkpoint.save(state)
            if on_epoch is not None:
                on_epoch(state.history)

    if state.best is not None:
        network.load_state_dict(state.best)
    for parameter in parameters:  # each has its own memory again, so that it can be saved and copied alone
        parameter.data = parameter.data.clone()
    network.eval()
    return state.history


@contextmanager
def until_interrupted(state: State, *, keep: bool) -> Iterator[None]:
    """Let a KeyboardInterrupt end the epochs inside and no more, if it is to be kept and one of them is over.

    Not of one of several workers, which the others would wait for.
    """
    try:
        yield
    except KeyboardInterrupt:
        state.history.finish_last()
        if not keep or not len(state.history) or workers.count() > 1:
            raise
        state.history.interrupted = True


def measure(network: nn.Module, examples: Examples, loss: Loss, device: torch.device) -> tuple[Tensor, Tensor]:
    """Outputs as :func:`predict` gives them, and the loss of each sequence, (N,); each worker computes a share."""
    losses = torch.zeros(len(examples.sequences))

    def lose(batch: Batch, outputs: Tensor) -> None:
        losses[batch.rows] = loss(outputs, examples.targets_of(batch).to(device), batch.lengths).cpu().float()

    outputs = predict(network, examples.sequences, device, lose, workers.share())
    workers.add_up(losses)
    return outputs, losses


def predict(
    network: nn.Module,
    sequences: Sequences,
    device: torch.device,
    on_batch: Callable[[Batch, Tensor], None] | None = None,
    share: slice = ALL,
) -> Tensor:
    """Outputs (N, K) on the CPU in the order of ``sequences``; (S, K) where a network speaks of every step.

    With a ``share`` less than all, other workers compute the rest.
    """
    if network.training:
        network.eval()
    parts, rows = [], []
    with inference():
        for batch in sequences.in_order(PREDICTION_BATCH, share):
            outputs = network(batch.to(device))
            if on_batch is not None:
                on_batch(batch, outputs)
            parts.append(outputs.cpu())
            rows.append(batch.rows)
        if share != ALL:
            parts, rows = workers.gathered(parts), workers.gathered(rows)
        return unsorted(parts, rows) if parts[0].dim() == 2 else unsorted_steps(parts, rows, sequences.lengths)


def differentiate(value: Tensor, parameters: list[nn.Parameter], sums: Tensor) -> None:
    """The gradient of ``value`` and behind it the value itself, into ``sums``."""
    if value.requires_grad:
        gradients = torch.autograd.grad(value, parameters, materialize_grads=True)
        torch.cat([*(part.flatten() for part in gradients), value.detach()[None]], out=sums[:-1])
    else:
        sums.zero_()


def joined(parameters: list[nn.Parameter]) -> tuple[nn.Parameter, Tensor]:
    """One vector whose parts the parameters become; and its gradient, with room behind it for the loss and its weight.

    The optimiser then makes one call a step, not one a parameter, which is what a small network's epoch consists of.
    """
    vector = nn.Parameter(parameters_to_vector(parameters).detach())
    sums = vector.new_zeros(vector.numel() + 2)
    vector.grad = sums[:-2]
    vector_to_parameters(vector.detach(), parameters)
    return vector, sums


def rate_factor(schedule: str, progress: float) -> float:
    """Share of the learning rate at ``progress`` (0 = start, 1 = end of the last epoch)."""
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


HINT = "try a smaller learning_rate, set clip_norm (for example 1.0), and look for extreme values in the data"


def guard(epoch: int, value: float, norm: float, network: nn.Module, gradient: Tensor) -> None:
    """Stop before a step that would write NaN into the weights."""
    if math.isfinite(value + norm):
        return
    if not math.isfinite(value):
        raise TrainingError(f"expected a finite loss, got {value} (epoch {epoch})", hint=HINT)
    names, parameters = zip(*network.named_parameters(), strict=True)
    parts = torch.split(gradient, [parameter.numel() for parameter in parameters])
    infinite = (name for name, part in zip(names, parts, strict=True) if not part.isfinite().all())
    where = next(infinite, "all parameters together")
    raise TrainingError(f"expected finite gradients, got one that is not in {where} (epoch {epoch})", hint=HINT)
