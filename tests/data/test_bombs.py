"""Small files that would take much memory, and damaged ones of which a parser would die: refused in words."""

from __future__ import annotations

import contextlib
import gzip
import resource

import numpy as np
import polars as pl
import pytest

from bilstm.data.sound.reader import read_sound
from bilstm.data.source import open_bytes
from bilstm.data.tables.folder import read_folder
from bilstm.data.tables.reader import read_raw
from bilstm.data.text.conll import read_conll
from bilstm.errors import DataError


def header(count):
    return ",".join(f"column {number}" for number in range(count))


BOMBS = {
    "names.jsonl": lambda: "".join(f'{{"name {n}": {n}}}\n' for n in range(9000)),
    "inner.jsonl": lambda: '{"a": [' + ",".join(f'{{"name {n}": 1}}' for n in range(4000)) + "]}",
    "escaped.jsonl": lambda: "".join(f'{{"\\"{n}\\\\": "\\""}}\n' for n in range(9000)),
    "short.csv": lambda: header(9000) + "\n" + "1\n" * 9000,
    "wide.csv": lambda: header(200_000) + "\n",
    "deep.jsonl": lambda: '{"a": ' * 900 + "1" + "}" * 900,
    "lists.jsonl": lambda: '{"a": ' + "[" * 300 + "]" * 300 + "}",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("read", [read_raw, lambda path: list(read_folder(path, target="y").pieces())])
def test_a_table_that_would_be_far_larger_than_its_file_is_refused(tmp_path, name, read):
    (tmp_path / name).write_text(BOMBS[name]())
    before = peak()
    with pytest.raises(DataError, match=rf"^expected .*(cells|columns|deep).*, got .*{name}"):
        read(tmp_path / name)
    assert peak() - before < 300e6


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.csv.gz", read_raw),
        ("a.jsonl.gz", read_raw),
        ("a.conll.gz", read_conll),
        ("a", lambda path: open_bytes(path).read()),
    ],
)
def test_a_packed_file_that_unpacks_a_thousandfold_is_refused(tmp_path, name, read):
    (tmp_path / name).write_bytes(gzip.compress(b"1 2,3\n" * 30_000_000, compresslevel=1))
    with pytest.raises(
        DataError, match=rf"at most .* bytes in a packed file of .*, got more \(.*{name}\)\nhint: .*unpack"
    ):
        read(tmp_path / name)


def test_what_is_packed_as_files_are_is_read(tmp_path):
    content = np.random.default_rng(0).integers(0, 9, 30_000).astype(str)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(("x\n" + "\n".join(content)).encode()))
    assert read_raw(tmp_path / "a.csv.gz")["x"].to_list() == content.tolist()
    with open_bytes(tmp_path / "a.csv.gz") as file:
        assert file.readline() == b"x\n"


REPEATED = {
    "numbers": lambda: {"x": pl.repeat(1.0, 30_000_000, eager=True)},
    "texts": lambda: {"x": pl.repeat("long " * 10_000, 5000, eager=True)},
    "items": lambda: {"x": pl.Series([pl.repeat(1, 25_000_000, eager=True)])},
    "words": lambda: {"x": pl.Series([pl.repeat("long " * 10_000, 5000, eager=True)])},
}


@pytest.mark.parametrize("kind", REPEATED)
def test_parquet_that_stands_for_a_thousandfold_is_refused(tmp_path, kind):
    pl.DataFrame(REPEATED[kind]()).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"^expected at most .*, got .*a\.parquet"):
        read_raw(tmp_path / "a.parquet")


def test_parquet_is_read_as_it_was_written(tmp_path):
    frame = pl.DataFrame(
        {
            "text": ["one", "two", None, "one"],
            "words": [["a", "b"], [], None, ["a"]],
            "inner": [{"p": "q", "r": 1}] * 4,
            "whole": [1, 2, 3, None],
            "true": [True, False, None, True],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=3)
    assert read_raw(tmp_path / "a.parquet").equals(frame)
    frame.with_columns(pl.col("text").cast(pl.Categorical)).write_parquet(tmp_path / "b.parquet")
    assert read_raw(tmp_path / "b.parquet").equals(frame)


def test_damaged_parquet_is_an_error_in_words_wherever_the_damage_is(tmp_path, capfd):
    frame = pl.DataFrame({"x": [0.5, 1.5] * 40, "t": ["a", "ü"] * 40, "l": [["b"], []] * 40})
    frame.write_parquet(tmp_path / "whole.parquet")
    whole, generator = (tmp_path / "whole.parquet").read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(4, len(whole), 3)] = generator.integers(0, 256, 3)
        (tmp_path / "a.parquet").write_bytes(damaged.tobytes())
        with contextlib.suppress(DataError):
            read_raw(tmp_path / "a.parquet")
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    "head", [b"\xf0\x7e\x00\x01" + b"\x55" * 60, b".snd" + b"\0" * 60, b"caff" + b"\0" * 60, b"riff" + b"\0" * 60]
)
@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\0\x05-----"])
def test_a_sound_of_a_format_that_was_not_promised_is_not_opened(capfd, head, tag):
    with pytest.raises(DataError, match="got a file that is none: another format"):
        read_sound(tag + head, 16_000)
    assert "".join(capfd.readouterr()) == ""


def peak():
    """Bytes, at most so far, of this process."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
