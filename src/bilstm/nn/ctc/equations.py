"""CTC as one reads it: the sum over all alignments, the best one, and the search for the best texts.

Right by definition, in any floating type and on any device; autograd makes gradients. Knows tensors, and of texts what
n-grams and hot words are worth; knows no errors and no speed. Token 0 is the blank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import exp, inf, log1p
from typing import NamedTuple

import torch
from torch import Tensor

from bilstm.nn.crf.equations import log_sum_exp
from bilstm.nn.ctc.ngrams import NGrams, Spelling
from bilstm.nn.lstm.equations import valid_steps


class Texts(NamedTuple):
    """Scores of tokens, and the texts that they are asked about."""

    outputs: Tensor  # (B, T, K); what stands at or after a row's length never matters, NaN included
    lengths: Tensor  # (B,) int64 on the CPU, each in 0…T
    texts: Tensor  # (B, U) int64, each in 1…K−1; anything after a row's text
    text_lengths: Tensor  # (B,) int64 on the CPU, each in 0…U


class Hypothesis(NamedTuple):
    """A text that a recording may hold."""

    tokens: tuple[int, ...]
    score: float  # log_probability, and what its words are worth
    log_probability: float  # natural logarithm, of the text given the sound: of all its alignments together


class Alignment(NamedTuple):
    """Where the tokens of a text stand, in its most probable alignment."""

    begin: tuple[int, ...]  # the first step of each token
    end: tuple[int, ...]  # the step past its last one; up to the next token's begin follow blanks
    confidence: tuple[float, ...]  # the highest probability that the token has in these steps
    log_probability: float  # natural logarithm, of the whole alignment


@dataclass(frozen=True)
class Search:
    """What is searched for: see ``ctc.beam_search``."""

    width: int
    n_best: int
    space: int | None
    log_prune: float
    ngrams: NGrams | None
    ngram_weight: float
    word_bonus: float
    unknown_score: float
    hot_words: tuple[Spelling, ...]
    hot_weight: float


def loss(texts: Texts) -> Tensor:
    """−log P(text) of each row, (B,): +inf with gradient 0 where it has no alignment.

    States are blank, first token, blank, …, last token, blank: S = 2U + 1 of them. A step stays, goes on by one, or
    goes on by two, past a blank between unequal tokens.
    """
    B, T, _ = texts.outputs.shape
    valid = valid_steps(texts.lengths, texts.outputs)  # (B, T)
    log_p = texts.outputs.masked_fill(~valid.unsqueeze(2), 0).log_softmax(2)
    tokens, skips = _states(texts)  # (B, S) each
    own = log_p.gather(2, tokens.unsqueeze(1).expand(B, T, -1))  # (B, T, S)
    forward = torch.full_like(tokens, -inf, dtype=log_p.dtype)
    forward[:, 0] = own[:, :0, 0].sum(1)  # 0, and with a graph where there are no steps
    for here, alive in zip(own.unbind(1), valid.unsqueeze(2).unbind(1), strict=True):  # (B, S), (B, 1)
        arrived = log_sum_exp(_ways(forward, skips), 0) + here
        forward = torch.where(alive, arrived, forward)
    log_p_text = log_sum_exp(_ends(forward, texts.text_lengths), 1)
    impossible = log_p_text == -inf
    return torch.where(impossible, inf, 0 - log_p_text.masked_fill(impossible, 0))


def _states(texts: Texts) -> tuple[Tensor, Tensor]:
    """The token of each state (B, S), and whether it can be reached from the last state but one."""
    B, U = texts.texts.shape
    inside = torch.arange(U, device=texts.texts.device) < texts.text_lengths.to(texts.texts.device).unsqueeze(1)
    labels = texts.texts.masked_fill(~inside, 0)
    tokens, skips = labels.new_zeros(B, 2 * U + 1), inside.new_zeros(B, 2 * U + 1)
    tokens[:, 1::2] = labels
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return tokens.to(texts.outputs.device), skips.to(texts.outputs.device)


def _ways(forward: Tensor, skips: Tensor) -> Tensor:
    """(3, B, S): what comes to each state by staying, from the state before it, and from the one before that."""
    one, two = (torch.nn.functional.pad(forward, (n, 0), value=-inf)[:, : forward.shape[1]] for n in (1, 2))
    return torch.stack([forward, one, two.masked_fill(~skips, -inf)])


def _ends(forward: Tensor, text_lengths: Tensor) -> Tensor:
    """(B, 2): of the last blank and of the last token; −inf for the latter where the text is empty."""
    last = 2 * text_lengths.to(forward.device).unsqueeze(1)  # (B, 1)
    token = forward.gather(1, (last - 1).clamp(min=0)).masked_fill(last == 0, -inf)
    return torch.cat([forward.gather(1, last), token], 1)


def align(texts: Texts) -> list[Alignment | None]:
    """The most probable alignment of each row, whose ``outputs`` are logarithms of probabilities; None without any.

    Of equals, the one that came to its states first.
    """
    tokens, skips = _states(texts)
    alignments = []
    for row, (steps, size) in enumerate(zip(texts.lengths.tolist(), texts.text_lengths.tolist(), strict=True)):
        states = slice(0, 2 * size + 1)
        own = texts.outputs[row, :steps, tokens[row, states]]  # (steps, S)
        alignments.append(_align_row(own, skips[row, states]))
    return alignments


def _align_row(own: Tensor, skips: Tensor) -> Alignment | None:
    S = own.shape[1]
    forward, came = torch.full((1, S), -inf, dtype=own.dtype, device=own.device), []
    forward[0, 0] = 0
    for here in own:
        best, by = _ways(forward, skips).max(0)  # of equals the first way
        forward = best + here
        came.append(by[0].tolist())
    last = max((S - 1, S - 2) if S > 1 else (0,), key=lambda s: float(forward[0, s]))
    log_p = float(forward[0, last])
    if log_p == -inf:
        return None
    path = [last]
    for ways in reversed(came[1:]):
        path.append(path[-1] - ways[path[-1]])
    path = path[::-1][: len(came)]
    places = [[t for t, state in enumerate(path) if state == s] for s in range(1, S, 2)]
    confidence = tuple(max(exp(own[t, 2 * u + 1]) for t in steps) for u, steps in enumerate(places))
    return Alignment(tuple(t[0] for t in places), tuple(t[-1] + 1 for t in places), confidence, log_p)


def greedy(outputs: Tensor, lengths: Tensor) -> list[list[int]]:
    """The text of the most probable alignment of each row: repeats merged, then blanks dropped."""
    if outputs.shape[1] == 0:
        return [[] for _ in outputs]
    best = outputs.argmax(2)  # (B, T)
    before = torch.nn.functional.pad(best, (1, 0), value=0)[:, :-1]
    kept = valid_steps(lengths, outputs) & (best != 0) & (best != before)
    return [row[here].tolist() for row, here in zip(best.cpu(), kept.cpu(), strict=True)]


def search(log_p: Tensor, lengths: Tensor, options: Search) -> list[list[Hypothesis]]:
    """The best texts of each row, best first; ``log_p`` (B, T, K) are logarithms of probabilities."""
    worth = Worth(options)
    rows = zip(log_p.cpu(), lengths.tolist(), strict=True)
    return [_search_row(steps[:length].tolist(), options, worth) for steps, length in rows]


class Ends(NamedTuple):
    """Of a text the sums over its alignments that end in a blank and in its last token, as logarithms."""

    blank: float
    token: float

    @property
    def both(self) -> float:
        return _log_add(self.blank, self.token)


def _search_row(log_p: list[list[float]], options: Search, worth: Worth) -> list[Hypothesis]:
    beam: dict[Spelling, Ends] = {(): Ends(0, -inf)}
    for here in log_p:
        grown = _step(beam, here, options.log_prune)
        ranked = sorted(grown, key=lambda text: -(grown[text].both + worth.growing(text)))
        beam = {text: grown[text] for text in ranked[: options.width] if grown[text].both > -inf}
    hypotheses = [Hypothesis(text, ends.both + worth.whole(text), ends.both) for text, ends in beam.items()]
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[: options.n_best]


def _step(beam: dict[Spelling, Ends], log_p: list[float], log_prune: float) -> dict[Spelling, Ends]:
    """All texts that a step makes of those in the beam; first those that are there already."""
    blank: dict[Spelling, float] = defaultdict(lambda: -inf)
    token: dict[Spelling, float] = defaultdict(lambda: -inf)
    for text, ends in beam.items():
        blank[text] = ends.both + log_p[0]
        token[text] = ends.token + log_p[text[-1]] if text else -inf
    tried = [c for c in range(1, len(log_p)) if log_p[c] >= max(log_p) + log_prune]
    for text, ends in beam.items():
        for c in range(1, len(log_p)):
            longer = (*text, c)
            if c in tried or longer in beam:  # what is there already loses nothing
                before = ends.blank if text and text[-1] == c else ends.both
                token[longer] = _log_add(token[longer], before + log_p[c])
    return {text: Ends(blank[text], token[text]) for text in token}


class Worth:
    """What the words of a text add to its score."""

    def __init__(self, options: Search) -> None:
        self.options, self.ngrams = options, options.ngrams
        self.endless = None if self.ngrams is None else replace(self.ngrams, end=None)  # for a sentence that goes on
        self.growing: Callable[[Spelling], float] = cache(self._growing)

    def whole(self, text: Spelling) -> float:
        """Of a text at its end."""
        words = self._words(text)
        return self._sentence(words, self.ngrams) + self._hot(words)

    def _growing(self, text: Spelling) -> float:
        """Of a text that goes on: its last word, where one has begun, is worth what it may become."""
        *words, begun = self._words(text)
        total = self._sentence(words, self.endless) + self._hot(words)
        if not begun:
            return total
        if self.ngrams is not None:
            unknown = 0 if self.ngrams.unknown is None else float(self.ngrams.unigrams[self.ngrams.unknown])
            expected = self._beginnings.get(begun, unknown + self.options.unknown_score)
            total += self.options.ngram_weight * expected + self.options.word_bonus
        shares = [len(begun) / len(hot) for hot in self.options.hot_words if hot[: len(begun)] == begun]
        return total + self.options.hot_weight * max(shares, default=0)

    def _words(self, text: Spelling) -> list[Spelling]:
        """What stands between spaces, the empty words too."""
        words: list[Spelling] = [()]
        for token in text:
            words = [*words, ()] if token == self.options.space else [*words[:-1], (*words[-1], token)]
        return words

    def _sentence(self, words: list[Spelling], ngrams: NGrams | None) -> float:
        if ngrams is None:
            return 0.0
        numbers = [self._numbers.get(word) for word in words if word]
        score = ngrams.score(numbers, self.options.unknown_score)
        return self.options.ngram_weight * score + self.options.word_bonus * len(numbers)

    def _hot(self, words: list[Spelling]) -> float:
        return self.options.hot_weight * sum(word in self.options.hot_words for word in words)

    @cached_property
    def _scored(self) -> list[tuple[float, int, Spelling]]:
        """Each word that is written in tokens, after its log-probability as a 1-gram: the least probable first."""
        if self.ngrams is None:
            return []
        scores = self.ngrams.unigrams.tolist()
        return sorted((scores[word], word, spelled) for word, spelled in enumerate(self.ngrams.spelled) if spelled)

    @cached_property
    def _numbers(self) -> dict[Spelling, int]:
        """Of every spelling the most probable word."""
        return {spelled: word for _, word, spelled in self._scored}

    @cached_property
    def _beginnings(self) -> dict[Spelling, float]:
        """Of every beginning of a word the best 1-gram that it can become."""
        return {spelled[: size + 1]: score for score, _, spelled in self._scored for size in range(len(spelled))}


def _log_add(x: float, y: float) -> float:
    x, y = max(x, y), min(x, y)
    return x if y == -inf else x + log1p(exp(y - x))
