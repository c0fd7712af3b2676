"""Small models of every kind, trained in moments, and rows that each of them takes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber
from bilstm.data.series.reader import read_series
from bilstm.demo.tones import dial_tones
from tests.sounds import file_of, noise, sine
from tests.speech import RATE


def write_models(folder: Path) -> dict[str, Path]:
    """A model file of each kind, by name."""
    paths = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in MODELS.items():
            paths[name] = folder / f"{name}.bilstm"
            make().save(paths[name])
    return paths


def _table() -> BiLSTMRegressor:
    """Two targets; a number, one that may be missing, a category."""
    draw = np.random.default_rng(0)
    rooms, age = draw.normal(6, 1, 60), draw.normal(40, 9, 60)
    frame = pl.DataFrame(
        {"rooms": rooms, "age": [None if k % 7 == 0 else v for k, v in enumerate(age)], "town": ["a", "b", "北京"] * 20}
    )
    targets = pl.DataFrame({"price": 3 * rooms + 1, "rent": rooms - age / 50})
    return BiLSTMRegressor(hidden_size=5, max_epochs=2).fit(frame, targets)


def _steps() -> BiLSTMClassifier:
    draw = np.random.default_rng(1)
    sequences = [draw.normal(n % 3, 1, (2 + n % 4, 2)) for n in range(40)]
    labels = [n % 3 for n in range(40)]
    return BiLSTMClassifier(hidden_size=5, max_epochs=2, pooling="mean").fit(sequences, labels)


def _text() -> BiLSTMClassifier:
    texts = ["so good", "very bad", "a good film", "a bad one", "北京 很 好", "差"] * 8
    return BiLSTMClassifier(hidden_size=5, embedding_size=6, char_hidden_size=4, max_epochs=2).fit(
        texts, ["+", "-", "+", "-", "+", "-"] * 8
    )


def _topics() -> BiLSTMClassifier:
    labels = [["law", "sea"], ["sea"], ["law"], []] * 8
    return BiLSTMClassifier(hidden_size=4, embedding_size=4, char_hidden_size=0, max_epochs=1).fit(
        ["tax and sea", "the sea", "a new tax", "nothing"] * 8, labels
    )


def _names() -> BiLSTMTagger:
    sentences = [["Ann", "lives", "in", "Rome"], ["Rome", "is", "old"], ["王", "在", "北", "京"]] * 8
    tags = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O", "O"], ["B-PER", "O", "B-LOC", "I-LOC"]] * 8
    return BiLSTMTagger(hidden_size=6, embedding_size=6, char_hidden_size=4, max_epochs=3).fit(sentences, tags)


def _load() -> BiLSTMForecaster:
    """Two stations by the hour, with a column that is known ahead."""
    series = read_series(
        load_frame(120), target="load", time="hour", group="station", future=["holiday"], features=["heat"]
    )
    return BiLSTMForecaster(history=12, horizon=3, hidden_size=4, max_epochs=1).fit(series)


def load_frame(count: int) -> pl.DataFrame:
    """Hours of two stations, as :func:`write_models` trains on them."""
    hours = np.arange(count)
    when = pl.Series(hours * 3600 * 10**6).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d %H:%M")
    parts = [
        pl.DataFrame(
            {
                "station": [name] * count,
                "hour": when,
                "load": 50 + k + 10 * np.sin(hours / 4),
                "heat": np.cos(hours / 5),
                "holiday": (hours // 24 % 7 == 6).astype(float),
            }
        )
        for k, name in enumerate("ab")
    ]
    return pl.concat(parts)


def _count() -> BiLSTMForecaster:
    """Numbers without times."""
    return BiLSTMForecaster(history=8, horizon=2, hidden_size=4, max_epochs=1).fit(np.sin(np.arange(80.0)))


def _digits() -> BiLSTMTranscriber:
    sounds, texts = dial_tones(8, rate=RATE)
    return BiLSTMTranscriber(hidden_size=8, num_layers=1, sample_rate=RATE, mels=16, max_epochs=1).fit(sounds, texts)


MODELS = {
    "table": _table,
    "steps": _steps,
    "text": _text,
    "topics": _topics,
    "names": _names,
    "load": _load,
    "count": _count,
    "digits": _digits,
}


def sound_file(seconds: float = 0.5, rate: int = RATE, kind: str = "wav", seed: int = 0) -> bytes:
    """A sound file of a tone in noise."""
    tone = sine(400 + 100 * seed, rate, seconds)
    return file_of(tone + noise(len(tone), 0.02, seed), rate, kind)


def rows_of(name: str, count: int, seed: int = 0) -> list[Any]:
    """Rows that a model of :func:`write_models` takes, all of them different."""
    draw = np.random.default_rng(seed)
    words = ["good", "bad", "Ann", "Rome", "sea", "tax", "北京", "<b>", "don't", "123", "😀"]
    if name == "table":
        return [
            {"rooms": draw.normal(6, 1), "age": None if n % 5 == 0 else draw.normal(40, 9), "town": "abc"[n % 3]}
            for n in range(count)
        ]
    if name == "steps":
        return [draw.normal(1, 1, (1 + n % 9, 2)).tolist() for n in range(count)]
    if name == "load":
        frames = load_frame(60).partition_by("station")
        return [frames[n % 2][n % 20 : n % 20 + 14 + n % 7].to_dicts() for n in range(count)]
    if name == "count":
        return [[[value] for value in draw.normal(0, 1, 9 + n % 5)] for n in range(count)]
    if name == "digits":
        return [sound_file(0.2 + 0.05 * (n % 5), seed=n) for n in range(count)]
    return [" ".join(draw.choice(words, 1 + n % 12)) for n in range(count)]
