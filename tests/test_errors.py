"""How mistakes are worded."""

from __future__ import annotations

import contextvars
import pickle  # noqa: TID251 -- errors cross process borders in scikit-learn's parallel tools
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from bilstm.errors import (
    BilstmError,
    DataError,
    DataWarning,
    ParameterError,
    TrainingError,
    did_you_mean,
    record_warnings,
    warn,
)


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


def test_warnings_of_one_piece_of_work_are_recorded_once_each_though_others_warn_beside_it():
    def work(name):
        with record_warnings(show=False) as messages:
            started.wait()
            for _ in range(50):
                warn(f"column {name!r} is empty")
            with record_warnings() as inner:
                warn("an inner one")
        return messages, inner

    started = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(pool.map(work, "abcd"))
    for name, (messages, inner) in zip("abcd", found, strict=True):
        assert messages == [f"column {name!r} is empty", "an inner one"]
        assert inner == ["an inner one"]


def test_a_recorded_warning_is_shown_as_ever_and_names_the_line_that_warns():
    with pytest.warns(DataWarning, match="a gap") as shown, record_warnings() as messages:
        warn("a gap")
    assert messages == ["a gap"]
    assert shown[0].filename == __file__
    with pytest.warns(DataWarning):  # when it is over nobody records
        warn("another")
    assert messages == ["a gap"]


def test_a_thread_that_runs_in_a_copy_of_the_context_records_too():
    with record_warnings(show=False) as messages, ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, warn, "from a thread").result()
    assert messages == ["from a thread"]
