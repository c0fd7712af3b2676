"""What is understood of a recording: text, words with times and confidence, other readings.

Knows characters, steps and seconds; how scores become numbers of characters, nn/ctc.py knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bilstm.data.columns import Array
from bilstm.data.text.arpa import Arpa, read_arpa
from bilstm.data.text.encoder import BLANK, SPACE, CharacterEncoder, plain
from bilstm.errors import DataError, ParameterError
from bilstm.metrics.transcripts import transcript_alignment, transcript_metrics
from bilstm.nn.ctc.equations import Alignment
from bilstm.nn.ctc.functions import HOT_WEIGHT, NGRAM_WEIGHT, WORD_BONUS, align, beam_search, ctc_loss, greedy
from bilstm.nn.ctc.ngrams import NGrams, spell
from bilstm.training.host import inference

BEAM = 32  # prefixes kept at each step
PIECE = 20.0, 30.0  # seconds of a piece, at least and at most, in which more than a minute is searched
TOGETHER = 65_536  # padded steps that are decoded together, so that memory does not grow with the data


class Word(NamedTuple):
    """A word of a transcript: from ``start`` to ``end`` in seconds; ``confidence`` in 0…1.

    The confidence is the product of the highest probabilities that its characters have in their own steps.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """What was understood of one recording."""

    text: str
    confidence: float  # the probability of exactly this text, all its alignments together, without a language model
    words: list[Word] = field(default_factory=list)
    alternatives: list[tuple[str, float]] = field(default_factory=list)  # best first, with probabilities; if asked for
    note: str | None = None  # what is wrong with the recording

    def to_json(self) -> dict[str, Any]:
        """All of it, rounded; alternatives and the note only where there are some."""
        words = [
            {"text": w.text, "start": round(w.start, 3), "end": round(w.end, 3), "confidence": round(w.confidence, 4)}
            for w in self.words
        ]
        others = [{"text": text, "probability": round(chance, 4)} for text, chance in self.alternatives]
        plain = {"text": self.text, "confidence": round(self.confidence, 4), "words": words}
        return plain | ({"alternatives": others} if others else {}) | ({"note": self.note} if self.note else {})


def columns_of(names: Sequence[str], transcripts: Sequence[Transcript]) -> list[pl.Series]:
    """Transcripts as columns ``path``, ``text``, ``confidence``; and ``note`` where one has one."""
    columns = [
        pl.Series("path", names, dtype=pl.String),
        pl.Series("text", [one.text for one in transcripts], dtype=pl.String),
        pl.Series("confidence", [round(one.confidence, 4) for one in transcripts], dtype=pl.Float64),
    ]
    if any(one.note for one in transcripts):
        columns.append(pl.Series("note", [one.note for one in transcripts], dtype=pl.String))
    return columns


@dataclass(frozen=True)
class Decoding:
    """How scores become text.

    Args:
        beam: prefixes kept at each step; 1 takes the best character of every step.
        alternatives: other readings to find beside the best one; none of a recording of more than a minute.
        lm: a language model in an ARPA file, or None.
        lm_weight: how much the language model counts beside the sound.
        word_bonus: added for every word, so that a language model does not favour few long ones.
        hot_words: words to be expected.
        hot_weight: added for each of them.
        look_ahead: seconds heard behind what is written down, as in a stream; None hears each recording as a whole.

    Raises:
        ParameterError: a number out of its range.
    """

    beam: int = BEAM
    alternatives: int = 0
    lm: str | Path | None = None
    lm_weight: float = NGRAM_WEIGHT
    word_bonus: float = WORD_BONUS
    hot_words: Sequence[str] = ()
    hot_weight: float = HOT_WEIGHT
    look_ahead: float | None = None

    def __post_init__(self) -> None:
        counts: list[tuple[str, Any, int]] = [("beam", self.beam, 1), ("alternatives", self.alternatives, 0)]
        for name, value, least in counts:
            if not isinstance(value, Integral) or value < least:
                raise ParameterError(f"expected {name} to be a whole number of at least {least}, got {value!r}")
        if self.look_ahead is not None and not 0 <= self.look_ahead < math.inf:
            raise ParameterError(f"expected a look-ahead of at least 0 seconds, got {self.look_ahead}")
        if isinstance(self.hot_words, str):
            raise ParameterError(f"expected a list of hot words, got one text, {self.hot_words!r}")

    @property
    def is_greedy(self) -> bool:
        """Whether the best character of every step is all that is wanted."""
        return self.beam == 1 and self.lm is None and not self.hot_words and not self.alternatives


