"""The forecaster: what predict goes on with, units, several series and targets, seeds, files, figures and reports."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm import evaluate
from bilstm.data.series.reader import read_series
from bilstm.errors import DataWarning
from bilstm.metrics.forecast_baselines import LinearBaseline
from tests.compare import assert_close
from tests.models import assert_same_model, die_and_go_on
from tests.series import days, shops, small, table, wave
from tests.strategies import FUZZ

TRAINED = {"max_epochs": 3, "learning_rate": 0.02}


def numbers(frame):
    """The forecasts and bounds of a frame, (rows, 5) for each target."""
    return frame.select(pl.col(pl.Float64).exclude("step", "x")).to_numpy()


# -- when and in which units -----------------------------------------------------------------------------------


def months(*pairs):
    return [dt.datetime(year, month, 1) for year, month in pairs]


CLOCKS = {
    "business days": (
        [day for day in days(130).to_list() if day.weekday() < 5][:90],  # the last is Friday, the third of May
        [dt.datetime(2024, 5, 6), dt.datetime(2024, 5, 7)],
    ),
    "months": ([dt.datetime(2000 + m // 12, m % 12 + 1, 1) for m in range(90)], months((2007, 7), (2007, 8))),
    "hours": (
        [dt.datetime(2024, 1, 1) + dt.timedelta(hours=h) for h in range(90)],
        [dt.datetime(2024, 1, 4, 18), dt.datetime(2024, 1, 4, 19)],
    ),
    "numbers": (np.arange(1900.0, 1990.0), [1990.0, 1991.0]),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_predict_goes_on_after_the_last_known_step(name):
    times, expected = CLOCKS[name]
    model = small().fit(read_series(pl.DataFrame({"time": times, "y": wave()}), target="y", time="time"))
    assert model.predict()["time"].to_list() == expected
    frame = pl.DataFrame({"time": times, "y": np.append(wave()[:-3], [np.nan] * 3)}).fill_nan(None)
    assert model.predict(frame)["time"].to_list() == list(times)[-3:-1]  # what is not known yet is forecast


@FUZZ
@given(st.sampled_from(["level", "difference"]), st.floats(-500, 500), st.floats(0.01, 100), st.booleans())
def test_a_series_that_is_shifted_and_scaled_is_forecast_shifted_and_scaled(target_as, shift, factor, rescale):
    options = {"target_as": target_as, "rescale": rescale, **TRAINED}
    plain = numbers(small(**options).fit(wave()).predict())
    moved = numbers(small(**options).fit(factor * wave() + shift).predict())
    assert_close(moved, factor * plain + shift, atol=2e-3 * factor + 1e-5 * abs(shift))


@FUZZ
@given(st.floats(0.001, 1000), st.booleans())
def test_a_multiple_of_a_series_is_forecast_as_that_multiple_by_log_returns(factor, rescale):
    options = {"target_as": "log-return", "rescale": rescale, **TRAINED}
    plain = numbers(small(**options).fit(wave()).predict())
    moved = numbers(small(**options).fit(factor * wave()).predict())
    assert_close(moved, factor * plain, rtol=1e-3)
    assert (moved > 0).all()


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("target_as", ["level", "log-return"])
def test_predict_equals_predict_of_the_training_series_and_the_last_of_all_forecasts(gaps, target_as):
    frame = shops((70, 90), gaps=gaps, targets=2).drop("ahead")
    series = read_series(frame, target=["y0", "y1"], group="shop")
    model = small(target_as=target_as, **TRAINED).fit(series)
    assert model.predict(series).equals(model.predict())
    assert model.predict(frame).equals(model.predict())
    assert model.predict().columns[:3] == ["shop", "day", "predicted_y0"]
    assert model.predict()["shop"].to_list() == ["s0", "s0", "s1", "s1"]
    shorter = frame.filter(pl.int_range(pl.len()).over("shop") < pl.len().over("shop") - 2)
    with pytest.warns(DataWarning, match="all of these steps were known to fit"):
        every = model.forecasts(frame).frame()
    last = every.group_by("series", maintain_order=True).tail(2)
    newest = model.predict(shorter)
    assert newest["day"].to_list() == last["time"].to_list()
    assert_close(newest["predicted_y1"], last["predicted_y1"], atol=1e-6)


def test_a_newer_series_is_forecast_from_its_own_end():
    model = small(**TRAINED).fit(table(), y="y")
    newer = table(120)
    assert model.predict(newer)["day"].to_list() == days(122)[120:].to_list()
    assert model.predict(newer.tail(6)).equals(model.predict(newer))
    turned = pl.DataFrame({"y": newer["y"], "other": 1.0, "day": newer["day"]})
    assert model.predict(turned).equals(model.predict(newer))


def test_values_known_ahead_move_the_forecasts_of_their_steps():
    generator = np.random.default_rng(0)
    holiday = (generator.random(403) < 0.3).astype(float)
    y = 10 - 4 * holiday[:400] + 0.5 * generator.normal(size=400)
    frame = pl.DataFrame({"day": days(400), "y": y, "holiday": holiday[:400]})
    model = small(horizon=3, hidden_size=8, max_epochs=30, learning_rate=0.02, dropout=0.0, target_as="level")
    model.fit(read_series(frame, target="y", future=["holiday"]))
    for coming in ([0.0, 1.0, 0.0], [1.0, 0.0, 1.0]):
        steps = {"day": days(403)[400:], "y": pl.Series([None] * 3, dtype=pl.Float64), "holiday": coming}
        told = model.predict(pl.concat([frame, pl.DataFrame(steps)]))
        assert_close(told["predicted_y"], 10 - 4 * np.array(coming), atol=1.0)
        assert told["day"].to_list() == days(403)[400:].to_list()
    with pytest.warns(DataWarning, match="columns known ahead lack values for steps to come.*: 'holiday'"):
        unknown = model.predict()
    assert np.isfinite(numbers(unknown)).all()


def test_steps_known_ahead_at_the_end_of_training_are_predicted_with():
    frame = table(92, ahead=np.random.default_rng(1).normal(size=92))
    frame = frame.with_columns(y=pl.when(pl.int_range(92) < 90).then(pl.col("y")))
    series = read_series(frame, target="y", future=["ahead"])
    model = small(**TRAINED).fit(series)
    assert model.predict()["day"].to_list() == days(92)[90:].to_list()
    assert model.predict().equals(model.predict(frame))


# -- the same again --------------------------------------------------------------------------------------------


def test_without_a_share_the_forecast_is_the_linear_model():
    series = read_series(table(200))
    model = small(target_as="level").fit(series)
    model.network_.share.fill_(0.0)
    with pytest.warns(DataWarning, match="the figures flatter"):
        found = model.forecasts(series)
    assert_close(found.forecast, found.baselines["linear model"], atol=1e-5)
    y = series.target_matrix
    training, validation = np.arange(5, 158), np.arange(159, 198)
    linear = LinearBaseline.fit(y, training, 6, 2, validation_ends=validation, scale=y[:160].std(axis=0))
    assert_close(model.network_.linear[:-1], linear.weights[:-1], atol=1e-5)
    assert_close(found.forecast, linear.predict(y, np.arange(5, 198)), atol=1e-4)


def test_the_linear_model_is_fitted_to_known_values_alone():
    y = np.where(np.arange(200) % 9 < 2, np.nan, wave(200))[:, None]
    model = small(target_as="level").fit(y[:, 0])
    scale = np.nanstd(y[:159], axis=0)  # the last known step is 197, so that the validation part begins at 159
    linear = LinearBaseline.fit(y, np.arange(5, 157), 6, 2, validation_ends=np.arange(158, 196), scale=scale)
    assert_close(model.network_.linear[:-1], linear.weights[:-1], atol=1e-5)


@pytest.mark.parametrize("target_as", ["auto", "log-return"])
def test_equal_seeds_give_equal_models_and_others_do_not(target_as):
    first = small(target_as=target_as, **TRAINED).fit(table(), y="y")
    again = small(target_as=target_as, **TRAINED).fit(table(), y="y")
    assert_same_model(first, again)
    assert first.target_as_ == again.target_as_
    assert first.predict().equals(again.predict())
    other = small(target_as=target_as, random_state=1, **TRAINED).fit(table(), y="y")
    assert (other.network_.hidden.weight != first.network_.hidden.weight).any()
    first.fit(table(), y="y")
    assert_same_model(first, again)


@pytest.mark.parametrize("target_as", ["auto", "level"])
def test_an_interrupted_run_ends_in_the_model_of_an_unbroken_one(tmp_path, target_as):
    options = {"max_epochs": 6, "learning_rate": 0.02, "target_as": target_as, "patience": None}
    whole = small(**options).fit(table(), y="y")
    broken = small(**options, checkpoint=tmp_path / "run")
    assert die_and_go_on(broken, table(), "y", after=3) == [4, 5, 6]
    assert_same_model(whole, broken)
    assert broken.predict().equals(whole.predict())


def test_another_process_predicts_the_same_from_a_file(tmp_path):
    frame = shops((70, 90), gaps=0.1, targets=2).drop("ahead")
    frame.write_csv(tmp_path / "shops.csv")
    series = read_series(tmp_path / "shops.csv", target=["y0", "y1"], group="shop")
    model = small(target_as="log-return", **TRAINED).fit(series)
    model.save(tmp_path / "m.bilstm")
    code = (
        "import sys, json, bilstm\nmodel = bilstm.load(sys.argv[1])\n"
        "for found in (model.predict(), model.predict(model.read(sys.argv[2]))):\n"
        "    print(json.dumps(found.drop('day').to_dict(as_series=False)))"
    )
    paths = [tmp_path / "m.bilstm", tmp_path / "shops.csv"]
    out = subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True, text=True).stdout
    expected = model.predict().drop("day").to_dict(as_series=False)
    assert [json.loads(line) for line in out.splitlines()] == [expected, expected]


# -- figures and reports ---------------------------------------------------------------------------------------

FIGURES = ("mse", "mae", "rmse", "mase")


def test_forecasts_are_measured_beside_every_baseline():
    model = small(season=7).fit(table(150), y="y")
    found = model.forecasts(table(200))
    assert len(found) == 200 - 150 - 2 + 1
    assert (found.origins.min(), found.times.max()) == (days(150)[149], days(200)[199])
    names = {*FIGURES, "coverage_80", "coverage_95", "n"}
    names |= {f"direction{first}{end}" for first in ("", "_first") for end in ("", "_low", "_high")}
    rules = ("last value", "drift", "seasonal naive", "linear model")
    names |= {f"{rule} {figure}" for rule in rules for figure in FIGURES}
    assert set(found.metrics) == names == set(model.metrics_)
    assert found.metrics["n"] == len(found)
    error = found.actual - found.forecast
    assert_close(found.metrics["mse"], (error**2).mean(), rtol=1e-12)
    assert_close(found.metrics["mase"], np.abs(error).mean() / model.mase_scale_[0], rtol=1e-12)
    scores = 1 - found.metrics["mse"] / found.metrics["last value mse"]
    assert_close(model.score(table(200)), scores, rtol=1e-12)
    assert evaluate(model, read_series(table(200))) == found.metrics
    y = table(200)["y"].to_numpy()
    assert_close(found.actual[:, :, 0], np.stack([y[150 + n : 152 + n] for n in range(len(found))]))
    assert_close(found.baselines["seasonal naive"][0, :, 0], y[143:145])
    with pytest.warns(DataWarning, match=r"known to fit \(until 2024-05-29 00:00:00\): the figures flatter"):
        assert evaluate(model, read_series(table(150)))["n"] == 150 - 7


@pytest.mark.parametrize("missing", [-1, 143, 144, 146])
def test_arrays_are_known_again_by_their_values(missing):
    y = np.where(np.arange(200) == missing, np.nan, wave(200))
    model = small().fit(y[:150])
    assert len(model.forecasts(y)) == 200 - 150 - 2 + 1
    assert_close(model.forecasts(y).actual, model.forecasts(y.tolist()).actual)
    with pytest.warns(DataWarning, match=r"known to fit \(until 149.0\): the figures flatter"):
        assert len(model.forecasts(y[:150])) == 150 - 7
    assert len(model.forecasts(y[150:])) == 50 - 7  # another series, or the same counted anew
    assert len(model.forecasts(2 * y)) == 200 - 7


def test_a_report_says_the_errors_the_coverage_and_a_verdict():
    model = small().fit(table(150), y="y")
    found = model.forecasts(table(200))
    text = found.report()
    for line in ("model ", "last value ", "drift ", "linear model ", "80 % interval held", "direction right in"):
        assert line in text
    assert text.splitlines()[-1] == found.verdict
    assert found.verdict.split(" the ")[0] in ("better than", "no better than", "worse than")
    frame = model.backtest(table(150), y="y", folds=2).frame()
    bounds = [f"y_{side}_{percent}" for percent in (80, 95) for side in ("low", "high")]
    rules = ["y last value", "y drift", "y seasonal naive", "y linear model"]  # days have a season of seven
    assert frame.columns == ["fold", "made_at", "time", "step", "predicted_y", *bounds, "y", *rules]
    assert frame.height == 2 * (15 - 1) * 2
    assert_close(frame["y"], table(150)["y"].gather([int(d) for d in (frame["time"] - days(1)[0]).dt.total_days()]))


def test_without_a_validation_part_there_are_no_intervals_and_no_figures():
    model = small(validation_fraction=0.0).fit(table(), y="y")
    assert model.predict().columns == ["day", "predicted_y"]
    assert model.metrics_ == {}
    assert not {"coverage_80", "y_low_80"} & set(model.forecasts(table(120)).metrics)
    assert "interval held" not in model.forecasts(table(120)).report()


def test_a_score_beside_a_last_value_that_is_right_is_zero():
    model = small(linear=False).fit(table(), y="y")
    still = table(120).tail(30).with_columns(y=pl.lit(5.0))
    assert model.score(still) == 0.0
