"""A process that is forked after Polars and OpenMP were at work: the same answers there, or one sentence; no hang."""

from __future__ import annotations

import multiprocessing
import os
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import bilstm
from bilstm.errors import BilstmError
from bilstm.xray import x_ray
from tests.compare import assert_close

LIMIT = 60.0  # seconds; what waits for threads that are not there waits for ever
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")

random = np.random.default_rng(0)
FLATS = pd.DataFrame({"size": random.normal(size=40), "rooms": range(40), "town": ["Ulm", None, "Graz", "Bern"] * 10})
FRAME = pl.from_pandas(FLATS)
RENTS = FLATS["size"] * 2 + 1
WAVE = np.sin(np.arange(150) / 4)
SOUNDS = [(random.normal(size=6000).astype(np.float32) / 9, 16_000) for _ in range(6)]
SMALL = {"hidden_size": 4, "max_epochs": 1}
WORDS = SMALL | {"embedding_size": 4, "char_hidden_size": 2}


def regressor(**more):
    return bilstm.BiLSTMRegressor(**SMALL, **more).fit(FLATS, RENTS)


def classifier():
    return bilstm.BiLSTMClassifier(**WORDS).fit(["warm rain", "cold snow"] * 10, [["wet"], ["wet", "white"]] * 10)


def tagger():
    return bilstm.BiLSTMTagger(**WORDS).fit([["Eva", "sang"], ["Jan", "ran"]] * 8, [["B-PER", "O"]] * 16)


def forecaster():
    return bilstm.BiLSTMForecaster(**SMALL, history=12, horizon=3, target_as="level").fit(WAVE)


def transcriber():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bilstm.errors.DataWarning)
        return bilstm.BiLSTMTranscriber(**SMALL | {"hidden_size": 8}, num_layers=1).fit(SOUNDS, ["do", "re"] * 3)


MAKE = {"regressor": regressor, "classifier": classifier, "tagger": tagger}
MAKE |= {"forecaster": forecaster, "transcriber": transcriber}
PREDICT = {
    "regressor": lambda model: model.predict(FRAME),
    "classifier": lambda model: model.predict_proba(["cold rain", "snow", ""]),
    "tagger": lambda model: np.concatenate(model.predict_proba([["Eva", "ran"], ["rain"]])),
    "forecaster": lambda model: np.stack([model.predict(X)["predicted_y"].to_numpy() for X in (None, WAVE[:40])]),
    "transcriber": lambda model: np.array([one.confidence for one in model.transcribe(SOUNDS[:2])]),
}


@pytest.fixture(scope="module")
def models():
    return {task: make() for task, make in MAKE.items()}


@pytest.fixture(autouse=True)
def at_work():
    """Polars and OpenMP have begun, with more than one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    pl.DataFrame({"a": [1.0], "b": [2.0]}).select(pl.all().sort() + 1).write_csv()
    torch.ones(500, 500).exp()
    yield
    torch.set_num_threads(threads)


def in_child(work):
    """What ``work`` returns or raises in a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def answer():
        try:
            theirs.send(work())
        except BilstmError as error:
            theirs.send(error)

    child = context.Process(target=answer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads; this is the test
        child.start()
    try:
        assert ours.poll(LIMIT), "no answer from the forked process"
        return ours.recv()
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("task", MAKE)
def test_a_model_predicts_after_a_fork_as_before(models, task):
    before = PREDICT[task](models[task])
    assert_close(in_child(lambda: PREDICT[task](models[task])), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", MAKE)
def test_a_model_is_saved_and_loaded_after_a_fork(models, task, tmp_path):
    path = tmp_path / "model.bilstm"

    def there_and_back():
        models[task].save(path)
        return bilstm.load(path).describe()

    assert in_child(there_and_back) == models[task].describe()


ONE = {"regressor": FRAME, "classifier": ["cold rain"], "tagger": [["Eva", "ran"]], "forecaster": None}


@pytest.mark.parametrize("task", MAKE)
def test_a_model_is_looked_into_after_a_fork(models, task):
    def hidden():
        return x_ray(models[task], ONE.get(task, SOUNDS), outputs=1).gates.hidden

    assert_close(in_child(hidden), hidden(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", MAKE)
def test_a_model_is_fitted_after_a_fork(models, task):
    assert in_child(lambda: MAKE[task]().history_["loss"]) == pytest.approx(models[task].history_["loss"], rel=1e-4)


def test_large_batches_do_not_wait_for_threads_of_openmp_and_the_number_of_threads_stays():
    X = random.normal(size=(300, 40, 8))
    wide = bilstm.BiLSTMRegressor(hidden_size=64, max_epochs=1).fit(X, X.sum(axis=(1, 2)))
    before = wide.predict(X)
    values, threads = in_child(lambda: (wide.predict(X), torch.get_num_threads()))
    assert_close(values, before, rtol=1e-5, atol=1e-5)
    assert threads == 2


@pytest.mark.parametrize(
    "work",
    {
        "a file": lambda models, path: bilstm.read_table(path, target=["y"]),
        "a set that is built in": lambda models, path: bilstm.boston(),
        "series with times": lambda models, path: bilstm.read_series(pl.DataFrame({"day": ["2024-01-01"], "y": [1]})),
        "forecasts that are judged": lambda models, path: models["forecaster"].score(WAVE),
        "a table of predictions": lambda models, path: models["regressor"].prediction_frame(FLATS),
    }.values(),
)
def test_what_needs_threads_of_polars_says_so(models, work, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1,2\n3,4\n")
    error = in_child(lambda: work(models, path))
    assert isinstance(error, BilstmError)
    assert "Polars was at work before this process was forked" in error.message
    assert "spawn" in (error.hint or "")
