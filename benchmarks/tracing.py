"""What does it cost to see every gate, by the native kernel and by the equations, beside the layer's plain run?

    python benchmarks/tracing.py [--threads 2] [--shapes sentences,8x20x50x25x1] [--budget 120] [--store]

All in inference. Before anything is timed, the hidden states of the top layer are compared with the layer's output, bit
for bit, and every part of the trace with the equations in float64; then all take turns. Lengths are those of layer.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.cases import Case  # noqa: E402
from tests.compare import assert_close  # noqa: E402

from bilstm.nn import BiLSTM, core, last_kernel, use_kernel  # noqa: E402
from clock import interleaved, rounded  # noqa: E402
from layer import LENGTHS, sentence_lengths, shape  # noqa: E402
from record import busy_cores, store  # noqa: E402

SHAPES = "one sequence,one recording,sentences,long sentences,sensors,characters,speech"
# Largest difference from the truth, of cells as a share of the largest one: four times what was seen on these shapes
# (1.5e-6; avx512 and plain).
TOLERANCE = 6e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shapes", default=SHAPES, help="names, or sizes as BxTxFxHxL")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender, at most")
    parser.add_argument("--budget", type=float, default=120, help="seconds for all timed calls together")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/trace.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"lengths": LENGTHS, "busy_cores": busy_cores(), "rows": []}
    shapes = {name: shape(name) for name in options.shapes.split(",")}
    with torch.inference_mode():
        for name, case in shapes.items():
            row = {"shape": name, **measure(case, options.rounds, options.budget / len(shapes))}
            results["rows"].append(row)
            times = "  ".join(f"{who} {milliseconds:.4g}" for who, milliseconds in row["ms"].items())
            print(f"{name} {tuple(row['dimensions'])}, ms: {times}", flush=True)
    if options.store:
        print("stored", store("trace", results))


def measure(case: Case, rounds: int, budget: float) -> dict[str, Any]:
    """One row of the results: median milliseconds of a run, and of its trace by either kernel."""
    layer, x = case.layer(BiLSTM).eval(), case.input()
    lengths = None if case.batch == 1 else sentence_lengths(case.batch, case.time)
    kernel = check(case, layer, lengths)

    def by_equations() -> None:
        with use_kernel("equations"):
            layer.trace(x, lengths=lengths)

    calls = {
        "run": lambda: layer(x, lengths=lengths),
        "trace": lambda: layer.trace(x, lengths=lengths),
        "trace by the equations": by_equations,
    }
    ms, rounds = interleaved(calls, rounds, budget)
    return {
        "dimensions": [case.batch, case.time, case.features, case.hidden, case.layers],
        "lengths": "all equal" if lengths is None else "unequal",
        "ms": rounded(ms),
        "kernel": kernel,
        "isa": core.last_isa() if kernel == "native" else None,
        "rounds": rounds,
    }


def check(case: Case, layer: BiLSTM, lengths: Tensor | None) -> str | None:
    """Which kernel traced, once its trace is the layer's own and right."""
    x = case.input()
    output, _ = layer(x, lengths=lengths)
    trace = layer.trace(x, lengths=lengths)
    kernel = last_kernel()
    if kernel == "native":  # of torch's routines, which run where this one is not built, the bits are others
        assert_close(torch.cat(list(trace.hidden[-1]), dim=2), output, what=f"hidden of {case}")
    with use_kernel("equations"):
        truth = case.layer(BiLSTM, torch.float64).trace(x.double(), lengths=lengths)
    for name, expected in truth._asdict().items():
        scale = max(1.0, float(expected.abs().max()))
        assert_close(getattr(trace, name), expected, atol=TOLERANCE * scale, what=f"{name} of {case}")
    return kernel


if __name__ == "__main__":
    main()
