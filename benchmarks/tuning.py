"""Does a short search beat the defaults on data that it never saw? Boston's houses and TREC's questions.

    python benchmarks/tuning.py DATA [--minutes 5] [--sets boston,trec] [--splits 3] [--seeds 5] [--store]

DATA is a folder with trec6/train.csv (columns label, text). Of each split a tenth is a test part that neither a search
nor a fit sees. ``tune`` searches on the rest, as a user would start it, with one process; then the defaults and what
was found (as ``tune`` saves it, so refitted to all of the rest where it does so) are fitted with the same seeds, and
measured on the test part.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from bilstm import BiLSTMClassifier, BiLSTMRegressor, Dataset, boston, evaluate, read_texts
from bilstm.tune.search import tune
from record import busy_cores, circumstances, earlier, store

SETS: dict[str, tuple[type, dict[str, bool]]] = {  # estimator; figures, and whether more of it is better
    "boston": (BiLSTMRegressor, {"rmse": False}),
    "trec": (BiLSTMClassifier, {"log_loss": False, "accuracy": True}),  # the first is what a search compares by
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--trials", type=int, help="instead of the minutes")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5, help="fits of the defaults, and of what was found")
    parser.add_argument("--max-epochs", type=int, help="for a quick look")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/tuning.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"busy_cores": busy_cores(), "minutes": options.minutes, "threads": options.threads}
    for name in options.sets.split(","):
        results[name] = {"commit": circumstances()["commit"], **compare(name, options)}
        if options.store:
            store("tuning", earlier("tuning") | results)  # other sets keep their figures


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Default and found figures of every split, and their means."""
    kind, figures = SETS[name]
    quick = {} if options.max_epochs is None else {"max_epochs": options.max_epochs}
    data = boston() if name == "boston" else read_texts(options.data / "trec6/train.csv", text="text", target="label")
    rows = []
    for split in range(options.splits):
        rest, test = parted(data, split, by_class=name == "trec")
        started = time.perf_counter()
        limit = {"minutes": options.minutes} if options.trials is None else {"trials": options.trials}
        result = tune(kind(**quick), rest, **limit)
        row = {
            "default": measured(kind(**quick), rest, test, options.seeds),
            "found": measured(kind(**quick | result.final_params()), rest, test, options.seeds),
            "parameters": result.final_params(),
            "trials": len(result.trials),
            "finished": sum(trial.state == "finished" for trial in result.trials),
            "validation": {"default": result.trials[0].value, "found": result.best_trial.value},
            "seconds": round(time.perf_counter() - started, 1),
        }
        rows.append(row)
        for figure in figures:
            print(f"{name} split {split}: {figure} {row['default'][figure]} by default, {row['found'][figure]} found")
        print(row, flush=True)
    return {figure: summary(name, figure, rows) for figure in figures} | {"splits": rows}


def parted(data: Dataset, split: int, *, by_class: bool) -> tuple[Dataset, Dataset]:
    """Nine tenths to search on and to learn from, and a tenth to measure on."""
    strata = data.target_values if by_class else None
    rest, test = train_test_split(np.arange(len(data)), test_size=0.1, random_state=split, stratify=strata)
    return data.take(np.sort(rest)), data.take(np.sort(test))


def measured(model: Any, rest: Dataset, test: Dataset, seeds: int) -> dict[str, float]:
    """Figures on the test part, means over seeds."""
    found = [evaluate(model.set_params(random_state=seed).fit(rest), test) for seed in range(seeds)]
    return {name: round(float(np.mean([one[name] for one in found])), 4) for name in found[0]}


def summary(name: str, figure: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the splits, and in how many of them the search won."""
    default, found = (np.array([row[which][figure] for row in rows]) for which in ("default", "found"))
    won = found > default if SETS[name][1][figure] else found < default
    means = {"default": round(float(default.mean()), 4), "found": round(float(found.mean()), 4)}
    print(
        f"{name}: {figure} {means['default']} by default, {means['found']} found; better in {won.sum()} of {len(rows)}"
    )
    return {**means, "better_in": int(won.sum())}


if __name__ == "__main__":
    main()
