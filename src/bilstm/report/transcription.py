"""A transcriber examined: word and character errors, transcripts below their truth, confusions, one spectrum."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from bilstm.charts import BLUE, ORANGE, Chart, figure
from bilstm.data.audio import sound_blocks
from bilstm.data.characters import BLANK, plain
from bilstm.data.columns import Array
from bilstm.data.recordings import Recordings
from bilstm.errors import DataError, from_extra
from bilstm.estimators.survey import empty_texts, report
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.estimators.transcripts import Decoding
from bilstm.report.blocks import Alignment, Alignments, Block, Drawing, Heading, Pair, Table, Text, counted
from bilstm.report.examined import WORST, Examined, case_anchor, examples, worst_rows
from bilstm.report.measured import Measure, Measured, Rival

SHOWN = 8  # transcripts, evenly chosen, and most confusions
MOST_WORDS = 120  # of a transcript that are shown
SECONDS = 12.0  # of a spectrum that are drawn: about 400 steps


def examine(estimator: BiLSTMTranscriber, dataset: Recordings, say: Callable[[str], None]) -> Examined:
    """Figures, charts and cases of a transcriber on recordings with texts."""
    recordings = estimator._with_targets(dataset)
    say(f"listening to {len(recordings):,} recordings")
    scores, findings = estimator._heard(recordings)
    report(findings + empty_texts(recordings), len(recordings), recordings.source, strict=False)
    rows = [row for row, one in enumerate(scores) if one is not None and plain(recordings.texts_said[row])]
    if not rows:
        raise DataError(f"expected recordings that can be heard, with texts, got none ({recordings.source})")
    recordings = recordings.take(rows)
    heard = [scores[row] for row in rows]
    said = [plain(text) for text in recordings.texts_said]
    found = estimator._decoder(Decoding()).transcripts(heard)
    understood = [plain(one.text) for one in found]
    greedy = [plain(text) for text in estimator._decoder(Decoding(beam=1)).texts(heard)]
    compared = [pairs_of(truth, text) for truth, text in zip(said, understood, strict=True)]
    measured = _measured(said, understood, greedy)
    sums = _sums(said, understood)
    sure = np.array([math.log(max(one.confidence, 1e-300)) / max(len(one.text), 1) for one in found])
    losses = sums[:, 0] / sums[:, 1] - sure * 1e-3  # of texts with as many mistakes the least sure
    names = recordings.names
    shown = np.unique(np.linspace(0, len(said) - 1, min(SHOWN, len(said))).round().astype(int))
    alignments = [_alignment(names[row], compared[row], sums[row], "") for row in shown]
    worst = [row for row in worst_rows(losses, WORST) if sums[row, 0] > 0]
    blocks: list[Block] = [Heading("Some transcripts, below what was said"), Alignments(alignments)]
    blocks += _confusions(compared)
    blocks += _spectrum(
        estimator, recordings, heard, understood, int(np.argsort(losses, kind="stable")[len(losses) // 2])
    )
    cases: list[Block] = [Text(f"The {counted(len(worst), 'recording')} with the largest share of wrong words.")]
    cases.append(Alignments([_alignment(names[row], compared[row], sums[row], case_anchor(row)) for row in worst]))
    if not worst:
        cases = [Text("There is no recording with a mistake.")]
    chosen = examples(recordings, losses, sure, sums[:, 0] == 0)
    return Examined(measured, blocks, cases, chosen)


def _measured(said: Sequence[str], understood: Sequence[str], greedy: Sequence[str]) -> Measured:
    measures = [
        Measure("wer", "wrong, missing and added words as a share of the words said", _wer, is_share=True),
        Measure("cer", "the same of characters", _cer, is_share=True),
        Measure("exact", "share of recordings without a mistake", _exact, higher_is_better=True, is_share=True),
    ]
    rivals = [
        Rival("the empty transcript", "nothing was said", _sums(said, [""] * len(said))),
        Rival(
            "this model, greedy", "the best character of every step, without beam search", _sums(said, greedy), False
        ),
    ]
    words = sum(len(text.split()) for text in said)
    count = f"{counted(len(said), 'recording')} ({counted(words, 'word')})"
    return Measured("recording", count, measures, _sums(said, understood), rivals)


def _sums(said: Sequence[str], understood: Sequence[str]) -> Array:
    """(N, 6): edits of words, words; edits of characters, characters; exact, one."""
    jiwer = from_extra("jiwer", "audio")
    rows = []
    for truth, text in zip(said, understood, strict=True):
        words, characters = jiwer.process_words(truth, text), jiwer.process_characters(truth, text)
        counts = [
            (one.substitutions + one.deletions + one.insertions, one.hits + one.substitutions + one.deletions)
            for one in (words, characters)
        ]
        rows.append((*counts[0], *counts[1], truth == text, 1))
    return np.array(rows, dtype=float)


def _wer(sums: Array) -> Array:
    return sums[..., 0] / sums[..., 1]


def _cer(sums: Array) -> Array:
    return sums[..., 2] / sums[..., 3]


def _exact(sums: Array) -> Array:
    return sums[..., 4] / sums[..., 5]


def pairs_of(truth: str, text: str) -> list[Pair]:
    """The words of a true text over those of a transcript, in the cheapest alignment.

    Example:
        >>> [(pair.truth, pair.heard, pair.edit) for pair in pairs_of("one two four", "one too four five")]
        [('one', 'one', 'same'), ('two', 'too', 'wrong'), ('four', 'four', 'same'), ('', 'five', 'added')]
    """
    said, heard = truth.split(), text.split()
    pairs = []
    for part in from_extra("jiwer", "audio").process_words(truth, text).alignments[0]:
        here = said[part.ref_start_idx : part.ref_end_idx]
        there = heard[part.hyp_start_idx : part.hyp_end_idx]
        edit = {"equal": "same", "substitute": "wrong", "delete": "missing", "insert": "added"}[part.type]
        for place in range(max(len(here), len(there))):
            pairs.append(Pair("".join(here[place : place + 1]), "".join(there[place : place + 1]), edit))
    return pairs


def _alignment(name: str, pairs: Sequence[Pair], sums: Array, anchor: str) -> Alignment:
    wrong, words = int(sums[0]), int(sums[1])
    remark = "no mistake" if not wrong else f"{counted(wrong, 'edit')} of {counted(words, 'word')}"
    more = len(pairs) - MOST_WORDS
    remark += f"; the first {MOST_WORDS} are shown" if more > 0 else ""
    return Alignment(name, list(pairs)[:MOST_WORDS], remark, anchor)


def _confusions(compared: Sequence[Sequence[Pair]]) -> list[Block]:
    counts = Counter((pair.truth, pair.heard) for pairs in compared for pair in pairs if pair.edit != "same")
    if not counts:
        return [Text("No word was taken for another, missed or added.", "good")]
    rows = [
        [truth or "(nothing)", heard or "(nothing)", f"{count:,}"]
        for (truth, heard), count in counts.most_common(2 * SHOWN)
    ]
    return [Table("What was taken for what, most often first", ["said", "heard", "times"], rows, texts=(0, 1))]


def _spectrum(
    estimator: BiLSTMTranscriber, recordings: Recordings, heard: Sequence[Any], understood: Sequence[str], row: int
) -> list[Block]:
    """The spectrum of one recording, and the characters that are heard in it."""
    encoder = estimator.sound_
    mel = encoder.mel_of(sound_blocks(recordings.sounds[row], encoder.rate, name=recordings.names[row]))
    frames = int(min(len(mel), SECONDS * 100))
    every = max(1, math.ceil(frames / 400))
    seconds = np.round(np.arange(0, frames, every) * 0.01, 3)
    chances = softmax(heard[row][: math.ceil(frames / encoder.stack)], axis=1)
    times = np.round((np.arange(len(chances)) + 0.5) * encoder.step_seconds, 3)
    best = chances.argmax(axis=1)
    starts = np.flatnonzero((best != BLANK) & (np.diff(best, prepend=BLANK) != 0))
    letters = [estimator.characters_.inverse([int(best[start])]) for start in starts]
    blank = {"type": "scatter", "mode": "lines", "x": times, "y": np.round(chances[:, BLANK], 3), "name": "nothing"}
    peak = {"type": "scatter", "mode": "lines", "x": times, "y": np.round(chances[:, 1:].max(axis=1), 3)}
    marks = {"type": "scatter", "mode": "text", "x": times[starts], "y": np.full(len(starts), 1.08)}
    marks |= {
        "text": [letter if letter.strip() else "␣" for letter in letters],
        "name": "character",
        "showlegend": False,
    }
    heat = {"type": "heatmap", "x": seconds, "y": np.arange(mel.shape[1]), "z": np.round(mel[:frames:every].T, 2)}
    heat |= {
        "colorscale": "Viridis",
        "showscale": False,
        "yaxis": "y2",
        "hovertemplate": "%{x} s, band %{y}<extra></extra>",
    }
    traces = [
        {**blank, "line": {"color": ORANGE, "dash": "dot", "width": 1}},
        {**peak, "name": "best character", "line": {"color": BLUE}},
        marks,
        heat,
    ]
    cut = f" Its first {SECONDS:g} seconds." if frames < len(mel) else ""
    layout = {
        "yaxis": {"domain": [0.55, 1], "range": [0, 1.2], "title": {"text": "probability"}},
        "yaxis2": {"domain": [0, 0.5], "title": {"text": "mel band"}, "automargin": True},
    }
    note = f"{recordings.names[row]}: “{understood[row]}”. Below its spectrum, above how sure each character is and when.{cut}"
    return [Drawing(Chart("When it hears what", note, figure(traces, x="seconds", **layout), height=460))]
