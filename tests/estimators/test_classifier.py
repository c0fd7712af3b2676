"""The classifier: labels of every kind, probabilities, weights, and mistakes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from bilstm import BiLSTMClassifier, Dataset, digits, evaluate, load
from bilstm.errors import DataError, ParameterError
from tests.compare import assert_close
from tests.models import split_as_by_fit

SMALL = {"hidden_size": 8, "max_epochs": 4}


def blobs(count=90, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(count) % classes
    return generator.normal(size=(count, 4)) + 3 * np.eye(4)[y], y


def test_it_reads_digits_row_by_row():
    data = digits()
    model = BiLSTMClassifier(hidden_size=32, max_epochs=15).fit(data.take(range(0, 1797, 2)))
    assert evaluate(model, data.take(range(1, 1797, 2)))["accuracy"] > 0.9


@pytest.mark.parametrize("names", [["c", "a", "b"], [7, 3, 5], [5.0, -1.0, 2.0], ["ja", "nein", "vielleicht"]])
def test_labels_come_back_in_their_own_kind(names):
    X, y = blobs()
    labels = np.array(names)[y]
    model = BiLSTMClassifier(hidden_size=16, max_epochs=60).fit(X, labels)
    predicted = model.predict(X)
    assert predicted.dtype == labels.dtype
    assert np.mean(predicted == labels) > 0.9
    assert_close(model.classes_, np.unique(labels))


def test_probabilities_sum_to_one_and_their_largest_is_the_prediction():
    X, y = blobs()
    model = BiLSTMClassifier(**SMALL).fit(X, y)
    probabilities = model.predict_proba(X)
    assert_close(probabilities.sum(axis=1), np.ones(len(X)), atol=1e-12)
    assert_close(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    name, probability = model.prediction_columns(X)
    assert (name.name, probability.name) == ("predicted_y", "probability")
    assert_close(probability.to_numpy(), probabilities.max(axis=1))


def test_class_weights_move_the_border():
    generator = np.random.default_rng(0)
    X = np.concatenate([generator.normal(size=(180, 2)), generator.normal(size=(20, 2)) + 1.5])
    y = np.repeat(["common", "rare"], [180, 20])
    found = [
        np.mean(BiLSTMClassifier(hidden_size=8, max_epochs=25, class_weight=w).fit(X, y).predict(X[180:]) == "rare")
        for w in (None, "balanced", {"rare": 50.0})
    ]
    assert found[0] < found[1] <= found[2]


def test_label_smoothing_makes_it_less_sure_and_leaves_the_validation_loss_plain():
    X, y = blobs(300)
    fit = {"hidden_size": 16, "max_epochs": 60}
    sure, smooth = (BiLSTMClassifier(**fit, label_smoothing=s).fit(X, y) for s in (0.0, 0.2))
    for model in (sure, smooth):
        model.temperature_ = 1.0  # calibration would take back what smoothing did
    assert smooth.predict_proba(X).max(axis=1).mean() < sure.predict_proba(X).max(axis=1).mean()
    for model in (sure, smooth):
        _, held_out = split_as_by_fit(model, Dataset.from_arrays(X, y))
        best = int(np.argmin(model.history_["validation_loss"]))
        assert_close(model.history_["validation_loss"][best], evaluate(model, held_out)["log_loss"], rtol=1e-5)


def test_the_metrics_are_scikit_learns():
    X, y = blobs()
    model = BiLSTMClassifier(**SMALL).fit(X, y)
    figures = evaluate(model, Dataset.from_arrays(X, y))
    assert_close(figures["accuracy"], accuracy_score(y, model.predict(X)))
    assert_close(figures["f1_macro"], f1_score(y, model.predict(X), average="macro"))
    assert_close(figures["log_loss"], log_loss(y, model.predict_proba(X)), rtol=1e-9)
    assert figures["n"] == 90


def test_the_validation_part_keeps_the_shares_of_the_classes():
    X, y = blobs(300)
    y = np.where(np.arange(300) < 30, 2, np.arange(300) % 2)
    model = BiLSTMClassifier(**SMALL)
    data = Dataset.from_arrays(X, y)
    _, held_out = model._split(data, None, seed=0)
    assert np.bincount(held_out.target_values).tolist() == [14, 13, 3]


def test_class_weights_of_numbers_survive_the_model_file_and_the_command_line(run, tmp_path):
    X, y = blobs()
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    model = BiLSTMClassifier(**SMALL, class_weight=weights).fit(X, y)
    model.save(tmp_path / "m.bilstm")
    again = load(tmp_path / "m.bilstm").fit(X, y)
    assert_close(again.predict_proba(X), model.predict_proba(X))
    table = pl.DataFrame(X, schema=list("abcd"))
    table.with_columns(y=y).write_csv(tmp_path / "blobs.csv")
    options = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", value)]
    told = ",".join(f"{name}={weight}" for name, weight in weights.items())
    status, _, err = run(
        "fit", "classifier", "blobs.csv", "--target", "y", "-o", "c.bilstm", "--class-weight", told, *options
    )
    assert status == 0, err
    assert_close(load(tmp_path / "c.bilstm").predict_proba(table), model.predict_proba(X), atol=1e-6)


X, Y = blobs()
MISTAKES = {
    "one class": (X, np.zeros(90, int), r"expected at least two classes, got \[0\]"),
    "a class seen once": (
        X,
        np.where(np.arange(90) == 4, 9, Y),
        "expected at least 2 rows of every class, got 1 of class 9",
    ),
    "numbers": (X, X[:, 0], "Unknown label type: continuous.*\nhint: for numbers use a regressor"),
    "a missing label among text": (X, ["a", float("nan"), "b"] * 30, r"got None .*row 1"),
    "labels of two kinds": (
        X,
        np.array([1, "b", 1] * 30, dtype=object),
        "expected targets of one kind, got text and 1",
    ),
    "a missing label": (X, [None, *Y[1:].tolist()], "expected a label in every row, got None .*row 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_labels_that_cannot_be_learned_are_refused_with_the_reason(name):
    inputs, labels, message = MISTAKES[name]
    with pytest.raises(DataError, match=message):
        BiLSTMClassifier(**SMALL).fit(inputs, labels)


def test_a_class_seen_once_is_no_obstacle_without_a_validation_part():
    labels = np.where(np.arange(90) == 4, 9, Y)
    assert 9 in BiLSTMClassifier(**SMALL, validation_fraction=0).fit(X, labels).classes_


def test_a_weight_for_an_unknown_class_is_refused():
    with pytest.raises(
        ParameterError, match="expected class_weight of known classes, got 'nien'\nhint: did you mean 'nein'"
    ):
        BiLSTMClassifier(**SMALL, class_weight={"nien": 2}).fit(X, np.array(["ja", "nein", "x"])[Y])


def test_evaluating_on_a_class_that_was_never_seen_is_refused():
    model = BiLSTMClassifier(**SMALL).fit(X, Y)
    with pytest.raises(DataError, match="expected a known class, got 7"):
        evaluate(model, Dataset.from_arrays(X[:2], np.array([0, 7])))


def test_a_table_with_a_column_called_word_is_a_table():
    frame = pl.DataFrame({"word": ["yes", "no"] * 20})
    model = BiLSTMClassifier(**SMALL).fit(frame, [1, 0] * 20)
    assert (model.is_table_, model.is_language_) == (True, False)
