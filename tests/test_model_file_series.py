"""Forecasters in model files: saved equals loaded, and a bad header is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilstm
from bilstm.data.series.reader import read_series
from bilstm.errors import DataWarning, ModelFileError
from tests.compare import assert_close
from tests.model_files import exchange, hostile, put, try_to_load, with_header
from tests.series import read_shops, shops, small, table, wave

MODELS = {
    "numbers": lambda: small().fit(wave()),
    "days, with a calendar": lambda: small(target_as="log-return").fit(table(), y="y"),
    "several series, targets and gaps": lambda: small(rescale=True).fit(
        read_series(shops((70, 90), gaps=0.1, targets=2).drop("ahead"), target=["y0", "y1"], group="shop")
    ),
    "a column known ahead": lambda: small(num_layers=2).fit(read_shops(shops((70, 90)))),
    "every second value": lambda: small().fit(np.where(np.arange(90) % 2 == 0, wave(), np.nan)),
    "no validation part": lambda: small(validation_fraction=0.0).fit(wave()),
    "numpy and paths among the parameters": lambda: small(history=np.int64(6), season=np.int64(4)).fit(wave()),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file's path, with the model that was written."""
    model = small(rescale=True).fit(read_shops(shops((70, 90), gaps=0.1)))
    path = tmp_path_factory.mktemp("model") / "shops.bilstm"
    model.save(path)
    return path, model


@pytest.mark.filterwarnings("ignore:columns known ahead lack values")
@pytest.mark.parametrize("name", MODELS)
def test_a_forecaster_comes_back_from_its_file(tmp_path, name):
    model = MODELS[name]()
    model.save(tmp_path / "m.bilstm")
    loaded = bilstm.load(tmp_path / "m.bilstm")
    assert loaded.predict().equals(model.predict())
    assert loaded.predict(model.known_).equals(model.predict())
    assert (loaded.share_, loaded.target_as_, loaded.season_) == (model.share_, model.target_as_, model.season_)
    assert_close(loaded.mase_scale_, model.mase_scale_)
    assert loaded.known_.to_json() == model.known_.to_json()
    assert loaded.known_.times.dtype == model.known_.times.dtype
    assert loaded.history_.to_json() == model.history_.to_json()
    assert_close(list(loaded.metrics_.values()), list(model.metrics_.values()))
    loaded.save(tmp_path / "again.bilstm")
    assert bilstm.load(tmp_path / "again.bilstm").predict().equals(model.predict())


def test_a_loaded_forecaster_knows_what_it_was_fitted_on(tmp_path):
    model = small().fit(table(), y="y")
    model.save(tmp_path / "m.bilstm")
    loaded = bilstm.load(tmp_path / "m.bilstm")
    with pytest.warns(DataWarning, match="known to fit"):
        loaded.score(table())
    assert loaded.score(table(120)) == model.score(table(120))
    assert loaded.backtest(table(), y="y").metrics == model.backtest(table(), y="y").metrics


BAD = {
    "no series": put(encoders={}),
    "a clock of another kind": lambda h: h["encoders"]["known"]["clock"].update(unit="moon"),
    "times that are none": lambda h: h["encoders"]["known"].update(times=["x"] * 14),
    "fewer times": lambda h: h["encoders"]["known"]["times"].pop(),
    "columns of different lengths": lambda h: h["encoders"]["known"]["columns"]["past"].pop(),
    "text among the numbers": lambda h: h["encoders"]["known"]["columns"].update(past=["x"] * 14),
    "lengths that do not add up": lambda h: h["encoders"]["known"].update(lengths=[3]),
    "goals that are no columns": lambda h: h["encoders"]["known"].update(goals=["nothing"]),
    "a mean too many": lambda h: h["encoders"]["series"]["mean"].append(0.0),
    "a season of words": lambda h: h["encoders"].update(season="long"),
    "scales too many": lambda h: h["encoders"]["mase_scale"].append(1.0),
    "a way to see targets that is none": lambda h: h["encoders"]["series"].update(target_as="upside down"),
    "other targets": lambda h: h.update(targets=["a", "b"]),
    "another history": lambda h: h["parameters"].update(history=9),
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_of_a_forecaster_that_is_wrong_is_refused(saved, tmp_path, name):
    path = tmp_path / "bad.bilstm"
    path.write_bytes(with_header(saved[0], BAD[name]))
    with pytest.raises(ModelFileError, match=r"damaged"):
        bilstm.load(path)


@hostile(300)
@given(st.data())
def test_a_header_with_any_value_exchanged_loads_or_is_refused(saved, tmp_path, data):
    def change(header):
        exchange(header["encoders"] if data.draw(st.booleans()) else header, data)

    try_to_load(tmp_path / "exchanged.bilstm", with_header(saved[0], change))
