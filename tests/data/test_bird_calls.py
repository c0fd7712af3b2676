"""Bird calls that are made up: their melodies, by the spectrum; their singers; their repetition by the seed."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from bilstm.demo.bird_calls import CALLS, PITCH, RATE, as_wav, bird_calls
from tests.compare import assert_close
from tests.sounds import strongest

OFF = 1.04  # what a singer's pitch may be off in a call, with room for the bins of the spectrum


@pytest.fixture(scope="module")
def single():
    """A recording of each bird that calls once."""
    sounds, texts, _ = bird_calls(200)
    return {text: sound for sound, text in zip(sounds, texts, strict=True) if " " not in text}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_its_pitch(single, name):
    pitches = [pitch for pitch in CALLS[name].pitches if pitch]
    assert min(pitches) * PITCH[0] / OFF < strongest(single[name], RATE) < max(pitches) * PITCH[1] * OFF


def test_the_second_note_of_a_cuckoo_is_a_third_lower(single):
    loud = np.flatnonzero(np.abs(single["cuckoo"]) > 0.1 * np.abs(single["cuckoo"]).max())
    call = single["cuckoo"][loud[0] : loud[-1]]
    third = len(call) // 3
    assert_close(strongest(call[:third], RATE) / strongest(call[-third:], RATE), 660 / 525, rtol=0.05)


def test_no_bird_is_the_same_as_another_and_singers_come_one_after_the_other():
    sounds, texts, singers = bird_calls(12, birds=3)
    assert singers == ["bird 1"] * 4 + ["bird 2"] * 4 + ["bird 3"] * 4
    assert len({sound.tobytes() for sound in sounds}) == 12
    assert all(set(text.split()) <= set(CALLS) for text in texts)


def test_equal_seeds_give_equal_calls():
    for one, other in zip(bird_calls(3, seed=4)[0], bird_calls(3, seed=4)[0], strict=True):
        assert_close(one, other)
    assert bird_calls(9, seed=5)[1] != bird_calls(9, seed=4)[1]


def test_a_wav_file_holds_the_sound_to_half_a_level():
    sound = bird_calls(1)[0][0]
    heard, rate = soundfile.read(io.BytesIO(as_wav(sound)), dtype="float64")
    assert rate == RATE
    assert_close(heard, sound.astype(np.float64), atol=1.01 / 2**15)  # half a level, and 2¹⁵ for 2¹⁵ − 1