Reading = tuple[Sequence[int], float]  # numbers of characters, and the logarithm of their probability


Heard = tuple[list[Reading], float, Alignment]  # of a piece: its readings, log P of the first, where that stands


class Decoder:
    """Makes transcripts of scores, by one way of decoding."""

    def __init__(self, characters: CharacterEncoder, step_seconds: float, decoding: Decoding) -> None:
        self.characters, self.step_seconds, self.decoding = characters, step_seconds, decoding
        self.ngrams = None if decoding.lm is None else spelled(read_arpa(decoding.lm), characters, decoding.lm)
        self.hot_words = [characters.transform(word) for word in decoding.hot_words]
        if strange := characters.unknown(decoding.hot_words):
            shown = ", ".join(map(repr, sorted(strange)))
            raise DataError(f"expected hot words in characters that the model knows, got {shown}")

    def texts(self, scores: Sequence[Array]) -> list[str]:
        """The best text of each recording's scores (T_i, K)."""
        pieces = [self._pieces(one) for one in scores]
        with inference():
            readings = self._readings([piece for parts in pieces for piece in parts])
        best = (one[0][0] for one in readings)
        return [plain(self.characters.inverse([n for _ in parts for n in next(best)])) for parts in pieces]

    def transcripts(self, scores: Sequence[Array]) -> list[Transcript]:
        """The best text of each recording's scores (T_i, K), with words, times and confidence."""
        pieces = [self._pieces(one) for one in scores]
        with inference():
            heard = iter(list(self._heard([piece for parts in pieces for piece in parts])))
        return [self._joined([next(heard) for _ in parts], [len(part) for part in parts]) for parts in pieces]

    def _pieces(self, scores: Array) -> list[Array]:
        """A long recording's scores in pieces, cut where nothing is said for longest; a short one's as they are.

        The search for one long text would cost its square; at a blank the cut takes nothing from the best characters.
        """
        least, most = (round(seconds / self.step_seconds) for seconds in PIECE)
        pieces = []
        while len(scores) > 2 * most:
            blanks = scores[least:most].argmax(axis=1) == BLANK
            edges = np.flatnonzero(np.diff(blanks, prepend=False, append=False)).reshape(-1, 2)  # of runs of blanks
            longest = edges[np.diff(edges, axis=1).argmax()] if len(edges) else edges
            cut = least + (int(longest.mean()) if len(edges) else int(scores[least:most, BLANK].argmax()))
            pieces.append(scores[:cut])
            scores = scores[cut:]
        return [*pieces, scores]

    def _heard(self, scores: Sequence[Array]) -> Iterator[Heard]:
        readings = self._readings(scores)
        for rows in _together(scores):
            outputs, lengths = _padded([scores[row] for row in rows])
            best = [list(readings[row][0][0]) for row in rows]
            texts = torch.nn.utils.rnn.pad_sequence([torch.tensor(one, dtype=torch.int64) for one in best], True)
            counts = torch.tensor([len(one) for one in best])
            logs = -ctc_loss(outputs, texts, lengths, counts)
            places = align(outputs, texts, lengths, counts)
            for row, log, place in zip(rows, logs, places, strict=True):
                assert place is not None  # what was read fits
                yield readings[row], float(log), place

    def _joined(self, parts: list[Heard], lengths: list[int]) -> Transcript:
        """The transcript of a recording from those of its pieces; other readings only of one that was not cut."""
        starts = np.cumsum(lengths) - lengths
        numbers: list[int] = []
        places: list[tuple[float, float, float]] = []  # first step, the one past the last, confidence
        for start, (readings, _, place) in zip(starts, parts, strict=True):
            numbers += readings[0][0]
            steps = zip(place.begin, place.end, place.confidence, strict=True)
            places += [(start + begin, start + end, sure) for begin, end, sure in steps]
        others = parts[0][0][1:] if len(parts) == 1 else []
        return Transcript(
            plain(self.characters.inverse(numbers)),
            math.exp(sum(log for _, log, _ in parts)),
            self._words(numbers, places),
            [(plain(self.characters.inverse(one)), math.exp(log)) for one, log in others],
        )

    def _readings(self, scores: Sequence[Array]) -> list[list[Reading]]:
        """Numbers of characters with the logarithm of their probability, best first, for each recording."""
        readings: list[list[Reading]] = []
        how = self.decoding
        for rows in _together(scores):
            outputs, lengths = _padded([scores[row] for row in rows])
            if how.is_greedy:
                readings += [[(one, math.nan)] for one in greedy(outputs, lengths)]
                continue
            width = max(how.beam, how.alternatives + 1)
            for hypotheses in beam_search(
                outputs,
                lengths,
                width=width,
                n_best=width if how.alternatives else 1,
                ngrams=self.ngrams,
                ngram_weight=how.lm_weight,
                word_bonus=how.word_bonus,
                hot_words=self.hot_words,
                hot_weight=how.hot_weight,
                space=self.characters.space,
            ):
                texts: dict[str, tuple[Sequence[int], float]] = {}  # some differ in their white space alone
                for one in hypotheses:
                    texts.setdefault(plain(self.characters.inverse(one.tokens)), (one.tokens, one.log_probability))
                readings.append(list(texts.values())[: how.alternatives + 1])
        return readings

    def _words(self, numbers: Sequence[int], places: Sequence[tuple[float, float, float]]) -> list[Word]:
        words, first = [], 0
        for word in self.characters.inverse(numbers).split(SPACE):
            last = first + len(word)
            if word:
                start, stop = places[first][0] * self.step_seconds, places[last - 1][1] * self.step_seconds
                sure = float(np.prod([confidence for _, _, confidence in places[first:last]]))
                words.append(Word(word, float(start), float(stop), sure))
            first = last + 1
        return words


