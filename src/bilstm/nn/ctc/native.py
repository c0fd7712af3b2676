"""CTC by the native kernel: tensors and arrays in, addresses out (native/ctc.hpp).

Computes nothing and knows no autograd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bilstm.data.batch import Array
from bilstm.nn.core import (
    call,
)
from bilstm.nn.ctc.equations import Alignment, Hypothesis, Search, Texts
from bilstm.nn.ctc.ngrams import NGrams, Spelling, padded, trie_of

NO_TRIE = (0, 0)


def loss(given: Texts, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """−log P(text) of each row, (B,) float64, and if wanted its gradient by the outputs, (B, T, K)."""
    outputs = given.outputs.contiguous()
    result = outputs.new_empty(len(outputs), dtype=torch.float64)
    gradients = torch.empty_like(outputs) if wanted else None
    alive, arguments = _arguments(given)
    into = 0 if gradients is None else gradients.data_ptr()
    call("ctc_loss", *arguments, outputs.data_ptr(), result.data_ptr(), into)
    del alive
    return result, gradients


def align(given: Texts) -> list[Alignment | None]:
    """The most probable alignment of each row, whose ``outputs`` are float64 logarithms; None without any."""
    log_p, (B, U) = given.outputs.contiguous(), given.texts.shape
    begin, end = (torch.zeros(B, U, dtype=torch.int64) for _ in range(2))
    confidence, whole = torch.zeros(B, U, dtype=torch.float64), torch.empty(B, dtype=torch.float64)
    alive, arguments = _arguments(given)
    into = [tensor.data_ptr() for tensor in (begin, end, confidence, whole)]
    call("ctc_align", *arguments, log_p.data_ptr(), *into)
    del alive
    columns = (begin.tolist(), end.tolist(), confidence.tolist(), whole.tolist(), given.text_lengths.tolist())
    return [
        None if p == -torch.inf else Alignment(tuple(a[:size]), tuple(z[:size]), tuple(c[:size]), p)
        for a, z, c, p, size in zip(*columns, strict=True)
    ]


def search(log_p: Tensor, lengths: Tensor, what: Search) -> list[list[Hypothesis]]:
    """The best texts of each row, best first; ``log_p`` (B, T, K) are float64 logarithms of probabilities."""
    log_p, lengths, (B, T, K) = log_p.contiguous(), lengths.contiguous(), log_p.shape
    n = min(what.n_best, what.width)
    tokens, sizes = torch.empty(B, n, T, dtype=torch.int64), torch.empty(B, n, dtype=torch.int64)
    scores = torch.empty(2, B, n, dtype=torch.float64)
    space = -1 if what.space is None else what.space
    hot = hot_arrays(what.hot_words, what.hot_weight)
    call(
        "ctc_search",
        (B, T, K, what.width, n, space, what.log_prune),
        torch.get_num_threads(),
        lengths.data_ptr(),
        log_p.data_ptr(),
        *_language(what),
        (_addresses(hot[:2]), *_addresses(hot[2:])) if hot else (NO_TRIE, 0, 0),
        tokens.data_ptr(),
        sizes.data_ptr(),
        scores[0].data_ptr(),
        scores[1].data_ptr(),
    )
    rows = zip(tokens.numpy(), sizes.tolist(), *scores.tolist(), strict=True)
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


def _language(what: Search) -> tuple[Any, Any]:
    """The model's numbers and its addresses, whose arrays live in the model."""
    model = what.ngrams
    if model is None:
        return (0, -1, -1, -1, 0.0, 0.0, 0.0), (NO_TRIE, 0, 0, NO_TRIE, 0, 0)
    markers = (-1 if marker is None else marker for marker in (model.start, model.end, model.unknown))
    numbers = (model.order, *markers, what.ngram_weight, what.word_bonus, what.unknown_score)
    return numbers, (*_trie_and_values(model, "ngrams"), *_trie_and_values(model, "spelling"))


def _trie_and_values(model: NGrams, name: str) -> tuple[Any, ...]:
    trie, *values = getattr(model, name)
    return (_addresses(trie), *_addresses(values))


def _addresses(arrays: Any) -> tuple[int, ...]:
    return tuple(int(array.ctypes.data) for array in arrays)


def _arguments(given: Texts) -> tuple[Any, tuple[Any, ...]]:
    """The packed tensors, which must live as long as their addresses, and what loss and alignment begin with."""
    alive = [tensor.contiguous() for tensor in (given.lengths, given.texts, given.text_lengths)]
    (B, T, K), U = given.outputs.shape, given.texts.shape[1]
    return alive, ((B, T, K, U), tuple(tensor.data_ptr() for tensor in alive), torch.get_num_threads())
