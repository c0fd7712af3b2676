"""Recordings as batches: the features of each, padded; and speeds that are drawn anew in every epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.utterances import SAME, SoundCache, Utterances, at_speed, keep, key_of
from tests.compare import assert_close
from tests.sounds import noise
from tests.strategies import FUZZ

RATE = 8000
SAMPLES = [4000, 900, 6400, 2500, 200]
SPEEDS = (0.8, 1.0, 1.25)


@pytest.fixture(scope="module")
def sounds():
    return [noise(count, seed=row) for row, count in enumerate(SAMPLES)]


@pytest.fixture(scope="module")
def encoder(sounds):
    encoder = SoundEncoder(rate=RATE, mels=6, stack=3)
    return encoder.fit(encoder.mel(sound) for sound in sounds)


@pytest.fixture
def utterances(sounds, encoder):
    """A maker of utterances, with the list of the rows and speeds that were played."""
    played = []

    def make(**options):
        cache = SoundCache()
        for row, sound in enumerate(sounds):
            cache.add((row, SAME), encoder.mel(sound))

        def play(row, speed):
            played.append((row, speed))
            return encoder.mel(at_speed(sounds[row], RATE, speed))

        return Utterances(list(range(len(sounds))), cache, encoder, at_speed=play, **options)

    make.played = played
    return make


def shuffled(sequences, seed, batch_size=2):
    return list(sequences.shuffled(batch_size, torch.Generator().manual_seed(seed)))


@FUZZ
@given(rows=st.lists(st.integers(0, len(SAMPLES) - 1), min_size=1, max_size=6))
def test_a_batch_holds_the_features_of_each_recording_and_zeros_behind_them(sounds, encoder, rows):
    with SoundCache() as cache:
        for row, sound in enumerate(sounds):
            cache.add((row, SAME), encoder.mel(sound))
        batch = Utterances(list(range(len(sounds))), cache, encoder).batch(rows)
    assert batch.rows.tolist() == rows
    for place, row in enumerate(rows):
        expected = encoder.transform(sounds[row])
        assert batch.lengths[place] == len(expected) == encoder.steps(encoder.frames_of(SAMPLES[row]))
        assert_close(batch.values[place, : len(expected)], expected)
        assert not batch.values[place, len(expected) :].any()


def test_lengths_are_the_steps_at_a_recordings_own_speed(utterances, encoder):
    assert utterances(speeds=SPEEDS).lengths.tolist() == [encoder.steps(encoder.frames_of(count)) for count in SAMPLES]


def test_every_epoch_holds_every_recording_once(utterances):
    for seed in range(4):
        rows = torch.cat([batch.rows for batch in shuffled(utterances(speeds=SPEEDS), seed)])
        assert sorted(rows.tolist()) == list(range(len(SAMPLES)))


def test_recordings_are_played_at_the_speeds_that_are_drawn(utterances, sounds, encoder):
    found = set()
    sequences = utterances(speeds=SPEEDS)
    for seed in range(6):
        for batch in shuffled(sequences, seed):
            for values, length, row in zip(batch.values, batch.lengths, batch.rows.tolist(), strict=True):
                forms = {speed: encoder.transform(at_speed(sounds[row], RATE, speed)) for speed in SPEEDS}
                speed = next(s for s, form in forms.items() if form.tobytes() == values[:length].numpy().tobytes())
                found.add((row, speed))
    assert {speed for _, speed in found} == set(SPEEDS)


def test_equal_seeds_give_equal_batches_and_others_do_not(utterances):
    a, b, c = (shuffled(utterances(speeds=SPEEDS), seed) for seed in (1, 1, 2))
    for one, other in zip(a, b, strict=True):
        assert_close(one.rows, other.rows)
        assert_close(one.values, other.values)
    assert any(one.values.shape != other.values.shape for one, other in zip(a, c, strict=True))


def test_a_speed_is_made_once_and_kept(utterances):
    sequences = utterances(speeds=SPEEDS)
    for seed in range(8):
        shuffled(sequences, seed)
    assert len(utterances.played) == len(set(utterances.played))


def test_after_an_epoch_recordings_have_their_own_speed_again(utterances):
    sequences = utterances(speeds=(2.0,))
    before = sequences.batch([0, 2]).values
    next(iter(sequences.shuffled(2, torch.Generator().manual_seed(0))))  # an epoch that is broken off
    shuffled(sequences, 0)
    assert_close(sequences.batch([0, 2]).values, before)
    assert_close(sequences.speed_of, np.ones(len(SAMPLES), np.float32))


@pytest.mark.parametrize("speed", [1.05, 1.1, 1.25, 2.0, 0.9])
def test_a_text_that_fits_fits_at_every_speed_that_is_played(utterances, encoder, speed):
    steps = np.array([encoder.steps(encoder.frames_of(count)) for count in SAMPLES])
    for less in range(6):
        needed = np.maximum(steps - less, 0)
        for batch in shuffled(utterances(speeds=(speed,), needed=needed), 0):
            assert (batch.lengths.numpy() >= needed[batch.rows]).all()


def test_a_text_with_room_lets_its_recording_be_played_faster(utterances, encoder):
    steps = np.array([encoder.steps(encoder.frames_of(count)) for count in SAMPLES])
    shuffled(utterances(speeds=(1.25,), needed=steps // 2), 0)
    assert {row for row, _ in utterances.played} == {0, 1, 2, 3}  # the last has one step only


def test_features_are_kept_once():
    with SoundCache() as cache:
        keep(cache, ("a", SAME), np.zeros((2, 3), np.float32))
        keep(cache, ("a", SAME), np.ones((5, 3), np.float32))
        assert_close(cache.get(("a", SAME)), np.zeros((2, 3), np.float32))


def test_a_path_is_known_by_its_name_and_what_lies_in_memory_by_itself(tmp_path):
    a, b = (np.zeros(3), RATE), (np.zeros(3), RATE)
    assert key_of(tmp_path / "a.wav") == key_of(str(tmp_path / "a.wav"))
    assert key_of(a) == key_of(a)
    assert key_of(a) != key_of(b)
