"""N-grams against the formula of the ARPA format, by hand and at random; and the tries that the native code reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.text.arpa import read_arpa
from bilstm.errors import DataError
from bilstm.nn.ctc.ngrams import LOWEST, NGrams, padded, spell, trie_of
from tests.compare import assert_close
from tests.strategies import FUZZ
from tests.transcripts import SPELLED, a_model, sentence_score

# of a published form: back-offs by hand below
MODEL = """\\data\\
ngram 1=5
ngram 2=3
ngram 3=1
\\1-grams:
-0.9 <unk> -0.01
-99 <s> -0.5
-0.7 </s>
-0.4 one -0.25
-0.6 two -0.125
\\2-grams:
-0.3 <s> one -0.0625
-0.2 one two -0.03
-0.15 two </s>
\\3-grams:
-0.05 <s> one two
\\end\\
"""
TOKENS = {"o": 1, "n": 2, "e": 3, "t": 4, "w": 5}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.arpa"
    path.write_text(MODEL)
    arpa = read_arpa(path)
    spelled = spell(arpa.words, TOKENS)
    return NGrams.from_words(spelled, arpa.tables, start=arpa.start, end=arpa.end, unknown=arpa.unknown)


ONE, TWO = 3, 4


@pytest.mark.parametrize(
    ("words", "log10"),
    [
        ([], -0.5 - 0.7),  # <s> </s> by back-off
        ([ONE], -0.3 + (-0.0625 - 0.25 - 0.7)),  # </s> after (<s> one), after (one), alone
        ([ONE, TWO], -0.3 - 0.05 + (-0.03 - 0.15)),  # (<s> one two) is no history of two words; (one two) is
        ([TWO], (-0.5 - 0.6) - 0.15),  # (<s> two) is no 2-gram: no weight of its own
        ([TWO, ONE], (-0.5 - 0.6) + (-0.125 - 0.4) + (-0.25 - 0.7)),
        ([None], (-0.5 - 0.9) + (-0.01 - 0.7)),
        ([ONE, None, TWO], -0.3 + (-0.0625 - 0.25 - 0.9) + (-0.01 - 0.6) - 0.15),
    ],
)
def test_a_sentence_has_the_score_that_the_format_gives_it(model, words, log10):
    assert_close(
        model.score(words, unknown_score=-2.0) / math.log(10), log10 - 2 * words.count(None) / math.log(10), rtol=1e-12
    )


@FUZZ
@given(
    order=st.integers(1, 4),
    unknown=st.booleans(),
    markers=st.booleans(),
    seed=st.integers(0, 99),
    words=st.lists(st.sampled_from([0, 1, 2, 3, None]), max_size=7),
)
def test_any_sentence_of_any_order_is_scored_as_by_the_formula(order, unknown, markers, seed, words):
    model = a_model(order, unknown, markers, seed)
    assert model.order == order
    assert_close(model.score(words, -3.0), sentence_score(model, words, -3.0), atol=1e-12)


def test_the_numbers_stand_at_the_nodes_of_their_n_grams(model):
    trie, log_p, back_off = model.ngrams
    for table in model.tables:
        for words, p, b in zip(table.words.tolist(), table.log_probability, table.back_off, strict=True):
            node = 0
            for word in words:
                node = trie.child(node, word)
            assert (log_p[node], back_off[node]) == (p, b)
    assert trie.child(trie.child(0, TWO), ONE) == -1
    assert trie.child(-1, ONE) == -1


def test_marks_and_words_that_cannot_be_spelled_are_no_spellings_but_keep_their_numbers(model):
    assert model.spelled == [None, None, None, (1, 2, 3), (4, 5, 1)]
    trie, word, best = model.spelling
    node = trie.child(trie.child(trie.child(0, 1), 2), 3)
    assert word[node] == ONE
    assert_close(best[node], model.unigrams[ONE])
    assert len(trie.label) == 7


def test_of_words_spelled_alike_the_more_probable_counts_and_a_prefix_knows_the_best_below_it():
    table = np.arange(4)[:, None], np.array([-3.0, -1.0, -2.0, -math.inf]), np.zeros(4)
    trie, word, best = NGrams.from_words([(1, 2), (1, 2), (1,), (5,)], [table]).spelling
    node = trie.child(0, 1)
    assert (word[node], best[node]) == (2, -1)
    assert word[trie.child(node, 2)] == 1
    assert_close(best[trie.child(0, 5)], LOWEST)


@FUZZ
@given(st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), max_size=12))
def test_a_trie_holds_all_beginnings_once_and_its_children_in_order(sequences):
    trie, nodes = trie_of(*padded(sequences))
    beginnings = {s[:n] for s in sequences for n in range(len(s) + 1)} | {()}
    assert len(trie.label) == len(beginnings)
    for sequence, node in zip(sequences, nodes, strict=True):
        walked = 0
        for label in sequence:
            walked = trie.child(walked, label)
        assert walked == node
    for a, b in zip(trie.first[:-1], trie.first[1:], strict=True):
        assert (np.diff(trie.label[a:b]) > 0).all()


ONE_GRAMS = np.arange(2)[:, None], np.zeros(2), np.zeros(2)


def grams(*rows):
    return np.array(rows), np.zeros(len(rows)), np.zeros(len(rows))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([], "a 1-gram for each of 2 words, got no tables"),
        ([grams([0])], "a 1-gram for each of 2 words, got 1 1-grams"),
        ([ONE_GRAMS, grams([0, 2])], r"words from 0 to 1, got 2 \(2-grams\)"),
        ([ONE_GRAMS, grams([0, 1], [0, 1])], "every 2-gram once, got one 2 times"),
        ([ONE_GRAMS, grams([0])], r"2-grams of shape \(N, 2\) with N numbers twice, got \(1, 1\)"),
        ([(ONE_GRAMS[0], np.array([0, math.nan]), np.zeros(2))], "got NaN"),
        (
            [ONE_GRAMS, grams([0, 1]), grams([1, 0, 1])],
            r"first 2 words of every 3-gram.*none for the words \[1, 0, 1\]",
        ),
    ],
)
def test_tables_that_do_not_fit_together_are_refused_in_words(tables, words):
    with pytest.raises(DataError, match=words):
        NGrams.from_words(SPELLED[:2], tables)
