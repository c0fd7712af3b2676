"""ARPA files as tools write them, and every way in which one can be broken."""

from __future__ import annotations

import gzip
import math

import pytest

from bilstm.data.text.arpa import read_arpa
from bilstm.errors import DataError
from tests.compare import assert_close

FILE = "model.arpa"
MODEL = """
Some tool says: \\data\\ is where it begins.
ngram 1=nr
\\1-grams:

\\data\\
ngram 1=5
ngram 2=3
ngram  3 = 1

\\1-grams:
-1.0 <UNK>
-99 <S>\t-0.5
-0.7\t</s>
-0.4\tfünf\t-0.25
-inf never 0

\\2-grams:
-0.3\t<S> fünf -0.125
-0.2 fünf </s>
-0.1\tfünf fünf

\\3-grams:
-0.05 <S> fünf </s>

\\end\\
"""


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_model_is_read_in_natural_logarithms(write, name, ends):
    text = MODEL.replace("\n", ends).encode()
    model = read_arpa(write(gzip.compress(text) if name.endswith(".gz") else text, name))
    assert model.words == ["<UNK>", "<S>", "</s>", "fünf", "never"]
    assert (model.start, model.end, model.unknown) == (1, 2, 0)
    one, two, three = model.tables
    assert_close(one.words[:, 0], range(5))
    assert_close(one.log_probability / math.log(10), [-1.0, -99, -0.7, -0.4, -99], rtol=1e-12)
    assert_close(one.back_off / math.log(10), [0, -0.5, 0, -0.25, 0], rtol=1e-12)
    assert two.words.tolist() == [[1, 3], [3, 2], [3, 3]]
    assert_close(two.back_off / math.log(10), [-0.125, 0, 0], rtol=1e-12)
    assert three.words.tolist() == [[1, 3, 2]]
    assert_close(three.log_probability, [-0.05 * math.log(10)], rtol=1e-12)


def test_a_model_of_words_alone_has_no_marks_and_an_empty_section_may_be_missing(write):
    model = read_arpa(write("\\data\\\nngram 1=1\nngram 2=0\n\\1-grams:\n-1 a\n\\end\\"))
    assert (model.words, model.start, model.end, model.unknown) == (["a"], None, None, None)
    assert model.tables[1].words.shape == (0, 2)


def test_a_word_may_begin_with_a_backslash_and_hold_a_no_break_space(write):
    model = read_arpa(write("\\data\\\nngram 1=2\n\\1-grams:\n-1 \\a\n-1 a\u00a0b\n\\end\\"))
    assert model.words == ["\\a", "a\u00a0b"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("\n\\data\\\n", "\n", r"expected a line \\data\\, got none.*line 25"),
        ("ngram 1=5\n", "", r"expected ngram 1= and a whole number, got 'ngram 2=3' .*line 7"),
        ("ngram 2=3", "ngram 2=many", r"expected ngram 2= and a whole number, got 'ngram 2=many' .*line 8"),
        ("ngram 1=5\nngram 2=3\nngram  3 = 1\n", "", r"expected counts such as ngram 1=100, got \\1-grams:"),
        ("ngram 1=5", "ngram 1=6", r"expected 6 1-grams, got 5 \(.*line 18\)\nhint: the count"),
        ("ngram 2=3", "ngram 2=2", "expected 2 2-grams, got 3"),
        ("\\2-grams:\n", "", "expected a probability, 1 words and perhaps a back-off, got 4 columns .*line 18"),
        ("\\3-grams:", "\\4-grams:", r"expected the section \\3-grams:, got \\4-grams:"),
        (
            "\\end\\\n",
            "",
            r"expected the line \\end\\, got the end of the file .*line 25\)\nhint: the file seems to be cut",
        ),
        ("-0.7\t</s>", "-0.7x\t</s>", "expected a log10 of a probability of at most 0, got '-0.7x' .*line 14"),
        ("-0.7\t</s>", "0.7\t</s>", "of at most 0, got '0.7'"),
        ("-0.7\t</s>", "nan\t</s>", "of at most 0, got 'nan'"),
        ("fünf\t-0.25", "fünf\tless", "expected a back-off weight, got 'less' .*line 15"),
        ("-0.7\t</s>", "-0.7", "expected a probability, 1 words and perhaps a back-off, got 1 columns"),
        ("-0.2 fünf </s>", "-0.2 five </s>", "expected words of the 1-grams, got 'five' in a 2-gram .*line 20"),
        ("-0.2 fünf </s>", "-0.2 fünf fünf", "expected every 2-gram once, got 'fünf fünf' again .*line 21"),
        ("-inf never 0", "-1 fünf", "expected every 1-gram once, got 'fünf' again .*line 16"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(write, before, after, words):
    assert MODEL.count(before) >= 1
    at = MODEL.rindex(before)
    path = write(MODEL[:at] + after + MODEL[at + len(before) :])
    with pytest.raises(DataError, match=words):
        read_arpa(path)


@pytest.mark.parametrize("kept", range(60, len(MODEL) - 6, 7))
def test_a_cut_file_is_never_taken_for_a_whole_one(write, kept):
    with pytest.raises(DataError, match="line "):
        read_arpa(write(MODEL[:kept]))


def test_a_cut_gzip_file_is_said_to_be_cut(write):
    whole = gzip.compress(MODEL.encode())
    with pytest.raises(DataError, match="expected a whole gzip file"):
        read_arpa(write(whole[:-20], "model.bin"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"mmap lm http://kheafield.com/code format version 5\n\0\0",
            "got a binary file of KenLM .*\nhint: give the .arpa",
        ),
        (b"\0\1\2", "expected an ARPA text file, got a binary file"),
        (b"\\data\\\nngram 1=1\n\\1-grams:\n-1 f\xfcnf\n", r"expected text in UTF-8, got other bytes .*line 4"),
        (b"", "got an empty file"),
    ],
)
def test_what_is_no_text_is_said_to_be_none(write, data, words):
    with pytest.raises(DataError, match=words):
        read_arpa(write(data))
