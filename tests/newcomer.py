"""What a stranger does with README's own lines, in an empty environment: install, fit, predict, serve, ask.

    python tests/newcomer.py [--folder FOLDER] [--readme README.md] [--sources]

A fresh clone, a fresh virtual environment, an empty folder, no variables but those by which pip reaches its index.
Knows README's blocks and what answers make sense; knows nothing of the package, and imports the standard library only.
It takes as long as pip needs for torch, and some minutes; tests/test_newcomer.py does the quick half of it.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PASSED_ON = re.compile(r"PIP_\w+|SSL_\w+|\w+_proxy|\w+_CA_BUNDLE", re.IGNORECASE)  # how pip reaches its index
PATIENCE = 300  # seconds until a server has to answer, on a busy machine
FOLDER, INSTALL = "bilstm demo data", r"pip install '?\.\[all\]'?"
# what evaluate has to say at least, on the files of `bilstm demo data`: far from what it says, and from a guess
SENSE: dict[str, tuple[str, Callable[[float], bool]]] = {
    "houses": ("r2", lambda value: value > 0.7),
    "reviews": ("accuracy", lambda value: value > 0.7),
    "names": ("f1", lambda value: value > 0.8),
    "calls": ("wer", lambda value: value < 0.3),
}


def tasks(readme: str) -> tuple[list[str], str, str]:
    """The lines from `bilstm demo data` on that are run, the line that serves, and the line that asks."""
    lines: list[str] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL):
        told = [line.split("  #")[0].strip() for line in block.splitlines()]
        if language == "sh" and (lines or told[0].startswith(FOLDER)):
            lines += told
        elif lines and told[0].startswith("bilstm serve"):
            return lines, told[0], next(line for line in told if line.startswith("curl"))
    raise SystemExit(f"expected a block that begins with {FOLDER!r} and one with bilstm serve, got none (README)")


class Server:
    """The line that serves, in a process of its own; found by what it says on stderr."""

    def __init__(self, line: str, environment: dict[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            shlex.split(line), env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        for text in self.process.stderr:
            self.said.append(text)
            if found := re.search(r"http://[\w.:]+", text):
                self.address = found[0]
                break
        self.reader = threading.Thread(target=self.said.extend, args=[self.process.stderr], daemon=True)
        self.reader.start()
        if not hasattr(self, "address"):
            self.close()
            raise AssertionError(f"the server ended before it listened: {''.join(self.said)}")
        self._wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes, kind: str) -> list[Any]:
        """The predictions of one request."""
        request = urllib.request.Request(self.address + path, body, {"content-type": kind})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found: list[Any] = json.load(answer)["predictions"]
            return found

    def curl(self, line: str) -> list[Any]:
        """What README's line brings, of this server; done by hand where there is no curl."""
        line = re.sub(r"(http://)?(localhost|127\.0\.0\.1):\d+", self.address, line)
        words = shlex.split(line)
        if shutil.which("curl"):
            found = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
            return list(json.loads(found)["predictions"])
        (url,) = (word for word in words if word.startswith("http"))
        kind = words[words.index("-H") + 1].partition(": ")[2]
        return self.post(url.removeprefix(self.address), words[words.index("-d") + 1].encode(), kind)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.get("/readyz")
                return
            time.sleep(0.1)
        raise AssertionError(f"the server does not get ready: {''.join(self.said)}")


@contextlib.contextmanager
def served(line: str, environment: dict[str, str], folder: Path) -> Iterator[Server]:
    """A server that is ended by SIGTERM, and has to take it well."""
    server = Server(line, environment, folder)
    try:
        yield server
        status = server.end()
        assert status == 0, f"the server ended with status {status}: {''.join(server.said)}"
    finally:
        server.close()


def ask_all(server: Server, folder: Path, line: str) -> dict[str, Any]:
    """One prediction of each model by name: of reviews by README's line, of others by the example that /docs shows."""
    answers: dict[str, Any] = {}
    for path, methods in server.get("/openapi.json")["paths"].items():
        if not path.endswith("/predict"):
            continue
        content = methods["post"]["requestBody"]["content"]
        if path in line:
            (answer,) = server.curl(line)
        elif "application/json" in content:
            example = content["application/json"]["example"]
            (answer,) = server.post(path, json.dumps(example).encode(), "application/json")
        else:  # a form has no example: a file of sound
            assert "multipart/form-data" in content
            (answer,) = server.post(path, *_form(folder / "calls" / "000.wav"))
        answers[path.split("/")[-2]] = answer
    return answers


