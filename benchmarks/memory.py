"""How much memory does a training step take, beside torch?

    python benchmarks/memory.py [--threads 2] [--shapes sentences,speech] [--store]

Each contender runs in a process of its own: the layer runs once over a tiny batch, the peak is reset, one step
follows (forward, and backward to all weights), and the growth of the process's resident memory counts. The operating
system is asked, since no profiler sees both torch's memory and ours. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

import aims  # noqa: E402
from layer import sentence_lengths, shape  # noqa: E402
from peers import torch_and_ours  # noqa: E402
from problem import Problem  # noqa: E402
from record import resident, store  # noqa: E402

SHAPES = ("sentences", "paragraphs", "speech", "wide", "long sentences", "characters", "one recording")
REPEATS = 3  # processes of each; the median counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shapes", default=",".join(SHAPES), help="names, or sizes as BxTxFxHxL")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/memory.json")
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "LENGTHS", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        print(growth(*options.one, options.threads))
        return
    rows = [row for name in options.shapes.split(",") for row in compare(name, options.threads)]
    results: dict[str, Any] = {"rows": rows}
    print("\n" + aims.table(aims.of_memory(results)))
    if options.store:
        print("stored", store("memory", results))


def compare(name: str, threads: int) -> list[dict[str, Any]]:
    """Equal lengths against torch padded, unequal ones against torch packed."""
    rows = []
    for lengths, peer in (("all equal", "torch"), ("unequal", "torch packed")):
        if lengths == "unequal" and shape(name).batch == 1:
            continue
        found = {who: in_a_process(name, lengths, who, threads) for who in (peer, "bilstm")}
        ratio = found["bilstm"] / found[peer]
        rows.append({"shape": name, "lengths": lengths, "MiB": found, "ours_over_torch": round(ratio, 3)})
        print(
            f"{name}, {lengths}: {peer} {found[peer]:.1f} MiB, ours {found['bilstm']:.1f} MiB, {ratio:.2f}", flush=True
        )
    return rows


def in_a_process(name: str, lengths: str, contender: str, threads: int) -> float:
    """Median growth in MiB."""
    command = [sys.executable, __file__, "--threads", str(threads), "--one", name, lengths, contender]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(REPEATS)]
    return sorted(float(run.stdout) for run in runs)[REPEATS // 2]


def growth(name: str, lengths: str, contender: str, threads: int) -> float:
    """MiB by which one step raises this process's resident memory at its peak."""
    case = shape(name)
    rows = sentence_lengths(case.batch, case.time) if lengths == "unequal" else None
    problem = Problem(case, rows, training=True, threads=threads)
    tiny = replace(problem, case=replace(case, batch=2, time=2), lengths=None if rows is None else torch.tensor([2, 1]))
    dict(torch_and_ours(tiny))[contender].run()
    step = dict(torch_and_ours(problem))[contender].run
    problem.d_output  # noqa: B018 - made before, not inside
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now
    before = resident("VmRSS")
    kept = step()
    after = resident("VmHWM")
    del kept
    return after - before


if __name__ == "__main__":
    main()
