"""What a forecaster does with data: series in any form, windows of them, the split in time. Knows no network."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.leaks import find_leaks
from bilstm.data.series import Series, read_series
from bilstm.data.windows import Windows, cut
from bilstm.errors import DataError, DataWarning
from bilstm.estimators.base import BiLSTMEstimator


class SeriesEstimator(BiLSTMEstimator):
    """Base of the estimator that reads series; not for direct use."""

    history: int
    horizon: int
    season: int | None

    season_: int | None
    known_: Series  # the last steps that fit was given

    def read(self, path: str | Path, *, with_targets: bool = False) -> Series:
        """Read a newer file of the series as this model needs it; see :func:`bilstm.data.series.read_series`."""
        return self._series_of(path, None, like=True)

    def _training_data(self, X: Any, y: Any) -> Windows:
        series = self._series_of(X, y)
        for found in find_leaks(
            series.steps.to_numpy(),
            series.steps.columns,
            list(series.goals),
            list(series.future),
            series.lengths,
            self.horizon,
        ):
            warnings.warn(f"{found} ({series.source})", DataWarning, stacklevel=4)
        self.feature_names_ = series.steps.columns
        self.n_features_in_ = len(self.feature_names_)
        self.target_names_ = list(series.goals)
        self.read_with_ = dict(series.read_with)
        self.season_ = self.season if self.season is not None else series.clock.season
        self.known_ = series.ending(self.history)
        return cut(series, self.history, self.horizon)

    def _series_of(self, X: Any, y: Any, *, like: bool = False) -> Series:
        """Series in any form: read, a frame with the names of its targets, arrays."""
        if isinstance(X, Series):
            return X
        if like:
            future = [name for name in self.feature_names_ if name in self.known_.future]
            return read_series(
                X,
                target=list(self.target_names_),
                future=future,
                features=self.feature_names_,
                time=self.read_with_.get("time"),
                group=self.read_with_.get("group"),
                clock=self.known_.clock,
            )
        if y is None or isinstance(y, str) or (isinstance(y, (list, tuple)) and all(isinstance(n, str) for n in y)):
            return read_series(X, target=y)
        values = np.asarray(y, dtype=np.float64)
        beside = np.asarray(X, dtype=np.float64)
        names = ["y"] if values.ndim == 1 else [f"y{k}" for k in range(values.shape[1])]
        frame = pl.from_numpy(values.reshape(len(values), -1), schema=names)
        others = pl.from_numpy(beside.reshape(len(beside), -1)).rename(lambda name: name.replace("column_", "x"))
        return read_series(pl.concat([frame, others], how="horizontal"), target=names)

    def _like_training(self, X: Any, y: Any) -> Series:
        if isinstance(X, Series):
            return X
        if isinstance(X, np.ndarray) or (isinstance(X, (list, tuple)) and y is None):
            X = np.asarray(X, dtype=np.float64)
            X = pl.from_numpy(X.reshape(len(X), -1), schema=self.feature_names_)
        return self._series_of(X, y, like=True)

    def _check_targets(self, dataset: Dataset) -> None:
        assert isinstance(dataset, Windows)
        for k, name in enumerate(dataset.target_names):
            values = dataset.cut_from.goal_values[:, k]
            if np.nanmin(values) == np.nanmax(values):
                raise DataError(
                    f"expected target {name!r} to vary, got {np.nanmin(values):g} at every step ({dataset.source})",
                    hint="there is nothing to learn; check the column",
                )

    def _with_targets(self, dataset: Dataset) -> Windows:
        """Windows behind what training saw."""
        if isinstance(dataset, Windows):
            return dataset
        if not isinstance(dataset, Series):
            raise DataError(f"expected a series, got another Dataset ({dataset.source})", hint="use read_series")
        windows = cut(dataset, self.history, self.horizon)
        if "time" not in self.read_with_:
            return windows
        newer = windows.after(self.known_.known_times.max())
        if newer.any():
            return windows.take(newer)
        warnings.warn(
            f"all of these steps were known to fit (until {self.known_.known_times.max()!s}): the figures flatter "
            f"({dataset.source})",
            DataWarning,
            stacklevel=3,
        )
        return windows

    def _split(self, dataset: Dataset, validation: Any, seed: int) -> tuple[Array, Dataset | None]:
        """The last part of the time is held out; windows that would reach into both parts are in none."""
        assert isinstance(dataset, Windows)
        everything = np.arange(len(dataset))
        if validation is not None:
            pair = validation if isinstance(validation, tuple) else (validation, None)
            return everything, cut(self._like_training(*pair), self.history, self.horizon)
        if self.validation_fraction == 0:
            return everything, None
        clocked = dataset.cut_from.known_times
        start = clocked[min(math.ceil(len(clocked) * (1 - self.validation_fraction)), len(clocked) - 1)]
        rows, others = dataset.before(start), dataset.between(start)
        if not rows.any() or not others.any():
            part = "training" if not rows.any() else "validation"
            raise DataError(
                f"expected a {part} part that holds a window of {self.history} steps and {self.horizon} to come, got "
                f"{len(clocked)} steps in all ({dataset.source})",
                hint="choose a shorter history or horizon, or another validation_fraction",
            )
        return np.flatnonzero(rows), dataset.take(others)
