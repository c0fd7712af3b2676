"""CTC by the native kernel (native/ctc.hpp) where it serves, else by the equations; both in double precision.

Knows autograd, precision and the border to C++; knows nothing that could be wrong with texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bilstm.data.batch import Array
from bilstm.nn import core
from bilstm.nn.core import Context, Maybe, call
from bilstm.nn.ctc import equations
from bilstm.nn.ctc.equations import Alignment, Hypothesis, Search, Texts
from bilstm.nn.ctc.ngrams import NGrams, Spelling, padded, trie_of

DOUBLE = (torch.float64,)


def loss(texts: Texts) -> Tensor:
    """−log P(text) of each row, (B,) in double precision. Differentiable."""
    outputs = texts.outputs
    if core.native_or_equations(core.serves_eagerly((outputs, outputs))) == "equations":
        return _by_equations(texts)[0]
    if torch.is_grad_enabled() and outputs.requires_grad:
        differentiable: Callable[..., Tensor] = _Eager.apply
        return differentiable(*texts)
    return _native_loss(texts, with_gradient=False)[0]


def _by_equations(texts: Sequence[Tensor]) -> tuple[Tensor]:
    outputs, *rest = texts
    wide = torch.float32 if outputs.device.type == "mps" else torch.float64  # Apple's knows no double
    return (equations.loss(Texts(outputs.to(wide), *rest)),)


def align(texts: Texts) -> list[Alignment | None]:
    """The most probable alignment of each row, whose ``outputs`` are float64 logarithms of probabilities on a CPU."""
    if core.native_or_equations(core.serves_eagerly((texts.outputs,), DOUBLE)) == "equations":
        return equations.align(texts)
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
    """The best texts of each row, best first; ``log_p`` (B, T, K) are float64 logarithms of probabilities on a CPU."""
    if core.native_or_equations(core.serves_eagerly((log_p,), DOUBLE)) == "equations":
        return equations.search(log_p, lengths, options)
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
        **_hot_words(options.hot_words, options.hot_weight),
    )
    rows = zip(tokens.numpy(), counts.tolist(), scores.tolist(), log_probabilities.tolist(), strict=True)
    return [
        [Hypothesis(tuple(t[:size].tolist()), s, p) for t, size, s, p in zip(*row, strict=True) if size >= 0]
        for row in rows
    ]


class _Eager(torch.autograd.Function):
    """The gradient is made on the way forward, where all it needs is at hand, and only weighted on the way back."""

    @staticmethod
    def forward(ctx: Context, *texts: Tensor) -> Tensor:
        result, gradients = _native_loss(Texts(*texts), with_gradient=True)
        ctx.save_for_backward(result, gradients, *texts)
        return result

    @staticmethod
    def backward(ctx: Context, d_result: Tensor) -> tuple[Maybe, ...]:
        result, gradients, *texts = ctx.saved_tensors
        if core.wants_equations([d_result]):
            return (*core.gradients_of(_by_equations, texts, [d_result], ctx.needs_input_grad),)
        weights = d_result.masked_fill(result == torch.inf, 0)  # else an infinite weight would make NaN of nothing
        return gradients * weights.to(gradients.dtype)[:, None, None], None, None, None


def _native_loss(texts: Texts, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    outputs = texts.outputs.contiguous()
    result = outputs.new_empty(len(outputs), dtype=torch.float64)
    gradients = torch.empty_like(outputs) if with_gradient else None
    call("ctc_loss", outputs=outputs, **_arguments(texts), loss=result, gradients=gradients)
    return result, gradients


def _arguments(texts: Texts) -> dict[str, object]:
    """What loss and alignment have in common."""
    return {
        "lengths": texts.lengths.contiguous(),
        "texts": texts.texts.contiguous(),
        "text_lengths": texts.text_lengths.contiguous(),
        "threads": torch.get_num_threads(),
    }


def _hot_words(words: tuple[Spelling, ...], weight: float) -> dict[str, Tensor]:
    """Their trie, and of each node the bonus of a word that has begun and of one that ends there."""
    if not words:
        return {}
    rows, sizes = padded(words)
    trie, nodes = trie_of(rows, sizes)
    shares, whole = np.zeros(len(trie.label)), np.zeros(len(trie.label))
    for above, walked in zip(trie.ancestors(nodes), range(rows.shape[1]), strict=False):
        inside = sizes > walked
        np.maximum.at(shares, above[inside], (sizes[inside] - walked) / sizes[inside])
    whole[nodes] = weight
    return _tensors("hot_labels hot_first hot_begun hot_whole", *trie, shares * weight, whole)


def _language(model: NGrams | None) -> dict[str, object]:
    """The numbers of a language model and its arrays, whose memory is the model's."""
    if model is None:
        return {}
    names = "ngram_labels ngram_first ngram_log_probability ngram_back_off word_labels word_first word_ends word_best"
    arrays = _tensors(names, *(array for trie, *values in (model.ngrams, model.spelling) for array in (*trie, *values)))
    return {"order": model.order, "start": model.start, "end": model.end, "unknown": model.unknown, **arrays}


def _tensors(names: str, *arrays: Array) -> dict[str, Tensor]:
    return dict(zip(names.split(), map(torch.from_numpy, arrays), strict=True))
