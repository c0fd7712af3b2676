"""How much faster do two workers learn than one, a processor and a thread each? A tagger of the default size.

    python benchmarks/scaling.py [--data train.conllu --tag upos] [--sentences 4000] [--epochs 3] [--rounds 3] [--store]

First two workers without dropout must have the losses of one within float32 noise. Then take turns, as processes of
their own: one worker, two that share its batches, two with a batch each, and two runs that know nothing of each other
(what the machine itself allows). Sequences a second are those of the median epoch, validation included, the first left
out. Last whole commands: `bilstm fit` alone and with `--workers 2`.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.compare import assert_close  # noqa: E402

from bilstm import BiLSTMTagger, read_sentences  # noqa: E402
from bilstm.demo.invented import invented_sentences  # noqa: E402
from bilstm.training import workers  # noqa: E402
from clock import by_turns  # noqa: E402
from record import busy_cores, store  # noqa: E402

BATCH = 32  # the tagger's default
NOISE = 1e-3  # relative, after some epochs of Adam
ALONE, SHARED, EACH = "1 worker", "2 workers, the same batches", "2 workers, a batch each"
APART = "2 runs apart, each with one worker"
CONTENDERS = {ALONE: (1, BATCH), SHARED: (2, BATCH), EACH: (2, 2 * BATCH), APART: (2, BATCH)}
NO_DROPOUT = {"dropout": 0.0, "embedding_dropout": 0.0, "word_dropout": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="sentences, as CoNLL or CoNLL-U; else invented ones")
    parser.add_argument("--tag", help="which column of it")
    parser.add_argument("--sentences", type=int, default=4000, help="how many of them")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--commands", type=int, default=1, help="times that whole commands are timed")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/scaling.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(json.loads(options.worker))
        return
    results: dict[str, Any] = {"busy_cores": busy_cores(), "epochs": options.epochs}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "sentences.conll")
        results["sentences"] = write(data, options)
        check(data, Path(folder), options)
        results |= compare(data, Path(folder), options)
        results["commands"] = commands(data, Path(folder), options)
    if options.store:
        print("stored", store("scaling", results))


def write(path: Path, options: argparse.Namespace) -> int:
    """The sentences as a file of words and tags; returns how many there are."""
    data = (
        invented_sentences(options.sentences) if options.data is None else read_sentences(options.data, tag=options.tag)
    )
    data = data.take(range(min(options.sentences, len(data))))
    words, tags = data.steps["word"].to_list(), data.tags.to_series().to_list()
    ends = set((data.starts + data.lengths).tolist())
    with path.open("w", encoding="utf-8") as file:
        for position, (word, tag) in enumerate(zip(words, tags, strict=True), 1):
            file.write(f"{word} {tag}\n" + "\n" * (position in ends))
    return len(data)


def check(data: Path, folder: Path, options: argparse.Namespace) -> None:
    """Losses of two workers are those of one."""
    alone, together = (run(data, folder, count, BATCH, 2, options.threads, NO_DROPOUT) for count in (1, 2))
    for name in ("loss", "validation_loss"):
        assert_close(together[name], alone[name], rtol=NOISE, what=name)
    print(f"losses of 2 workers and of 1: {together['loss']}, {alone['loss']}", flush=True)


def compare(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Sequences a second of every contender, and where the time of a step goes."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for turn in range(options.rounds):
        for name in by_turns(CONTENDERS, turn):
            turn_of = functools.partial(run, data, folder, *CONTENDERS[name], options.epochs, options.threads)
            turns[name].append(turn_of(apart=name == APART))
    found = {}
    for name, parts in turns.items():
        seconds = statistics.median(second for part in parts for second in part["seconds"][1:])
        first = parts[0]
        found[name] = {
            "sequences_per_second": round((1 + (name == APART)) * first["rows"] / seconds, 1),
            "step_ms": round(1000 * statistics.median(part["step"] for part in parts), 2),
            "adding_up_and_waiting_ms": round(1000 * statistics.median(part["adding"] for part in parts), 2),
            "adding_up_alone_ms": round(1000 * statistics.median(part["adding_alone"] for part in parts), 2),
            "sent_instead_alone_ms": round(1000 * statistics.median(part["sending_alone"] for part in parts), 2),
        }
        print(f"{name}: {found[name]}", flush=True)
    base = found[ALONE]["sequences_per_second"]
    ratios = {name: round(found[name]["sequences_per_second"] / base, 2) for name in (SHARED, EACH, APART)}
    print(f"times as many sequences a second: {ratios} (aim 1.6); {first['bytes']:,} bytes of gradient a step")
    return {"contenders": found, "ratios": ratios, "gradient_bytes": first["bytes"]}


def commands(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of whole commands, reading and Ray's start included."""
    seconds: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
    for turn in range(options.commands):
        for name in by_turns(seconds, turn):
            command = [sys.executable, "-m", "bilstm.cli", "fit", "tagger", str(data), "-o", "m.bilstm"]
            more = ["--log-every", "0", "--max-epochs", str(options.epochs)]
            more += ["--workers", "2"] if name == "2 workers" else []
            started = time.perf_counter()
            subprocess.run(
                [*command, *more], cwd=folder, env=environment(options.threads), check=True, capture_output=True
            )
            seconds[name].append(time.perf_counter() - started)
    found = {name: round(statistics.median(values), 2) for name, values in seconds.items() if values}
    if found:
        print(f"seconds of a command of {options.epochs} epochs: {found}")
    return found


