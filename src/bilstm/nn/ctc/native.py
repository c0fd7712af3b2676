"""CTC by the native kernel (native/ctc.hpp). Computes nothing and knows no autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bilstm.data.batch import Array
from bilstm.nn.core import call
from bilstm.nn.ctc.equations import Alignment, Hypothesis, Search, Texts
from bilstm.nn.ctc.ngrams import NGrams, Spelling, padded, trie_of


def loss(texts: Texts, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """−log P(text) of each row, (B,) float64, and if wanted its gradient by the outputs, (B, T, K)."""
    outputs = texts.outputs.contiguous()
    result = outputs.new_empty(len(outputs), dtype=torch.float64)
    gradients = torch.empty_like(outputs) if with_gradient else None
    call("ctc_loss", outputs=outputs, **_arguments(texts), loss=result, gradients=gradients)
    return result, gradients


def align(texts: Texts) -> list[Alignment | None]:
    """The most probable alignment of each row, whose ``outputs`` are float64 logarithms; None without any."""
    B, U = texts.texts.shape
    begin, end = (torch.zeros(B, U, dtype=torch.int64) for _ in range(2))
    confidence, whole = torch.zeros(B, U, dtype=torch.float64), torch.empty(B, dtype=torch.float64)
    result = {"begin": begin, "end": end, "confidence": confidence, "log_probability": whole}
    call("ctc_align", log_p=texts.outputs.contiguous(), **_arguments(texts), **result)
    columns = (begin.tolist(), end.tolist(), confidence.tolist(), whole.tolist(), texts.text_lengths.tolist())
    return [
        None if p == -torch.inf else Alignment(tuple(a[:size]), tuple(z[:size]), tuple(c[:size]), p)
        for a, z, c, p, size in zip(*columns, strict=True)
    ]


def search(log_p: Tensor, lengths: Tensor, options: Search) -> list[list[Hypothesis]]:
    """The best texts of each row, best first; ``log_p`` (B, T, K) are float64 logarithms of probabilities."""
    B, T, _ = log_p.shape
    n = min(options.n_best, options.width)
    tokens, counts = torch.empty(B, n, T, dtype=torch.int64), torch.empty(B, n, dtype=torch.int64)
    scores, log_probabilities = (torch.empty(B, n, dtype=torch.float64) for _ in range(2))
    call(
        "ctc_search",
        log_p=log_p.contiguous(),
        lengths=lengths.contiguous(),
        threads=torch.get_num_threads(),
        width=options.width,
        space=options.space,
        log_prune=options.log_prune,
        tokens=tokens,
        token_counts=counts,
        score=scores,
        log_probability=log_probabilities,
        **_language(options.ngrams),
        ngram_weight=float(options.ngram_weight),
        word_bonus=float(options.word_bonus),
        unknown_score=float(options.unknown_score),
        **_hot_words(options),
    )
    rows = zip(tokens.numpy(), counts.tolist(), scores.tolist(), log_probabilities.tolist(), strict=True)
    return [
        [Hypothesis(tuple(t[:size].tolist()), s, p) for t, size, s, p in zip(*row, strict=True) if size >= 0]
        for row in rows
    ]


def hot_arrays(words: tuple[Spelling, ...], weight: float) -> tuple[Array, ...]:
    """Label and first of their trie, and of each node the bonus on the way and that of a whole word; () without any."""
    if not words:
        return ()
    rows, sizes = padded(words)
    trie, nodes = trie_of(rows, sizes)
    shares, whole = np.zeros(len(trie.label)), np.zeros(len(trie.label))
    for above, walked in zip(trie.ancestors(nodes), range(rows.shape[1]), strict=False):
        inside = sizes > walked
        np.maximum.at(shares, above[inside], (sizes[inside] - walked) / sizes[inside])
    whole[nodes] = weight
    return trie.label, trie.first, shares * weight, whole


def _hot_words(options: Search) -> dict[str, object]:
    if not options.hot_words:
        return {}
    arrays = hot_arrays(options.hot_words, options.hot_weight)
    return dict(zip(("hot_labels", "hot_first", "hot_begun", "hot_whole"), map(torch.from_numpy, arrays), strict=True))


def _language(model: NGrams | None) -> dict[str, object]:
    """The numbers of a language model and its arrays, whose memory is the model's."""
    if model is None:
        return {}
    names = "ngram_labels ngram_first ngram_log_probability ngram_back_off word_labels word_first word_ends word_best"
    arrays = (array for trie, *values in (model.ngrams, model.spelling) for array in (*trie, *values))
    numbers = {"order": model.order, "start": model.start, "end": model.end, "unknown": model.unknown}
    return numbers | dict(zip(names.split(), map(torch.from_numpy, arrays), strict=True))


def _arguments(texts: Texts) -> dict[str, object]:
    """What loss and alignment have in common."""
    return {
        "lengths": texts.lengths.contiguous(),
        "texts": texts.texts.contiguous(),
        "text_lengths": texts.text_lengths.contiguous(),
        "threads": torch.get_num_threads(),
    }
