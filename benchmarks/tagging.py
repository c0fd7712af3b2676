"""What does a tagger cost, ours beside the same model in plain PyTorch with pytorch-crf? Training and prediction.

    python benchmarks/tagging.py train.conllu [--tag upos] [--vectors FILE] [--sentences 2000] [--rounds 3] [--store]

The plain model is written as tutorials write it: nn.Embedding, characters of every word through an nn.LSTM, packed
sequences, pytorch-crf, torch.optim.Adam as it comes (ours runs by the package's loop, whose Adam is torch's fused one).
It gets its batches as finished tensors; ours makes them inside the time that is measured. Both start from equal
weights, and their losses are compared before anything is timed; then they take turns in one process. Prediction is of
2,000 sentences of words by a model loaded from its file. The tags are of no scheme such as BIO, for pytorch-crf knows
no rules.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torchcrf import CRF

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

import bilstm  # noqa: E402
from bilstm import BiLSTMTagger, read_sentences  # noqa: E402
from bilstm.data.batch import Sequences  # noqa: E402
from bilstm.nn import last_kernel  # noqa: E402
from bilstm.nn.crf import kernels as crf_kernels  # noqa: E402
from clock import by_turns  # noqa: E402
from record import busy_cores, store  # noqa: E402

BATCH, PREDICTED = 32, 2000

Plain = tuple[Tensor, Tensor, Tensor]  # forms of every word (B, T, 3 + C), lengths (B,), tags (B, T)


class PlainTagger(nn.Module):
    """The network of BiLSTMTagger in nothing but torch and pytorch-crf, with the weights of one."""

    def __init__(self, model: BiLSTMTagger) -> None:
        super().__init__()
        ours: Any = model.network_
        reader, lstm, tags = ours.reader, ours.lstm, len(model.classes_)
        self.words = nn.Embedding.from_pretrained(reader.words.weight.detach().clone(), freeze=False)
        self.cases = nn.Embedding.from_pretrained(reader.cases.weight.detach().clone(), freeze=False)
        self.vectors = nn.Embedding.from_pretrained(reader.vectors.clone())
        if reader.corrections is not None:
            self.corrections = nn.Embedding.from_pretrained(reader.corrections.weight.detach().clone(), freeze=False)
        self.characters = nn.Embedding.from_pretrained(
            reader.characters.weight.detach().clone(), freeze=False, padding_idx=0
        )
        size = reader.spelling.hidden_size
        self.spelling = nn.LSTM(size, size, batch_first=True, bidirectional=True)
        self.spelling.load_state_dict(reader.spelling.state_dict())
        self.lstm = nn.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True, bidirectional=True)
        self.lstm.load_state_dict(lstm.state_dict())
        self.output = nn.Linear(2 * lstm.hidden_size, tags)
        self.output.load_state_dict(ours.output.state_dict())
        self.crf = CRF(tags, batch_first=True)
        with torch.no_grad():
            self.crf.transitions.copy_(ours.crf.transitions)
            self.crf.start_transitions.copy_(ours.crf.start)
            self.crf.end_transitions.copy_(ours.crf.end)
        self.embedding_dropout = nn.Dropout(model.embedding_dropout)
        self.dropout = nn.Dropout(model.dropout)

    def emissions(self, forms: Tensor, lengths: Tensor) -> Tensor:
        spelled = forms[:, :, 3:].flatten(0, 1)  # (B·T, C)
        counts = (spelled != 0).sum(dim=1).clamp(min=1)  # padding words too: a packed sequence cannot be empty
        packed = pack_padded_sequence(self.characters(spelled), counts, batch_first=True, enforce_sorted=False)
        _, (h_n, _) = self.spelling(packed)
        spelled = h_n.transpose(0, 1).flatten(1).view(*forms.shape[:2], -1)  # (B, T, 2H)
        parts = [self.cases(forms[:, :, 2]), self.words(forms[:, :, 0])]
        if self.vectors.embedding_dim:
            parts.append(self.vectors(forms[:, :, 1]) + self.corrections(forms[:, :, 0]))
        x = self.embedding_dropout(torch.cat([*parts, spelled], dim=2))
        states, _ = self.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        states, _ = pad_packed_sequence(states, batch_first=True)
        result: Tensor = self.output(self.dropout(states))
        return result

    def forward(self, forms: Tensor, lengths: Tensor, tags: Tensor) -> Tensor:
        inside = torch.arange(forms.shape[1]) < lengths[:, None]
        loss: Tensor = -self.crf(self.emissions(forms, lengths), tags, mask=inside, reduction="sum")
        return loss / lengths.sum()


def plain_batches(sequences: Sequences, tags: Tensor, seed: int | None) -> list[Plain]:
    """The batches that ours sees, or all sentences in order, with the numbers of every word written out."""
    if seed is None:
        chosen = [sequences.batch(rows) for rows in torch.arange(len(sequences)).split(BATCH)]
    else:
        chosen = list(sequences.shuffled(BATCH, torch.Generator().manual_seed(seed)))
    batches = []
    for batch in chosen:
        assert batch.forms is not None
        forms = batch.forms[batch.values.squeeze(2)]  # (B, T, 3 + C)
        inside = torch.arange(forms.shape[1]) < batch.lengths[:, None]
        batches.append((forms * inside[:, :, None], batch.lengths, sequences.padded(tags, batch.rows)))
    return batches


def plain_epoch(network: PlainTagger, optimizer: torch.optim.Optimizer, batches: list[Plain], clip: float) -> float:
    """Seconds of one epoch of the tutorial's loop."""
    network.train()
    started = time.perf_counter()
    for forms, lengths, tags in batches:
        optimizer.zero_grad()
        network(forms, lengths, tags).backward()
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
    return time.perf_counter() - started


