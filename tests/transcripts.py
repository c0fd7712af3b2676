"""The oracle of CTC: all alignments and all texts, one by one, in float64. And the cases on which it is asked."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from bilstm.nn.ctc.ngrams import NGrams


@dataclass(frozen=True)
class TextCase:
    """A small batch of recordings and texts; all numbers come from the seed, and padding is NaN."""

    lengths: tuple[int, ...]
    text_lengths: tuple[int, ...]
    time: int
    tokens: int
    scale: float = 1.0
    seed: int = 0

    @cached_property
    def outputs(self) -> Tensor:
        """(B, T, K)."""
        generator = torch.Generator().manual_seed(self.seed)
        outputs = torch.randn(len(self.lengths), self.time, self.tokens, generator=generator) * self.scale
        for row, length in enumerate(self.lengths):
            outputs[row, length:] = torch.nan
        return outputs

    @cached_property
    def texts(self) -> Tensor:
        """(B, U), −100 after a text."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        shape = (len(self.lengths), max(self.text_lengths, default=0))
        texts = torch.randint(1, self.tokens, shape, generator=generator)
        for row, length in enumerate(self.text_lengths):
            texts[row, length:] = -100
        return texts

    def row(self, row: int) -> tuple[Tensor, tuple[int, ...]]:
        """The steps (n, K) of a row and its text."""
        return self.outputs[row, : self.lengths[row]], tuple(self.texts[row, : self.text_lengths[row]].tolist())


@st.composite
def text_cases(draw: st.DrawFn, scales: tuple[float, ...] = (1.0, 10.0, 300.0)) -> TextCase:
    """Any small batch: no steps, no texts, texts that do not fit."""
    time, rows = draw(st.integers(0, 5)), draw(st.integers(1, 4))
    each = st.lists(st.integers(0, time), min_size=rows, max_size=rows)
    texts = st.lists(st.integers(0, 4), min_size=rows, max_size=rows)
    return TextCase(
        lengths=tuple(draw(each)),
        text_lengths=tuple(draw(texts)),
        time=time,
        tokens=draw(st.integers(2, 4)),
        scale=draw(st.sampled_from(scales)),
        seed=draw(st.integers(0, 10_000)),
    )


def text_of(alignment: tuple[int, ...]) -> tuple[int, ...]:
    """Repeats merged, then blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(alignment) if token)


def all_alignments(outputs: Tensor) -> list[tuple[tuple[int, ...], Tensor]]:
    """Of one row (n, K): every alignment and the logarithm of its probability."""
    log_p = outputs.double().log_softmax(1)
    n, K = outputs.shape
    alignments = itertools.product(range(K), repeat=n)
    return [(a, log_p[torch.arange(n), list(a)].sum() if n else log_p.sum()) for a in alignments]


def loss(outputs: Tensor, text: tuple[int, ...]) -> Tensor:
    """−log P(text) of one row, +inf without an alignment."""
    own = [p for alignment, p in all_alignments(outputs) if text_of(alignment) == text]
    return -torch.stack(own).logsumexp(0) if own else outputs.new_tensor(torch.inf, dtype=torch.float64)


def all_texts(outputs: Tensor) -> dict[tuple[int, ...], float]:
    """The logarithm of the probability of every text that one row (n, K) can hold."""
    found: dict[tuple[int, ...], list[float]] = {}
    for alignment, p in all_alignments(outputs):
        found.setdefault(text_of(alignment), []).append(float(p))
    return {text: float(np.logaddexp.reduce(p)) for text, p in found.items()}


def words_of(text: tuple[int, ...], space: int | None) -> list[tuple[int, ...]]:
    """What stands between spaces."""
    groups = itertools.groupby(text, key=lambda token: token == space)
    return [tuple(group) for between, group in groups if not between]


# two words that begin alike, one that is unlikely, one that cannot be spelled; <s> 4, </s> 5, <unk> 6
SPELLED = [(1,), (1, 2), (2, 2), None, None, None, None]


def a_model(order: int = 2, unknown: bool = True, markers: bool = True, seed: int = 0) -> NGrams:
    """Of these words, with some n-grams of each order; no probabilities that sum to 1, as no search asks for that."""
    generator, V = np.random.default_rng(seed), len(SPELLED)
    grams, tables = [(w,) for w in range(V)], []
    for n in range(1, order + 1):
        if n > 1:
            grams = [(*g, w) for g in grams for w in range(V) if generator.random() < 0.3 and w != 4]
        log_p, back_off = -3 * generator.random(len(grams)), -generator.random(len(grams))
        tables.append((np.array(grams).reshape(-1, n), log_p, back_off))
    return NGrams.from_words(
        SPELLED,
        tables,
        start=4 if markers else None,
        end=5 if markers else None,
        unknown=6 if unknown else None,
    )


def sentence_score(model: NGrams, words: list[int | None], unknown_score: float) -> float:
    """As the ARPA format says it, from the tables themselves."""
    known = {
        tuple(gram): (p, b)
        for table in model.tables
        for gram, p, b in zip(table.words.tolist(), table.log_probability, table.back_off, strict=True)
    }

    def log_p(history: tuple[int, ...], word: int) -> float:
        if (*history, word) in known:
            return known[(*history, word)][0]
        assert history
        return (known[history][1] if history in known else 0) + log_p(history[1:], word)

    history: list[int] = [] if model.start is None else [model.start]
    total = 0.0
    for word in [*words, *([] if model.end is None else [model.end])]:
        here = model.unknown if word is None else word
        if word is None:
            total += unknown_score
        if here is None:
            history = []
            continue
        total += log_p(tuple(history[len(history) - min(len(history), model.order - 1) :]), here)
        history.append(here)
    assert not math.isnan(total)
    return total
