"""What tests of speech share: parameters that learn dial tones in seconds, a model that has, and edit distances."""

from __future__ import annotations

import functools

import numpy as np
import torch

from bilstm import BiLSTMTranscriber
from bilstm.demo.tones import dial_tones

RATE = 8000
TINY = {"hidden_size": 6, "num_layers": 1, "mels": 8, "stack": 4, "sample_rate": RATE, "max_epochs": 2}
LEARNS = {"hidden_size": 48, "num_layers": 2, "mels": 24, "stack": 2, "sample_rate": RATE, "max_epochs": 12} | {
    "learning_rate": 0.004,
    "dropout": 0.1,
    "masks": False,
    "speed_change": 0,
}


def tiny(**parameters):
    """A transcriber that learns nothing, but at once."""
    return BiLSTMTranscriber(**TINY | parameters)


@functools.cache
def learned():
    """A transcriber that knows dial tones; one for all tests of a run, none of which may change it."""
    return BiLSTMTranscriber(**LEARNS).fit(*dial_tones(300, rate=RATE, words=False))


@functools.cache
def heard():
    """Recordings that it has never met, and their texts."""
    return dial_tones(12, rate=RATE, words=False, seed=9)


@functools.cache
def untrained(words=True):
    """A transcriber whose network is random with large weights, so that it says something of everything."""
    model = tiny(num_layers=2, max_epochs=1).fit(*dial_tones(12, rate=RATE, words=words))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.network_.parameters():
            parameter.copy_(1.5 * torch.randn(parameter.shape, generator=generator))
    return model


def edits(truth, predicted):
    """The fewest insertions, deletions and substitutions that make one sequence of the other, by the whole table."""
    table = np.zeros((len(truth) + 1, len(predicted) + 1), dtype=int)
    table[:, 0], table[0, :] = np.arange(len(truth) + 1), np.arange(len(predicted) + 1)
    for i, a in enumerate(truth, start=1):
        for j, b in enumerate(predicted, start=1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    return int(table[-1, -1])
