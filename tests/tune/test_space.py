"""What is searched: the spaces of the tasks fit their parameters, and words narrow them or are refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import bilstm
from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, boston, digits, sunspots
from bilstm.cli.options import value_reader
from bilstm.data.series.reader import read_series
from bilstm.data.text.reader import from_texts
from bilstm.errors import ParameterError
from bilstm.estimators.loading import ESTIMATORS
from bilstm.estimators.signatures import declaration
from bilstm.formatting import as_option
from bilstm.tune.space import (
    FIXED,
    Choices,
    Range,
    check_space,
    default_params,
    distributions,
    parsed,
    space_for,
    trial_params,
)

KINDS = [getattr(bilstm, name) for name in ESTIMATORS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.task)
def test_every_tasks_own_space_is_within_the_limits_and_holds_the_default(kind):
    estimator = kind()
    own = [kind.space, *([kind.space_of_text] if kind is BiLSTMClassifier else [])]
    told = declaration(kind.__module__, kind.__name__).attributes
    assert [told[name] for name in told if name.startswith("space")] == own, "help reads others from the source"
    for is_language, space in enumerate(own):
        check_space(estimator, space)
        first = default_params(estimator, space, bool(is_language))
        assert first.keys() == space.keys()
        for name, dimension in space.items():
            assert first[name] in dimension, name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.task)
def test_every_task_says_how_its_trials_are_compared(kind):
    assert kind.compare_trials_by in ("loss", "metric")
    assert isinstance(kind.higher_is_better, bool)
    assert kind.higher_is_better or not kind.keeps_best_metric, "the best epoch is that of the highest metric"


def test_texts_tables_and_sequences_are_searched_differently():
    texts = from_texts(["good", "bad"] * 4)
    assert "embedding_dropout" in space_for(BiLSTMClassifier(), texts)
    assert "input_noise" not in space_for(BiLSTMClassifier(), texts)
    assert "pooling" not in space_for(BiLSTMRegressor(), boston())
    assert "pooling" in space_for(BiLSTMRegressor(table_as="steps"), boston())
    assert "pooling" in space_for(BiLSTMClassifier(), digits())


def test_only_what_is_positive_is_seen_by_its_logarithm():
    up, down = (read_series(np.arange(1.0, 90.0) * sign) for sign in (1, -1))
    assert "log-return" in space_for(BiLSTMForecaster(), up)["target_as"]
    assert "log-return" not in space_for(BiLSTMForecaster(), down)["target_as"]
    assert "log-return" not in space_for(BiLSTMForecaster(), sunspots())["target_as"]


def test_what_is_fixed_is_not_searched_unless_it_is_asked_for():
    assert "dropout" not in space_for(BiLSTMRegressor(dropout=0.3), boston())
    assert "dropout" not in space_for(BiLSTMRegressor(), boston(), fixed=["dropout"])
    space = space_for(BiLSTMRegressor(dropout=0.3), boston(), {"dropout": Range(0.0, 0.1)})
    assert space["dropout"] == Range(0.0, 0.1)


def test_a_search_of_nothing_is_refused():
    with pytest.raises(ParameterError, match="expected a parameter to search, got all of them fixed"):
        space_for(BiLSTMRegressor(), boston(), fixed=list(BiLSTMRegressor.space))


@pytest.mark.parametrize(
    ("word", "dimension"),
    [
        ("hidden_size=32..256", Range(32, 256, log=True, whole=True)),  # as the task's own: by its logarithm
        ("hidden-size=32..33", Range(32, 33, log=True, whole=True)),
        ("dropout=0..0.3", Range(0.0, 0.3)),
        ("learning_rate=1e-4..1e-2", Range(1e-4, 1e-2, log=True)),
        ("clip_norm=0.1..10", Range(0.1, 10.0, log=True)),  # not among the task's own: wide
        ("clip_norm=1..2", Range(1.0, 2.0)),
        ("weight_decay=0..1e-3", Range(0.0, 1e-3)),  # zero has no logarithm
        ("pooling=mean,max", Choices(("mean", "max"))),
        ("batch_size=16, none,16", Choices((16, None))),
        ("num_layers=2", Choices((2,))),
        ("hidden_size=8..8", Choices((8,))),
        ("--optimizer=adam,adamw", Choices(("adam", "adamw"))),
    ],
)
def test_words_become_ranges(word, dimension):
    (found,) = parsed([word], BiLSTMRegressor, value_reader).values()
    assert found == dimension


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hidden_size", "expected NAME=LOW..HIGH or NAME=VALUE,VALUE, got 'hidden_size'"),
        ("hidden_size=", "expected NAME=LOW"),
        ("hiden_size=1..2", "did you mean 'hidden_size'"),
        ("hidden_size=a..b", "expected values of hidden_size"),
        ("hidden_size=1.5..3", "expected values of hidden_size"),
        ("hidden_size=9..3", "expected numbers from low to high for hidden_size"),
        ("batch_size=none..3", "expected numbers from low to high"),
        ("learning_rate=1e-4..nan", "expected numbers from low to high"),
        ("pooling=mean..max", "expected numbers from low to high"),
    ],
)
def test_other_words_are_refused(word, message):
    with pytest.raises(ParameterError, match=message):
        parsed([word], BiLSTMRegressor, value_reader)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"dropout": Range(0.0, 2.0)}, "expected dropout to be a number of at least 0 and below 1, got 2.0"),
        ({"pooling": Choices(("mean", "mode"))}, "expected pooling to be one of"),
        ({"random_state": Choices((1, 2))}, "got 'random_state': every trial has the same seeds"),
        ({"validation_fraction": Range(0.1, 0.3)}, "trials are compared on the same held-out part"),
        ({"max_epochs": Choices((5, 9))}, "trials are compared epoch by epoch"),
        ({"nothing": Choices((1,))}, "expected a parameter to search, got 'nothing'"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_fitted(search, message):
    with pytest.raises(ParameterError, match=message):
        space_for(BiLSTMRegressor(), boston(), search)


def test_every_parameter_that_a_search_must_leave_alone_exists():
    known = {name for kind in KINDS for name in inspect.signature(kind).parameters}
    assert FIXED.keys() <= known


def test_optuna_says_the_same():
    space = {"a": Range(1, 8, log=True, whole=True), "b": Range(0.0, 0.5), "c": Choices(("x", None))}
    assert distributions(space) == {
        "a": IntDistribution(1, 8, log=True),
        "b": FloatDistribution(0.0, 0.5),
        "c": CategoricalDistribution(("x", None)),
    }


def test_numbers_have_three_digits_and_stay_inside():
    space = {"rate": Range(0.0012345, 0.1, log=True), "size": Range(1, 9, whole=True), "way": Choices(("x",))}
    assert trial_params(space, {"rate": 0.0123456, "size": 3, "way": "x"}) == {"rate": 0.0123, "size": 3, "way": "x"}
    assert trial_params(space, {"rate": 0.0012345, "size": 3, "way": "x"})["rate"] == 0.0012345


@pytest.mark.parametrize("value", [0.0213, 1e-5, 0.5, 3, None, True, "mean"])
def test_what_is_said_is_read_again(value):
    annotation = {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value), "float | None")
    assert value_reader(annotation)(as_option(value)) == value
