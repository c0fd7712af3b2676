"""Fits an estimator to a Stream: one pass learns the encoders and holds sequences out, every further one trains.

Knows the order of these passes; how pieces are read and mixed the Stream knows, how batches train `training` does.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset, joined
from bilstm.data.source import Source
from bilstm.data.stream import Stream, size_of
from bilstm.data.tables.chunks import interrupted
from bilstm.data.tables.merged import FeatureValues, WordCounts
from bilstm.errors import DataError, ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.circumstances import circumstances
from bilstm.estimators.goals import GOALS
from bilstm.estimators.inputs import ONE_STEP_NOTE
from bilstm.training.progress import QUIET, Show, both, mebibytes, peak_memory, progress, say
from bilstm.training.streamed import Streamed

HELD_OUT = 10_000  # sequences that are held out to stop by, at most; they stay in memory
HELD_OUT_BYTES = 32 << 20  # of them


def fit_stream(
    model: BiLSTMEstimator,
    stream: Stream,
    validation: Any,
    seed: int,
    started: float,
    told: list[str],
    on_epoch: Show | None = None,
) -> None:
    """Train ``model`` on the pieces of ``stream``; its parameters have been checked.

    Args:
        model: a regressor, a classifier or a tagger.
        stream: what to learn from.
        validation: a Dataset or a pair (X, y) to stop by; None holds sequences of the stream out.
        seed: of the run.
        started: ``time.perf_counter()`` when the fit began.
        told: texts of its warnings so far.
        on_epoch: called after every epoch with the history so far.
    """
    before = peak_memory()
    survey = surveyed(model, stream, seed, model.validation_fraction if validation is None else 0.0)
    if model.is_table_ and model.table_as == "one step":
        say(ONE_STEP_NOTE, model.verbose)
    held_out = survey.held_out if validation is None else model._given(validation)
    supply = Streamed(
        survey.training,
        survey.count,
        survey.steps,
        lambda pool: model._examples(pool, None, fit=False),
        verbose=model.verbose,
    )
    checkpoint = model._open_checkpoint(held_out, np.zeros(0))
    with progress(model.verbose, model.resolved("max_epochs")) as show:
        tell = both(show, on_epoch)
        model.history_ = model._train(supply, held_out, None, seed, checkpoint=checkpoint, on_epoch=tell)
    model._conclude(held_out, circumstances(supply, held_out, started, told))
    say(
        f"memory: {mebibytes(peak_memory())} at most, {mebibytes(before)} of it before the first row was read",
        model.verbose,
    )


def surveyed(model: BiLSTMEstimator, stream: Stream, seed: int, fraction: float) -> Survey:
    """One pass over a stream, after which ``model`` has its encoders.

    Args:
        model: gets its columns, kinds and encoders.
        stream: what to learn from.
        seed: draws what is held out.
        fraction: share of the sequences that is, if that is no more than :data:`HELD_OUT`.

    Raises:
        DataError: the data cannot be learned from; says what and where.
        ParameterError: the model takes no streams, or has no batch size.
    """
    if model.task not in GOALS:
        raise DataError(
            f"expected one file for a {model.task}, got a folder ({stream.source})",
            hint="a regressor, a classifier or a tagger reads a folder piece by piece",
        )
    if model.batch_size is None:
        raise ParameterError("expected a batch_size beside data larger than memory, got None")
    head = next((piece for piece in stream.pieces() if len(piece)), None)
    if head is None:
        raise DataError(f"expected at least one sequence, got 0 samples ({stream.source})")
    model._adopt(head)
    model.feature_names_in_ = np.array(head.feature_names, dtype=object)
    model.__dict__.pop("history_", None)  # until this fit has ended there is no fitted model
    model.is_language_ = head.is_language
    model.trained_on_ = stream.digest
    survey = Survey(model, stream, seed, fraction)
    survey.run()
    return survey


class Survey:
    """What one pass over a stream finds: encoders, counts, and the sequences that are held out.

    A sequence is held out if the number drawn for its place lies below a bar. Where too many are, the bar is lowered,
    and those above it are learned from after all: so memory stays bounded, and no encoder sees what is held out.
    """

    def __init__(self, model: Any, stream: Stream, split: int, fraction: float) -> None:
        self.model = model
        self.split, self.bar = split, fraction
        self.goals = GOALS[model.task](model)
        self.stream: Stream = self.goals.prepare(stream)
        self.words, self.features = WordCounts(), FeatureValues()
        self.count = self.steps = 0  # of what is learned from
        self.is_table = True
        self.held: list[tuple[Array, Dataset]] = []
        self.names: list[Array] = []  # of the sequences of long tables, as numbers

    @property
    def training(self) -> Stream:
        """The stream without what is held out."""
        return self.stream.without(self.split, self.bar)

    @property
    def held_out(self) -> Dataset | None:
        """The sequences to stop by, None where there are none."""
        return joined([piece for _, piece in self.held]) if self.held else None

    def run(self) -> None:
        """Read everything once, and give the model its encoders."""
        told, model = time.monotonic(), self.model
        for draws, piece in self.stream.drawn(self.split):
            self._see(piece)
            held = draws < self.bar
            self._learn(piece.take(~held) if held.any() else piece)
            if held.any():
                self.held.append((draws[held], piece.take(held)))
                self._lower_the_bar(slack=2)
            if time.monotonic() - told > QUIET:
                told = time.monotonic()
                say(f"read {self.count:,} sequences · {mebibytes(peak_memory())} of memory at most", model.verbose)
        self._lower_the_bar(slack=1)
        if self.count < 2:
            raise DataError(f"expected at least 2 sequences to learn from, got {self.count} ({self.stream.source})")
        self._check_names()
        model.is_table_ = self.is_table
        if model.is_language_:
            model._fit_words(self.words.counts, self.stream.source)
        else:
            model.features_ = self.features.encoder()
        self.goals.settle()

    def _see(self, piece: Dataset) -> None:
        piece.check_lengths()
        self.goals.see(piece)
        self.is_table = self.is_table and piece.is_table
        if piece.ids is not None:
            self.names.append(piece.ids.hash().to_numpy())

    def _learn(self, piece: Dataset) -> None:
        self.goals.learn(piece)
        if piece.is_language:
            self.words.add(piece.steps[WORD])
        else:
            self.features.add(piece.steps, piece.source)
        self.count += len(piece)
        self.steps += piece.steps.height

    def _lower_the_bar(self, slack: int) -> None:
        """Hold out no more than is allowed, once it is ``slack`` times as much."""
        count = sum(len(piece) for _, piece in self.held)
        size = sum(size_of(piece) for _, piece in self.held)
        if count <= slack * HELD_OUT and size <= slack * HELD_OUT_BYTES:
            return
        most = max(1, min(HELD_OUT, int(count * min(1.0, HELD_OUT_BYTES / size))))
        if most >= count:
            return
        draws = np.concatenate([numbers for numbers, _ in self.held])
        whole = joined([piece for _, piece in self.held])
        self.bar = float(np.partition(draws, most)[most])
        held = draws < self.bar
        self._learn(whole.take(~held))
        self.held = [(draws[held], whole.take(held))]

    def _check_names(self) -> None:
        """A sequence of a long table lies in one place: else its parts would be learned from as if they were two."""
        if not self.names:
            return
        numbers = np.sort(np.concatenate(self.names))
        repeated = pl.Series(np.unique(numbers[1:][numbers[1:] == numbers[:-1]]), dtype=pl.UInt64)
        self.names = []
        seen: dict[Any, Source] = {}
        for piece in self.stream.pieces() if len(repeated) else ():
            assert piece.ids is not None
            for name in piece.ids.filter(piece.ids.hash().is_in(repeated)):
                if name in seen:  # else two names share a number
                    raise interrupted(self.model.read_with_["group"], name, f"{seen[name]} and {piece.source}")
                seen[name] = piece.source
