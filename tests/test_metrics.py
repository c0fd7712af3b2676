"""Figures of taggers: those of seqeval and of the CoNLL script's rules, on valid tags and on broken ones."""

from __future__ import annotations

import math
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bilstm.data.text.tags import entities, repair, scheme_of
from bilstm.errors import DataError
from bilstm.metrics.tags import entity_report, tagging_metrics, type_confusion
from tests.compare import assert_close
from tests.tag_schemes import in_iobes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from seqeval import metrics as seqeval
    from seqeval.metrics.sequence_labeling import get_entities

KINDS = {
    "BIO": ["O", "B-a", "I-a", "B-b-c", "I-b-c"],
    "IOBES": ["O", "B-a", "I-a", "E-a", "S-a", "B-b", "I-b", "E-b", "S-b"],
    "bare": ["O", "B", "I", "E", "S"],
}


@st.composite
def pairs(draw, names=None):
    """Two taggings of the same sentences, at random and so mostly broken."""
    names = names or draw(st.sampled_from(sorted(KINDS.values())))
    truth, predicted = [], []
    for length in draw(st.lists(st.integers(1, 8), min_size=1, max_size=5)):
        tags = st.lists(st.sampled_from(names), min_size=length, max_size=length)
        truth.append(draw(tags))
        predicted.append(draw(tags | st.just(truth[-1])))
    assume(scheme_of([*truth, *predicted]) is not None)
    return truth, predicted


@given(pairs())
def test_the_figures_are_seqevals(both):
    truth, predicted = both
    ours = tagging_metrics(truth, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("f1", "precision", "recall"):
            expected = getattr(seqeval, f"{name}_score")(truth, predicted, zero_division=0)
            assert_close(ours[name], expected, atol=1e-12, what=name)
        assert_close(ours["accuracy"], seqeval.accuracy_score(truth, predicted), atol=1e-12)


@given(pairs())
def test_the_report_is_seqevals(both):
    truth, predicted = both
    ours = entity_report(truth, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        some = any(get_entities(list(tags)) for side in both for tags in side)  # without any seqeval has no report
        theirs = seqeval.classification_report(truth, predicted, output_dict=True, zero_division=0) if some else {}
    theirs = {kind: row for kind, row in theirs.items() if not kind.endswith(" avg")}
    assert list(ours) == sorted(theirs)
    for kind, row in theirs.items():
        for name, column in {
            "precision": "precision",
            "recall": "recall",
            "f1-score": "f1",
            "support": "support",
        }.items():
            assert_close(float(ours[kind][column]), float(row[name]), atol=1e-12, what=f"{kind} {name}")


@given(pairs())
def test_the_entities_are_seqevals(both):
    for tags in both[0]:
        assert entities(tags) == [(kind, first, last + 1) for kind, first, last in get_entities(list(tags))]


def script_counts(truth, predicted):
    """Correct, true and guessed chunks, word by word by the rules of CoNLL-2000's script: two flags and one state."""
    correct = true = guessed = 0
    in_correct = False
    before = [("O", ""), ("O", "")]
    for t, p in [*zip(truth, predicted, strict=True), ("O", "O")]:
        now = [tuple(tag.partition("-")[::2]) for tag in (t, p)]
        ends = [ends_before(b, n) for b, n in zip(before, now, strict=True)]
        starts = [starts_at(b, n) for b, n in zip(before, now, strict=True)]
        if in_correct:
            if ends == [True, True] and before[0][1] == before[1][1]:
                in_correct, correct = False, correct + 1
            elif ends[0] != ends[1] or now[0][1] != now[1][1]:
                in_correct = False
        if starts == [True, True] and now[0][1] == now[1][1]:
            in_correct = True
        true, guessed, before = true + starts[0], guessed + starts[1], now
    return correct, true, guessed


def ends_before(before, now):
    """Whether a chunk that the word before lies in ends there."""
    if before[0] == "O":
        return False
    return before[0] in "ES" or now[0] in "BSO" or before[1] != now[1]


def starts_at(before, now):
    """Whether a chunk starts at this word."""
    if now[0] == "O":
        return False
    return now[0] in "BS" or before[0] in "ESO" or before[1] != now[1]


@given(pairs())
def test_the_figures_are_those_of_the_conll_scripts_rules(both):
    counts = [script_counts(t, p) for t, p in zip(*both, strict=True)]
    correct, true, guessed = (sum(column) for column in zip(*counts, strict=True))
    ours = tagging_metrics(*both)
    assert_close(ours["precision"], correct / guessed if guessed else 0.0, atol=1e-12)
    assert_close(ours["recall"], correct / true if true else 0.0, atol=1e-12)
    assert_close(ours["f1"], 2 * correct / (true + guessed) if true + guessed else 0.0, atol=1e-12)


@given(pairs(KINDS["BIO"]))
def test_the_scheme_does_not_change_the_entities_figures(both):
    in_bio = tagging_metrics(*([repair(tags)[0] for tags in side] for side in both))
    said_otherwise = tagging_metrics(*([in_iobes(repair(tags)[0]) for tags in side] for side in both))
    for name in ("f1", "precision", "recall", "n", "tokens"):
        assert_close(float(said_otherwise[name]), float(in_bio[name]))


@given(pairs())
def test_the_confusion_counts_every_entity_once(both):
    counts, report = type_confusion(*both), entity_report(*both)
    for kind, row in report.items():
        assert sum(count for (true, _), count in counts.items() if true == kind) == row["support"]
        assert_close(float(counts.get((kind, kind), 0)), row["recall"] * row["support"], atol=1e-9)
    guessed = sum(len(entities(tags)) for tags in both[1])
    assert sum(count for (_, kind), count in counts.items() if kind != "O") == guessed


def test_a_wrong_type_a_wrong_end_a_miss_and_an_invention_are_told_apart():
    truth = [["B-PER", "O", "B-LOC", "I-LOC", "B-LOC"], ["O", "B-LOC"]]
    predicted = [["B-ORG", "O", "B-LOC", "O", "B-LOC"], ["B-PER", "O"]]
    assert type_confusion(truth, predicted) == {
        ("LOC", "LOC"): 1,
        ("LOC", "O"): 2,
        ("O", "LOC"): 1,
        ("O", "PER"): 1,
        ("PER", "ORG"): 1,
    }


def test_other_tags_have_an_accuracy_alone():
    assert tagging_metrics([["DET", "X"], ["NOUN", "X"]], [["DET", "X"], ["VERB", "X"]]) == {
        "accuracy": 0.75,
        "n": 2,
        "tokens": 4,
    }


def test_the_accuracy_of_no_words_means_nothing():
    figures = tagging_metrics([], [])
    assert math.isnan(figures.pop("accuracy"))
    assert figures == {"n": 0, "tokens": 0}


def test_no_entities_found_where_there_are_none_is_zero_as_in_seqeval():
    figures = tagging_metrics([["O"]], [["O"]])
    assert (figures["f1"], figures["precision"], figures["recall"], figures["accuracy"]) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("measure", [tagging_metrics, entity_report, type_confusion])
def test_predictions_of_another_length_are_refused(measure):
    with pytest.raises(DataError, match="expected tags of 2 sentences, got 1"):
        measure([["O"], ["O"]], [["O"]])
    with pytest.raises(DataError, match=r"expected 1 tags, got 2 \(sentence 2\)"):
        measure([["O"], ["O"]], [["O"], ["O", "O"]])
