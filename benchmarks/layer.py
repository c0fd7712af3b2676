"""How long does a layer take, padded and with unequal lengths, in training and in inference, beside its peers?

    python benchmarks/layer.py [--threads 2] [--shapes sensors,8x20x50x25x1] [--budget 1800] [--isa avx2] [--store]

Each contender's answer is compared with torch.nn.LSTM's in float64 before anything is timed; then all take turns in
one process and medians are compared. Knows contenders by their names and the answer to each problem.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.cases import BENCHMARKS, Case  # noqa: E402
from tests.compare import assert_close  # noqa: E402

import aims  # noqa: E402
from bilstm.nn import core, last_kernel  # noqa: E402
from clock import interleaved, rounded  # noqa: E402
from peers import contenders  # noqa: E402
from problem import Contender, Problem  # noqa: E402
from record import busy_cores, store  # noqa: E402

# The words of a sentence are close to log-normal in number (Williams 1940, Biometrika 31); the parameters are ours.
SIGMA, MEDIAN = 0.5, 0.5  # deviation of the logarithm; share of T
LENGTHS = f"log-normal, σ {SIGMA}, median {MEDIAN} T, clipped to 1…T, the longest set to T"
# Largest difference from the truth as a share of its largest number, a few times what all contenders were seen to
# reach on these shapes: 1.3e-6 for outputs and 3.5e-6 for gradients in float32, 1.5e-2 for outputs in bfloat16.
TOLERANCES = {"inference": 5e-6, "training": 2e-5, "bf16": 0.03}
MEASUREMENTS = 6  # a shape's, at most: three tasks by two sorts of lengths; the budget is shared out evenly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shapes", default=",".join(BENCHMARKS), help="names, or sizes as BxTxFxHxL")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender, at most")
    parser.add_argument("--budget", type=float, default=1800, help="seconds for all timed calls together")
    parser.add_argument("--isa", help="force an instruction set on our kernels: avx512, avx2, plain")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/layer.json or layer_ISA.json")
    options = parser.parse_args()
    if options.isa:
        os.environ["BILSTM_ISA"] = options.isa
    os.environ["NPROC"] = str(options.threads)  # how many threads XLA makes; read when JAX first computes
    torch.set_num_threads(options.threads)
    shapes = {name: shape(name) for name in options.shapes.split(",")}
    busy = busy_cores()
    budget = options.budget / (MEASUREMENTS * len(shapes))
    rows, peak = [], 0.0
    for name, case in shapes.items():
        peak = max(peak, fma_peak(options.threads))
        for problem in problems(case, options.threads):
            rows.append({"shape": name, **measure(problem, options.rounds, budget)})
            show(rows[-1], peak)
    for row in rows:
        row["share_of_peak"] = shares(row, peak)
    results: dict[str, Any] = {"lengths": LENGTHS, "busy_cores": busy, "isa": options.isa, "rows": rows}
    results["peak_gflops"] = round(peak, 1)
    results["aims"] = aims.of_layer(results)
    print("\n" + aims.table(results["aims"]))
    if options.store:
        print("stored", store(f"layer_{options.isa}" if options.isa else "layer", results))


def shape(name: str) -> Case:
    """A named shape, or one given as BxTxFxHxL."""
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    B, T, F, H, L = (int(size) for size in name.split("x"))
    return Case(B, T, F, H, layers=L)


def problems(case: Case, threads: int) -> Iterator[Problem]:
    """Equal and unequal lengths; inference, training, and inference in bfloat16."""
    unequal = sentence_lengths(case.batch, case.time)
    every = [None] if int(unequal.min()) == case.time else [None, unequal]
    for lengths in every:
        problem = Problem(case, lengths, threads=threads)
        yield from (problem, replace(problem, training=True), replace(problem, bf16=True))


def sentence_lengths(B: int, T: int) -> Tensor:
    """(B,) lengths as sentences have them, the longest T."""
    drawn = torch.exp(SIGMA * torch.randn(B, generator=torch.Generator().manual_seed(1))) * MEDIAN * T
    lengths = drawn.round().long().clamp(1, T)
    lengths[drawn.argmax()] = T
    return lengths


def measure(problem: Problem, rounds: int, budget: float) -> dict[str, Any]:
    """One row of the results: median milliseconds of each contender, its answer checked before."""
    task = "training" if problem.training else "inference"
    entries, absent = contenders(problem)
    check(problem, entries, TOLERANCES["bf16" if problem.bf16 else task])
    entries["bilstm"].run()
    kernel = last_kernel()
    ms, rounds = interleaved({name: entry.run for name, entry in entries.items()}, rounds, budget)
    c = problem.case
    return {
        "dimensions": [c.batch, c.time, c.features, c.hidden, c.layers],
        "lengths": "all equal" if problem.lengths is None else "unequal",
        "valid": round(float(problem.row_lengths.sum()) / (c.batch * c.time), 3),
        "task": task,
        "precision": "bf16" if problem.bf16 else "fp32",
        "gflop": round(problem.gflop, 5),
        "ms": rounded(ms),
        "absent": absent,
        "kernel": kernel,
        "isa": core.last_isa() if kernel == "native" else None,
        "rounds": rounds,
    }


def check(problem: Problem, entries: dict[str, Contender], tolerance: float) -> None:
    """Every answer beside the truth; only padded torch, which reads the padding, is known to be wrong."""
    truth = problem.truth()
    for name, entry in entries.items():
        if name.startswith("torch padded"):
            continue
        answer = entry.arrays(entry.run())
        assert len(answer) == len(truth), name
        for k, (part, expected) in enumerate(zip(answer, truth, strict=True)):
            scale = float(np.abs(expected).max())
            assert_close(part, expected, atol=tolerance * scale, what=f"{name} of {problem.case}, array {k}")


def fma_peak(threads: int) -> float:
    """GFLOP/s of multiply-adds that never leave the registers; 0 where our core, which knows, is not built."""
    try:
        from bilstm import _native
    except ImportError:
        return 0.0
    return float(_native.fma_rate(seconds=0.2, threads=threads))


def shares(row: dict[str, Any], peak: float) -> dict[str, float]:
    """What share of the peak each contender puts to use; nothing where the peak is not known."""
    rates = {name: row["gflop"] / milliseconds * 1000 for name, milliseconds in row["ms"].items()}
    return rounded({name: rate / peak for name, rate in rates.items()}) if peak else {}


def show(row: dict[str, Any], peak: float) -> None:
    sizes = ", ".join(str(size) for size in row["dimensions"])
    share = {name: f" ({value:.0%})" for name, value in shares(row, peak).items()}
    times = "  ".join(f"{name} {milliseconds:.4g}{share.get(name, '')}" for name, milliseconds in row["ms"].items())
    print(f"{row['shape']} ({sizes}) {row['lengths']} {row['task']} {row['precision']}: {times}", flush=True)


if __name__ == "__main__":
    main()
