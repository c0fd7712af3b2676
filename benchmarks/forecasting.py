"""How good are the forecasts, by published protocols, beside simple rules and a well-known library?

    python benchmarks/forecasting.py DATA [--tasks multivariate,univariate,stocks] [--horizons 24,48] [--store]
    python benchmarks/forecasting.py DATA --tasks neuralforecast --store

DATA is a folder with ett/ETTh1.csv and stocks/sp500.csv. ETTh1 as the Informer paper has it: 8,640 hours to train on,
2,880 to validate by, 2,880 to test on, all columns z-scored by the training part, the mean squared error over all test
windows; all seven columns from all seven, or OT from OT alone. S&P 500: walk forward over the last four years, a fold a
year, fitted anew before each. neuralforecast's LSTM (``pip install neuralforecast``) forecasts OT 24 hours ahead from
the same window with its own defaults; ours is trained for one epoch, two, … until its test error is no larger.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

from bilstm import BiLSTMForecaster, read_series  # noqa: E402
from bilstm.data.series.reader import Series  # noqa: E402
from record import busy_cores, circumstances, earlier, store  # noqa: E402

TRAINING, VALIDATION, TEST = 8640, 2880, 2880  # hours: 12, 4 and 4 months of 30 days
HISTORY = {24: 96, 48: 168, 168: 336, 336: 336, 720: 336}  # hours that a forecast is made from, by horizon
STOCKS = {1: 60, 5: 60}
FIGURES = ("mse", "mae", "mase", "direction", "direction_low", "direction_high", "coverage_80", "coverage_95", "n")
YEAR = 252  # trading days


def etth1(folder: Path, goals: list[str] | None = None) -> tuple[pl.DataFrame, list[str]]:
    """The hours of the protocol, z-scored by the training part, and the columns to forecast."""
    frame = pl.read_csv(folder / "ett" / "ETTh1.csv")[: TRAINING + VALIDATION + TEST]
    goals = goals or frame.columns[1:]
    training = frame[:TRAINING]
    scaled = [(pl.col(name) - training[name].mean()) / training[name].std(ddof=0) for name in goals]
    return frame.select("date", *scaled), goals


def part(frame: pl.DataFrame, goals: list[str], first: int, last: int) -> Series:
    return read_series(frame[first:last], time="date", target=goals)


def ett(folder: Path, horizon: int, goals: list[str] | None, seed: int) -> dict[str, Any]:
    frame, goals = etth1(folder, goals)
    model = BiLSTMForecaster(
        history=HISTORY[horizon],
        horizon=horizon,
        validation_fraction=VALIDATION / (TRAINING + VALIDATION),
        random_state=seed,
    )
    started = time.perf_counter()
    model.fit(part(frame, goals, 0, TRAINING + VALIDATION))
    seconds = time.perf_counter() - started
    test = part(frame, goals, TRAINING + VALIDATION - HISTORY[horizon], TRAINING + VALIDATION + TEST)
    found = model.forecasts(test)
    assert len(found) == TEST - horizon + 1
    return _row(found, seconds) | {
        "history": HISTORY[horizon],
        "target_as": model.target_as_,
        "share": round(model.share_, 3),
        "epochs": len(model.history_),
    }


def stocks(folder: Path, horizon: int) -> dict[str, Any]:
    data = read_series(folder / "stocks" / "sp500.csv", time="Date", target="Adj Close")
    started = time.perf_counter()
    found = BiLSTMForecaster(history=STOCKS[horizon], horizon=horizon).backtest(data, folds=4, steps=YEAR)
    seconds = time.perf_counter() - started
    print(found.report(), flush=True)
    return _row(found, seconds) | {"history": STOCKS[horizon], "verdict": found.verdict, "lag": found.follows_last}


def _row(found: Any, seconds: float) -> dict[str, Any]:
    metrics = found.metrics
    kept = [name for name in metrics if name in FIGURES or name.endswith((" mse", " mase", " mae"))]
    return {name: round(float(metrics[name]), 5) for name in kept} | {"seconds": round(seconds, 1)}


def neuralforecast(folder: Path, seed: int) -> dict[str, Any]:
    """Seconds until our error on the test windows is that of neuralforecast's LSTM."""
    from race_neuralforecast import race

    frame, _ = etth1(folder, ["OT"])
    known = TRAINING + VALIDATION
    return race(frame[:known], frame[known - HISTORY[24] :], HISTORY[24], VALIDATION, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default="multivariate,univariate,stocks")
    parser.add_argument("--horizons", default=",".join(map(str, HISTORY)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/forecasting.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    busy = busy_cores()
    for task in options.tasks.split(","):
        runs: dict[str, Any] = {}
        if task == "stocks":
            runs = {str(horizon): stocks(options.data, horizon) for horizon in STOCKS}
        elif task == "neuralforecast":
            runs = neuralforecast(options.data, options.seed)
        else:
            goals = None if task == "multivariate" else ["OT"]
            for horizon in map(int, options.horizons.split(",")):
                runs[str(horizon)] = ett(options.data, horizon, goals, options.seed)
                print(task, horizon, runs[str(horizon)], flush=True)
        if options.store:
            known = earlier("forecasting")
            made = {"threads": options.threads, "busy_cores": busy, "commit": circumstances()["commit"]}
            store("forecasting", known | {task: known.get(task, {}) | runs, f"{task} made": made})


if __name__ == "__main__":
    main()
