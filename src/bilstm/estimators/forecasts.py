"""Forecasts beside what came and what simple rules said: figures, a table, a verdict. Trains nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.series.clock import Clock
from bilstm.errors import DataError
from bilstm.formatting import written_time
from bilstm.metrics.figures import figures_of, totals
from bilstm.metrics.forecast_comparison import compared, lag_of
from bilstm.metrics.forecasts import (
    coverage_figures,
    forecast_metrics,
    forecast_parts,
    forecast_table,
    lag_sentence,
    verdict,
)

INTERVALS = (80, 95)  # percent


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was forecast at W moments for h steps of K targets, in the caller's units.

    Args:
        names: of the targets.
        series: the name of each moment's series, (W,), or None where there is one without a name.
        origins: when each forecast was made: the last known time, (W,).
        times: when each step is, (W·h,), window by window.
        actual: what came, (W, h, K), NaN where it is not known.
        forecast: (W, h, K).
        lows, highs: bounds of the 80 % and of the 95 % interval, (2, W, h, K), or of none (0, …).
        baselines: name to (W, h, K).
        last: the last known values, (W, K).
        scale: the mean absolute change over a season (or a step) in training, (K,): what MASE counts in.
        starts: row at which the series of each moment begins, (W,), to tell series apart.
        folds: part of the backtest that each moment belongs to, (W,).
    """

    names: list[str]
    series: pl.Series | None
    origins: pl.Series
    times: pl.Series
    actual: Array
    forecast: Array
    lows: Array
    highs: Array
    baselines: dict[str, Array]
    last: Array
    scale: Array
    starts: Array
    folds: Array

    def __len__(self) -> int:
        return len(self.forecast)

    @property
    def horizon(self) -> int:
        """h, steps of a forecast."""
        return int(self.forecast.shape[1])

    @cached_property
    def metrics(self) -> dict[str, float]:
        """``mse``, ``mae``, ``rmse``, ``mase``, ``coverage_80``, ``coverage_95``, direction, baselines', ``n``."""
        figures = forecast_metrics(self.actual, self.forecast, self.baselines, self.scale, last=self.last)
        parts = forecast_parts(self.actual, self.forecast, list(zip(self.lows, self.highs, strict=True)))
        covered = figures_of(coverage_figures(len(self.names), INTERVALS[: len(self.lows)]), totals(parts))
        n = figures.pop("n")
        return figures | covered | {"n": n}

    @property
    def verdict(self) -> str:
        """One sentence: better than the best baseline, no better, or worse, with the figures that say so."""
        scale = None if len(self.names) == 1 else self.scale
        comparisons = {
            name: compared(self.actual, self.forecast, values, self.horizon, scale=scale, starts=self.starts)
            for name, values in self.baselines.items()
        }
        return verdict(self.metrics, comparisons, "mae" if scale is None else "mase")

    @property
    def follows_last(self) -> str | None:
        """A sentence where one-step forecasts are yesterday's value shifted; None where they are not.

        On a smooth series a good forecast changes as the last value did, and errs less: that is no such forecast.
        """
        last = self.last[:, None]
        scale = None if len(self.names) == 1 else self.scale
        if compared(self.actual[:, :1], self.forecast[:, :1], last, 1, scale=scale, starts=self.starts).high < 0:
            return None
        return lag_sentence(lag_of(self.actual, self.forecast, self.last))

    def report(self) -> str:
        """The table of errors, the coverage of the intervals, and the verdict, as text."""
        lines = [forecast_table(self.metrics)]
        spans = [
            f"{percent} % interval held {self.metrics[f'coverage_{percent}']:.1%}"
            for percent in INTERVALS
            if len(self.lows)
        ]
        lines += [" · ".join(spans)] if spans else []
        low, high = self.metrics["direction_low"], self.metrics["direction_high"]
        lines.append(f"direction right in {self.metrics['direction']:.1%} (95 % interval {low:.1%} to {high:.1%})")
        lines += [self.follows_last] if self.follows_last else []
        return "\n".join([*lines, self.verdict])

    def span(self, clock: Clock) -> str:
        """How many forecasts there are of how many steps of a clock, and when they were made."""
        first, last = written_time(self.origins.min()), written_time(self.origins.max())
        steps = f"{self.horizon} step{'s' * (self.horizon > 1)}{'' if 'step' in clock.name else f' ({clock.name})'}"
        return f"{len(self):,} forecasts of {steps}, made {first} to {last}"

    def frame(self) -> pl.DataFrame:
        """One row a forecast step: when it was made, for when, what was said, what came."""
        W, h = self.forecast.shape[:2]
        columns = {"fold": np.repeat(self.folds, h)}
        frame = pl.DataFrame(columns)
        if self.series is not None:
            frame = frame.with_columns(series=self.series.gather(np.repeat(np.arange(W), h)))
        frame = frame.with_columns(
            made_at=self.origins.gather(np.repeat(np.arange(W), h)),
            time=self.times,
            step=np.tile(np.arange(1, h + 1), W),
        )
        for k, name in enumerate(self.names):
            frame = frame.with_columns(self.columns_of(k, name))
            actual = pl.Series(f"{name}", self.actual[:, :, k].ravel()).fill_nan(None)
            others = [pl.Series(f"{name} {rule}", values[:, :, k].ravel()) for rule, values in self.baselines.items()]
            frame = frame.with_columns([actual, *others])
        return frame

    def columns_of(self, k: int, name: str) -> list[pl.Series]:
        """Forecast and bounds of one target as named columns of W·h rows."""
        columns = [pl.Series(f"predicted_{name}", self.forecast[:, :, k].ravel())]
        for percent, low, high in zip(INTERVALS, self.lows, self.highs, strict=False):
            columns.append(pl.Series(f"{name}_low_{percent}", low[:, :, k].ravel()))
            columns.append(pl.Series(f"{name}_high_{percent}", high[:, :, k].ravel()))
        return columns

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Several folds as one, in their order.

        Raises:
            DataError: there is none.
        """
        if not parts:
            raise DataError("expected at least one fold, got none")
        first = parts[0]
        rows = {"actual": 0, "forecast": 0, "lows": 1, "highs": 1, "last": 0, "starts": 0, "folds": 0}
        values = {f.name: getattr(first, f.name) for f in fields(cls)}
        values |= {
            name: np.concatenate([getattr(part, name) for part in parts], axis=axis) for name, axis in rows.items()
        }
        values |= {name: pl.concat([getattr(part, name) for part in parts]) for name in ("origins", "times")}
        if first.series is not None:
            values["series"] = pl.concat([part.series for part in parts if part.series is not None])
        values["baselines"] = {
            name: np.concatenate([part.baselines[name] for part in parts]) for name in first.baselines
        }
        return cls(**values)


def supported_share(added: Array, missed: Array, horizon: int) -> float:
    """The share of ``added`` that best meets ``missed`` by least squares, less twice its standard error, in 0…1.

    Windows that follow each other share most of what they forecast, so that blocks of them count as one (W, …).
    """
    blocks = np.arange(0, len(added), horizon)
    products = np.add.reduceat((added * missed).sum(axis=1), blocks)
    squares = np.add.reduceat((added * added).sum(axis=1), blocks)
    if squares.sum() == 0:
        return 0.0
    best = products.sum() / squares.sum()
    error = float(np.sqrt(np.square(products - best * squares).sum()) / squares.sum())
    return min(max(float(best) - 2 * error, 0.0), 1.0)


def widths(errors: Array, share: float) -> Array:
    """The error that a share of so many is at most, and one more: (W, h, K), NaN where unknown, to (h, K)."""
    counts = np.sum(~np.isnan(errors), axis=0)
    ordered = np.sort(errors, axis=0)  # NaN last
    places = np.clip(np.ceil((counts + 1) * share).astype(int), 1, np.maximum(counts, 1)) - 1
    widest: Array = np.take_along_axis(ordered, places[None], axis=0)[0]
    return np.nan_to_num(widest)
