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
from bilstm.formatting import counted, percent, shortened
from bilstm.metrics.baselines import commonest_tags, folds
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.tags import ENTITIES, TAGS, Tags, entity_report, tag_parts, type_confusion
from bilstm.report.blocks import Block, Drawing, Heading, Piece, Sentence, Sentences, Table, Text
from bilstm.report.classification import confusion, confusion_chart, shares_of
from bilstm.report.examination import Examination, case_anchor, examine, examples, names_of, worst_rows

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
    scheme = scheme_of([*truth, *predicted])
    evaluation = _evaluation(words, truth, predicted, scheme is not None, say)
    surprise = _surprise(estimator, dataset, outputs, truth)
    wrong = np.array([sum(a != b for a, b in zip(t, p, strict=True)) for t, p in zip(truth, predicted, strict=True)])
    has = np.array([any(tag != "O" for tag in tags) for tags in truth])
    legend = legend_of(truth, predicted, scheme is not None)
    rows = worst_rows(np.where(wrong > 0, wrong + surprise / (1 + surprise.max()), np.nan))
    worst = Sentences(legend, [_shown(dataset, words, truth, predicted, legend, scheme, row, wrong) for row in rows])
    said = f"The {counted(len(rows), 'sentence')} with the most mistakes." if rows else "There is no sentence with one."
    blocks = _blocks(estimator, truth, predicted, scheme is not None)
    chosen = _spread(np.flatnonzero(has) if has.any() else np.arange(len(truth)))
    some = [_shown(dataset, words, truth, predicted, legend, scheme, row, wrong, False) for row in chosen]
    shown: list[Block] = [Heading("Some sentences"), Sentences(legend, some)]
    sure = np.where(has, -surprise / np.maximum(dataset.lengths, 1), -np.inf)  # one without an entity is no feat
    losses = np.where(dataset.lengths > 0, surprise / np.maximum(dataset.lengths, 1) + wrong, np.nan)
    found = examples(dataset, losses, sure, wrong == 0)
    return Examination(evaluation, [*shown, *blocks], [Text(said), *([worst] if rows else [])], found)


def _shown(
    dataset: Dataset,
    words: Tags,
    truth: Tags,
    predicted: Tags,
    legend: Sequence[tuple[str, int]],
    scheme: str | None,
    row: int,
    wrong: Array,
    linked: bool = True,
) -> Sentence:
    remark = "no mistake" if not wrong[row] else f"{counted(int(wrong[row]), 'tag')} of {len(truth[row]):,} wrong"
    name = f"sentence {names_of(dataset, [row])[0]}"
    anchor = case_anchor(row) if linked else ""
    return marked(words[row], truth[row], predicted[row], legend, scheme is not None, name, remark, anchor)


def _spread(rows: Array) -> list[int]:
    places = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int))
    return [int(row) for row in rows[places]]


def _surprise(estimator: BiLSTMTagger, dataset: Dataset, outputs: Array, truth: Tags) -> Array:
    """Σ −log of the probability that each word's true tag has, (N,)."""
    chances = estimator.marginals(outputs, dataset.lengths)
    codes = {tag: code for code, tag in enumerate(estimator.classes_.tolist())}
    flat = np.array([codes.get(tag, -1) for tags in truth for tag in tags], dtype=np.int64)
    given = np.where(flat < 0, 0.0, chances[np.arange(len(flat)), np.maximum(flat, 0)]) if len(flat) else np.zeros(0)
    owner = np.repeat(np.arange(len(dataset)), dataset.lengths)
    found: Array = np.bincount(owner, weights=-np.log(np.maximum(given, FLOOR)), minlength=len(dataset))
    return found


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
        rows = [
            [
                name,
                *shares_of(
                    *(int(part.sum()) for part in ((flat[0] == k) & (flat[1] == k), flat[1] == k, flat[0] == k))
                ),
            ]
            for k, name in enumerate(names)
        ]
        table = Table("Each tag", ["tag", "precision", "recall", "f1", "true ones"], rows)
        return [confusion(flat[0], flat[1], names, "tags"), table]
    report = entity_report(truth, predicted)
    rows = [
        [kind, *(percent(row[name]) for name in ("precision", "recall", "f1")), f"{row['support']:,}"]
        for kind, row in report.items()
    ]
    return [
        Table("Each type of entity", ["type", "precision", "recall", "f1", "true ones"], rows),
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
