"""What a forecaster's network is given without gradients, and its outputs as Forecasts.

Before training these are the usual sizes of changes and the linear map, after it the share of the BiLSTM's part and the
widths of intervals. Knows windows and the network's buffers; does not know how the network is trained.
"""

from __future__ import annotations

import numpy as np
import torch

from bilstm.data.columns import Array
from bilstm.data.series.encoder import SeriesEncoder, root_mean_squares
from bilstm.data.series.windows import Windows
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.metrics.forecast_baselines import LinearBaseline, naive_forecasts
from bilstm.networks.forecast import ForecastNetwork
from bilstm.training.host import inference
from bilstm.training.loop import PREDICTION_BATCH


def initialise(network: ForecastNetwork, encoder: SeriesEncoder, training: Windows, held_out: Windows | None) -> None:
    """Set the usual sizes of changes, and the ridge regression, whose penalty is chosen on the held-out windows."""
    ends, steps = training.ends, range(1, training.horizon + 1)
    z = encoder.standardised(training.series)  # (S, K)
    inside = np.concatenate([z[ends - j] - z[ends] for j in range(1, training.history)])
    changes = np.diff(z, axis=0)[training.covered[1:]]
    sizes = root_mean_squares([*(z[ends + j] - z[ends] for j in steps), inside, changes])
    network.sizes.copy_(torch.from_numpy(sizes[:-2]))
    network.inside_size.copy_(torch.from_numpy(sizes[-2]))
    network.change_size.copy_(torch.from_numpy(sizes[-1]))
    values, others = z, None
    if held_out is not None:
        values = np.concatenate([z, encoder.standardised(held_out.series)])
        others = held_out.ends + len(z)
    ones = np.ones(z.shape[1])
    model = LinearBaseline.fit(values, ends, training.history, training.horizon, validation_ends=others, scale=ones)
    network.linear.copy_(torch.from_numpy(model.weights))


def calibrate(
    network: ForecastNetwork, encoder: SeriesEncoder, held_out: Windows, outputs: Array, without: Array
) -> Array:
    """Set the share of the BiLSTM's part that would have been best, and the widths that would have held.

    Takes the outputs (W, h·K) with all of the BiLSTM's part and ``without`` it; returns those with its share.
    """
    truth = encoder.following(held_out).reshape(len(outputs), -1)  # z (W, h·K)
    known = ~np.isnan(truth)
    added = np.where(known, outputs - without, 0.0).astype(np.float64)
    missed = np.where(known, truth - without, 0.0)
    network.share.fill_(supported_share(added, missed, held_out.horizon))
    outputs = without + float(network.share) * (outputs - without)
    errors = np.abs(_by_step(truth - outputs, network)) / _width(network, encoder, held_out)  # (W, h, K)
    network.spread.copy_(torch.from_numpy(np.stack([widths(errors, percent / 100) for percent in INTERVALS])))
    return outputs


def judged(
    network: ForecastNetwork,
    encoder: SeriesEncoder,
    windows: Windows,
    outputs: Array,
    season: int | None,
    mase_scale: Array,
) -> Forecasts:
    """Outputs (W, h·K) of the network in the caller's units, beside what came and what simple rules say."""
    series, ends = windows.series, windows.ends
    z = _by_step(outputs, network).astype(np.float64)
    spread = network.spread.cpu().numpy().astype(np.float64)[:, None] * _width(network, encoder, windows)
    if not spread.any():  # (2, W, h, K)
        spread = spread[:0]
    baselines = naive_forecasts(series.target_matrix, ends, windows.series_starts, windows.horizon, season)
    weights = network.linear.cpu().numpy().astype(np.float64)
    linear = LinearBaseline(weights, 0.0, np.ones(z.shape[2]))
    baselines["linear model"] = encoder.inverse(linear.predict(encoder.filled(series), ends))
    last = baselines["last value"][:, 0]  # (W, K)
    return Forecasts(
        names=windows.target_names,
        series=windows.names,
        origins=series.times.gather(ends),
        times=series.times.gather(windows.rows_behind.ravel()),
        actual=np.where(np.isnan(last)[:, None], np.nan, windows.following),  # without a past nothing is judged
        forecast=encoder.inverse(z),
        lows=encoder.inverse(z - spread),
        highs=encoder.inverse(z + spread),
        baselines=baselines,
        last=last,
        scale=mase_scale,
        starts=windows.series_starts,
        folds=np.zeros(len(windows), dtype=np.int64),
    )


def _by_step(outputs: Array, network: ForecastNetwork) -> Array:
    return outputs.reshape(len(outputs), network.horizon, network.targets)


def _width(network: ForecastNetwork, encoder: SeriesEncoder, windows: Windows) -> Array:
    """How wide intervals are beside the usual ones, (W, 1, K)."""
    with inference():
        sequences, rows = encoder.sequences(windows), torch.split(torch.arange(len(windows)), PREDICTION_BATCH)
        batches = (sequences.batch(some).values[:, :, : network.targets] for some in rows)
        return torch.cat([network.width(z.to(network.spread.device)) for z in batches]).cpu().numpy()


def supported_share(added: Array, missed: Array, horizon: int) -> float:
    """The share of ``added`` that best meets ``missed`` by least squares, less twice its standard error, in 0…1.

    Windows that follow each other share most of what they forecast, so that blocks of them count as one (W, …).
    """
    blocks = np.arange(0, len(added), horizon)
    products = np.add.reduceat((added * missed).sum(axis=1), blocks)
    squares = np.add.reduceat((added * added).sum(axis=1), blocks)
    if squares.sum() == 0:
        return 0.0
    best = products.sum() / squares.sum()
    error = float(np.sqrt(np.square(products - best * squares).sum()) / squares.sum())
    return min(max(float(best) - 2 * error, 0.0), 1.0)


def widths(errors: Array, share: float) -> Array:
    """The error that a share of so many is at most, and one more: (W, h, K), NaN where unknown, to (h, K)."""
    counts = np.sum(~np.isnan(errors), axis=0)
    ordered = np.sort(errors, axis=0)  # NaN last
    places = np.clip(np.ceil((counts + 1) * share).astype(int), 1, np.maximum(counts, 1)) - 1
    widest: Array = np.take_along_axis(ordered, places[None], axis=0)[0]
    return np.nan_to_num(widest)