def run(
    data: Path,
    folder: Path,
    count: int,
    batch: int,
    epochs: int,
    threads: int,
    more: dict[str, Any] | None = None,
    apart: bool = False,
) -> Any:
    """What the first of some workers found (of those apart one of them); each is a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"data": str(data), "batch": batch, "epochs": epochs, "more": more or {}}
    outs = [folder / f"found-{rank}.json" for rank in range(count)]  # those apart would write into each other's
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "1" if apart else str(count)}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps(told | {"out": str(out)})],
            env=environment(threads) | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank, out in enumerate(outs)
    ]
    assert [process.wait() for process in processes] == [0] * count
    return json.loads(outs[0].read_text())


def environment(threads: int) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": str(threads)}


def work(told: dict[str, Any]) -> None:
    """Fit, in one of the processes, and let the first write down what was measured."""
    import torch

    adding: list[float] = []
    original = workers.Average.__call__

    def timed(average: workers.Average, weight: float) -> float:
        started = time.perf_counter()
        whole = original(average, weight)
        adding.append(time.perf_counter() - started)
        return whole

    workers.Average.__call__ = timed
    with workers.assembled():
        data = read_sentences(told["data"])
        model = BiLSTMTagger(
            max_epochs=told["epochs"], patience=None, batch_size=told["batch"], verbose=0, **told["more"]
        )
        model.fit(data)
        sums = torch.zeros(2 + sum(p.numel() for p in model.network_.parameters()))
        ways = [workers.Average(sums, shared=shared) for shared in (True, False)]
        in_memory, sent = ([_seconds(lambda way=way: original(way, 1.0)) for _ in range(20)] for way in ways)
        if not workers.is_first():
            return
        history, rows = model.history_, len(data) - round(model.validation_fraction * len(data))
        steps = -(-rows // told["batch"])
        found = {
            "seconds": history["seconds"],
            "loss": history["loss"],
            "validation_loss": history["validation_loss"],
            "rows": rows,
            "bytes": sums.nbytes,
            "step": statistics.median(history["seconds"]) / steps,
            "adding": sum(adding) / told["epochs"] / steps,
            "adding_alone": statistics.median(in_memory),
            "sending_alone": statistics.median(sent),
        }
        Path(told["out"]).write_text(json.dumps(found))


def _seconds(call: Any) -> float:
    workers.wait()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
