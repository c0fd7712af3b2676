"""Values to numbers and back; scikit-learn is the oracle where it has one."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bilstm.data.encoders import FeatureEncoder, LabelEncoder, TargetScaler
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close

tables = hnp.arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 5)), elements=st.floats(-1e3, 1e3))


@given(tables)
def test_numbers_are_standardised_as_scikit_learn_does(table):
    table = np.round(table, 3)  # scikit-learn and we differ on when a deviation near 1e-300 is zero
    frame = pl.from_numpy(table)
    assert_close(
        FeatureEncoder().fit(frame).transform(frame), StandardScaler().fit_transform(table), atol=1e-5, rtol=1e-6
    )


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.lists(st.sampled_from("abcd"), min_size=1, max_size=9)
)
def test_categories_are_one_hot_and_unseen_ones_are_all_zero(seen, new):
    oracle = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array(seen)[:, None])
    encoder = FeatureEncoder().fit(pl.DataFrame({"c": seen}))
    assert_close(encoder.transform(pl.DataFrame({"c": new})), oracle.transform(np.array(new)[:, None]))


def test_a_missing_number_becomes_the_mean_and_is_flagged():
    encoder = FeatureEncoder().fit(pl.DataFrame({"x": [1.0, None, 3.0]}))
    assert encoder.names == ["x", "x is missing"]
    assert_close(encoder.transform(pl.DataFrame({"x": [None, 3.0]})), np.array([[0.0, 1.0], [1.0, 0.0]]))


def test_a_number_missing_only_later_becomes_the_mean_without_a_flag():
    encoder = FeatureEncoder().fit(pl.DataFrame({"x": [1.0, 3.0]}))
    assert_close(encoder.transform(pl.DataFrame({"x": [None]}, schema={"x": pl.Float64})), np.zeros((1, 1)))


def test_a_missing_category_is_flagged():
    encoder = FeatureEncoder().fit(pl.DataFrame({"c": ["a", None, "b"]}))
    assert_close(encoder.transform(pl.DataFrame({"c": [None, "b"]})), np.array([[0, 0, 1], [0, 1, 0]]))


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9, 0.1, -1e-9])
def test_a_constant_column_becomes_zero(value):
    frame = pl.DataFrame({"x": [value] * 7})
    assert_close(FeatureEncoder().fit(frame).transform(frame), np.zeros((7, 1)), atol=1e-6)


def test_a_text_column_that_never_repeats_is_left_out_with_a_warning():
    frame = pl.DataFrame({"name": [f"n{i}" for i in range(50)], "x": list(range(50))})
    with pytest.warns(DataWarning, match="column 'name' is left out: 50 different texts in 50 rows"):
        encoder = FeatureEncoder().fit(frame)
    assert encoder.names == ["x"]
    assert encoder.transform(pl.DataFrame({"x": [1.0]})).shape == (1, 1)


def test_columns_are_found_by_name_in_any_order():
    encoder = FeatureEncoder().fit(pl.DataFrame({"a": [0.0, 2.0], "b": [10.0, 30.0]}))
    assert_close(encoder.transform(pl.DataFrame({"more": [0], "b": [30.0], "a": [0.0]})), np.array([[-1.0, 1.0]]))


@pytest.mark.parametrize(
    "frame, message",
    [
        (pl.DataFrame({"b": [1.0]}), "expected a column 'a', got none"),
        (pl.DataFrame({"a": ["text"]}), "expected numbers in column 'a', got 'text'"),
        (pl.DataFrame({"a": [float("inf")]}), "expected finite numbers in column 'a', got inf"),
    ],
)
def test_new_data_of_another_kind_is_refused(frame, message):
    encoder = FeatureEncoder().fit(pl.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(DataError, match=message):
        encoder.transform(frame)


def test_encoders_are_the_same_after_json():
    frame = pl.DataFrame({"x": [0.1, None, 1 / 3], "c": ["ä", "b", None]})
    encoder = FeatureEncoder().fit(frame)
    again = FeatureEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert_close(again.transform(frame), encoder.transform(frame))
    scaler = TargetScaler().fit(pl.DataFrame({"y": [0.1, 0.7]}))
    assert TargetScaler.from_json(json.loads(json.dumps(scaler.to_json()))).to_json() == scaler.to_json()


@given(tables)
def test_scaled_targets_come_back_in_their_units(table):
    frame = pl.from_numpy(table)
    scaler = TargetScaler().fit(frame)
    assert_close(scaler.inverse(scaler.transform(frame)), table, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    "column, message",
    [
        (["a", "b"], "expected numbers in target 'y', got 'a'"),
        ([1.0, None], r"got NaN \(a missing value\) .*row 1"),
        ([1.0, float("inf")], "got infinity"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(column, message):
    with pytest.raises(DataError, match=message):
        TargetScaler().fit(pl.DataFrame({"y": column}))


@pytest.mark.parametrize("labels", [["b", "a", "b"], [3, 1, 3], [True, False, True], [0.5, 1.5, 0.5]])
def test_labels_come_back_in_their_own_kind_also_after_json(labels):
    labels = np.array(labels)
    encoder = LabelEncoder.from_json(json.loads(json.dumps(LabelEncoder().fit(labels).to_json())))
    back = encoder.inverse(encoder.transform(labels))
    assert back.dtype == labels.dtype
    assert_close(back, labels)


def test_an_unknown_label_is_named_with_its_neighbours():
    with pytest.raises(DataError, match=r"got 'cow' .*\nhint: there are 'cat', 'dog'"):
        LabelEncoder().fit(np.array(["cat", "dog"])).transform(np.array(["cat", "cow"]))
