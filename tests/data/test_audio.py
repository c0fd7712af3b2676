"""Sound to samples: every format, rate and number of channels, whole or in blocks; bad files are named."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.sound.reader import fault_of, read_sound, sound_blocks, sound_facts
from bilstm.errors import DataError, ExtraError, ParameterError
from tests.compare import assert_close
from tests.sounds import FORMATS, file_of, noise, sine, strongest
from tests.strategies import FUZZ

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_sine_stays_that_sine_in_every_format(kind):
    samples = sine(440, 16000)
    sound = read_sound(file_of(samples, 16000, kind), 16000)
    assert sound.dtype == np.float32
    assert abs(len(sound) - 16000) <= (1152 if kind == "mp3" else 0)
    assert_close(strongest(sound, 16000), np.float64(440), atol=1)
    lossless = {"wav": 2**-15, "flac": 2**-15, "aiff": 2**-15, "wav24": 2**-23, "wav8": 2**-7, "wavfloat": 1e-7}
    if kind in lossless:
        assert_close(sound, samples.astype(np.float32), atol=lossless[kind])


@pytest.mark.parametrize("own", RATES)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_sine_stays_that_sine_at_every_rate(own, rate):
    sound = read_sound(file_of(sine(1000, own), own), rate)
    assert len(sound) == rate
    inside = slice(rate // 10, -rate // 10)  # at the ends the silence beyond shows
    assert_close(sound[inside], sine(1000, rate).astype(np.float32)[inside], atol=1e-3)


def test_resampling_agrees_with_scipy():
    samples = scipy.signal.sosfilt(scipy.signal.butter(8, 3000, fs=48000, output="sos"), noise(48000))
    expected = scipy.signal.resample_poly(samples, 1, 3, window=("kaiser", 12.0))
    assert_close(read_sound((samples, 48000), 16000)[500:-500], expected[500:-500], atol=1e-4)


def test_nothing_above_half_the_rate_is_folded_back():
    assert np.abs(read_sound((sine(7000, 48000), 48000), 8000)[400:-400]).max() < 1e-3


@FUZZ
@given(
    st.sampled_from([*RATES, 17600]),
    st.sampled_from(RATES),
    st.integers(1, 3),
    st.integers(50, 40_000),
    st.floats(0.01, 3),
    st.booleans(),
)
def test_blocks_together_are_the_whole_sound_bit_for_bit(own, rate, channels, length, seconds, is_file):
    samples = noise(length * channels).reshape(length, channels)
    source = file_of(samples, own) if is_file else (samples, own)
    blocks = list(sound_blocks(source, rate, seconds))
    assert all(len(block) for block in blocks)
    whole = read_sound(source, rate)
    assert_close(np.concatenate(blocks), whole)
    assert abs(len(whole) - length * rate / own) <= 1


def test_a_long_file_is_never_held_as_a_whole_by_its_blocks(monkeypatch):
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, frames, **k: asked.append(frames) or read(self, frames, **k)
    )
    assert len(list(sound_blocks(file_of(noise(80_000), 8000), 8000, 2))) == 5
    assert set(asked) == {16_000}


def test_what_is_longer_than_its_header_is_believed_grows_as_it_is_read(monkeypatch):
    monkeypatch.setattr("bilstm.data.sound.reader.LONGEST_AT_ONCE", 0.1)
    samples = noise(30_000)
    assert_close(read_sound((samples, 8000), 8000), samples)


def test_channels_are_averaged():
    left, right = sine(440, 8000), sine(1000, 8000)
    both = np.stack([left, right], axis=1)
    mean = ((left + right) / 2).astype(np.float32)
    assert_close(read_sound((both, 8000), 8000), mean, atol=1e-7)
    assert_close(read_sound(file_of(both, 8000, "wavfloat"), 8000), mean, atol=1e-7)


@pytest.mark.parametrize("dtype,full", [(np.int16, 2**15), (np.int32, 2**31), (np.float64, 1), (np.float16, 1)])
def test_arrays_of_integers_are_scaled(dtype, full):
    samples = np.array([0, full / 2, -full / 2, full / 4] * 50).astype(dtype)
    assert_close(read_sound(samples, 8000), np.array([0, 0.5, -0.5, 0.25] * 50, dtype=np.float32))


def test_a_path_bytes_and_an_open_file_give_the_same(tmp_path):
    data = file_of(noise(4000), 8000, "flac")
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    expected = read_sound(data, 8000)
    assert_close(read_sound(path, 8000), expected)
    assert_close(read_sound(str(path), 8000), expected)
    with path.open("rb") as file:
        file.read(100)
        assert_close(read_sound(file, 8000), expected)
        assert_close(read_sound(file, 8000), expected)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    assert_close(read_sound(Pipe(data), 8000), expected)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_facts_come_from_the_header(kind, channels):
    rate = 48000 if kind == "opus" else 44100
    facts = sound_facts(file_of(noise(rate * 2 * channels).reshape(-1, channels), rate, kind))
    assert (facts.rate, facts.channels) == (rate, channels)
    assert abs(facts.seconds - 2) < 0.05


def test_facts_of_a_waveform_need_its_rate():
    assert sound_facts(np.zeros(100), array_rate=1000).seconds == 0.1
    with pytest.raises(DataError, match="expected the rate of a waveform"):
        sound_facts(np.zeros(100))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_a_file_that_breaks_off_is_an_error_and_not_a_shorter_sound(kind, share, tmp_path):
    data = file_of(noise(80_000), 16000, kind)
    path = tmp_path / "cut.bin"
    path.write_bytes(data[: int(len(data) * share)])
    for source in (path, path.read_bytes()):
        with pytest.raises(DataError, match=r"breaks off after .*cut\.bin"):
            read_sound(source, 16000, name=str(path))


def test_a_wave_that_was_written_into_a_pipe_is_read_to_its_end():
    data = bytearray(file_of(noise(8000), 8000))
    data[4:8] = data[40:44] = b"\xff" * 4
    assert len(read_sound(bytes(data), 8000)) == 8000


def test_a_flac_file_without_its_length_is_an_error():
    data = bytearray(file_of(noise(8000), 8000, "flac"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # 36 bits of STREAMINFO: the number of samples
    with pytest.raises(DataError, match="tells its length"):
        read_sound(bytes(data), 8000)


@pytest.mark.parametrize(
    "content,message",
    [
        (b"", "got an empty file"),
        (b"this is no sound\n" * 99, "got a file that is none"),
        (b"RIFF", "got a file that is none"),
        (file_of(np.zeros(0), 8000), "without samples"),
        (file_of(np.where(np.arange(900) == 400, np.nan, 0.1), 8000, "wavfloat"), "NaN or infinity at 0.05 s"),
        (file_of(np.full(900, np.inf), 8000, "wavfloat"), "NaN or infinity at 0.00 s"),
        (file_of(np.zeros(100), 5), "expected a rate of 1000"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_sound(path, 8000)
    assert "bad.wav" in str(caught.value)


def test_a_missing_file_a_folder_and_raw_samples_are_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(DataError, match=r"did you mean 'a\.wav'"):
        read_sound(tmp_path / "b.wav", 8000)
    with pytest.raises(DataError, match="got a folder"):
        read_sound(tmp_path, 8000)
    (tmp_path / "a.raw").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"samples without a header .*a\.raw"):
        read_sound(tmp_path / "a.raw", 8000)


@pytest.mark.parametrize(
    "source,message",
    [
        (np.zeros(0), "without samples"),
        (np.zeros((4, 4, 4)), "got an array of shape"),
        (np.zeros(()), "got an array of shape"),
        (np.zeros((2, 800)), "turn it round"),
        (np.zeros(9, np.uint8), "got uint8"),
        (np.full(9, 3e4), "divide by 32768"),
        (np.full(9, np.nan), "NaN or infinity"),
        ([0.1, 0.2], r"numpy\.asarray"),
        (None, "got NoneType"),
        (b"", "got no bytes"),
        ((np.zeros(9), 0), "expected a rate"),
        ((np.zeros(9), -8000), "expected a rate"),
        ((np.zeros(9), 8000.5), "expected a rate"),
        ((np.zeros(9), float("nan")), "expected a rate"),
        ((8000, np.zeros(9)), "got tuple"),
    ],
)
def test_what_is_no_sound_is_named(source, message):
    with pytest.raises(DataError, match=message):
        read_sound(source, 8000, name="x")


def test_a_rate_or_a_block_out_of_range_is_a_parameter_error():
    for rate in (0, -1, 10**9, 8000.5):
        with pytest.raises(ParameterError, match="expected a rate"):
            read_sound(np.zeros(9), rate)
    with pytest.raises(ParameterError, match="longer than 0"):
        list(sound_blocks(np.zeros(9), 8000, 0))


def test_a_missing_extra_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ExtraError, match=r"pip install 'bilstm\[audio\]'"):
        read_sound(Path("a.wav"), 8000)


@pytest.mark.parametrize(
    "waveform,words",
    [
        (np.zeros(8000), "silent: peak below -60 dBFS (no signal at all)"),
        (np.full(8000, 0.5), "silent: peak below -60 dBFS (no signal at all)"),
        (sine(440, 8000, level=5e-4), "silent: peak below -60 dBFS (-66 dBFS)"),
        (noise(199), "too short: 25 ms, expected 25 ms"),
        (np.zeros(0), "too short: 0 ms, expected 25 ms"),
    ],
)
def test_silence_and_what_is_too_short_are_unusable(waveform, words):
    fault = fault_of(waveform, 8000)
    assert fault.is_unusable
    assert str(fault) == words


def test_what_is_clipped_is_doubtful_also_after_resampling():
    loud = np.clip(4 * scipy.signal.lfilter([1], [1, -0.95], noise(48000, 0.1)), -1, 1)
    for rate in (48000, 16000):
        fault = fault_of(read_sound((loud, 48000), rate), rate)
        assert not fault.is_unusable
        assert "clipped: " in str(fault)


@pytest.mark.parametrize("waveform", [sine(50, 8000, level=1), sine(2930, 8000, level=1), noise(8000), noise(200)])
def test_a_sound_as_loud_as_can_be_and_a_soft_one_have_no_fault(waveform):
    assert fault_of(waveform, 8000) is None
