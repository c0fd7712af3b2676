"""A tagger examined: figures beside each word's commonest tag, marked sentences, confusion, the worst cases."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.text.tags import entities, scheme_of
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.formatting import counted, shortened
from bilstm.metrics.baselines import commonest_tags, folds
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.tags import ENTITIES, TAGS, Tags, entity_report, tag_parts, type_confusion
from bilstm.plotting.description import thinned
from bilstm.report.blocks import Block, Drawing, Heading, Piece, Sentence, Sentences, Text
from bilstm.report.classification import class_report, class_table, confusion, confusion_chart
from bilstm.report.examination import Examination, case_anchor, examine, examples, name_of, worst_rows

SHOWN = 8  # sentences, evenly chosen
FLOOR = 1e-12  # of a probability: a tag that the scheme forbids has none


@examine.register
def _(estimator: BiLSTMTagger, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    dataset = estimator.with_targets(dataset)
    dataset.check_lengths()
    assert dataset.tags is not None
    outputs = estimator.outputs(dataset)
    predicted = estimator.tags_of(estimator.decode(outputs, dataset.lengths), dataset.lengths)
    truth = estimator.split_tags(dataset.tags.to_series(), dataset.lengths)
    words = estimator.split_tags(dataset.steps[WORD], dataset.lengths)
    typed = scheme_of([*truth, *predicted]) is not None
    legend = legend_of(truth, predicted, typed)
    wrong = np.array([sum(a != b for a, b in zip(t, p, strict=True)) for t, p in zip(truth, predicted, strict=True)])

    def sentence(row: int, anchor: str = "") -> Sentence:
        remark = "no mistake" if not wrong[row] else f"{counted(int(wrong[row]), 'tag')} of {len(truth[row]):,} wrong"
        name = f"sentence {name_of(dataset, row)}"
        return marked(words[row], truth[row], predicted[row], legend, typed, name, remark, anchor)

    tagged = np.array([any(tag != "O" for tag in tags) for tags in truth])
    some = np.flatnonzero(tagged) if tagged.any() else np.arange(len(truth))
    shown = Sentences(legend, [sentence(int(row)) for row in some[thinned(len(some), SHOWN)]])
    surprise = _surprise(estimator, dataset, outputs, truth)
    worst = worst_rows(np.where(wrong > 0, wrong + surprise / (1 + surprise.max()), np.nan))
    cases: list[Block] = [Text("There is no sentence with one.")]
    if worst:
        title = Text(f"The {counted(len(worst), 'sentence')} with the most mistakes.")
        cases = [title, Sentences(legend, [sentence(row, case_anchor(row)) for row in worst])]
    each = surprise / np.maximum(dataset.lengths, 1)
    sure = np.where(tagged, -each, -np.inf)  # one without an entity is no feat
    chosen = examples(dataset, np.where(dataset.lengths > 0, each + wrong, np.nan), sure, wrong == 0)
    blocks = [Heading("Some sentences"), shown, *_blocks(estimator, truth, predicted, typed)]
    return Examination(_evaluation(words, truth, predicted, typed, say), blocks, cases, chosen)


def _surprise(estimator: BiLSTMTagger, dataset: Dataset, outputs: Array, truth: Tags) -> Array:
    """Σ −log of the probability that each word's true tag has, (N,)."""
    chances = estimator.marginals(outputs, dataset.lengths)
    codes = {tag: code for code, tag in enumerate(estimator.classes_.tolist())}
    flat = np.array([codes.get(tag, -1) for tags in truth for tag in tags], dtype=np.int64)
    known = np.where(flat < 0, 0.0, chances[np.arange(len(flat)), np.maximum(flat, 0)]) if len(flat) else np.zeros(0)
    owner = np.repeat(np.arange(len(dataset)), dataset.lengths)
    sums: Array = np.bincount(owner, weights=-np.log(np.maximum(known, FLOOR)), minlength=len(dataset))
    return sums


def _evaluation(words: Tags, truth: Tags, predicted: Tags, typed: bool, say: Callable[[str], None]) -> Evaluation:
    usual = Counter(tag for tags in truth for tag in tags).most_common(1)
    constant = [[usual[0][0]] * len(tags) if usual else [] for tags in truth]
    how = "of this data itself, at every word"
    references = [Reference("the commonest tag", how, tag_parts(truth, constant, typed))]
    if folds(len(truth)) and usual:
        say(f"counting each word's commonest tag to compare with ({len(truth):,} sentences)")
        how = f"unknown words get the commonest tag; cross-validated on this data itself in {folds(len(truth))} folds"
        rule = tag_parts(truth, commonest_tags(words, truth), typed)
        references.append(Reference("each word's commonest tag", how, rule))
    count = f"{counted(len(truth), 'sentence')} ({counted(sum(map(len, truth)), 'word')})"
    figures = [*(ENTITIES if typed else ()), *TAGS]
    return Evaluation("sentence", count, figures, tag_parts(truth, predicted, typed), references)


