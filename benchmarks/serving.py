"""How much does a server answer, gathering requests or one by one? A sentence classifier, 64 callers at once.

    python benchmarks/serving.py [--seconds 60] [--clients 64] [--turns 3] [--sentences CSV] [--memory 100000] [--store]

Two servers in processes of their own, one that predicts together what has come (``bilstm serve``), one that does not
(``--batch 1``), are asked in turns by a third process over kept connections. Every answer must be, byte for byte, that
of the sentence alone. Then the memory of a fresh server is read after 1,000 requests and after many more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from bilstm import BiLSTMClassifier, load  # noqa: E402
from bilstm.data.text.reader import read_texts  # noqa: E402
from bilstm.server.formats import format_of  # noqa: E402
from bilstm.server.settings import Settings  # noqa: E402
from clock import by_turns  # noqa: E402
from record import busy_cores, resident, store  # noqa: E402

CONTENDERS = {"together": (), "one by one": ("--batch", "1")}
QUESTIONS = 200  # sentences that are asked for, in turn
FIRST = 1000  # requests after which memory is read first
WORDS = (
    "who",
    "what",
    "when",
    "where",
    "how",
    "many",
    "people",
    "city",
    "country",
    "long",
    "is",
    "the",
    "of",
    "was",
    "in",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each contender in all")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3, help="in which the seconds are spent")
    parser.add_argument("--threads", type=int, default=1, help="of one prediction")
    parser.add_argument("--sentences", type=Path, help="a CSV with the columns text and label; else invented")
    parser.add_argument("--memory", type=int, default=100_000, help="requests after which memory is read again; 0: not")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/serving.json")
    options = parser.parse_args()
    results: dict[str, Any] = {"busy_cores": busy_cores(), "clients": options.clients, "threads": options.threads}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "sentences.bilstm"
        asked = questions(model, options.sentences)
        results["found"] = compare(model, asked, options)
        if options.memory:
            results["memory_mib"] = memory(model, asked, options)
    together, alone = (results["found"][name]["per_second"] for name in CONTENDERS)
    results["ratio"] = round(together / alone, 2)
    print(f"together {results['ratio']} times as many answers a second (aim 3)")
    if options.store:
        print("stored", store("serving", results))


def questions(path: Path, sentences: Path | None) -> list[tuple[str, str, str]]:
    """Train a model, save it, and say what is to be asked and what must be answered."""
    if sentences is None:
        draw = np.random.default_rng(0)
        texts = [" ".join(draw.choice(WORDS, draw.integers(4, 16))) for _ in range(2000)]
        labels = ["where" if "where" in text else "who" if "who" in text else "other" for text in texts]
        model = BiLSTMClassifier(max_epochs=2, hidden_size=128).fit(texts, labels)
    else:
        data = read_texts(sentences, text="text", target="label")
        model = BiLSTMClassifier(max_epochs=4, hidden_size=128).fit(data)
        assert data.texts is not None
        texts = data.texts.to_list()
    model.save(path)
    rows = format_of(load(path), Settings())
    asked = []
    for text in texts[:QUESTIONS]:
        alone = rows.predict(rows.prepare(rows.check([text])))
        body = json.dumps({"rows": [text]})
        asked.append((f"/v1/models/{path.stem}/predict", body, _compact({"predictions": alone})))
    return asked


def _compact(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def compare(model: Path, asked: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Each contender's answers a second and latencies, over all of its turns."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    seconds = options.seconds / options.turns
    for turn in range(options.turns):
        for name in by_turns(CONTENDERS, turn):
            with server(model, options.threads, *CONTENDERS[name]) as (port, _):
                ask(port, asked, options.clients, 1.0)  # warms up
                turns[name].append(ask(port, asked, options.clients, seconds))
    found = {}
    for name, parts in turns.items():
        found[name] = {
            "requests": sum(part["requests"] for part in parts),
            "per_second": round(sum(part["requests"] for part in parts) / sum(part["seconds"] for part in parts), 1),
            "p50_ms": round(float(np.median([part["p50_ms"] for part in parts])), 2),
            "p99_ms": round(max(part["p99_ms"] for part in parts), 2),
            "wrong": sum(part["wrong"] for part in parts),
        }
        assert found[name]["wrong"] == 0, f"{name}: {parts}"
        print(f"{name}: {found[name]}", flush=True)
    return found


def memory(model: Path, asked: Any, options: argparse.Namespace) -> dict[str, float]:
    """Resident memory of one server after few and after many requests, in MiB."""
    with server(model, options.threads) as (port, process):
        ask(port, asked, options.clients, 600.0, FIRST)
        first = resident(process=process.pid)
        ask(port, asked, options.clients, 600.0, options.memory - FIRST)
        last = resident(process=process.pid)
    grown = round(100 * (last / first - 1), 2)
    print(
        f"memory: {first:.1f} MiB after {FIRST} requests, {last:.1f} MiB after {options.memory}: {grown} % more (aim 5)"
    )
    return {"first": round(first, 1), "last": round(last, 1), "requests": options.memory, "grown_percent": grown}


@contextmanager
def server(model: Path, threads: int, *more: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, "-m", "bilstm.cli", "serve", str(model), "--port", "0", "--no-page", *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [*command, "--threads", str(threads)], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = int(line.split("http://127.0.0.1:")[1].split()[0])
        wait_for(port)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, seconds: float = 60.0) -> None:
    """Wait until a server is ready."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < end, "the server is not ready"
            time.sleep(0.1)


def ask(port: int, asked: Any, clients: int, seconds: float, requests: int = 10**9) -> dict[str, Any]:
    """What the client process found."""
    command = [sys.executable, str(ROOT / "benchmarks" / "serving_client.py")]
    arguments = [str(port), str(clients), str(seconds), str(requests)]
    run = subprocess.run([*command, *arguments], input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    main()
