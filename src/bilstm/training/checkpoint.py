"""The state of a training run after an epoch, and the file it is kept in, from which a killed run goes on.

Knows tensors; not what they train.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bilstm.errors import ModelFileError
from bilstm.files import tensor_file
from bilstm.files.schema import CHECKPOINT, check
from bilstm.training import workers
from bilstm.training.history import History

VERSION = 3


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
            best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
            self.best, self.best_value, self.best_epoch = best, value, self.epoch


class Checkpoint:
    """A file, which need not exist, of a run's state at its last finished epoch.

    That of a run with another fingerprint, a digest of parameters and data, is a ModelFileError.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.facts: dict[str, Any] | None
        saved: tuple[dict[str, Any] | None, dict[str, Tensor]]
        saved = self._read() if workers.is_first() and path.exists() else (None, {})
        self.facts, self.tensors = workers.from_first(saved)  # others may be on machines that lack the file

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        header, tensors = tensor_file.read(self.path)
        if (header.get("checkpoint"), header.get("fingerprint")) != (VERSION, self.fingerprint):
            raise ModelFileError(
                f"expected a checkpoint of this run, got one of other data or parameters ({self.path})",
                hint="delete it to start anew, or choose another checkpoint file",
            )
        check(header.get("facts"), CHECKPOINT, "facts")
        return header["facts"], tensors

    @property
    def epoch(self) -> int:
        """The last finished epoch; 0 at the start of a run."""
        return 0 if self.facts is None else int(self.facts["epoch"])

    def restore(self, state: State) -> None:
        """Bring ``state`` to the last finished epoch, if there is one."""
        if self.facts is None:
            return
        facts, tensors = self.facts, self.tensors
        state.epoch, state.best_epoch = facts["epoch"], facts["best_epoch"]
        if facts["best_value"] is not None:
            metric, loss = facts["best_value"]
            state.best_value, state.best = (metric, loss), part(tensors, "best")
        state.history = History.from_tensor(state.history.metric_name, tensors["history"])
        state.network.load_state_dict(part(tensors, "network"))
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part(tensors, "optimizer").items():
            index, key = name.split(".")
            states.setdefault(int(index), {})[key] = tensor
        state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": states})

    def save(self, state: State) -> None:
        """Write the state after an epoch. Not flushed to the disk: a killed process loses nothing by that."""
        best_value = None if state.best is None else state.best_value
        facts = {"epoch": state.epoch, "best_epoch": state.best_epoch, "best_value": best_value}
        header = {"checkpoint": VERSION, "fingerprint": self.fingerprint, "facts": facts}
        tensor_file.write(self.path, header, tensors_of(state), durable=False)


def tensors_of(state: State) -> dict[str, Tensor]:
    """Every tensor of a training state under a flat name."""
    tensors = {f"network.{name}": t for name, t in state.network.state_dict().items()}
    if state.best is not None:
        tensors |= {f"best.{name}": t for name, t in state.best.items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": t for key, t in values.items()}
    return tensors | {"history": state.history.to_tensor()}


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under ``name.``, without that prefix."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
