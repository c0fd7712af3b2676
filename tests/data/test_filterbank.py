"""Sound to features: the filterbank beside one in float64, the means, and streams that equal the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.sound.encoder import PRIOR_FRAMES, SoundEncoder
from bilstm.errors import DataError, ParameterError
from tests.compare import assert_close
from tests.export.exact import log_mel
from tests.sounds import noise, sine
from tests.strategies import FUZZ

RATES = [8000, 11025, 16000, 22050, 44100]


def fitted(**parameters):
    encoder = SoundEncoder(**{"rate": 8000, "mels": 20, "stack": 3} | parameters)
    return encoder.fit([encoder.mel(noise(9000 + 500 * n, 0.05 * (n + 1), n)) for n in range(3)])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mels", [20, 40])
def test_log_mel_energies_are_kaldis_written_in_numpy(rate, mels):
    samples = noise(rate) + sine(700, rate).astype(np.float32)
    encoder = SoundEncoder(rate=rate, mels=mels)
    assert_close(encoder.mel(samples), log_mel(samples, rate, mels).astype(np.float32), atol=1e-3)


def test_silence_lies_at_the_floor():
    mel = SoundEncoder(rate=8000, mels=20).mel(np.zeros(400, np.float32))
    assert_close(mel, np.full_like(mel, np.log(np.finfo(np.float32).eps)), atol=1e-6)


@FUZZ
@given(st.sampled_from(RATES), st.integers(0, 3000), st.integers(1, 5))
def test_frames_and_steps_are_as_many_as_told(rate, samples, stack):
    encoder = SoundEncoder(rate=rate, mels=20, stack=stack)
    encoder.fit([encoder.mel(noise(rate))])
    waveform = noise(samples)
    mel = encoder.mel(waveform)
    assert mel.shape == (encoder.frames_of(samples), 20)
    assert mel.dtype == np.float32
    steps = encoder.transform(waveform)
    assert steps.shape == (encoder.steps(encoder.frames_of(samples)), encoder.input_size)
    assert steps.dtype == np.float32
    assert encoder.steps(encoder.frames_of(samples)) == -(-len(mel) // stack)


def test_the_last_frame_fills_up_the_last_step():
    frames = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 9, 10, 11, 9, 10, 11]], np.float32)
    encoder = SoundEncoder(mels=3, stack=3)
    assert_close(encoder.stacked(np.zeros((0, 3), np.float32)), np.zeros((0, 9), np.float32))
    assert_close(encoder.stacked(frames), expected)


@FUZZ
@given(
    st.sampled_from([8000, 11025, 16000]),
    st.integers(0, 9000),
    st.integers(1, 4),
    st.lists(st.sampled_from([0, 1, 1, 2, 79, 80, 81, 199, 200, 500, 3000]), min_size=1, max_size=12),
)
def test_a_stream_gives_what_the_whole_gives_bit_for_bit(rate, samples, stack, sizes):
    encoder = fitted(rate=rate, stack=stack)
    waveform = noise(samples, 0.2, seed=5)
    stream, got, place = encoder.stream(), [], 0
    while place < samples:
        for size in [*sizes, 700]:
            got.append(stream.push(waveform[place : place + size]))
            place += size
    got.append(stream.end())
    assert all(part.dtype == np.float32 and part.shape[1] == encoder.input_size for part in got)
    assert_close(np.concatenate(got), encoder.transform(waveform))


def test_a_stream_of_single_samples_gives_what_the_whole_gives():
    encoder = fitted()
    waveform = noise(2500, seed=6)
    stream = encoder.stream()
    got = [stream.push(waveform[t : t + 1]) for t in range(len(waveform))]
    assert_close(np.concatenate([*got, stream.end()]), encoder.transform(waveform))


def test_blocks_of_work_make_no_difference(monkeypatch):
    encoder, waveform = fitted(), noise(30_000, seed=7)
    whole = encoder.transform(waveform)
    monkeypatch.setattr("bilstm.data.sound.encoder.BLOCK_FRAMES", 7)
    assert_close(encoder.transform(waveform), whole)


def test_a_stream_keeps_less_than_a_step_and_a_window():
    encoder = fitted()
    stream = encoder.stream()
    for n in range(50):
        stream.push(noise(1000, seed=n))
        assert len(stream._rest) < encoder.stack
    bank = stream._frames._bank
    with pytest.raises(RuntimeError, match="already removed"):
        bank.get_frame(bank.num_frames_ready - 1)  # the library has forgotten what was taken


def test_a_stream_that_has_ended_takes_no_more():
    stream = fitted().stream()
    stream.push(noise(300))
    assert len(stream.end()) == 1
    assert len(stream.end()) == 0
    with pytest.raises(ParameterError, match="before the end"):
        stream.push(noise(300))


def test_the_running_mean_is_that_of_all_frames_so_far_and_of_training():
    encoder, waveform = fitted(), noise(4000, seed=8)
    mel = encoder.mel(waveform).astype(np.float64)
    expected = [
        (x - (PRIOR_FRAMES * encoder.mean + mel[: t + 1].sum(axis=0)) / (PRIOR_FRAMES + t + 1)) / encoder.scale
        for t, x in enumerate(mel)
    ]
    assert_close(encoder.normalised(mel.astype(np.float32)), np.array(expected, np.float32), atol=1e-5)


def test_a_recordings_own_mean_is_taken_from_it():
    encoder = fitted(normalise="utterance")
    z = encoder.normalised(encoder.mel(noise(4000, seed=8)))
    assert_close(z.mean(axis=0), np.zeros(20, np.float32), atol=1e-5)
    assert encoder.normalised(np.zeros((0, 20), np.float32)).shape == (0, 20)


def loud_and_soft(encoder):
    """The steps of one recording at two levels."""
    waveform = noise(40_000, 0.1)
    return encoder.transform(waveform), encoder.transform(0.25 * waveform)


def test_another_level_changes_nothing_where_the_recordings_own_mean_is_taken():
    loud, soft = loud_and_soft(fitted(normalise="utterance"))
    assert_close(soft, loud, atol=1e-3)


def test_another_level_matters_less_and_less_where_the_mean_runs_on_from_that_of_training():
    loud, soft = loud_and_soft(fitted(normalise="running"))
    assert np.abs(soft[-50:] - loud[-50:]).mean() < 0.35 * np.abs(soft[:5] - loud[:5]).mean()


@FUZZ
@given(
    st.sampled_from(["running", "utterance"]), st.lists(st.integers(0, 300), min_size=1, max_size=5), st.integers(0, 9)
)
def test_one_pass_learns_what_two_passes_would(normalise, lengths, seed):
    generator = np.random.default_rng(seed)
    mels = [generator.normal(-9 + n, 1 + n, (length, 4)).astype(np.float32) for n, length in enumerate(lengths)]
    encoder = SoundEncoder(mels=4, normalise=normalise)
    if not sum(lengths):
        with pytest.raises(DataError, match="expected sound to learn from"):
            encoder.fit(iter(mels))
        return
    encoder.fit(iter(mels))
    everything = np.concatenate(mels).astype(np.float64)
    assert_close(encoder.mean, everything.mean(axis=0), rtol=1e-9)
    encoder_of_ones = SoundEncoder(mels=4, normalise=normalise, mean=encoder.mean, scale=np.ones(4))
    rest = np.concatenate([encoder_of_ones.normalised(mel) for mel in mels]).astype(np.float64)
    deviation = np.sqrt((rest**2).mean(axis=0))
    assert_close(encoder.scale, np.where(deviation < 1e-5, 1.0, deviation), rtol=1e-4)


def test_a_constant_band_is_not_blown_up():
    encoder = SoundEncoder(mels=3, normalise="utterance").fit([np.full((50, 3), -15.942385, np.float32)] * 3)
    assert_close(encoder.scale, np.ones(3))


def test_an_encoder_comes_back_from_json():
    encoder = fitted(normalise="utterance", mels=23)
    again = SoundEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.to_json() == encoder.to_json()
    assert_close(again.transform(noise(3000)), encoder.transform(noise(3000)))


@pytest.mark.parametrize(
    "change,message",
    [
        ({"mean": [0.0]}, "means and scales"),
        ({"rate": -1}, "expected a rate"),
        ({"stack": 0}, "stack from 1"),
        ({"mels": 1}, "mels from 3"),
        ({"normalise": "never"}, "running, utterance"),
    ],
)
def test_json_that_makes_no_sense_is_refused(change, message):
    with pytest.raises((DataError, ParameterError), match=message):
        SoundEncoder.from_json(fitted().to_json() | change)


def test_wrong_samples_frames_and_uses_are_named():
    encoder = fitted()
    for samples in (np.zeros((5, 2)), np.zeros(5, np.int16)):
        with pytest.raises(DataError, match="expected samples"):
            encoder.mel(samples)
    with pytest.raises(DataError, match="finite samples"):
        encoder.mel(np.array([np.nan]))
    with pytest.raises(DataError, match="expected frames"):
        encoder.normalised(np.zeros((5, 2)))
    with pytest.raises(ParameterError, match="take fewer"):
        SoundEncoder(rate=8000, mels=200).mel(noise(400))
    with pytest.raises(ParameterError, match="call fit first"):
        SoundEncoder().stream()
    with pytest.raises(ParameterError, match="train with normalise='running'"):
        fitted(normalise="utterance").stream()
