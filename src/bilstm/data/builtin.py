"""Data sets that need no download. Knows where they come from; trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl

from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series, read_series
from bilstm.data.source import Source, check_columns
from bilstm.data.tables.reader import read_table


def boston(drop: Sequence[str] = ()) -> Dataset:
    """506 census tracts around Boston in 1970: thirteen features and the median house value ``medv``.

    ``medv`` is in 1,000 dollars and cut off at 50. scikit-learn removed the set in version 1.2: its column
    ``b`` is a transform of the share of Black residents, built on the assumption that segregation raises
    prices, and the study behind the data cannot support that. The set is here because published
    figures for small regressors are given on it; ``drop=["b"]`` leaves that column out.

    Source: Harrison and Rubinfeld, Hedonic housing prices and the demand for clean air, 1978; StatLib.

    Example:
        >>> data = boston()
        >>> len(data), len(data.feature_names), data.target_names
        (506, 13, ['medv'])
    """
    with resources.as_file(resources.files("bilstm.data") / "boston.csv") as path:
        return replace(read_table(path, target="medv", drop=drop), source=Source("boston"))


def digits(drop: Sequence[str] = ()) -> Dataset:
    """1,797 handwritten digits of 8×8 pixels as sequences of eight steps (rows) of eight pixels.

    Source: scikit-learn's ``load_digits`` (UCI, Alpaydin and Kaynak, 1998).

    Example:
        >>> data = digits()
        >>> len(data), data.lengths[0].item(), data.feature_names[:2]
        (1797, 8, ['pixel0', 'pixel1'])
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    steps = pl.from_numpy(np.ascontiguousarray(bunch.data.reshape(-1, 8)), schema=[f"pixel{i}" for i in range(8)])
    lengths = np.full(len(bunch.target), 8, dtype=np.int64)
    source = Source("digits")
    check_columns(drop, steps.columns, source)
    return Dataset(steps.drop(drop), lengths, pl.DataFrame({"digit": bunch.target}), source=source)


def sunspots(drop: Sequence[str] = ()) -> Series:
    """The yearly mean sunspot number from 1700 to 2008: a series of 309 steps that rises and falls about every 11.

    It is the first version of the number; that in use since 2015 is higher.

    Source: World Data Center SILSO, Royal Observatory of Belgium, Brussels; by way of statsmodels, which has the
    numbers from NOAA and gives them as public domain.

    Example:
        >>> data = sunspots()
        >>> data.target_columns, data.lengths.tolist(), data.clock.name
        (('sunspots',), [309], 'step of 1')
    """
    with resources.as_file(resources.files("bilstm.data") / "sunspots.csv") as path:
        return replace(read_series(path, time="year", target="sunspots", drop=drop), source=Source("sunspots"))


BUILTIN: dict[str, Callable[..., Dataset]] = {"boston": boston, "digits": digits, "sunspots": sunspots}


def builtin_named(name: object, drop: Sequence[str] = ()) -> Dataset | None:
    """The built-in set of that name; None where a file of that name lies, or there is no such set."""
    return BUILTIN[name](drop) if isinstance(name, str) and name in BUILTIN and not Path(name).is_file() else None
