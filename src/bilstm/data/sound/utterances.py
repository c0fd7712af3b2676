"""What training needs of recordings: features kept on disk and read one batch at a time, and other speeds.

Knows where features lie and one temporary file. Knows no formats, texts or models.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from threading import Lock
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from bilstm.data.batch import ALL, Array, Batch, Sequences
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.reader import EXTRA, RESAMPLING
from bilstm.errors import DataError, ParameterError, from_extra

SAME = 1.0  # a recording's own speed


class Utterances(Sequences):
    """Recordings of a data set whose features are fetched when a batch is cut."""

    def __init__(
        self,
        keys: Sequence[Hashable],
        features: SoundCache,
        encoder: SoundEncoder,
        *,
        at_speed: Callable[[int, float], Array] | None = None,
        speeds: Sequence[float] = (SAME,),
        needed: Array | None = None,
    ) -> None:
        self.keys = keys  # one for each recording, (N,)
        self.features = features  # log-mel, by key and speed; those of other speeds than its own are added
        self.encoder = encoder
        self.at_speed = at_speed  # reads the features of the recording at a position, played at another speed
        self.speeds = speeds  # in training each recording is played at one of them, drawn anew in every epoch
        self.lengths = torch.tensor([encoder.steps(len(features.get((key, SAME)))) for key in keys], dtype=torch.int64)
        # steps that each recording must have at least, (N,): too high a speed is not taken then
        self.needed = torch.zeros_like(self.lengths) if needed is None else torch.from_numpy(needed)
        self.speed_of = torch.ones(len(keys))

    def batch(self, rows: Sequence[int] | Array | Tensor) -> Batch:
        """Pad the recordings at positions ``rows`` to the longest of them."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        sequences = [torch.from_numpy(self._steps(row)) for row in rows.tolist()]
        lengths = torch.tensor([len(steps) for steps in sequences], dtype=torch.int64)
        if not sequences:
            return Batch(torch.zeros(0, 0, 1), lengths, rows)
        values: Tensor = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)  # (B, T, F)
        return Batch(values, lengths, rows)

    def shuffled(self, batch_size: int, generator: torch.Generator, share: slice = ALL) -> Iterator[Batch]:
        """As of other sequences; each recording is played at a speed that is drawn for this epoch."""
        speeds = torch.tensor(self.speeds, dtype=torch.float64)
        drawn = speeds[torch.randint(len(speeds), (len(self),), generator=generator)]
        fits = (self.lengths / drawn).floor() - 1 >= self.needed
        self.speed_of = torch.where(fits, drawn, SAME)
        try:
            yield from super().shuffled(batch_size, generator, share)
        finally:
            self.speed_of = torch.ones(len(self))

    def _steps(self, row: int) -> Array:
        """Features as the network reads them, (T, F) float32."""
        key = self.keys[row], round(float(self.speed_of[row]), 6)
        if not self.features.has(key):
            assert self.at_speed is not None
            self.features.add(key, self.at_speed(row, key[1]))
        return np.ascontiguousarray(self.encoder.encoded(self.features.get(key)), dtype=np.float32)


def keep(features: SoundCache, key: tuple[Hashable, float], mel: Array) -> None:
    """Keep features once; a recording that is there twice has them already."""
    if not features.has(key):
        features.add(key, mel)


def key_of(sound: Any) -> Hashable:
    """What tells one sound of a program from another: a path, or which object in memory it is."""
    return str(sound) if isinstance(sound, str) or hasattr(sound, "__fspath__") else id(sound)


class SoundCache:
    """Keeps features of recordings in one temporary file, so that hours of sound need no more memory than minutes.

    They are kept as float32, exactly as they came, for what is trained on and what is predicted from must be the same
    numbers: 16 kB a second of sound with 40 bands, half of what 16-bit sound at 16 kHz takes. (float16 would lose up to
    0.004, a thousandth of a deviation.) Where the system allows it, the file has no name and vanishes with the process,
    however that ends. It lies in ``folder``, by default where the system keeps temporary files (``TMPDIR``), which on
    some systems is memory.
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
        return key in self._places

    def add(self, key: Hashable, mel: Array) -> None:
        """Keep features (T, F), as float32, under a key that has none yet."""
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
        """The features under a key, float32 (T, F), a copy of the caller's own."""
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
    """A recording (T,) spoken ``factor`` times as fast, its pitch with it, at the same rate: float32 (T / factor,).

    Source: Ko, Peddinti, Povey, Khudanpur: Audio augmentation for speech recognition, Interspeech 2015 (0.9, 1, 1.1).
    """
    if not 0.25 <= factor <= 4:  # beyond, no speech is left of speech
        raise ParameterError(f"expected a speed from 0.25 to 4, got {factor}")
    samples = np.asarray(waveform, dtype=np.float32)
    if factor == 1:
        return samples
    result: Array = from_extra("soxr", EXTRA).resample(samples, rate * factor, rate, quality=RESAMPLING)
    return result
