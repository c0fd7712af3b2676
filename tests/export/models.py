"""The demonstrations' models, fitted in a moment; and their outputs in float64, which exported graphs answer to.

How far a graph may be from them, torch itself says: twice the error of its own layer in float32, and the roundings.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber
from bilstm.data.builtin import boston, digits, sunspots
from bilstm.data.dataset import Dataset
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import dial_tones
from bilstm.export.tasks import written
from bilstm.nn import use_kernel
from tests.laws import ROUNDINGS

SHARE = 0.7  # of the BiLSTM in forecasts, so that there is something to export: so short a series supports none


@lru_cache
def regressor() -> Any:
    model = BiLSTMRegressor(hidden_size=32, num_layers=4, dropout=0.0, batch_size=None, max_epochs=20)
    return model.set_params(schedule="constant", clip_norm=None, validation_fraction=0.0).fit(boston())


@lru_cache
def classifier() -> Any:
    return BiLSTMClassifier(max_epochs=2).fit(digits())


@lru_cache
def tagger() -> Any:
    return BiLSTMTagger(hidden_size=64, max_epochs=2).fit(invented_sentences(400, language="chinese"))


@lru_cache
def forecaster(history: int = 33) -> Any:
    model = BiLSTMForecaster(history=history, horizon=5, season=11, batch_size=64, max_epochs=1, target_as="level")
    model.fit(sunspots())
    model.network_.share.fill_(SHARE)
    return model


@lru_cache
def transcriber() -> Any:
    model = BiLSTMTranscriber(hidden_size=64, num_layers=2, mels=24, stack=1, learning_rate=0.004, max_epochs=2)
    return model.set_params(sample_rate=8000, speed_change=0.0, masks=False).fit(*dial_tones(40))


@lru_cache
def exported(model: Any) -> tuple[bytes, dict[str, Any]]:
    return written(model)


@lru_cache
def session(model: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(exported(model)[0], providers=["CPUExecutionProvider"])


def run(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All results of the exported graph by name."""
    names = [output.name for output in session(model).get_outputs()]
    return dict(zip(names, session(model).run(names, inputs), strict=True))


class Truth:
    """What the network gives for a batch in float64, and how far torch's own float32 is from it."""

    def __init__(
        self, model: Any, batch: Any, after: Any = lambda outputs: outputs, exact: Tensor | None = None
    ) -> None:
        """``exact``: values of the batch in float64, where those in float32 are themselves only near the truth."""
        self.value = after(_outputs(copy.deepcopy(model.network_).double(), _doubled(batch, exact)).numpy())
        with use_kernel("torch"):
            torchs = after(_outputs(model.network_, batch).double().numpy())
        self.own_error = float(np.abs(torchs - self.value).max(initial=0.0))

    @property
    def allowed(self) -> float:
        largest = max(1.0, float(np.abs(self.value).max(initial=0.0)))
        return 2 * self.own_error + ROUNDINGS * float(np.finfo(np.float32).eps) * largest


def _outputs(network: Any, batch: Any) -> Tensor:
    with torch.enable_grad():  # then the layers above the BiLSTM are a library's, as in float64
        return network(batch).detach()


def _doubled(batch: Any, exact: Tensor | None) -> Any:
    return (
        batch if batch.forms is not None else replace(batch, values=batch.values.double() if exact is None else exact)
    )


def some_steps(data: Any, lengths: list[int], seed: int = 0) -> Any:
    """Sequences of any lengths of the steps of real data."""
    rows = np.random.default_rng(seed).integers(0, data.steps.height, sum(lengths))
    steps = data.steps.select(pl.all().gather(rows))
    return Dataset(steps, np.array(lengths), is_language=data.is_language)


def some_lengths(B: int, T: int) -> list[int]:
    """Of B rows, the longest of T, some empty, in no order."""
    lengths = np.random.default_rng(B + 100 * T).integers(0, T + 1, B)
    lengths[B // 2] = T
    return lengths.tolist()
