"""BiLSTMRegressor: one or more numbers for a table row or a sequence. Knows numeric targets only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import RegressorMixin
from torch import Tensor
from torch.nn.functional import mse_loss

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.encoders import TargetScaler, numeric_targets
from bilstm.data.source import Source
from bilstm.errors import DataError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.inputs import targets_of
from bilstm.estimators.parameters import store
from bilstm.estimators.space import NUMBERS
from bilstm.formatting import listed
from bilstm.metrics.predictions import regression_metrics


class BiLSTMRegressor(RegressorMixin, BiLSTMEstimator):  # type: ignore[misc]
    """Predicts one or more numbers for each sequence with a BiLSTM, by least squares.

    .. math:: \\min_\\theta \\; \\frac1N \\sum_n w_n \\lVert f_\\theta(x_n) - y_n \\rVert^2 / K

    on standardised inputs and targets; scaler and early stopping see training rows only.

    The parameters of the constructor are described at :class:`bilstm.estimators.base.BiLSTMEstimator`.

    Attributes:
        network_: the trained network.
        history_: what training did, a History.
        features_, scaler_: the encoders, fitted on the training rows.

    The trap: a table row is a sequence of *one* step, which never uses the recurrent weights. That is the
    classic way to feed a table to an LSTM, and a fair network; it is just not recurrence that does the work.

    Example:
        >>> from bilstm.data.builtin import boston
        >>> data = boston()
        >>> model = BiLSTMRegressor(max_epochs=2).fit(data)
        >>> model.predict(data.take([0])).shape
        (1,)
    """

    task = "regressor"
    unit = "sequence"
    summary = "One or more numbers for a row or a sequence."
    fit_example = "houses.csv --target price -o houses.bilstm"
    tune_example = "houses.csv --target price --minutes 5 --search hidden_size=32..256 -o houses.bilstm"
    reading = ("target", "drop", "category", "group", "order")
    metric_name = "rmse"
    higher_is_better = False
    space = NUMBERS
    learns_from_streams = True
    seeds_for_small_data = 5
    refits_all_rows = True

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.1,
        input_noise: float = 0.0,
        pooling: str = "final",
        table_as: str = "one step",
        optimizer: str = "adam",
        learning_rate: float = 0.003,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        clip_norm: float | None = 1.0,
        batch_size: int | None = 32,
        max_epochs: int = 200,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        store(self, locals())

    def predict(self, X: Any) -> Array:
        """Predicted numbers in the units and the order of the caller.

        Args:
            X: as in :meth:`fit`; the columns of a Dataset are found by name.

        Returns:
            array: (N,) for one target, (N, K) for several, float64.
        """
        values = self.values(X)
        return values[:, 0] if values.shape[1] == 1 else values

    def values(self, X: Any) -> Array:
        outputs = self.outputs(X)  # first, for it says so where nothing has been fitted
        return self.scaler_.inverse(outputs)  # (N, K)

    def prediction_columns(self, X: Any) -> list[pl.Series]:
        """Predictions as named columns, one a target: ``predicted_medv``."""
        values = self.values(X)
        return [pl.Series(f"predicted_{name}", values[:, k]) for k, name in enumerate(self.target_names_)]

    def _new_encoders(self) -> None:
        super()._new_encoders()
        self.scaler_ = TargetScaler()
        self._extremes: list[Array] = []  # the lowest and the highest value of each target, (1, K) each

    def _update_targets(self, dataset: Dataset) -> None:
        values = np.concatenate([*self._extremes, _target_values(dataset)])
        self._extremes = [values.min(axis=0, keepdims=True), values.max(axis=0, keepdims=True)]

    def _check_targets(self, source: Source) -> None:
        for name, lowest, highest in zip(self.target_names_, *np.concatenate(self._extremes), strict=True):
            if lowest == highest:
                hint = "there is nothing to learn; check the column"
                raise DataError(f"expected target {name!r} to vary, got {lowest:g} in every row ({source})", hint=hint)
        del self._extremes

    def _update_encoders(self, training: Dataset) -> None:
        super()._update_encoders(training)
        self.scaler_.update(targets_of(training), training.source)

    def _targets(self, dataset: Dataset) -> Array:
        return self.scaler_.transform(targets_of(dataset), dataset.source)

    def _head(self) -> int:
        return len(self.scaler_.names)

    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        return mse_loss(outputs, targets, reduction="none").mean(dim=1)  # (B,)

    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        return regression_metrics(_target_values(dataset), self.scaler_.inverse(outputs))

    def describe(self) -> str:
        return f"A regressor: it reads {self.input_words} and predicts {listed(self.target_names_, 4)}."

    def encoders(self) -> dict[str, Any]:
        return super().encoders() | {"scaler": self.scaler_.to_json()}

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        super().restore_encoders(encoders)
        self.scaler_ = TargetScaler.from_json(encoders["scaler"])
        if self.scaler_.names != self.target_names_:
            raise DataError(f"expected scales of {listed(self.target_names_, 4)}, got {listed(self.scaler_.names, 4)}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _target_values(dataset: Dataset) -> Array:
    return numeric_targets(targets_of(dataset), dataset.source)  # (N, K)
