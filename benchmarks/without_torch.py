"""How soon and in how much memory does an exported model answer without torch, beside the whole package?

    python benchmarks/without_torch.py [--repeats 9] [--store]

Ten table rows, sentences or recordings are predicted once in a fresh process: by the example that has numpy and ONNX
Runtime alone, and by ``bilstm predict``. Both must say the same. A process is timed from its start to its end; its
peak of resident memory is what the operating system says at that end. Linux only.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from bilstm import BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber, boston, read_recordings  # noqa: E402
from bilstm.demo.invented import invented_sentences  # noqa: E402
from bilstm.demo.tones import write_dial_tones  # noqa: E402
from bilstm.export import to_onnx  # noqa: E402
from record import busy_cores, store  # noqa: E402

SECONDS, MEGABYTES = 0.5, 150  # what was aimed at, of the example
ASKED = 10  # so little that the start is what takes time
PEAK = """
import runpy, sys
def tell():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    sys.stderr.write("\\npeak " + line.split()[1])
sys.argv = sys.argv[1:]
"""
EXAMPLE = PEAK + "runpy.run_path(sys.argv[0], run_name='__main__')\ntell()"
NOTHING = PEAK + "import numpy, onnxruntime\ntell()"
PACKAGE = PEAK + "from bilstm.cli import main\ntry:\n    main(sys.argv)\nfinally:\n    tell()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="processes of each contender; medians count")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/without_torch.json")
    options = parser.parse_args()
    results: dict[str, Any] = {"busy_cores": busy_cores(), "rows": {}}
    print(f"{'':<12}{'example':>22}{'imports alone':>22}{'bilstm predict':>22}")
    for name, make in {"table": table, "sentences": sentences, "recordings": recordings}.items():
        with tempfile.TemporaryDirectory() as folder:
            results["rows"][name] = row = compare(Path(folder), *make(Path(folder), options.epochs), options.repeats)
        told = (
            f"{row[who]['seconds']:.2f} s {row[who]['megabytes']:>6.0f} MB" for who in ("example", "imports", "package")
        )
        print(f"{name:<12}" + "".join(f"{text:>22}" for text in told), flush=True)
    slowest = max(row["example"]["seconds"] for row in results["rows"].values())
    largest = max(row["example"]["megabytes"] for row in results["rows"].values())
    print(f"the examples: at most {slowest:.2f} s (aim {SECONDS}), {largest:.0f} MB (aim {MEGABYTES})")
    if options.store:
        print("stored", store("without_torch", results))


# --- three models, and what they are asked -------------------------------------------------------------------------


def table(folder: Path, epochs: int) -> tuple[Any, str, list[str]]:
    boston().steps[:ASKED].write_csv(folder / "houses.csv")
    return BiLSTMRegressor(max_epochs=epochs).fit(boston()), "onnx_table.py", [str(folder / "houses.csv")]


def sentences(folder: Path, epochs: int) -> tuple[Any, str, list[str]]:
    data = invented_sentences(300)
    asked = data.take(range(ASKED))
    words = asked.steps["word"].to_list()
    lines = [" ".join(words[a : a + n]) for a, n in zip(asked.starts, asked.lengths, strict=True)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    return BiLSTMTagger(max_epochs=epochs).fit(data), "onnx_text.py", [str(folder / "lines.txt")]


def recordings(folder: Path, epochs: int) -> tuple[Any, str, list[str]]:
    data = read_recordings(write_dial_tones(folder, 20))
    model = BiLSTMTranscriber(max_epochs=epochs, sample_rate=8000, hidden_size=64, num_layers=2).fit(data)
    return model, "onnx_sound.py", sorted(map(str, folder.glob("audio/*.wav")))[:ASKED]


# --- measured ------------------------------------------------------------------------------------------------------


def compare(folder: Path, model: Any, example: str, data: list[str], repeats: int) -> dict[str, Any]:
    """Medians of both contenders, in turns, and of the imports alone."""
    model.save(folder / "model.bilstm")
    to_onnx(model, folder / "model.onnx")
    greedy = ["--beam", "1"] if model.task == "transcriber" else []
    contenders = {
        "example": [EXAMPLE, str(ROOT / "examples" / example), str(folder / "model.onnx"), *data],
        "imports": [NOTHING],
        "package": [PACKAGE, "predict", str(folder / "model.bilstm"), *data, *greedy],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        answers = {}
        for name, arguments in contenders.items():
            seconds, megabytes, answers[name] = run(arguments)
            if turn:  # the first fills the disk's cache
                found[name].append((seconds, megabytes))
        assert SAID[model.task](answers["example"]) == SAID[model.task](answers["package"]), "they say different things"
    return {
        name: {"seconds": statistics.median(s for s, _ in runs), "megabytes": statistics.median(m for _, m in runs)}
        for name, runs in found.items()
    }


def run(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds of a process, the megabytes of its peak, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", *arguments], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    return seconds, int(done.stderr.rsplit("peak ", 1)[1]) * 1024 / 1e6, done.stdout


def _rounded(text: str) -> list[str]:
    return [f"{float(line):.4g}" for line in text.splitlines()[1:]]


def _texts(text: str) -> list[str]:
    """Of lines of a name, then the text, then perhaps more: the texts."""
    rows = [line.replace("\t", ",").split(",") for line in text.splitlines() if ".wav" in line]
    return [row[1] for row in rows]


SAID: dict[str, Callable[[str], Any]] = {"regressor": _rounded, "tagger": str, "transcriber": _texts}

if __name__ == "__main__":
    main()
