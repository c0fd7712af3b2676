"""The series that tests of the forecaster share, and small models of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from bilstm import BiLSTMForecaster
from bilstm.data.series.reader import Series, read_series
from bilstm.estimators.parameters import TARGET_AS

SMALL = {"history": 6, "horizon": 2, "hidden_size": 4, "max_epochs": 1, "target_as": "difference"}
START = np.datetime64("2024-01-01", "us")
DAY = np.timedelta64(1, "D")
VIEWS = TARGET_AS[1:]  # the ways to see a target, without "auto", which chooses one of them


def small(**changes: Any) -> BiLSTMForecaster:
    """A forecaster that is fitted in a moment."""
    return BiLSTMForecaster(**(SMALL | changes))


def wave(steps: int = 90, seed: int = 0, noise: float = 0.2) -> np.ndarray:
    """A sine with noise, above zero."""
    return 5 + np.sin(np.arange(steps) / 3) + noise * np.random.default_rng(seed).normal(size=steps)


def centred(values: np.ndarray, reach: int) -> np.ndarray:
    """The mean of so many steps before and behind each, which knows the future."""
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, np.ones(2 * reach + 1) / (2 * reach + 1), mode="valid")


def days(steps: int) -> pl.Series:
    """So many days from the first of January 2024."""
    return pl.Series("day", START + np.arange(steps) * DAY)


def table(steps: int = 90, seed: int = 0, **columns: Any) -> pl.DataFrame:
    """A frame of days with a target ``y`` and other columns."""
    return pl.DataFrame({"day": days(steps), "y": wave(steps, seed), **columns})


def shops(lengths: tuple[int, ...] = (70, 90), *, gaps: float = 0.0, targets: int = 1, seed: int = 0) -> pl.DataFrame:
    """Some series in a long table: targets, a past column, one that is known ahead; gaps behind each beginning."""
    generator = np.random.default_rng(seed)
    frames = []
    for number, length in enumerate(lengths):
        columns = {f"y{k}": wave(length, seed + 10 * number + k) for k in range(targets)}
        columns |= {"past": generator.normal(size=length), "ahead": generator.normal(size=length)}
        for name in [name for name in columns if name != "ahead"]:
            missing = generator.random(length) < gaps
            missing[[0, 1, -1]] = False
            columns[name] = np.where(missing, np.nan, columns[name])
        frames.append(pl.DataFrame({"shop": [f"s{number}"] * length, "day": days(length)} | columns))
    return pl.concat(frames).fill_nan(None)


def read_shops(frame: pl.DataFrame) -> Series:
    """The table of :func:`shops` as series."""
    targets = [name for name in frame.columns if name.startswith("y")]
    return read_series(frame, target=targets, group="shop", future=["ahead"])
