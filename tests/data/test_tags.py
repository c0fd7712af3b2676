"""Schemes of tags: what they are taken for, what is broken in them, and that nothing is lost between them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from bilstm.data.text.tags import entities, repair, scheme_of, valid_transitions
from bilstm.errors import DataError, ParameterError
from tests.compare import assert_close
from tests.tag_schemes import in_iobes

BIO = ["O", "B-a", "I-a", "B-b", "I-b"]
IOBES = [*BIO, "E-a", "S-a", "E-b", "S-b"]
BILOU = [tag.replace("E-", "L-").replace("S-", "U-") for tag in IOBES]


def sentences_of(names, max_size=8):
    return st.lists(st.sampled_from(names), max_size=max_size)


SCHEMES = {
    "words of every kind": ([["B-a", "I-a", "O"]], "bio"),
    "types with hyphens": ([["B-creative-work", "I-creative-work", "O"]], "bio"),
    "nothing named": ([["O", "O"]], "bio"),
    "no outside": ([["B-NP", "I-NP", "B-VP"]], "bio"),
    "bare words": ([["B", "I", "O"]], "bio"),
    "one slip among many": ([["B-a", "I-a", "O"], ["B-a", "O", "I-a"], ["B-b"]], "bio"),
    "I begins": ([["I-a", "I-a", "O"]], "iob1"),
    "I begins, B divides": ([["I-a", "B-a", "O", "I-b", "I-a"]], "iob1"),
    "one slip among many I": ([["I-a", "O", "I-b", "O", "B-a"]], "iob1"),
    "single and end": ([["S-a", "O", "B-a", "E-a"]], "iobes"),
    "last and unit": ([["U-a", "O", "B-a", "L-a"]], "iobes"),
    "characters of words": ([["B", "M", "E", "S"]], "iobes"),
    "an end only later": ([["O", "B-a", "I-a"], ["I-b", "E-b"]], "iobes"),
    "parts of speech": ([["NOUN", "X", "VERB"]], None),
    "parts of speech, X alone": ([["X"]], None),
    "XPOS": ([["-LRB-", "NNP", "O"]], None),
    "a bare word among typed ones": ([["B-a", "I", "O"]], None),
    "O with a type": ([["O-a", "B-a"]], None),
    "no type behind the hyphen": ([["B-", "O"]], None),
    "no hyphen": ([["Ba", "O"]], None),
    "neither O nor a begin": ([["I-a", "I-a"]], None),
    "one letter": ([["I", "I"]], None),
    "sizes": ([["M", "L"]], None),
    "one foreign tag": ([["B-a", "O", "."]], None),
    "an empty tag": ([["", "O"]], None),
    "no tags": ([[], []], None),
    "no sentences": ([], None),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_tags_are_taken_for_what_they_are(name):
    sentences, expected = SCHEMES[name]
    assert scheme_of(sentences) == expected


@given(st.lists(sentences_of(BIO), min_size=1))
def test_repaired_bio_is_bio(sentences):
    repaired = [repair(tags)[0] for tags in sentences]
    assume(any(repaired))
    assert scheme_of(repaired) == "bio"
    assert all(repair(tags) == (tags, 0) for tags in repaired)


@given(sentences_of(BIO))
def test_an_i_that_begins_an_entity_is_the_only_thing_broken_in_bio(tags):
    expected, count = list(tags), 0
    for place, tag in enumerate(tags):
        if tag[0] == "I" and (place == 0 or tags[place - 1] not in (tag, "B" + tag[1:])):
            expected[place], count = "B" + tag[1:], count + 1
    assert repair(tags) == (expected, count)


REPAIRS = {
    "a begin without end": (["B-a", "O"], ["S-a", "O"], 1),
    "an end alone": (["O", "E-a"], ["O", "S-a"], 1),
    "an inside without end": (["B-a", "I-a"], ["B-a", "E-a"], 1),
    "a change of type": (["B-a", "E-b"], ["S-a", "S-b"], 2),
    "inside after the end": (["B-a", "E-a", "I-a"], ["B-a", "E-a", "S-a"], 1),
    "nothing broken": (["B-a", "I-a", "E-a", "S-b", "O"], ["B-a", "I-a", "E-a", "S-b", "O"], 0),
    "other letters": (["B-a", "L-a", "U-b", "O"], ["B-a", "E-a", "S-b", "O"], 0),
    "bare letters": (["B", "M", "E", "B", "S"], ["B", "I", "E", "S", "S"], 1),
}


@pytest.mark.parametrize("name", REPAIRS)
def test_broken_iobes_is_cut_anew(name):
    tags, expected, count = REPAIRS[name]
    assert repair(tags, "iobes") == (expected, count)


@given(sentences_of(BIO))
def test_iob1_becomes_bio_without_any_repair(tags):
    converted, count = repair(tags, "iob1")
    assert count == 0
    assert converted == repair(tags)[0]


@given(sentences_of(IOBES))
def test_repair_keeps_the_entities(tags):
    assert entities(repair(tags, "iobes")[0]) == entities(tags)


@given(sentences_of(BIO))
def test_valid_bio_said_in_iobes_has_the_same_entities_and_needs_no_repair(tags):
    valid = repair(tags)[0]
    assert repair(in_iobes(valid), "iobes") == (in_iobes(valid), 0)
    assert entities(in_iobes(valid)) == entities(valid)


@given(sentences_of(BILOU))
def test_bilou_is_read_as_iobes(tags):
    assert entities(tags) == entities([tag.replace("L-", "E-").replace("U-", "S-") for tag in tags])


def test_a_bare_tag_is_of_the_type_that_seqeval_calls_so():
    tags = ["B", "I", "O", "B"]
    assert entities(tags) == [(name, first, last + 1) for name, first, last in get_entities(tags)]


NAMES = {
    "BIO": (BIO, "bio"),
    "BIO in another order": (["I-b", "O", "B-b"], "bio"),
    "bare BIO": (["B", "I", "O"], "bio"),
    "BI": (["B", "I"], "bio"),
    "nothing but O": (["O"], "bio"),
    "IOBES": (IOBES, "iobes"),
    "BILOU": (BILOU, "iobes"),
    "BMES": (["B", "M", "E", "S"], "iobes"),
    "singles": (["O", "S-a", "S-b"], "iobes"),
    "no inside": (["O", "B-a", "E-a"], "iobes"),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_transitions_allow_exactly_what_repair_leaves_alone(name):
    names, scheme = NAMES[name]
    allowed, first, last = valid_transitions(names)
    size = range(len(names))
    for length in (1, 2, 3, 4):
        for path in itertools.product(size, repeat=length):
            accepted = first[path[0]] and last[path[-1]] and all(allowed[i, j] for i, j in itertools.pairwise(path))
            assert accepted == (repair([names[i] for i in path], scheme)[1] == 0), [names[i] for i in path]


def test_the_transitions_are_truth_values_of_the_right_shape():
    allowed, first, last = valid_transitions(BIO)
    assert [array.dtype.kind for array in (allowed, first, last)] == ["b", "b", "b"]
    assert (allowed.shape, first.shape, last.shape) == ((5, 5), (5,), (5,))
    assert_close(last, [True] * 5)


@pytest.mark.parametrize("names", [["NOUN", "X"], [], ["B-a", "NOUN", "O"], ["I-a"]])
def test_other_tags_have_no_transitions(names):
    assert valid_transitions(names) is None


def test_a_tag_of_another_kind_is_refused_with_what_it_is():
    with pytest.raises(DataError, match="expected O, or a tag such as B-PER, got 'NOUN'"):
        entities(["O", "NOUN"])
    with pytest.raises(DataError, match="expected a tag of bio, got 'E-a'"):
        repair(["B-a", "E-a"])
    with pytest.raises(DataError, match="expected a tag of iob1, got 'U-a'"):
        repair(["U-a"], "iob1")


def test_a_scheme_that_is_none_is_named_with_its_nearest_neighbour():
    with pytest.raises(ParameterError, match="did you mean 'bio'"):
        repair(["O"], "BIO")
