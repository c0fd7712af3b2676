"""What is learned piece by piece is what is learned at once; numpy and the encoders' own fit are the oracles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bilstm.data import encoders
from bilstm.data.encoders import FeatureEncoder, LabelEncoder, Moments, TargetScaler
from bilstm.data.text.encoder import WordCounts
from bilstm.data.text.tags import Evidence, scheme_of
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close

numbers = st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), max_size=20)


@given(st.lists(numbers, min_size=1, max_size=6).filter(any))
def test_merged_moments_are_those_of_all_numbers_together(pieces):
    moments = Moments()
    for piece in pieces:
        moments.update(np.array(piece))
    whole = np.concatenate([np.array(piece) for piece in pieces])
    assert moments.count == len(whole)
    assert_close(moments.mean, whole.mean(), atol=1e-9 * np.abs(whole).max(), what="mean")
    assert_close(moments.deviation, whole.std(), atol=1e-9 * np.abs(whole).max(), what="deviation")


def test_moments_far_from_zero_keep_their_deviation():
    whole = 1e9 + np.random.default_rng(0).normal(size=10_000)
    moments = Moments()
    for piece in np.array_split(whole, 37):
        moments.update(piece)
    assert_close(moments.deviation, whole.std(), rtol=1e-6)


def table(rows=400):
    draw = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "x": draw.normal(5, 3, rows),
            "gaps": pl.Series(draw.normal(size=rows)).set(pl.Series(draw.random(rows) < 0.3), None),
            "nan": np.where(draw.random(rows) < 0.3, np.nan, 2.0),
            "constant": np.full(rows, 0.1),
            "town": [["a", "b", None, "c"][row % 4] for row in range(rows)],
            "id": [f"row {row}" for row in range(rows)],
        }
    )


@pytest.mark.filterwarnings("ignore::bilstm.errors.DataWarning")
@pytest.mark.parametrize("pieces", [1, 2, 7, 400])
def test_features_are_learned_from_pieces_as_from_all_of_them(pieces):
    whole, found = table(), FeatureEncoder()
    for rows in np.array_split(np.arange(whole.height), pieces):
        found.update(whole[rows])
    found.finish()
    expected = FeatureEncoder().fit(whole)
    for ours, theirs in zip(found.columns, expected.columns, strict=True):
        assert (ours.name, ours.kind, ours.flag, ours.values) == (
            theirs.name,
            theirs.kind,
            theirs.flag,
            theirs.values,
        )
        assert_close([ours.mean, ours.scale], [theirs.mean, theirs.scale], rtol=1e-12, what=ours.name)
    assert_close(found.transform(whole), expected.transform(whole), atol=1e-6)


def test_a_column_of_too_many_texts_is_left_out_with_a_warning(monkeypatch):
    monkeypatch.setattr(encoders, "MOST_VALUES", 30)
    encoder = FeatureEncoder()
    for _ in range(3):
        encoder.update(pl.DataFrame({"x": np.arange(100.0), "c": [f"{row % 50}" for row in range(100)]}))
    with pytest.warns(DataWarning, match="'c' is left out: more than 30 different texts"):
        assert encoder.finish().names == ["x"]


def test_a_column_of_many_texts_that_repeat_is_learned_where_it_comes_in_one_piece(monkeypatch):
    monkeypatch.setattr(encoders, "MOST_VALUES", 30)
    assert len(FeatureEncoder().fit(pl.DataFrame({"c": [f"{row % 50}" for row in range(100)]})).names) == 50


labels = st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), min_size=1, max_size=9)


@given(st.lists(labels, min_size=1, max_size=5))
def test_labels_of_pieces_are_those_of_the_whole(pieces):
    found, whole = LabelEncoder(), np.array([label for piece in pieces for label in piece])
    for piece in pieces:
        found.update(np.array(piece))
    expected = LabelEncoder().fit(whole)
    assert found.to_json() == expected.to_json()
    assert dict(zip(found.classes, found.counts, strict=True)) == Counter(whole.tolist())
    assert dict(zip(expected.classes, expected.counts, strict=True)) == Counter(whole.tolist())


def test_labels_that_never_repeat_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(encoders, "MOST_VALUES", 30)
    encoder = LabelEncoder().fit(np.arange(50))  # in one piece they are in memory anyway
    with pytest.raises(DataError, match=r"got more than 30 different ones \(d\)\nhint: for numbers use a regressor"):
        encoder.update(np.arange(50, 60), "d")


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)))
def test_moments_of_one_piece_are_numpys_own_bit_for_bit(values):
    moments = Moments()
    moments.update(values)
    assert (moments.mean == values.mean(axis=0)).all()
    assert (moments.deviation == values.std(axis=0)).all()


def test_a_column_that_changes_its_kind_is_an_error():
    values = FeatureEncoder()
    values.update(pl.DataFrame({"x": [1.0]}))
    with pytest.raises(DataError, match=r"expected numbers in column 'x' as before, got text \(b.csv\)"):
        values.update(pl.DataFrame({"x": ["a"]}), "b.csv")


@pytest.mark.parametrize("pieces", [1, 5])
def test_targets_are_learned_from_pieces_as_from_all_of_them(pieces):
    whole, found = table().select("x", one=pl.lit(3)), TargetScaler()
    for rows in np.array_split(np.arange(whole.height), pieces):
        found.update(whole[rows])
    expected = TargetScaler().fit(whole)
    assert found.names == expected.names
    assert_close(found.mean, expected.mean, rtol=1e-12)
    assert_close(found.scale, expected.scale, rtol=1e-12)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=30), max_size=5))
def test_words_are_counted_as_a_counter_counts_them(pieces):
    words = WordCounts()
    for piece in pieces:
        words.update(pl.Series("word", piece, dtype=pl.String))
    assert words.counts == Counter(word for piece in pieces for word in piece)
    assert not words.forgotten


def test_where_words_are_too_many_the_rarest_are_forgotten():
    words = WordCounts(most=10)
    for number in range(50):
        words.update(pl.Series("word", ["often", "often", f"once {number}"]))
        assert len(words.counts) <= 10
    assert words.counts["often"] == 100
    assert words.forgotten


tags = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "I-LOC", "S-LOC", "E-PER", "NOUN"]), max_size=6)


@given(st.lists(st.lists(tags, max_size=4), max_size=4))
def test_the_scheme_of_pieces_is_that_of_the_whole(pieces):
    evidence = Evidence()
    for piece in pieces:
        evidence.add(piece)
    assert evidence.scheme == scheme_of([sentence for piece in pieces for sentence in piece])
