"""What an estimator learns of its targets in one pass over a Stream: bounds and moments, labels, tags.

Knows targets of each task; does not know features, files or networks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch

from bilstm.data.dataset import WORD, Dataset
from bilstm.data.encoders import numeric_targets
from bilstm.data.source import ARRAYS, Source
from bilstm.data.stream import Stream
from bilstm.data.tables.merged import TargetMoments
from bilstm.data.text.tags import Evidence, mended
from bilstm.errors import DataError, warn

MOST_LABELS = 10_000  # different ones; a classifier has an output for each


class Goals(Protocol):
    """What is learned of targets, piece by piece."""

    def prepare(self, stream: Stream) -> Stream:
        """The stream as it is to be learned from, perhaps after a look at all of it."""
        ...

    def see(self, piece: Dataset) -> None:
        """Look at targets that are learned from or held out."""
        ...

    def learn(self, piece: Dataset) -> None:
        """Look at targets that are learned from."""
        ...

    def settle(self) -> None:
        """Check them, and give the estimator its encoders."""
        ...


class Numbers:
    """Targets of a regressor."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.moments = TargetMoments()
        self.ends: Any = None  # lowest and highest of each target, (2, K)
        self.source = ARRAYS

    def prepare(self, stream: Stream) -> Stream:
        return stream

    def see(self, piece: Dataset) -> None:
        assert piece.targets is not None
        values = numeric_targets(piece.targets, piece.source)  # (N, K)
        both = values if self.ends is None else np.concatenate([self.ends, values])
        self.ends, self.source = np.stack([both.min(axis=0), both.max(axis=0)]), piece.source

    def learn(self, piece: Dataset) -> None:
        assert piece.targets is not None
        self.moments.add(piece.targets, piece.source)

    def settle(self) -> None:
        names = list(self.moments.moments)
        self.model._check_targets(_only_targets(pl.DataFrame(self.ends, schema=names), self.source))
        self.model.scaler_ = self.moments.scaler()


class Labels:
    """Targets of a classifier: one label a sequence, or lists of them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.counts: Counter[Any] = Counter()
        self.like: Dataset | None = None

    def prepare(self, stream: Stream) -> Stream:
        return stream

    def see(self, piece: Dataset) -> None:
        assert piece.targets is not None
        if piece.targets.width > 1:
            self.model._check_targets(piece)  # which refuses it
        self.like = self.like or piece.take([0])
        column = piece.targets.to_series()
        labels = column.explode().drop_nulls() if isinstance(column.dtype, pl.List) else column
        found: Any = labels.value_counts()
        self.counts.update(dict(zip(found[labels.name].to_list(), found["count"].to_list(), strict=True)))
        if len(self.counts) > MOST_LABELS:
            raise DataError(
                f"expected labels that repeat, got more than {MOST_LABELS:,} different ones ({piece.source})",
                hint="for numbers use a regressor",
            )

    def learn(self, piece: Dataset) -> None:
        """Nothing: classes are those of all sequences, as in a fit of data in memory."""

    def settle(self) -> None:
        assert self.like is not None
        assert self.like.targets is not None
        column = self.like.targets.to_series()
        labels = sorted(self.counts, key=str)
        lists = [[label] for label in labels] if isinstance(column.dtype, pl.List) else labels
        # each more than once, for scikit-learn takes labels that never repeat for numbers
        few = pl.Series(column.name, lists * 3, strict=False)
        self.model._check_targets(_only_targets(few.to_frame(), self.like.source))
        if self.model.class_weight == "balanced" and not self.model.several_:
            counts = np.array([self.counts[label] for label in self.model.classes_.tolist()])
            weights = counts.sum() / (len(counts) * counts)
            self.model.class_weights_ = torch.from_numpy(weights.astype(np.float32))


class Tags:
    """Targets of a tagger; a pass of their own finds the scheme, since one piece may not show it."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tags: set[str] = set()
        self.broken = self.words = 0
        self.like: Dataset | None = None

    def prepare(self, stream: Stream) -> Stream:
        evidence = Evidence()
        for piece in stream.pieces():
            evidence.add(self._sentences(piece))
        self.model.scheme_, self.model.repaired_ = evidence.scheme, 0
        if evidence.scheme is None:
            return stream
        scheme = evidence.scheme
        self.model.scheme_ = "iobes" if scheme == "iobes" else "bio"

        def mend(piece: Dataset) -> Dataset:
            whole, broken = mended(self._sentences(piece), scheme)
            self.broken, self.words = self.broken + broken, self.words + len(whole)
            return replace(piece, tags=pl.DataFrame({piece.target_names[0]: pl.Series(whole, dtype=pl.String)}))

        return stream.mapped(mend)

    def _sentences(self, piece: Dataset) -> list[list[str]]:
        if piece.tags is None:
            raise DataError(f"expected a tag for every word, got one target a sentence ({piece.source})")
        found: list[list[str]] = self.model.split_tags(piece.tags.to_series(), piece.lengths)
        return found

    def see(self, piece: Dataset) -> None:
        assert piece.tags is not None
        self.tags.update(piece.tags.to_series().unique().to_list())
        self.like = self.like or piece.take([0])

    def learn(self, piece: Dataset) -> None:
        """Nothing: tags are those of all sentences, as in a fit of data in memory."""

    def settle(self) -> None:
        assert self.like is not None
        self.model.repaired_ = self.broken
        if self.broken:
            warn(
                f"{self.broken} of {self.words} tags broke the {self.model.scheme_.upper()} scheme and were repaired",
                stacklevel=2,
            )
        tags = pl.DataFrame({self.like.target_names[0]: pl.Series(sorted(self.tags), dtype=pl.String)})
        steps = pl.DataFrame({WORD: pl.Series([""] * tags.height, dtype=pl.String)})
        few = Dataset(steps, np.array([tags.height]), tags=tags, source=self.like.source, is_language=True)
        self.model._check_targets(few)


def _only_targets(targets: pl.DataFrame, source: Source) -> Dataset:
    """Targets without their sequences, for a check of what they are."""
    steps = pl.DataFrame({"x": np.zeros(targets.height)})
    return Dataset(steps, np.ones(targets.height, dtype=np.int64), targets, source=source)


GOALS: dict[str, Callable[[Any], Goals]] = {"regressor": Numbers, "classifier": Labels, "tagger": Tags}
