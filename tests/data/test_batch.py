"""Padding, sorting by length and unsorting: nothing is lost, nothing is mixed up."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.batch import Sequences, unsorted
from tests.compare import assert_close

lengths_of = st.lists(st.integers(0, 9), min_size=1, max_size=40)


def sequences_of(lengths, features=2):
    steps = np.arange(1.0, 1 + sum(lengths) * features).reshape(-1, features)
    return Sequences(steps, lengths), np.split(steps, np.cumsum(lengths)[:-1])


def check(batch, originals):
    for values, length, row in zip(batch.values, batch.lengths.tolist(), batch.rows.tolist(), strict=True):
        assert_close(values[:length], originals[row].astype(np.float32))
        assert_close(values[length:], torch.zeros_like(values[length:]))


@given(lengths_of, st.integers(1, 12))
def test_batches_in_order_of_length_hold_every_sequence_once_and_unsort_to_the_callers_order(lengths, size):
    sequences, originals = sequences_of(lengths)
    batches = list(sequences.in_order(size))
    for batch in batches:
        check(batch, originals)
        assert len(batch) <= size
        assert batch.values.shape[1] == int(batch.lengths.max())
    sums = unsorted([batch.values.sum(dim=(1, 2))[:, None] for batch in batches], [b.rows for b in batches])
    assert_close(sums[:, 0], np.array([o.sum() for o in originals], dtype=np.float32), rtol=1e-6)


@given(lengths_of, st.integers(1, 12), st.integers(0, 99))
def test_shuffled_batches_hold_every_sequence_once(lengths, size, seed):
    sequences, originals = sequences_of(lengths)
    batches = list(sequences.shuffled(size, torch.Generator().manual_seed(seed)))
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        check(batch, originals)


def test_one_seed_is_one_order_and_another_is_another():
    sequences, _ = sequences_of([1, 2, 3, 4] * 50)
    orders = [
        torch.cat([b.rows for b in sequences.shuffled(8, torch.Generator().manual_seed(seed))]) for seed in (1, 1, 2)
    ]
    assert_close(orders[0], orders[1])
    assert orders[0].tolist() != orders[2].tolist()


def test_shuffled_batches_of_unequal_lengths_are_padded_little():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 100, size=2000).tolist()
    sequences, _ = sequences_of(lengths)
    padded = sum(
        b.values.shape[0] * b.values.shape[1] for b in sequences.shuffled(32, torch.Generator().manual_seed(0))
    )
    assert sum(lengths) / padded > 0.9
