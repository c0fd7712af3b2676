"""How long does a layer take over padded batches and over unequal lengths, in training and in inference?

    python benchmarks/layer.py [--rounds 9] [--threads 2] [--shapes sensors,...] [--store]

Contenders take turns in one process, each answer is checked first, and medians are compared. Knows the layers
only by their calls. Absolute times wander on shared machines; ratios of one run hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from record import store

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.cases import BENCHMARKS, Case  # noqa: E402
from tests.compare import assert_close  # noqa: E402

from bilstm.nn import BiLSTM, last_kernel  # noqa: E402

Contender = Callable[[Tensor], Tensor]


def contenders(case: Case, lengths: Tensor | None) -> dict[str, tuple[nn.LSTM, Contender]]:
    """Each by name: its layer, and x (B, T, F) -> output (B, T, 2H)."""
    theirs, ours = case.layer(nn.LSTM), case.layer(BiLSTM)

    def packed(x: Tensor) -> Tensor:
        rows = torch.full((case.batch,), case.time) if lengths is None else lengths
        output, _ = theirs(pack_padded_sequence(x, rows, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(output, batch_first=True, total_length=case.time)[0]

    return {
        "torch packed": (theirs, packed),
        "torch padded": (theirs, lambda x: theirs(x)[0]),
        "bilstm": (ours, lambda x: ours(x, None, lengths)[0]),
    }


def training(layer: nn.LSTM, run: Contender, x: Tensor) -> None:
    layer.zero_grad()
    run(x).sum().backward()


@torch.no_grad()
def inference(layer: nn.LSTM, run: Contender, x: Tensor) -> None:
    run(x)


def measure(case: Case, lengths: Tensor | None, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds by task and contender. Torch padded reads the padding too: faster or not, it is wrong."""
    x, entries = case.input(), contenders(case, lengths)
    truth = entries["torch packed"][1](x)
    assert_close(entries["bilstm"][1](x), truth, atol=1e-5, what="bilstm against torch packed")
    found = {}
    for task in (training, inference):
        times: dict[str, list[float]] = {name: [] for name in entries}
        for turn in range(rounds + 1):
            for name, (layer, run) in entries.items():
                began = time.perf_counter()
                task(layer, run, x)
                if turn:  # the first round warms up
                    times[name].append(1000 * (time.perf_counter() - began))
        found[task.__name__] = {name: round(statistics.median(taken), 3) for name, taken in times.items()}
    return found


def measure_all(names: list[str], rounds: int) -> list[dict[str, object]]:
    rows = []
    print(f"{'shape':<16}{'lengths':<10}{'task':<11}{'packed':>9}{'padded':>9}{'bilstm':>9}   packed/bilstm")
    for name in names:
        case = BENCHMARKS[name]
        generator = torch.Generator().manual_seed(1)
        unequal = torch.randint(max(1, case.time // 4), case.time + 1, (case.batch,), generator=generator)
        unequal[0] = case.time
        dimensions = f"{case.batch}, {case.time}, {case.features}, {case.hidden}, {case.layers}"
        for word, lengths in (("all equal", None), ("unequal", unequal)):
            if word == "unequal" and len(set(unequal.tolist())) == 1:
                continue
            for task, times in measure(case, lengths, rounds).items():
                ratio = times["torch packed"] / times["bilstm"]
                row = {
                    "shape": name,
                    "dimensions": dimensions,
                    "lengths": word,
                    "task": task,
                    "ms": times,
                    "kernel": last_kernel(),
                }
                rows.append(row | {"packed_over_bilstm": round(ratio, 2)})
                numbers = "".join(f"{milliseconds:9.2f}" for milliseconds in times.values())
                print(f"{name:<16}{word:<10}{task:<11}{numbers}   {ratio:.2f}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shapes", default=",".join(BENCHMARKS))
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/layer.json")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure_all(options.shapes.split(","), options.rounds)
    if options.store:
        print("stored", store("layer", {"rounds": options.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
