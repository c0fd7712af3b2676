"""What does an epoch of training take, ours beside plain PyTorch? The classic Boston job, and a sentence model.

    python benchmarks/training.py [--threads 2] [--rounds 9] [--store]

Both sides start from equal weights, see equal batches, and their losses are compared before anything is timed; then
they take turns in one process. Plain PyTorch is written as a tutorial writes it: nn.LSTM, packed sequences where
lengths differ, torch.optim.Adam as it comes. Boston runs by the package's own loop, the sentence model by the
tutorial's loop with BiLSTM in it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

import aims  # noqa: E402
from bilstm.nn import BiLSTM, last_kernel  # noqa: E402
from boston import Contenders, our_epochs, plain_epochs  # noqa: E402
from clock import by_turns  # noqa: E402
from layer import sentence_lengths  # noqa: E402
from record import busy_cores, store  # noqa: E402

BLOCK = 20  # epochs of Boston a turn
SENTENCES, LONGEST, BATCH = 2000, 60, 32  # log-normal lengths, median 30
WORDS, TAGS, EMBEDDING, HIDDEN, LAYERS = 5000, 17, 100, 128, 2
IGNORED = -100  # the tag of padding

Batches = list[tuple[Tensor, Tensor, Tensor]]  # words (B, T), lengths (B,), tags (B, T)
Epochs = Callable[[int], tuple[list[float], list[float]]]  # how many → their losses and seconds


class Tagger(nn.Module):
    """Words to tags: embedding, two BiLSTM layers, a linear layer."""

    def __init__(self, lstm: type[nn.LSTM]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, EMBEDDING)
        self.lstm = lstm(EMBEDDING, HIDDEN, LAYERS, bidirectional=True, batch_first=True)
        self.output = nn.Linear(2 * HIDDEN, TAGS)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        x = self.embedding(words)  # (B, T, E)
        if isinstance(self.lstm, BiLSTM):
            states, _ = self.lstm(x, lengths=lengths)
        else:
            states, _ = self.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(states, batch_first=True)
        result: Tensor = self.output(states)  # (B, T, K)
        return result


def sentences() -> Batches:
    """Random words, in random order of length as a shuffled loader gives them."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for lengths in sentence_lengths(SENTENCES, LONGEST).split(BATCH):
        shape, padding = (len(lengths), int(lengths.max())), torch.arange(int(lengths.max())) >= lengths[:, None]
        words = torch.randint(WORDS, shape, generator=generator).masked_fill(padding, 0)
        batches.append((words, lengths, (words % TAGS).masked_fill(padding, IGNORED)))
    return batches


def tagger_epochs(network: Tagger, batches: Batches) -> Epochs:
    """The tutorial's loop over one network."""
    optimizer = torch.optim.Adam(network.parameters())

    def epochs(count: int) -> tuple[list[float], list[float]]:
        losses, seconds = [], []
        for _ in range(count):
            started, total = time.perf_counter(), 0.0
            for words, lengths, tags in batches:
                optimizer.zero_grad()
                loss = cross_entropy(network(words, lengths).flatten(0, 1), tags.flatten(), ignore_index=IGNORED)
                loss.backward()
                optimizer.step()
                total += loss.item()
            losses.append(total / len(batches))
            seconds.append(time.perf_counter() - started)
        return losses, seconds

    return epochs


def taggers(batches: Batches) -> dict[str, Epochs]:
    plain, ours = Tagger(nn.LSTM), Tagger(BiLSTM)
    ours.load_state_dict(plain.state_dict())
    return {"plain": tagger_epochs(plain, batches), "ours": tagger_epochs(ours, batches)}


def bostons() -> dict[str, Epochs]:
    both = Contenders()
    plain, ours = both.plain(), both.ours()
    return {
        "plain": lambda count: plain_epochs(plain, both.x, both.y, count),
        "ours": lambda count: our_epochs(ours, both.examples, count),
    }


def compare(name: str, sides: dict[str, Epochs], rounds: int, block: int) -> dict[str, float]:
    """Median milliseconds of an epoch of each side; a turn is a block of epochs."""
    losses = {side: epochs(1)[0] for side, epochs in sides.items()}  # and warms up
    assert_close(losses["ours"], losses["plain"], rtol=1e-4, what=f"losses of {name}")
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in by_turns(sides, turn):
            taken[side] += sides[side](block)[1]
    found = {side: round(1000 * statistics.median(seconds), 3) for side, seconds in taken.items()}
    ratio = found["plain"] / found["ours"]
    print(f"{name}: plain PyTorch {found['plain']} ms, ours {found['ours']} ms, {ratio:.2f} times as fast", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, help="of the sentence model, at most; all by default")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/training.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batches = sentences()[: options.batches]
    count = sum(len(lengths) for _, lengths, _ in batches)
    results: dict[str, Any] = {"rounds": options.rounds, "busy_cores": busy_cores(), "sentences": count}
    results["milliseconds_an_epoch"] = {}
    for name, sides, block in (("boston", bostons(), BLOCK), ("sentences", taggers(batches), 1)):
        results["milliseconds_an_epoch"][name] = compare(name, sides, options.rounds, block)
    results["kernel"] = last_kernel()
    print("\n" + aims.table(aims.of_training(results)))
    if options.store:
        print("stored", store("training", results))


if __name__ == "__main__":
    main()
