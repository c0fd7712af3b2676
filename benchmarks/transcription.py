"""What does a training step of the acoustic model cost, ours beside the same in plain PyTorch with nn.LSTM?

    python benchmarks/transcription.py FOLDER [--batch 8] [--rounds 9] [--store]

Three layers of 320 units in each direction on log-mel features of the recordings in FOLDER/train.csv, batches of
unequal lengths. The plain model packs its sequences and takes torch's CTC loss; ours takes lengths and its own. Both
start from equal weights; losses and gradients are compared before anything is timed; then they take turns on the same
batches in one process. A step is forward, loss, backward, norm and Adam; ours is timed without the reading of
features, which both would share.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

from bilstm import BiLSTMTranscriber, read_recordings  # noqa: E402
from bilstm.data.batch import Batch  # noqa: E402
from bilstm.nn import last_kernel  # noqa: E402
from record import busy_cores, store  # noqa: E402

BATCHES = 8  # different ones, of neighbours in length, as training has them


class PlainNetwork(nn.Module):
    """The network of BiLSTMTranscriber in nothing but torch, with the weights of one."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        lstm = network.lstm
        self.lstm = nn.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True, bidirectional=True)
        self.lstm.load_state_dict(lstm.state_dict())
        self.output = nn.Linear(2 * lstm.hidden_size, network.output.out_features)
        self.output.load_state_dict(network.output.state_dict())

    def forward(self, batch: Batch) -> Tensor:
        packed = pack_padded_sequence(batch.values, batch.lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores: Tensor = self.output(states)
        return scores


def plain_loss(scores: Tensor, texts: Tensor, lengths: Tensor) -> Tensor:
    """−log P(text) a character, (B,), by torch."""
    counts = (texts != 0).sum(dim=1)
    log_p = scores.log_softmax(dim=2).transpose(0, 1)
    return nn.functional.ctc_loss(log_p, texts, lengths, counts, reduction="none") / counts


def step(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.mean().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    data = read_recordings(options.folder / "train.csv").take(range(options.batch * BATCHES * 4))
    model = BiLSTMTranscriber(max_epochs=1, validation_fraction=0, hidden_size=8, num_layers=1).fit(data)
    model.set_params(hidden_size=320, num_layers=3, dropout=0.0, masks=False, speed_change=0.0)
    model._survey(data)
    ours: Any = model._build()
    plain = PlainNetwork(ours)
    examples = model._examples(data, None, fit=False)
    batches = [(batch, texts) for batch, texts, _ in examples.batches(options.batch, 0)][:BATCHES]
    model._forget_features()
    for batch, texts in batches[:2]:
        own, other = (
            model._loss(ours(batch), texts, batch.lengths),
            plain_loss(plain(batch), texts[..., 0].long(), batch.lengths),
        )
        assert_close(own, other, rtol=1e-4, what="losses")
        own.mean().backward()
        other.mean().backward()
        for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
            assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, what=name)
        ours.zero_grad()
        plain.zero_grad()
    makers = {"ours": torch.optim.Adam(ours.parameters(), fused=True), "plain": torch.optim.Adam(plain.parameters())}
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    kernel = None
    for _ in range(options.rounds):
        for batch, texts in batches:
            started = time.perf_counter()
            step(ours, makers["ours"], model._loss(ours(batch), texts, batch.lengths))
            taken["ours"].append(time.perf_counter() - started)
            kernel = last_kernel()
            started = time.perf_counter()
            step(plain, makers["plain"], plain_loss(plain(batch), texts[..., 0].long(), batch.lengths))
            taken["plain"].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(seconds), 4) for name, seconds in taken.items()}
    steps = int(sum(int(batch.lengths.sum()) for batch, _ in batches))
    return {
        "batch": options.batch,
        "steps": steps,
        "kernel": kernel,
        "ratio": round(medians["plain"] / medians["ours"], 2),
        **medians,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with train.csv (path,text) and its sounds")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/transcription.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    busy = busy_cores()
    found = measure(options)
    print(f"plain {found['plain']} s, ours {found['ours']} s a step of {options.batch}: {found['ratio']} times as fast")
    if options.store:
        print("stored", store("transcription", found | {"busy_cores": busy, "data": options.folder.name}))


if __name__ == "__main__":
    main()