def _form(sound: Path) -> tuple[bytes, str]:
    """A form with a file in its field `sound`, as browsers send it."""
    edge = "newcomer"
    head = f'--{edge}\r\ncontent-disposition: form-data; name="sound"; filename="{sound.name}"\r\n\r\n'
    return head.encode() + sound.read_bytes() + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def check_answers(answers: dict[str, Any], folder: Path, *, learned: bool) -> None:
    """The answers' shape; of models that were trained to their end also their sense."""
    assert set(answers) == {"houses", "reviews", "names", "sunspots", "calls"}
    price = answers["houses"]["values"]["medv"]
    assert 0 < price < 100 or not learned, price
    review = answers["reviews"]
    assert str(review["label"]) in tuple("12345"), review
    assert abs(sum(review["probabilities"].values()) - 1) < 1e-3
    names = answers["names"]
    assert len(names["words"]) == len(names["tags"]) == len(names["probabilities"]) > 0
    steps = answers["sunspots"]["steps"]
    assert len(steps) == 5
    for step in steps:
        told = step["values"]["sunspots"]
        assert told["low_95"] <= told["low_80"] <= told["value"] <= told["high_80"] <= told["high_95"], step
    with (folder / "calls.csv").open(encoding="utf-8", newline="") as file:
        said = next(csv.DictReader(file))["text"]
    if learned:
        assert str(review["label"]) in ("1", "2"), review  # of "not good at all"
        assert answers["calls"]["text"] == said


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, help="an empty folder to work in, which is kept")
    options.add_argument("--readme", type=Path, default=ROOT / "README.md", help="whose lines are typed")
    options.add_argument("--sources", action="store_true", help="also install the archive of sources in a further one")
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="newcomer-")))
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        visit(folder.resolve(), given.readme.read_text(encoding="utf-8"), given.sources)
        print(
            f"{time.perf_counter() - began:8.1f} s in all: five tasks from file to served prediction, by README alone"
        )


def visit(folder: Path, readme: str, sources: bool) -> None:
    """All of it, with the seconds of each line."""
    environment = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    environment |= {"HOME": str(Path.home()), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    clone, home = folder / "bilstm", folder / "empty"
    home.mkdir()
    typed(f"git clone --quiet {shlex.quote(str(ROOT))} bilstm", environment, folder)
    environment = entered("environment", environment, folder)
    install = re.search(INSTALL, readme)
    typed(install[0] if install else "pip install '.[all]'", environment, clone)
    typed("bilstm doctor", environment, home)
    lines, serve, ask = tasks(readme)
    for line in lines:
        check_figures(line, typed(line, environment, home))
    print(f"\n$ {serve}\n$ {ask}")
    began = time.perf_counter()
    with served(f"{environment['VIRTUAL_ENV']}/bin/{serve}", environment, home) as server:
        answers = ask_all(server, home, ask)
    for name, answer in answers.items():
        print(f"{name}: {json.dumps(answer, ensure_ascii=False)[:240]}")
    check_answers(answers, home, learned=True)
    print(f"{time.perf_counter() - began:8.1f} s until all had answered and the server had ended by SIGTERM")
    if sources:
        install_sources(environment, folder, clone)


def entered(name: str, environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Variables as a fresh virtual environment's `activate` sets them."""
    typed(f"{shlex.quote(sys.executable)} -m venv {name}", environment, folder)
    place = str(folder / name)
    return environment | {"VIRTUAL_ENV": place, "PATH": f"{place}/bin:{environment['PATH']}"}


def typed(line: str, environment: dict[str, str], folder: Path) -> str:
    """Run a line as a shell does, show it with its seconds and the end of what it said; returns its stdout."""
    print(f"\n$ {line}", flush=True)
    began = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", line], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    told = [text for text in (done.stderr + done.stdout).replace("\r", "\n").splitlines() if text.strip()]
    print("\n".join(f"  {text}" for text in told[-14:]))
    print(f"{time.perf_counter() - began:8.1f} s", flush=True)
    if done.returncode:
        raise SystemExit(f"expected status 0, got {done.returncode}\n{done.stderr[-4000:]}")
    return done.stdout


def check_figures(line: str, said: str) -> None:
    """Stop where `evaluate` says that nothing was learned."""
    found = re.match(r"bilstm evaluate (\w+)\.bilstm", line)
    if found and found[1] in SENSE:
        name, holds = SENSE[found[1]]
        figure = re.search(rf"^{name} +([\d.e+-]+)$", said, flags=re.MULTILINE)
        assert figure is not None, said
        assert holds(float(figure[1])), f"{line}: {name} {figure[1]}"


def install_sources(environment: dict[str, str], folder: Path, clone: Path) -> None:
    """The archive of sources, as a release ships it, in a further empty environment; its core has to be compiled."""
    typed("pip install --quiet build", environment, clone)
    typed("python -m build --sdist --outdir ../dist", environment, clone)
    (archive,) = (folder / "dist").glob("bilstm-*.tar.gz")
    other = entered("other", environment, folder)
    typed(f"pip install {shlex.quote(str(archive))}", other, folder)
    said = typed("bilstm doctor", other, folder / "empty")
    assert re.search(r"instruction set", said), said


if __name__ == "__main__":
    main()
