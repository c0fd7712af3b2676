"""Series to numbers: scalers see training rows only, gaps are filled from before, units come back."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.series.encoder import SeriesEncoder, root_mean_squares
from bilstm.data.series.reader import read_series
from bilstm.data.series.windows import cut
from bilstm.errors import DataError
from tests.compare import assert_close
from tests.series import VIEWS, days, read_shops, shops, table
from tests.strategies import FUZZ


def fitted(series, target_as="level", history=5, horizon=2, until=50):
    """An encoder of the windows over before a day, and all windows."""
    windows = cut(series, history, horizon)
    training = windows.take(windows.before(days(until + 1)[until]))
    return SeriesEncoder.fit(training, target_as, use_calendar=True), training, windows


@FUZZ
@given(st.sampled_from(VIEWS), st.integers(1, 2), st.sampled_from([0.0, 0.1]), st.integers(0, 99))
def test_means_deviations_and_columns_are_those_of_the_training_rows_alone(target_as, targets, gaps, seed):
    frame = shops(gaps=gaps, targets=targets, seed=seed)
    encoder, training, _ = fitted(read_shops(frame), target_as)
    names = [name for name in frame.columns if name not in ("shop", "day")]
    late = pl.col("day") >= days(51)[50]
    changed = frame.with_columns(pl.when(late).then(pl.col(name) * 3 + 9).otherwise(pl.col(name)) for name in names)
    assert fitted(read_shops(changed), target_as)[0].to_json() == encoder.to_json()
    early = frame.filter(~late).select(f"y{k}" for k in range(targets)).fill_null(float("nan")).to_numpy()
    early = np.log(early) if target_as == "log-return" else early
    assert training.covered.sum() == len(early)
    assert_close(encoder.mean, np.nanmean(early, axis=0), rtol=1e-12)
    assert_close(encoder.scale, np.nanstd(early, axis=0), rtol=1e-12)


@pytest.mark.parametrize("target_as", VIEWS)
def test_what_is_encoded_comes_back_in_its_units(target_as):
    series = read_shops(shops(targets=2, gaps=0.1))
    encoder, training, windows = fitted(series, target_as)
    assert_close(encoder.inverse(encoder.following(windows)), windows.following, rtol=1e-12)
    assert_close(encoder.standardised(series), encoder.standardised(windows.series)[~late_rows(windows)])
    assert_close(np.nanstd(encoder.standardised(training.series)[training.covered], axis=0), np.ones(2), rtol=1e-9)


def late_rows(windows):
    """Rows that cut() has put behind each series."""
    series = windows.series
    ends = series.starts + series.lengths
    return np.isin(np.arange(series.steps.height), (ends[:, None] - 1 - np.arange(windows.horizon)).ravel())


def test_gaps_take_the_last_known_value_of_their_own_series_and_the_mean_before_it():
    frame = pl.DataFrame(
        {"shop": list("aaaaabbbbb"), "y": [None, 1.0, None, None, 2.0, None, 5.0, None, 7.0, 8.0], "x": [1.0] * 10}
    )
    windows = cut(read_series(frame, target="y", group="shop"), 2, 1)
    encoder = SeriesEncoder.fit(windows, "level", use_calendar=False)
    filled = encoder.inverse(encoder.filled(windows.series))[:, 0]
    mean = np.mean([1, 2, 5, 7, 8])
    assert_close(filled, np.array([mean, 1, 1, 1, 2, 2, mean, 5, 5, 7, 8, 8]), rtol=1e-12)


def test_where_training_lacked_values_a_column_says_so():
    whole, *_ = fitted(read_shops(shops()))
    holey, _, windows = fitted(read_shops(shops(gaps=0.2)))
    assert whole.flagged == []
    assert holey.flagged == ["y0"]
    assert holey.input_size == whole.input_size + 2
    place = 1 + holey.columns.names.index("y0 is missing")
    told = holey.sequences(windows).matrix[:, place].numpy() > 0
    assert_close(told, np.isnan(windows.series.target_matrix[:, 0]))
    place = 1 + holey.columns.names.index("past is missing")
    told = holey.sequences(windows).matrix[:, place].numpy() > 0
    assert_close(told, windows.series.steps["past"].is_null().to_numpy())


def test_the_network_reads_targets_first_and_what_is_known_ahead_of_the_steps_to_come():
    encoder, _, windows = fitted(read_shops(shops(targets=2)))
    batch = encoder.sequences(windows).batch([0, 3])
    z = encoder.standardised(windows.series).astype(np.float32)
    assert_close(batch.values[1, :, :2], z[3:8])
    assert batch.future.shape == (2, 2, encoder.future_size)
    ahead = windows.series.steps["ahead"].to_numpy()[[8, 9]]
    column = next(column for column in encoder.ahead.columns if column.name == "ahead")
    assert_close(batch.future[1, :, 0], (ahead - column.mean) / column.scale, atol=1e-6)
    assert encoder.ahead.names == ["ahead", "weekday sin", "weekday cos"]
    assert_close(encoder.targets(windows).batch([3]).values[0], z[8:10])


@pytest.mark.parametrize("target_as", VIEWS)
def test_an_encoder_comes_back_from_json(target_as):
    encoder, _, windows = fitted(read_shops(shops(gaps=0.1, targets=2)), target_as)
    again = SeriesEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.to_json() == encoder.to_json()
    assert_close(again.sequences(windows).matrix, encoder.sequences(windows).matrix)


def test_a_target_without_values_in_the_training_part_is_named():
    frame = table(90).with_columns(late=pl.when(pl.int_range(90) >= 60).then(pl.col("y") * 2))
    with pytest.raises(DataError, match=r"expected values of target 'late' in the training part, got none .*2024-02-"):
        fitted(read_series(frame, target=["y", "late"]))


def test_logarithms_are_taken_of_positive_values_alone():
    frame = table(90).with_columns(y=pl.when(pl.int_range(90) == 70).then(0.0).otherwise(pl.col("y")))
    with pytest.raises(DataError, match=r"above zero in 'y', .* got 0 \(X, 2024-03-11.*\n.*target_as='difference'"):
        fitted(read_series(frame), "log-return")


def test_sizes_of_changes_leave_out_what_is_unknown_and_are_never_zero():
    changes = [np.array([[3.0, np.nan], [4.0, np.nan]]), np.array([[0.0, 2.0], [0.0, np.nan]])]
    assert_close(root_mean_squares(changes), np.array([[12.5**0.5, 1.0], [1.0, 2.0]]), rtol=1e-12)
