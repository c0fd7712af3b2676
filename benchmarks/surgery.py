"""How much faster are BiLSTM models that others wrote once accelerate() went over them?

    pip install stanza flair
    python benchmarks/surgery.py [--threads 2] [--rounds 7] [--only stanza] [--store]

Each model is built with random weights by its own class and runs by its own code, data handling included. Its twin is
a copy, accelerated. What they predict, their losses and their gradients are compared before anything is timed; then
they take turns in one process.
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

from bilstm.surgery import accelerate  # noqa: E402
from clock import interleaved  # noqa: E402
from others import OTHERS, Other  # noqa: E402
from record import busy_cores, store  # noqa: E402

CLOSE = 1e-4  # of the largest value: float32 through some hundred steps


def compare(other: Other, rounds: int, budget: float) -> dict[str, Any]:
    """Milliseconds over all sentences, theirs beside accelerated, once both agree."""
    theirs, ours = other.model, copy.deepcopy(other.model)
    done = accelerate(ours)
    if not done.swapped:
        raise SystemExit(f"nothing was swapped: {done}")
    check(other, theirs, ours)
    found: dict[str, Any] = {"swapped": done.swapped, "left": done.left}
    for task, job in (("inference", predict), ("training", train)):
        calls = {"theirs": lambda job=job: job(other, theirs), "accelerated": lambda job=job: job(other, ours)}
        found[task], found[f"rounds of {task}"] = interleaved(calls, rounds, budget)
        found[task] = {name: round(milliseconds, 2) for name, milliseconds in found[task].items()}
    return found


def check(other: Other, theirs: nn.Module, ours: nn.Module) -> None:
    """Equal predictions, losses and gradients. In eval mode: dropout draws other numbers in each call."""
    for a, b in zip(predict(other, ours), predict(other, theirs), strict=True):
        close(a, b, "predictions")
    for model in (theirs, ours):
        model.eval().zero_grad()
    for a, b in zip(other.losses(ours), other.losses(theirs), strict=True):
        close(a, b, "loss")
        a.backward()
        b.backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if b.grad is not None:
            close(a.grad, b.grad, f"gradient of {name}")


def close(a: Any, b: Any, what: str) -> None:
    scale = float(b.detach().abs().max()) if b.numel() else 0.0
    assert_close(a.detach(), b.detach(), atol=CLOSE * scale if b.is_floating_point() else 0.0, what=what)


def predict(other: Other, model: nn.Module) -> Any:
    model.eval()
    with torch.no_grad():
        return other.predict(model)


def train(other: Other, model: nn.Module) -> None:
    model.train()
    for loss in other.losses(model):
        model.zero_grad()
        loss.backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=60, help="seconds of timing a model and task")
    parser.add_argument("--only", choices=OTHERS, action="append")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/surgery.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # Flair logs its whole vocabulary
    results: dict[str, Any] = {"busy_cores": busy_cores(), "models": {}}
    for name in options.only or OTHERS:
        try:
            other = OTHERS[name]()
        except ImportError as error:
            raise SystemExit(f"{name} cannot be imported ({error}); pip install {name}") from error
        found = results["models"][name] = compare(other, options.rounds, options.budget)
        for task in ("inference", "training"):
            a, b = found[task].values()
            print(f"{name}, {task}: {a:.0f} ms theirs, {b:.0f} ms accelerated, {a / b:.2f} times as fast", flush=True)
    if options.store:
        print("stored", store("surgery", results))


if __name__ == "__main__":
    main()
