"""Windows of a series: what was known at a moment, and what came after it. Nothing here looks past that moment.

Knows where windows begin and end; does not scale, encode or forecast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.errors import DataError, warn


@dataclass(frozen=True)
class Windows(Dataset):
    """A Dataset whose sequences are windows of series: W windows of ``history`` steps that may overlap.

    Window n is made of the steps ``ends[n] − history + 1 … ends[n]``; the steps ``ends[n] + 1 … ends[n] + horizon`` are
    what is to be forecast. It is cut by :func:`cut`.

    Args:
        series: what they are windows of.
        ends: row of ``steps`` of the last known step of each window, (W,).
        history: steps of a window.
        horizon: steps to come.
    """

    series: Series | None = None
    ends: Array | None = None
    history: int = 0
    horizon: int = 0

    def __post_init__(self) -> None:
        """Windows overlap: their lengths need not add up to the steps."""

    @property
    def cut_from(self) -> Series:
        """The series, which every Windows has."""
        assert self.series is not None
        return self.series

    @property
    def last_rows(self) -> Array:
        """``ends``, which every Windows has."""
        assert self.ends is not None
        return self.ends

    @cached_property
    def starts(self) -> Array:
        """Row of ``steps`` at which each window begins, (W,)."""
        return self.last_rows - self.history + 1

    @cached_property
    def series_starts(self) -> Array:
        """Row of ``steps`` at which the series of each window begins, (W,)."""
        firsts = self.cut_from.starts
        found: Array = firsts[np.searchsorted(firsts, self.last_rows, side="right") - 1]
        return found

    @cached_property
    def rows_behind(self) -> Array:
        """Rows of what is to be forecast, (W, horizon)."""
        rows: Array = self.last_rows[:, None] + 1 + np.arange(self.horizon)
        return rows

    @cached_property
    def following(self) -> Array:
        """What came behind each window, (W, horizon, K) in the caller's units, NaN where it is not known."""
        behind: Array = self.cut_from.goal_values[self.rows_behind]
        return behind

    @cached_property
    def covered(self) -> Array:
        """Which steps of the series a window or what it forecasts touches, (S,) of truth values."""
        change = np.zeros(self.steps.height + 1, dtype=np.int64)
        np.add.at(change, self.starts, 1)
        np.add.at(change, self.last_rows + self.horizon + 1, -1)
        touched: Array = np.cumsum(change)[:-1] > 0
        return touched

    @property
    def names(self) -> pl.Series | None:
        """The name of the series of each window, (W,), or None where there is one without a name."""
        if self.ids is None:
            return None
        return self.ids.gather(np.searchsorted(self.cut_from.starts, self.last_rows, side="right") - 1)

    def before(self, time: Any) -> Array:
        """Which windows are over, with all that they forecast, before a time: a mask (W,)."""
        mask: Array = (self.cut_from.times.gather(self.rows_behind[:, -1]) < time).to_numpy()
        return mask

    def after(self, time: Any) -> Array:
        """Which windows forecast nothing up to a time: a mask (W,)."""
        mask: Array = (self.cut_from.times.gather(self.rows_behind[:, 0]) > time).to_numpy()
        return mask

    def between(self, start: Any, stop: Any = None) -> Array:
        """Which windows forecast nothing before ``start``, and nothing at ``stop`` or later: a mask (W,)."""
        times = self.cut_from.times
        mask: Array = (times.gather(self.rows_behind[:, 0]) >= start).to_numpy()
        if stop is not None:
            mask = mask & (times.gather(self.rows_behind[:, -1]) < stop).to_numpy()
        return mask

    @property
    def is_table(self) -> bool:
        """A window is a sequence, even one of a single step."""
        return False

    @property
    def target_names(self) -> list[str]:
        """Columns that are forecast."""
        return list(self.cut_from.goals)

    def take(self, rows: Sequence[int] | Array) -> Windows:
        """The windows at positions ``rows``, in that order; or those where a mask (W,) is true."""
        ends = self.last_rows[np.asarray(rows)]
        return replace(self, ends=ends, lengths=np.full(len(ends), self.history))

    def fingerprint(self) -> str:
        """A digest of the series and of the places of the windows."""
        digest = hashlib.sha256(self.cut_from.fingerprint().encode())
        digest.update(self.last_rows.tobytes())
        return digest.hexdigest()


def cut(series: Series, history: int, horizon: int, *, at_end: bool = False) -> Windows:
    """All windows of all series that have ``horizon`` steps behind them; or the last one of each series.

    Args:
        series: one or many.
        history: steps of a window.
        horizon: steps to come.
        at_end: the window that ends at the last step with a known target of each series.

    Returns:
        Windows: in the order of the series and in time. Their series is longer by ``horizon`` steps without values, so
            that what stands behind a window is always of its own series.

    Raises:
        DataError: no series is long enough.
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
        coming = "" if at_end else f" + horizon {horizon}"
        raise DataError(
            f"expected a series of at least {needed} steps (history {history}{coming}), "
            f"got {longest} ({series.source})",
            hint="choose a shorter history or horizon, or bring a longer series",
        )
    if short:
        warn(
            f"{short} of {len(series.lengths)} series have fewer than {needed} steps and are left out "
            f"({series.source})",
            stacklevel=3,
        )
    return windows_at(series, np.concatenate(ends), history, horizon)


def windows_at(series: Series, ends: Array, history: int, horizon: int) -> Windows:
    """The windows whose last known steps are the rows ``ends`` of the series."""
    return Windows(
        steps=series.steps,
        lengths=np.full(len(ends), history),
        ids=series.ids,
        source=series.source,
        read_with=series.read_with,
        series=series,
        ends=np.asarray(ends, dtype=np.int64),
        history=history,
        horizon=horizon,
    )
