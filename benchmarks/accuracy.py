"""How good are the models? Protocols as published, contenders on the same splits.

    python benchmarks/accuracy.py [--vowels train.csv] [--splits 20] [--jobs 2] [--store]

Boston: random 90/10 splits (seeds 0, 1, …); every contender sees the training rows only, its scaler and early
stopping too. Settings were chosen on other splits (seeds 100 to 119). Japanese Vowels: 10-fold
cross-validation through scikit-learn, folds in the order of the file and shuffled, three
seeds each. Knows no test set of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor, VotingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bilstm import BiLSTMClassifier, BiLSTMRegressor, boston, read_table
from record import busy_cores, earlier, store

SEEDS = range(5)  # of the averaged models
VOWELS_SEEDS = range(3)

REGRESSORS: dict[str, Callable[[], Any]] = {
    "ridge": lambda: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
    "random forest, 300 trees": lambda: RandomForestRegressor(300, random_state=0),
    "gradient boosting": lambda: GradientBoostingRegressor(random_state=0),
    "BiLSTMRegressor()": BiLSTMRegressor,
    "BiLSTMRegressor(validation_fraction=0)": lambda: BiLSTMRegressor(validation_fraction=0),
    "VotingRegressor of 5 seeds, defaults": lambda: VotingRegressor(
        [(str(seed), BiLSTMRegressor(random_state=seed)) for seed in SEEDS]
    ),
}


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "BiLSTMClassifier()": BiLSTMClassifier,
    "the same with the settings below": lambda: BiLSTMClassifier(**FEW_SEQUENCES),
}
FEW_SEQUENCES: dict[str, Any] = {
    "pooling": "max",
    "input_noise": 0.6,  # as Graves and Schmidhuber (2005) chose for their frames of speech
    "label_smoothing": 0.1,
    "validation_fraction": 0,
    "max_epochs": 80,
}


def boston_split(seed: int, name: str) -> tuple[float, float]:
    """Test RMSE and seconds of one contender on one split."""
    torch.set_num_threads(1)  # one process a core; more threads would only wait for each other
    data = boston()
    X, X_test, y, y_test = train_test_split(data.steps.to_numpy(), data.target_values, test_size=0.1, random_state=seed)
    started = time.perf_counter()
    model = REGRESSORS[name]().fit(X, y)
    return root_mean_squared_error(y_test, model.predict(X_test)), time.perf_counter() - started


def boston_table(splits: int, jobs: int) -> list[dict[str, Any]]:
    rows = []
    for name in REGRESSORS:
        results = Parallel(n_jobs=jobs)(delayed(boston_split)(seed, name) for seed in range(splits))
        errors, seconds = np.array(results).T
        rows.append(
            {"model": name, "rmse": errors.mean(), "deviation": errors.std(), "seconds": float(np.median(seconds))}
        )
        print(f"{name:<42}{errors.mean():8.3f} ± {errors.std():.3f}   {np.median(seconds):6.1f} s a fit", flush=True)
    return rows


def vowels_table(path: str, jobs: int) -> list[dict[str, Any]]:
    data = read_table(path, target="speaker", group="utterance", order="step")
    X, y = data.sequences, data.target_values
    torch.set_num_threads(1)
    rows = []
    for name, make in CLASSIFIERS.items():
        row: dict[str, Any] = {"model": name}
        for folds, cv in {
            "in file order": 10,
            "shuffled": StratifiedKFold(10, shuffle=True, random_state=0),
        }.items():
            row[folds] = [
                float(cross_val_score(make().set_params(random_state=seed), X, y, cv=cv, n_jobs=jobs).mean())
                for seed in VOWELS_SEEDS
            ]
        rows.append(row)
        print(f"{name:<36}{np.round(row['in file order'], 4)} {np.round(row['shuffled'], 4)}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vowels", help="the training part of Japanese Vowels as a long CSV")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/accuracy.json")
    options = parser.parse_args()
    results: dict[str, Any] = {"busy_cores": busy_cores()}
    print(f"Boston, test RMSE over {options.splits} random 90/10 splits, mean ± deviation")
    results["boston"] = boston_table(options.splits, options.jobs)
    if options.vowels:
        print("Japanese Vowels, accuracy in 10-fold cross-validation: folds in file order, shuffled")
        results["japanese_vowels"] = vowels_table(options.vowels, options.jobs)
    if options.store:
        print("stored", store("accuracy", earlier("accuracy") | results))  # without --vowels that table stays


if __name__ == "__main__":
    main()
