"""What programs hold becomes one form, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm import boston, digits
from bilstm.data.dataset import Dataset
from bilstm.data.text.reader import from_words, is_words
from bilstm.errors import DataError
from tests.compare import assert_close

ragged = st.lists(st.integers(0, 5), min_size=1, max_size=8)


def sequences_of(lengths, features=3):
    generator = np.random.default_rng(len(lengths))
    return [generator.normal(size=(t, features)) for t in lengths]


@given(ragged)
def test_a_list_of_arrays_comes_back_as_it_was(lengths):
    given_sequences = sequences_of(lengths)
    data = Dataset.from_arrays(given_sequences)
    assert data.lengths.tolist() == lengths
    for ours, theirs in zip(data.sequences, given_sequences, strict=True):
        assert_close(ours, theirs)


@given(ragged, st.data())
def test_taking_rows_takes_their_sequences_targets_and_ids(lengths, draw):
    sequences = sequences_of(lengths)
    data = Dataset(
        pl.from_numpy(np.concatenate(sequences), schema=["a", "b", "c"]),
        np.array(lengths),
        pl.DataFrame({"y": range(len(lengths))}),
        pl.Series("id", [f"s{i}" for i in range(len(lengths))]),
    )
    rows = draw.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=10))
    taken = data.take(rows)
    assert taken.ids.to_list() == [f"s{i}" for i in rows]
    assert taken.targets["y"].to_list() == rows
    for ours, row in zip(taken.sequences, rows, strict=True):
        assert_close(ours, sequences[row])


COLUMNS = {
    "an object array": lambda rows: _object_array(rows),
    "a Series of pandas": lambda rows: pd.Series(rows, index=range(7, 7 + len(rows))),
    "a Series of polars": lambda rows: pl.Series(rows, dtype=pl.Object),
    "a Series of lists": lambda rows: pd.Series([row.tolist() for row in rows]),
    "lists of polars": lambda rows: pl.Series([row.tolist() for row in rows], dtype=pl.List(pl.List(pl.Float64))),
    "frames": lambda rows: [pl.from_numpy(row) for row in rows],
}


def _object_array(rows):
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


@pytest.mark.parametrize("name", COLUMNS)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=8), st.integers(1, 3))
def test_a_column_of_sequences_is_the_list_of_them(name, lengths, features):
    sequences = sequences_of(lengths, features)
    expected, found = Dataset.from_arrays(sequences), Dataset.from_arrays(COLUMNS[name](sequences))
    assert found.fingerprint() == expected.fingerprint()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8))
def test_words_and_their_tags_are_read_from_lists_arrays_and_series(lengths):
    sentences = [[f"w{k}" for k in range(length)] for length in lengths]
    tags = [["O"] * length for length in lengths]
    expected = from_words(sentences, tags)
    for make in (
        pd.Series,
        pl.Series,
        lambda rows: [np.array(row) for row in rows],
        lambda rows: np.array(rows, object),
    ):
        if make in (pd.Series, pl.Series) or len(set(lengths)) == 1:
            assert from_words(make(sentences), make(tags)).fingerprint() == expected.fingerprint()
    assert is_words(pd.Series(sentences))
    assert is_words(_object_array([np.array(sentence, dtype=object) for sentence in sentences]))


def test_sets_of_labels_are_read_from_arrays_and_series():
    labels = [["sad"], ["sad", "slow"], []]
    for y in (_object_array(labels), pd.Series([np.array(row, dtype=str) for row in labels]), pl.Series(labels)):
        assert Dataset.from_arrays(np.zeros((3, 2, 1)), y).targets.to_series().to_list() == labels


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (pd.Series([1.0, 2.0]), "got an array of 1 dimensions.*\nhint: a Series of numbers is one column: X.to_frame"),
        (np.zeros((2, 3, 4, 5)), r"got an array of 4 dimensions.*\nhint: .*reshape\(N, T, -1\)"),
        ([{"a": 1}, {"a": 2}], "got dict among its values"),
        ([np.zeros((2, 5)), np.zeros((2, 7))], r"got \(2, 7\).*, sequence 1\)\nhint: .*turn each sequence round"),
        (pd.Series([None, np.zeros((2, 5))]), "got None .*, sequence 0.*\nhint: leave sequences out"),
        ([[[1.0, 2.0], [3.0]], [[1.0, 2.0]]], "got steps of different lengths .*, sequence 0"),
        (
            pd.DataFrame({"x": [np.zeros(2), np.zeros(3)]}),
            r"got ndarray .*\nhint: a column of sequences goes in by itself",
        ),
        (pl.DataFrame({"x": [[1.0], [2.0, 3.0]]}), r"got List.*\nhint: a column of sequences goes in by itself"),
    ],
    ids=range(8),
)
def test_what_is_no_list_of_sequences_is_told_what_it_is(X, words):
    with pytest.raises(DataError, match=words):
        Dataset.from_arrays(X)


def test_tables_arrays_and_frames_of_both_libraries_are_one_thing():
    matrix = np.arange(6.0).reshape(3, 2)
    for frame in (pd.DataFrame(matrix, columns=["a", "b"]), pl.DataFrame(matrix, schema=["a", "b"])):
        data = Dataset.from_arrays(frame)
        assert data.feature_names == ["a", "b"]
        assert data.is_table
        assert_close(data.steps.to_numpy(), matrix)
    assert Dataset.from_arrays(matrix).feature_names == ["x0", "x1"]
    assert Dataset.from_arrays(matrix.tolist()).is_table


def test_a_mask_takes_the_rows_where_it_is_true():
    data = Dataset.from_arrays([np.zeros((1, 1)), np.ones((2, 1)), np.full((1, 1), 2.0)])
    assert [s[0, 0] for s in data.take(np.array([True, False, True])).sequences] == [0.0, 2.0]


def test_text_that_looks_like_numbers_stays_text_in_both_libraries():
    columns = {"zip": ["01234", "99999"], "size": pd.Categorical([3, 7])}
    frame = Dataset.from_arrays(pd.DataFrame(columns)).steps
    assert frame["zip"].to_list() == ["01234", "99999"]
    assert frame["size"].to_list() == ["3", "7"]
    assert Dataset.from_arrays(pl.DataFrame({"zip": ["01234"]})).steps["zip"].to_list() == ["01234"]


def test_missing_values_of_every_kind_are_missing_and_dates_are_text():
    frame = pd.DataFrame(
        {
            "s": pd.array(["a", pd.NA], dtype="string"),
            "b": pd.array([True, pd.NA], dtype="boolean"),
            "i": pd.array([3, pd.NA], dtype="Int64"),
            "d": pd.to_datetime(["2024-01-02", None]),
        }
    )
    steps = Dataset.from_arrays(frame).steps
    assert [steps[name].to_list() for name in "sbi"] == [["a", None], [1.0, None], [3.0, None]]
    assert steps["d"].to_list() == ["2024-01-02", None]


def test_two_columns_of_one_name_and_columns_of_lists_are_refused():
    with pytest.raises(DataError, match="expected different column names, got 'a' twice"):
        Dataset.from_arrays(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))
    with pytest.raises(DataError, match="expected numbers or text in column 'a', got List"):
        Dataset.from_arrays(pl.DataFrame({"a": [[1], [2]]}))


def test_a_block_of_equal_lengths_is_as_many_sequences():
    block = np.arange(24.0).reshape(2, 3, 4)
    data = Dataset.from_arrays(block)
    assert data.lengths.tolist() == [3, 3]
    assert_close(np.stack(data.sequences), block)


def test_a_ragged_list_of_numbers_is_sequences_of_one_feature():
    data = Dataset.from_arrays([[1.0, 2.0], [3.0]])
    assert [s.tolist() for s in data.sequences] == [[[1.0], [2.0]], [[3.0]]]


def test_text_stays_text_and_missing_stays_missing():
    data = Dataset.from_arrays(pd.DataFrame({"town": ["a", None], "x": [1.0, np.nan]}))
    assert data.steps["town"].to_list() == ["a", None]
    assert data.steps["x"].is_null().to_list() == [False, True]


@pytest.mark.parametrize(
    "X, message",
    [
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"expected sequences of shape \(T, 3\), got \(2, 4\) .*sequence 1"),
        (np.zeros(3), "got an array of 1 dimensions"),
        (np.zeros((2, 2)) * 1j, "Complex data not supported"),
        (np.array([[object()]]), "argument must be a string or a number"),
    ],
)
def test_other_shapes_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays(X)


def test_lengths_and_targets_must_fit():
    steps = pl.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(DataError, match="add up to 2 steps, got 3"):
        Dataset(steps, np.array([3]))
    with pytest.raises(DataError, match="expected 1 targets, got 2"):
        Dataset(steps, np.array([2]), pl.DataFrame({"y": [1, 2]}))


def test_the_fingerprint_tells_data_apart():
    prints = {
        Dataset.from_arrays(X, y).fingerprint()
        for X in ([[1.0], [2.0]], [[1.0], [3.0]], [[[1.0], [2.0]]])
        for y in (None, [1] if np.ndim(X) == 3 else [1, 2])
    }
    assert len(prints) == 6


def test_the_built_in_sets_are_what_they_are_known_for():
    houses = boston()
    assert (len(houses), len(houses.feature_names)) == (506, 13)
    assert_close(houses.target_values.mean(), 22.532806324110677, rtol=1e-12)
    assert "b" not in boston(drop=["b"]).feature_names
    images = digits()
    assert (len(images), set(images.lengths.tolist()), len(images.feature_names)) == (1797, {8}, 8)
    with pytest.raises(DataError, match="did you mean 'pixel7'"):
        digits(drop=["pixel77"])
