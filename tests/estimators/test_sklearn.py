"""scikit-learn's own checks, and its tools, on the estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber, load
from bilstm.errors import DataError, ParameterError
from bilstm.estimators.parameters import check_parameters
from tests.compare import assert_close
from tests.models import assert_same_model

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "a weighted row and a repeated one meet different neighbours "
    "in a minibatch, and the scaler counts rows, not weights",
}


def expected_failures(estimator):
    return EXPECTED


@parametrize_with_checks(
    [
        BiLSTMRegressor(max_epochs=20, hidden_size=16, batch_size=16),
        BiLSTMClassifier(max_epochs=25, hidden_size=16, batch_size=16, validation_fraction=0),
    ],
    expected_failed_checks=expected_failures,
)
def test_the_estimators_keep_scikit_learns_conventions(estimator, check):
    check(estimator)


def sequences(count=60, seed=0):
    generator = np.random.default_rng(seed)
    X = [generator.normal(size=(t, 2)) for t in generator.integers(1, 7, size=count)]
    return X, np.array([x[:, 0].sum() for x in X])


@pytest.mark.parametrize("form", ["table", "block", "ragged"])
def test_cross_validation_takes_every_form_of_input(form):
    X, y = sequences()
    X = {"table": np.stack([x[0] for x in X]), "block": np.stack([x[:1] for x in X]), "ragged": X}[form]
    scores = cross_val_score(BiLSTMRegressor(hidden_size=4, max_epochs=2), X, y, cv=3)
    assert scores.shape == (3,)
    labels = np.where(y > 0, "up", "down")
    assert cross_val_score(BiLSTMClassifier(hidden_size=4, max_epochs=2), X, labels, cv=3).shape == (3,)


def test_grid_search_finds_the_better_value_and_clones_are_equal():
    X, y = sequences(120)
    search = GridSearchCV(
        BiLSTMRegressor(hidden_size=8, max_epochs=20), {"learning_rate": [1e-7, 0.01]}, cv=2, scoring="r2"
    )
    search.fit(X, y)
    assert search.best_params_ == {"learning_rate": 0.01}
    again = clone(search.best_estimator_).fit(X, y)
    assert_close(again.predict(X), search.predict(X))


def test_it_stands_at_the_end_of_a_pipeline():
    X, y = sequences()
    X = np.stack([x[0] for x in X])
    pipeline = make_pipeline(PolynomialFeatures(2), BiLSTMRegressor(hidden_size=4, max_epochs=2))
    assert pipeline.fit(X, y).predict(X).shape == (60,)


def test_parallel_jobs_give_what_one_gives():
    X, y = sequences()
    model = BiLSTMRegressor(hidden_size=4, max_epochs=2)
    one, two = (cross_val_score(model, X, y, cv=2, n_jobs=jobs) for jobs in (1, 2))
    assert_close(one, two, rtol=1e-5)


@pytest.mark.parametrize("form", ["table", "ragged", "texts"])
def test_searches_of_scikit_learn_take_every_form_of_input(form):
    X, y = sequences(40)
    X = {"table": np.stack([x[0] for x in X]), "ragged": X, "texts": ["good day" if v > 0 else "bad" for v in y]}[form]
    ranges = {"hidden_size": [3, 4], "learning_rate": [0.001, 0.01]}
    classifier = BiLSTMClassifier(max_epochs=1, embedding_size=4, char_hidden_size=2)
    search = RandomizedSearchCV(classifier, ranges, n_iter=2, cv=2, random_state=0)
    search.fit(X, np.where(y > 0, "up", "down"))
    assert search.predict(X).shape == (40,)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    if form == "texts":
        return
    search = GridSearchCV(BiLSTMRegressor(max_epochs=1), {"hidden_size": [3, 4]}, cv=2).fit(X, y)
    alone = [cross_val_score(BiLSTMRegressor(max_epochs=1, hidden_size=size), X, y, cv=2).mean() for size in (3, 4)]
    assert_close(search.cv_results_["mean_test_score"], alone)


GRIDS = {
    BiLSTMRegressor: {"hidden_size": np.arange(2, 3), "dropout": np.linspace(0, 0.1, 2, dtype=np.float32)[1:]},
    BiLSTMClassifier: {"num_layers": np.array([2], dtype=np.int8), "table_as": np.array(["steps"])},
    BiLSTMTagger: {"crf": np.array([False]), "char_hidden_size": np.array([2], dtype=np.uint16)},
    BiLSTMForecaster: {"history": np.arange(8, 9), "horizon": np.arange(2, 3), "linear": np.array([True])},
    BiLSTMTranscriber: {"mels": np.array([20]), "stack": np.array([2]), "masks": np.array([False])},
}


@pytest.mark.parametrize("estimator", GRIDS)
def test_numpys_numbers_are_pythons_in_every_parameter(estimator):
    grid = {name: values[0] for name, values in GRIDS[estimator].items()}
    numbers = {name: v for name, v in estimator().get_params().items() if type(v) in (int, float, bool)}
    every = {name: np.array([value])[0] for name, value in numbers.items()} | grid
    model = clone(estimator(**every))
    assert model.get_params() == estimator().get_params() | grid
    assert not [name for name, value in model.get_params().items() if isinstance(value, np.generic)]
    changed = estimator().set_params(**every)
    assert repr(changed) == repr(model)
    check_parameters(changed.get_params(), estimator.by_kind)


@pytest.mark.parametrize("name", ["hidden_size", "learning_rate", "validation_fraction"])
def test_numpys_numbers_are_held_to_the_same_limits(name):
    X, y = sequences(8)
    with pytest.raises(ParameterError, match=f"expected {name} to be"):
        BiLSTMRegressor(**{name: np.float64(-1)}).fit(X, y)


def test_a_model_of_numpys_numbers_is_the_model_of_pythons_and_its_file_too(tmp_path):
    X, y = sequences(20)
    plain = BiLSTMRegressor(hidden_size=3, max_epochs=2, random_state=5, dropout=0.25, batch_size=8).fit(X, y)
    numpys = {"hidden_size": np.int16(3), "max_epochs": np.uint8(2), "random_state": np.int64(5)}
    model = BiLSTMRegressor(**numpys, dropout=np.float16(0.25), batch_size=np.int32(8)).fit(pd.Series(X), y)
    assert_same_model(model, plain)
    model.save(tmp_path / "model.bilstm")
    assert load(tmp_path / "model.bilstm").get_params() == plain.get_params()


def test_a_search_takes_columns_of_sequences_as_it_takes_lists():
    X, y = sequences(24)
    column = np.empty(len(X), dtype=object)
    column[:] = X
    grid = {"hidden_size": np.arange(2, 4), "pooling": np.array(["mean"])}
    found = [
        GridSearchCV(BiLSTMRegressor(max_epochs=1), grid, cv=2, error_score="raise").fit(data, y).best_score_
        for data in (X, column)
    ]
    assert found[0] == found[1]


def test_a_frame_is_not_taken_for_texts():
    texts, frame = ["good", "bad"] * 6, pd.DataFrame({"review": ["good", "bad"]})
    model = BiLSTMClassifier(max_epochs=1, hidden_size=2, embedding_size=2).fit(texts, [1, 0] * 6)
    for X in (frame, pl.from_pandas(frame), {"review": ["good"]}):
        with pytest.raises(DataError, match=r"expected a list of texts, got .*\nhint: name the column of texts"):
            model.predict(X)
    assert len(model.predict(frame["review"])) == 2
