"""BiLSTMForecaster: the next steps of a series, with intervals, beside what simple rules would say.

Knows the order of the work; what series it takes series_inputs.py says, how they become numbers
data/series/encoder.py, what is worked out without training forecast_calibration.py, how forecasts are judged
forecasts.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import polars as pl
import polars.selectors
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array, matrix_of
from bilstm.data.dataset import Dataset
from bilstm.data.forks import check_polars
from bilstm.data.series.encoder import VIEWS, SeriesEncoder
from bilstm.data.series.leaks import find_leaks
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows, cut
from bilstm.data.stream import Stream
from bilstm.errors import DataError, ParameterError, record_warnings, warn
from bilstm.estimators.base import NAMED, BiLSTMEstimator
from bilstm.estimators.forecast_calibration import calibrate, initialise, judged
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.estimators.inputs import Columns, Readable
from bilstm.estimators.parameters import store
from bilstm.estimators.series_inputs import SeriesReader, as_series, read_training_series, training_series
from bilstm.estimators.space import SERIES, Choices, Space
from bilstm.formatting import counted, listed, percent, written_time
from bilstm.metrics.forecasts import mase_scale
from bilstm.networks.forecast import ForecastNetwork
from bilstm.training.progress import say

PROBE = 8  # one in so many epochs is spent on each way to see the target, to choose among them


class BiLSTMForecaster(BiLSTMEstimator):
    """Forecasts the next steps of one or many series from the steps before, with intervals.

    .. math:: \\hat z_{t+j} = z_t + A_j (z_{t-T+1:t} - z_t) + s \\, \\sigma_j u_j(x_{t-T+1:t}), \\quad j = 1 \\dots h

    A is a ridge regression, u a BiLSTM over the window, s in 0…1 the share of it that the validation part supports. The
    BiLSTM reads only the window, in both directions: all of it is past when the forecast is made. Nothing is fitted on
    steps that are to be forecast.

    Args:
        history: steps that a forecast is made from.
        horizon: steps to forecast.
        target_as: level, difference or log-return: how the BiLSTM sees the targets; auto: what validates best.
        linear: add the ridge regression; without it the BiLSTM alone moves the forecast from the last value.
        rescale: measure each window by the size of its own changes; none does so where there are several series.
        calendar: tell the hour, the day of the week and the season, where the steps have them.
        season: steps of a season, for the seasonal naive forecast and MASE; none takes the clock's (24 of hours).
        validation_fraction: last part of the time set aside to stop by, to choose by and to measure intervals on.

    The other parameters are described at :class:`bilstm.estimators.base.BiLSTMEstimator`.

    Attributes:
        target_as_: level, difference or log-return, as given or chosen.
        share_: s, the share of the BiLSTM's part that the validation part supports; 0: a linear model is all there is.
        season_: steps of a season, or None.
        network_: the trained network.
        history_: what training did, a History; a loss of 1 is that of the last value.
        metrics_: of the validation part, beside those of the baselines.

    The trap: the validation part chose the model and the width of its intervals, so it flatters; ``backtest`` does not.

    Example:
        >>> wave = np.sin(np.arange(300) / 5)
        >>> model = BiLSTMForecaster(history=20, horizon=3, max_epochs=2).fit(wave)
        >>> model.predict()["predicted_y"].round(1).to_list()
        [-0.3, -0.5, -0.7]

    Source: see ForecastNetwork; intervals: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018 (split conformal).
    """

    task = "forecaster"
    unit = "window"
    summary = "The next steps of series, with intervals."
    fit_example = "prices.csv --time Date --target Close --history 60 --horizon 5 -o prices.bilstm"
    tune_example = "prices.csv --time Date --target Close --search history=20..60 -o prices.bilstm"
    data_help = "A CSV, Parquet or JSON lines file with a row for every step, or the built-in set sunspots."
    reading = ("time", "target", "group", "future", "drop")
    option_help: ClassVar = {"group": "In a file of several series, the column that names the series of each row."}
    needs_data = False
    figure_name = "forecast"
    backtest_options = ("folds", "steps", "refit")
    metric_name = "mase"
    higher_is_better = False
    space = SERIES
    compare_trials_by = "metric"  # the loss depends on how the targets are seen, the error does not

    target_as: str
    linear: bool
    rescale: bool | None
    calendar: bool
    history: int
    horizon: int
    season: int | None

    encoder_: SeriesEncoder
    target_as_: str
    season_: int | None
    mase_scale_: Array
    known_: Series  # the last steps that fit was given

    def __init__(
        self,
        *,
        history: int = 60,
        horizon: int = 5,
        target_as: str = "auto",
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.2,
        linear: bool = True,
        rescale: bool | None = None,
        calendar: bool = True,
        season: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 0.002,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        clip_norm: float | None = 1.0,
        batch_size: int | None = 128,
        max_epochs: int = 16,
        patience: int | None = 4,
        validation_fraction: float = 0.2,
        random_state: Any = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        store(self, locals())

    def search_space(self, data: Dataset) -> Space:
        """What a search for parameters tries: log-returns of positive targets only, for others have no logarithm."""
        if isinstance(data, Series) and not (data.target_matrix > 0).all():
            return self.space | {"target_as": Choices(("level", "difference"))}
        return self.space

    @property
    def share_(self) -> float:
        """The share of the BiLSTM's part that the validation part supports."""
        return float(self._network.share)

    def describe(self) -> str:
        step = self.known_.clock.name
        clock = "" if "step" in step else f" ({step})"
        ahead = f"predicts the next {counted(self.horizon, 'step')} of {listed(self.target_names_, 4)}"
        return f"A forecaster: it reads the last {self.history} steps{clock} of a series and {ahead}, with intervals."

    def learned_facts(self) -> list[tuple[str, str]]:
        known = self.known_
        until = f"{counted(len(known), 'series')}, until {written_time(known.known_times.max())} ({known.clock.name})"
        kept = f"{percent(self.share_)} is kept: as much as the validation part supports beside the linear map"
        facts = [("series", until), ("targets seen as", self.target_as_), ("the BiLSTM's part", kept)]
        return [*super().learned_facts(), *facts]

    # -- read ----------------------------------------------------------------------------------------------

    @classmethod
    def read_for_fit(cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]) -> Series:
        """Read series to train on: a file, or a built-in set; see :func:`bilstm.data.series.reader.read_series`."""
        return read_training_series(path, like, columns)

    @property
    def _series_reader(self) -> SeriesReader:
        return SeriesReader(self.known_, self.read_with_)

    def read(self, path: Readable, *, with_targets: bool = False, text: str | None = None) -> Series:
        """Read a newer file of the series as this model needs it; see :func:`bilstm.data.series.reader.read_series`."""
        check_is_fitted(self)
        return self._series_reader.read_file(path)

    def to_dataset(self, X: Any, y: Any) -> Series:
        return self._series_reader.to_series(X, y)

    def training_data(self, X: Any, y: Any) -> Windows:
        series = training_series(X, y)
        kinds = list(series.target_columns), list(series.future)
        for leak in find_leaks(matrix_of(series.steps), series.steps.columns, *kinds, series.lengths, self.horizon):
            warn(f"{leak} ({series.source})", stacklevel=4)
        windows = cut(series, self.history, self.horizon)
        self._remember_columns(windows)
        self.season_ = int(self.season) if self.season is not None else series.clock.season
        self.known_ = series.ending(self.history)
        return windows

    def searched_data(self, X: Any, y: Any = None) -> Series:
        return training_series(X, y)

    def check_search(self, space: Space, data: Dataset, validation: Any = None) -> None:
        """A longer history must leave the same windows to compare by."""
        if "history" not in space or not isinstance(data, Series):
            return
        if validation is not None:
            raise ParameterError("expected no search of history beside validation data, got one", hint="fix history")
        histories = space["history"].ends
        windows = [clone(self).set_params(history=one).validation_windows(data) for one in histories]
        counts = {len(cut_windows) for cut_windows in windows if cut_windows is not None}
        if len(counts) > 1:
            raise ParameterError(
                f"expected histories that leave the same held-out windows, got {', '.join(map(str, sorted(counts)))} "
                f"of them ({space['history']})",
                hint="search shorter ones",
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

    def with_targets(self, dataset: Dataset) -> Windows:
        """Windows behind what training saw."""
        if isinstance(dataset, Windows):
            return dataset
        series = self._series_reader.aligned(as_series(dataset, None))
        windows = cut(series, self.history, self.horizon)
        if "time" not in self.read_with_ and not self._series_reader.goes_on_in(series):
            return windows
        newer = windows.after(self.known_.known_times.max())
        if newer.any():
            return windows.take(newer)
        known = f"all of these steps were known to fit (until {self.known_.known_times.max()!s})"
        warn(f"{known}: the figures flatter ({dataset.source})", stacklevel=3)
        return windows

    def _warn_of_unknown_ahead(self, windows: Windows) -> None:
        """Say which columns are known ahead in name only: the steps to come have no values of them."""
        series = windows.series
        rows = np.unique(windows.rows_behind)
        empty = [name for name in series.future if series.steps[name].gather(rows).null_count()]
        if empty:
            lacking = "columns known ahead lack values for steps to come, so their last known ones are taken"
            warn(f"{lacking}: {', '.join(map(repr, empty))} ({series.source})", stacklevel=3)

    def validation_windows(self, series: Series, validation: Any = None) -> Windows | None:
        """The windows that ``fit(series, validation=validation)`` stops by and measures intervals on, or None."""
        held_out = self._split(cut(series, self.history, self.horizon), validation, 0)[1]  # by time, not by chance
        assert held_out is None or isinstance(held_out, Windows)
        return held_out

    # -- predict -------------------------------------------------------------------------------------------

    def predict(self, X: Any = None) -> pl.DataFrame:
        """The next steps after the training series, or after newer ones, in the caller's units.

        Args:
            X: newer series with at least ``history`` steps, in any form that ``fit`` takes; None goes on from the last
                step that ``fit`` was given.

        Returns:
            DataFrame: one row a step: the series (where they have names), the time, ``predicted_NAME``, and the bounds
                ``NAME_low_80``, ``NAME_high_80``, ``NAME_low_95``, ``NAME_high_95``, if there was a validation part.
        """
        check_is_fitted(self)
        series = self.known_ if X is None else self.to_dataset(X, None)
        windows = cut(series, self.history, self.horizon, at_end=True)
        self._warn_of_unknown_ahead(windows)
        forecasts = self.forecasts_of(windows)
        W, h = forecasts.forecast.shape[:2]
        columns = [] if forecasts.series is None else [forecasts.series.gather(np.repeat(np.arange(W), h))]
        columns.append(forecasts.times)
        for k, name in enumerate(forecasts.names):
            columns += forecasts.columns_of(k, name)
        return pl.DataFrame(columns)

    def prediction_columns(self, X: Any = None) -> list[pl.Series]:
        """The columns of :meth:`predict`, with times as files have them."""
        frame = self.predict(X)
        return [self.known_.clock.plain(c) if c.name == self.known_.times.name else c for c in frame.get_columns()]

    def prediction_frame(self, X: Any = None) -> pl.DataFrame:
        """The columns of :meth:`predict` as a table to be written: seven digits, times as files have them."""
        check_polars("make a table of predictions")
        numbers = pl.selectors.float().exclude(self.known_.times.name)
        return pl.DataFrame(self.prediction_columns(X)).with_columns(numbers.round_sig_figs(7))

    def forecasts(self, X: Any, y: Any = None) -> Forecasts:
        """Every forecast that could have been made in a series with what came after it, for figures and a verdict.

        Args:
            X: series that reach behind those of ``fit``; only what lies behind them is judged. Where nothing does, all
                is, with a warning. Arrays whose steps are counted are known again by their values, if they begin as in
                ``fit``; others are taken to be new.
        """
        check_is_fitted(self)
        return self.forecasts_of(self.with_targets(X if isinstance(X, Windows) else self.to_dataset(X, y)))

    def backtest(
        self, X: Any, y: Any = None, *, folds: int = 4, steps: int | None = None, refit: bool = True
    ) -> Forecasts:
        """Walk forward: fit to all before a fold, forecast inside it, go on to the next fold.

        No training window and nothing that it forecasts reaches into its fold, and no forecast reaches from one fold
        into the next.

        Args:
            X: the series, in any form that ``fit`` takes; y: as in ``fit``.
            folds: parts at the end of the time that are forecast.
            steps: steps of a fold; by default a tenth of the series, and at least ``horizon``.
            refit: fit anew before every fold, or once before the first.

        Raises:
            DataError: the horizon is longer than a fold, or nothing is left to train on before the first.
        """
        series = training_series(X, y)
        clocked = series.known_times
        steps = max(self.horizon, len(clocked) // 10) if steps is None else steps
        if steps < self.horizon:
            raise DataError(f"expected folds of at least horizon {self.horizon} steps, got {steps}")
        if len(clocked) < folds * steps + self.history + self.horizon + 2:
            raise DataError(
                f"expected more than {folds} folds of {steps} steps and a window of {self.history} + {self.horizon}, "
                f"got {len(clocked)} steps ({series.source})",
                hint="take fewer or shorter folds, or a shorter history",
            )
        windows = cut(series, self.history, self.horizon)
        limits = [clocked[len(clocked) - k * steps] for k in range(folds, 0, -1)] + [None]
        parts, model = [], None
        for fold, (start, stop) in enumerate(itertools.pairwise(limits)):
            if model is None or refit:
                model = clone(self).set_params(checkpoint=None, verbose=0)
                model.keeps_interrupted = False  # Ctrl-C ends all folds
                with record_warnings(show=fold == 0):  # later folds would say the same again
                    model.fit(series.until(start))
                say(f"fold {fold + 1} of {folds}: fitted to all before {start}", self.verbose)
            inside = windows.take(windows.between(start, stop))
            if len(inside):
                parts.append(replace(model.forecasts_of(inside), folds=np.full(len(inside), fold)))
        return Forecasts.joined(parts)

    def fit_report(self, training: Dataset | Stream, validation: Dataset | None = None) -> str:
        """How the target is seen, what the BiLSTM adds, and the validation part beside simple rules."""
        view = f"the target is seen as {self.target_as_}"
        if validation is None and self.validation_fraction == 0:
            return f"{view}; nothing was held out to measure it by"
        assert isinstance(training, Series)
        with record_warnings(show=False):  # fit has said all of them
            windows = self.validation_windows(training, validation)
            assert windows is not None
            forecasts = self.forecasts(windows)
        return (
            f"{view}; of what the BiLSTM adds {self.share_:.0%} is kept\n"
            f"on the validation part, {forecasts.span(training.clock)}, which chose the model:\n{forecasts.report()}"
        )

    def score(self, X: Any, y: Any = None) -> float:
        """1 − MSE / MSE of the last value: 0 is as good as the last value (or it is perfect), 1 is perfect."""
        metrics = self.forecasts(X, y).metrics
        if metrics["last value mse"] == 0:
            return float(metrics["mse"] == 0)
        return 1 - metrics["mse"] / metrics["last value mse"]

    # -- hooks ---------------------------------------------------------------------------------------------

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

    def _choose(self, training: Dataset, held_out: Dataset | None, seed: int) -> None:
        assert isinstance(training, Windows)
        self.target_as_ = "level" if self.target_as == "auto" else self.target_as
        known = np.where(training.covered[:, None], training.series.target_matrix, np.nan)
        scales = [mase_scale(known, training.series.lengths, season) for season in (self.season_, None)]
        self.mase_scale_ = np.where(np.isnan(scales[0]), scales[1], scales[0])  # of steps where no season is over
        if self.target_as != "auto" or held_out is None:
            return
        assert isinstance(held_out, Windows)
        positive = not any(bool((windows.series.target_matrix <= 0).any()) for windows in (training, held_out))
        errors = {}
        for view in VIEWS if positive else VIEWS[:2]:  # logarithms last
            self.target_as_ = view
            self._fit_encoders(training)
            batches, epochs = self._examples(training), max(1, self.max_epochs // PROBE)
            self.history_ = self._train(batches, training, held_out, seed, max_epochs=epochs)
            errors[view] = self._metric(held_out, self.outputs(held_out))
        del self.history_
        self.target_as_ = min(errors, key=lambda view: errors[view])
        shown = ", ".join(f"{view} {error:.4g}" for view, error in errors.items())
        say(f"the target is seen as {self.target_as_} (MASE of the validation part: {shown})", self.verbose)

    def _fit_encoders(self, training: Dataset) -> None:
        assert isinstance(training, Windows)
        self.encoder_ = SeriesEncoder.fit(training, self.target_as_, use_calendar=self.calendar)

    def encode(self, dataset: Dataset) -> Sequences:
        assert isinstance(dataset, Windows)
        return self.encoder_.sequences(dataset)

    def _targets(self, dataset: Dataset) -> Sequences:
        assert isinstance(dataset, Windows)
        return self.encoder_.targets(dataset)

    def _head(self) -> int:
        return self.horizon * len(self.encoder_.target_columns)

    def build_network(self) -> nn.Module:
        several = len(self.known_) > 1
        return ForecastNetwork(
            self.encoder_.input_size,
            len(self.encoder_.target_columns),
            history=self.history,
            horizon=self.horizon,
            hidden_size=self.hidden_size,
            future_size=self.encoder_.future_size,
            num_layers=self.num_layers,
            dropout=self.dropout,
            changes=self.target_as_ != "level",
            rescale=several if self.rescale is None else self.rescale,
            levels=len(INTERVALS),
            with_linear=self.linear,
        )

    @property
    def _network(self) -> ForecastNetwork:
        assert isinstance(self.network_, ForecastNetwork)
        return self.network_

    def _start(self, training: Dataset, held_out: Dataset | None) -> None:
        assert isinstance(training, Windows)
        assert held_out is None or isinstance(held_out, Windows)
        initialise(self._network, self.encoder_, training, held_out)

    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        known = ~targets.isnan()  # (B, h, K)
        error = (outputs.view_as(targets) - targets.nan_to_num()) * known
        mean = error.square().sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)
        return mean / self._network.sizes.square().mean()  # 1: as good as the last value

    def decode(self, outputs: Array) -> Array:
        """Outputs (W, h·K) in the caller's units, (W, h, K)."""
        return self.encoder_.inverse(outputs.reshape(len(outputs), self.horizon, -1))

    def _metric(self, held_out: Dataset, outputs: Array) -> float:
        assert isinstance(held_out, Windows)
        error = np.abs(self.decode(outputs) - held_out.following)
        return float(np.nanmean(error / np.where(self.mase_scale_ > 0, self.mase_scale_, 1.0)))

    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        assert isinstance(dataset, Windows)
        return self._judged(dataset, outputs).metrics

    def _calibrate(self, held_out: Dataset, outputs: Array) -> Array:
        assert isinstance(held_out, Windows)
        self._network.share.fill_(0.0)
        without = self.outputs(held_out)
        self._network.share.fill_(1.0)
        return calibrate(self._network, self.encoder_, held_out, outputs, without)

    def forecasts_of(self, windows: Windows) -> Forecasts:
        return self._judged(windows, self.outputs(windows))

    def _judged(self, windows: Windows, outputs: Array) -> Forecasts:
        return judged(self._network, self.encoder_, windows, outputs, self.season_, self.mase_scale_)

    # -- model file ----------------------------------------------------------------------------------------

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
        targets = {tuple(self.target_names_), tuple(self.encoder_.target_columns), self.known_.target_columns}
        if len(targets) > 1 or self.mase_scale_.shape != (len(self.target_names_),):
            raise DataError(f"expected targets {self.target_names_} everywhere, got others too")
        if self.known_.feature_names != self.feature_names_ or not {*self.known_.future} <= {*self.feature_names_}:
            raise DataError(f"expected steps of {self.feature_names_}, got {self.known_.feature_names}")
        beside = self.encoder_.beside(self.known_), self.encoder_.known_ahead(self.known_)
        for encoder, frame in zip((self.encoder_.columns, self.encoder_.ahead), beside, strict=True):
            if (encoder.column_names if encoder else []) != frame.columns:
                raise DataError(f"expected an encoder of each of {listed(frame.columns, NAMED)}, got others")
        made = [f"predicted_{name}" for name in self.target_names_]
        made += [
            f"{name}_{end}_{level}" for name in self.target_names_ for end in ("low", "high") for level in INTERVALS
        ]
        ids, time = self.known_.ids, self.known_.times.name
        if {time, "" if ids is None else ids.name} & {*made} or (ids is not None and ids.name == time):
            raise DataError(f"expected another name of a column than those that predict gives, got {time!r}")
        self.encoder_.standardised(self.known_)  # of which logarithms may be taken
        if self.known_.lengths.max(initial=0) < self.history:
            raise DataError(f"expected a series of at least {self.history} steps, got shorter ones")
