"""The search for texts against all texts one by one, on both kernels: alone, with n-grams and with hot words."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bilstm.errors import DataError, ParameterError
from bilstm.nn import align, beam_search, ctc_loss, greedy
from tests import transcripts
from tests.cases import threads_of_torch
from tests.compare import assert_close
from tests.nn.kernels import KERNELS, needs_native, on_every_kernel, running
from tests.strategies import FUZZ
from tests.transcripts import SPELLED, TextCase, a_model, all_texts, text_cases, words_of

EVERY_TEXT = 2000  # more than there are in five steps of four tokens
SPACE = 3


def recordings(rows=6, time=30, tokens=6, scale=3.0, seed=0):
    """Rows of all lengths, NaN after them."""
    return TextCase(tuple(time - 5 * row for row in range(rows)), (0,) * rows, time, tokens, scale, seed)


def assert_same_hypotheses(found, expected, **tolerances):
    assert [[h.tokens for h in row] for row in found] == [[h.tokens for h in row] for row in expected]
    for a, b in zip(found, expected, strict=True):
        assert_close([h[1:] for h in a], [h[1:] for h in b], **tolerances)


def assert_are_the_best(found, scores, log_p):
    """The hypotheses of one row are the texts of the highest scores; where these are equal, any of them."""
    expected = sorted(scores.values(), reverse=True)[: len(found)]
    assert_close([h.score for h in found], expected, atol=1e-9)
    assert len({h.tokens for h in found}) == len(found)
    for hypothesis in found:
        assert_close(hypothesis.score, scores[hypothesis.tokens], atol=1e-9, what=f"score of {hypothesis.tokens}")
        assert_close(hypothesis.log_probability, log_p[hypothesis.tokens], atol=1e-9)


# --- against all texts --------------------------------------------------------------------------------------


@on_every_kernel
@FUZZ
@given(case=text_cases(scales=(1.0, 10.0)), n=st.integers(1, 12))
def test_with_room_for_every_text_the_best_are_found_with_their_probabilities(case, n, kernel):
    with running(kernel, case.outputs):
        found = beam_search(case.outputs, case.lengths, width=EVERY_TEXT, n_best=n, prune=0)
    for row, own in enumerate(found):
        texts = all_texts(case.row(row)[0])
        assert len(own) == min(n, len(texts))
        assert_are_the_best(own, texts, texts)


def worth(text, model, options):
    """What the words of a text add, by the formula in ``beam_search``."""
    words = words_of(text, options["space"])
    hot = sum(word in options["hot_words"] for word in words)
    total = options["hot_weight"] * hot
    if model is None:
        return total
    numbers = [SPELLED.index(word) if word in SPELLED else None for word in words]
    score = transcripts.sentence_score(model, numbers, options["unknown_score"])
    return total + options["ngram_weight"] * score + options["word_bonus"] * len(words)


@st.composite
def options(draw):
    weight = st.sampled_from([0.0, 0.3, 2.0])
    return {
        "space": draw(st.sampled_from([None, SPACE, SPACE])),
        "ngram_weight": draw(weight),
        "word_bonus": draw(st.sampled_from([-1.0, 0.0, 1.5])),
        "unknown_score": draw(st.sampled_from([-10.0, -1.0, 0.5])),
        "hot_words": draw(st.sampled_from([(), ((1, 2),), ((2,), (1, 2, 1), (1,), (1,))])),
        "hot_weight": draw(st.sampled_from([-2.0, 1.0, 10.0])),
    }


@on_every_kernel
@FUZZ
@given(
    options=options(),
    order=st.sampled_from([0, 1, 2, 3, 4]),
    unknown=st.booleans(),
    markers=st.booleans(),
    seed=st.integers(0, 99),
)
def test_with_words_the_best_are_those_of_the_formula(options, order, unknown, markers, seed, kernel):
    model = a_model(order, unknown, markers, seed) if order else None
    case = TextCase((5, 4, 0, 1, 2), (0,) * 5, 5, 4, seed=seed)
    with running(kernel):
        found = beam_search(case.outputs, case.lengths, width=EVERY_TEXT, n_best=9, prune=0, ngrams=model, **options)
    for row, own in enumerate(found):
        log_p = all_texts(case.row(row)[0])
        scores = {text: p + worth(text, model, options) for text, p in log_p.items()}
        assert_are_the_best(own, scores, log_p)


@needs_native
@FUZZ
@given(
    options=options(),
    order=st.sampled_from([0, 1, 2, 3]),
    seed=st.integers(0, 99),
    width=st.sampled_from([1, 2, 7, 40]),
    prune=st.sampled_from([0, 1e-5, 0.03, 1.0]),
)
def test_with_little_room_the_native_search_finds_what_the_equations_find(options, order, seed, width, prune):
    model = a_model(order, seed=seed) if order else None
    case = recordings(4, 20, seed=seed)
    options |= {"width": width, "n_best": width, "prune": prune, "ngrams": model}
    found = {}
    for kernel in KERNELS:
        with running(kernel):
            found[kernel] = beam_search(case.outputs, case.lengths, **options)
    assert_same_hypotheses(found["native"], found["equations"], rtol=1e-9, atol=1e-9)


# --- what words do ------------------------------------------------------------------------------------------


def saying(*rows, sure=2.0):
    """(B, T, 5): for each row of tokens the scores of a network that heard them, a blank between any two."""
    steps = torch.tensor([[step for token in row for step in (token, 0)] for row in rows])
    return sure * torch.eye(5)[steps]


@on_every_kernel
def test_a_language_model_makes_a_known_word_of_an_unknown_one(kernel):
    """Heard is 1 1, known are 1, 1 2 and 2 2."""
    outputs = saying((1, 1))
    with running(kernel):
        assert beam_search(outputs, space=SPACE)[0][0].tokens == (1, 1)
        best = beam_search(outputs, space=SPACE, ngrams=a_model(1), ngram_weight=1.0)[0][0]
    assert best.tokens in SPELLED
    assert best.score < best.log_probability + 1.5


@on_every_kernel
def test_a_hot_word_is_preferred_and_its_beginning_is_worth_nothing_at_the_end(kernel):
    outputs = saying((1, 2, 1))
    with running(kernel):
        plain = beam_search(outputs)[0][0]
        hot = beam_search(outputs, hot_words=[(1, 2, 4)])[0][0]
        begun = beam_search(outputs, hot_words=[(1, 2, 1, 4, 4, 4, 4, 4)], n_best=32)[0]
    assert plain.tokens == (1, 2, 1)
    assert hot.tokens == (1, 2, 4)
    assert_close(hot.score, hot.log_probability + 10, rtol=1e-12)
    for hypothesis in begun:
        if hypothesis.tokens != (1, 2, 1, 4, 4, 4, 4, 4):
            assert_close(hypothesis.score, hypothesis.log_probability, rtol=1e-12)


@on_every_kernel
def test_a_narrow_beam_keeps_known_words_that_begin_badly(kernel):
    """With one text in the beam, an unknown beginning would win without the look ahead."""
    outputs = saying((4, 2), sure=1.0)
    with running(kernel):
        assert beam_search(outputs, width=1, space=SPACE)[0][0].tokens == (4, 2)
        best = beam_search(outputs, width=1, space=SPACE, ngrams=a_model(1, unknown=False), ngram_weight=1.0)[0][0]
    assert best.tokens in SPELLED


@on_every_kernel
def test_the_best_token_of_a_step_is_tried_however_much_is_pruned(kernel):
    case = recordings(2, 6)
    with running(kernel):
        found = beam_search(case.outputs, case.lengths, width=64, n_best=64, prune=1)
    for row, text in zip(found, greedy(case.outputs, case.lengths), strict=True):
        assert tuple(text) in [hypothesis.tokens for hypothesis in row]


# --- rows, types and mistakes -------------------------------------------------------------------------------


@on_every_kernel
def test_batch_mates_and_threads_change_no_bit(kernel):
    case = recordings()
    arguments = {"n_best": 5, "space": SPACE, "ngrams": a_model(2), "hot_words": [(1, 4)]}
    with running(kernel):
        alone = [
            beam_search(case.outputs[row : row + 1, :length], [length], **arguments)[0]
            for row, length in enumerate(case.lengths)
        ]
        for threads in (1, 2, 3):
            with threads_of_torch(threads):
                assert beam_search(case.outputs, case.lengths, **arguments) == alone


@on_every_kernel
def test_the_probability_of_a_found_text_is_that_of_its_loss(kernel):
    case = recordings(2, 12, 4)
    with running(kernel):
        found = beam_search(case.outputs, case.lengths, width=500)
    for row, (best,) in enumerate(found):
        own = case.outputs[row : row + 1, : case.lengths[row]].double()
        loss = ctc_loss(own, torch.tensor([best.tokens]), None, None)
        assert_close(best.log_probability, -float(loss[0]), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_outputs_of_any_floating_type_are_searched(dtype):
    case = recordings(3, 15)
    outputs = case.outputs.to(dtype)
    assert_same_hypotheses(beam_search(outputs, case.lengths), beam_search(outputs.float(), case.lengths), rtol=1e-6)


@on_every_kernel
@pytest.mark.parametrize(("rows", "steps"), [(0, 4), (2, 0), (0, 0)])
def test_a_batch_without_rows_or_steps_is_no_mistake(rows, steps, kernel):
    outputs, texts = torch.zeros(rows, steps, 3), torch.zeros(rows, 0, dtype=torch.int64)
    with running(kernel, outputs):
        assert [row[0].tokens for row in beam_search(outputs)] == [()] * rows
        assert greedy(outputs) == [[]] * rows
        assert len(align(outputs, texts, None, None)) == rows
        assert ctc_loss(outputs, texts, None, None).shape == (rows,)


@on_every_kernel
def test_one_token_alone_is_the_blank(kernel):
    outputs = torch.zeros(1, 3, 1)
    with running(kernel):
        assert beam_search(outputs)[0] == [((), 0.0, 0.0)]
        assert_close(ctc_loss(outputs, torch.zeros(1, 0, dtype=torch.int64), None, None), torch.zeros(1))


OUTPUTS, TEXTS = torch.zeros(2, 5, 4), torch.ones(2, 3, dtype=torch.int64)
BROKEN = OUTPUTS.clone()
BROKEN[1, 2, 0] = math.nan


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ctc_loss(OUTPUTS[0], TEXTS, None, None), DataError, r"outputs of shape \(B, T, K\).*got float32 of"),
        (lambda: greedy(OUTPUTS.long()), DataError, "floating type, got int64"),
        (lambda: greedy(OUTPUTS, [5, 6]), DataError, "lengths from 0 to 5.*got 6"),
        (lambda: ctc_loss(OUTPUTS, TEXTS.float(), None, None), DataError, "texts as whole numbers.*got float32"),
        (
            lambda: ctc_loss(OUTPUTS, TEXTS[:1], None, None),
            DataError,
            r"of shape \(2, U\), got int64 of shape \(1, 3\)",
        ),
        (lambda: ctc_loss(OUTPUTS, TEXTS * 4, None, None), DataError, r"from 1 to 3, got 4 \(row 0, token 0\)"),
        (
            lambda: ctc_loss(OUTPUTS, TEXTS * 0, None, [0, 1]),
            DataError,
            r"got 0 \(row 1, token 0\)\nhint: 0 is the blank",
        ),
        (lambda: align(OUTPUTS, TEXTS, None, [3, 4]), DataError, "got 4.*text_lengths of 3 tokens at most"),
        (lambda: beam_search(BROKEN), DataError, r"got NaN or infinite ones \(row 1, step 2\)"),
        (lambda: align(BROKEN, TEXTS, None, None), DataError, r"got NaN or infinite ones \(row 1, step 2\)"),
        (lambda: beam_search(OUTPUTS, width=0), ParameterError, "width of at least 1, got 0"),
        (lambda: beam_search(OUTPUTS, width=3, n_best=4), ParameterError, "n_best from 1 to 3, the width, got 4"),
        (lambda: beam_search(OUTPUTS, prune=2), ParameterError, "prune from 0 to 1, got 2"),
        (lambda: beam_search(OUTPUTS, space=4), ParameterError, "space from 1 to 3, got 4"),
        (lambda: beam_search(OUTPUTS, ngram_weight=-1), ParameterError, "ngram_weight of at least 0, got -1"),
        (lambda: beam_search(OUTPUTS, word_bonus=math.inf), ParameterError, "finite word_bonus, got inf"),
        (lambda: beam_search(OUTPUTS, hot_words=[()]), ParameterError, r"hot words of tokens.*got \[\]"),
        (lambda: beam_search(OUTPUTS, space=3, hot_words=[(1, 3)]), ParameterError, r"without a space, got \[1, 3\]"),
    ],
)
def test_a_mistake_is_said_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()
