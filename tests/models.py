"""What tests ask of fitted models: whether two are the same, what one held out, and a run that dies on the way."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils import check_random_state

from bilstm import Dataset
from bilstm.training.checkpoint import Checkpoint
from tests.compare import assert_close


class Killed(Exception):
    """The end of a run, as abrupt as it can be inside a process."""


def assert_same_model(a: Any, b: Any) -> None:
    """Equal weights and equal figures of every epoch, bit for bit."""
    assert a.network_.state_dict().keys() == b.network_.state_dict().keys()
    for name, tensor in a.network_.state_dict().items():
        assert_close(tensor, b.network_.state_dict()[name], what=name)
    for name in ("loss", "validation_loss", "metric", "learning_rate", "gradient_norm"):
        assert_close(a.history_[name], b.history_[name], what=name)


def split_as_by_fit(model: Any, data: Dataset) -> tuple[Any, Dataset]:
    """The rows that ``fit`` learns from, and the part that it holds out."""
    seed = int(check_random_state(model.random_state).randint(2**31 - 1))
    return model._split(data, None, seed)


def die_and_go_on(model: Any, *data: Any, after: int) -> list[int]:
    """Fit until the run dies after an epoch, then fit again: the epochs of the second run."""
    save, epochs = Checkpoint.save, []

    def save_and_die(self: Checkpoint, state: Any) -> None:
        save(self, state)
        if state.epoch == after:
            raise Killed

    def save_and_note(self: Checkpoint, state: Any) -> None:
        epochs.append(state.epoch)
        save(self, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            model.fit(*data)
        assert not hasattr(model, "history_")
        patch.setattr(Checkpoint, "save", save_and_note)
        model.fit(*data)
    return epochs
