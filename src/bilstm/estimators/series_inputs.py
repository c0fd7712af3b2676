"""How series in any form become the Series that a forecaster needs. Knows names, clocks and forms; no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.builtin import builtin_named
from bilstm.data.dataset import Dataset, is_frame
from bilstm.data.forks import check_polars
from bilstm.data.series.reader import Series, read_series
from bilstm.data.series.table import open_table
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import is_folder
from bilstm.errors import DataError, ParameterError
from bilstm.estimators.inputs import Columns, Readable, builtin_for_fit, one_file

NEAR = 0.1  # by how much of a step the median of other times may differ from it: months have 28 to 31 days


def read_training_series(path: str, like: Dataset | Stream | None, columns: Columns) -> Series:
    """Read series to train on: a file, or a built-in set; see :func:`bilstm.data.series.reader.read_series`."""
    builtin = builtin_for_fit(path, columns)
    if builtin is not None:
        return _series_named(builtin, path)
    if is_folder(path):
        hint = "a regressor, a classifier or a tagger reads a folder piece by piece"
        raise DataError(f"expected one file for a forecaster, got a folder ({path})", hint=hint)
    if like is not None:
        assert isinstance(like, Series)
        return SeriesReader(like, like.read_with).read(path)
    return read_series(
        path,
        target=list(columns.get("target", ())) or None,
        time=columns.get("time"),
        group=columns.get("group"),
        future=columns.get("future", ()),
        drop=columns.get("drop", ()),
    )


def training_series(X: Any, y: Any) -> Series:
    """Series in any form: read, a frame with the names of its targets, arrays."""
    if isinstance(X, Dataset):
        return as_series(X, y)
    if y is None or _are_names(y):
        return read_series(X, target=y)
    frame, names = _together(X, y)
    return read_series(frame, target=names)


@dataclass(frozen=True)
class SeriesReader:
    """Reads newer series as those of training were read."""

    known: Series  # those of training, or their last steps
    read_with: Mapping[str, str]  # which column of their file was what

    def read_file(self, path: Readable) -> Series:
        """A file, or a built-in series by its name."""
        path = one_file(path)
        if isinstance(path, bytes):
            raise DataError("expected a file of series, got bytes (-)", hint="name the file instead of -")
        builtin = builtin_named(path)
        return self.read(path) if builtin is None else _series_named(builtin, str(path))

    def read(self, source: Any) -> Series:
        """A table of any form with the columns of training."""
        return read_series(
            source,
            target=self.known.target_columns,
            future=self.known.future,
            features=self.known.feature_names,
            time=self.read_with.get("time"),
            group=self.read_with.get("group"),
            clock=self.known.clock,
        )

    def to_series(self, X: Any, y: Any) -> Series:
        """Series in any form that ``fit`` takes."""
        if isinstance(X, Dataset):
            return self.aligned(as_series(X, y))
        is_plain = not (isinstance(X, (str, Path)) or is_frame(X) or hasattr(X, "to_frame"))
        if y is not None and not _are_names(y):
            X, _ = _together(X, y)
        elif is_plain:
            X = open_table(X).frame
        if is_plain:
            names = self.known.feature_names
            if X.width != len(names):
                raise DataError(f"expected an array of {len(names)} columns ({', '.join(names)}), got {X.width} (X)")
            X.columns = names
        return self.read(X)

    def aligned(self, series: Series) -> Series:
        """The series on the clock of training, if its targets and its steps are those of training."""
        if series.target_columns != self.known.target_columns:
            raise DataError(
                f"expected targets {', '.join(map(repr, self.known.target_columns))}, got "
                f"{', '.join(map(repr, series.target_columns))} ({series.source})",
                hint="read the series with the targets of training, in their order",
            )
        clock, known = series.clock, self.known.clock
        if clock == known or known.unit == "irregular":
            return series
        if series.times.dtype != self.known.times.dtype or not 1 - NEAR < clock.step / known.step < 1 + NEAR:
            hint = "bring the data to that step first, by sums or means"
            raise DataError(f"expected times in steps of {known.name}, got {clock.name} ({series.source})", hint=hint)
        return replace(series, clock=known)

    def goes_on_in(self, series: Series) -> bool:
        """Whether a series whose steps are counted holds the last ones of training at their places."""
        check_polars("set series beside those of training")
        kept = self.known.is_known.copy()
        kept[self.known.starts] = False  # it may be filled in
        known = _places(self.known.kept(kept))
        return known.join(_places(series), on=known.columns, how="semi").height == known.height


def _series_named(builtin: Dataset, name: str) -> Series:
    if not isinstance(builtin, Series):
        raise ParameterError(f"expected a series, got the built-in set {name!r}", hint="sunspots is one")
    return builtin


def as_series(data: Dataset, y: Any) -> Series:
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
    columns = [f"y{k}" for k in range(len(series.target_columns))]
    targets = pl.from_numpy(np.nan_to_num(series.target_matrix, nan=np.inf), schema=columns)
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
        hint = "name the target: fit(X, y='name')"
        raise DataError(f"expected targets beside X, got a column {twice[0]!r} in both", hint=hint)
    return targets.hstack(beside), targets.columns
