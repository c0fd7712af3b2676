"""What a host program has left set changes no answer, and is left as it was.

A matrix: five tasks by the states of a host, and in each fit, predict, x_ray, save and load. A forked process is one
more such state; its tests are in estimators/test_forks.py.
"""

from __future__ import annotations

import functools
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bilstm
from bilstm.demo.tones import dial_tones
from bilstm.errors import DataError, DataWarning, record_warnings
from bilstm.xray import x_ray
from tests.compare import assert_close
from tests.models import assert_same_model
from tests.speech import TINY

QUICK: dict[str, Any] = {"hidden_size": 5, "max_epochs": 2, "random_state": 3}
WORDS: dict[str, Any] = QUICK | {"embedding_size": 6, "char_hidden_size": 4}
SENTENCES = [["Ann", "lives", "in", "Rome"], ["Rome", "is", "old"], ["Bob", "saw", "Ann"]] * 8
TAGS = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O", "O"], ["B-PER", "O", "B-PER"]] * 8
WALKS = np.random.default_rng(0).normal(size=(30, 6, 2)).cumsum(axis=1)
WAVE = np.random.default_rng(1).normal(size=90).cumsum()

Work = Callable[[], Any]


def estimator(task: str, **changes: Any) -> Any:
    """Small ones with all that is drawn: dropout, between layers too, noise, words that are dropped, masks."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "regressor": (bilstm.BiLSTMRegressor, QUICK | {"num_layers": 2, "dropout": 0.3, "input_noise": 0.1}),
        "classifier": (bilstm.BiLSTMClassifier, WORDS | {"dropout": 0.3}),
        "tagger": (bilstm.BiLSTMTagger, WORDS | {"num_layers": 2}),
        "forecaster": (
            bilstm.BiLSTMForecaster,
            QUICK | {"history": 8, "horizon": 3, "linear": False, "target_as": "level"},
        ),
        "transcriber": (bilstm.BiLSTMTranscriber, TINY | {"num_layers": 2, "dropout": 0.3}),
    }
    kind, parameters = kinds[task]
    return kind(**parameters | changes)


@functools.cache
def data(task: str) -> tuple[Any, Any]:
    return {
        "regressor": lambda: (WALKS, WALKS[:, -1, 0]),
        "classifier": lambda: ([" ".join(words) for words in SENTENCES], [len(words) % 2 for words in SENTENCES]),
        "tagger": lambda: (SENTENCES, TAGS),
        "forecaster": lambda: (WAVE, None),
        "transcriber": lambda: dial_tones(8, rate=TINY["sample_rate"]),
    }[task]()


@functools.cache
def fitted(task: str) -> Any:
    """A model that was fitted where no host has set anything; no test may change it."""
    return estimator(task).fit(*data(task))


def new_data(task: str) -> Any:
    return None if task == "forecaster" else data(task)[0][:3]


def predicted(task: str, model: Any) -> list[Any]:
    """All that a model says of data, as numbers and words."""
    given = new_data(task)
    chances = [*model.predict_proba(given)] if hasattr(model, "predict_proba") else []
    return [model.prediction_frame(None if given is None else model.to_dataset(given, None)), *chances]


def rayed(task: str, model: Any) -> list[Any]:
    ray = x_ray(model, new_data(task), outputs=1)
    return [ray.prediction, ray.gates.hidden, *(one.amount for one in ray.contributions)]


def through_a_file(model: Any, path: Path) -> Any:
    model.save(path)
    return bilstm.load(path)


def assert_same_answers(found: list[Any], expected: list[Any], what: str) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, np.ndarray):
            assert_close(a, b, what=what)
        else:
            assert a.equals(b) if hasattr(b, "equals") else a == b, what


# -- the states that a host may have left ------------------------------------------------------------------------


@contextmanager
def grad_left_off():
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    torch.set_default_device("meta")  # stands for a GPU: what is made there by mistake cannot be used
    yield
    torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@contextmanager
def strict():
    with np.errstate(all="raise"), warnings.catch_warnings(action="error"), torch.autograd.set_detect_anomaly(False):
        yield


@contextmanager
def several():
    with torch.inference_mode(), torch.autocast("cpu"), default_dtype():
        yield


def inside(state: Callable[[], Any]) -> Callable[[Work], Any]:
    def run(work: Work) -> Any:
        with state():
            before = world()
            result = work()
            assert_same_world(world(), before)
        return result

    return run


def in_a_thread(work: Work) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(inside(grad_left_off), work).result()


# Each runs a piece of work in its state, and gives back what that says.
STATES: dict[str, Callable[[Work], Any]] = {
    "gradients left off": inside(grad_left_off),
    "no_grad": inside(torch.no_grad),
    "inference mode": inside(torch.inference_mode),
    "autocast": inside(lambda: torch.autocast("cpu", torch.bfloat16)),
    "float64 by default": inside(default_dtype),
    "another device by default": inside(default_device),
    "deterministic algorithms": inside(deterministic),
    "strict NumPy and warnings": inside(strict),
    "several of them": inside(several),
    "another thread": in_a_thread,
}


def world() -> dict[str, Any]:
    """What belongs to the host."""
    return {
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "type": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), threading.active_count()),
        "generators": (
            torch.random.get_rng_state().tolist(),
            str(np.random.mtrand._rand.get_state()),
            random.getstate(),
        ),
        "warnings": list(warnings.filters),
        "NumPy": np.geterr(),
        "modes": torch._C._len_torch_function_stack(),
        "recursion": sys.getrecursionlimit(),
    }


def assert_same_world(after: dict[str, Any], before: dict[str, Any]) -> None:
    for name, value in before.items():
        assert after[name] == value, name


MATRIX = pytest.mark.parametrize("task", ["regressor", "classifier", "tagger", "forecaster", "transcriber"])


@MATRIX
@pytest.mark.parametrize("state", STATES)
def test_no_state_of_a_host_changes_an_answer(task, state, tmp_path):
    model, run = fitted(task), STATES[state]
    files = [tmp_path / name for name in ("inside.bilstm", "again.bilstm")]
    fresh = run(lambda: estimator(task).fit(*data(task)))
    assert_same_model(fresh, model)
    loaded = run(lambda: through_a_file(model, files[0]))
    expected = predicted(task, model)
    assert_same_answers(run(lambda: predicted(task, model)), expected, "predicted inside")
    for other in (fresh, loaded, through_a_file(fresh, files[1])):
        assert_same_answers(predicted(task, other), expected, "predicted outside, of what was made inside")
    ray = rayed(task, model)
    assert_same_answers(run(lambda: rayed(task, loaded)), ray, "x_ray inside")
    assert_same_answers(rayed(task, loaded), ray, "x_ray outside")
    assert_same_model(loaded.fit(*data(task)), model)


@pytest.mark.slow
def test_a_package_that_is_first_imported_in_a_changed_world_is_the_same():
    code = """
