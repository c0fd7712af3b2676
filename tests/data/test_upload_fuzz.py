"""Tables of every kind, altered at random: they are read, or refused in words, within memory in keeping with them."""

from __future__ import annotations

import gzip
import io
import resource
import sys

import numpy as np
import polars as pl
import pytest

from bilstm.data.tables.reader import read_raw
from bilstm.errors import DataError

SEEDS = {
    "a.csv": b'x,y,"z z"\n1,2,"a ""b"" c"\n3,,d\n' * 9,
    "a.jsonl": b'{"x": 1, "y": [1, {"a": "\\"b\\\\"}], "z": null}\n{"x": 2.5, "w": true}\n' * 9,
}
PIECES = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[" * 70,
    b"]",
    b"\n",
    b"\r\n",
    b",",
    b":",
    b"\0",
    b"\xff",
    b"1e999",
    b'"k":',
    b",,,,",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEEDS, "a.csv.gz", "a.jsonl.gz", "a.parquet"])
def test_whatever_is_altered_is_read_or_refused_in_words_with_little_memory(tmp_path, name, capfd):
    generator = np.random.default_rng(0)
    path = tmp_path / name
    before = peak()
    for _ in range(2000):
        path.write_bytes(altered(whole(name), generator))
        try:
            read_raw(path)
        except DataError as error:
            said = str(error)
            assert said.startswith("expected "), said
            assert "Traceback" not in said
    assert peak() - before < 500e6
    assert "".join(capfd.readouterr()) == ""


def whole(name):
    if name == "a.parquet":
        out = io.BytesIO()
        pl.DataFrame({"x": [0.5] * 40, "t": ["a", "ü"] * 20, "l": [["b"], []] * 20}).write_parquet(out)
        return out.getvalue()
    content = SEEDS[name.removesuffix(".gz")]
    return gzip.compress(content) if name.endswith(".gz") else content


def altered(content, generator):
    changed = bytearray(content)
    for _ in range(generator.integers(1, 6)):
        place = int(generator.integers(len(changed) + 1)) % max(len(changed), 1)
        kind = generator.integers(3)
        if kind == 0 and changed:
            changed[place] = generator.integers(256)
        elif kind == 1:
            changed[place:place] = PIECES[generator.integers(len(PIECES))] * int(generator.integers(1, 50))
        else:
            del changed[place : place + int(generator.integers(1, 40))]
    return bytes(changed) or b"x"


def peak():
    """Bytes, at most so far, of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
