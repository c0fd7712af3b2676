"""A stream gives every sequence once, in an order that its seed decides, and mixes them within bounds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.dataset import Dataset, joined
from bilstm.data.stream import Stream, shuffle_buffer, size_of

WHOLE = Dataset.from_arrays([np.full((1 + n % 3, 2), float(n)) for n in range(60)], np.arange(60.0))


def stream(shards=6, side_by_side=2):
    def read(rows):
        yield from (WHOLE.take(part) for part in np.array_split(rows, 2))

    return Stream(np.array_split(np.arange(60), shards), read, side_by_side=side_by_side)


def numbers(pieces):
    return [int(value) for piece in pieces for value in piece.target_values]


@given(st.integers(1, 12), st.integers(1, 5), st.none() | st.integers(0, 2**31))
def test_every_sequence_comes_once(shards, side_by_side, seed):
    found = numbers(stream(shards, side_by_side).pieces(seed))
    assert sorted(found) == list(range(60))
    if seed is None:
        assert found == list(range(60))


def test_the_seed_decides_the_order():
    first, again, other = (numbers(stream().pieces(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != list(range(60))


def test_places_that_are_read_side_by_side_mix():
    alone, mixed = ([piece.target_values[0] // 10 for piece in stream(6, n).pieces(3)] for n in (1, 4))
    assert all(a == b for a, b in zip(alone[::2], alone[1::2], strict=True))
    assert any(a != b for a, b in zip(mixed[::2], mixed[1::2], strict=True))


@given(st.integers(1, 7), st.floats(0, 1))
def test_shares_are_the_whole_and_hold_the_same_sequences_out(size, below):
    shares = [numbers(stream().shard(rank, size).without(5, below).pieces(seed=9)) for rank in range(size)]
    whole = numbers(stream().without(5, below).pieces())
    assert sorted(number for share in shares for number in share) == sorted(whole)


def test_what_is_held_out_does_not_depend_on_the_order():
    def drawn(seed):
        return {
            int(value): draw
            for draws, piece in stream().drawn(7, seed)
            for value, draw in zip(piece.target_values, draws, strict=True)
        }

    assert drawn(None) == drawn(1) == drawn(2)
    kept = set(numbers(stream().without(7, 0.4).pieces(3)))
    assert kept == {number for number, draw in drawn(None).items() if draw >= 0.4}
    assert 0 < len(kept) < 60


def test_a_mapped_stream_gives_changed_pieces():
    changed = stream().mapped(lambda piece: piece.renamed(["a", "b"]))
    assert all(piece.feature_names == ["a", "b"] for piece in changed.shard(0, 2).without(1, 0.5).pieces(0))


@given(st.integers(1, 9), st.integers(1, 4000), st.integers(0, 99))
def test_pools_hold_every_sequence_once_and_whole_batches(batch_size, buffer, seed):
    found = list(shuffle_buffer(stream().pieces(seed), batch_size, seed, buffer))
    assert sorted(numbers(found)) == list(range(60))
    assert all(len(pool) % batch_size == 0 for pool in found[:-1])
    assert sum(-(-len(pool) // batch_size) for pool in found) == -(-60 // batch_size)


def test_a_buffer_bounds_the_pools_and_mixes_neighbours():
    buffer = size_of(WHOLE) // 3
    found = list(shuffle_buffer(stream().pieces(1), 2, 1, buffer))
    assert len(found) > 2
    assert max(map(size_of, found)) <= buffer
    first = numbers(found[:1])
    assert len({number // 5 for number in first}) > 1, "sequences of one piece only"
    assert first != numbers(stream().pieces(1))[: len(first)]


def test_joined_datasets_keep_every_column():
    language = Dataset(
        pl.DataFrame({"word": ["a", "b", "c"]}),
        np.array([2, 1]),
        ids=pl.Series(["x", "y"]),
        tags=pl.DataFrame({"tag": ["O", "O", "B"]}),
        texts=pl.Series(["a b", "c"]),
        spans=np.array([[0, 1], [2, 3], [0, 1]]),
        is_language=True,
    )
    found = joined([language.take([1]), language.take([0])])
    assert found.fingerprint() == language.take([1, 0]).fingerprint()
    assert found.ids.to_list() == ["y", "x"]
    assert found.texts.to_list() == ["c", "a b"]
    assert found.spans.tolist() == [[0, 1], [0, 1], [2, 3]]


@pytest.mark.parametrize(("first", "second"), [([1, 2], [0.5]), ([0.5], [1, 2])])
def test_whole_numbers_and_others_are_joined_as_numbers(first, second):
    parts = [Dataset.from_arrays(np.zeros((len(y), 1)), pl.Series("y", y)) for y in (first, second)]
    assert joined(parts).target_values.tolist() == [*map(float, first), *map(float, second)]
