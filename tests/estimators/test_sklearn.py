"""scikit-learn's own checks, and its tools, on the estimators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from bilstm import BiLSTMClassifier, BiLSTMRegressor
from tests.compare import assert_close

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
