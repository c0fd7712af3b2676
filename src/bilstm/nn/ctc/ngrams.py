"""A back-off model of n-grams over words, and how these are spelled in tokens: as arrays, which the native code reads.

Knows words as numbers and spellings as numbers; knows no letters, no files and no sound. ``NGrams.score`` is the plain
twin of what the native search for texts computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bilstm.data.batch import Array
from bilstm.errors import DataError

LOWEST = -99 * np.log(10)  # how ARPA files write the logarithm of 0; −inf would make scores that cannot be compared
UNKNOWN_SCORE = -10.0  # pyctcdecode's unk_score_offset
Spelling = tuple[int, ...]


class Table(NamedTuple):
    """All n-grams of one n."""

    words: Array  # (N, n) numbers of words
    log_probability: Array  # (N,) of the last word after the others, natural logarithm
    back_off: Array  # (N,) natural logarithm of the weight by which shorter histories stand in for this one


class Trie(NamedTuple):
    """Sequences of labels, level by level: node 0 is the empty one; the children of a node stand together, in order."""

    label: Array  # (N,) int64, the last label of each node's sequence
    first: Array  # (N + 1,) int64: the children of node i are first[i] … first[i + 1] − 1

    def child(self, node: int, label: int) -> int:
        """The node one label further; −1 where there is none, or none to start from."""
        if node < 0:
            return -1
        begin, end = int(self.first[node]), int(self.first[node + 1])
        at = begin + int(np.searchsorted(self.label[begin:end], label))
        return at if at < end and self.label[at] == label else -1

    def ancestors(self, nodes: Array) -> Iterator[Array]:
        """The nodes themselves, then their parents, and so on until all have come to node 0."""
        parent = np.zeros(len(self.label), np.int64)
        parent[1:] = np.repeat(np.arange(len(self.label)), np.diff(self.first))
        while len(nodes) and nodes.any():
            yield nodes
            nodes = parent[nodes]


@dataclass(frozen=True, eq=False)
class NGrams:
    """How probable sentences are: words by the words before them, with back-off to shorter histories.

    .. math::
        \\log P(w \\mid h) = \\begin{cases} p(h\\,w) & h\\,w \\text{ is an n-gram of the model} \\\\
        b(h) + \\log P(w \\mid h') & \\text{else, } h' \\text{ being } h \\text{ without its first word} \\end{cases}

    where b is 0 for what is no n-gram. Made by ``from_words``. Katz 1987, Estimation of probabilities from sparse data
    for the language model component of a speech recognizer, IEEE Transactions on Acoustics, Speech, and Signal
    Processing 35.
    """

    spelled: list[Spelling | None]  # None for a word that cannot be written in tokens, and for <s>, </s> and <unk>
    tables: list[Table]  # the 1-grams, the 2-grams, …
    start: int | None  # the number of the word <s>; None where the model has none
    end: int | None  # of </s>
    unknown: int | None  # of <unk>

    @classmethod
    def from_words(
        cls,
        spelled: Sequence[Sequence[int] | None],
        tables: Sequence[tuple[Array, Array, Array]],
        *,
        start: int | None = None,
        end: int | None = None,
        unknown: int | None = None,
    ) -> NGrams:
        """A model of V words, numbered 0…V−1, from their tokens and the n-grams for n = 1, 2, … as in ``Table``.

        A text never has a word without tokens; of words that are spelled alike the more probable one counts.

        Example:
            >>> import numpy as np
            >>> one = np.array([[0], [1]]), np.log([0.75, 0.25]), np.log([1.0, 1.0])
            >>> model = NGrams.from_words([(1, 2), (3,)], [one])
            >>> model.order, round(float(np.exp(model.score([0, 1]))), 6)
            (1, 0.1875)
        """
        markers = {start, end, unknown}
        words = [None if w in markers or not s else tuple(int(token) for token in s) for w, s in enumerate(spelled)]
        checked = [_table(table, n + 1, len(words)) for n, table in enumerate(tables)]
        if not checked or len(checked[0].words) != len(words):
            got = f"{len(checked[0].words)} 1-grams" if checked else "no tables"
            raise DataError(f"expected a 1-gram for each of {len(words)} words, got {got} (NGrams)")
        model = cls(words, checked, start, end, unknown)
        _ = model.ngrams  # what does not fit together is said now
        return model

    @property
    def order(self) -> int:
        return len(self.tables)  # the n of the longest n-grams

    def score(self, words: Sequence[int | None], unknown_score: float = UNKNOWN_SCORE) -> float:
        """log P of a whole sentence: of its words after <s>, then of </s>, as far as the model has these two.

        None is a word that the model does not know: ``unknown_score`` is added to the score of <unk>, which is that of
        all unknown words together; without <unk> it is the whole score, and the words before are forgotten.

        Example:
            >>> import numpy as np
            >>> one = np.array([[0]]), np.log([1.0]), np.log([1.0])
            >>> NGrams.from_words([(1,)], [one]).score([0, None], unknown_score=-5)
            -5.0
        """
        history: Spelling = () if self.start is None else (self.start,)
        total = 0.0
        for word in words:
            known = self.unknown if word is None else word
            total += unknown_score if word is None else 0
            total += 0 if known is None else self.word_score(history, known)
            history = () if known is None else (*history, known)
        return total if self.end is None else total + self.word_score(history, self.end)

    def word_score(self, history: Sequence[int], word: int) -> float:
        """log P(word | history), of which only the last n − 1 words count."""
        kept = tuple(history)[max(0, len(history) - self.order + 1) :]
        if (*kept, word) in self._known:
            return self._known[(*kept, word)][0]
        back_off = self._known[kept][1] if kept in self._known else 0
        return back_off + self.word_score(kept[1:], word)

    # --- as the native code reads it ------------------------------------------------------------------------

    @cached_property
    def ngrams(self) -> tuple[Trie, Array, Array]:
        """All n-grams as a trie; of each node log-probability and back-off weight."""
        sizes = np.concatenate([np.full(len(table.words), n) for n, table in enumerate(self.tables, 1)])
        rows = np.full((len(sizes), self.order), -1)
        for n, table in enumerate(self.tables, 1):
            rows[sizes == n, :n] = table.words
        trie, nodes = trie_of(rows, sizes)
        if len(trie.label) - 1 != len(rows):
            _raise_for_missing_prefix(rows, sizes)
        log_probability, back_off = np.zeros(len(trie.label)), np.zeros(len(trie.label))
        log_probability[nodes] = np.concatenate([table.log_probability for table in self.tables])
        back_off[nodes] = np.concatenate([table.back_off for table in self.tables])
        return trie, log_probability, back_off

    @cached_property
    def spelling(self) -> tuple[Trie, Array, Array]:
        """The words' spellings as a trie; of each node the word that ends there, −1 if none, and the best below it.

        The best is the highest log-probability, as 1-grams, of the words that go through the node.
        """
        words = np.array([w for w, spelled in enumerate(self.spelled) if spelled is not None], np.int64)
        trie, nodes = trie_of(*padded([spelled for spelled in self.spelled if spelled is not None]))
        values = self.unigrams[words]
        word, best = np.full(len(trie.label), -1), np.full(len(trie.label), LOWEST)
        order = np.argsort(values, kind="stable")  # so that of words spelled alike the most probable one is written
        word[nodes[order]] = words[order]
        for above in trie.ancestors(nodes):
            np.maximum.at(best, above, values)
        return trie, word, best

    @cached_property
    def unigrams(self) -> Array:
        """(V,): the log-probabilities of the words as 1-grams."""
        scores = np.zeros(len(self.spelled))
        scores[self.tables[0].words[:, 0]] = self.tables[0].log_probability
        return scores

    @cached_property
    def _known(self) -> dict[Spelling, tuple[float, float]]:
        known: dict[Spelling, tuple[float, float]] = {}
        for words, log_probability, back_off in self.tables:
            rows = map(tuple, words.tolist())
            known.update(zip(rows, zip(log_probability.tolist(), back_off.tolist(), strict=True), strict=True))
        return known


def spell(words: Sequence[str], tokens: Mapping[str, int]) -> list[Spelling | None]:
    """The words in tokens, character by character; None for one with a character that is no token.

    Example:
        >>> spell(["ab", "a-b"], {"a": 1, "b": 2})
        [(1, 2), None]
    """
    return [tuple(tokens[c] for c in word) if all(c in tokens for c in word) else None for word in words]


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """(N, longest) int64 and (N,) their sizes; −1 after a sequence."""
    sizes = np.array([len(sequence) for sequence in sequences], np.int64)
    rows = np.full((len(sizes), max(sizes, default=0)), -1)
    rows[np.arange(rows.shape[1]) < sizes[:, None]] = np.array([x for s in sequences for x in s], np.int64)
    return rows, sizes


def trie_of(rows: Array, sizes: Array) -> tuple[Trie, Array]:
    """All beginnings of the sequences rows[i, :sizes[i]] (N, longest) as a trie, and the node (N,) of each sequence."""
    order = np.lexsort(rows.T[::-1]) if len(rows) and rows.shape[1] else np.arange(len(rows))
    labels, parents = [np.array([-1])], [np.array([-1])]
    offset, at, ends = 1, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)  # in the order of `order`
    for depth in range(rows.shape[1]):
        here, inside = rows[order, depth], sizes[order] > depth
        new = inside.copy()
        new[1:] &= (at[1:] != at[:-1]) | (here[1:] != here[:-1]) | ~inside[:-1]
        labels.append(here[new])
        parents.append(at[new])
        at = np.where(inside, offset + np.cumsum(new) - 1, at)
        offset += int(new.sum())
        ends[sizes[order] == depth + 1] = at[sizes[order] == depth + 1]
    parent = np.concatenate(parents)
    first = np.searchsorted(parent, np.arange(offset + 1))  # parents stand in order, since levels and rows do
    nodes = np.zeros(len(rows), np.int64)
    nodes[order] = ends
    return Trie(np.concatenate(labels).astype(np.int64), first.astype(np.int64)), nodes


def _table(table: tuple[Array, Array, Array], n: int, V: int) -> Table:
    """Of the right types and shapes, each word in 0…V−1, no n-gram twice."""
    words, log_probability, back_off = (np.asarray(array) for array in table)
    if words.ndim != 2 or words.shape[1] != n or {log_probability.shape, back_off.shape} != {(len(words),)}:
        raise DataError(f"expected {n}-grams of shape (N, {n}) with N numbers twice, got {words.shape} (NGrams)")
    if len(words) and (words.min() < 0 or words.max() >= V):
        wrong = int(words.max() if words.max() >= V else words.min())
        raise DataError(f"expected words from 0 to {V - 1}, got {wrong} ({n}-grams)")
    if np.isnan(log_probability).any() or np.isnan(back_off).any():
        raise DataError(f"expected logarithms of probabilities and of weights, got NaN ({n}-grams)")
    _, counts = np.unique(words, axis=0, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"expected every {n}-gram once, got one {int(counts.max())} times")
    floored = (np.maximum(values.astype(np.float64), LOWEST) for values in (log_probability, back_off))
    return Table(words.astype(np.int64), *floored)


def _raise_for_missing_prefix(rows: Array, sizes: Array) -> None:
    """The beginning of an n-gram that is none itself: nothing would say how to back off from it."""
    known = {tuple(row[:n]) for row, n in zip(rows.tolist(), sizes.tolist(), strict=True)}
    missing = next(gram for gram in known if len(gram) > 1 and gram[:-1] not in known)
    raise DataError(
        f"expected the first {len(missing) - 1} words of every {len(missing)}-gram as an n-gram too, "
        f"got none for the words {list(missing)}",
        hint="the model was cut or pruned by hand; write it again with the tool that made it",
    )
