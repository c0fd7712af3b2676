"""Damaged bodies, model files and sounds, a few hundred of each: errors that are documented, and no others."""

from __future__ import annotations

import warnings

import pytest
from benchmarks.fuzz_server import bodies, model_files, sounds


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_damaged_requests_are_answered_with_the_statuses_that_are_described(paths):
    assert sum(bodies(paths, 300, seed=1).values()) == 300


def test_damaged_model_files_are_refused_as_such(paths):
    assert sum(model_files(paths, 300, seed=1).values()) == 300


def test_damaged_sounds_are_refused_as_such():
    assert sum(sounds(300, seed=1).values()) == 300
