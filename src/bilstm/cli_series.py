"""What the command line does with series: reads them for training, tells what fit found, predicts, evaluates.

Knows options, forms and words; figures and forecasts are the estimator's.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError, ParameterError

if TYPE_CHECKING:
    import polars as pl

    from bilstm.data.dataset import Dataset
    from bilstm.data.series import Series
    from bilstm.estimators.forecaster import BiLSTMForecaster
    from bilstm.estimators.forecasts import Forecasts


def read_steps(
    data: str,
    target: Sequence[str] = (),
    drop: Sequence[str] = (),
    time: str | None = None,
    group: str | None = None,
    future: Sequence[str] = (),
    like: Series | None = None,
) -> Series:
    """DATA for training: a file of series, or a built-in one. ``like`` is the training data of a second file."""
    from bilstm.cli import builtin_named
    from bilstm.data.series import read_series

    builtin = builtin_named(data, drop)
    if builtin is not None:
        told = {"target": target, "time": time, "group": group, "future": future}
        for option in [name for name, value in told.items() if value]:
            raise ParameterError(f"expected no --{option} beside the built-in set {data!r}, got {told[option]!r}")
        return _checked(builtin, data)
    if like is None:
        return read_series(data, target=list(target) or None, time=time, group=group, future=future, drop=drop)
    return read_series(
        data,
        target=like.goals,
        time=like.read_with.get("time"),
        group=like.read_with.get("group"),
        future=like.future,
        features=like.feature_names,
        clock=like.clock,
    )


def series_for(model: BiLSTMForecaster, data: str) -> Series:
    """DATA as the model needs it: a file, or a built-in series by name."""
    from bilstm.cli import builtin_named

    builtin = builtin_named(data)
    return model.read(data) if builtin is None else _checked(builtin, data)


def _checked(builtin: Dataset, name: str) -> Series:
    from bilstm.data.series import Series

    if not isinstance(builtin, Series):
        raise ParameterError(f"expected a series, got the built-in set {name!r}", hint="sunspots is one")
    return builtin


def newer_part(series: Series, training: Series, history: int) -> Series:
    """The steps behind those of training, and as many before them as a forecast is made from."""
    if "time" not in training.read_with:
        return series
    known = training.known_times
    newer = series.kept((series.times > known[max(len(known) - history - 1, 0)]).to_numpy())
    if not len(newer) or not (newer.known_times > known.max()).any():
        raise DataError(
            f"expected steps behind {_written(training, known.max())}, the last of the training series, got none "
            f"({series.source})",
            hint="what stops the training must not be part of it",
        )
    return newer


def fit_report(model: BiLSTMForecaster, training: Series, validation: Series | None) -> str:
    """What fit found: how the target is seen, what the BiLSTM adds, and the validation part beside simple rules."""
    seen = f"the target is seen as {model.target_as_}"
    if validation is None and model.validation_fraction == 0:
        return f"{seen}; nothing was held out to measure it by"
    seen += f"; of what the BiLSTM adds {model.share_:.0%} is kept"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fit has told it all
        found = model.forecasts(model.validation_windows(training, validation))
    return f"{seen}\non the validation part, {span(found, training)}, which chose the model:\n{found.report()}"


def predict_series(model: BiLSTMForecaster, data: str | None, output: Path | None) -> None:
    """The coming steps after training, or after DATA, as a table to stdout or to a file."""
    import polars as pl
    import polars.selectors

    from bilstm.cli import talk, write_text
    from bilstm.data.tables import JSON_LINES, PARQUET

    frame = model.predict(None if data is None else series_for(model, data))
    times = model.known_.times.name
    frame = frame.with_columns(pl.selectors.float().exclude(times).round_sig_figs(7))  # what float32 knows
    frame = frame.with_columns(model.known_.clock.plain(frame[times]))
    ending = "" if output is None else output.suffix.lower()
    if output is None:
        sys.stdout.write(_with_written_times(frame).write_csv())
        return
    if ending in PARQUET:
        try:
            frame.write_parquet(output)
        except OSError as error:
            raise DataError(f"cannot write {output}: {error.strerror}", hint="choose another file") from None
    elif ending in JSON_LINES:
        write_text(output, _with_written_times(frame).write_ndjson())
    else:
        write_text(output, _with_written_times(frame).write_csv(separator="\t" if ending == ".tsv" else ","))
    talk(f"wrote {output}: {frame.height} rows")


def evaluate_series(
    model: BiLSTMForecaster, data: str, folds: int | None, steps: int | None, refit: bool, as_json: bool
) -> None:
    """Figures, baselines and verdict: of what lies behind training, or of a walk through DATA in folds."""
    from bilstm.cli import print_figures

    series = series_for(model, data)
    if folds is None and (steps is not None or not refit):
        raise ParameterError(f"expected --folds beside {'--no-refit' if steps is None else '--steps'}, got none")
    if folds is None:
        found = model.forecasts(series)
    else:
        found = model.set_params(verbose=1).backtest(series, folds=folds, steps=steps, refit=refit)
    if not as_json:
        print(f"{span(found, series)}\n{found.report()}")
        return
    figures: dict[str, Any] = dict(found.metrics)
    if "coverage_95" in figures:
        figures = {"coverage": figures["coverage_95"]} | figures
    print_figures(figures | {"verdict": found.verdict}, as_json)


def span(found: Forecasts, series: Series) -> str:
    """How many forecasts there are, and when they were made."""
    first, last = (_written(series, moment) for moment in (found.origins.min(), found.origins.max()))
    name = series.clock.name
    steps = f"{found.horizon} step{'s' * (found.horizon > 1)}{'' if 'step' in name else f' ({name})'}"
    return f"{len(found):,} forecasts of {steps}, made {first} to {last}"


def _written(series: Series, moment: Any) -> str:
    """A time as it would stand in a file."""
    import polars as pl

    times = pl.DataFrame([series.clock.plain(pl.Series("time", [moment], dtype=series.times.dtype))])
    return str(_with_written_times(times)["time"][0])


def _with_written_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Times of day as text that every program reads; seconds have a fraction where there is one."""
    import polars as pl

    columns = []
    for column in frame.get_columns():
        if isinstance(column.dtype, pl.Datetime):
            whole = bool((column.dt.microsecond() == 0).all())
            zone = "Z" if column.dtype.time_zone else ""
            columns.append(column.dt.to_string(f"%Y-%m-%dT%H:%M:%S{'' if whole else '%.6f'}{zone}"))
        else:
            columns.append(column)
    return pl.DataFrame(columns)
