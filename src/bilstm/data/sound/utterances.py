"""Recordings as batches of features, read one batch at a time. Knows where features lie; does not know any text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bilstm.data.batch import ALL, Array, Batch, Sequences
from bilstm.data.sound.filterbank import SoundEncoder
from bilstm.data.sound.sequences import SoundCache

SAME = 1.0  # a recording's own speed


class Utterances(Sequences):
    """Recordings of a data set whose features are fetched when a batch is cut.

    Args:
        keys: one for each recording, (N,); its features at its own speed are in ``features``.
        features: log-mel features by key and speed; those of other speeds are added.
        encoder: scales and stacks them.
        at_speed: reads the features of the recording at a position, played at another speed.
        speeds: in training each recording is played at one of them, drawn anew in every epoch.
        needed: steps that each recording must have at least, (N,): too high a speed is not taken then.
    """

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
        self.keys = keys
        self.features = features
        self.encoder = encoder
        self.at_speed = at_speed
        self.speeds = speeds
        self.lengths = torch.tensor([encoder.steps(len(features.get((key, SAME)))) for key in keys], dtype=torch.int64)
        self.needed = torch.zeros_like(self.lengths) if needed is None else torch.from_numpy(needed)
        self.speed_of = torch.ones(len(keys))

    def batch(self, rows: Sequence[int] | Array | Tensor) -> Batch:
        """Pad the recordings at positions ``rows`` to the longest of them."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        found = [torch.from_numpy(self._steps(row)) for row in rows.tolist()]
        lengths = torch.tensor([len(steps) for steps in found], dtype=torch.int64)
        if not found:
            return Batch(torch.zeros(0, 0, 1), lengths, rows)
        values: Tensor = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)  # (B, T, F)
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
