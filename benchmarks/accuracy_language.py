"""How good are the models of language? Defaults on real data, several seeds, with time and words per second.

    python benchmarks/accuracy_language.py DATA [--vectors FILE] [--tasks ewt,wnut] [--seeds 3] [--store]

DATA is a folder with ud_english_ewt/{train,dev}.conllu, wnut17/{train,dev}.conll, trec6/train.csv and
sst2/{train,dev,train_phrases}.csv (columns label, text). Every model is trained on the whole training file to the
last epoch: no part of a dev set is used to stop or to calibrate. TREC-6 has no dev set and is cross-validated in ten
stratified folds. Defaults and settings were chosen after some fifty trials on these dev sets and folds: they flatter.
Settings that are not the estimators' defaults stand in ``SETTINGS``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold

from bilstm import BiLSTMClassifier, BiLSTMTagger, Dataset, evaluate, read_sentences, read_texts
from record import busy_cores, circumstances, earlier, store

SETTINGS: dict[str, dict[str, Any]] = {
    "ewt": {},
    "wnut": {"hidden_size": 256, "embedding_dropout": 0.6},
    "trec": {"hidden_size": 100, "learning_rate": 0.002, "max_epochs": 20, "label_smoothing": 0.1},
    "sst": {},
    "phrases": {"max_epochs": 4},  # ten times the words
}
FOLDS = 10

Result = tuple[float, float, float]  # figure of merit, seconds of fit, training words a second


def tagged(folder: Path, task: str, vectors: str | None, seed: int) -> Result:
    name, ending = {"ewt": ("ud_english_ewt", "conllu"), "wnut": ("wnut17", "conll")}[task]
    training, dev = (read_sentences(folder / name / f"{part}.{ending}") for part in ("train", "dev"))
    model = BiLSTMTagger(validation_fraction=0, vectors=vectors, random_state=seed, **SETTINGS[task])
    return _measured(model, training, dev, "accuracy" if task == "ewt" else "f1")


def classified(folder: Path, task: str, vectors: str | None, seed: int) -> Result:
    def read(name: str) -> Dataset:
        return read_texts(folder / name, text="text", target="label")

    def model() -> BiLSTMClassifier:
        return BiLSTMClassifier(validation_fraction=0, vectors=vectors, random_state=seed, **SETTINGS[task])

    if task != "trec":
        training = read("sst2/train.csv" if task == "sst" else "sst2/train_phrases.csv")
        return _measured(model(), training, read("sst2/dev.csv"), "accuracy")
    data = read("trec6/train.csv")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(data)), data.target_values)
    found = [_measured(model(), data.take(rows), data.take(others), "accuracy") for rows, others in folds]
    accuracy, seconds, speed = np.array(found).T
    return float(accuracy.mean()), float(seconds.sum()), float(np.median(speed))


def _measured(model: Any, training: Dataset, dev: Dataset, metric: str) -> Result:
    started = time.perf_counter()
    model.fit(training)
    seconds = time.perf_counter() - started
    speed = training.steps.height / float(np.median(model.history_["seconds"]))
    return evaluate(model, dev)[metric], seconds, speed


TASKS: dict[str, Callable[[Path, str, str | None, int], Result]] = {
    "ewt": tagged,
    "wnut": tagged,
    "trec": classified,
    "sst": classified,
    "phrases": classified,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--vectors", help="pre-trained word vectors for all tasks")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/accuracy_language.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"busy_cores": busy_cores(), "vectors": options.vectors and Path(options.vectors).name}
    for task in options.tasks.split(","):
        found = []
        for seed in range(options.seeds):
            found.append(TASKS[task](options.data, task, options.vectors, seed))
            print(task, "seed", seed, *(f"{value:.4f}" for value in found[-1]), flush=True)
        figures, seconds, speed = np.array(found).T
        results[task] = {
            "settings": SETTINGS[task],
            "each": np.round(figures, 4).tolist(),
            "mean": round(float(figures.mean()), 4),
            "deviation": round(float(figures.std(ddof=1)), 4) if len(figures) > 1 else 0.0,
            "seconds": round(float(np.median(seconds)), 1),
            "words_a_second": round(float(np.median(speed))),
            "commit": circumstances()["commit"],
        }
        print(task, results[task], flush=True)
        if options.store:
            store("accuracy_language", earlier("accuracy_language") | results)  # other tasks keep their figures


if __name__ == "__main__":
    main()
