"""Sentences with what a tagger says of them, in pieces that a page can mark. Knows words and tags; no model."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from bilstm.data.text.tags import entities
from bilstm.formatting import shortened
from bilstm.report.blocks import Piece, Sentence

COLOURS = 7  # that can be told apart; further types have none, only their label
MOST_WORDS = 150  # of a sentence that are shown


def legend_of(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], typed: bool) -> list[tuple[str, int]]:
    """Types of entities, or tags, with the number of their colour, commonest first.

    Example:
        >>> legend_of([["B-LOC", "O"]], [["B-PER", "B-LOC"]], True)
        [('LOC', 0), ('PER', 1)]
    """
    counts: Counter[str] = Counter()
    for tags in [*truth, *predicted]:
        counts.update((kind for kind, _, _ in entities(tags)) if typed else tags)
    names = [name for name, _ in counts.most_common()]
    return [(name, place if place < COLOURS else -1) for place, name in enumerate(names)]


def marked(
    words: Sequence[str],
    truth: Sequence[str],
    predicted: Sequence[str],
    legend: Sequence[tuple[str, int]],
    typed: bool,
    name: str,
    remark: str = "",
    anchor: str = "",
) -> Sentence:
    """A sentence in pieces: what the model says, and what is true where that differs.

    Args:
        words: of the sentence.
        truth: their tags.
        predicted: what the model says.
        legend: of :func:`legend_of`.
        typed: whether the tags are of entities.
        name: of the sentence.
        remark: of it.
        anchor: by which links find it.

    Example:
        >>> tags = ["B-PER", "O"]
        >>> [(p.text, p.label, p.truth) for p in marked(["Ann", "ran"], tags, tags, [("PER", 0)], True, "s").pieces]
        [('Ann', 'PER', ''), (' ran', '', '')]
    """
    colours = dict(legend)
    spans = _entity_spans(words, truth, predicted) if typed else _word_spans(truth, predicted)
    pieces, cut = [], len(words) > MOST_WORDS
    for first, last, label, true in spans:
        if first >= MOST_WORDS:
            break
        text = joined(words[first : min(last, MOST_WORDS)])
        space = " " if first and not _glued(words[first - 1], words[first]) else ""
        if not label and not true:
            pieces.append(Piece(space + text))
            continue
        if space:
            pieces.append(Piece(space))
        pieces.append(Piece(text, label, true, colours.get(label, -1)))
    if cut:
        pieces.append(Piece(f" … ({len(words) - MOST_WORDS:,} more words)"))
    return Sentence(name, pieces, remark, anchor)


Span = tuple[int, int, str, str]  # first word, one past the last, what is said, what is true where that differs


def _entity_spans(words: Sequence[str], truth: Sequence[str], predicted: Sequence[str]) -> list[Span]:
    true, said = entities(truth), entities(predicted)
    exact, found, end = set(true), [], 0
    for kind, first, last in sorted(said, key=lambda span: span[1]):
        meets = [_told(span, words, first, last) for span in true if span[1] < last and first < span[2]]
        other = "" if (kind, first, last) in exact else " + ".join(meets) or "none"
        found += [*_missed(true, said, end, first), (first, last, kind, other)]
        end = last
    return [*found, *_missed(true, said, end, len(truth))]


def _told(span: tuple[str, int, int], words: Sequence[str], first: int, last: int) -> str:
    """A true entity beside a predicted one that it meets: its type, and its words where these are others."""
    kind, start, stop = span
    return kind if (start, stop) == (first, last) else f"{kind} “{shortened(joined(words[start:stop]), 60)}”"


def _missed(true: list[tuple[str, int, int]], said: list[tuple[str, int, int]], start: int, stop: int) -> list[Span]:
    """The words between two predicted entities, cut at the true ones that no predicted one meets."""
    found: list[Span] = []
    for kind, first, last in true:
        free = start <= first and last <= stop and not any(a < last and first < b for _, a, b in said)
        if free:
            found += [(start, first, "", "")] if first > start else []
            found.append((first, last, "", kind))
            start = last
    return [*found, *([(start, stop, "", "")] if stop > start else [])]


def _word_spans(truth: Sequence[str], predicted: Sequence[str]) -> list[Span]:
    pairs = zip(truth, predicted, strict=True)
    return [(place, place + 1, said, "" if true == said else true) for place, (true, said) in enumerate(pairs)]


def joined(words: Sequence[str]) -> str:
    """Words as text: with blanks between them, except where a script has none.

    Example:
        >>> joined(["in", "Rome"]), joined(["北", "京"])
        ('in Rome', '北京')
    """
    parts = [word if not place or _glued(words[place - 1], word) else f" {word}" for place, word in enumerate(words)]
    return "".join(parts)


def _glued(one: str, other: str) -> bool:
    return bool(one) and bool(other) and all(unicodedata.east_asian_width(c) in "WF" for c in (one[-1], other[0]))
