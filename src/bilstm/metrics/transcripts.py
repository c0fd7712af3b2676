"""Figures of merit of transcripts beside the truth, by jiwer. Knows texts; not who wrote them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bilstm.data.text.encoder import plain
from bilstm.errors import DataError, from_extra
from bilstm.metrics.figures import Figure, Parts, figures_of, ratio, share, totals


def transcript_metrics(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """``wer``, ``cer``, ``exact`` and ``n``: edits of words, and of characters, as shares of those of the truth.

    .. math:: \\mathrm{WER} = \\frac{S + D + I}{N}

    with S substitutions, D deletions and I insertions in the cheapest way to make the N words of all true texts into
    the predicted ones. White space is made plain first; capitals and punctuation count. ``exact`` is the share of texts
    without a mistake; a true text without words is an error.

    The trap: the rates may pass 1, since words can be inserted without end.

    Example:
        >>> transcript_metrics(["one two three four"], ["one too three"])["wer"]
        0.5
    """
    truth, predicted = _checked(truth, predicted)
    return figures_of(TRANSCRIPTS, totals(transcript_parts(truth, predicted))) | {"n": len(truth)}


def transcript_parts(truth: Sequence[str], predicted: Sequence[str]) -> Parts:
    """What each text adds: edits of words, words; edits of characters, characters; exact, one."""
    jiwer = from_extra("jiwer", "audio")
    truth, predicted = list(truth), list(predicted)
    columns = []
    for compare, size in ((jiwer.process_words, lambda text: len(text.split())), (jiwer.process_characters, len)):
        edits = [
            sum(
                max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx)
                for part in alignment
                if part.type != "equal"
            )
            for alignment in compare(truth, predicted).alignments
        ]
        columns += [edits, [size(text) for text in truth]]
    exact = [a == b for a, b in zip(truth, predicted, strict=True)]
    return [np.column_stack([*columns, exact, np.ones(len(truth))]).astype(np.float64)]


WER = "word error rate: wrong, missing and added words as a share of the words said"
TRANSCRIPTS = (
    Figure("wer", WER, ratio(0, 1), is_share=True),
    Figure("cer", "the same of characters", ratio(2, 3), is_share=True),
    share("exact", "share of recordings without a mistake", ratio(4, 5)),
)


def transcript_alignment(truth: Sequence[str], predicted: Sequence[str], names: Sequence[str] | None = None) -> str:
    """The texts with a mistake, true and predicted words one above the other: S, D and I mark the edits."""
    jiwer = from_extra("jiwer", "audio")
    truth, predicted = _checked(truth, predicted)
    parts = []
    for row, (said, understood) in enumerate(zip(truth, predicted, strict=True)):
        if said != understood:
            found = jiwer.visualize_alignment(jiwer.process_words(said, understood), show_measures=False)
            lines = [line.rstrip() for line in found.splitlines()[1:] if line.strip()]
            parts.append("\n".join([str(row if names is None else names[row]), *lines]))
    right = len(truth) - len(parts)
    return "\n\n".join([*parts, f"{right} of {len(truth)} texts without a mistake"])


def _checked(truth: Sequence[str], predicted: Sequence[str]) -> tuple[list[str], list[str]]:
    if len(truth) != len(predicted) or not len(truth):
        raise DataError(f"expected as many predicted texts as true ones, got {len(predicted)} and {len(truth)}")
    said = [plain(text) for text in truth]
    if "" in said:
        raise DataError(f"expected words in every true text, got none in text {said.index('')}")
    return said, [plain(text) for text in predicted]
