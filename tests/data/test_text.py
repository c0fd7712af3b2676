"""Raw text to words, in many scripts; and texts, words and files of them to Datasets."""

from __future__ import annotations

import itertools
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bilstm import read_sentences, read_texts
from bilstm.data.text.reader import from_texts, from_words, is_text, is_words, word_spans
from bilstm.errors import DataError
from tests.compare import assert_close


def words(text):
    return [text[a:b] for a, b in word_spans(text)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Dr. Wu didn't pay 3.5 %", "Dr|.|Wu|did|n't|pay|3.5|%"),
        ("It's John's; we'll can't I'm", "It|'s|John|'s|;|we|'ll|ca|n't|I|'m"),
        ("state-of-the-art rock'n'roll l'homme", "state-of-the-art|rock'n'roll|l'homme"),
        ("in the U.S. at 10:30, 1,000.5 1st", "in|the|U.S.|at|10:30|,|1,000.5|1st"),
        ("@user #tag http://t.co/a?b=1. me@x.org", "@user|#tag|http://t.co/a?b=1|.|me@x.org"),
        ("我在北京 寿司を食べる", "我|在|北|京|寿|司|を|食|べ|る"),
        ("한국어 문장 это слово", "한국어|문장|это|слово"),
        ("हिन्दी में नमस्ते।", "हिन्दी|में|नमस्ते|।"),
        ("สวัสดี", "ส|วั|ส|ดี"),
        ("كتابٌ جديد", "كتابٌ|جديد"),
        ("wow!!! ... :-) 👍🏽👩\u200d👩\u200d👧🇩🇪", "wow|!!!|...|:-)|👍🏽|👩\u200d👩\u200d👧|🇩🇪"),
        ("cafe\u0301 café", "cafe\u0301|café"),
        (" \t\n", ""),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == (expected.split("|") if expected else [])


@given(st.text(max_size=60))
@example("'s'tn't n't'")
@example("a\u200db_c-d'e")
def test_nothing_but_blanks_is_lost_and_no_place_is_given_twice(text):
    spans = word_spans(text)
    covered = "".join(text[a:b] for a, b in spans)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert "".join(covered.split()) == "".join(text.split())


def test_a_text_of_a_million_characters_is_cut_like_any_other():
    """An expression that went back over it again and again would never come to its end."""
    assert len(word_spans("word' " * 170_000)) == 340_000


def test_texts_become_words_with_their_places():
    data = from_texts(["So good!", "", None, "北京"])
    assert data.steps["word"].to_list() == ["So", "good", "!", "北", "京"]
    assert data.lengths.tolist() == [3, 0, 0, 2]
    part = data.take([3, 0])
    assert [part.texts[0][a:b] for a, b in part.spans[:2]] == ["北", "京"]
    with pytest.raises(DataError, match=r"expected text, got 3 \(X, row 1\)"):
        from_texts(["a", 3])


def test_tags_belong_to_words():
    data = from_words([["a", "b"], [], ["c"]], [["X", "Y"], [], ["Z"]])
    assert data.take([2, 0]).tags["tag"].to_list() == ["Z", "X", "Y"]
    with pytest.raises(DataError, match=r"expected a tag for each of 2 words, got \['X'\] \(X, sentence 0\)"):
        from_words([["a", "b"]], [["X"]])
    with pytest.raises(DataError, match="expected tags of 1 sentences, got 2"):
        from_words([["a"]], [["X"], ["Y"]])
    with pytest.raises(DataError, match="expected words as text, got 5"):
        from_words([["a", 5]])


def test_what_is_text_and_what_is_a_table():
    assert is_text(["a b", "c"])
    assert is_text(np.array(["a b", "c"]))
    assert is_text(pl.Series(["a", None]))
    assert not is_text([[1.0]])
    assert is_words([["a", "b"], ["c", "d"]])
    assert not is_words(np.array([["a", "b"], ["c", "d"]])), "an array of text is a table of categories"
    assert not is_words([["a", 1.0]])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_texts_are_read_as_they_are_from_every_kind_of_table(tmp_path, kind):
    path = tmp_path / f"reviews.{kind}"
    frame = pl.DataFrame({"text": ["null", " good, \n very ", "NA"], "label": ["x", "y", "x"]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[kind](path)
    data = read_texts(path, text="text", target="label")
    assert data.texts.to_list() == frame["text"].to_list()
    assert data.target_values.tolist() == ["x", "y", "x"]
    with pytest.raises(DataError, match=r"expected a column 'txt', got none \(.*\)\nhint: did you mean 'text'"):
        read_texts(path, text="txt")


def test_labels_that_are_whole_numbers_are_read_as_such(tmp_path):
    (tmp_path / "a.csv").write_text("text,stars,share\ngood,5,0.5\nbad,1,2\n")
    assert read_texts(tmp_path / "a.csv", text="text", target="stars").target_values.tolist() == [5, 1]
    assert read_texts(tmp_path / "a.csv", text="text", target="stars").target_values.dtype == np.int64
    assert read_texts(tmp_path / "a.csv", text="text", target="share").target_values.tolist() == [0.5, 2.0]


def test_texts_that_are_not_utf_8_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nschön,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="got bytes that are not UTF-8"):
        read_texts(tmp_path / "a.csv", text="text")


def test_sentences_of_conll_know_their_text(tmp_path):
    path = tmp_path / "a.conllu"
    rows = [("1", "Ca", "AUX", "SpaceAfter=No"), ("2", "n't", "PART", "_"), ("3", "go", "VERB", "_")]
    path.write_text("".join(f"{i}\t{w}\t_\t{u}\tx{u}\t_\t_\t_\t_\t{m}\n" for i, w, u, m in rows) + "\n")
    data = read_sentences(path)
    assert data.texts.to_list() == ["Can't go"]
    assert [data.texts[0][a:b] for a, b in data.spans] == ["Ca", "n't", "go"]
    assert data.tags["tag"].to_list() == ["AUX", "PART", "VERB"]
    assert read_sentences(path, tag="xpos").tags["tag"].to_list() == ["xAUX", "xPART", "xVERB"]
    assert read_sentences(path, tag="xpos").read_with == {"tag": "xpos"}


def test_sentences_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"tokens": ["Ann", "ran"], "tags": ["B-PER", "O"]}) + "\n")
    assert_close(read_sentences(path).lengths, np.array([2]))
    path.write_text(json.dumps({"tokens": "Ann ran", "tags": ["B-PER", "O"]}) + "\n")
    with pytest.raises(DataError, match="expected lists of words in column 'tokens', got String"):
        read_sentences(path)