@contextmanager
def seconds_in_crf() -> Iterator[list[float]]:
    """Collects the time of each call of the CRF's kernels, forward and backward."""
    spent: list[float] = []

    def timed(kernel: Any) -> Any:
        def run(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = kernel(*arguments, **named)
            spent.append(time.perf_counter() - started)
            return result

        return run

    kernels = {name: getattr(crf_kernels, name) for name in ("native_forward", "native_backward")}
    for name, kernel in kernels.items():
        setattr(crf_kernels, name, timed(kernel))
    try:
        yield spent
    finally:
        for name, kernel in kernels.items():
            setattr(crf_kernels, name, kernel)


def check(model: BiLSTMTagger, plain: PlainTagger, data: Any) -> None:
    """Equal weights give equal losses on the first sentences; else nothing is timed."""
    some = data.take(range(min(2 * BATCH, len(data))))
    sequences, tags = model.encode(some), torch.from_numpy(model._targets(some))
    plain.eval()
    with torch.no_grad():
        rows = torch.arange(len(sequences)).split(BATCH)
        for chosen, (forms, lengths, truth) in zip(rows, plain_batches(sequences, tags, None), strict=True):
            batch = sequences.batch(chosen)
            losses = model._loss(model.network_(batch), sequences.padded(tags, batch.rows), batch.lengths)
            ours = (losses * lengths).sum() / lengths.sum()
            assert_close(ours, plain(forms, lengths, truth), rtol=1e-4, what="losses")


def training(data: Any, options: argparse.Namespace) -> dict[str, Any]:
    model = BiLSTMTagger(max_epochs=1, validation_fraction=0, vectors=options.vectors).fit(data)
    plain = PlainTagger(model)
    check(model, plain, data)
    optimizer = torch.optim.Adam(plain.parameters(), lr=model.learning_rate)
    sequences, tags = model.encode(data), torch.from_numpy(model._targets(data))
    assert model.clip_norm is not None
    ours, theirs, crf = [], [], []
    for turn in range(options.rounds):
        for side in by_turns(("ours", "plain"), turn):
            if side == "plain":
                theirs.append(plain_epoch(plain, optimizer, plain_batches(sequences, tags, turn), model.clip_norm))
                continue
            with seconds_in_crf() as spent:
                ours += model.fit(data).history_["seconds"]
            crf.append(sum(spent))
        print(f"round {turn}: ours {ours[-1]:.2f} s, plain {theirs[-1]:.2f} s", flush=True)
    tokens = data.steps.height
    return {
        "tokens": tokens,
        "ours": round(statistics.median(ours), 3),
        "plain": round(statistics.median(theirs), 3),
        "tokens_a_second": round(tokens / statistics.median(ours)),
        "share_of_crf": round(statistics.median(crf) / statistics.median(ours), 4),
    }


def prediction(data: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds for sentences of words to tags, by loaded models."""
    model = BiLSTMTagger(max_epochs=1, validation_fraction=0, vectors=options.vectors).fit(data)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "m.bilstm")
        model = bilstm.load(Path(folder) / "m.bilstm")
    plain = PlainTagger(model).eval()
    chosen = data.take(range(min(PREDICTED, len(data))))
    unknown = torch.zeros(chosen.steps.height, dtype=torch.int64)

    def theirs() -> list[str]:
        found: list[int] = []
        with torch.inference_mode():
            for forms, lengths, _ in plain_batches(model.encode(chosen), unknown, None):
                inside = torch.arange(forms.shape[1]) < lengths[:, None]
                found += [tag for tags in plain.crf.decode(plain.emissions(forms, lengths), inside) for tag in tags]
        return [str(name) for name in model.classes_[found]]

    def ours() -> list[str]:
        return [tag for tags in model.predict(chosen) for tag in tags]

    same = sum(a == b for a, b in zip(ours(), theirs(), strict=True)) / chosen.steps.height
    assert same > 0.9999, f"equal weights must give equal tags, got {same:.4%} equal"
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    sides = {"ours": ours, "plain": theirs}
    for turn in range(options.rounds):
        for name in by_turns(sides, turn):
            started = time.perf_counter()
            sides[name]()
            taken[name].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(seconds), 3) for name, seconds in taken.items()}
    return {"sentences": len(chosen), "tokens": chosen.steps.height, **medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a CoNLL or CoNLL-U file")
    parser.add_argument("--tag")
    parser.add_argument("--vectors")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/tagging.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = read_sentences(options.data, tag=options.tag)
    data = data.take(range(min(options.sentences, len(data))))
    results: dict[str, Any] = {"rounds": options.rounds, "busy_cores": busy_cores(), "data": Path(options.data).name}
    for name, work in (("training", training), ("prediction", prediction)):
        found = results[name] = work(data, options)
        ratio = found["plain"] / found["ours"]
        print(f"{name}: plain {found['plain']} s, ours {found['ours']} s, {ratio:.2f} times as fast")
    print(f"of ours, the CRF takes {results['training']['share_of_crf']:.1%}")
    results["kernel"] = last_kernel()
    if options.store:
        print("stored", store("tagging", results))


if __name__ == "__main__":
    main()
