"""How well does a transcriber understand, on speech that has published figures?

    python benchmarks/accuracy_speech.py fsdd FOLDER [--speakers] [--seeds 0 1 2] [--store]
    python benchmarks/accuracy_speech.py an4 FOLDER [--seeds 0] [--store]

fsdd: spoken digits; every fifth recording index is held out, or with --speakers each speaker in turn. an4: spelled
names, numbers and dates; about 100 utterances of whole speakers are held out, which never stop or choose an epoch: the
model trains on all others to the end. Measured with the best character of every step (greedy), by beam search, with
the unigram language model of AN4, and as a stream with several look-aheads. FOLDER holds train.csv and its sounds.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from bilstm import BiLSTMTranscriber, read_recordings  # noqa: E402
from bilstm.data.sound.reader import sound_facts  # noqa: E402
from bilstm.data.sound.recordings import Recordings  # noqa: E402
from record import busy_cores, store  # noqa: E402

HELD_OUT = 100  # utterances of AN4, at least
LOOK_AHEADS = (0.0, 0.12, 0.25, 0.5, 0.75, 1.0, 2.0)
DIGITS: dict[str, Any] = {
    "hidden_size": 128,
    "num_layers": 2,
    "dropout": 0.3,
    "learning_rate": 0.002,
    "max_epochs": 40,
}


def parts_of_an4(data: Recordings) -> tuple[Recordings, Recordings]:
    """All but some speakers, and these: drawn until they have a hundred utterances."""
    assert data.groups is not None
    speakers = sorted(data.groups.unique().to_list())
    random.Random(1).shuffle(speakers)
    counts = dict(data.groups.value_counts().iter_rows())
    chosen: list[str] = []
    while sum(counts[speaker] for speaker in chosen) < HELD_OUT:
        chosen.append(speakers[len(chosen)])
    held_out = data.groups.is_in(chosen).to_numpy()
    return data.take(~held_out), data.take(held_out)


def parts_of_digits(data: Recordings) -> tuple[Recordings, Recordings]:
    """All but every fifth recording index, and these."""
    indices = np.array([int(Path(name).stem.split("_")[2]) for name in data.names])
    return data.take(indices % 5 != 0), data.take(indices % 5 == 0)


def equal_words(data: Recordings, folder: Path) -> Path:
    """A language model in which every word of the texts is as probable as any other."""
    words = sorted({word for text in data.texts_said for word in text.split()})
    grams = "".join(f"{-math.log10(len(words) + 1):.4f}\t{word}\n" for word in ["</s>", *words])
    path = folder / "words.arpa"
    path.write_text(f"\\data\\\nngram 1={len(words) + 2}\n\n\\1-grams:\n-99\t<s>\n{grams}\n\\end\\\n")
    return path


def fitted(training: Recordings, seed: int, epochs: int | None, **parameters: Any) -> tuple[BiLSTMTranscriber, float]:
    """A model trained on all of it to the end, and the seconds that took, reading included."""
    if epochs is not None:
        parameters["max_epochs"] = epochs
    started = time.perf_counter()
    model = BiLSTMTranscriber(**parameters, validation_fraction=0.0, random_state=seed, verbose=1).fit(training)
    return model, time.perf_counter() - started


def seconds_of_sound(data: Recordings) -> float:
    return sum(sound_facts(sound).seconds for sound in data.sounds)


def an4(folder: Path, seed: int, epochs: int | None, save: Path | None) -> dict[str, Any]:
    """Every way to decode, the table of look-aheads, and times."""
    training, held_out = parts_of_an4(read_recordings(folder / "train.csv", group="speaker"))
    model, seconds = fitted(training, seed, epochs)
    if save is not None:
        model.save(save)
    lm = folder / "an4.ug.arpa"
    started = time.perf_counter()
    model.predict(held_out)
    predicting = time.perf_counter() - started
    ways = {"greedy": {"beam": 1}, "beam": {}, "lm": {"lm": lm}}
    found: dict[str, Any] = {name: model.compare(held_out, **how).metrics for name, how in ways.items()}
    found["look_ahead"] = {
        str(ahead): model.compare(held_out, beam=1, look_ahead=ahead).metrics for ahead in LOOK_AHEADS
    }
    found |= {"training_seconds": seconds, "recordings": len(training), "held_out": len(held_out)}
    found["real_time_factor"] = predicting / seconds_of_sound(held_out)
    return found


def digits(folder: Path, seed: int, epochs: int | None, by_speaker: bool) -> dict[str, Any]:
    """Shares of words that are right: on held-out recordings, or of each speaker in turn."""
    data = read_recordings(folder / "train.csv", group="speaker")
    settings = DIGITS if epochs is None else DIGITS | {"max_epochs": epochs}
    if not by_speaker:
        return heard_digits(*parts_of_digits(data), seed, settings)
    assert data.groups is not None
    found = {}
    for speaker in sorted(data.groups.unique().to_list()):
        held_out = (data.groups == speaker).to_numpy()
        found[speaker] = heard_digits(data.take(~held_out), data.take(held_out), seed, settings)
        print(speaker, found[speaker], flush=True)
    return found


def heard_digits(training: Recordings, held_out: Recordings, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Every way to decode, one of which allows the words of training alone."""
    model, seconds = fitted(training, seed, None, **settings)
    with tempfile.TemporaryDirectory() as made:
        ways = {"greedy": {"beam": 1}, "beam": {}, "lm": {"lm": equal_words(training, Path(made))}}
        found: dict[str, Any] = {name: model.compare(held_out, **how).metrics for name, how in ways.items()}
    return found | {"training_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("fsdd", "an4"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speakers", action="store_true", help="fsdd: hold out each speaker in turn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--save", type=Path, help="an4: where the model goes")
    parser.add_argument("--store", action="store_true", help="write to results/")
    given = parser.parse_args()
    busy = busy_cores()
    results = {}
    for seed in given.seeds:
        if given.task == "an4":
            found = an4(given.folder, seed, given.epochs, given.save)
        else:
            found = digits(given.folder, seed, given.epochs, given.speakers)
        results[str(seed)] = found
        print(seed, found, flush=True)
    if given.store:
        name = f"speech_{given.task}{'_speakers' if given.speakers else ''}"
        store(name, {"seeds": results, "threads": torch.get_num_threads(), "busy_cores": busy})


if __name__ == "__main__":
    main()