import torch
torch.set_default_dtype(torch.float64), torch.set_default_device("meta"), torch.set_grad_enabled(False)
import numpy as np, bilstm, bilstm.training.streamed
X = np.arange(60.0).reshape(10, 3, 2)
print(bilstm.BiLSTMRegressor(hidden_size=2, max_epochs=1).fit(X, X.sum((1, 2))).predict(X[:2]).shape)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "(2,)\n"), ran.stderr


# -- several threads ---------------------------------------------------------------------------------------------


@MATRIX
def test_fits_in_several_threads_are_the_fit_alone_and_draw_nothing_of_the_hosts(task):
    """While the host draws, too."""
    before, over = world()["generators"][1:], threading.Event()
    torch.manual_seed(7)
    drawn: list[torch.Tensor] = []

    def draw() -> None:
        while not over.is_set():
            drawn.append(torch.rand(1))
            time.sleep(0.001)

    with ThreadPoolExecutor(5) as pool:
        host = pool.submit(draw)
        models = list(pool.map(lambda _: estimator(task).fit(*data(task)), range(4)))
        over.set()
        host.result()
    for model in models:
        assert_same_model(model, fitted(task))
    assert_close(torch.cat(drawn), torch.rand(len(drawn), generator=torch.Generator().manual_seed(7)))
    assert world()["generators"][1:] == before


# -- a fit that does not come to its end ---------------------------------------------------------------------------


class Broken(Exception):
    """What may befall a host in the middle of a fit."""


@MATRIX
def test_a_fit_that_fails_leaves_the_earlier_fit_as_it_was(task):
    model = fitted(task)
    expected, state = predicted(task, model), dict(vars(model))
    seen: list[list[Any]] = []

    def end(history: Any) -> None:
        seen.append(predicted(task, model))  # others may predict meanwhile
        raise Broken

    for broken in (lambda: model.fit(*data(task), on_epoch=end), lambda: model.fit(0, 0)):
        with pytest.raises((Broken, DataError, TypeError)):
            broken()
        assert vars(model) == state
        assert_same_answers(predicted(task, model), expected, "after a fit that failed")
    assert_same_answers(seen[0], expected, "during the fit")


def interrupted_after(model: Any, epochs: int, *given: Any, **more: Any) -> Any:
    def end(history: Any) -> None:
        if len(history) == epochs:
            raise KeyboardInterrupt

    with pytest.warns(DataWarning, match=f"interrupted after epoch {epochs}: the model has the best weights so far"):
        return model.fit(*given, on_epoch=end, **more)


@MATRIX
def test_an_interrupted_fit_keeps_the_best_weights_so_far(task, tmp_path):
    """They are those of a fit with so many epochs, where no schedule counts them."""
    model = interrupted_after(estimator(task, max_epochs=50, schedule="constant"), 3, *data(task))
    assert_same_model(model, estimator(task, max_epochs=3, schedule="constant").fit(*data(task)))
    assert "interrupted after epoch 3" in str(through_a_file(model, tmp_path / "m.bilstm").trained_with_["warnings"])


def test_where_nothing_is_held_out_the_last_weights_are_kept():
    constant = {"schedule": "constant", "validation_fraction": 0}
    model = interrupted_after(estimator("regressor", max_epochs=50, **constant), 3, *data("regressor"))
    assert_same_model(model, estimator("regressor", max_epochs=3, **constant).fit(*data("regressor")))


@settings(max_examples=25)
@given(line=st.integers(0, 6000))
def test_an_interrupt_at_any_line_leaves_the_earlier_model_or_a_whole_new_one(line):
    X, y = data("regressor")
    model = estimator("regressor", max_epochs=3).fit(X, y)
    old, count = model.predict(X), 0

    def at_line(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "bilstm" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        if count == line:
            count += 1
            raise KeyboardInterrupt
        return at_line

    before = sys.gettrace()
    sys.settrace(at_line)
    try:
        with record_warnings(show=False):
            model.set_params(random_state=4).fit(X, y)
    except KeyboardInterrupt:
        assert_close(model.predict(X), old)
    finally:
        sys.settrace(before)
    assert len({len(column) for column in model.history_.columns.values()}) == 1
    assert len(model.history_) in (1, 2, 3)
    assert np.isfinite(model.predict(X)).all()


def test_an_interrupt_in_one_fold_of_a_backtest_ends_them_all(monkeypatch):
    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bilstm.BiLSTMForecaster, "_metric", end)
    with pytest.raises(KeyboardInterrupt):
        fitted("forecaster").backtest(WAVE, folds=2)
