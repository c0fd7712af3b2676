"""Series to numbers and back: targets, scaled columns, the calendar. Fitted on training windows only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array, columns_of, frame_of, matrix_of, rows_of
from bilstm.data.encoders import FeatureEncoder, check_scales, is_constant
from bilstm.data.series.clock import calendar
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import Windows
from bilstm.errors import DataError

LOG = "log-return"
VIEWS = ("level", "difference", LOG)
MISSING = " is missing"


class SeriesEncoder:
    """Encodes windows: targets (as they are, or their logarithms) standardised, then all other columns.

    .. math:: z = \\frac{f(y) - \\text{mean}}{\\text{std}}, \\quad f(y) = y \\text{ or } \\log y

    A missing number becomes the last known one of its series, before the first known one the mean; where the training
    steps lacked values of a column, a further one says so. Means and deviations are those of the steps that training
    windows or what they forecast touch.
    """

    def __init__(
        self,
        target_as: str,  # one of VIEWS; of level and difference the values are standardised, else their logarithms
        target_columns: list[str],
        mean: Any = (),  # of each target (or its logarithm) in training, (K,)
        scale: Any = (),  # its deviation, (K,)
        columns: FeatureEncoder | None = None,  # of all columns that are not targets
        ahead: FeatureEncoder | None = None,  # of columns that are known ahead
        span_years: float = 0.0,  # how long the training series last; 0 leaves the calendar out
        flagged: Sequence[str] = (),  # targets that training had gaps in
    ) -> None:
        self.target_as, self.target_columns = target_as, target_columns
        self.mean, self.scale = np.asarray(mean, dtype=np.float64), np.asarray(scale, dtype=np.float64)
        self.columns, self.ahead = columns, ahead
        self.span_years, self.flagged = span_years, list(flagged)

    @classmethod
    def fit(cls, windows: Windows, target_as: str, *, use_calendar: bool) -> SeriesEncoder:
        """Learn means, deviations and which columns there are from training windows."""
        series, covered = windows.series, windows.covered
        known = np.flatnonzero(covered)
        encoder = cls(target_as, list(series.target_columns))
        encoder.span_years = series.clock.years(series.times.filter(covered)) if use_calendar else 0.0
        z = encoder._viewed(series)[covered]
        if (absent := np.isnan(z).all(axis=0)).any():
            name, last = encoder.target_columns[int(absent.argmax())], series.times.filter(covered).max()
            raise DataError(
                f"expected values of target {name!r} in the training part, got none ({series.source}, until {last!s})",
                hint="leave out the steps before its first value",
            )
        encoder.mean, deviation = np.nanmean(z, axis=0), np.nanstd(z, axis=0)
        encoder.scale = np.where(is_constant(encoder.mean, deviation), 1.0, deviation)
        encoder.flagged = [name for name in series.target_columns if series.steps[name][known].null_count()]
        beside, ahead = encoder.beside(series), encoder.known_ahead(series)
        encoder.columns = FeatureEncoder().fit(rows_of(beside, known)) if beside.width else None
        encoder.ahead = FeatureEncoder().fit(rows_of(ahead, known)) if ahead.width else None
        return encoder

    @property
    def input_size(self) -> int:
        """F, numbers of a step."""
        return len(self.target_columns) + (len(self.columns.names) if self.columns else 0)

    @property
    def future_size(self) -> int:
        """F', numbers known ahead of a step."""
        return len(self.ahead.names) if self.ahead else 0

    def sequences(self, windows: Windows) -> Sequences:
        """What the network reads: windows of (T, F), and of (h, F') what is known ahead."""
        series = windows.series
        matrix = z = self.filled(series).astype(np.float32)  # (S, K)
        if self.columns is not None:
            matrix = np.concatenate([z, _encoded(self.columns, self.beside(series), series)], axis=1)
        future = None
        if self.ahead is not None:
            known = _encoded(self.ahead, self.known_ahead(series), series)
            future = Sequences(known, np.full(len(windows), windows.horizon), starts=windows.ends + 1)
        return Sequences(matrix, windows.lengths, starts=windows.starts, future=future)

    def targets(self, windows: Windows) -> Sequences:
        """What the network shall give: the standardised targets behind each window, (h, K), NaN where missing."""
        z = self.standardised(windows.series).astype(np.float32)
        return Sequences(z, np.full(len(windows), windows.horizon), starts=windows.ends + 1)

    def standardised(self, series: Series) -> Array:
        """z, (S, K) in float64, NaN where missing."""
        return (self._viewed(series) - self.mean) / self.scale

    def filled(self, series: Series) -> Array:
        """z with gaps filled by the last known value of the series, 0 before the first, (S, K) in float64."""
        z = self.standardised(series)
        return np.nan_to_num(series.filled(z)) if np.isnan(z).any() else z

    def following(self, windows: Windows) -> Array:
        """z behind each window, (W, h, K) in float64, NaN where missing."""
        return self.standardised(windows.series)[windows.rows_behind]

    def inverse(self, z: Array) -> Array:
        """Standardised targets (…, K) in the caller's units, float64."""
        values = z.astype(np.float64) * self.scale + self.mean
        return np.exp(values) if self.target_as == LOG else values

    def to_json(self) -> dict[str, Any]:
        return {
            "target_as": self.target_as,
            "goals": self.target_columns,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "columns": self.columns and self.columns.to_json(),
            "ahead": self.ahead and self.ahead.to_json(),
            "span_years": self.span_years,
            "flagged": self.flagged,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SeriesEncoder:
        rest = dict(data)
        for name in ("columns", "ahead"):
            rest[name] = None if data[name] is None else FeatureEncoder.from_json(data[name])
        encoder = cls(target_columns=rest.pop("goals"), **rest)
        check_scales(encoder.target_columns, encoder.mean, encoder.scale)
        if encoder.target_as not in VIEWS:
            raise DataError(f"expected targets viewed as one of {', '.join(VIEWS)}, got {encoder.target_as!r}")
        return encoder

    def _viewed(self, series: Series) -> Array:
        values = series.target_matrix
        if self.target_as != LOG:
            return values
        if (values <= 0).any():
            row, k = (int(place) for place in np.argwhere(values <= 0)[0])
            expected = f"values above zero in {self.target_columns[k]!r}, whose logarithm is taken"
            got = f"{values[row, k]:g} ({series.source}, {series.times[row]})"
            raise DataError(f"expected {expected}, got {got}", hint="use target_as='difference' or 'level'")
        return np.log(values)

    def beside(self, series: Series) -> pl.DataFrame:
        """All columns that are not targets: the caller's, the calendar's, and where targets were missing."""
        gaps = np.isnan(matrix_of(columns_of(series.steps, self.flagged))).astype(np.float64)
        others = [name for name in series.steps.columns if name not in self.target_columns]
        flags = frame_of(gaps, [f"{name}{MISSING}" for name in self.flagged])
        return _side_by_side(columns_of(series.steps, others), self._calendar(series), flags)

    def known_ahead(self, series: Series) -> pl.DataFrame:
        """The columns that are known ahead: the caller's, and the calendar's."""
        return _side_by_side(columns_of(series.steps, series.future), self._calendar(series))

    def _calendar(self, series: Series) -> pl.DataFrame:
        return calendar(series.times, series.clock, self.span_years) if self.span_years else pl.DataFrame()


def _side_by_side(*frames: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([column for frame in frames for column in frame.get_columns()])


def root_mean_squares(changes: Sequence[Array]) -> Array:
    """Sizes of changes, (n, K) each with NaN where unknown; 1 where there is none: (len(changes), K)."""
    counts = np.stack([(~np.isnan(change)).sum(axis=0) for change in changes])
    sums = np.stack([np.nansum(np.square(change), axis=0) for change in changes])
    return np.sqrt(np.where((counts > 0) & (sums > 0), sums / np.maximum(counts, 1), 1.0))


def _encoded(encoder: FeatureEncoder, frame: pl.DataFrame, series: Series) -> Array:
    """Columns with their gaps filled from before, and flags that tell where the gaps were."""
    result = encoder.transform(series.forward_filled(frame), series.source)
    flags = [place for place, name in enumerate(encoder.names) if name.endswith(MISSING)]
    if flags:
        result[:, flags] = encoder.transform(frame, series.source)[:, flags]
    return result
