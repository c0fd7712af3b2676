"""Dialled digits: the texts are what is dialled, and the tones those of the keys."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from bilstm.data.sound.reader import fault_of, read_sound
from bilstm.data.sound.recordings import read_recordings
from bilstm.demo.tones import COLUMNS, KEYS, ROWS, WORDS, dial_tones, write_dial_tones
from bilstm.errors import ParameterError
from tests.compare import assert_close


def heard(sound, rate):
    """The digits in a recording, by the strongest row and column in each stretch of sound."""
    size = rate // 100
    level = np.sqrt((sound[: len(sound) // size * size].reshape(-1, size) ** 2).mean(axis=1)) > 0.04
    edges = np.flatnonzero(np.diff(np.concatenate([[0], level, [0]])))
    digits = []
    for start, end in edges.reshape(-1, 2):
        piece = sound[start * size : end * size]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 1 << 15))
        frequencies = np.arange(len(spectrum)) * rate / (1 << 15)
        low = frequencies[(spectrum * (frequencies < 1050)).argmax()]
        high = frequencies[(spectrum * (frequencies > 1050)).argmax()]
        key = (np.abs(np.array(ROWS) - low).argmin(), np.abs(np.array(COLUMNS) - high).argmin())
        digits.append(next(digit for digit, place in KEYS.items() if place == key))
    return "".join(digits)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_tones_are_those_of_the_digits_in_the_texts(rate):
    sounds, texts = dial_tones(40, rate=rate, words=False, noise=-60)
    assert [heard(sound, rate) for sound in sounds] == texts
    assert {len(text) for text in texts} == {1, 2, 3, 4, 5}
    assert all(sound.dtype == np.float32 and fault_of(sound, rate) is None for sound in sounds)


def test_words_say_the_same_digits():
    _, digits = dial_tones(20, words=False)
    _, words = dial_tones(20)
    assert [" ".join(WORDS[int(digit)] for digit in text) for text in digits] == words


def test_equal_seeds_give_equal_recordings():
    first, other = dial_tones(3, seed=4), dial_tones(3, seed=5)
    for a, b in zip(first[0], dial_tones(3, seed=4)[0], strict=True):
        assert_close(a, b)
    assert first[1] != other[1]


def test_a_written_corpus_is_read_back(tmp_path):
    table = write_dial_tones(tmp_path / "new", 5, seed=2)
    data = read_recordings(table)
    sounds, texts = dial_tones(5, seed=2)
    assert data.texts_said == texts
    for source, sound in zip(data.sounds, sounds, strict=True):
        assert soundfile.info(source).subtype == "PCM_16"
        assert_close(read_sound(source, 8000), sound, atol=2**-15)


def test_a_rate_too_low_for_the_tones_is_named():
    with pytest.raises(ParameterError, match="expected a rate of 4000"):
        dial_tones(1, rate=2000)
