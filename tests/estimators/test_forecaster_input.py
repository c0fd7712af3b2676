"""What a forecaster takes and what it refuses: arrays, frames, series; every fault is named with what to do."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bilstm
from bilstm import BiLSTMForecaster, evaluate
from bilstm.data.series.reader import read_series
from bilstm.errors import DataError, DataWarning, ParameterError
from tests.compare import assert_close
from tests.series import SMALL, VIEWS, days, shops, small, table, wave

OTHER = np.random.default_rng(5).normal(size=90)


def with_y(**changes):
    """A frame whose target at some steps is something else: ``at_40=np.inf``."""
    y = wave()
    for step, value in changes.items():
        y[int(step.removeprefix("at_"))] = value
    return pl.DataFrame({"day": days(90), "y": y}).fill_nan(None)


REFUSED = {
    "unsorted times": (lambda: table().sample(fraction=1, shuffle=True, seed=1), "times that ascend in column 'day'"),
    "a time twice": (lambda: pl.concat([table(), table().tail(1)]), r"each time once .*row 89 and row 90"),
    "a target without values": (
        lambda: table().with_columns(y=pl.lit(None, pl.Float64)),
        "values of target 'y', got n",
    ),
    "a target of NaN": (lambda: table().with_columns(y=pl.lit(float("nan"))), "values of target 'y', got none"),
    "a constant target": (lambda: table().with_columns(y=pl.lit(3.0)), "target 'y' to vary, got 3 at every step"),
    "an infinite value": (lambda: with_y(at_40=np.inf), r"finite number in column 'y', got inf \(X, row 40\)"),
    "a target of text": (lambda: table().with_columns(y=pl.lit("x")), "expected a number in column 'y', got 'x'"),
    "another name": (
        lambda: table().rename({"y": "yy"}),
        "expected a column 'y', got none .*\nhint: did you mean 'yy'",
    ),
    "too few steps": (
        lambda: table(7),
        r"at least 8 steps \(history 6 \+ horizon 2\), got 7 .*\nhint: choose a shorter",
    ),
    "no room for a validation part": (lambda: table(9), "expected a validation part that holds a window"),
    "an empty frame": (lambda: table().head(0), "expected at least one row, got none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_frame_that_cannot_be_learned_from_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        small().fit(make(), y="y")


ARRAYS = {
    "three dimensions": (np.zeros((90, 2, 2)), None, r"got an array of shape \(90, 2, 2\)"),
    "three dimensions beside y": (np.zeros((90, 2, 2)), wave(), r"got an array of shape \(90, 2, 2\)"),
    "y of three dimensions": (OTHER, np.zeros((90, 2, 2)), r"got an array of shape \(90, 2, 2\)"),
    "other lengths": (OTHER[:85], wave(), "expected X and y of the same length, got 85 and 90 steps"),
    "text in X": (np.array([["a"]] * 90), wave(), "expected a series of numbers"),
    "text in y": (OTHER, np.array(["a"] * 90), "expected a series of numbers"),
    "a number for y": (OTHER, 3.0, "expected a series of numbers"),
    "no numbers at all": (np.zeros(0), None, "expected at least one row, got none"),
    "NaN alone": (np.full(90, np.nan), None, "expected values of target 'y', got none"),
    "infinity in y": (OTHER, np.where(np.arange(90) == 40, np.inf, wave()), r"column 'y', got inf \(X, row 40\)"),
    "lists of other lengths": ([[1.0, 2.0], [1.0]], None, "go into one long table, with a column that names them"),
    "a constant": (np.ones(90), None, "expected target 'y' to vary"),
    "a column of X that is called y": (table(), wave(), r"a column 'y' in both\nhint: name the target"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_cannot_be_learned_from_are_refused(name):
    X, y, message = ARRAYS[name]
    with pytest.raises(DataError, match=message):
        small().fit(X, y)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_logarithms_of_zero_and_less_are_refused_and_not_tried_by_auto(low):
    frame = with_y(at_20=low, at_85=low)
    with pytest.raises(DataError, match=r"above zero in 'y', whose logarithm is taken.*\nhint: use target_as='differ"):
        small(target_as="log-return").fit(frame, y="y")
    assert small(target_as="auto").fit(frame, y="y").target_as_ in ("level", "difference")


def test_a_horizon_longer_than_the_validation_part_or_a_fold_is_refused():
    with pytest.raises(DataError, match="expected a validation part that holds a window of 6 steps and 30 to come"):
        small(horizon=30).fit(wave())
    with pytest.raises(DataError, match="expected folds of at least horizon 5 steps, got 4"):
        small(horizon=5).backtest(wave(), steps=4)
    with pytest.raises(DataError, match=r"more than 4 folds of 30 steps .*\nhint: take fewer or shorter folds"):
        small().backtest(wave(), steps=30)
    with pytest.raises(DataError, match="expected at least one fold, got none"):
        small().backtest(wave(), folds=0)


def test_columns_of_text_are_left_out_with_a_warning():
    with pytest.warns(DataWarning, match="columns that are text are left out: 'note'"):
        model = small().fit(table(note=["x"] * 90), y="y")
    assert model.feature_names_ == ["y"]


def test_a_target_that_begins_behind_the_training_part_is_named():
    late = pl.when(pl.int_range(90) >= 80).then(pl.col("y") * 2)
    with pytest.raises(DataError, match="expected values of target 'late' in the training part, got none"):
        small().fit(table().with_columns(late=late), y=["y", "late"])
    with pytest.raises(DataError, match="expected values of target 'late', got none"):
        small().backtest(table().with_columns(late=late), y=["y", "late"], folds=2)


def test_a_target_that_is_constant_in_training_and_a_season_longer_than_it_are_no_fault():
    for target_as in ("auto", "level"):
        model = small(target_as=target_as).fit(np.where(np.arange(90) < 75, 1.0, wave()))
        assert np.isfinite(model.history_["metric"]).all()
        assert np.isfinite(model.predict()["predicted_y"].to_numpy()).all()
        model = small(target_as=target_as, season=80).fit(wave())
        assert np.isfinite(list(model.metrics_.values())).all()


@pytest.mark.parametrize("target_as", VIEWS)
@pytest.mark.parametrize("missing", [range(0, 20), range(30, 50), range(2, 72), range(70, 88)])
def test_gaps_longer_than_a_window_leave_all_figures_finite(target_as, missing):
    y = wave()
    y[list(missing)] = np.nan
    model = small(target_as=target_as, rescale=True).fit(y)
    assert np.isfinite(model.history_["loss"]).all()
    assert np.isfinite(list(model.metrics_.values())).all()
    assert np.isfinite(model.predict().to_numpy()).all()


# -- forms of data that mean the same --------------------------------------------------------------------------


def weights(model):
    return np.concatenate([tensor.numpy().ravel() for tensor in model.network_.state_dict().values()])


def test_arrays_lists_and_frames_give_the_same_model():
    first = small().fit(wave())
    for same in (wave().tolist(), wave().astype(object), pl.Series("y", wave()), pl.DataFrame({"y": wave()})):
        again = small().fit(same)
        assert_close(weights(again), weights(first))
        assert again.predict().equals(first.predict())
        assert again.predict(same).equals(first.predict())
    assert_close(small().fit(wave()[:, None]).predict().to_numpy(), first.predict().to_numpy())
    both = small().fit(OTHER, wave())
    for X in (OTHER[:, None], OTHER.tolist(), pl.DataFrame({"x0": OTHER})):
        assert_close(weights(small().fit(X, wave().tolist())), weights(both))
    assert both.feature_names_ == ["y", "x0"]
    assert both.predict(np.column_stack([wave(), OTHER])).equals(both.predict())
    newer = wave(90, seed=8)
    assert both.score(OTHER, newer) == both.score(np.column_stack([newer, OTHER]))


def test_a_frame_beside_targets_keeps_its_names_and_its_times():
    model = small().fit(table().select("day", other=pl.Series(OTHER)), wave())
    assert model.feature_names_ == ["y", "other"]
    assert model.predict()["day"].to_list() == days(92)[90:].to_list()


def test_frames_of_pandas_are_frames():
    pandas = pytest.importorskip("pandas")
    model = small().fit(table(), y="y")
    frame = pandas.DataFrame({"day": days(90).to_numpy(), "y": wave()})
    for same in (frame, frame.set_index("day")):
        assert small().fit(same, y="y").predict().equals(model.predict())
    series = frame.set_index("day")["y"]
    assert small().fit(series).predict(series).to_numpy()[:, 1].tolist() == model.predict().to_numpy()[:, 1].tolist()


def test_validation_may_be_given_as_another_series():
    other = wave(60, seed=9)
    for validation in (other, (other,), read_series(other)):
        pair = (*validation, None) if isinstance(validation, tuple) else validation
        model = small().fit(wave(), validation=pair)
        assert model.metrics_["n"] == 60 - 7
        assert_close(model.encoder_.mean, [wave().mean()], rtol=1e-12)
    model = small().fit(OTHER, wave(), validation=(OTHER[:60], other))
    assert model.metrics_["n"] == 60 - 7
    with pytest.raises(DataError, match="expected an array of 1 columns"):
        small().fit(wave(), validation=np.zeros((60, 2)))
    with pytest.raises(DataError, match="expected a series of at least 8 steps"):
        small().fit(wave(), validation=other[:5])


def test_a_series_must_have_the_targets_of_training():
    series = read_series(shops((90,), targets=2).drop("shop"), target=["y0", "y1"])
    model = small().fit(series)
    for goals in (["y1", "y0"], ["y0"]):
        other = read_series(shops((90,), targets=2).drop("shop"), target=goals)
        for use in (model.predict, model.forecasts, lambda data: evaluate(model, data)):
            with pytest.raises(DataError, match="expected targets 'y0', 'y1', got 'y"):
                use(other)
    with pytest.raises(DataError, match="expected a series, got another Dataset"):
        small().fit(bilstm.boston())
    with pytest.raises(DataError, match="expected no y beside a Series"):
        small().fit(series, wave())
    with pytest.raises(DataError, match="expected a column 'past', got none"):
        model.predict(series.steps.drop("past").with_columns(day=days(90)))


def test_a_series_goes_on_with_the_clock_of_training_or_is_refused():
    weekdays = [day for day in days(130).to_list() if day.weekday() < 5]
    model = small().fit(pl.DataFrame({"day": weekdays[:90], "y": wave()}), y="y")
    week = read_series(pl.DataFrame({"day": weekdays[:20][-5:], "y": wave(5)}))  # it shows no free days
    with pytest.raises(DataError, match="expected a series of at least 6 steps"):
        model.predict(week)
    model = small(history=4).fit(pl.DataFrame({"day": weekdays[:90], "y": wave()}), y="y")
    assert model.predict(week)["day"].dt.weekday().to_list() == [1, 2]
    hours = pl.DataFrame({"day": [days(1)[0] + dt.timedelta(hours=h) for h in range(30)], "y": wave(30)})
    for use in (model.predict, model.forecasts):
        with pytest.raises(DataError, match="expected times in steps of business day, got hour"):
            use(read_series(hours))
        with pytest.raises(DataError, match="expected times in steps of business day, got"):
            use(hours)


def test_newer_data_of_another_form_are_refused():
    model = small().fit(wave())
    for X, message in [
        (np.zeros((20, 3)), "expected an array of 1 columns"),
        (np.zeros((20, 3, 2)), "expected a series of numbers"),
        (["a"] * 20, "expected a series of numbers"),
        (wave()[:5], r"expected a series of at least 6 steps \(history 6\), got 5"),
        (bilstm.boston(), "expected a series, got another Dataset"),
    ]:
        with pytest.raises(DataError, match=message):
            model.predict(X)


def test_series_that_are_too_short_are_left_out_with_a_warning():
    with pytest.warns(DataWarning, match="1 of 3 series have fewer than 8 steps and are left out"):
        model = small().fit(read_series(shops((70, 5, 90)), target="y0", group="shop"))
    with pytest.warns(DataWarning, match="1 of 3 series have fewer than 6 steps and are left out"):
        newer = model.predict(shops((30, 5, 30)))
    assert newer["shop"].unique(maintain_order=True).to_list() == ["s0", "s2"]


# -- manners of scikit-learn -----------------------------------------------------------------------------------


def test_before_fit_there_is_nothing_to_predict_with():
    for use in (lambda m: m.predict(), lambda m: m.predict(wave()), lambda m: m.score(wave()), lambda m: m.save("x")):
        with pytest.raises(NotFittedError):
            use(small())
    with pytest.raises(NotFittedError):
        small().forecasts(wave())
    with pytest.raises(NotFittedError):
        small().read("series.csv")


def test_parameters_are_stored_cloned_and_left_alone_by_fit():
    model = BiLSTMForecaster(**SMALL, season=7)
    assert model.get_params()["season"] == 7
    before = model.get_params()
    model.fit(table(), y="y").predict()
    assert model.get_params() == before
    copy = clone(model).set_params(history=9)
    assert not hasattr(copy, "network_")
    assert (copy.history, model.history) == (9, 6)
    assert copy.fit(table(), y="y").network_.linear.shape == (10, 2)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("history", 1, "a whole number of at least 2"),
        ("horizon", 0, "a whole number of at least 1"),
        ("target_as", "differences", "one of 'auto', 'level'.*\nhint: did you mean 'difference'"),
        ("linear", 1, "True or False"),
        ("rescale", "yes", "True or False, or None"),
        ("season", 0, "a whole number of at least 1, or None"),
        ("validation_fraction", 1.0, "a number of at least 0 and below 1"),
        ("hidden_size", 0, "a whole number of at least 1"),
        ("device", "gpu7", "'auto', 'cpu' or 'cuda:0'"),
    ],
)
def test_a_parameter_out_of_its_limits_is_named(name, value, words):
    with pytest.raises(ParameterError, match=f"expected {name} to be {words}"):
        small(**{name: value}).fit(wave())
