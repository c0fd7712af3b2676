"""Reads sound: files, bytes and arrays to one channel of float32 samples at a chosen rate, whole or block by block.

Knows formats, channels, rates and what makes a file or a recording useless. Knows no features, texts or models.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.source import existing_file
from bilstm.errors import DataError, ParameterError, from_extra

Sound = str | Path | bytes | BinaryIO | Array | tuple[Array, float]
EXTRA = "audio"
FORMATS = "WAV, FLAC, OGG, MP3, AIFF"
# how their files begin; libsndfile reads twenty more, some of which write to standard output where they are damaged
BEGINNING = re.compile(rb"(RIFF|RIFX|RF64|BW64).{4}WAVE|fLaC|OggS|FORM.{4}AIF[FC]|\xff[\xe0-\xff]", re.DOTALL)
SLOWEST, FASTEST = 1000, 768_000  # Hz: below is no speech, above no converter; both bound what a header can ask for
RESAMPLING = "HQ"  # soxr's for 16 bits: errors below −100 dB, passes 91 % of the lower of both bands
BLOCK_SECONDS = 10.0
LARGEST_BLOCK = 2**24  # samples of all channels that are decoded at once
LONGEST_AT_ONCE = 3600  # seconds of memory taken on a header's word; what is longer grows as it is read
LOUDEST = 64.0  # float samples lie in ±1; this far beyond (36 dB) they are unscaled integers
UNKNOWN_BYTES = 2**31 - 2**16  # a WAV that was written into a pipe announces 2³² − 1 or about 2³¹ bytes of samples
UNKNOWN_FRAMES = 2**40  # libsndfile gives about 2⁶³ where a FLAC file does not tell
MP3_PADDING = 2 * 1152  # frames that an MP3 may announce and not hold: its encoder's padding
LARGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page (RFC 3533)
INTEGERS = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
WINDOW_MS = 25  # the shortest sound that features can be made of
SILENT_PEAK = 1e-3  # −60 dBFS; rooms lie near it, speech 20 dB and more above
FULL_SCALE = 0.9999  # what a converter's highest level is, but for rounding
CLIPPED_RUN = 3  # samples next to each other at full scale; a loud sound's own peak is sharper
CLIPPED_SHARE = 1e-3  # of all samples; single overshoots do no harm
TOP, BELOW_TOP = 0.95, 0.8  # resampling rounds off flat tops: then so many samples lie near the top that no whole sound
CROWDED, CROWDED_SHARE = 1.25, 5e-3  # has them: speech 0.5 times as many as below it, a sine 1.03 times


@dataclass(frozen=True)
class SoundFacts:
    """What a recording says of itself."""

    rate: int  # Hz
    channels: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """What is wrong with a recording, in words with the measured value, and whether nothing can be done with it."""

    words: str
    is_unusable: bool

    def __str__(self) -> str:
        return self.words


def read_sound(source: Sound, rate: int, *, name: str | None = None, array_rate: float | None = None) -> Array:
    """Read one recording as float32 (T',) in ±1 at one rate, channels averaged; memory holds the result and a block.

    ``source`` is a path, bytes or a binary file object of a WAV, FLAC, OGG, MP3 or AIFF file; a waveform (T,) or (T,
    channels) of floats in ±1, int16 or int32; or a pair (waveform, rate in Hz). Messages call it ``name``, by default
    its path; ``array_rate`` is that of a waveform that comes without one, by default ``rate``.

    The trap: an MP3 file without a header that tells its length may break off unnoticed.
    """
    check_rate(rate)
    with _opened(source, name, array_rate or rate) as opened:
        announced = math.ceil(min(opened.frames / opened.rate, LONGEST_AT_ONCE) * rate)
        result, count = np.empty(announced, dtype=np.float32), 0
        for block in _at_rate(opened, rate, BLOCK_SECONDS):
            if count + len(block) > len(result):
                result.resize(max(count + len(block), 2 * count), refcheck=False)  # in place: no second copy
            result[count : count + len(block)] = block
            count += len(block)
    result.resize(count, refcheck=False)
    return result


def sound_blocks(
    source: Sound,
    rate: int,
    seconds: float = BLOCK_SECONDS,
    *,
    name: str | None = None,
    array_rate: float | None = None,
) -> Iterator[Array]:
    """Read one recording in blocks of about so many seconds; joined they are bit for bit what ``read_sound`` gives."""
    check_rate(rate)
    if not seconds > 0:
        raise ParameterError(f"expected blocks longer than 0 seconds, got {seconds}")
    with _opened(source, name, array_rate or rate) as opened:
        yield from _at_rate(opened, rate, seconds)


def resampled(chunks: Iterable[Array], rate: int, to: int) -> Iterator[Array]:
    """Bring a waveform that comes in chunks, (T_i,) in ±1, to another rate; the same samples come however it is cut."""
    check_rate(rate)
    if rate == to:
        yield from chunks
        return
    stream = from_extra("soxr", EXTRA).ResampleStream(rate, to, 1, dtype="float32", quality=RESAMPLING)
    for chunk in chunks:
        if (kind := np.asarray(chunk).dtype).kind != "f":
            raise DataError(f"expected samples of float in ±1, got {kind}", hint="divide int16 by 32768")
        part = stream.resample_chunk(np.ascontiguousarray(chunk, dtype=np.float32))
        if len(part):
            yield part
    rest = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
    if len(rest):
        yield rest


def sound_facts(source: Sound, *, name: str | None = None, array_rate: float | None = None) -> SoundFacts:
    """Rate, channels and length of a recording, as its header announces them."""
    with _opened(source, name, array_rate) as opened:
        return SoundFacts(opened.rate, opened.channels, opened.frames / opened.rate)


def fault_of(waveform: Array, rate: int) -> Fault | None:
    """What makes a waveform (T,) useless or doubtful, or None.

    Unusable is what is shorter than one window (25 ms) or silent: all samples within 60 dB below full scale of each
    other. Doubtful is what is clipped: more than 0.1 % of the samples stand in runs at full scale, or after resampling
    near it.

    The trap: resampling to half the rate hides mild clipping, less than about 3 % of the samples.
    """
    if len(waveform) * 1000 < rate * WINDOW_MS:
        return Fault(f"too short: {1000 * len(waveform) / rate:.0f} ms, expected {WINDOW_MS} ms", is_unusable=True)
    peak = float(waveform.max() - waveform.min()) / 2  # a constant offset is no sound
    if peak < SILENT_PEAK:
        level = f"{20 * math.log10(peak):.0f} dBFS" if peak else "no signal at all"
        return Fault(f"silent: peak below {20 * math.log10(SILENT_PEAK):.0f} dBFS ({level})", is_unusable=True)
    share = _clipped_share(waveform)
    if share > CLIPPED_SHARE:
        return Fault(f"clipped: {100 * share:.1f} % of the samples stand at full scale", is_unusable=False)
    return None


def _clipped_share(waveform: Array) -> float:
    """Share of samples in runs of one sign at full scale, or crowded near it."""
    flat = 0
    for side in (waveform, -waveform):
        at_top = np.concatenate([[False], side >= FULL_SCALE, [False]])
        starts, ends = np.flatnonzero(np.diff(at_top.astype(np.int8))).reshape(-1, 2).T
        runs = ends - starts
        flat += int(runs[runs >= CLIPPED_RUN].sum())
    level = np.abs(waveform)
    top, below = int((level >= TOP).sum()), int(((level >= BELOW_TOP) & (level < TOP)).sum())
    is_crowded = top > CROWDED * below and top > CROWDED_SHARE * len(waveform)
    return max(flat, top * is_crowded) / len(waveform)


@dataclass
class _Opened:
    """A recording that can be read: ``frames`` of ``channels`` at ``rate``; ``file`` is soundfile's, or an array."""

    name: str
    rate: int
    channels: int
    frames: int
    file: Any

    def blocks(self, count: int) -> Iterator[Array]:
        """Samples of one channel, float32, ``count`` at a time."""
        done = 0
        for block in self._of_array(count) if isinstance(self.file, np.ndarray) else self._of_file(count):
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
            if not np.isfinite(mono).all():
                place = (done + int((~np.isfinite(mono)).argmax())) / self.rate
                raise DataError(f"expected numbers as samples, got NaN or infinity at {place:.2f} s ({self.name})")
            done += len(mono)
            yield mono
        if done == 0:
            raise DataError(f"expected sound, got a recording without samples ({self.name})")

    def _of_array(self, count: int) -> Iterator[Array]:
        scale = INTEGERS.get(self.file.dtype)
        for start in range(0, len(self.file), count):
            block = self.file[start : start + count].astype(np.float32)
            block = block if scale is None else block / np.float32(scale)
            peak = np.abs(block).max(where=np.isfinite(block), initial=0.0)
            if peak > LOUDEST:
                hint = "divide by 32768, or pass int16"
                raise DataError(f"expected float samples in ±1, got {peak:g} ({self.name})", hint=hint)
            yield block

    def _of_file(self, count: int) -> Iterator[Array]:
        done = 0
        while True:
            try:
                block = self.file.read(count, dtype="float32", always_2d=True)
            except RuntimeError as error:  # FLAC; its message is often empty
                raise self.broken_off(done) from error
            if len(block) == 0:
                break
            done += len(block)
            yield block
        if self.frames - done > (MP3_PADDING if self.file.format == "MP3" else 0):
            raise self.broken_off(done)

    def broken_off(self, frames: int) -> DataError:
        whole = f" of {self.frames / self.rate:.2f}" if frames < self.frames else ""
        return DataError(
            f"expected a whole recording, got a file that breaks off after {frames / self.rate:.2f}{whole} s "
            f"({self.name})",
            hint="copy it again from where it came",
        )


def _at_rate(opened: _Opened, rate: int, seconds: float) -> Iterator[Array]:
    count = min(round(seconds * opened.rate), LARGEST_BLOCK // opened.channels)  # a header may announce 1024 channels
    return resampled(opened.blocks(max(1, count)), opened.rate, rate)


@contextmanager
def _opened(source: Sound, name: str | None, array_rate: float | None) -> Iterator[_Opened]:
    if isinstance(source, tuple) and len(source) == 2 and np.isscalar(source[1]):
        source, array_rate = source
    if hasattr(source, "__array__"):
        yield _opened_array(np.asarray(source), name or "sound", array_rate)
        return
    soundfile = from_extra("soundfile", EXTRA)
    name = name or (str(source) if isinstance(source, (str, Path)) else getattr(source, "name", "sound"))
    stream = _stream(source, str(name))
    try:
        if not _is_known(stream):
            raise ValueError("of another format")
        is_cut = _last_page_is_cut(stream)
        file = soundfile.SoundFile(str(source) if isinstance(source, (str, Path)) else stream)
    except (soundfile.SoundFileError, ValueError) as error:
        reason = getattr(error, "error_string", "another format, or samples without a header").rstrip(".").lower()
        hint = "does it play elsewhere? convert other formats: ffmpeg -i FILE FILE.wav"
        raise DataError(f"expected sound ({FORMATS}), got a file that is none: {reason} ({name})", hint=hint) from None
    finally:
        if isinstance(source, (str, Path)):
            stream.close()
    with file:
        opened = _Opened(str(name), _known_rate(file.samplerate, str(name)), file.channels, file.frames, file)
        if file.frames >= UNKNOWN_FRAMES:
            message = f"expected a file that tells its length, got one that was written into a pipe ({name})"
            raise DataError(message, hint="write it anew: ffmpeg -i FILE FILE.wav")
        if is_cut or _announces_more(file.extra_info):
            raise opened.broken_off(file.frames)
        yield opened


def _stream(source: Any, name: str) -> BinaryIO:
    """The bytes of a file as something that can seek."""
    if isinstance(source, (str, Path)):
        return existing_file(source, "sound").open("rb")
    if isinstance(source, (bytes, bytearray, memoryview)):
        stream: Any = io.BytesIO(source)
    elif hasattr(source, "read"):
        stream = source if source.seekable() else io.BytesIO(source.read())
    else:
        raise no_sound(source, name)
    if stream.seek(0, io.SEEK_END) == 0:
        raise DataError(f"expected sound, got no bytes ({name})")
    stream.seek(0)
    opened: BinaryIO = stream
    return opened


def no_sound(item: Any, name: str) -> DataError:
    """Something that sound cannot be read from."""
    return DataError(
        f"expected a path, bytes, an array or a pair (array, rate) as sound, got {type(item).__name__} ({name})",
        hint="make an array of a list: numpy.asarray(samples)" if isinstance(item, (list, tuple)) else None,
    )


def _is_known(stream: BinaryIO) -> bool:
    """Whether a file begins as one of our formats does; tags (ID3) may stand before the sound."""
    while (head := stream.read(12))[:3] == b"ID3" and len(head) == 12:
        size = sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        stream.seek(size - 2, io.SEEK_CUR)  # the tag's own header has ten bytes
    stream.seek(0)
    return BEGINNING.match(head) is not None


def _last_page_is_cut(stream: BinaryIO) -> bool:
    """Whether the file is Ogg and its last page not whole; libsndfile would take it for a shorter recording."""
    is_ogg = stream.read(4) == b"OggS"
    size = stream.seek(0, io.SEEK_END) if is_ogg else 0
    tail = b""
    if is_ogg:
        stream.seek(max(0, size - LARGEST_PAGE))
        tail = stream.read()
    stream.seek(0)
    page = tail[tail.rfind(b"OggS") :]
    count = page[26] if len(page) > 26 else 0  # RFC 3533: byte 26 counts the segments, whose lengths follow
    return is_ogg and len(page) < 27 + count + sum(page[27 : 27 + count])


def _announces_more(log: str) -> bool:
    """Whether a WAV or AIFF header announces more bytes of samples than there are; libsndfile only logs that."""
    match = re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", log, flags=re.MULTILINE)
    return match is not None and int(match[2]) < int(match[1]) < UNKNOWN_BYTES


def _opened_array(samples: Array, name: str, rate: float | None) -> _Opened:
    if samples.dtype.kind != "f" and samples.dtype not in INTEGERS:
        raise DataError(f"expected samples as float in ±1, int16 or int32, got {samples.dtype} ({name})")
    if samples.ndim not in (1, 2):
        raise DataError(f"expected a waveform (T,) or (T, channels), got an array of shape {samples.shape} ({name})")
    if samples.size == 0:
        raise DataError(f"expected sound, got a waveform without samples ({name})")
    if rate is None:
        raise DataError(f"expected the rate of a waveform, got none ({name})", hint="give a pair (waveform, rate)")
    columns = samples[:, None] if samples.ndim == 1 else samples
    if columns.shape[1] > len(columns):
        hint = "turn it round: waveform.T"
        raise DataError(f"expected a waveform (T, channels), got an array of shape {samples.shape} ({name})", hint=hint)
    return _Opened(name, _known_rate(rate, name), columns.shape[1], len(columns), columns)


def _known_rate(rate: float, name: str) -> int:
    if not (SLOWEST <= rate <= FASTEST and rate == int(rate)):
        raise DataError(f"expected a rate of {SLOWEST} to {FASTEST} samples a second, got {rate} ({name})")
    return int(rate)


def check_rate(rate: int) -> None:
    """Raise a ParameterError for a rate that no sound has, or one that is no whole number of Hz."""
    if not (SLOWEST <= rate <= FASTEST and rate == int(rate)):
        raise ParameterError(f"expected a rate of {SLOWEST} to {FASTEST} samples a second, got {rate}")