def _blocks(estimator: BiLSTMTagger, truth: Tags, predicted: Tags, typed: bool) -> list[Block]:
    if not typed:
        names = sorted({tag for tags in [*truth, *predicted] for tag in tags} | set(estimator.classes_.tolist()))
        codes = {name: code for code, name in enumerate(names)}
        flat = [np.array([codes[tag] for tags in part for tag in tags], dtype=int) for part in (truth, predicted)]
        table = class_table("Each tag", "tag", class_report(names, flat[0], flat[1]))
        return [confusion(flat[0], flat[1], names, "tags"), table]
    report = entity_report(truth, predicted)
    return [
        class_table("Each type of entity", "type", report),
        _type_confusion(type_confusion(truth, predicted), list(report)),
    ]


def _type_confusion(counts: dict[tuple[str, str], int], kinds: list[str]) -> Drawing:
    ends = [*kinds, "O"]
    table = np.array([[counts.get((true, guess), 0) for guess in ends] for true in ends])
    note = (
        "Entities of the same words, true types in rows. In the last column are those that were missed, in the last "
        "row those where there is none; one with a wrong end counts as both."
    )
    return confusion_chart("Confusion of types", note, table, [*kinds, "(none)"])


# -- marked sentences --------------------------------------------------------------------------------------------

COLOURS = 7  # that can be told apart; further types have none, only their label
MOST_WORDS = 150  # of a sentence that are shown


def legend_of(truth: Tags, predicted: Tags, typed: bool) -> list[tuple[str, int]]:
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
    """A sentence in pieces: what the model says, and what is true where that differs; ``typed``: tags of entities.

    Example:
        >>> tags = ["B-PER", "O"]
        >>> [(p.text, p.label, p.truth) for p in marked(["Ann", "ran"], tags, tags, [("PER", 0)], True, "s").pieces]
        [('Ann', 'PER', ''), (' ran', '', '')]
    """
    colours = dict(legend)
    spans = _entity_spans(words, truth, predicted) if typed else _word_spans(truth, predicted)
    pieces = []
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
    if len(words) > MOST_WORDS:
        pieces.append(Piece(f" … ({len(words) - MOST_WORDS:,} more words)"))
    return Sentence(name, pieces, remark, anchor)


Span = tuple[int, int, str, str]  # first word, one past the last, what is said, what is true where that differs


def _entity_spans(words: Sequence[str], truth: Sequence[str], predicted: Sequence[str]) -> list[Span]:
    true, guessed = entities(truth), entities(predicted)
    spans: list[Span] = []
    end = 0
    for kind, first, last in sorted(guessed, key=lambda span: span[1]):
        met = [_beside(span, words, first, last) for span in true if span[1] < last and first < span[2]]
        other = "" if (kind, first, last) in true else " + ".join(met) or "none"
        spans += [*_missed(true, guessed, end, first), (first, last, kind, other)]
        end = last
    return [*spans, *_missed(true, guessed, end, len(truth))]


def _beside(span: tuple[str, int, int], words: Sequence[str], first: int, last: int) -> str:
    """A true entity beside a predicted one that it meets: its type, and its words where these are others."""
    kind, start, stop = span
    return kind if (start, stop) == (first, last) else f"{kind} “{shortened(joined(words[start:stop]), 60)}”"


def _missed(true: list[tuple[str, int, int]], guessed: list[tuple[str, int, int]], start: int, stop: int) -> list[Span]:
    """The words between two predicted entities, cut at the true ones that no predicted one meets."""
    spans: list[Span] = []
    for kind, first, last in true:
        if start <= first and last <= stop and not any(a < last and first < b for _, a, b in guessed):
            spans += [(start, first, "", "")] if first > start else []
            spans.append((first, last, "", kind))
            start = last
    return [*spans, *([(start, stop, "", "")] if stop > start else [])]


def _word_spans(truth: Sequence[str], predicted: Sequence[str]) -> list[Span]:
    pairs = zip(truth, predicted, strict=True)
    return [(place, place + 1, tag, "" if true == tag else true) for place, (true, tag) in enumerate(pairs)]


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
