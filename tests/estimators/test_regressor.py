"""The regressor on every form of input, and its part of the laws of estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from bilstm import BiLSTMRegressor, Dataset, boston, evaluate
from bilstm.errors import DataError, ParameterError
from bilstm.networks.network import POOLING_NAMES
from tests.compare import assert_close
from tests.models import split_as_by_fit

SMALL = {"hidden_size": 8, "max_epochs": 3}


def ragged(count=30, features=2, seed=0):
    generator = np.random.default_rng(seed)
    X = [generator.normal(size=(t, features)) for t in generator.integers(1, 9, size=count)]
    return X, np.array([x.sum() for x in X])


def test_it_learns_the_boston_prices_better_than_their_mean():
    data = boston()
    model = BiLSTMRegressor(max_epochs=40).fit(data.take(range(0, 506, 2)))
    figures = evaluate(model, data.take(range(1, 506, 2)))
    assert figures["n"] == 253
    assert figures["r2"] > 0.7


def test_it_uses_the_past_and_the_future_of_a_sequence():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 6, 1))
    y = 2 * X[:, 0, 0] - X[:, 5, 0]  # the first step and the last
    model = BiLSTMRegressor(hidden_size=16, max_epochs=60, pooling="mean").fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.95


@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_predictions_come_in_the_callers_order_whatever_the_lengths(pooling):
    X, y = ragged()
    model = BiLSTMRegressor(**SMALL, pooling=pooling).fit(X, y)
    together = model.predict(X)
    assert_close(together, np.concatenate([model.predict([x]) for x in X]), atol=1e-5)
    order = np.random.default_rng(1).permutation(len(X))
    assert_close(model.predict([X[i] for i in order]), together[order], atol=1e-5)


def test_a_list_of_equal_lengths_and_a_block_are_one_thing():
    X, y = np.random.default_rng(0).normal(size=(20, 4, 3)), np.arange(20.0)
    a, b = BiLSTMRegressor(**SMALL).fit(X, y), BiLSTMRegressor(**SMALL).fit(list(X), y)
    assert_close(a.predict(X), b.predict(list(X)))


def test_several_targets_are_learned_together_and_keep_their_columns():
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = np.stack([1000 + X[:, 0], -5 * X[:, 1]], axis=1)
    model = BiLSTMRegressor(hidden_size=16, max_epochs=40).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (200, 2)
    assert r2_score(y[:, 0], predicted[:, 0]) > 0.9
    assert r2_score(y[:, 1], predicted[:, 1]) > 0.9
    assert [column.name for column in model.prediction_columns(X)] == ["predicted_y0", "predicted_y1"]


def test_frames_of_both_libraries_with_gaps_and_names_are_read_alike():
    columns = {"rooms": [1.0, None, 3.0, 4.0] * 8, "town": ["a", "b", None, "b"] * 8}
    y = np.arange(32.0)
    a = BiLSTMRegressor(**SMALL).fit(pd.DataFrame(columns), y)
    b = BiLSTMRegressor(**SMALL).fit(pl.DataFrame(columns), y)
    new = {"rooms": [None, 2.0], "town": ["a", "elsewhere"]}
    assert_close(a.predict(pd.DataFrame(new)), b.predict(pl.DataFrame(new)))
    assert a.features_.names == ["rooms", "rooms is missing", "town=a", "town=b", "town is missing"]


def test_columns_as_steps_is_a_sequence_of_the_columns():
    data = boston().take(range(80))
    model = BiLSTMRegressor(**SMALL, table_as="steps").fit(data)
    assert model.network_.lstm.input_size == 1
    assert model.encode(data).lengths.unique().tolist() == [13]
    assert model.predict(data).shape == (80,)


def test_the_note_on_sequences_of_one_step_is_said_once_and_only_of_tables(capsys):
    BiLSTMRegressor(**SMALL, verbose=9).fit(boston().take(range(60)))
    assert capsys.readouterr().err.count("recurrent weights are never used") == 1
    BiLSTMRegressor(**SMALL, verbose=9, table_as="steps").fit(boston().take(range(60)))
    BiLSTMRegressor(**SMALL, verbose=9).fit(*ragged())
    assert "recurrent" not in capsys.readouterr().err


# -- laws --------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 59), st.floats(-1e6, 1e6))
def test_a_fitted_scaler_saw_training_rows_only(row, value):
    data = boston().take(range(60))
    model = BiLSTMRegressor(hidden_size=2, max_epochs=1)
    before = model.fit(data).encoders()
    changed = data.steps.to_numpy().copy()
    changed[row] += 1 + abs(value)
    targets = data.target_values.astype(float).copy()
    targets[row] += 1 + abs(value)
    frame = pl.from_numpy(changed, schema=data.feature_names)
    after = BiLSTMRegressor(hidden_size=2, max_epochs=1).fit(frame, targets).encoders()
    rows, held_out = split_as_by_fit(model, data)
    assert len(held_out) == 6
    for part in ("features", "scaler"):
        means = [c["mean"] for c in before[part]] if part == "features" else before[part]["mean"]
        new_means = [c["mean"] for c in after[part]] if part == "features" else after[part]["mean"]
        assert (means == new_means) == (row not in rows), f"row {row}, {part}"


def test_validation_data_that_is_given_never_reaches_the_scaler():
    data, other = boston().take(range(60)), boston().take(range(400, 500))
    a = BiLSTMRegressor(**SMALL, validation_fraction=0).fit(data)
    b = BiLSTMRegressor(**SMALL).fit(data, validation=other)
    assert a.encoders() == b.encoders()


def test_the_metrics_are_scikit_learns():
    data = boston()
    model = BiLSTMRegressor(**SMALL).fit(data.take(range(200)))
    test = data.take(range(200, 300))
    truth, predicted = test.target_values, model.predict(test)
    figures = evaluate(model, test)
    assert_close(figures["rmse"], root_mean_squared_error(truth, predicted), rtol=1e-12)
    assert_close(figures["mae"], mean_absolute_error(truth, predicted), rtol=1e-12)
    assert_close(figures["r2"], r2_score(truth, predicted), rtol=1e-12)


def test_columns_that_changed_places_are_refused_in_frames_of_both_libraries():
    for library in (pd, pl):
        frame = library.DataFrame({"a": [0.0, 1.0] * 10, "b": [5.0, 3.0] * 10})
        model = BiLSTMRegressor(**SMALL).fit(frame, np.arange(20.0))
        assert list(model.feature_names_in_) == ["a", "b"]
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(frame[["b", "a"]])
        with pytest.raises(ValueError, match="feature names should match"):
            BiLSTMRegressor(**SMALL).fit(frame, np.arange(20.0), validation=(frame[["b", "a"]], np.arange(20.0)))


def test_targets_of_a_dataset_are_found_by_name():
    steps = pl.DataFrame({"x": np.arange(30.0)})
    targets = pl.DataFrame({"p": np.arange(30.0), "q": -100 * np.arange(30.0)})
    data = Dataset(steps, np.ones(30), targets)
    model = BiLSTMRegressor(**SMALL).fit(data)
    turned = Dataset(steps, np.ones(30), targets.select("q", "p"))
    assert evaluate(model, turned) == evaluate(model, data)
    with pytest.raises(DataError, match=r"expected targets \['p', 'q'\], got \['p'\]"):
        evaluate(model, Dataset(steps, np.ones(30), targets.select("p")))


def test_lists_of_plain_numbers_are_sequences_also_where_all_are_equally_long():
    generator = np.random.default_rng(0)
    X = [generator.normal(size=t) for t in (3, 5, 3, 4, 3, 6)]
    model = BiLSTMRegressor(**SMALL, validation_fraction=0).fit(X, np.arange(6.0))
    assert_close(model.predict([X[0], X[2]]), model.predict(X)[[0, 2]], atol=1e-6)


# -- mistakes ----------------------------------------------------------------------------------------------------

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
MISTAKES = {
    "one row": (X[:1], Y[:1], r"expected at least 2 sequences to learn from, got n_samples = 1"),
    "a constant target": (X, np.full(20, 3.0), "expected target 'y' to vary, got 3 in every row"),
    "a missing target": (X, np.where(Y == 7, np.nan, Y), r"expected a number for target 'y' .*NaN .*row 7"),
    "text as target": (
        X,
        ["a", "b"] * 10,
        "expected numbers in target 'y', got 'a' .*\nhint: for labels use a classifier",
    ),
    "an empty sequence": ([np.zeros((2, 1)), np.zeros((0, 1))], Y[:2], r"got an empty one \(X, sequence 1\)"),
    "texts": (["good", "bad"] * 10, Y, r"expected numbers, got text \(X\)\nhint: a classifier or a tagger reads text"),
    "fewer targets than rows": (X, Y[:5], "expected 20 targets, got 5"),
    "no targets": (X, None, "requires y to be passed, but the target y is None"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_data_that_cannot_be_learned_is_refused_with_the_reason(name):
    inputs, targets, message = MISTAKES[name]
    with pytest.raises(DataError, match=message):
        BiLSTMRegressor(**SMALL).fit(inputs, targets)


def test_all_parameters_out_of_range_are_named_at_once():
    model = BiLSTMRegressor(hidden_size=0, dropout=1.0, pooling="finale", max_epochs=2.5)
    with pytest.raises(ParameterError) as caught:
        model.fit(X, Y)
    assert str(caught.value) == (
        "expected hidden_size to be a whole number of at least 1, got 0; "
        "expected dropout to be a number of at least 0 and below 1, got 1.0; "
        "expected pooling to be one of 'final', 'mean', 'max', 'attention', got 'finale'; "
        "expected max_epochs to be a whole number of at least 1, got 2.5\n"
        "hint: did you mean 'final'?"
    )


def test_sequences_where_a_table_was_learned_are_refused():
    model = BiLSTMRegressor(**SMALL).fit(X, Y)
    with pytest.raises(DataError, match=r"expected a table .* got sequences of several steps"):
        model.predict(np.zeros((3, 4, 2)))


def test_another_number_of_features_is_refused():
    sequences, targets = ragged()
    model = BiLSTMRegressor(**SMALL).fit(sequences, targets)
    with pytest.raises(DataError, match="X has 3 features, but BiLSTMRegressor is expecting 2"):
        model.predict([np.zeros((4, 3))])


def test_targets_are_needed_to_evaluate():
    model = BiLSTMRegressor(**SMALL).fit(X, Y)
    with pytest.raises(DataError, match="expected data with targets, got none"):
        evaluate(model, Dataset.from_arrays(X))