def spelled(arpa: Arpa, characters: CharacterEncoder, source: str | Path) -> NGrams:
    """A language model in a model's characters; a DataError where these write none of its words."""
    words = spell(arpa.words, characters.numbers)
    markers = {arpa.start, arpa.end, arpa.unknown}
    plain_words = [number for number in range(len(words)) if number not in markers]
    if not any(words[number] for number in plain_words):
        shown = ", ".join(repr(arpa.words[number]) for number in plain_words[:3])
        hint = "does the language model write capitals, and the training texts small letters?"
        raise DataError(f"expected words in characters that the model knows, got {shown} ({source})", hint=hint)
    return NGrams.from_words(words, arpa.tables, start=arpa.start, end=arpa.end, unknown=arpa.unknown)


def _together(scores: Sequence[Array]) -> list[range]:
    """Neighbours that are decoded in one go."""
    groups, first, longest = [], 0, 1
    for row, steps in enumerate(map(len, scores)):
        longest = max(longest, steps)
        if row > first and longest * (row + 1 - first) > TOGETHER:
            groups.append(range(first, row))
            first, longest = row, max(steps, 1)
    return [*groups, range(first, len(scores))] if scores else []


def _padded(scores: Sequence[Array]) -> tuple[Tensor, Tensor]:
    """Scores of some recordings as (B, T, K), and their lengths (B,)."""
    lengths = torch.tensor([len(one) for one in scores], dtype=torch.int64)
    parts: list[Any] = [torch.from_numpy(np.ascontiguousarray(one, dtype=np.float32)) for one in scores]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True), lengths


@dataclass(frozen=True)
class Comparison:
    """True texts beside understood ones, with the names of their recordings."""

    truth: list[str]
    understood: list[str]
    names: list[str]

    @property
    def metrics(self) -> dict[str, float]:
        """``wer``, ``cer``, ``exact`` and ``n``; see :func:`bilstm.metrics.transcripts.transcript_metrics`."""
        return transcript_metrics(self.truth, self.understood)

    def alignment(self) -> str:
        """True and understood words one above the other, for every text with a mistake."""
        return transcript_alignment(self.truth, self.understood, self.names)
