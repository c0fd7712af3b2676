"""What training needs of sounds beside their features: hours of them at hand without memory, and other speeds.

Knows arrays and one temporary file. Knows no formats, texts or models.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Hashable
from threading import Lock
from typing import Any, Self

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.sound.audio import EXTRA, RESAMPLING
from bilstm.errors import DataError, ParameterError, from_extra


class SoundCache:
    """Keeps features of recordings in one temporary file, so that hours of sound need no more memory than minutes.

    They are kept as float32, exactly as they came, for what is trained on and what is predicted from must be the same
    numbers: 16 kB a second of sound with 40 bands, half of what 16-bit sound at 16 kHz takes. (float16 would lose up to
    0.004, a thousandth of a deviation.) Where the system allows it, the file has no name and vanishes with the process,
    however that ends.

    Args:
        folder: where the file lies; by default where the system keeps temporary files (``TMPDIR``), which on some
            systems is memory.

    Example:
        >>> cache = SoundCache()
        >>> cache.add("a.wav", np.ones((3, 40), np.float32))
        >>> cache.has("a.wav"), cache.has("b.wav"), cache.get("a.wav").shape
        (True, False, (3, 40))
    """

    def __init__(self, folder: str | None = None) -> None:
        self._file: Any = tempfile.TemporaryFile(dir=folder, prefix="bilstm-", buffering=0)  # noqa: SIM115
        self._close = weakref.finalize(self, self._file.close)  # also where nobody closes the cache
        self._places: dict[Hashable, tuple[int, tuple[int, int]]] = {}
        self._end = 0
        self._lock = Lock()  # a place and what is read there belong together

    def __len__(self) -> int:
        return len(self._places)

    def has(self, key: Hashable) -> bool:
        """Whether there are features under this key."""
        return key in self._places

    def add(self, key: Hashable, mel: Array) -> None:
        """Keep features (T, F), as float32, under a key that has none yet.

        Raises:
            DataError: the key has features; they are no matrix; the disk is full.
        """
        if mel.ndim != 2:
            raise DataError(f"expected features (T, F), got an array of shape {mel.shape} ({key})")
        data = memoryview(np.ascontiguousarray(mel, dtype=np.float32).tobytes())
        with self._lock:
            if key in self._places:
                raise DataError(f"expected features under a new key, got {key!r} twice")
            try:
                self._file.seek(self._end)
                while data:
                    data = data[self._file.write(data) :]  # a raw file may take less than all of it
            except OSError as error:
                raise DataError(
                    f"expected room for the features of recordings, got: {error.strerror} ({tempfile.gettempdir()})",
                    hint="set TMPDIR to a folder on a larger disk",
                ) from None
            self._places[key] = (self._end, (mel.shape[0], mel.shape[1]))
            self._end = self._file.tell()

    def get(self, key: Hashable) -> Array:
        """The features under a key, float32 (T, F), a copy of the caller's own.

        Raises:
            KeyError: there are none.
        """
        place, shape = self._places[key]
        result = np.empty(shape, dtype=np.float32)
        rest = memoryview(result.data).cast("B") if result.size else memoryview(b"")
        with self._lock:
            self._file.seek(place)
            while rest:
                count = self._file.readinto(rest)
                assert count, "the file ends before what was written into it"
                rest = rest[count:]
        return result

    def close(self) -> None:
        """Give the room on the disk back."""
        self._close()
        self._places.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def at_speed(waveform: Array, rate: int, factor: float) -> Array:
    """A recording spoken faster or slower, its pitch with it: the same sound as if its rate were another.

    Args:
        waveform: (T,) of floats.
        rate: in Hz.
        factor: 1.1 is a tenth faster; the result has about T / 1.1 samples.

    Returns:
        float32 (T / factor,), at the same rate.

    Raises:
        ParameterError: a factor that is not between a quarter and four.

    Example:
        >>> at_speed(np.zeros(11_000, np.float32), 8000, 1.1).shape
        (10000,)

    Source: Ko, Peddinti, Povey, Khudanpur: Audio augmentation for speech recognition, Interspeech 2015 (0.9, 1, 1.1).
    """
    if not 0.25 <= factor <= 4:  # beyond, no speech is left of speech
        raise ParameterError(f"expected a speed from 0.25 to 4, got {factor}")
    samples = np.asarray(waveform, dtype=np.float32)
    if factor == 1:
        return samples
    result: Array = from_extra("soxr", EXTRA).resample(samples, rate * factor, rate, quality=RESAMPLING)
    return result
