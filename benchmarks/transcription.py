"""What does a training step of the acoustic model cost, ours beside the same in plain PyTorch with nn.LSTM?

    python benchmarks/transcription.py FOLDER [--rounds 3] [--store]

Three layers of 320 units in each direction on log-mel features of the recordings in FOLDER/train.csv, in batches of
8, 16 and 32: of neighbours in length, as our training has them, and at random, as a plain DataLoader has them. The
plain model packs its sequences and takes torch's CTC loss; ours takes lengths and its own. Both start from equal
weights; losses and gradients are compared before anything is timed; then they take turns on the same batches in one
process. A step is forward, loss, backward, norm and Adam, as it comes for the plain model and fused, as the package has
it, for ours; the reading of features, which both would share, is not.
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
from bilstm.training.loop import Examples  # noqa: E402
from clock import by_turns  # noqa: E402
from record import busy_cores, store  # noqa: E402

BATCHES = 6  # different ones
SIZES = (8, 16, 32)


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


def batches_of(examples: Examples, size: int, order: str) -> list[tuple[Batch, Tensor]]:
    """Some batches with their texts: of neighbours in length, or at random."""
    if order == "neighbours":
        return [(batch, texts) for batch, texts, _ in examples.batches(size, 0)][:BATCHES]
    rows = torch.randperm(len(examples.sequences), generator=torch.Generator().manual_seed(0))
    batches = [examples.sequences.batch(part) for part in torch.split(rows, size)[:BATCHES]]
    return [(batch, examples.targets_of(batch)) for batch in batches]


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each size and order of batches."""
    data = read_recordings(options.folder / "train.csv").take(range(600))
    model = BiLSTMTranscriber(max_epochs=1, validation_fraction=0, hidden_size=8, num_layers=1).fit(data)
    model.set_params(hidden_size=320, num_layers=3, dropout=0.0, masks=False, speed_change=0.0)
    model._usable(data)
    examples = model._examples(data)
    cases = [(size, order, batches_of(examples, size, order)) for size in SIZES for order in ("neighbours", "random")]
    model._features.close()
    rows = []
    for size, order, batches in cases:
        rows.append({"batch": size, "order": order} | compare(model, batches, options.rounds))
        print("a step of {batch} ({order}): plain {plain} s, ours {ours} s, {ratio} times as fast".format(**rows[-1]))
    return rows


def compare(model: BiLSTMTranscriber, batches: list[tuple[Batch, Tensor]], rounds: int) -> dict[str, Any]:
    """Medians of both on the same batches, after their losses and gradients were found equal."""
    ours: Any = model.build_network()
    plain = PlainNetwork(ours)
    check(model, ours, plain, batches[0])
    makers = {"ours": torch.optim.Adam(ours.parameters(), fused=True), "plain": torch.optim.Adam(plain.parameters())}

    def our_step(batch: Batch, texts: Tensor) -> None:
        step(ours, makers["ours"], model._loss(ours(batch), texts, batch.lengths))
        assert last_kernel() == "native"

    def plain_step(batch: Batch, texts: Tensor) -> None:
        step(plain, makers["plain"], plain_loss(plain(batch), texts[..., 0].long(), batch.lengths))

    sides = {"ours": our_step, "plain": plain_step}
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    for turn in range(rounds):
        for batch, texts in batches:
            for side in by_turns(sides, turn):
                started = time.perf_counter()
                sides[side](batch, texts)
                taken[side].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(seconds), 4) for name, seconds in taken.items()}
    steps = sum(int(batch.lengths.sum()) for batch, _ in batches)
    padded = sum(batch.values.shape[0] * batch.values.shape[1] for batch, _ in batches)
    ratio = round(medians["plain"] / medians["ours"], 2)
    return {"steps": steps, "share_of_steps_that_exist": round(steps / padded, 3), "ratio": ratio, **medians}


def check(model: BiLSTMTranscriber, ours: nn.Module, plain: nn.Module, case: tuple[Batch, Tensor]) -> None:
    batch, texts = case
    own = model._loss(ours(batch), texts, batch.lengths)
    other = plain_loss(plain(batch), texts[..., 0].long(), batch.lengths)
    assert_close(own, other, rtol=1e-4, what="losses")
    own.mean().backward()
    other.mean().backward()
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, what=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with train.csv (path,text) and its sounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/transcription.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    busy = busy_cores()
    found = measure(options)
    if options.store:
        print("stored", store("transcription", {"rows": found, "busy_cores": busy, "data": options.folder.name}))


if __name__ == "__main__":
    main()
