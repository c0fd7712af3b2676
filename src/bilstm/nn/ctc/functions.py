"""Connectionist temporal classification: from scores of tokens at each step to texts, whose places nobody knows.

The loss, the best texts (greedy or by a search with a language model), and where the tokens of a text stand. Knows
shapes and how mistakes are worded; computes nothing itself and knows tokens as numbers: 0 is the blank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from bilstm.errors import DataError, ParameterError
from bilstm.nn import core
from bilstm.nn.ctc import equations, kernels
from bilstm.nn.ctc.equations import Alignment, Hypothesis, Search, Texts
from bilstm.nn.ctc.ngrams import UNKNOWN_SCORE, NGrams
from bilstm.nn.lstm.calls import Lengths, every_length
from bilstm.nn.lstm.equations import valid_steps

# The weights are those of pyctcdecode (alpha, beta, hotword_weight), which were found on English speech.
NGRAM_WEIGHT, WORD_BONUS, HOT_WEIGHT = 0.5, 1.5, 10.0
PRUNE = 1e-5  # 11.5 nats below a step's best: more than a language model's weight brings back in a token


def ctc_loss(outputs: Tensor, texts: Tensor, lengths: Lengths, text_lengths: Lengths) -> Tensor:
    """The negative log-likelihood of each row's text, all its alignments together.

    .. math::
        -\\log P(y \\mid x) = -\\log \\sum_{\\pi \\in \\mathcal{B}^{-1}(y)} \\prod_t \\mathrm{softmax}(x_t)_{\\pi_t}

    where an alignment π names a token for each step, and :math:`\\mathcal{B}` merges repeats and then drops blanks.
    The gradient by x is softmax − the probability of each token at each step, given the text. On a CPU in float32 (or
    less) the native kernel computes, elsewhere the equations in ``nn/ctc/equations.py``; both in double precision.

    Args:
        outputs: (B, T, K) scores of K tokens, as a network gives them: no logarithms of probabilities are needed (nor
            do they harm, since they are normalised already). Token 0 is the blank. What stands after a row's length
            changes nothing, NaN included.
        texts: (B, U) integers in 1…K−1, anything after a row's text.
        lengths: B integers in 0…T, the steps of each row; None: all have T.
        text_lengths: B integers in 0…U, the tokens of each text; None: all have U.

    Returns:
        (B,): at least 0; +inf, with gradient 0, where the text does not fit in the steps (see ``needed_steps``); 0 for
        no steps and no text. float32, or float64 where outputs are.

    Raises:
        DataError: outputs, texts and lengths do not fit each other.

    Note:
        The trap: the loss grows with the length. Divide by ``text_lengths`` for a loss of each token; and leave rows
        whose text does not fit out of a mean, which would be infinite.

    Example:
        >>> import torch
        >>> loss = ctc_loss(torch.zeros(2, 3, 4), torch.tensor([[1, 2], [3, 3]]), [3, 2], [2, 2])
        >>> loss.exp()  # 5 of 64 alignments: 112, 122, 012, 102, 120; and none, since 3, 3 needs three steps
        tensor([12.8000,     inf])

    Source:
        Graves, Fernández, Gomez & Schmidhuber 2006, Connectionist Temporal Classification: Labelling Unsegmented
        Sequence Data with Recurrent Neural Networks, ICML.
    """
    rows = _checked_outputs(outputs, lengths)
    checked = _checked_texts(outputs, rows, texts, text_lengths)
    precision = torch.float64 if outputs.dtype is torch.float64 else torch.float32
    single = outputs if outputs.dtype in (torch.float32, torch.float64) else outputs.float()
    return kernels.loss(checked._replace(outputs=single)).to(precision)


def needed_steps(text: Sequence[int]) -> int:
    """The fewest steps that hold a text: one for each token, and a blank between equal neighbours.

    Example:
        >>> needed_steps([1, 2, 2, 3])
        5
    """
    return len(text) + sum(a == b for a, b in pairwise(text))


@torch.no_grad()
def greedy(outputs: Tensor, lengths: Lengths = None) -> list[list[int]]:
    """The text of the most probable alignment of each row: repeats merged, then blanks dropped.

    Args:
        outputs: (B, T, K) scores of tokens, 0 the blank; anything after a row's length.
        lengths: as in ``ctc_loss``.

    Raises:
        DataError: outputs or lengths do not fit each other.

    Note:
        The trap: this is not the most probable text, whose probability lies in many alignments: ``beam_search``.

    Example:
        >>> import torch
        >>> outputs = torch.eye(3)[torch.tensor([[1, 1, 0, 1, 2, 2]])]
        >>> greedy(outputs), greedy(outputs, [3])
        ([[1, 1, 2]], [[1]])
    """
    return equations.greedy(outputs, _checked_outputs(outputs, lengths))


@torch.no_grad()
def beam_search(
    outputs: Tensor,
    lengths: Lengths = None,
    *,
    width: int = 32,
    n_best: int = 1,
    ngrams: NGrams | None = None,
    ngram_weight: float = NGRAM_WEIGHT,
    word_bonus: float = WORD_BONUS,
    unknown_score: float = UNKNOWN_SCORE,
    hot_words: Sequence[Sequence[int]] = (),
    hot_weight: float = HOT_WEIGHT,
    space: int | None = None,
    prune: float = PRUNE,
) -> list[list[Hypothesis]]:
    """The best texts of each row, best first, by prefix beam search with a language model.

    .. math::
        \\mathrm{score}(y) = \\log P(y \\mid x) + \\alpha \\log P_{\\text{n-grams}}(w_1 … w_m\\,\\text{</s>})
        + \\beta m + \\gamma \\cdot |\\{i : w_i \\text{ is hot}\\}|

    over the words w of y. Without n-grams and hot words the score is log P(y | x), and where the width is that of all
    texts and ``prune`` is 0, the result is exact.

    Args:
        outputs: (B, T, K) scores of tokens, 0 the blank; anything after a row's length.
        lengths: as in ``ctc_loss``.
        width: how many texts go on at each step.
        n_best: how many are returned of each row, fewer where there are no more; at most ``width``.
        ngrams: a model of words; None for none.
        ngram_weight: α, at least 0.
        word_bonus: β, what each word adds; with n-grams only, which alone prefer few words.
        unknown_score: what a word that the model does not know has (natural logarithm, before α): added to that of
            <unk>, if the model has one, which is that of all unknown words together.
        hot_words: words, as tokens, that the search should prefer.
        hot_weight: γ, what each of them adds; given out along its tokens, and taken back where it stays unfinished.
        space: the token between words; None: the whole text is one word.
        prune: a token is not tried as the next one where it is so many times less probable than the step's best token;
            0 tries all.

    Returns:
        For each row a list of ``Hypothesis(tokens, score, log_probability)``. ``log_probability`` is log P(y | x) of
        those alignments whose beginnings stayed in the beam, and so a lower bound.

    Raises:
        DataError: outputs or lengths do not fit each other; outputs are NaN or infinite.
        ParameterError: an option is out of its range.

    Note:
        A word that has begun is worth, until it ends, the best 1-gram that it can become, or that of an unknown word.

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
        >>> greedy(outputs)  # the most probable alignment, of probability 0.36
        [[]]
        >>> best, other = beam_search(outputs, n_best=2)[0]  # but 1 has three
        >>> best.tokens, round(math.exp(best.log_probability), 2), other.tokens
        ((1,), 0.64, ())

    Source:
        Hannun, Maas, Jurafsky & Ng 2014, First-Pass Large Vocabulary Continuous Speech Recognition using
        Bi-Directional Recurrent DNNs, arXiv 1408.2873.
    """
    rows = _checked_outputs(outputs, lengths)
    K, what = outputs.shape[2], "beam_search"
    _check(width >= 1, f"a width of at least 1, got {width}", what)
    _check(1 <= n_best <= width, f"n_best from 1 to {width}, the width, got {n_best}", what)
    _check(0 <= ngram_weight < math.inf, f"an ngram_weight of at least 0, got {ngram_weight}", what)
    _check(math.isfinite(word_bonus), f"a finite word_bonus, got {word_bonus}", what)
    _check(math.isfinite(unknown_score), f"a finite unknown_score, got {unknown_score}", what)
    _check(math.isfinite(hot_weight), f"a finite hot_weight, got {hot_weight}", what)
    _check(0 <= prune <= 1, f"prune from 0 to 1, got {prune}", what)
    _check(space is None or 1 <= space < K, f"a space from 1 to {K - 1}, got {space}", what)
    hot = tuple(tuple(int(token) for token in word) for word in hot_words)
    for word in hot:
        inside = all(1 <= token < K and token != space for token in word)
        _check(bool(word) and inside, f"hot words of tokens from 1 to {K - 1} without a space, got {list(word)}", what)
    log_prune = math.log(prune) if prune > 0 else -math.inf
    search = Search(
        width, n_best, space, log_prune, ngrams, ngram_weight, word_bonus, unknown_score, hot, float(hot_weight)
    )
    return kernels.search(_log_probabilities(outputs, rows), rows, search)


@torch.no_grad()
def align(outputs: Tensor, texts: Tensor, lengths: Lengths, text_lengths: Lengths) -> list[Alignment | None]:
    """Where the tokens of each row's text stand: its most probable alignment, by Viterbi's algorithm.

    Args:
        outputs: (B, T, K) scores of tokens, 0 the blank; anything after a row's length.
        texts: as in ``ctc_loss``.
        lengths: as in ``ctc_loss``.
        text_lengths: as in ``ctc_loss``.

    Returns:
        For each row ``Alignment(begin, end, confidence, log_probability)``: of each token the first step, the step past
        its last, and its highest probability in these; None where the text has no alignment.

    Raises:
        DataError: outputs, texts and lengths do not fit each other; outputs are NaN or infinite.

    Example:
        >>> import torch
        >>> outputs = 9 * torch.eye(3)[torch.tensor([[0, 1, 1, 0, 2]])]
        >>> alignment = align(outputs, torch.tensor([[1, 2]]), None, None)[0]
        >>> alignment.begin, alignment.end, [round(p, 2) for p in alignment.confidence]
        ((1, 4), (3, 5), [1.0, 1.0])
    """
    rows = _checked_outputs(outputs, lengths)
    checked = _checked_texts(outputs, rows, texts, text_lengths)
    return kernels.align(checked._replace(outputs=_log_probabilities(outputs, rows), texts=checked.texts.cpu()))


def _checked_outputs(outputs: Tensor, lengths: Lengths) -> Tensor:
    """The steps of each row, (B,) int64 on the CPU."""
    if outputs.dim() != 3 or outputs.shape[2] < 1 or not outputs.is_floating_point():
        raise DataError(
            "expected outputs of shape (B, T, K) and a floating type, "
            f"got {str(outputs.dtype).removeprefix('torch.')} of shape {tuple(outputs.shape)}",
            hint="the last axis holds a score for each token, first for the blank",
        )
    return every_length(lengths, *outputs.shape[:2])


def _checked_texts(outputs: Tensor, rows: Tensor, texts: Tensor, text_lengths: Lengths) -> Texts:
    """int64 and each token in 1…K−1 where there is a text."""
    (B, _, K), whole = outputs.shape, not (texts.is_floating_point() or texts.dtype == torch.bool)
    if not whole or texts.dim() != 2 or len(texts) != B:
        raise DataError(
            f"expected texts as whole numbers of shape ({B}, U), "
            f"got {str(texts.dtype).removeprefix('torch.')} of shape {tuple(texts.shape)}"
        )
    U = texts.shape[1]
    try:
        sizes = every_length(text_lengths, B, U)
    except DataError as error:
        raise DataError(f"{error.message} (text_lengths of {U} tokens at most)") from None
    texts = texts.to(outputs.device, torch.int64)
    if not (core.watched() or core.transformed()):  # there they may have no values that one could look at
        wrong = ((texts < 1) | (texts >= K)) & valid_steps(sizes, texts)
        if wrong.any():
            row, at = (int(place) for place in wrong.nonzero()[0])
            raise DataError(
                f"expected tokens from 1 to {K - 1}, got {int(texts[row, at])} (row {row}, token {at})",
                hint="0 is the blank, which no text holds",
            )
    return Texts(outputs, rows, texts, sizes)


def _log_probabilities(outputs: Tensor, rows: Tensor) -> Tensor:
    """(B, T, K) float64 on the CPU; without NaN where there is a step."""
    wide = outputs.cpu().double()
    valid = valid_steps(rows, wide)
    if wide.numel() and (broken := ~wide.amax(2).isfinite() & valid).any():  # −inf is a token of probability 0
        row, step = (int(place) for place in broken.nonzero()[0])
        raise DataError(
            f"expected finite outputs, got NaN or infinite ones (row {row}, step {step})",
            hint="the network has diverged, or what it was given is NaN",
        )
    return wide.log_softmax(2)


def _check(right: bool, expectation: str, where: str) -> None:
    if not right:
        raise ParameterError(f"expected {expectation} ({where})")
