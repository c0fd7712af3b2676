"""Does anything that is sent, loaded or played bring an error that nobody foresaw? Damaged bodies, models and sounds.

    python benchmarks/fuzz_server.py [--count 10000] [--seed 0]

Of each kind, good ones are damaged at random by fixed seeds: bytes changed, cut, doubled, swapped; values replaced by
others. Requests must be answered 200, 400, 413, 415 or 422, models raise ModelFileError, sounds DataError, or all is
well. Anything else ends the run with what was sent, kept beside it in a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from tests.server.asgi import acall  # noqa: E402
from tests.server.made import rows_of, sound_file, write_models  # noqa: E402
from tests.speech import RATE  # noqa: E402

from bilstm import load  # noqa: E402
from bilstm.data.sound.reader import read_sound  # noqa: E402
from bilstm.errors import DataError, ModelFileError  # noqa: E402
from bilstm.server.app import create_app  # noqa: E402
from bilstm.server.models import Models  # noqa: E402
from bilstm.server.settings import Settings  # noqa: E402

EXPECTED = {200, 400, 413, 415, 422}
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    -1e-320,
    2**63,
    "",
    "x" * 2000,
    "\x00",
    "𝕏\u202e",
    [],
    {},
    [[]],
    [None],
    {"": 1},
]
KINDS = ("application/json", "text/plain", "audio/wav", "multipart/form-data; boundary=x", "application/octet-stream")
Draw = np.random.Generator


def damaged(content: bytes, draw: Draw) -> bytes:
    """Bytes with one to four faults."""
    found = bytearray(content)
    for _ in range(draw.integers(1, 5)):
        place = int(draw.integers(len(found) + 1))
        match draw.integers(5):
            case 0:
                found[place : place + 1] = bytes([draw.integers(256)])
            case 1:
                del found[place:]
            case 2:
                del found[place : place + int(draw.integers(1, 40))]
            case 3:
                found[place:place] = found[: int(draw.integers(1, 40))]
            case _:
                found[place : place + 4] = draw.bytes(4)
    return bytes(found)


def odd(value: Any, draw: Draw) -> Any:
    """A JSON value with one of its parts replaced by another."""
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = int(draw.integers(len(value)))
        return [odd(part, draw) if n == place else part for n, part in enumerate(value)]
    if isinstance(value, dict) and value and draw.random() < 0.8:
        name = sorted(value)[int(draw.integers(len(value)))]
        kept = {key: part for key, part in value.items() if key != name}
        return kept if draw.random() < 0.2 else kept | {name: odd(value[name], draw)}
    return ODD[int(draw.integers(len(ODD)))]


def bodies(paths: dict[str, Path], count: int, seed: int) -> Counter[str]:
    """Requests that are damaged as bytes or as values; how many were answered with which status."""
    settings = Settings(page=False, body=10**6)
    models = Models(paths, settings)
    app = create_app(models, settings)
    names = models.names()

    async def send() -> Counter[str]:
        found: Counter[str] = Counter()
        for n in range(count):
            draw = np.random.default_rng([seed, n])
            name = names[n % len(names)]
            kind = "audio/wav" if name == "digits" else KINDS[0]
            rows = rows_of(name, 2, seed=n % 50)
            if name == "digits":
                body = damaged(rows[0], draw)
            elif draw.random() < 0.5:
                body = json.dumps({"rows": odd(rows, draw)} if draw.random() < 0.9 else odd(rows, draw)).encode()
            else:
                body = damaged(json.dumps({"rows": rows}, ensure_ascii=False).encode(), draw)
            if draw.random() < 0.05:
                kind = KINDS[int(draw.integers(len(KINDS)))]
            answer = await acall(app, "POST", f"/v1/models/{name}/predict", body, content_type=kind)
            if answer.status not in EXPECTED:
                keep(body, f"{name}: {answer.status} {answer.body[:300]!r}")
            if answer.status != 200:
                assert answer.error["message"]
            found[str(answer.status)] += 1
        return found

    try:
        return asyncio.run(send())
    finally:
        models.close(10)


def model_files(paths: dict[str, Path], count: int, seed: int) -> Counter[str]:
    """Model files that are damaged, most of them in their headers; how many loaded and how many were refused."""
    good = [path.read_bytes() for path in paths.values()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.bilstm"

        def one(n: int) -> None:
            draw = np.random.default_rng([seed, n])
            whole = good[n % len(good)]
            head = 8 + int.from_bytes(whole[:8], "little")
            is_head = draw.random() < 0.8
            file.write_bytes(damaged(whole[:head], draw) + whole[head:] if is_head else damaged(whole, draw))
            load(file)

        return tried(one, count, ModelFileError, file.read_bytes)


def sounds(count: int, seed: int) -> Counter[str]:
    """Sound files that are damaged; how many were read and how many were refused."""
    good = [sound_file(0.1, kind=kind) for kind in ("wav", "flac", "ogg", "aiff", "mp3")]
    last = b""

    def one(n: int) -> None:
        nonlocal last
        draw = np.random.default_rng([seed, n])
        whole = good[n % len(good)]
        last = damaged(whole[:200], draw) + whole[200:] if draw.random() < 0.5 else damaged(whole, draw)
        read_sound(last, RATE)

    return tried(one, count, DataError, lambda: last)


def tried(
    one: Callable[[int], None], count: int, refusal: type[Exception], content: Callable[[], bytes]
) -> Counter[str]:
    """How often the work was done and how often it was refused; any other error ends the run."""
    found: Counter[str] = Counter()
    for n in range(count):
        try:
            one(n)
            found["fine"] += 1
        except refusal:
            found[refusal.__name__] += 1
        except Exception as error:
            keep(content(), f"{type(error).__name__}: {error}")
    return found


def keep(content: bytes, what: str) -> None:
    """Write down what was not foreseen, and stop."""
    file = Path(tempfile.gettempdir()) / "fuzz_server.bin"
    file.write_bytes(content)
    raise AssertionError(f"{what} (kept in {file})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_models(Path(folder))
        print("sounds", dict(sounds(options.count, options.seed)), flush=True)
        print("models", dict(model_files(paths, options.count, options.seed)), flush=True)
        print("bodies", dict(bodies(paths, options.count, options.seed)), flush=True)


if __name__ == "__main__":
    main()
