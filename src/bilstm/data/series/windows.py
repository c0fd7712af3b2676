"""Windows of a series: what was known at a moment, and what came after it. Nothing here looks past that moment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.errors import DataError, warn


@dataclass(frozen=True, kw_only=True)
class Windows(Dataset):
    """W windows of ``history`` steps of a series: a Dataset whose sequences overlap, and share the series' steps.

    Window n is made of the steps ``ends[n] − history + 1 … ends[n]``; the steps ``ends[n] + 1 … ends[n] + horizon`` are
    what is to be forecast. It is cut by :func:`cut`.
    """

    series: Series
    ends: Array  # row of ``steps`` of the last known step of each window, (W,)
    history: int
    horizon: int

    @cached_property
    def series_starts(self) -> Array:
        """Row of ``steps`` at which the series of each window begins, (W,)."""
        firsts = self.series.starts
        return firsts[np.searchsorted(firsts, self.ends, side="right") - 1]

    @cached_property
    def rows_behind(self) -> Array:
        """Rows of what is to be forecast, (W, horizon)."""
        return self.ends[:, None] + 1 + np.arange(self.horizon)

    @cached_property
    def following(self) -> Array:
        """What came behind each window, (W, horizon, K) in the caller's units, NaN where it is not known."""
        return self.series.target_matrix[self.rows_behind]

    @cached_property
    def covered(self) -> Array:
        """Which steps of the series a window or what it forecasts touches, (S,) of truth values."""
        change = np.zeros(self.steps.height + 1, dtype=np.int64)
        np.add.at(change, self.starts, 1)
        np.add.at(change, self.ends + self.horizon + 1, -1)
        return np.cumsum(change)[:-1] > 0

    @property
    def names(self) -> pl.Series | None:
        """The name of the series of each window, (W,), or None where there is one without a name."""
        if self.ids is None:
            return None
        return self.ids.gather(np.searchsorted(self.series.starts, self.ends, side="right") - 1)

    def before(self, time: Any) -> Array:
        """Which windows are over, with all that they forecast, before a time: a mask (W,)."""
        mask: Array = (self.series.times.gather(self.rows_behind[:, -1]) < time).to_numpy()
        return mask

    def after(self, time: Any) -> Array:
        """Which windows forecast nothing up to a time: a mask (W,)."""
        mask: Array = (self.series.times.gather(self.rows_behind[:, 0]) > time).to_numpy()
        return mask

    def between(self, start: Any, stop: Any = None) -> Array:
        """Which windows forecast nothing before ``start``, and nothing at ``stop`` or later: a mask (W,)."""
        mask: Array = (self.series.times.gather(self.rows_behind[:, 0]) >= start).to_numpy()
        return mask if stop is None else mask & self.before(stop)

    @property
    def is_table(self) -> bool:
        """A window is a sequence, even one of a single step."""
        return False

    @property
    def target_names(self) -> list[str]:
        """Columns that are forecast."""
        return list(self.series.target_columns)

    def take(self, rows: Sequence[int] | Array) -> Windows:
        """The windows at positions ``rows``, in that order; or those where a mask (W,) is true."""
        return windows_at(self.series, self.ends[np.asarray(rows)], self.history, self.horizon)

    def renamed(self, names: Sequence[str]) -> Windows:
        """The same windows with the columns of ``steps`` called ``names``, position by position."""
        return windows_at(self.series.renamed(names), self.ends, self.history, self.horizon)

    def fingerprint(self) -> str:
        """A digest of the series and of the places of the windows."""
        digest = hashlib.sha256(self.series.fingerprint().encode())
        digest.update(self.ends.tobytes())
        return digest.hexdigest()


def cut(series: Series, history: int, horizon: int, *, at_end: bool = False) -> Windows:
    """All windows of all series that have ``horizon`` steps behind them; or ``at_end`` the last one of each series.

    They stand in the order of the series and in time. Their series is longer by ``horizon`` steps without values, so
    that what stands behind a window is always of its own series.
    """
    series = series.prolonged(horizon)
    known = series.is_known
    needed = history if at_end else history + horizon
    ends, longest, short = [np.zeros(0, dtype=np.int64)], 0, 0
    for start, length in zip(series.starts, series.lengths, strict=True):
        inside = np.flatnonzero(known[start : start + length])
        steps = int(inside[-1]) + 1 if len(inside) else 0  # behind it nothing is known but columns known ahead
        longest, short = max(longest, steps), short + (steps < needed)
        if steps >= needed:
            last = start + steps - 1
            ends.append(np.arange(last if at_end else start + history - 1, last + 1 if at_end else last - horizon + 1))
    if longest < needed:
        made_of = f"history {history}" if at_end else f"history {history} + horizon {horizon}"
        message = f"expected a series of at least {needed} steps ({made_of}), got {longest} ({series.source})"
        raise DataError(message, hint="choose a shorter history or horizon, or bring a longer series")
    if short:
        counts = f"{short} of {len(series)} series have fewer than {needed} steps"
        warn(f"{counts} and are left out ({series.source})", stacklevel=3)
    return windows_at(series, np.concatenate(ends), history, horizon)


def windows_at(series: Series, ends: Array, history: int, horizon: int) -> Windows:
    """The windows whose last known steps are the rows ``ends`` of the series."""
    ends = np.asarray(ends, dtype=np.int64)
    return Windows(
        steps=series.steps,
        lengths=np.full(len(ends), history),
        first_rows=ends - history + 1,
        ids=series.ids,
        source=series.source,
        read_with=series.read_with,
        series=series,
        ends=ends,
        history=history,
        horizon=horizon,
    )
