"""What programs rely on, written down: options of every command, keys of every `--json`, the HTTP API, public names.

    python tests/surface.py --command .venv/bin/bilstm > after.json
    python tests/surface.py --compare before.json after.json

Before a release the two versions are written down and compared: what only the first one has is gone, and is an error.
Knows the command line and nothing of the package, so that any version can be asked; takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

TASKS = {
    "regressor": ("houses.csv --target medv", "new_houses.csv"),
    "classifier": ("reviews.csv --text review --target stars", "new_reviews.csv"),
    "tagger": ("train.conll", "dev.conll"),
    "forecaster": ("sunspots.csv --time year --target sunspots --history 20 --horizon 5", "more_sunspots.csv"),
    "transcriber": ("calls.csv --group bird", "new_calls.csv"),
}


def surface(command: str) -> dict[str, Any]:
    """Everything by name; each entry is sorted, so that two versions can be compared as text."""
    python = str(Path(command).absolute().parent / "python")
    return {
        "options": options(command),
        "names": {module: names(python, module) for module in ("bilstm", "bilstm.nn")},
        **of_models(str(Path(command).absolute())),
    }


def options(command: str) -> dict[str, list[str]]:
    """The options of each command and of each task's `fit` and `tune`, from their help."""
    found = {}
    listed = re.findall(r"^  ([a-z]+)\s", run(command, "--help").partition("Commands:")[2], flags=re.MULTILINE)
    for words in [[name] for name in listed] + [[name, task] for name in ("fit", "tune") for task in TASKS]:
        found[" ".join(words)] = sorted(
            set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", _options(run(command, *words, "--help"))))
        )
    return found


def _options(text: str) -> str:
    """The part of a help text that lists options, without their descriptions."""
    listed = text.partition("Options:")[2]
    return "\n".join(
        re.split(r"\s{2,}(?=[A-Z\[(])", line.strip())[0] for line in listed.splitlines() if re.match(r"\s{1,4}-", line)
    )


def names(python: str, module: str) -> list[str]:
    return json.loads(run(python, "-c", f"import json, {module} as m; print(json.dumps(sorted(m.__all__)))"))


def of_models(command: str) -> dict[str, Any]:
    """Keys of what `evaluate --json` and `tune --json` print, and the API of a server with a model of each task."""
    with tempfile.TemporaryDirectory() as folder:
        run(command, "demo", "data", "-o", ".", cwd=folder)
        figures: dict[str, Any] = {}
        for task, (data, new) in TASKS.items():
            run(command, "fit", task, *data.split(), "-o", f"{task}.bilstm", "--max-epochs", "1", cwd=folder)
            said = run(command, "evaluate", f"{task}.bilstm", new, "--json", cwd=folder)
            figures[f"evaluate {task}"] = sorted(json.loads(said))
        folds = run(command, "evaluate", "forecaster.bilstm", "sunspots.csv", "--folds", "2", "--json", cwd=folder)
        figures["evaluate forecaster --folds"] = sorted(json.loads(folds))
        words = "--trials 1 --max-epochs 1 --json -o tuned.bilstm"
        said = run(command, "tune", "regressor", *TASKS["regressor"][0].split(), *words.split(), cwd=folder)
        figures["tune regressor"] = sorted(json.loads(said))
        return {"json": figures, "http": api(command, folder)}


def api(command: str, folder: str) -> Any:
    """What `/openapi.json` says, without its texts for people."""
    files = [f"{task}.bilstm" for task in TASKS]
    server = subprocess.Popen([command, "serve", *files, "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if address := re.search(r"http://[\w.:]+", line):
                break
        else:
            raise AssertionError("the server ended before it listened")
        with urllib.request.urlopen(f"{address[0]}/openapi.json", timeout=120) as answer:
            return without_prose(json.load(answer))
    finally:
        server.terminate()
        server.communicate()


def without_prose(value: Any) -> Any:
    """A schema without titles, descriptions and examples."""
    if isinstance(value, dict):
        prose = ("title", "description", "summary", "example", "examples", "version")
        return {k: without_prose(v) for k, v in sorted(value.items()) if k not in prose or isinstance(v, dict)}
    return [without_prose(v) for v in value] if isinstance(value, list) else value


def run(*words: str, cwd: str | None = None) -> str:
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """What the second lacks or says otherwise, a line each; what it adds is told with a plus."""
    if isinstance(before, dict) and isinstance(after, dict):
        lines = [f"- {where}/{key}" for key in before.keys() - after.keys()]
        lines += [f"+ {where}/{key}" for key in after.keys() - before.keys()]
        return lines + [
            line
            for key in before.keys() & after.keys()
            for line in differences(before[key], after[key], f"{where}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and all(isinstance(v, str) for v in before + after):
        return [f"- {where}: {v}" for v in before if v not in after] + [
            f"+ {where}: {v}" for v in after if v not in before
        ]
    return [] if before == after else [f"- {where}: {before!r} has become {after!r}"[:300]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="bilstm", help="the program to write down")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="FILE", help="two of these, the older one first")
    arguments = parser.parse_args()
    if arguments.compare is None:
        print(json.dumps(surface(arguments.command), indent=1, sort_keys=True))
        return
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in arguments.compare)
    lines = sorted(differences(before, after))
    print("\n".join(lines) or "the same")
    sys.exit(any(line.startswith("-") for line in lines))


if __name__ == "__main__":
    main()
