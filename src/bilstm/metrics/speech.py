"""Figures of merit of transcripts beside the truth, by jiwer. Knows texts; not who wrote them."""

from __future__ import annotations

from collections.abc import Sequence

from bilstm.data.text.encoder import plain
from bilstm.errors import DataError, from_extra


def transcript_metrics(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """``wer``, ``cer`` and ``n``: edits of words, and of characters, as shares of those of the truth.

    .. math:: \\mathrm{WER} = \\frac{S + D + I}{N}

    with S substitutions, D deletions and I insertions in the cheapest way to make the N words of all true texts into
    the predicted ones. White space is made plain first; capitals and punctuation count.

    Args:
        truth: what was said, (N,); no text is empty.
        predicted: what was understood, (N,).

    Returns:
        dict: also ``exact``, the share of texts without a mistake.

    Raises:
        DataError: different numbers of texts, none at all, or a true text without words.

    The trap: the rates may pass 1, since words can be inserted without end.

    Example:
        >>> transcript_metrics(["one two three four"], ["one too three"])["wer"]
        0.5
    """
    jiwer = from_extra("jiwer", "audio")
    truth, predicted = _checked(truth, predicted)
    return {
        "wer": float(jiwer.wer(truth, predicted)),
        "cer": float(jiwer.cer(truth, predicted)),
        "exact": sum(a == b for a, b in zip(truth, predicted, strict=True)) / len(truth),
        "n": len(truth),
    }


def transcript_alignment(truth: Sequence[str], predicted: Sequence[str], names: Sequence[str] | None = None) -> str:
    """The texts with a mistake, true and predicted words one above the other: S, D and I mark the edits.

    Args:
        truth: what was said, (N,).
        predicted: what was understood, (N,).
        names: of the recordings, (N,), or None.
    """
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
