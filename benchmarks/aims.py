"""What the kernels were to reach, beside what the stored results say.

    python benchmarks/aims.py

Knows the layout of benchmarks/results; measures nothing. Ratios are "times as fast as": a peer's time over ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tables import LAYERS, RESULTS, stored

Row = dict[str, Any]
LARGE = 10.0  # GFLOP a forward from which a batch counts as large
# "the best peer" is the fastest of these with a right answer
PEERS = ("torch", "torch autocast", "torch packed", "torch packed autocast", "onnxruntime", "openvino")


def of_layer(results: Mapping[str, Any]) -> list[Row]:
    """The aims that a run of layer.py answers."""

    def rows(lengths: str, task: str, precision: str = "fp32") -> dict[str, Row]:
        keys = {"lengths": lengths, "task": task, "precision": precision}
        return {row["shape"]: row for row in results["rows"] if keys.items() <= row.items()}

    def ratios(lengths: str, task: str, peers: Iterable[str], precision: str = "fp32") -> dict[str, float]:
        return {shape: over(row, peers) for shape, row in rows(lengths, task, precision).items()}

    def at_peak(lengths: str, task: str, peers: Iterable[str]) -> dict[str, float]:
        """The ratios of a float32 kernel that does nothing but multiply: what an aim can ask for."""
        found = rows(lengths, task).items()
        return {shape: over(row, peers) / row["share_of_peak"]["bilstm"] for shape, row in found}

    training = ratios("unequal", "training", ["torch packed"])
    if results["isa"]:
        return [aim(f"{results['isa']} forced: lengths, training, against torch packed", training, 4)]
    padded = ratios("all equal", "inference", PEERS)
    alone = {shape for shape, row in rows("all equal", "inference").items() if row["dimensions"][0] == 1}
    narrow = ratios("all equal", "inference", PEERS, "bf16")
    narrow |= {f"{s}, unequal": ratio for s, ratio in ratios("unequal", "inference", PEERS, "bf16").items()}
    return [
        aim("lengths, training, against torch packed", training, 8, 3),
        aim("the same, were ours at the FMA peak", at_peak("unequal", "training", ["torch packed"])),
        aim("the same against jax", ratios("unequal", "training", ["jax"])),
        aim("the same against padded torch, which is wrong there", ratios("unequal", "training", ["torch padded"])),
        aim("lengths, inference, against torch packed", ratios("unequal", "inference", ["torch packed"]), 5),
        aim("the same, were ours at the FMA peak", at_peak("unequal", "inference", ["torch packed"])),
        aim("the same against the best peer", ratios("unequal", "inference", PEERS)),
        aim("padded, training, against torch", ratios("all equal", "training", ["torch"]), 2, 1),
        aim("the same, were ours at the FMA peak", at_peak("all equal", "training", ["torch"])),
        aim("the same against jax", ratios("all equal", "training", ["jax"])),
        aim("padded, inference, against the best peer", {s: r for s, r in padded.items() if s not in alone}, 1.3, 1),
        aim("the same, batch 1", {s: r for s, r in padded.items() if s in alone}, 2),
        aim("bfloat16, inference, against the best peer in bfloat16", narrow, 1.3),
        *shares(rows),
    ]


def shares(rows: Callable[[str, str], dict[str, Row]]) -> list[Row]:
    """Large batches of equal lengths: what share of the FMA peak is put to use."""
    return [
        aim(
            f"large shapes, {word}, share of FMA peak",
            {
                s: row["share_of_peak"].get("bilstm", math.nan)
                for s, row in rows("all equal", task).items()
                if row["dimensions"][0] > 1 and row["gflop"] > LARGE * factor
            },
            wanted,
        )
        for word, task, wanted, factor in (("forward", "inference", 0.85, 1), ("training", "training", 0.78, 3))
    ]


def of_memory(results: Mapping[str, Any]) -> list[Row]:
    values = {f"{row['shape']}, {row['lengths']}": row["ours_over_torch"] for row in results["rows"]}
    return [aim("peak memory of a training step, as a share of torch's", values, 0.7, most=True)]


def of_training(results: Mapping[str, Any]) -> list[Row]:
    epochs = results["milliseconds_an_epoch"]
    ratios = {name: row["plain"] / row["ours"] for name, row in epochs.items()}
    return [
        aim("classic Boston epoch against plain PyTorch", {"boston": ratios["boston"]}, 8),
        aim("epoch of a sentence model against plain PyTorch", {"sentences": ratios["sentences"]}),
    ]


def over(row: Row, peers: Iterable[str]) -> float:
    """How many times as fast as the fastest of these peers we are; NaN where none of them ran."""
    return min((row["ms"][name] for name in peers if name in row["ms"]), default=math.nan) / row["ms"]["bilstm"]


def aim(
    words: str,
    values: Mapping[str, float],
    wanted: float | None = None,
    worst_wanted: float | None = None,
    *,
    most: bool = False,
) -> Row:
    """One aim and what was reached; ``wanted`` is at least, with ``most`` at most, and None is for information."""
    values = {shape: value for shape, value in values.items() if not math.isnan(value)}
    row: Row = {"aim": words, "wanted": wanted, "worst_wanted": worst_wanted, "most": most, "shapes": len(values)}
    if not values:
        return row
    mean = math.exp(sum(math.log(value) for value in values.values()) / len(values))
    shape = (max if most else min)(values, key=lambda name: values[name])
    row |= {"mean": round(mean, 3), "worst": round(values[shape], 3), "worst_shape": shape}
    if wanted is not None:
        reached = mean <= wanted if most else mean >= wanted
        row["met"] = reached and (worst_wanted is None or values[shape] >= worst_wanted)
    return row


def table(rows: Iterable[Row]) -> str:
    lines = ["| | aim | geometric mean | worst shape | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        wanted = "" if row["wanted"] is None else f"{'≤' if row['most'] else '≥'} {row['wanted']:g}"
        wanted += "" if row["worst_wanted"] is None else f", none under {row['worst_wanted']:g}"
        reached = "" if "mean" not in row else f"{row['mean']:.2f} | {row['worst']:.2f} ({row['worst_shape']})"
        verdict = {True: "met", False: "missed", None: ""}[row.get("met")]
        lines.append(f"| {row['aim']} | {wanted} | {reached or 'not measured |'} | {verdict} |")
    return "\n".join(lines)


def every() -> list[Row]:
    """All aims for which results are stored."""
    layers = dict.fromkeys(LAYERS, of_layer)
    sources = {**layers, "memory": of_memory, "training": of_training}
    there = {name: judge for name, judge in sources.items() if (RESULTS / f"{name}.json").exists()}
    return [row for name, judge in there.items() for row in judge(stored(name))]


if __name__ == "__main__":
    print(table(every()))
