"""The stored results as the tables that README shows.

    python benchmarks/tables.py

Knows benchmarks/results; measures nothing. A test compares its output with README.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SETTINGS = (
    "The settings, for few sequences: `BiLSTMClassifier(pooling='max', input_noise=0.6, label_smoothing=0.1, "
    "validation_fraction=0, max_epochs=80)`."
)
RESULTS = Path(__file__).resolve().parent / "results"


def stored(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def made_on(result: dict[str, Any]) -> str:
    facts = result["circumstances"]
    return (
        f"{facts['cores']} cores ({facts['processor']}, {facts['vector_instructions']}), "
        f"torch {facts['versions']['torch']}, {facts['date']}"
    )


def accuracy() -> str:
    result = stored("accuracy")
    lines = [
        "Boston housing, test RMSE in 1,000 $ over 20 random 90/10 splits (seeds 0 to 19); scalers and early",
        "stopping see the training rows only. Published on such splits: MC-dropout 2.97, PBP 3.01, ensembles 3.28.",
        "",
        "| model | RMSE, mean ± deviation | seconds a fit, one core |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {_code(row['model'])} | {row['rmse']:.2f} ± {row['deviation']:.2f} | {row['seconds']:.1f} |"
        for row in result["boston"]
    ]
    lines += [
        "",
        "Japanese Vowels (270 utterances, 9 speakers), accuracy in 10-fold cross-validation by scikit-learn's",
        "`cross_val_score`, seeds 0, 1, 2 (one utterance is 0.004):",
        "",
        "| model | folds in file order | folds shuffled |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {_code(row['model'])} | {_figures(row['in file order'])} | {_figures(row['shuffled'])} |"
        for row in result["japanese_vowels"]
    ]
    lines += ["", SETTINGS, "", f"Made by `benchmarks/accuracy.py` on {made_on(result)}."]
    return "\n".join(lines)


def speed() -> str:
    result = stored("layer")
    lines = [
        "The layer where lengths differ, against `nn.LSTM` on a packed sequence (PyTorch's own way), milliseconds.",
        "Padded `nn.LSTM` reads the padding and gives another answer there, so it is no contender. Batches of equal",
        "lengths take what `nn.LSTM` takes: its own routine runs them.",
        "",
        "| B, T, F, H, layers | training: packed | ours | ratio | inference: packed | ours | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["shape"] for row in result["rows"]):
        row = {r["task"]: r for r in result["rows"] if r["shape"] == name and r["lengths"] == "unequal"}
        if not row:
            continue
        cells = [f"{row['training']['dimensions']}"]
        for mode in ("training", "inference"):
            packed, ours = row[mode]["ms"]["torch packed"], row[mode]["ms"]["bilstm"]
            cells += [f"{packed:.1f}", f"{ours:.1f}", f"{packed / ours:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    classic = stored("boston")["milliseconds_an_epoch"]
    lines += [
        "",
        f"An epoch of the classic Boston job: plain PyTorch {classic['plain']:.1f} ms, `fit` {classic['ours']:.1f} ms,",
        "with the same losses (`benchmarks/boston.py`). Faster kernels of our own are the next step.",
        "",
        f"Made by `benchmarks/layer.py` on {made_on(result)}.",
    ]
    return "\n".join(lines)


def _figures(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _code(model: str) -> str:
    return f"`{model}`" if "(" in model else model


def tables() -> str:
    """Everything between README's heading on figures and the next."""
    return f"{accuracy()}\n\n{speed()}\n"


if __name__ == "__main__":
    print(tables())
