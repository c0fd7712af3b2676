"""How mistakes are worded."""

from __future__ import annotations

import pickle  # noqa: TID251 -- errors cross process borders in scikit-learn's parallel tools

import pytest

from bilstm.errors import BilstmError, DataError, ParameterError, TrainingError, did_you_mean


def test_a_hint_stands_on_its_own_line():
    assert str(DataError("expected a, got b", hint="do c")) == "expected a, got b\nhint: do c"
    assert str(DataError("expected a, got b")) == "expected a, got b"


@pytest.mark.parametrize(
    "kind, builtin",
    [
        (DataError, ValueError),
        (ParameterError, ValueError),
        (TrainingError, ArithmeticError),
    ],
)
def test_every_error_is_also_the_builtin_that_programs_expect(kind, builtin):
    assert issubclass(kind, builtin)
    assert issubclass(kind, BilstmError)


def test_an_error_survives_the_way_to_another_process():
    error = pickle.loads(pickle.dumps(DataError("message", hint="hint")))
    assert (type(error), error.message, error.hint) == (DataError, "message", "hint")


@pytest.mark.parametrize(
    "word, choices, answer",
    [
        ("medw", ["medv", "crim"], "did you mean 'medv'?"),
        ("MEDV", ["medv", "crim"], "did you mean 'medv'?"),
        ("price", ["medv", "crim"], "there are 'medv', 'crim'"),
        ("x", [], "there are none"),
        ("zzz", list("abcdefghijk"), "there are 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and 3 more"),
    ],
)
def test_the_nearest_name_is_offered_or_all_are_listed(word, choices, answer):
    assert did_you_mean(word, choices) == answer
