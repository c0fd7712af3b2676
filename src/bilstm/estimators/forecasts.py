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
from bilstm.formatting import counted, written_time
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
    """What was forecast at W moments for h steps of K targets, in the caller's units."""

    names: list[str]  # of the targets
    series: pl.Series | None  # the name of each moment's series, (W,), or None where there is one without a name
    origins: pl.Series  # when each forecast was made: the last known time, (W,)
    times: pl.Series  # when each step is, (W·h,), window by window
    actual: Array  # what came, (W, h, K), NaN where it is not known
    forecast: Array  # (W, h, K)
    lows: Array  # bounds of the 80 % and of the 95 % interval, (2, W, h, K), or of none (0, …)
    highs: Array
    baselines: dict[str, Array]  # name to (W, h, K)
    last: Array  # the last known values, (W, K)
    scale: Array  # the mean absolute change over a season (or a step) in training, (K,): what MASE counts in
    starts: Array  # row at which the series of each moment begins, (W,), to tell series apart
    folds: Array  # part of the backtest that each moment belongs to, (W,)

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
        if len(self.lows):
            held = (f"{percent} % interval held {self.metrics[f'coverage_{percent}']:.1%}" for percent in INTERVALS)
            lines.append(" · ".join(held))
        low, high = self.metrics["direction_low"], self.metrics["direction_high"]
        lines.append(f"direction right in {self.metrics['direction']:.1%} (95 % interval {low:.1%} to {high:.1%})")
        lines += [self.follows_last] if self.follows_last else []
        return "\n".join([*lines, self.verdict])

    def span(self, clock: Clock) -> str:
        """How many forecasts there are of how many steps of a clock, and when they were made."""
        first, last = written_time(self.origins.min()), written_time(self.origins.max())
        steps = counted(self.horizon, "step") + ("" if "step" in clock.name else f" ({clock.name})")
        return f"{len(self):,} forecasts of {steps}, made {first} to {last}"

    def frame(self) -> pl.DataFrame:
        """One row a forecast step: when it was made, for when, what was said, what came."""
        W, h = self.forecast.shape[:2]
        moments = np.repeat(np.arange(W), h)
        columns = [pl.Series("fold", self.folds[moments])]
        columns += [] if self.series is None else [self.series.gather(moments).alias("series")]
        columns += [self.origins.gather(moments).alias("made_at"), self.times.alias("time")]
        columns.append(pl.Series("step", np.tile(np.arange(1, h + 1), W)))
        for k, name in enumerate(self.names):
            columns += [*self.columns_of(k, name), pl.Series(name, self.actual[:, :, k].ravel(), nan_to_null=True)]
            columns += [pl.Series(f"{name} {rule}", values[:, :, k].ravel()) for rule, values in self.baselines.items()]
        return pl.DataFrame({column.name: column for column in columns})  # a target may be called step, too

    def columns_of(self, k: int, name: str) -> list[pl.Series]:
        """Forecast and bounds of one target as named columns of W·h rows."""
        columns = [pl.Series(f"predicted_{name}", self.forecast[:, :, k].ravel())]
        for percent, low, high in zip(INTERVALS, self.lows, self.highs, strict=False):
            columns.append(pl.Series(f"{name}_low_{percent}", low[:, :, k].ravel()))
            columns.append(pl.Series(f"{name}_high_{percent}", high[:, :, k].ravel()))
        return columns

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Several folds as one, in their order."""
        if not parts:
            raise DataError("expected at least one fold, got none")
        first = parts[0]
        rows = {"actual": 0, "forecast": 0, "lows": 1, "highs": 1, "last": 0, "starts": 0, "folds": 0}
        values = {f.name: getattr(first, f.name) for f in fields(cls)}
        for name, axis in rows.items():
            values[name] = np.concatenate([getattr(part, name) for part in parts], axis=axis)
        values |= {name: pl.concat([getattr(part, name) for part in parts]) for name in ("origins", "times")}
        if first.series is not None:
            values["series"] = pl.concat([part.series for part in parts if part.series is not None])
        names = first.baselines
        values["baselines"] = {name: np.concatenate([part.baselines[name] for part in parts]) for name in names}
        return cls(**values)
