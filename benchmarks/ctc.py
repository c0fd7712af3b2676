"""What do CTC's loss and its search for texts cost, beside torch's own loss?

    python benchmarks/ctc.py [--threads 1] [--rounds 15] [--budget 60] [--store]

Losses and gradients are compared with torch's in float64 before anything is timed; then both take turns. The search is
timed on made-up recordings that spell words of a bigram model, and must find most of them; a step is taken as 10 ms.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

from bilstm.nn import align, beam_search, ctc_loss, greedy, last_kernel  # noqa: E402
from bilstm.nn.ctc.ngrams import NGrams  # noqa: E402
from clock import interleaved, rounded  # noqa: E402
from record import busy_cores, store  # noqa: E402

B, T, U, K = 16, 150, 20, 30  # of the loss
ROWS, STEPS, TOKENS, WORDS, WIDTH = 100, 150, 28, 100, 32  # of the search; the last token is the space
STEP_SECONDS = 0.01  # the usual step of acoustic features
SCALES = {"at first": 1.0, "sure": 5.0}  # of outputs: as a network has them at first, and when it has learned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender, at most")
    parser.add_argument("--budget", type=float, default=60, help="seconds for all timed calls together")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/ctc.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"busy_cores": busy_cores(), "loss": {}}
    budget = options.budget / (len(SCALES) + 1)
    for name, scale in SCALES.items():
        results["loss"][name] = loss_times(scale, options.rounds, budget)
        shown = "  ".join(f"{who} {ms}" for who, ms in results["loss"][name]["ms"].items())
        print(f"loss and gradient ({B}, {T}, {U}, {K}), {name}, ms: {shown}", flush=True)
    results["search"] = search_times(options.rounds, budget)
    for name, ms in results["search"]["ms"].items():
        rate = results["search"]["ms_per_second_of_sound"][name]
        print(f"{name}, {ROWS} rows of {STEPS} steps: {ms} ms, {rate} ms for a second of sound", flush=True)
    if options.store:
        print("stored", store("ctc", results))


# --- the loss -----------------------------------------------------------------------------------------------


def loss_times(scale: float, rounds: int, budget: float) -> dict[str, Any]:
    """Median milliseconds of loss and gradient, both normalising scores."""
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(B, T, K, generator=generator) * scale
    texts = torch.randint(1, K, (B, U), generator=generator)
    leaf, lengths, sizes = outputs.requires_grad_(), torch.full((B,), T), torch.full((B,), U)

    def ours(x: Tensor = leaf) -> tuple[Tensor, Tensor]:
        losses = ctc_loss(x, texts, lengths, sizes)
        return losses.detach(), torch.autograd.grad(losses.sum(), x)[0]

    def theirs(x: Tensor = leaf) -> tuple[Tensor, Tensor]:
        losses = functional.ctc_loss(x.log_softmax(2).transpose(0, 1), texts, lengths, sizes, reduction="none")
        return losses.detach(), torch.autograd.grad(losses.sum(), x)[0]

    truth = theirs(outputs.detach().double().requires_grad_())
    for name, (losses, gradient) in {"bilstm": ours(), "torch": theirs()}.items():
        assert_close(losses, truth[0], rtol=1e-5, what=f"losses of {name}")
        assert_close(gradient, truth[1], atol=1e-3, what=f"gradient of {name}")
    ours()
    kernel = last_kernel()
    ms, rounds = interleaved({"bilstm": ours, "torch": theirs}, rounds, budget)
    return {"ms": rounded(ms), "dimensions": [B, T, U, K], "scale": scale, "kernel": kernel, "rounds": rounds}


# --- the search ---------------------------------------------------------------------------------------------


def search_times(rounds: int, budget: float) -> dict[str, Any]:
    """Median milliseconds of greedy, of the search without and with a bigram model, and of an alignment."""
    outputs, spoken, model = recordings()
    space = TOKENS - 1
    texts = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in spoken], batch_first=True)
    sizes = [len(text) for text in spoken]
    calls = {
        "greedy": lambda: greedy(outputs),
        "search": lambda: beam_search(outputs, width=WIDTH),
        "search with bigrams": lambda: beam_search(outputs, width=WIDTH, ngrams=model, space=space),
        "search with bigrams, nothing pruned": lambda: beam_search(
            outputs, width=WIDTH, ngrams=model, space=space, prune=0
        ),
        "alignment": lambda: align(outputs, texts, None, sizes),
    }
    found = [row[0].tokens for row in beam_search(outputs, width=WIDTH, ngrams=model, space=space)]
    right = {
        "greedy": sum(tuple(a) == b for a, b in zip(greedy(outputs), spoken, strict=True)),
        "search with bigrams": sum(a == b for a, b in zip(found, spoken, strict=True)),
    }
    assert right["greedy"] <= right["search with bigrams"] >= 0.9 * ROWS, right
    ms, rounds = interleaved(calls, rounds, budget)
    per_second = {name: milliseconds / (ROWS * STEPS * STEP_SECONDS) for name, milliseconds in ms.items()}
    return {
        "ms": rounded(ms),
        "ms_per_second_of_sound": rounded(per_second),
        "right": right,
        "dimensions": [ROWS, STEPS, TOKENS],
        "words": WORDS,
        "width": WIDTH,
        "rounds": rounds,
    }


def recordings() -> tuple[Tensor, list[tuple[int, ...]], NGrams]:
    """Noisy scores (B, T, K) of random words, three steps a token, what was said, and a model of the words."""
    generator = np.random.default_rng(0)
    letters = [generator.integers(1, TOKENS - 1, generator.integers(2, 9)) for _ in range(WORDS)]
    words = [tuple(word.tolist()) for word in letters]
    outputs = generator.normal(0, 1.2, (ROWS, STEPS, TOKENS))
    outputs[:, :, 0] += 6
    spoken = []
    for row in outputs:
        text = tuple(token for w in generator.integers(0, WORDS, 20) for token in (*words[w], TOKENS - 1))
        longest = STEPS // 3
        end = max(k for k in range(longest) if text[k] == TOKENS - 1)
        spoken.append(text[:end])
        for k, token in enumerate(text[:end]):
            row[3 * k, [0, token]] += [-6, 6]
    return torch.tensor(outputs, dtype=torch.float32), spoken, bigrams(words, generator)


def bigrams(words: list[tuple[int, ...]], generator: np.random.Generator) -> NGrams:
    """Words, <s> and </s>, each with the same probability, and some random bigrams."""
    V = len(words) + 2
    pairs = np.argwhere(generator.random((V, V)) < 0.05)
    tables = [
        (np.arange(V)[:, None], np.full(V, -np.log(V)), np.full(V, -0.4)),
        (pairs, generator.uniform(-6, -2, len(pairs)), np.zeros(len(pairs))),
    ]
    return NGrams.from_words([*words, None, None], tables, start=V - 2, end=V - 1)


if __name__ == "__main__":
    main()
