"""The transcriber while sound comes in: any chunks, any look-ahead, any rate; and recordings too long for one piece."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from bilstm.demo.tones import dial_tones
from bilstm.errors import DataError, ParameterError
from bilstm.estimators import recognition
from tests.compare import assert_close
from tests.speech import RATE, heard, learned, untrained
from tests.strategies import FUZZ

WHOLE = 1000.0  # seconds of look-ahead, more than any recording has


def chunks_of(sound, sizes):
    """A recording in chunks of the sizes given, by turns."""
    first, turn = 0, 0
    while first < len(sound):
        yield sound[first : first + sizes[turn % len(sizes)]]
        first, turn = first + sizes[turn % len(sizes)], turn + 1


def last(texts):
    """The last of some texts; no text at all is empty."""
    return ["", *texts][-1]


@FUZZ
@given(
    row=st.integers(0, 11),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4).filter(any),
    look_ahead=st.sampled_from([0.0, 0.1, 0.5, WHOLE]),
    block=st.sampled_from([0.01, 0.25, 1.0]),
)
def test_each_text_goes_on_from_the_one_before_however_sound_is_cut(row, sizes, look_ahead, block):
    sound, options = heard()[0][row], {"look_ahead": look_ahead, "block": block}
    texts = list(untrained().stream(chunks_of(sound, sizes), **options))
    for shorter, longer in zip(["", *texts], texts, strict=False):
        assert longer.startswith(shorter)
        assert len(longer) > len(shorter)
    assert last(texts) == last(untrained().stream([sound], **options))


@pytest.mark.parametrize("model", [learned, untrained])
def test_with_a_look_ahead_of_the_whole_the_last_text_is_that_of_predict(model):
    sounds = heard()[0]
    texts = [last(model().stream(chunks_of(sound, [500]), look_ahead=WHOLE)) for sound in sounds]
    assert texts == model().predict(sounds, beam=1)


@pytest.mark.parametrize("look_ahead", [0.0, 0.2, 0.5])
def test_a_stream_ends_in_the_text_of_the_same_look_ahead(look_ahead):
    model = untrained(words=True)
    sounds, texts = dial_tones(6, rate=RATE, seed=9)
    streamed = [last(model.stream(chunks_of(sound, [777]), look_ahead=look_ahead)) for sound in sounds]
    assert streamed == model.compare(sounds, texts, look_ahead=look_ahead, beam=1).understood
    assert streamed == model.predict(sounds, look_ahead=look_ahead, beam=1)


def test_the_look_ahead_makes_a_difference():
    sounds = heard()[0]
    assert untrained().predict(sounds, look_ahead=0.0, beam=1) != untrained().predict(sounds, beam=1)


def test_a_stream_understands_what_it_has_learned():
    sounds, texts = heard()
    understood = [last(learned().stream(chunks_of(sound, [800]), look_ahead=0.5)) for sound in sounds]
    assert sum(a == b for a, b in zip(understood, texts, strict=True)) >= len(texts) - 3


def test_another_rate_is_brought_to_the_models_own():
    for sound in heard()[0]:
        copy = soxr.resample(sound, RATE, 16_000)
        streamed = last(untrained().stream(chunks_of(copy, [1000]), rate=16_000, look_ahead=WHOLE))
        assert [streamed] == untrained().predict([(copy, 16_000)], beam=1)


def test_text_comes_before_the_sound_has_ended():
    sound = np.concatenate([heard()[0][1]] * 4)
    taken = []

    def microphone():
        for chunk in chunks_of(sound, [RATE // 10]):
            taken.append(len(chunk))
            yield chunk

    stream = learned().stream(microphone(), look_ahead=0.5, block=0.25)
    assert taken == []
    assert next(stream)
    first = sum(taken)
    assert first < len(sound) / 2
    next(stream)
    assert first <= sum(taken) < len(sound)


def test_text_comes_as_soon_as_its_look_ahead_is_full():
    model, sound = untrained(), heard()[0][0]
    needed = model.sound_.whole_steps(0.4) + model.sound_.whole_steps(0.2)
    for samples in range(2000, len(sound), 500):
        has_spoken = bool(list(_until_the_end(model, sound[:samples], 0.4, 0.2)))
        assert has_spoken <= (model.sound_.frames_of(samples) // model.sound_.stack >= needed)
        if has_spoken:
            return
    raise AssertionError("no text at all")


def _until_the_end(model, sound, look_ahead, block):
    """The texts that come before the end of the sound is known."""

    class NotYet(Exception):
        pass

    def open_end():
        yield sound
        raise NotYet

    stream = model.stream(open_end(), look_ahead=look_ahead, block=block)
    try:
        while True:
            yield next(stream)
    except NotYet:
        return


@pytest.mark.parametrize(
    "name, value",
    [
        *[("block", value) for value in (0, -1, math.nan, math.inf)],
        *[("look_ahead", value) for value in (-0.1, math.nan, math.inf)],
    ],
)
def test_times_out_of_their_range_are_refused(name, value):
    with pytest.raises(ParameterError, match="expected a block above 0 seconds and a look-ahead of at least 0"):
        next(untrained().stream([heard()[0][0]], **{name: value}))


@pytest.mark.parametrize("look_ahead", [-1.0, math.nan, math.inf])
def test_predict_refuses_a_look_ahead_out_of_its_range(look_ahead):
    with pytest.raises(ParameterError, match="expected a look-ahead of at least 0 seconds"):
        untrained().predict(heard()[0][:1], look_ahead=look_ahead)


@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_whole_numbers_are_no_sound(rate):
    chunk = np.zeros(4000, np.int16)
    with pytest.raises(DataError, match=r"expected samples .*float in ±1, got int16"):
        next(untrained().stream([chunk], rate=rate))


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="expected a rate of 1000 to 768000 samples a second, got 50"):
        next(untrained().stream([heard()[0][0]], rate=50))


def test_silence_and_nothing_have_no_text():
    assert list(learned().stream([])) == []
    assert list(untrained().stream([np.zeros(100)])) == []


# -- long recordings -----------------------------------------------------------------------------------------


@pytest.fixture
def long(monkeypatch):
    """A recording that counts as long, and what it is when it is heard as a whole."""
    sound = np.concatenate(heard()[0])
    whole = learned().transcribe([sound])[0]
    scores = learned().outputs([sound])[0]
    monkeypatch.setattr(recognition, "LONG", 3.0)
    monkeypatch.setattr(recognition, "BLOCK", 2.0)
    monkeypatch.setattr(recognition, "BLOCK_AHEAD", 2.0)
    return sound, whole, scores


def test_a_long_recording_is_understood_in_blocks_as_it_is_in_one_piece(long):
    sound, whole, scores = long
    (found,) = learned().transcribe([sound])
    assert found.text == whole.text
    assert_close([word.start for word in found.words], [word.start for word in whole.words], atol=0.05)
    assert_close(learned().outputs([sound])[0], scores, atol=0.5)
    assert (learned().outputs([sound])[0] != scores).any()  # in blocks indeed


def test_short_recordings_beside_a_long_one_are_heard_as_a_whole(long):
    sounds = heard()[0][:2]
    expected = learned().outputs(sounds)
    found = learned().outputs([sounds[0], long[0], sounds[1]])
    assert_close(found[0], expected[0], atol=1e-5)
    assert_close(found[2], expected[1], atol=1e-5)
