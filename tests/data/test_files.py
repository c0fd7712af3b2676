"""Files that are damaged where they are packed: every reader says so in words."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest

from bilstm.data.dataset import Dataset
from bilstm.data.source import Source
from bilstm.data.tables.folder import read_folder
from bilstm.data.tables.reader import read_raw
from bilstm.data.text.arpa import read_arpa
from bilstm.data.text.conll import read_conll
from bilstm.data.text.encoder import read_vectors
from bilstm.errors import DataError

READERS = {
    "table.csv.gz": read_raw,
    "table.jsonl.gz": read_raw,
    "part.csv.gz": lambda path: list(read_folder(path, target="y").pieces()),
    "part.jsonl.gz": lambda path: list(read_folder(path, target="y").pieces()),
    "vectors.txt.gz": lambda path: read_vectors(path, {"a"}),
    "tags.conll.gz": read_conll,
    "model.arpa.gz": read_arpa,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("end", [40, None], ids=["cut", "altered"])
def test_a_damaged_packed_file_is_an_error_in_words(tmp_path, name, end):
    numbers = np.random.default_rng(0).integers(0, 10, (500, 2))
    text = "x,y\n" + "".join(f"{x},{y}\n" for x, y in numbers)
    packed = bytearray(gzip.compress(text.encode()))[:end]
    packed[20:30] = b"\xff" * 10
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(DataError, match=rf"^expected .*, got .*{name}"):
        READERS[name](tmp_path / name)


def test_a_source_is_called_by_its_path_in_messages_and_by_its_name_elsewhere(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('x,y\n1,"two\nlines"\n2,b\n')
    source = Source.of_file(path, first=1)
    assert (str(source), source.name, source.path) == (str(path), "a.csv", path)
    assert source.at(0) == f"{path}, line 4"


def test_a_caller_may_call_data_by_a_text():
    frame = pl.DataFrame({"x": [1.0]})
    assert str(Dataset(frame, np.ones(1), source="mine").source) == "mine"
    assert str(Dataset(frame, np.ones(1)).source) == "X"
