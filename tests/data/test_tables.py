"""Reading files: what is understood, and how each kind of bad file is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.source import line_of_row
from bilstm.data.tables.reader import read_table
from bilstm.errors import DataError, DataWarning
from tests.compare import assert_close

FILE = "table.csv"
HOUSES = "rooms,town,price\n4,a,10\n6,b,20\n,a,30\n"


def test_a_table_is_sequences_of_one_step(write):
    data = read_table(write(HOUSES), target="price")
    assert (len(data), data.is_table, data.feature_names, data.target_names) == (3, True, ["rooms", "town"], ["price"])
    assert data.steps["rooms"].to_list() == [4.0, 6.0, None]
    assert data.steps["town"].to_list() == ["a", "b", "a"]
    assert_close(data.target_values, np.array([10, 20, 30]))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(write, separator):
    data = read_table(write(HOUSES.replace(",", separator)), target="price")
    assert data.feature_names == ["rooms", "town"]


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", "?", " "])
def test_words_for_missing_are_missing(write, word):
    data = read_table(write(f"x,y\n1,1\n{word},2\n3,3\n"), target="y")
    assert data.steps["x"].to_list() == [1.0, None, 3.0]


def test_packed_json_lines_are_read_as_plain_ones_are(write):
    text = b'{"x": 1, "y": 2.5}\n{"x": 3, "y": 4.5}\n'
    packed = read_table(write(gzip.compress(text), "table.jsonl.gz"), target="y")
    assert packed.fingerprint() == read_table(write(text, "table.jsonl"), target="y").fingerprint()


def test_a_byte_order_mark_blank_lines_and_gzip_are_no_obstacle(write):
    text = b"\xef\xbb\xbfx,y\n1,1\n\n2,2\n\n"
    plain = read_table(write(text), target="y")
    packed = read_table(write(gzip.compress(text), "table.csv.gz"), target="y")
    assert plain.feature_names == packed.feature_names == ["x"]
    assert len(plain) == len(packed) == 2


def test_parquet_and_csv_of_one_frame_are_one_dataset(tmp_path):
    frame = pl.DataFrame({"x": [1.5, None, 3.0], "town": ["a", "b", None], "y": [1, 2, 3]})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    a, b = (read_table(tmp_path / f"t.{kind}", target="y") for kind in ("parquet", "csv"))
    assert a.steps.equals(b.steps)
    assert a.fingerprint() == b.fingerprint()


def test_a_column_of_numbers_can_be_read_as_names(write):
    data = read_table(write("zip,y\n10115,1\n20095,2\n"), target="y", kinds={"zip": "category"})
    assert data.steps["zip"].to_list() == ["10115", "20095"]


def test_rows_are_grouped_into_sequences_and_ordered(write):
    text = "who,when,x,y\nb,2,22,1\na,1,11,0\nb,1,21,1\na,2,12,0\nb,3,23,1\n"
    data = read_table(write(text), target="y", group="who", order="when")
    assert data.ids.to_list() == ["b", "a"]
    assert [s.ravel().tolist() for s in data.sequences] == [[21.0, 22.0, 23.0], [11.0, 12.0]]
    assert_close(data.target_values, np.array([1, 0]))
    assert data.read_with == {"group": "who", "order": "when"}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_grouping_keeps_every_row_once_in_its_group_and_order(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("groups") / "t.csv"
    pd.DataFrame({"g": groups, "x": range(len(groups)), "y": groups}).to_csv(path, index=False)
    data = read_table(path, target="y", group="g")
    expected = {}
    for row, name in enumerate(groups):
        expected.setdefault(str(name), []).append(float(row))
    assert data.ids.to_list() == list(expected)
    assert [s.ravel().tolist() for s in data.sequences] == list(expected.values())


def test_names_of_groups_are_never_numbers(write):
    rows = [f"{20240101000000000 + n},{n},1\n" for n in range(8)] + ["001,9,1\n", "1,10,1\n"]
    data = read_table(write("id,x,y\n" + "".join(rows)), target="y", group="id")
    assert data.ids.to_list() == [row.split(",")[0] for row in rows]


def test_true_and_false_are_numbers_as_features_and_names_as_targets(tmp_path):
    frame = pl.DataFrame({"x": [True, False, None], "y": [False, True, True]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    for kind in ("csv", "parquet"):
        data = read_table(tmp_path / f"t.{kind}", target="y")
        assert data.steps["x"].to_list() == [1.0, 0.0, None]
        assert data.target_values.tolist() == ["false", "true", "true"]


def test_a_column_of_whole_numbers_with_a_gap_keeps_its_names(tmp_path):
    pl.DataFrame({"c": [3, None, 7], "y": [1, 2, 3]}).write_parquet(tmp_path / "t.parquet")
    data = read_table(tmp_path / "t.parquet", target="y", kinds={"c": "category"})
    assert data.steps["c"].to_list() == ["3", None, "7"]


def test_none_is_a_word_and_no_gap(write):
    data = read_table(write("x,mood\n1,none\n2,good\n"), target="mood")
    assert data.target_values.tolist() == ["none", "good"]


def test_an_order_of_text_is_warned_of_unless_it_is_of_dates(write):
    path = write("g,t,x,y\na,step 10,1,1\na,step 2,2,1\n")
    with pytest.warns(DataWarning, match="column 't' orders rows as text"):
        read_table(path, target="y", group="g", order="t")
    dates = write("g,t,x,y\na,2024-01-10,1,1\na,2024-01-02,2,1\n")
    assert read_table(dates, target="y", group="g", order="t").steps["x"].to_list() == [2.0, 1.0]


BAD = {
    "an empty file": ("", {}, "expected a table, got an empty file"),
    "a header alone": ("x,y\n", {}, "expected rows below the header, got none"),
    "a wrong target": ("x,prise\n1,2\n", {"target": "price"}, "did you mean 'prise'?"),
    "text among numbers": ("x,y\n1,1\n2,2\nabc,3\n4,4\n", {"target": "y"}, "got 'abc' (PATH, line 4)"),
    "infinity": (
        "x,y\n1,1\ninf,2\n",
        {"target": "y"},
        "expected a finite number in column 'x', got 'inf' (PATH, line 3)",
    ),
    "a decimal comma": ("x;y\n1;1\n2;1\n3,5;2\n", {"target": "y"}, "hint: write decimals with a point"),
    "nothing but decimal commas": ("x;y\n1,5;1\n2,5;1\n", {"target": "y"}, "hint: write decimals with a point"),
    "a target twice": ("x,y\n1,2\n", {"target": ["y", "y"]}, "expected different targets, got 'y', 'y'"),
    "a category that is none": ("x,y\n1,2\n", {"kinds": {"z": "category"}}, "expected a column 'z', got none"),
    "a row without order": ("g,t,x,y\na,1,1,1\na,,2,1\n", {"group": "g", "order": "t"}, "expected a value of 't'"),
    "a name twice": ("x,x,y\n1,2,3\n", {"target": "y"}, "expected different column names, got 'x' twice"),
    "a long line": ("x,y\n1,2\n1,2,3\n", {"target": "y"}, "more fields on line 3 than in the header"),
    "another encoding": (b"x,y\n\xe9,2\n", {"target": "y"}, "bytes that are not UTF-8"),
    "no features": ("y\n1\n2\n", {"target": "y"}, "expected at least one feature column"),
    "an order alone": ("x,y\n1,2\n", {"target": "y", "order": "x"}, "expected --group beside --order"),
    "two targets a group": ("g,x,y\na,1,1\na,2,2\n", {"target": "y", "group": "g"}, "expected one 'y' for a sequence"),
    "a missing target": ("x,y\n1,1\n2,\n", {"target": "y"}, "got a missing one (PATH, line 3)"),
    "a group without target": ("g,x,y\na,1,\na,2,\n", {"target": "y", "group": "g"}, "got a missing one (PATH, g a)"),
    "a row without group": ("g,x,y\na,1,1\n,2,2\n", {"target": "y", "group": "g"}, "expected a value of 'g'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_what_and_where(write, name):
    text, options, message = BAD[name]
    path = write(text)
    with pytest.raises(DataError) as caught:
        read_table(path, **options)
    assert message.replace("PATH", str(path)) in str(caught.value)
    assert str(path) in str(caught.value) or name in ("an order alone", "a target twice")


def test_a_missing_file_is_named_with_its_nearest_neighbour(write):
    path = write(HOUSES, "houses.csv")
    with pytest.raises(DataError, match=r"did you mean 'houses.csv'\?"):
        read_table(path.with_name("house.csv"), target="price")


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(DataError, match="got a folder"):
        read_table(tmp_path, target="y")


def test_bytes_that_are_no_parquet_are_refused(write):
    with pytest.raises(DataError, match="expected a table"):
        read_table(write(b"PAR1 not really", "t.parquet"), target="y")


@given(st.lists(st.sampled_from(["plain", '"two\nlines"', "blank"]), min_size=1, max_size=10))
def test_the_line_of_a_row_counts_line_breaks_inside_quotes_and_blank_lines(tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("lines") / "t.csv"
    text, ends, line = "a,b\n", [], 1
    for kind in kinds:
        if kind == "blank":
            text, line = text + "\n", line + 1
        else:
            text += f"{kind},1\n"
            line += 1 + kind.count("\n")
            ends.append(line)
    path.write_text(text)
    assert [line_of_row(path, row) for row in range(len(ends))] == ends
