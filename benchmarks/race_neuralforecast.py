"""neuralforecast's LSTM and ours on one series, from the same window: seconds to the same accuracy.

Called by forecasting.py; ``pip install neuralforecast`` first.
"""

from __future__ import annotations

import datetime
import logging
import time
from typing import Any

import numpy as np
import polars as pl
import torch
from neuralforecast import NeuralForecast
from neuralforecast.models import LSTM

from bilstm import BiLSTMForecaster, read_series
from bilstm.data.series.windows import cut
from record import versions

HORIZON = 24
MOST_EPOCHS = 16


def race(frame: pl.DataFrame, test: pl.DataFrame, history: int, validation: int, seed: int) -> dict[str, Any]:
    """Theirs is trained as it comes (1,000 steps), ours for one epoch, two, … until it errs no more than theirs.

    Args:
        frame: date and OT, of training and validation.
        test: the same, ``history`` steps before the first forecast hour to the last.
        history: steps of a window.
        validation: steps at the end of ``frame`` that both may choose by.
        seed: of both.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    windows = cut(read_series(test, time="date", target="OT"), history, HORIZON)
    options = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    model = LSTM(h=HORIZON, input_size=history, scaler_type="robust", random_seed=seed, **options)
    theirs = NeuralForecast(models=[model], freq="h")
    long = frame.select(unique_id=pl.lit("OT"), ds=pl.col("date").str.to_datetime(), y="OT").to_pandas()
    started = time.perf_counter()
    theirs.fit(long, val_size=validation)
    their_seconds = time.perf_counter() - started
    their_error = float(np.mean((_theirs(theirs, windows, history) - windows.following[:, :, 0]) ** 2))
    print(f"neuralforecast: {their_seconds:.1f} s, mse {their_error:.4f}", flush=True)
    series = read_series(frame, time="date", target="OT")
    tried = []
    for epochs in range(1, MOST_EPOCHS + 1):
        ours = BiLSTMForecaster(
            history=history,
            horizon=HORIZON,
            max_epochs=epochs,
            validation_fraction=validation / frame.height,
            random_state=seed,
        )
        started = time.perf_counter()
        ours.fit(series)
        seconds = time.perf_counter() - started
        found = ours.forecasts(windows).metrics
        tried.append({"epochs": epochs, "seconds": round(seconds, 2), "mse": round(found["mse"], 5)})
        print("bilstm", tried[-1], f"linear model {found['linear model mse']:.4f}", flush=True)
        if found["mse"] <= their_error:
            break
    return {
        "theirs": {"seconds": round(their_seconds, 2), "mse": round(their_error, 5), "steps": model.max_steps},
        "ours": tried,
        "linear model mse": round(found["linear model mse"], 5),
        "versions": versions(("neuralforecast", "lightning", "pytorch-lightning")),
        "threads": torch.get_num_threads(),
    }


def _theirs(model: Any, windows: Any, history: int) -> np.ndarray[Any, Any]:
    """Their forecasts for every window, as if each were a series of its own, (W, h)."""
    values = windows.series.target_matrix[:, 0]
    rows = windows.starts[:, None] + np.arange(history)
    start = datetime.datetime(2000, 1, 1)
    hours = np.datetime64(start, "ns") + np.arange(history).astype("timedelta64[h]")
    long = pl.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(rows)), history),
            "ds": np.tile(hours, len(rows)),
            "y": values[rows].ravel(),
        }
    ).to_pandas()
    found = model.predict(long)
    found = found.reset_index() if "unique_id" not in found.columns else found
    return np.asarray(found.sort_values(["unique_id", "ds"])["LSTM"], dtype=np.float64).reshape(len(rows), HORIZON)
