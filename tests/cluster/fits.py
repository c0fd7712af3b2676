"""What several workers fit, run by torchrun: every worker writes down what it ended with, as JSON. Not a test.

torchrun --nproc-per-node 2 tests/cluster/fits.py FOLDER
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber, boston
from bilstm.data.batch import Sequences
from bilstm.data.stream import Stream
from bilstm.demo.invented import invented_sentences
from bilstm.errors import TrainingError
from bilstm.training import workers
from bilstm.training.loop import Examples, train
from bilstm.training.streamed import Streamed

COLUMNS = ("loss", "validation_loss", "metric", "learning_rate", "gradient_norm")
QUICK = {"hidden_size": 8, "max_epochs": 3, "verbose": 0}
PLAIN = QUICK | {"dropout": 0.0}
WORDS = PLAIN | {"embedding_dropout": 0.0, "word_dropout": 0.0, "embedding_size": 12, "char_hidden_size": 5}


def regressor():
    """13 batches of 32 rows, 8 a worker of four, and one of a single row."""
    return BiLSTMRegressor(**PLAIN, validation_fraction=0.1).fit(boston().take(range(464)))


def whole_regressor():
    """Every row in one batch, with weights of which some are 0."""
    weights = np.arange(100) % 3
    return BiLSTMRegressor(**PLAIN, batch_size=None).fit(boston().take(range(100)), sample_weight=weights)


def classifier():
    texts = [("so good", "very bad", "not good at all")[n % 3] + " indeed" * (n % 4) for n in range(90)]
    return BiLSTMClassifier(**WORDS, batch_size=16).fit(texts, [n % 3 for n in range(90)])


def tagger():
    return BiLSTMTagger(**WORDS, batch_size=16).fit(invented_sentences(80))


def forecaster():
    wave = np.sin(np.arange(200) / 3) + np.random.default_rng(0).normal(0, 0.1, 200)
    return BiLSTMForecaster(**PLAIN, history=12, horizon=2).fit(wave)


def transcriber():
    generator = np.random.default_rng(0)
    sounds = [generator.normal(0, 0.1, 3000 + 400 * (n % 5)).astype(np.float32) for n in range(12)]
    options = PLAIN | {"num_layers": 1, "sample_rate": 8000, "speed_change": 0.0, "masks": False, "batch_size": 4}
    return BiLSTMTranscriber(**options).fit(sounds, ["ab", "ba", "b"] * 4)


def stream(places):
    """120 rows in as many places as that."""
    data = boston().take(range(120))
    rows = np.array_split(np.arange(120), places)
    return Stream(rows, lambda place: iter([data.take(place)]), digest=str(places))


def streamed_regressor():
    """Of two places: too few to be dealt out, so each worker reads both and takes its rows."""
    return BiLSTMRegressor(**PLAIN, batch_size=16).fit(stream(2))


def dealt_stream():
    """Of nine places each worker reads its own; the other one goes on alone to its end."""
    seen = []

    def remember(place):
        seen.extend(place.tolist())
        return iter([boston().take(place)])

    dealt = Stream(stream(9).shards, remember)
    encoder = BiLSTMRegressor(**PLAIN, batch_size=16).fit(stream(9))
    supply = Streamed(dealt, 120, encoder._examples)
    batches = [len(batch) for batch, _, _ in supply.batches(16, seed=1)]
    return {"seen": sorted(seen), "batches": batches, "model": told(encoder)}


def dropping_tagger():
    """With dropout: another model than a single process's, but one and the same in each worker."""
    return BiLSTMTagger(**QUICK, random_state=None).fit(invented_sentences(40))


ALIKE = (regressor, whole_regressor, classifier, tagger, forecaster, transcriber, streamed_regressor)


def told(model):
    history = {name: model.history_[name] for name in COLUMNS}
    return {"history": history, "metrics": model.metrics_, "weights": digest(model.network_)}


def digest(network):
    """Every weight as text, so that not a bit is lost."""
    return {name: tensor.double().flatten().tolist() for name, tensor in network.state_dict().items()}


def mean_network(loss, on_infinite=None):
    """Five rows, of which one worker of two has the odd ones, learned by a linear network for one epoch."""
    torch.manual_seed(0)

    class Mean(torch.nn.Linear):
        def forward(self, batch):
            return super().forward(batch.values[:, 0])

    sequences = Sequences(np.arange(10.0).reshape(5, 2), np.ones(5, dtype=int))
    return train(
        Mean(2, 1), Examples(sequences, torch.arange(5.0), torch.ones(5)), None, loss=loss, metric=None,
        metric_name="none", optimizer="adam", learning_rate=0.1, weight_decay=0.0, schedule="constant", clip_norm=None,
        batch_size=None, max_epochs=1, patience=None, seed=0, device=torch.device("cpu"), on_infinite=on_infinite,
    )  # fmt: skip


def ruled_out():
    """Rows 1 and 3 cannot be learned: every worker is told so."""
    rows = []

    def loss(outputs, targets, lengths):
        return torch.where((targets == 1) | (targets == 3), math.inf, (outputs[:, 0] - targets) ** 2)

    history = mean_network(loss, lambda found: rows.extend(found.tolist()))
    return {"rows": sorted(rows), "loss": history["loss"]}


def broken():
    """Row 3 gives NaN in one worker: each of them stops, with the same words."""
    try:
        mean_network(lambda outputs, targets, lengths: torch.where(targets == 3, math.nan, outputs[:, 0]))
    except TrainingError as error:
        return {"error": str(error)}


def averages(shared):
    """Five times the mean of what the workers hold, by shared memory or not, and whether it was."""
    numbers = torch.zeros(100_001)
    average, found = workers.Average(numbers, shared=shared), []
    for turn in range(5):
        numbers[:] = held(turn, workers.rank())
        weight = average(1.0 + workers.rank() + turn)
        found.append({"weight": weight, "numbers": numbers[:-1].tolist()})
    left = list(Path("/dev/shm").glob("bilstm-*")) if Path("/dev/shm").is_dir() else []
    return {"turns": found, "shared": average.boards is not None, "left": list(map(str, left))}


def held(turn, rank):
    return torch.from_numpy(np.random.default_rng((turn, rank)).normal(size=100_001).astype(np.float32))


def one_fails():
    """One worker makes a mistake while the other one waits for it."""
    if workers.rank() == 1:
        raise ValueError("only here")
    workers.wait()


if __name__ == "__main__":
    with workers.assembled():
        found = {fit.__name__: told(fit()) for fit in (*ALIKE, dropping_tagger)}
        found |= {"ruled_out": ruled_out(), "broken": broken(), "dealt": dealt_stream(), "workers": workers.count()}
        found |= {"averages": [averages(shared) for shared in (True, False)]}
        Path(sys.argv[1], f"{workers.rank()}.json").write_text(json.dumps(found))
