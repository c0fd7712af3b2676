"""The small files that the README's lines read, one set for each task. Knows what goes into them; trains nothing.

Two tables are real (houses around Boston, sunspots); reviews, sentences and bird calls are made up, since real ones
would need a download.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from bilstm.data.builtin import boston, sunspots
from bilstm.data.dataset import Dataset
from bilstm.demo.bird_calls import as_wav, bird_calls
from bilstm.demo.invented import invented_reviews, invented_sentences
from bilstm.errors import DataError
from bilstm.files.output import write_whole

HOUSES, REVIEWS, SENTENCES, CALLS = (400, 106), (2800, 200), (240, 120), (72, 18)  # to learn from, and new
LAST_YEAR = 1949  # of the older file of sunspots
Part = tuple[dict[str, bytes], str]  # files that belong together, and what is said of them


def write_demo_data(folder: Path, say: Callable[[str], None]) -> None:
    """Write the files into a folder that exists, and say in a line each what they are; nothing is overwritten."""
    parts = [_houses(), _reviews(), _sentences(), _sunspots(), _calls()]
    for name, content in itertools.chain.from_iterable(files.items() for files, _ in parts):
        path = folder / name
        if path.exists() and (not path.is_file() or path.read_bytes() != content):
            raise DataError(
                f"expected no file, or one with the same data, got another ({path})",
                hint="choose another folder with -o, or move what is there away",
            )
    for files, what in parts:
        for name, content in files.items():
            _write(folder / name, content)
        say(f"{' and '.join(name for name in files if '/' not in name)}: {what}")


def as_conll(data: Dataset) -> str:
    """One word and its tag a line, a blank line behind each sentence."""
    assert data.tags is not None
    rows = [f"{word}\t{tag}" for word, tag in zip(data.steps["word"], data.tags.to_series(), strict=True)]
    ranges = zip(data.starts, data.starts + data.lengths, strict=True)
    return "".join("\n".join(rows[a:b]) + "\n\n" for a, b in ranges)


def _houses() -> Part:
    data = boston()
    assert data.targets is not None
    frame = data.steps.hstack(data.targets)[np.random.default_rng(0).permutation(len(data))]  # it stands town by town
    files = {"houses.csv": _csv(frame[: HOUSES[0]]), "new_houses.csv": _csv(frame[HOUSES[0] :])}
    return files, "{} and {} census tracts around Boston in 1970; medv is the median price in 1,000 $".format(*HOUSES)


def _reviews() -> Part:
    texts, stars = invented_reviews(sum(REVIEWS))
    frame = pl.DataFrame({"review": texts, "stars": stars})
    files = {"reviews.csv": _csv(frame[: REVIEWS[0]]), "new_reviews.csv": _csv(frame[REVIEWS[0] :])}
    return files, "{} and {} reviews with 1 to 5 stars, made up".format(*REVIEWS)


def _sentences() -> Part:
    files = {}
    for seed, (name, count) in enumerate(zip(("train.conll", "dev.conll"), SENTENCES, strict=True)):
        chinese = invented_sentences(count // 3, language="chinese", seed=seed)
        english = invented_sentences(count - count // 3, seed=seed)
        files[name] = (as_conll(english) + as_conll(chinese)).encode()
    return files, "{} and {} English and Chinese sentences with names as tags, made up".format(*SENTENCES)


def _sunspots() -> Part:
    data = sunspots()
    frame = pl.DataFrame({"year": data.times.cast(pl.Int64), "sunspots": data.steps["sunspots"]})
    files = {"sunspots.csv": _csv(frame.filter(pl.col("year") <= LAST_YEAR)), "more_sunspots.csv": _csv(frame)}
    first, last = frame["year"][0], frame["year"][-1]
    return files, f"sunspots by year, {first} to {LAST_YEAR} and {first} to {last}"


def _calls() -> Part:
    sounds, texts, singers = bird_calls(sum(CALLS), birds=45)  # of whom the last nine are new
    names = [f"calls/{number:03d}.wav" for number in range(sum(CALLS))]
    frame = pl.DataFrame({"path": names, "text": texts, "bird": singers}, schema_overrides={"bird": pl.String})
    files = {"calls.csv": _csv(frame[: CALLS[0]]), "new_calls.csv": _csv(frame[CALLS[0] :])}
    files |= {name: as_wav(sound) for name, sound in zip(names, sounds, strict=True)}
    return files, "{} and {} bird calls, recorded in calls/, with the birds as texts, made up".format(*CALLS)


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that half a file is never taken for another's."""
    if path.exists():
        return
    with contextlib.suppress(OSError):  # the writing itself says what is wrong
        path.parent.mkdir(exist_ok=True)
    write_whole(path, content)
