"""Words as vectors: an embedding, pre-trained vectors, case, and a small BiLSTM over the characters.

Knows the numbers of a batch's distinct words; does not know how they are spelled or what reads the vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from bilstm.data.batch import Batch
from bilstm.nn.lstm.layer import BiLSTM
from bilstm.training.host import generator

CASE_SIZE = 8


class WordReader(nn.Module):
    """Gives every word of a batch its vector; each distinct word is worked out once.

    .. math:: x_t = [E_{w_t};\\; V_{w_t} + \\Delta_{w_t};\\; C_{case(w_t)};\\; \\overrightarrow h_n(c_1 \\dots c_n);\\;
        \\overleftarrow h_1(c_1 \\dots c_n)]

    E is learned, V is pre-trained and stays as it is, its correction Δ is learned and begins as 0, h reads the
    characters c from both ends.

    The trap: dropout, of a word's numbers or of words that are then read as unknown, is alike wherever a word stands in
    the batch.

    Source: Lample et al. 2016, Ling et al. 2015 (characters); Gal and Ghahramani 2016 (dropping word types).
    """

    vectors: Tensor

    def __init__(
        self,
        words: int,  # in the vocabulary, without the unknown one
        characters: int,  # without padding and the unknown one
        vectors: int,  # words with a pre-trained vector
        vector_size: int,  # 0: there are none; so of the other sizes
        *,
        cases: int,  # ways of writing a word in capitals
        embedding_size: int,
        char_hidden_size: int,
        dropout: float,
        word_dropout: float,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, embedding_size) if embedding_size else None
        self.cases = nn.Embedding(cases, CASE_SIZE)
        self.register_buffer("vectors", torch.zeros(vectors + 1, vector_size))
        self.corrections = nn.Embedding(words + 1, vector_size) if vector_size else None
        if self.corrections is not None:
            nn.init.zeros_(self.corrections.weight)
        self.characters = nn.Embedding(characters + 2, char_hidden_size, padding_idx=0) if char_hidden_size else None
        self.spelling = BiLSTM(char_hidden_size, char_hidden_size, batch_first=True) if char_hidden_size else None
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.output_size = embedding_size + vector_size + CASE_SIZE + 2 * char_hidden_size

    def forward(self, batch: Batch) -> Tensor:
        """The words of a batch (B, T) with their forms (U, 3 + C) → (B, T, F)."""
        assert batch.forms is not None
        if batch.forms.shape[0] == 0:  # not len(), which would fix the size in an exported program
            return self.vectors.new_zeros(*batch.values.shape[:2], self.output_size)
        number, vector, case = batch.forms[:, :3].unbind(1)  # (U,) each
        if self.training and self.word_dropout:
            drawn = torch.rand(len(number), device=number.device, generator=generator(number.device))
            number = number * (drawn >= self.word_dropout)
        parts = [self.cases(case)]
        if self.words is not None:
            parts.append(self.words(number))
        if self.corrections is not None:
            parts.append(self.vectors[vector] + self.corrections(number))
        if self.characters is not None:
            parts.append(self.spelled(batch.forms[:, 3:]))
        forms = torch.cat(parts, dim=1)  # (U, F)
        if self.training and self.dropout:
            forms = forms * dropout_mask(forms, self.dropout)
        return embedding(batch.values.squeeze(2), forms)  # (B, T, F)

    def spelled(self, characters: Tensor) -> Tensor:
        """Characters (U, C), 0 behind the last → the last state of both directions, (U, 2H)."""
        assert self.characters is not None
        assert self.spelling is not None
        lengths = (characters != 0).sum(dim=1).cpu()  # (U,)
        if not torch.compiler.is_compiling():  # a compiler has no numbers to cut by
            characters = characters[:, : int(lengths.max())]
        h_n: Tensor
        _, (h_n, _) = self.spelling(self.characters(characters), lengths=lengths)
        return h_n.transpose(0, 1).flatten(1)  # (U, 2H)


def dropout_mask(values: Tensor, share: float) -> Tensor:
    """Numbers of the shape of ``values`` that drop a share of them and keep the sum: 0 or 1 / (1 − share).

    Four come from one random integer, which takes a sixth of the time of torch's dropout on a CPU; so a share is
    rounded to a multiple of 2⁻¹⁶.
    """
    count = values.numel()
    drawn = torch.empty(-(-count // 4), dtype=torch.int64, device=values.device)
    drawn.random_(-(2**63), None, generator=generator(values.device))
    kept = drawn.view(torch.int16)[:count].view(values.shape) >= round(share * 2**16) - 2**15
    return kept.to(values.dtype).mul_(1 / (1 - share))
