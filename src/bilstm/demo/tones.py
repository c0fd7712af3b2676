"""Dialled digits in noise: sounds with texts that the package makes itself, for demonstrations and tests.

Knows the tones of a telephone's keys. Knows no features or models.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.sound.reader import EXTRA
from bilstm.errors import ParameterError, from_extra

# ITU-T Q.23: a key is one tone of its row and one of its column, Hz
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = {"1": (0, 0), "2": (0, 1), "3": (0, 2), "4": (1, 0), "5": (1, 1), "6": (1, 2)}
KEYS |= {"7": (2, 0), "8": (2, 1), "9": (2, 2), "0": (3, 1)}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_DIGITS = 5
TONE = (0.06, 0.2)  # seconds; ITU-T Q.24 wants 40 ms to be heard, fingers rest longer
GAP = (0.06, 0.25)
EDGE = 0.005  # seconds in which a tone swells and dies away, so that it does not click
LEVEL = (-24.0, -10.0)  # dBFS of each of both tones, drawn for a recording
TWIST = 3.0  # dB by which the tones of a key may differ
DETUNED = 0.015  # share by which a key's tones may be off; ITU-T Q.24 has receivers accept 1.5 %


def dial_tones(
    count: int, *, rate: int = 8000, seed: int = 0, noise: float = -40.0, words: bool = True
) -> tuple[list[Array], list[str]]:
    """Recordings of one to five dialled digits, with the digits as texts.

    Args:
        count: how many.
        rate: in Hz, from 4000.
        seed: equal seeds give equal recordings.
        noise: level of the white noise, dBFS; the tones lie at −24 to −10 dBFS.
        words: whether texts read ``four zero seven`` or ``407``.

    Returns:
        list of float32 (T_i,) in ±1 and list of str.

    Raises:
        ParameterError: a rate too low for the tones.

    Example:
        >>> sounds, texts = dial_tones(2, seed=1)
        >>> texts
        ['five seven nine', 'seven eight zero zero zero']
        >>> sounds[1].dtype, 0.6 < len(sounds[1]) / 8000 < 2.5
        (dtype('float32'), True)
    """
    if rate < 4000:  # twice the highest tone and room above it
        raise ParameterError(f"expected a rate of 4000 Hz or more for tones up to {COLUMNS[-1]} Hz, got {rate}")
    generator = np.random.default_rng(seed)
    sounds, texts = [], []
    for _ in range(count):
        digits = generator.integers(0, 10, generator.integers(1, MOST_DIGITS + 1))
        level = generator.uniform(*LEVEL)
        keys = (_key(str(digit), level, rate, generator) for digit in digits)
        sounds.append(recording(keys, rate, GAP, noise, generator))
        texts.append(" ".join(WORDS[d] for d in digits) if words else "".join(map(str, digits)))
    return sounds, texts


def write_dial_tones(
    folder: str | Path, count: int, *, rate: int = 8000, seed: int = 0, noise: float = -40.0, words: bool = True
) -> Path:
    """Write recordings of :func:`dial_tones` as 16-bit WAV files in ``audio``, and the table ``tones.csv`` of them.

    The folder is made if need be; the path of the table is returned.
    """
    soundfile = from_extra("soundfile", EXTRA)
    folder = Path(folder)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    sounds, texts = dial_tones(count, rate=rate, seed=seed, noise=noise, words=words)
    names = [f"audio/{number:05d}.wav" for number in range(count)]
    for name, sound in zip(names, sounds, strict=True):
        soundfile.write(folder / name, sound, rate, subtype="PCM_16")
    pl.DataFrame({"path": names, "text": texts}).write_csv(folder / "tones.csv")
    return folder / "tones.csv"


def recording(
    pieces: Iterable[Array], rate: int, gap: tuple[float, float], noise: float, generator: np.random.Generator
) -> Array:
    """Pieces of sound with gaps of so many seconds between them and at both ends, in noise of so many dBFS."""
    parts = [np.zeros(round(generator.uniform(*gap) * rate))]
    for piece in pieces:
        parts += [piece, np.zeros(round(generator.uniform(*gap) * rate))]
    clean = np.concatenate(parts)
    sound = clean + generator.normal(0.0, amplitude(noise), len(clean))
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _key(key: str, level: float, rate: int, generator: np.random.Generator) -> Array:
    seconds = np.arange(round(generator.uniform(*TONE) * rate)) / rate
    row, column = KEYS[key]
    off = 1 + generator.uniform(-DETUNED, DETUNED)
    twist = generator.uniform(-TWIST, TWIST)
    low = amplitude(level) * np.sin(2 * np.pi * ROWS[row] * off * seconds)
    high = amplitude(level + twist) * np.sin(2 * np.pi * COLUMNS[column] * off * seconds)
    swell = np.minimum(1.0, np.minimum(seconds, seconds[::-1]) / EDGE)
    result: Array = (low + high) * swell
    return result


def amplitude(level: float) -> float:
    """The amplitude of a level in dBFS."""
    return float(10 ** (level / 20))
