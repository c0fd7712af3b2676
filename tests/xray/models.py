"""Small fitted models of every task, and data that they have not seen; made once for all tests."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import polars as pl
import torch

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger
from bilstm.demo.tones import dial_tones
from tests.series import table as days_of
from tests.speech import RATE, untrained

QUICK: dict[str, Any] = {"hidden_size": 6, "max_epochs": 4, "validation_fraction": 0.2, "random_state": 1}


def houses(rows: int = 60, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """A table with numbers, gaps and names, and two targets."""
    generator = np.random.default_rng(seed)
    rooms, age = generator.normal(6, 1, rows), generator.normal(40, 20, rows)
    town = generator.choice(["a", "b", "c"], rows)
    frame = pl.DataFrame({"rooms": rooms, "age": age, "town": town}).with_columns(
        age=pl.when(pl.int_range(rows) % 7 != 3).then("age")
    )
    price = 5 * rooms - 0.1 * age + 3 * (town == "b")
    return frame, np.stack([price, 100 + 10 * rooms], axis=1)


@functools.cache
def regressor(**changes: Any) -> BiLSTMRegressor:
    frame, prices = houses()
    model = BiLSTMRegressor(**(QUICK | {"num_layers": 2, "max_epochs": 20} | changes))
    return model.fit(frame, pl.DataFrame(prices, schema=["price", "rent"]))


def walks(count: int = 40, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences of unequal lengths with two features, and which way they go."""
    generator = np.random.default_rng(seed)
    ways = generator.integers(0, 3, count)
    found = [
        np.cumsum(generator.normal(way - 1, 1, (int(generator.integers(3, 9)), 2)), axis=0).astype(np.float64)
        for way in ways
    ]
    return found, np.array(["down", "level", "up"])[ways]


@functools.cache
def sequences(**changes: Any) -> BiLSTMClassifier:
    return BiLSTMClassifier(**(QUICK | {"num_layers": 2} | changes)).fit(*walks())


REVIEWS = ["so good , really good", "very bad", "good", "bad and slow <b>here</b>", "not bad at all", "slow"] * 6


@functools.cache
def texts() -> BiLSTMClassifier:
    labels = ["bad" if "bad" in text or "slow" in text else "good" for text in REVIEWS]
    return BiLSTMClassifier(**QUICK | {"max_epochs": 8, "embedding_size": 8, "char_hidden_size": 4}).fit(
        REVIEWS, labels
    )


@functools.cache
def topics() -> BiLSTMClassifier:
    """Several labels a text."""
    labels = [[name for name in ("good", "bad", "slow") if name in text] for text in REVIEWS]
    return BiLSTMClassifier(**QUICK | {"max_epochs": 20, "embedding_size": 8, "char_hidden_size": 0}).fit(
        REVIEWS, labels
    )


SENTENCES = [["Ann", "lives", "in", "New", "Rome"], ["Rome", "is", "old"], ["Bob", "saw", "Ann", "."]] * 12
TAGS = [["B-PER", "O", "O", "B-LOC", "I-LOC"], ["B-LOC", "O", "O"], ["B-PER", "O", "B-PER", "O"]] * 12


@functools.cache
def tagger(crf: bool = True) -> BiLSTMTagger:
    return BiLSTMTagger(
        **QUICK | {"max_epochs": 8, "embedding_size": 8, "char_hidden_size": 4, "min_count": 1, "crf": crf}
    ).fit(SENTENCES, TAGS)


@functools.cache
def forecaster(target_as: str = "difference", share: float = 1.0, rescale: bool = False) -> BiLSTMForecaster:
    """A forecaster of days with a column beside its target, whose BiLSTM has a say."""
    frame = days_of(120, beside=np.cos(np.arange(120) / 5))
    model = BiLSTMForecaster(**QUICK | {"history": 8, "horizon": 5, "target_as": target_as, "rescale": rescale})
    model.fit(frame, "y")
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        output = model.network_.output
        output.weight.copy_(0.5 * torch.randn(output.weight.shape, generator=generator))
        model.network_.share.fill_(share)
    return model


def transcriber() -> Any:
    return untrained()


def sounds(count: int = 2) -> list[np.ndarray]:
    return dial_tones(count, rate=RATE, seed=5)[0]


# what x_ray takes of each task
EXAMPLES: dict[str, Any] = {
    "regressor": lambda: (regressor(), houses(5, seed=9)[0]),
    "columns as steps": lambda: (regressor(table_as="steps", num_layers=1), houses(5, seed=9)[0]),
    "classifier": lambda: (sequences(), walks(4, seed=9)[0]),
    "classifier of text": lambda: (texts(), ["not so good", "bad"]),
    "classifier with several labels": lambda: (topics(), ["good but slow and bad"]),
    "tagger": lambda: (tagger(), ["Ann lives in Rome ."]),
    "tagger without a CRF": lambda: (tagger(crf=False), ["Ann lives in Rome ."]),
    "forecaster": lambda: (forecaster(), None),
    "forecaster of logarithms": lambda: (forecaster("log-return"), None),
    "forecaster that rescales": lambda: (forecaster(rescale=True), None),
    "forecaster without use of its BiLSTM": lambda: (forecaster(share=0.0), None),
    "transcriber": lambda: (transcriber(), sounds()),
}
