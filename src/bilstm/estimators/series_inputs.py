"""What a forecaster does with data: series in any form, windows of them, the split in time. Knows no network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from bilstm.data.builtin import builtin_named
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset, is_frame
from bilstm.data.series.encoder import SeriesEncoder
from bilstm.data.series.leaks import find_leaks
from bilstm.data.series.reader import Series, read_series
from bilstm.data.series.table import open_table
from bilstm.data.series.windows import Windows, cut
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import is_folder
from bilstm.errors import DataError, ParameterError, warn
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.inputs import Columns, Readable, builtin_for_fit, one_file
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.space import Space
from bilstm.formatting import written_time

NEAR = 0.1  # by how much of a step the median of other times may differ from it: months have 28 to 31 days


class SeriesEstimator(BiLSTMEstimator):
    """Base of the estimator that reads series; not for direct use."""

    history: int
    horizon: int
    season: int | None

    encoder_: SeriesEncoder
    target_as_: str
    season_: int | None
    mase_scale_: Array
    known_: Series  # the last steps that fit was given

    @classmethod
    def read_for_fit(cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]) -> Series:
        """Read series to train on: a file, or a built-in set; see :func:`bilstm.data.series.reader.read_series`."""
        builtin = builtin_for_fit(path, columns)
        if builtin is not None:
            return _series_named(builtin, path)
        if is_folder(path):
            hint = "a regressor, a classifier or a tagger reads a folder piece by piece"
            raise DataError(f"expected one file for a {cls.task}, got a folder ({path})", hint=hint)
        if like is not None:
            assert isinstance(like, Series)
            return read_series(
                path,
                target=like.target_columns,
                time=like.read_with.get("time"),
                group=like.read_with.get("group"),
                future=like.future,
                features=like.feature_names,
                clock=like.clock,
            )
        return read_series(
            path,
            target=list(columns.get("target", ())) or None,
            time=columns.get("time"),
            group=columns.get("group"),
            future=columns.get("future", ()),
            drop=columns.get("drop", ()),
        )

    def validation_part(self, validation: Dataset, training: Dataset | Stream) -> Series:
        """The steps of a second file behind those of training, and as many before them as a forecast is made from."""
        assert isinstance(validation, Series)
        assert isinstance(training, Series)
        if "time" not in training.read_with:
            return validation
        known = training.known_times
        newer = validation.kept((validation.times > known[max(len(known) - self.history - 1, 0)]).to_numpy())
        if not len(newer) or not (newer.known_times > known.max()).any():
            raise DataError(
                f"expected steps behind {written_time(known.max())}, the last of the training series, got none "
                f"({validation.source})",
                hint="what stops the training must not be part of it",
            )
        return newer

    def read(self, path: Readable, *, with_targets: bool = False, text: str | None = None) -> Series:
        """Read a newer file of the series as this model needs it; see :func:`bilstm.data.series.reader.read_series`."""
        check_is_fitted(self)
        path = one_file(path)
        if isinstance(path, bytes):
            raise DataError("expected a file of series, got bytes (-)", hint="name the file instead of -")
        builtin = builtin_named(path)
        return self._read_like_training(path) if builtin is None else _series_named(builtin, str(path))

    def training_data(self, X: Any, y: Any) -> Windows:
        series = self.training_series(X, y)
        for found in find_leaks(
            series.steps.to_numpy(),
            series.steps.columns,
            list(series.target_columns),
            list(series.future),
            series.lengths,
            self.horizon,
        ):
            warn(f"{found} ({series.source})", stacklevel=4)
        self.feature_names_ = series.steps.columns
        self.n_features_in_ = len(self.feature_names_)
        self.target_names_ = list(series.target_columns)
        self.read_with_ = dict(series.read_with)
        self.season_ = int(self.season) if self.season is not None else series.clock.season
        self.known_ = series.ending(self.history)
        return cut(series, self.history, self.horizon)

    def training_series(self, X: Any, y: Any) -> Series:
        """Series in any form: read, a frame with the names of its targets, arrays."""
        if isinstance(X, Dataset):
            return _as_series(X, y)
        if y is None or _are_names(y):
            return read_series(X, target=y)
        frame, names = _together(X, y)
        return read_series(frame, target=names)

    def searched_data(self, X: Any, y: Any = None) -> Series:
        return self.training_series(X, y)

    def check_search(self, space: Space, data: Dataset, validation: Any = None) -> None:
        """A longer history must leave the same windows to compare by."""
        if "history" not in space or not isinstance(data, Series):
            return
        if validation is not None:
            raise ParameterError(
                "expected no search of history beside validation data, got one", hint="fix the history"
            )
        histories = space["history"].ends
        windows = [clone(self).set_params(history=one).validation_windows(data) for one in histories]
        counts = {len(found) for found in windows if found is not None}
        if len(counts) > 1:
            raise ParameterError(
                f"expected histories that leave the same held-out windows, got {', '.join(map(str, sorted(counts)))} "
                f"of them ({space['history']})",
                hint="search shorter ones",
            )

    def to_dataset(self, X: Any, y: Any) -> Series:
        if isinstance(X, Dataset):
            return self.aligned(_as_series(X, y))
        is_plain = not (isinstance(X, (str, Path)) or is_frame(X) or hasattr(X, "to_frame"))
        if y is not None and not _are_names(y):
            X, _ = _together(X, y)
        elif is_plain:
            X = open_table(X).frame
        if is_plain:
            names = self.feature_names_
            if X.width != len(names):
                raise DataError(f"expected an array of {len(names)} columns ({', '.join(names)}), got {X.width} (X)")
            X.columns = names
        return self._read_like_training(X)

    def _read_like_training(self, source: Any) -> Series:
        return read_series(
            source,
            target=list(self.target_names_),
            future=[name for name in self.feature_names_ if name in self.known_.future],
            features=self.feature_names_,
            time=self.read_with_.get("time"),
            group=self.read_with_.get("group"),
            clock=self.known_.clock,
        )

    def aligned(self, series: Series) -> Series:
        """The series on the clock of training, if its targets and its steps are those of training."""
        if list(series.target_columns) != self.target_names_:
            raise DataError(
                f"expected targets {', '.join(map(repr, self.target_names_))}, got "
                f"{', '.join(map(repr, series.target_columns))} ({series.source})",
                hint="read the series with the targets of training, in their order",
            )
        clock, known = series.clock, self.known_.clock
        if clock == known or known.unit == "irregular":
            return series
        if series.times.dtype != self.known_.times.dtype or not 1 - NEAR < clock.step / known.step < 1 + NEAR:
            raise DataError(
                f"expected times in steps of {known.name}, got {clock.name} ({series.source})",
                hint="bring the data to that step first, by sums or means",
            )
        return replace(series, clock=known)

    def _update_targets(self, dataset: Dataset) -> None:
        assert isinstance(dataset, Windows)
        for name, column in zip(dataset.target_names, dataset.series.target_matrix.T, strict=True):
            values = column[~np.isnan(column)]
            if not len(values):
                raise DataError(f"expected values of target {name!r}, got none ({dataset.source})")
            if values.min() == values.max():
                raise DataError(
                    f"expected target {name!r} to vary, got {values[0]:g} at every step ({dataset.source})",
                    hint="there is nothing to learn; check the column",
                )

    def with_targets(self, dataset: Dataset) -> Windows:
        """Windows behind what training saw."""
        if isinstance(dataset, Windows):
            return dataset
        series = self.aligned(_as_series(dataset, None))
        windows = cut(series, self.history, self.horizon)
        if "time" not in self.read_with_ and not self._goes_on_in(series):
            return windows
        newer = windows.after(self.known_.known_times.max())
        if newer.any():
            return windows.take(newer)
        warn(
            f"all of these steps were known to fit (until {self.known_.known_times.max()!s}): the figures flatter "
            f"({dataset.source})",
            stacklevel=3,
        )
        return windows

    def _goes_on_in(self, series: Series) -> bool:
        """Whether a series whose steps are counted holds the last ones of training at their places."""
        kept = self.known_.is_known.copy()
        kept[self.known_.starts] = False  # it may be filled in
        known = _places(self.known_.kept(kept))
        return known.join(_places(series), on=known.columns, how="semi").height == known.height

    def _warn_of_unknown_ahead(self, windows: Windows) -> None:
        """Say which columns are known ahead in name only: the steps to come have no values of them."""
        series = windows.series
        rows = np.unique(windows.rows_behind)
        empty = [name for name in series.future if series.steps[name].gather(rows).null_count()]
        if empty:
            warn(
                f"columns known ahead lack values for steps to come, so their last known ones are taken: "
                f"{', '.join(map(repr, empty))} ({series.source})",
                stacklevel=3,
            )

    def validation_windows(self, series: Series, validation: Any = None) -> Windows | None:
        """The windows that ``fit(series, validation=validation)`` stops by and measures intervals on, or None."""
        held_out = self._split(cut(series, self.history, self.horizon), validation, 0)[1]  # by time, not by chance
        assert held_out is None or isinstance(held_out, Windows)
        return held_out

    def _split(self, dataset: Dataset, validation: Any, seed: int) -> tuple[Array, Dataset | None]:
        """The last part of the time is held out; windows that would reach into both parts are in none."""
        assert isinstance(dataset, Windows)
        everything = np.arange(len(dataset))
        if validation is not None:
            pair = validation if isinstance(validation, tuple) else (validation, None)
            return everything, cut(self.to_dataset(*pair), self.history, self.horizon)
        if self.validation_fraction == 0:
            return everything, None
        clocked = dataset.series.known_times
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

    def encoders(self) -> dict[str, Any]:
        return {
            "series": self.encoder_.to_json(),
            "season": self.season_,
            "mase_scale": [None if np.isnan(scale) else float(scale) for scale in self.mase_scale_],
            "known": self.known_.to_json(),
        }

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        self.is_language_ = False
        self.encoder_ = SeriesEncoder.from_json(encoders["series"])
        self.target_as_, self.season_ = self.encoder_.target_as, encoders["season"]
        self.mase_scale_ = np.asarray(encoders["mase_scale"], dtype=np.float64)
        self.known_ = Series.from_json(encoders["known"])
        check_parameters({"season": self.season_})
        goals = {tuple(self.target_names_), tuple(self.encoder_.target_columns), self.known_.target_columns}
        if len(goals) > 1 or self.mase_scale_.shape != (len(self.target_names_),):
            raise DataError(f"expected targets {self.target_names_} everywhere, got others too")
        if self.known_.feature_names != self.feature_names_ or not {*self.known_.future} <= {*self.feature_names_}:
            raise DataError(f"expected steps of {self.feature_names_}, got {self.known_.feature_names}")


def _series_named(builtin: Dataset, name: str) -> Series:
    if not isinstance(builtin, Series):
        raise ParameterError(f"expected a series, got the built-in set {name!r}", hint="sunspots is one")
    return builtin


def _as_series(data: Dataset, y: Any) -> Series:
    """A Dataset, if it is a Series; it holds its targets."""
    if not isinstance(data, Series):
        raise DataError(f"expected a series, got another Dataset ({data.source})", hint="use read_series")
    if y is not None:
        raise DataError(f"expected no y beside a Series, which holds its targets, got one ({data.source})")
    return data


def _places(series: Series) -> pl.DataFrame:
    """The targets of every step, beside the series and the time that they belong to."""
    owner = np.repeat(np.arange(len(series)), series.lengths)
    names = pl.Series(owner.astype(str)) if series.ids is None else series.ids.gather(owner)
    targets = pl.from_numpy(
        np.nan_to_num(series.target_matrix, nan=np.inf), schema=[f"y{k}" for k in range(len(series.target_columns))]
    )
    return targets.with_columns(names.alias("series"), series.times.alias("time"))


def _are_names(y: Any) -> bool:
    """Whether y names columns, rather than being targets itself."""
    return isinstance(y, str) or (isinstance(y, (list, tuple)) and all(isinstance(name, str) for name in y))


def _together(X: Any, y: Any) -> tuple[pl.DataFrame, list[str]]:
    """Targets and what stands beside them as one frame, targets first; and the names of these."""
    targets, others = open_table(y).frame, open_table(X)
    beside = others.frame.rename(lambda name: f"x{name[1:] or 0}") if others.is_array else others.frame
    if targets.height != beside.height:
        raise DataError(f"expected X and y of the same length, got {beside.height} and {targets.height} steps")
    twice = [name for name in targets.columns if name in beside.columns]
    if twice:
        raise DataError(
            f"expected targets beside X, got a column {twice[0]!r} in both", hint="name the target: fit(X, y='name')"
        )
    return targets.hstack(beside), targets.columns
