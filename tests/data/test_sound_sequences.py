"""Features in a file come back as they went in; speed changes length and pitch alike."""

from __future__ import annotations

import os
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.sound.utterances import SoundCache, at_speed
from bilstm.errors import DataError, ParameterError
from tests.compare import assert_close
from tests.sounds import noise, sine, strongest
from tests.strategies import FUZZ


@FUZZ
@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 5), st.randoms())
def test_features_come_back_as_they_went_in_in_any_order(lengths, mels, random):
    arrays = {(n, 1.1): noise(length * mels, seed=n).reshape(length, mels) for n, length in enumerate(lengths)}
    with SoundCache() as cache:
        for key, array in arrays.items():
            assert not cache.has(key)
            cache.add(key, array)
        assert len(cache) == len(arrays)
        keys = list(arrays)
        random.shuffle(keys)
        for key in keys:
            assert cache.has(key)
            assert_close(cache.get(key), arrays[key])


def test_what_is_taken_is_a_copy_that_may_be_changed():
    with SoundCache() as cache:
        cache.add(0, np.ones((2, 3), np.float32))
        cache.get(0)[:] = 7
        assert_close(cache.get(0), np.ones((2, 3), np.float32))


def test_nothing_of_the_file_is_to_be_seen(tmp_path):
    with SoundCache(str(tmp_path)) as cache:
        cache.add(0, np.zeros((100, 40), np.float32))
        if os.name == "posix":
            assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_several_threads_may_read_at_once():
    with SoundCache() as cache:
        for n in range(50):
            cache.add(n, np.full((20, 8), n, np.float32))
        wrong = []

        def read():
            wrong.extend(n for n in range(50) if not (cache.get(n) == n).all())

        threads = [Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_wrong_uses_of_the_cache_are_named():
    with SoundCache() as cache:
        cache.add("a", np.zeros((1, 2), np.float32))
        with pytest.raises(DataError, match="'a' twice"):
            cache.add("a", np.zeros((1, 2), np.float32))
        with pytest.raises(DataError, match="expected features"):
            cache.add("b", np.zeros(2, np.float32))
        with pytest.raises(KeyError):
            cache.get("b")


def test_a_full_disk_is_said():
    with SoundCache() as cache:
        cache._file.close()
        cache._file = open("/dev/full", "wb+", buffering=0) if os.path.exists("/dev/full") else pytest.skip()  # noqa: SIM115
        with pytest.raises(DataError, match="No space left") as caught:
            cache.add("a", np.zeros((1, 2), np.float32))
        assert "TMPDIR" in caught.value.hint
        assert not cache.has("a")
        cache._file.close()


@FUZZ
@given(st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.25]), st.sampled_from([8000, 16000]))
def test_faster_is_shorter_and_higher(factor, rate):
    fast = at_speed(sine(600, rate), rate, factor)
    assert fast.dtype == np.float32
    assert abs(len(fast) - rate / factor) <= 1
    assert_close(strongest(fast, rate), np.float64(600 * factor), atol=1)


def test_a_speed_out_of_range_is_named():
    for factor in (0, -1, 9, float("nan")):
        with pytest.raises(ParameterError, match="expected a speed"):
            at_speed(np.zeros(100, np.float32), 8000, factor)
