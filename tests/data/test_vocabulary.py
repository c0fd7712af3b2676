"""Words to numbers, and files of pre-trained vectors."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.text.encoder import CASES, LONGEST_WORD, WordEncoder, case_of, read_vectors
from bilstm.errors import DataError
from tests.compare import assert_close

GLOVE = "the 0.5 1\nParis -1 2e-1\n. . 3 4\nparis 7 8\nthe 9 9\n"


def encoder(words, **options):
    return WordEncoder().fit(Counter(words), **options)


def test_rare_words_are_unknown_and_case_is_a_feature_of_its_own():
    fitted = encoder(["The", "the", "cat", "Cat", "dog"], min_count=2)
    assert (fitted.words, fitted.counts) == (["cat", "the"], [2, 2])
    _, forms = fitted.transform(pl.Series(["THE", "dog", "zebra"]))
    assert forms[:, 0].tolist() == [2, 0, 0]
    assert [CASES[code] for code in forms[:, 2]] == ["UPPER", "lower", "lower"]
    assert encoder(["The", "the"], lowercase=False).words == ["The", "the"]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), min_size=1, max_size=20))
def test_every_distinct_word_is_encoded_once_with_all_its_characters(words):
    fitted = encoder(words * 2)
    ids, forms = fitted.transform(pl.Series(words))
    assert len(forms) == len(set(words))
    for word, row in zip(words, ids[:, 0], strict=True):
        codes = [code for code in forms[row, 3:] if code]
        spelled = word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]
        assert [fitted.characters[code - 2] for code in codes] == list(spelled)
        assert case_of(word) == forms[row, 2]


def test_characters_seen_once_teach_what_an_unknown_one_is():
    fitted = encoder(["aab", "a"])
    assert fitted.characters == ["a"]
    assert fitted.transform(pl.Series(["abz"]))[1][0, 3:6].tolist() == [2, 1, 1]


def test_an_encoder_survives_json():
    fitted = encoder(["北京", "Ann", "Ann"])
    again = WordEncoder.from_json(json.loads(json.dumps(fitted.to_json())))
    new = pl.Series(["Ann", "京"])
    for found, was in zip(again.transform(new), fitted.transform(new), strict=True):
        assert_close(found, was)
    for damage in ({"words": ["Ann"]}, {"counts": []}, {"characters": ["An"]}):
        with pytest.raises(DataError, match="expected"):
            WordEncoder.from_json(fitted.to_json() | damage)


@pytest.mark.parametrize("header", ["", "5 2\n"])
@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.txt.gz"])
def test_vectors_are_read_with_a_header_or_without_packed_or_not(tmp_path, header, name):
    path = tmp_path / name
    data = (header + GLOVE).encode()
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    words, vectors = read_vectors(path, {"paris", "the", "nowhere"})
    assert words == ["the", "paris"], "the needed ones, the first line of each"
    assert_close(vectors, np.array([[0.5, 1], [7, 8]], dtype=np.float32))
    assert read_vectors(path, set(), most=3)[0] == ["the", "Paris", ". ."]


def test_words_find_their_vectors_as_written_or_in_lower_case(tmp_path):
    (tmp_path / "v.txt").write_text(GLOVE)
    fitted = encoder(["Paris", "PARIS", "dog"], vectors=tmp_path / "v.txt", extra_vectors=1)
    assert fitted.vector_words == ["the", "Paris", "paris"]
    assert fitted.transform(pl.Series(["Paris", "PARIS", "The", "dog"]))[1][:, 1].tolist() == [2, 3, 1, 0]
    with pytest.raises(DataError, match="expected vectors of at least one training word, got none"):
        encoder(["dog"], vectors=tmp_path / "v.txt")


@pytest.mark.parametrize(
    "text, message",
    [
        (b"a 1 2\nb 1 2 3 4\nc 5\n", r"expected a word and 2 numbers, got 1 \(.*v.txt, line 3\)"),
        (b"9 3\na 1 2\n", r"expected a word and 3 numbers, got 2 \(.*line 2\)"),
        (b"a 1 2\nb 1 2x\n", r"expected numbers behind the word, .*2x.* \(.*line 2\)"),
        (b"a 1 2\nb 1 nan\n", r"expected finite numbers, got NaN or infinity \(.*line 2\)"),
        (b"sch\xf6n 1 2\n", "expected word vectors as UTF-8 text, got other bytes"),
        (b"", "expected word vectors, got an empty file"),
        (b"hello\n", r"expected a word and its numbers, got 0 \(.*line 1\)"),
    ],
)
def test_bad_vector_files_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "v.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "v.txt", {"a", "b", "c"})
