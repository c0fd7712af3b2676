"""Bird calls that are made up, with the names of the birds as texts: sounds for demonstrations and tests.

Knows melodies. Knows no features or models. Unlike dialled tones (``tones``), a call stays what it is when it is played
a little faster or higher, as speech does.
"""

from __future__ import annotations

import io
import wave
from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.demo.tones import amplitude, recording

RATE = 8000  # Hz
MOST_CALLS = 2  # in a recording
GAP = (0.08, 0.2)  # seconds around a call
PITCH, TEMPO = (0.93, 1.08), (0.9, 1.1)  # by which the individuals of a kind differ
LEVEL = (-20.0, -9.0)  # dBFS, drawn for a recording
NOISE = -42.0  # dBFS of the noise, which is white
FULL = 2**15 - 1  # the loudest of 16 bits


class _Call(NamedTuple):
    """A melody: pitches at even distances, between which it glides; 0 is silence."""

    seconds: float
    pitches: tuple[float, ...]  # Hz
    overtones: int = 0  # at twice, three times … the pitch, each half as loud as the one before
    tremble: float = 0.0  # Hz of a trembling loudness


CALLS = {
    "cuckoo": _Call(0.60, (660, 660, 0, 525, 525)),
    "owl": _Call(0.55, (380, 400, 390, 360), overtones=1, tremble=9),
    "finch": _Call(0.40, (1900, 2200, 2800, 3300)),
    "gull": _Call(0.50, (1500, 1300, 900, 700), overtones=3),
    "wren": _Call(0.45, (2500, 3000) * 4),
    "crow": _Call(0.50, (450, 420, 0, 450, 400), overtones=6, tremble=60),
}


def bird_calls(count: int, *, birds: int = 6, seed: int = 0) -> tuple[list[Array], list[str], list[str]]:
    """Sounds (T_i,) in ±1 at 8000 Hz of one or two calls in noise, their texts, and the names of the singers.

    There are so many ``birds``, who sing one after the other; each has a pitch and a tempo of its own.

    Example:
        >>> sounds, texts, singers = bird_calls(3)
        >>> texts[0], singers[0]
        ('crow', 'bird 1')
        >>> sounds[0].dtype, 0.5 < len(sounds[0]) / 8000 < 2
        (dtype('float32'), True)
    """
    generator = np.random.default_rng(seed)
    voices = [(generator.uniform(*PITCH), generator.uniform(*TEMPO)) for _ in range(birds)]
    sounds, texts, singers = [], [], []
    for number in range(count):
        singer = number * birds // count
        pitch, tempo = voices[singer]
        names = generator.choice(list(CALLS), generator.integers(1, MOST_CALLS + 1))
        sounds.append(_sung([CALLS[name] for name in names], pitch, tempo, generator))
        texts.append(" ".join(names))
        singers.append(f"bird {1 + singer}")
    return sounds, texts, singers


def as_wav(sound: Array) -> bytes:
    """A sound in ±1 at 8000 Hz as a WAV file of 16 bits, by the standard library alone.

    Example:
        >>> as_wav(np.zeros(80, np.float32))[:4], len(as_wav(np.zeros(80, np.float32)))
        (b'RIFF', 204)
    """
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, RATE, len(sound), "NONE", "not compressed"))
        file.writeframes(np.round(FULL * sound).astype("<i2").tobytes())
    return out.getvalue()


def _sung(calls: list[_Call], pitch: float, tempo: float, generator: np.random.Generator) -> Array:
    """One recording: gaps and calls by turns, a gap at both ends, in noise; nobody sings twice the same."""
    loudness = amplitude(generator.uniform(*LEVEL))
    pieces = (loudness * _melody(call, *(generator.uniform(0.97, 1.03, 2) * (pitch, tempo))) for call in calls)
    return recording(pieces, RATE, GAP, NOISE, generator)


def _melody(call: _Call, pitch: float, tempo: float) -> Array:
    """(T,) in ±1."""
    time = np.linspace(0.0, 1.0, round(call.seconds / tempo * RATE))
    places, pitches = np.linspace(0.0, 1.0, len(call.pitches)), np.array(call.pitches, dtype=np.float64)
    is_tone = pitches > 0
    frequency = pitch * np.interp(time, places[is_tone], pitches[is_tone])
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    tones = sum(
        0.5**k * np.sin((k + 1) * phase) * ((k + 1) * frequency < RATE / 2)  # none above what the rate can hold
        for k in range(call.overtones + 1)
    )
    loudness = np.interp(time, places, is_tone) * np.minimum(1.0, 20 * np.minimum(time, 1 - time))
    trembling = 0.6 + 0.4 * np.sin(2 * np.pi * call.tremble * time * len(time) / RATE)
    sung = tones * loudness * (trembling if call.tremble else 1.0)
    result: Array = sung / max(1.0, np.abs(sung).max())
    return result
