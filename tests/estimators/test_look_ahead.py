"""No forecast knows what comes after it, and nothing that is fitted knows the part it is measured on."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.series.leaks import find_leaks
from bilstm.data.series.reader import read_series
from bilstm.data.series.windows import cut
from bilstm.errors import DataWarning
from tests.compare import assert_close
from tests.series import VIEWS, centred, days, read_shops, shops, small, table, wave
from tests.strategies import FUZZ

LENGTHS = {"one": (90,), "several": (60, 90, 75)}
FITTED = {}


def fitted(target_as, several, gaps, targets, rescale):
    """A model of shops with an untrained share of one, each made once."""
    key = (target_as, several, gaps, targets, rescale)
    if key not in FITTED:
        frame = shops(LENGTHS[several], gaps=gaps, targets=targets)
        model = small(target_as=target_as, max_epochs=2, rescale=rescale, learning_rate=0.02).fit(read_shops(frame))
        model.network_.share.fill_(1.0)
        FITTED[key] = frame, model
    return FITTED[key]


@FUZZ
@given(
    st.sampled_from(VIEWS),
    st.sampled_from(list(LENGTHS)),
    st.sampled_from([0.0, 0.15]),
    st.integers(1, 2),
    st.sampled_from([None, True]),
    st.integers(10, 80),
    st.data(),
)
def test_what_comes_after_a_moment_changes_no_forecast_made_until_then(
    target_as, several, gaps, targets, rescale, moment, data
):
    frame, model = fitted(target_as, several, gaps, targets, rescale)
    late = pl.col("day") > days(90)[moment]
    columns = [name for name in frame.columns if name.startswith("y") or name == "past"]
    changed = data.draw(st.lists(st.sampled_from(columns), min_size=1, unique=True))
    factor, gap = data.draw(st.floats(0.1, 9)), data.draw(st.booleans())
    is_last = pl.col("day") == pl.col("day").max().over("shop")  # the number of windows stays the same
    to = pl.when(~is_last & (pl.int_range(pl.len()) % 3 == 0)).then(None) if gap else pl.when(False).then(None)
    other = frame.with_columns(
        pl.when(late).then(to.otherwise(pl.col(name) * factor)).otherwise(pl.col(name)).alias(name) for name in changed
    )
    before = model.forecasts_of(cut(read_shops(frame), 6, 2))
    after = model.forecasts_of(cut(read_shops(other), 6, 2))
    early = (before.origins <= days(90)[moment]).to_numpy()
    assert early.any()
    for name in ("forecast", "lows", "highs"):
        rows = (..., early, slice(None), slice(None))
        assert_close(getattr(after, name)[rows], getattr(before, name)[rows], what=name)
    for name in before.baselines:
        assert_close(after.baselines[name][early], before.baselines[name][early], what=name)
    assert np.nanmax(np.abs(after.forecast[~early] - before.forecast[~early]), initial=0) > 0 or early.all()


@pytest.mark.parametrize("target_as", VIEWS)
def test_nothing_but_the_training_part_is_in_the_scales_and_the_linear_map(target_as):
    frame = shops((90, 90))
    late = pl.col("day") >= days(90)[72]
    names = ["y0", "past", "ahead"]
    changed = frame.with_columns(pl.when(late).then(pl.col(name) * 1.01).otherwise(pl.col(name)) for name in names)
    one, other = (small(target_as=target_as).fit(read_shops(part)) for part in (frame, changed))
    assert one.metrics_["mae"] != other.metrics_["mae"]  # so it is the validation part that changed
    assert one.encoder_.to_json() == other.encoder_.to_json()
    assert_close(one.mase_scale_, other.mase_scale_)
    for name in ("sizes", "inside_size", "change_size", "linear"):
        assert_close(getattr(one.network_, name), getattr(other.network_, name), what=name)
    assert one.history_["loss"] == other.history_["loss"]
    early = frame.filter(~late)["y0"].to_numpy()
    early = np.log(early) if target_as == "log-return" else early
    assert_close(one.encoder_.mean, early.mean(keepdims=True), rtol=1e-12)


@FUZZ
@given(
    st.lists(st.integers(20, 60), min_size=1, max_size=3), st.integers(1, 6), st.integers(2, 8), st.floats(0.15, 0.6)
)
def test_training_and_validation_share_no_step_that_is_forecast(lengths, horizon, history, share):
    model = small(history=history, horizon=horizon, validation_fraction=share)
    windows = cut(read_shops(shops(tuple(lengths))), history, horizon)
    try:
        rows, held_out = model._split(windows, None, 0)
    except ValueError:
        return
    training = windows.take(rows)
    times = windows.series.times
    last = times.gather(training.rows_behind.ravel()).max()
    first = times.gather(held_out.rows_behind.ravel()).min()
    assert last < first
    assert not set(training.rows_behind.ravel()) & set(held_out.rows_behind.ravel())
    known = windows.series.known_times
    assert abs((known < first).sum() - (1 - share) * len(known)) <= 1 + horizon


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("several", [False, True])
def test_folds_of_a_backtest_are_forecast_by_models_that_end_before_them(monkeypatch, refit, several):
    model = small(horizon=3)
    series = read_shops(shops((70, 90))) if several else read_series(table())
    fits, made = [], []
    kind = type(model)
    fit, forecasts = kind.fit, kind.forecasts

    def watched_fit(self, X, *rest, **more):
        fits.append(X.times.max())
        return fit(self, X, *rest, **more)

    def watched_forecasts(self, windows):
        times = windows.series.times
        made.append((fits[-1], times.gather(windows.rows_behind.ravel())))
        return forecasts(self, windows)

    monkeypatch.setattr(kind, "fit", watched_fit)
    monkeypatch.setattr(kind, "forecasts", watched_forecasts)
    found = model.backtest(series, folds=3, steps=8, refit=refit)
    assert len(fits) == (3 if refit else 1)
    limits = [days(90)[90 - 8 * k] for k in (3, 2, 1)] + [days(91)[90]]
    for fold, (last, times) in enumerate(made):
        assert last < times.min()
        assert last == (limits[fold if refit else 0] - np.timedelta64(1, "D").astype(object))
        assert times.min() >= limits[fold]
        assert times.max() < limits[fold + 1]
    frame = found.frame()
    assert frame["fold"].unique().to_list() == [0, 1, 2]
    assert (frame["made_at"] < frame["time"]).all()
    keys = ["series", "time"] if several else ["time"]
    told = frame.select(keys).unique().height
    assert told == (8 * 3 + (4 if several else 0))  # the shorter of two series ends in the first fold
    truth = series.steps.select(truth=series.target_columns[0]).with_columns(time=series.times)
    if several:
        truth = truth.with_columns(series=series.ids.gather(np.repeat(np.arange(2), series.lengths)))
    assert_close(frame[series.target_columns[0]], frame.join(truth, on=keys, how="left")["truth"])


def test_the_backtest_leaves_out_steps_of_which_only_what_is_known_ahead_is_known():
    frame = table(90, ahead=np.random.default_rng(3).normal(size=90))
    longer = pl.concat([frame, frame.tail(20).with_columns(day=days(110)[90:], y=pl.lit(None, pl.Float64))])
    plain, told = (
        small().backtest(read_series(data, target="y", future=["ahead"]), folds=2, steps=9) for data in (frame, longer)
    )
    assert told.origins.to_list() == plain.origins.to_list()
    assert_close(told.actual, plain.actual)


# -- planted leaks ---------------------------------------------------------------------------------------------


PLANTED = {
    "a shifted target": (lambda y: np.roll(y, -1), (), "column 'leak' knows the future of 'y'"),
    "a centred mean": (lambda y: centred(y, 1), (), "column 'leak' knows the future of 'y'"),
    "a copy known ahead": (lambda y: y, ("leak",), "column 'leak' is said to be known ahead, but is 'y' itself"),
    "a copy": (lambda y: 2 * y, (), "column 'leak' repeats 'y'"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_named(name):
    plant, future, message = PLANTED[name]
    y = np.random.default_rng(1).normal(size=200).cumsum()
    frame = pl.DataFrame({"day": days(200), "y": y, "leak": plant(y)})
    with pytest.warns(DataWarning, match=message) as caught:
        small().fit(read_series(frame, target="y", future=future))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_backtest_says_once_what_is_wrong_with_the_data():
    y = np.random.default_rng(1).normal(size=200).cumsum()
    series = read_series(pl.DataFrame({"day": days(200), "y": y, "leak": np.roll(y, -1)}), target="y")
    with pytest.warns(DataWarning, match="column 'leak' knows the future of 'y'") as caught:
        small().backtest(series, folds=3)
    assert len(caught) == 1
    with pytest.raises(DataWarning, match="column 'leak'"):  # warnings are errors here, and it does not change that
        small().backtest(series, folds=3)


def test_shuffled_rows_are_named():
    with pytest.warns(DataWarning, match="rows look shuffled: neighbouring values of 'y'"):
        small().fit(np.random.default_rng(0).permutation(wave(300)))


def test_honest_data_raises_no_alarm():
    frame = shops((150, 150))
    series = read_shops(frame)
    assert find_leaks(series.steps.to_numpy(), series.steps.columns, ["y0"], ["ahead"], series.lengths, 2) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().fit(series)
