"""Word and character error rates beside a table of edits made here and beside jiwer, and what is no truth."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.errors import DataError
from bilstm.metrics.transcripts import transcript_alignment, transcript_metrics
from tests.compare import assert_close
from tests.speech import edits
from tests.strategies import FUZZ

texts = st.lists(st.sampled_from(["one", "two", "on", "o", "über", "你好", "One"]), max_size=5).map(" ".join)


@FUZZ
@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=5))
def test_the_rates_are_those_of_the_fewest_edits(pairs):
    truth, predicted = map(list, zip(*pairs, strict=True))
    found = transcript_metrics(truth, predicted)
    words = [(a.split(), b.split()) for a, b in pairs]
    assert_close(found["wer"], sum(edits(a, b) for a, b in words) / sum(len(a) for a, _ in words), rtol=1e-12)
    assert_close(found["cer"], sum(edits(a, b) for a, b in pairs) / sum(len(a) for a, _ in pairs), rtol=1e-12)
    assert (found["n"], found["exact"]) == (len(pairs), sum(a == b for a, b in pairs) / len(pairs))
    assert_close([found["wer"], found["cer"]], [jiwer.wer(truth, predicted), jiwer.cer(truth, predicted)], rtol=1e-12)


@pytest.mark.parametrize(
    "truth, predicted, wer, cer",
    [
        ("one two three four", "one too three", 0.5, 6 / 18),
        ("one", "", 1.0, 1.0),
        ("one", "one two three", 2.0, 10 / 3),  # words can be inserted without end
        ("one two", "onetwo", 1.0, 1 / 7),
        ("One", "one", 1.0, 1 / 3),
        ("one  two\n", "\tone two", 0.0, 0.0),
        ("caf\u00e9", "cafe\u0301", 0.0, 0.0),
    ],
)
def test_known_cases_have_the_rates_that_one_counts_by_hand(truth, predicted, wer, cer):
    found = transcript_metrics([truth], [predicted])
    assert_close([found["wer"], found["cer"]], [wer, cer], rtol=1e-12)


def test_long_texts_weigh_more_than_short_ones():
    assert_close(transcript_metrics(["one", "one two three"], ["two", "one two three"])["wer"], 1 / 4)


@pytest.mark.parametrize(
    "truth, predicted, message",
    [
        (["one", " "], ["one", "two"], "expected words in every true text, got none in text 1"),
        (["one"], ["one", "two"], "expected as many predicted texts as true ones, got 2 and 1"),
        ([], [], "expected as many predicted texts as true ones, got 0 and 0"),
    ],
)
@pytest.mark.parametrize("measure", [transcript_metrics, transcript_alignment])
def test_what_has_no_rate_is_refused(measure, truth, predicted, message):
    with pytest.raises(DataError, match=message):
        measure(truth, predicted)


def test_the_alignment_shows_each_text_with_a_mistake_truth_above_transcript():
    shown = transcript_alignment(
        ["one two three", "four", "five six"], ["one too three nine", "four", "six"], ["a.wav", "b.wav", "c.wav"]
    )
    first, second, end = shown.split("\n\n")
    name, truth, predicted, marks = first.splitlines()
    assert (name, truth.split()[1:4], predicted.split()[1:]) == (
        "a.wav",
        ["one", "two", "three"],
        ["one", "too", "three", "nine"],
    )
    assert marks.split() == ["S", "I"]
    assert marks.index("S") in range(predicted.index("too"), predicted.index("too") + 3)
    assert (second.splitlines()[0], second.split()[-1]) == ("c.wav", "D")
    assert end == "1 of 3 texts without a mistake"


def test_texts_without_names_are_called_by_their_place():
    assert transcript_alignment(["one", "two"], ["one", ""]).startswith("1\n")


def test_an_alignment_of_texts_in_order_counts_them():
    assert transcript_alignment(["one", "two"], ["one", "two"]) == "2 of 2 texts without a mistake"
