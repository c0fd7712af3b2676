"""The command line on series: from a file to a forecast, its figures and its picture; and bad calls."""

from __future__ import annotations

import json
import signal

import numpy as np
import polars as pl
import pytest

import bilstm
from bilstm.data.series.clock import Clock
from bilstm.report.plots import forecasts
from tests.compare import assert_close
from tests.processes import stopped
from tests.tables import rows_of

QUICK = ["--max-epochs", "2", "--hidden-size", "4", "--history", "12", "--horizon", "3"]
FIT = ["fit", "forecaster", "old.csv", "--target", "Adj Close", "-o", "m.bilstm", *QUICK]
COLUMNS = ["low_80", "high_80", "low_95", "high_95"]


@pytest.fixture
def prices(tmp_path, monkeypatch):
    """The prices of 160 business days, and a newer file that goes on for 40 more."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(1)
    days = pl.date_range(pl.date(2023, 1, 2), pl.date(2023, 12, 29), eager=True)
    days = days.filter(days.dt.weekday() <= 5)[:200]
    wave = 100 + 5 * np.sin(np.arange(200) / 4) + generator.normal(0, 0.5, 200)
    frame = pl.DataFrame({"Date": days, "Adj Close": wave, "Volume": generator.integers(10, 99, 200)})
    frame[:160].write_csv("old.csv")
    frame.write_csv("new.csv")
    return frame


@pytest.fixture
def model(prices, run):
    status, out, err = run(*FIT, "--time", "Date")
    assert (status, out) == (0, ""), err
    return bilstm.load("m.bilstm")


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """Two series side by side with two targets, a column known ahead, and a tail in which only this is known."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(2)
    hours = np.arange(120)
    when = pl.Series(hours * 3600 * 10**6).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    frames = []
    for name in ("north", "south"):
        load = 20 + 5 * np.sin(2 * np.pi * hours / 24) + generator.normal(0, 0.3, 120)
        load[-3:] = np.nan
        frames.append(
            pl.DataFrame({"at": name, "when": when, "load": load, "loss": load / 9 + generator.normal(0, 0.1, 120)})
        )
    table = pl.concat(frames).with_columns(pl.selectors.float().fill_nan(None))
    holiday = np.tile((hours // 24 == 3).astype(float), 2)
    table.with_columns(holiday=pl.Series(holiday)).write_csv("stores.csv")


# -- fit -----------------------------------------------------------------------------------------------------


def test_fit_says_how_the_target_is_seen_and_what_the_validation_part_thinks_of_it(prices, run, tmp_path):
    status, out, err = run(*FIT)
    assert (status, out) == (0, ""), err
    for words in (
        "epoch 2",
        "wrote m.bilstm; the target is seen as ",
        "of what the BiLSTM adds ",
        "(business day), made",
    ):
        assert words in err
    for words in ("last value ", "drift ", "seasonal naive ", "linear model ", "80 % interval held", "direction right"):
        assert words in err
    assert " the best of 4 baselines: " in err.splitlines()[-1]
    assert not (tmp_path / "m.bilstm.checkpoint").exists()


def test_without_a_validation_part_fit_says_that_nothing_was_measured(prices, run):
    _, _, err = run(*FIT, "--validation-fraction", "0", "--target-as", "difference")
    assert err.splitlines()[-1] == (
        "wrote m.bilstm; the target is seen as difference; nothing was held out to measure it by"
    )
    assert list(rows_of(run("predict", "m.bilstm")[1])[0]) == ["Date", "predicted_Adj Close"]


def test_a_validation_file_counts_from_the_end_of_training_on(prices, run):
    status, _, err = run(*FIT, "--valid", "new.csv")
    assert status == 0, err
    assert "38 forecasts of 3 steps" in err
    status, _, err = run(*FIT, "--valid", "old.csv", "--restart")
    assert (status, "expected steps behind 2023-08-11, the last of the training series" in err) == (1, True)


def test_the_newer_part_keeps_as_many_steps_before_it_as_a_forecast_needs(prices):
    training, newer = (
        bilstm.read_series("old.csv", target="Adj Close"),
        bilstm.read_series("new.csv", target="Adj Close"),
    )
    model = bilstm.BiLSTMForecaster(history=12)
    assert model.validation_part(newer, training).lengths.tolist() == [12 + 40]
    only_newer = newer.kept((newer.times > training.times.max()).to_numpy())
    assert model.validation_part(only_newer, training).lengths.tolist() == [40]
    counted = bilstm.read_series(np.arange(30.0))
    assert model.validation_part(counted, counted) is counted


def test_options_of_a_forecaster_reach_the_model(prices, run):
    options = ["--rescale", "true", "--no-calendar", "--season", "7", "--no-linear", "--target-as", "level"]
    assert run(*FIT, *options, "--drop", "Volume")[0] == 0
    told = bilstm.load("m.bilstm").get_params()
    names = ("rescale", "calendar", "season", "linear", "target_as", "history")
    assert [told[name] for name in names] == [True, False, 7, False, "level", 12]
    assert bilstm.load("m.bilstm").feature_names_ == ["Adj Close"]


@pytest.mark.filterwarnings("default")
def test_the_alarm_speaks_on_stderr(prices, run):
    prices.with_columns(tomorrow=pl.col("Adj Close").shift(-1)).write_csv("old.csv")
    status, _, err = run(*FIT)
    assert status == 0
    assert "note: column 'tomorrow'" in err


def test_a_forecaster_that_was_stopped_goes_on(run, prices, tmp_path):
    command = ["--log-every", "2", "--max-epochs", "100", "--patience", "none"]
    command += ["--target-as", "level", "--schedule", "constant"]
    _, err = stopped(tmp_path, *FIT, *command, after="epoch  10", by=signal.SIGINT)
    assert "error: interrupted; the same command goes on from m.bilstm.checkpoint" in err
    _, _, err = run(*FIT, *command)
    assert "going on after epoch" in err
    assert (tmp_path / "m.bilstm").exists()


# -- predict -------------------------------------------------------------------------------------------------


def test_predict_without_data_goes_on_from_training(model, run):
    status, out, err = run("predict", "m.bilstm")
    rows = rows_of(out)
    assert (status, err) == (0, "")
    assert list(rows[0]) == ["Date", "predicted_Adj Close", *(f"Adj Close_{bound}" for bound in COLUMNS)]
    assert [row["Date"] for row in rows] == ["2023-08-14", "2023-08-15", "2023-08-16"]
    expected = model.predict()["predicted_Adj Close"].to_list()
    assert_close([float(row["predicted_Adj Close"]) for row in rows], expected, rtol=1e-6)
    assert all(len(row["predicted_Adj Close"]) <= 8 for row in rows)


@pytest.mark.parametrize("name", ["next.csv", "next.tsv", "next.parquet", "next.jsonl"])
def test_predictions_behind_newer_data_go_to_a_file_of_its_kind(model, run, name):
    status, out, err = run("predict", "m.bilstm", "new.csv", "-o", name)
    assert (status, out, err) == (0, "", f"wrote {name}: 3 rows\n")
    read = {"parquet": pl.read_parquet, "jsonl": pl.read_ndjson, "csv": pl.read_csv}
    frame = pl.read_csv(name, separator="\t") if name.endswith(".tsv") else read[name.split(".")[1]](name)
    assert frame["Date"].cast(pl.String).to_list() == ["2023-10-09", "2023-10-10", "2023-10-11"]
    assert_close(frame["predicted_Adj Close"], model.predict(model.read("new.csv"))["predicted_Adj Close"], rtol=1e-6)


def test_several_series_and_targets_are_predicted_with_their_names_and_zones(stores, run):
    fit = ["fit", "forecaster", "stores.csv", "--time", "when", "--group", "at", "--future", "holiday"]
    status, _, err = run(*fit, "--target", "load", "--target", "loss", "-o", "m.bilstm", *QUICK)
    assert status == 0, err
    rows = rows_of(run("predict", "m.bilstm")[1])
    assert [row["at"] for row in rows] == ["north"] * 3 + ["south"] * 3
    assert (rows[0]["when"], len(rows[0])) == ("1970-01-05T21:00:00Z", 12)
    assert run("plot", "m.bilstm", "-o", "a.png")[0] == 0
    figure = forecasts(bilstm.load("m.bilstm"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["load", "loss", "loss", "load", "loss"]


def test_what_comes_behind_a_window_never_moves_its_forecast(model, prices):
    changed = prices.with_columns(
        pl.when(pl.int_range(pl.len()) < 180).then("Adj Close").otherwise(1.0).alias("Adj Close")
    )
    found, other = (model.forecasts(bilstm.read_series(f, target="Adj Close")) for f in (prices, changed))
    before = (found.origins < prices["Date"].cast(pl.Datetime("us"))[180]).to_numpy()
    assert 0 < before.sum() < len(found)
    assert_close(found.forecast[before], other.forecast[before], rtol=0)


@pytest.mark.parametrize(
    "clock, times, written",
    [
        (Clock("number"), pl.Series([2009.0, 2010.0]), [2009, 2010]),
        (Clock("number", step=0.5), pl.Series([2009.0, 2009.5]), [2009.0, 2009.5]),
    ],
)
def test_numbers_for_times_are_written_as_they_came(clock, times, written):
    assert clock.plain(times).to_list() == written


# -- evaluate ------------------------------------------------------------------------------------------------


def test_evaluate_measures_what_lies_behind_training(model, run):
    status, out, err = run("evaluate", "m.bilstm", "new.csv")
    assert (status, err) == (0, "")
    assert out.startswith("38 forecasts of 3 steps (business day), made 2023-08-11 to 2023-10-03\n")
    assert "95 % interval held" in out
    assert "the best of 4 baselines" in out.splitlines()[-1]
    status, out, _ = run("evaluate", "m.bilstm", "new.csv", "--json")
    figures = json.loads(out)
    names = {"mse", "mae", "mase", "coverage", "coverage_80", "last value mse", "linear model mase", "n", "verdict"}
    assert names <= set(figures)
    assert (figures["n"], figures["coverage"]) == (38, figures["coverage_95"])
    expected = bilstm.evaluate(model, model.read("new.csv"))
    assert_close(figures["mse"], expected["mse"])


def test_evaluate_in_folds_walks_forward(model, run):
    status, out, err = run("evaluate", "m.bilstm", "new.csv", "--folds", "2", "--steps", "20", "--json")
    assert (status, json.loads(out)["n"]) == (0, 36)
    assert "fold 2 of 2" in err
    status, _, err = run("evaluate", "m.bilstm", "new.csv", "--folds", "2", "--steps", "20", "--no-refit")
    assert (status, "fold 2" in err) == (0, False)


@pytest.mark.filterwarnings("default")
def test_evaluate_on_the_training_file_says_that_it_flatters(model, run):
    status, out, err = run("evaluate", "m.bilstm", "old.csv")
    assert (status, out.startswith("146 forecasts")) == (0, True)
    assert "note: all of these steps were known to fit" in err


# -- plot ----------------------------------------------------------------------------------------------------


def labels(figure):
    return figure.axes[0].get_legend_handles_labels()[1]


def test_plot_draws_what_is_known_what_came_and_the_forecasts_of_it(model, run, tmp_path):
    status, out, _ = run("plot", "m.bilstm")
    assert (status, out) == (0, "m-forecast.png\n")
    assert (tmp_path / "m-forecast.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", "m.bilstm", "new.csv", "-o", "p.svg")[1] == "p.svg\n"
    coming, came = forecasts(model), forecasts(model, model.read("new.csv"))
    assert labels(coming) == ["known", "95 % interval", "80 % interval", "forecast"]
    assert [axes.get_xlabel() for axes in coming.axes] == ["", "epoch"]
    assert labels(came) == ["known", "what came", "95 % interval", "80 % interval", "forecast"]
    assert [axes.get_ylabel() for axes in came.axes] == ["Adj Close"]


def test_a_picture_shows_forecasts_made_one_behind_the_other_with_what_was_known(model):
    lines = forecasts(model, model.read("new.csv")).axes[0].get_lines()
    found = model.forecasts(model.read("new.csv"))
    made = [line.get_xdata(orig=True)[0] for line in lines[2:-1]]
    assert len(made) == 12
    assert set(np.diff(np.searchsorted(found.origins.to_numpy(), made))) == {3}
    row = int(np.searchsorted(found.origins.to_numpy(), made[0]))
    assert_close(lines[2].get_ydata()[1:], found.forecast[row, :, 0])


def test_a_picture_of_known_steps_shows_the_steps_to_come_alone(model):
    assert labels(forecasts(model, model.read("old.csv"))) == ["known", "95 % interval", "80 % interval", "forecast"]


def test_a_picture_needs_no_times_and_no_intervals():
    wave = np.sin(np.arange(80) / 3)
    model = bilstm.BiLSTMForecaster(history=8, horizon=20, max_epochs=1, validation_fraction=0).fit(wave)
    figure = forecasts(model, bilstm.read_series(wave[:20]))
    assert (labels(figure), figure.axes[0].get_xlabel()) == (["known", "forecast"], "step")


# -- the demonstration, bad calls ----------------------------------------------------------------------------


def test_the_sunspots_are_those_of_the_books():
    data = bilstm.sunspots()
    values = dict(zip(data.times.to_list(), data.target_matrix[:, 0].tolist(), strict=True))
    assert (values[1700], values[1778], values[1957], values[2008]) == (5, 154.4, 190.2, 2.9)
    assert data.is_known.all()
    assert_close(data.target_matrix.mean(), 49.752103559870541)


def test_the_forecaster_demo_leaves_what_it_says(run, tmp_path):
    status, out, err = run("demo", "forecaster", "--max-epochs", "1")
    assert status == 0, err
    for words in ("72 forecasts", "seasonal naive", "linear model", "the best of 4 baselines", "Try next"):
        assert words in out
    files = {"sunspots.bilstm", "forecast.png", "backtest.csv", "predictions.csv"}
    assert {file.name for file in (tmp_path / "demo-forecaster").iterdir()} == files
    for command in [line.split()[1:] for line in out.splitlines() if line.startswith("  bilstm")]:
        quick = ["--max-epochs", "1"] if command[0] == "fit" and "--help" not in command else []
        assert run(*command, *quick)[0] == 0, command


BAD = {
    "no target among several": (
        ["fit", "forecaster", "old.csv", "-o", "x.bilstm"],
        1,
        "expected a target, got 2 columns to choose from",
    ),
    "a near miss of the target": (
        ["fit", "forecaster", "old.csv", "--target", "Adj close", "-o", "x.bilstm"],
        1,
        "hint: did you mean 'Adj Close'?",
    ),
    "a series too short": ([*FIT, "--history", "400"], 1, "expected a series of at least 403 steps"),
    "a table for a series": (
        ["fit", "forecaster", "boston", "-o", "x.bilstm"],
        2,
        "expected a series, got the built-in",
    ),
    "a series for a table": (
        ["fit", "regressor", "sunspots", "-o", "x.bilstm"],
        2,
        "hint: bilstm fit forecaster reads it",
    ),
    "a target for a built-in series": (
        ["fit", "forecaster", "sunspots", "--target", "y", "-o", "x.bilstm"],
        2,
        "expected no --target beside the built-in set 'sunspots'",
    ),
    "neither true nor false": ([*FIT, "--rescale", "yes"], 2, "--rescale"),
    "a built-in table for a forecaster": (
        ["predict", "m.bilstm", "boston"],
        2,
        "expected a series, got the built-in set",
    ),
    "a missing file": (["predict", "m.bilstm", "ne.csv"], 1, "hint: did you mean 'new.csv'?"),
    "a wrong file": (["predict", "old.csv"], 1, "expected a model file, got"),
    "a newer file that is too short": (
        ["predict", "m.bilstm", "short.csv"],
        1,
        "expected a series of at least 12 steps",
    ),
    "a file without the target": (["predict", "m.bilstm", "other.csv"], 1, "expected a column 'Adj Close', got none"),
    "steps without folds": (["evaluate", "m.bilstm", "new.csv", "--steps", "9"], 2, "--steps needs --folds."),
    "no refit without folds": (
        ["evaluate", "m.bilstm", "new.csv", "--no-refit"],
        2,
        "--no-refit needs --folds.",
    ),
    "folds shorter than the horizon": (
        ["evaluate", "m.bilstm", "new.csv", "--folds", "2", "--steps", "2"],
        1,
        "expected folds of at least horizon 3",
    ),
    "a folder that is not there": (["predict", "m.bilstm", "-o", "no/x.parquet"], 1, "Cannot write no/x.parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_with_series_is_one_short_paragraph_and_a_status(model, prices, run, name):
    prices[:5].write_csv("short.csv")
    prices.drop("Adj Close").write_csv("other.csv")
    arguments, status, message = BAD[name]
    found, out, err = run(*arguments)
    assert message in err
    assert (found, out) == (status, "")
    assert "Traceback" not in err
    assert len(err.splitlines()) < 12


def test_folds_and_missing_data_are_a_forecasters_alone(run):
    assert run("fit", "regressor", "boston", "-o", "r.bilstm", "--max-epochs", "1", "--hidden-size", "2")[0] == 0
    status, _, err = run("predict", "r.bilstm")
    assert (status, "A regressor needs DATA." in err) == (2, True)
    status, _, err = run("evaluate", "r.bilstm", "boston", "--folds", "2")
    assert (status, "A regressor takes no --folds.\nhint: a forecaster takes it" in err) == (2, True)
    status, _, err = run("evaluate", "r.bilstm", "sunspots")
    assert (status, "expected data with targets, got none" in err) == (1, True)
