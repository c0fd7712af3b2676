"""A transcriber examined: word and character errors, transcripts below their truth, confusions, one spectrum."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np
from scipy.special import softmax

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.sound.reader import Sound, sound_blocks
from bilstm.data.sound.recordings import Recordings
from bilstm.data.text.encoder import BLANK, plain
from bilstm.errors import DataError, from_extra
from bilstm.estimators.recording_checks import empty_texts, report_findings
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.estimators.transcripts import Decoding
from bilstm.formatting import counted, shortened
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.transcripts import TRANSCRIPTS, transcript_parts
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import ORANGE, Axis, HeatMap, Line, Mark, Panel, Texts, thinned
from bilstm.plotting.interactive import to_plotly
from bilstm.report.blocks import Alignment, Alignments, Block, Drawing, Heading, Pair, Table, Text
from bilstm.report.examination import Examination, case_anchor, examine, examples, worst_rows

SHOWN = 8  # transcripts, evenly chosen, and most confusions
MOST_WORDS = 120  # of a transcript that are shown


@examine.register
def _(estimator: BiLSTMTranscriber, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    say(f"listening to {counted(len(dataset), 'recording')}")
    recordings, heard = _scores(estimator, estimator.with_targets(dataset))
    transcripts = estimator.decoder(Decoding()).transcripts(heard)
    greedy = [plain(text) for text in estimator.decoder(Decoding(beam=1)).texts(heard)]
    said, understood = [plain(text) for text in recordings.texts_said], [plain(one.text) for one in transcripts]
    compared = [pairs_of(truth, text) for truth, text in zip(said, understood, strict=True)]
    (sums,), names = transcript_parts(said, understood), recordings.names
    sure = np.array([math.log(max(one.confidence, 1e-300)) / max(len(one.text), 1) for one in transcripts])
    losses = sums[:, 0] / sums[:, 1] - 1e-6 * sure  # of texts with as many mistakes the least sure
    typical = int(np.argsort(losses, kind="stable")[len(losses) // 2])
    blocks: list[Block] = [
        Heading("Some transcripts, each below what was said"),
        Alignments([_alignment(names[row], compared[row], sums[row], "") for row in thinned(len(said), SHOWN)]),
        *_confusions(compared),
        spectrum(estimator, recordings.sounds[typical], names[typical], heard[typical], understood[typical]),
    ]
    worst = [row for row in worst_rows(losses) if sums[row, 0] > 0]
    cases: list[Block] = [Text("There is no recording with a mistake.", "good")]
    if worst:
        shown_worst = [_alignment(names[row], compared[row], sums[row], case_anchor(row)) for row in worst]
        head = f"The {counted(len(worst), 'recording')} with the largest share of wrong words."
        cases = [Text(head), Alignments(shown_worst)]
    chosen = examples(recordings, losses, sure, sums[:, 0] == 0)
    return Examination(_evaluation(said, understood, greedy), blocks, cases, chosen)


def _scores(estimator: BiLSTMTranscriber, recordings: Recordings) -> tuple[Recordings, list[Array]]:
    """The recordings that can be heard and have a text, and their scores (T_i, K); the others are reported."""
    scores, findings = estimator.scores(recordings)
    report_findings(findings + empty_texts(recordings), len(recordings), recordings.source, strict=False)
    texts = recordings.texts_said
    heard = {row: one for row, one in enumerate(scores) if one is not None and plain(texts[row])}
    if not heard:
        raise DataError(f"expected recordings that can be heard, with texts, got none ({recordings.source})")
    return recordings.take(list(heard)), list(heard.values())


def _evaluation(said: Sequence[str], understood: Sequence[str], greedy: Sequence[str]) -> Evaluation:
    how = "the best character of every step, without beam search"
    references = [
        Reference("the empty transcript", "nothing was said", transcript_parts(said, [""] * len(said))),
        Reference("this model, greedy", how, transcript_parts(said, greedy), is_baseline=False),
    ]
    words = sum(len(text.split()) for text in said)
    count = f"{counted(len(said), 'recording')} ({counted(words, 'word')})"
    return Evaluation("recording", count, TRANSCRIPTS, transcript_parts(said, understood), references)


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
        pairs += [Pair(one, other, edit) for one, other in zip_longest(here, there, fillvalue="")]
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


# -- one recording as a chart ------------------------------------------------------------------------------------

SECONDS = 12.0  # of a recording that are drawn
COLUMNS = 400  # of its spectrum at most: what a screen shows
FRAME = 0.01  # seconds
SECONDS_AXIS = Axis("seconds")


def spectrum(estimator: BiLSTMTranscriber, sound: Sound, name: str, scores: Array, text: str) -> Drawing:
    """The chart of one recording: scores (T, K) of its characters, and the text that was understood."""
    encoder = estimator.sound_
    mel = encoder.mel_of(sound_blocks(sound, encoder.rate, name=name))  # (frames, bands)
    frames = int(min(len(mel), SECONDS / FRAME))
    shown = scores[: math.ceil(frames / encoder.stack)]
    panels = [
        Panel(_characters(estimator, shown), SECONDS_AXIS, Axis("probability", limits=(0, 1.2))),
        Panel([_bands(mel[:frames])], SECONDS_AXIS, Axis("mel band")),
    ]
    cut = f" Its first {SECONDS:g} seconds." if frames < len(mel) else ""
    note = f"{name}: “{shortened(text, 200)}”. Above, how sure each character is and when; below, the spectrum.{cut}"
    return Drawing(Chart("When it hears what", note, to_plotly(panels), height=460))


def _characters(estimator: BiLSTMTranscriber, scores: Array) -> list[Mark]:
    """The chance of silence, that of the best character, and the characters where they begin."""
    chances = softmax(scores, axis=1)
    times = (np.arange(len(chances)) + 0.5) * estimator.sound_.step_seconds
    return [
        Line(chances[:, BLANK], times, name="nothing", colour=ORANGE, width=1, dash="dot"),
        Line(chances[:, 1:].max(axis=1), times, name="best character"),
        written(estimator, chances),
    ]


def written(estimator: BiLSTMTranscriber, chances: Array) -> Texts:
    """The likeliest characters of a recording, of chances (T, K), where they begin."""
    best = chances.argmax(axis=1)
    starts = np.flatnonzero((best != BLANK) & (np.diff(best, prepend=BLANK) != 0))
    signs = [estimator.characters_.inverse([int(best[start])]) for start in starts]
    times = (starts + 0.5) * estimator.sound_.step_seconds
    return Texts(times, np.full(len(starts), 1.02), [sign if sign.strip() else "␣" for sign in signs])


def _bands(mel: Array) -> HeatMap:
    every = max(1, math.ceil(len(mel) / COLUMNS))
    seconds, hover = np.arange(0, len(mel), every) * FRAME, "%{x} s, band %{y}<extra></extra>"
    return HeatMap(mel[::every].T, "sound", x=seconds, y=np.arange(mel.shape[1]), hover=hover)
