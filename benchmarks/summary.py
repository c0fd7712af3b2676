"""The two short tables of README: how good each task is beside published figures, and how fast the layer is.

Knows benchmarks/results; measures nothing. All figures are in docs/measured.md (tables.py); pages.py writes both.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from tables import (  # noqa: E402
    LANGUAGE,
    LAYERS,
    LSTMA,
    comparison,
    epoch,
    made_on,
    mean_of,
    provisional,
    ratios,
    stored,
)

TASKS = ("training", "inference")


def accuracy() -> str:
    """One line a task and set of data."""
    rows = [*_numbers(), *_language(), *_forecasts(), *_speech()]
    return "\n".join(
        ["| task | data, figure | ours | beside it | published |", "| --- | --- | --- | --- | --- |"]
        + [f"| {' | '.join(row)} |" for row in rows]
    )


def _numbers() -> list[list[str]]:
    result = stored("accuracy")
    boston = {row["model"]: f"{row['rmse']:.2f}" for row in result["boston"]}
    ours = next(row for row in result["boston"] if row["model"] == "BiLSTMRegressor()")
    others = f"gradient boosting {boston['gradient boosting']}, ridge {boston['ridge']}"
    vowels = [statistics.mean(row["in file order"]) for row in result["japanese_vowels"]]
    return [
        [
            "regressor",
            "Boston housing, test RMSE of 20 splits",
            f"{ours['rmse']:.2f} ± {ours['deviation']:.2f}",
            others,
            "MC-dropout 2.97, PBP 3.01",
        ],
        [
            "classifier",
            "Japanese Vowels, accuracy of 10 folds",
            f"{vowels[0]:.3f}, with other settings {vowels[1]:.3f}",
            "",
            "",
        ],
    ]


def _language() -> list[list[str]]:
    result, rows = stored("accuracy_language"), []
    for name, (title, figure, published) in LANGUAGE.items():
        found = result[name]
        task = "tagger" if name in ("ewt", "wnut") else "classifier"
        value = f"{found['mean']:.4f} ± {found['deviation']:.4f}"
        rows.append([task, f"{title}, {figure}", value, "", published])
    return rows


def _forecasts() -> list[list[str]]:
    result = stored("forecasting")
    rows = []
    for columns, kind in (("seven columns", "multivariate"), ("OT", "univariate")):
        found = result[kind]["24"]
        beside = f"linear model {found['linear model mse']:.4f}, last value {found['last value mse']:.4f}"
        row = ["forecaster", f"ETTh1, {columns}, 24 hours, squared error", f"{found['mse']:.4f}", beside]
        rows.append([*row, f"LSTMa {LSTMA[kind]['24']:.3f}"])
    stocks = result["stocks"]["1"]
    beside = f"linear model {stocks['linear model mase']:.3f}, last value {stocks['last value mase']:.3f}"
    return [*rows, ["forecaster", "S&P 500, next day, MASE", f"{stocks['mase']:.3f}", f"{beside}: no better", ""]]


def _speech() -> list[list[str]]:
    words, digits = stored("speech_an4"), stored("speech_fsdd")
    return [
        [
            "transcriber",
            "AN4, unheard speakers, word error rate",
            mean_of(words, "beam", "wer"),
            "",
            "0.096 on its test half, by a far larger network",
        ],
        [
            "transcriber",
            "spoken digits, share of recordings right",
            mean_of(digits, "greedy", "exact"),
            "",
            "0.973, random split",
        ],
    ]


def speed() -> str:
    """The layer on sentences of different lengths, whole epochs, and others' models."""
    layer, training, surgery = stored("layer"), stored("training"), stored("surgery")
    epochs = training["milliseconds_an_epoch"]
    others = "" if made_on(surgery) == made_on(layer) else f"; the taggers of others on {made_on(surgery)}"
    return "\n".join(
        [
            f"Sequences of different lengths, milliseconds ({layer['circumstances']['threads']} threads, float32):",
            "",
            *comparison(layer, "unequal", "packed", {"training": ["torch packed"], "inference": ["torch packed"]}),
            "",
            f"- An epoch of the classic Boston job: {epoch(epochs['boston'])}.",
            f"- An epoch of a tagger over {training['sentences']:,} sentences: {epoch(epochs['sentences'])}.",
            *(_accelerated(name, row, surgery) for name, row in surgery["models"].items()),
            "",
            f"Made on {made_on(layer)}{provisional(layer, training)}{others}.",
            "",
            _elsewhere(),
        ]
    )


def speed_zh() -> str:
    """The speed table in one Chinese sentence a machine, for README.zh-CN.md."""
    lines = []
    for result in map(stored, LAYERS):
        training, inference = (" 到 ".join(ratios(result, "unequal", task)) for task in TASKS)
        facts = result["circumstances"]
        machine = f"{facts['processor']}，{facts['vector_instructions']}，{facts['cores']} 核，{facts['date']}"
        lines.append(f"- {machine}：训练 {training} 倍，推理 {inference} 倍。")
    return "\n".join(lines)


def accuracy_zh() -> str:
    """The accuracy table with Chinese heads."""
    lines = accuracy().split("\n")
    return "\n".join(["| 任务 | 数据与指标 | 本项目 | 对照 | 已发表 |", *lines[1:]])


def _elsewhere() -> str:
    """The same shapes on other sorts of processors, each measured on a day of its own."""
    lines = ["Elsewhere the same shapes were so many times as fast:", ""]
    for result in map(stored, LAYERS[1:]):
        training, inference = (" to ".join(ratios(result, "unequal", task)) for task in TASKS)
        where = made_on(result) + provisional(result)
        lines.append(f"- {training} in training and {inference} in inference on {where}.")
    return "\n".join(lines)


def _accelerated(name: str, row: dict[str, Any], result: dict[str, Any]) -> str:
    version = result["circumstances"]["versions"][name]
    times = {task: row[task]["theirs"] / row[task]["accelerated"] for task in TASKS}
    return (
        f"- {name.capitalize()} {version}'s tagger, accelerated: {times['inference']:.1f} times as fast in inference, "
        f"{times['training']:.1f} in training."
    )
