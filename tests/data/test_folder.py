"""A folder gives what its files give the readers of whole files, in pieces; its mistakes are told with their place."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm import read_folder, read_sentences, read_table, read_texts
from bilstm.data.dataset import joined
from bilstm.data.source import Source
from bilstm.data.tables import chunks, folder
from bilstm.data.tables.chunks import first_end, whole_records
from bilstm.data.text.reader import from_texts
from bilstm.errors import DataError, DataWarning, ParameterError
from tests.compare import assert_close


def table(rows, seed=0):
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "id": [f"s{row // 3}" for row in range(rows)],
            "t": [3 - row % 3 for row in range(rows)],
            "x": draw.normal(size=rows).round(6),
            "gaps": pl.Series(draw.integers(0, 9, rows)).set(pl.Series(draw.random(rows) < 0.2), None),
            "town": [["a", "b, c", 'quoted "d"', "two\nlines"][n] for n in draw.integers(0, 4, rows)],
        }
    )
    return frame.with_columns(y=pl.col("id").str.slice(1).cast(pl.Int64) % 5)


WRITERS = {
    "parquet": lambda frame, path: frame.write_parquet(path, row_group_size=20),
    "csv": lambda frame, path: frame.write_csv(path),
    "jsonl": lambda frame, path: frame.write_ndjson(path),
    "csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
}


@pytest.fixture(params=WRITERS)
def files(request, tmp_path, monkeypatch):
    """A folder of three files whose pieces have a few rows; and the table as one file."""
    monkeypatch.setattr(folder, "PIECE", 1000)
    monkeypatch.setattr(folder, "LANGUAGE_PIECE", 1000)
    whole = table(180)
    (tmp_path / "parts" / "b").mkdir(parents=True)
    for number, place in enumerate(["a1", "a2", "b/1"]):
        WRITERS[request.param](whole[60 * number :][:60], tmp_path / "parts" / f"{place}.{request.param}")
    (tmp_path / "parts" / "_SUCCESS").write_text("")
    (tmp_path / "parts" / ".hidden.csv").write_text("no,table\n")
    WRITERS[request.param](whole, tmp_path / f"whole.{request.param}")
    return tmp_path / "parts", tmp_path / f"whole.{request.param}"


def assert_same_data(found, expected):
    assert found.fingerprint() == expected.fingerprint()
    assert found.steps.schema == expected.steps.schema
    assert found.read_with == expected.read_with
    assert (found.ids is None) == (expected.ids is None)
    if found.ids is not None:
        assert found.ids.to_list() == expected.ids.to_list()


def test_the_rows_of_a_folder_are_those_of_its_files(files):
    parts, whole = files
    stream = read_folder(parts, target="y", drop=["id", "t"])
    pieces = list(stream.pieces())
    assert len(pieces) > 6
    assert_same_data(joined(pieces), read_table(whole, target="y", drop=["id", "t"]))


def test_no_sequence_of_a_long_table_is_torn(files):
    parts, whole = files
    pieces = list(read_folder(parts, target="y", group="id", order="t").pieces())
    assert len(pieces) > 6
    assert_same_data(joined(pieces), read_table(whole, target="y", group="id", order="t"))


def test_texts_of_a_folder_are_those_of_its_files(files):
    parts, whole = files
    found = joined(list(read_folder(parts, text="town", target="y").pieces()))
    expected = read_texts(whole, text="town", target="y")
    assert_same_data(found, expected)
    assert found.texts.to_list() == expected.texts.to_list()


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_tagged_sentences_of_a_folder_are_those_of_its_files(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "LANGUAGE_PIECE", 500)
    frame = pl.DataFrame({"words": [["Ann", f"no{n}"] for n in range(90)], "ner": [["B-PER", "O"]] * 90})
    (tmp_path / "parts").mkdir()
    for number in range(3):
        WRITERS[kind](frame[30 * number :][:30], tmp_path / "parts" / f"{number}.{kind}")
    WRITERS[kind](frame, tmp_path / f"whole.{kind}")
    pieces = list(read_folder(tmp_path / "parts", tag="ner").pieces())
    assert len(pieces) > 3
    assert_same_data(joined(pieces), read_sentences(tmp_path / f"whole.{kind}", tag="ner"))


def test_several_labels_a_text_come_as_lists(tmp_path):
    frame = pl.DataFrame({"text": ["a b", "c"] * 4, "labels": [["x", "y"], []] * 4})
    frame.write_parquet(tmp_path / "a.parquet")
    found = joined(list(read_folder(tmp_path, text="text", target="labels").pieces()))
    assert found.targets["labels"].to_list() == frame["labels"].to_list()


def test_one_row_group_as_large_as_the_file_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PIECE", 2000)
    frame = table(500).drop("id", "t", "town")
    frame.write_parquet(tmp_path / "a.parquet")
    stream = read_folder(tmp_path, target="y")
    pieces = list(stream.pieces(seed=1))
    assert len(stream.shards) == 1
    assert max(map(len, pieces)) <= 2000 // 8 // frame.width
    assert_same_data(joined(pieces), read_table(tmp_path / "a.parquet", target="y"))


records = st.lists(st.lists(st.sampled_from(["", "1", "a,b", "x\ny", 'q"q', "\r\n", '"']), min_size=2, max_size=2))


@given(records, st.integers(1, 40))
def test_records_are_cut_only_where_they_end(rows, size):
    text = pl.DataFrame({"a": [row[0] for row in rows], "b": [row[1] for row in rows]}, schema={"a": str, "b": str})
    whole = text.write_csv(quote_style="always").encode()
    parts = list(whole_records(io.BytesIO(whole), Path("t.csv"), size))
    assert b"".join(parts) == whole
    assert all(part.count(b'"') % 2 == 0 for part in parts)
    assert all(part.endswith(b"\n") for part in parts)
    assert whole[: first_end(whole)] == b'"a","b"\n'


def test_a_quote_that_never_closes_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(chunks, "LONGEST_RECORD", 100)
    with pytest.raises(DataError, match=r"expected records of at most .* got a longer one \(t.csv\)"):
        list(whole_records(io.BytesIO(b'a,b\n1,"x\n' + b"2,y\n" * 100), Path("t.csv"), 8))


def write(tmp_path, **texts):
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "texts", "message"),
    [
        ({}, {"a": "x,y\n1,2\n", "b": "x,y\n3,4\n5,oops\n"}, r"column 'y', got 'oops' \(.*b.csv, line 3\)"),
        ({}, {"a": "x,y\n1,2\n", "b": "x,z\n3,4\n"}, r"expected a column 'y', got none \(.*b.csv\)"),
        ({}, {"a": "x,y\n1,2\n", "b": "x,y\n3,\n"}, r"value of target 'y' .* got a missing one \(.*b.csv, line 2\)"),
        ({}, {"a": "x,y\n1,2\n", "b": "x,y,x\n3,1,2\n"}, r"different column names, got 'x' twice \(.*b.csv, line 1\)"),
        ({}, {"a": "x,y\n", "b": "x,y\n"}, "expected rows below the header, got none in any file"),
        ({"drop": ["w"]}, {"a": "x,y\n1,2\n"}, "expected a column 'w', got none"),
        ({"order": "x"}, {"a": "x,y\n1,2\n"}, "expected --group beside --order x, got none"),
        (
            {"group": "x"},
            {"a": "x,v,y\np,1,2\nq,1,2\np,3,2\nr,1,2\n"},
            r"rows of a sequence next to each other, got x 'p' again after others \(.*a.csv\)",
        ),
        (
            {"text": "x"},
            {"a": "x,y\ngood,1\n", "b": "x,y\nfine,\n"},
            r"target 'y' in every row, got a missing one \(.*b.csv, line 2\)",
        ),
    ],
)
def test_mistakes_name_the_file_and_the_place(tmp_path, options, texts, message):
    with pytest.raises(DataError, match=message):
        list(read_folder(write(tmp_path, **texts), target="y", **options).pieces())


def test_a_mistake_far_down_in_a_file_names_its_own_row(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PIECE", 2000)
    frame = pl.DataFrame({"x": np.arange(1000.0), "y": np.arange(1000.0)})
    frame[777, "x"] = np.inf
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=100)
    with pytest.raises(DataError, match=r"finite numbers in column 'x', got infinity \(.*a.parquet, row 777\)"):
        list(read_folder(tmp_path, target="y").pieces())
    (tmp_path / "a.parquet").unlink()
    lines = ["x,y", *(f"{row},{row}" for row in range(1000))]
    lines[778] = "many,777"
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"got 'many' \(.*a.csv, line 779\)"):
        list(read_folder(tmp_path, target="y").pieces())


def test_a_file_with_other_types_is_named(tmp_path):
    pl.DataFrame({"x": [1.0], "y": [1]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": ["1.0"], "y": [1]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"expected numbers in column 'x' as in .*a.parquet, got text \(.*b.parquet\)"):
        read_folder(tmp_path, target="y")


def test_an_order_of_text_is_warned_of_once(tmp_path):
    rows = "g,t,x,y\na,step 10,1,1\na,step 2,2,1\n"
    write(tmp_path, a=rows, b=rows.replace("a,", "b,"))
    with pytest.warns(DataWarning, match="column 't' orders rows as text"):
        stream = read_folder(tmp_path, target="y", group="g", order="t")
    assert len(list(stream.pieces())) == 2  # without a further warning, which would be an error


def test_a_sequence_that_is_too_long_to_be_held_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PIECE", 2000)
    monkeypatch.setattr(chunks, "PIECE", 2000)
    rows = "".join(f"a,{row}.5,1\n" for row in range(5000))
    with pytest.raises(DataError, match=r"sequences that fit into memory, got one of more than .* rows \(.*, g a\)"):
        list(read_folder(write(tmp_path, a=f"g,x,y\n{rows}"), target="y", group="g").pieces())


def test_folders_without_tables_and_mixed_ones_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected Parquet, CSV or JSON lines files, got none"):
        read_folder(tmp_path, target="y")
    write(tmp_path, a="x,y\n1,2\n")
    (tmp_path / "b.jsonl").write_text('{"x": 1, "y": 2}\n')
    with pytest.raises(DataError, match=r"expected files of one kind, got a\.csv and b\.jsonl"):
        read_folder(tmp_path, target="y")
    with pytest.raises(ParameterError, match="expected one target beside a column of texts, got 2"):
        read_folder(tmp_path / "*.csv", target=["x", "y"], text="x")


def test_a_damaged_parquet_file_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(DataError, match=r"expected a table, got .* \(.*a.parquet\)"):
        read_folder(tmp_path, target="y")


def test_a_pattern_and_a_single_file_are_folders_too(tmp_path):
    write(tmp_path, a1="x,y\n1,2\n", a2="x,y\n3,4\n", b="x,y\n5,6\n")
    values = [
        joined(list(read_folder(place, target="y").pieces())).target_values.tolist()
        for place in (tmp_path / "a*.csv", tmp_path / "b.csv")
    ]
    assert values == [[2, 4], [6]]


def test_the_digest_tells_other_files_and_other_options(tmp_path):
    write(tmp_path, a="x,z,y\n1,5,2\n", b="x,z,y\n3,5,4\n")
    digests = [read_folder(tmp_path, target="y").digest for _ in range(2)]
    assert digests[0] == digests[1]
    digests += [read_folder(tmp_path, target="y", drop=["z"]).digest, read_folder(tmp_path, target="x").digest]
    (tmp_path / "b.csv").write_text("x,z,y\n3,5,7\n")
    digests.append(read_folder(tmp_path, target="y").digest)
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    digests.append(read_folder(tmp_path, target="y").digest)
    assert len(set(digests)) == len(digests) - 1


def test_numbers_that_are_names_are_read_as_names(tmp_path):
    write(tmp_path, a="x,zip,y\n1,007,2\n", b="x,zip,y\n1,12,2\n")
    stream = read_folder(tmp_path, target="y", kinds={"zip": "category"})
    assert joined(list(stream.pieces())).steps["zip"].to_list() == ["007", "12"]
    assert stream.kinds == {"x": "number", "zip": "category", "y": "number"}


def test_texts_in_pieces_name_their_row():
    with pytest.raises(DataError, match=r"expected text, got 3 \(t.csv, row 101\)"):
        from_texts(["a", 3], source=Source("t.csv", first=100))


def test_numbers_are_read_as_they_stand(tmp_path):
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=50).astype(np.float32), "y": np.arange(50)})
    frame.write_parquet(tmp_path / "a.parquet")
    found = joined(list(read_folder(tmp_path, target="y").pieces()))
    assert_close(found.steps["x"].to_numpy(), frame["x"].to_numpy().astype(np.float64))
