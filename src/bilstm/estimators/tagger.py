"""BiLSTMTagger: a tag for every word of a sentence, by a CRF. Knows tags and their schemes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bilstm.data.batch import Batch, Sequences, unsorted_steps
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset, is_frame
from bilstm.data.encoders import LabelEncoder
from bilstm.data.source import Source
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import is_folder, read_folder
from bilstm.data.text.reader import from_words, read_sentences, words_in
from bilstm.data.text.tags import Evidence, check_tags, mended, repair, valid_transitions
from bilstm.errors import DataError, ParameterError, did_you_mean, warn
from bilstm.estimators.base import NAMED
from bilstm.estimators.entities import Entity, found_entities
from bilstm.estimators.inputs import Columns
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.parameters import store
from bilstm.estimators.space import WORDS
from bilstm.formatting import counted, listed
from bilstm.metrics.tags import entity_tables, tagging_metrics
from bilstm.networks.network import StepNetwork
from bilstm.nn.crf.layer import CRF
from bilstm.nn.lstm.equations import valid_steps
from bilstm.training.host import inference
from bilstm.training.loop import PREDICTION_BATCH
from bilstm.training.streamed import FirstPass


class BiLSTMTagger(LanguageEstimator):
    """Predicts a tag for each word with a BiLSTM and a CRF on top of it.

    .. math:: P(y \\mid x) \\propto \\exp \\Big( \\sum_t e_\\theta(x)_{t, y_t} + \\sum_t W_{y_{t-1} y_t} \\Big)

    The loss is the negative log-likelihood of the true tags; prediction is the best whole sequence (Viterbi). Where
    tags are BIO or IOBES, sequences that break the scheme have probability 0.

    Args:
        crf: score whole sequences of tags; without it every word is tagged alone.
        patience: epochs without a better validation f1 or accuracy after which training stops; none never stops early.

    The other parameters are described at :class:`bilstm.estimators.base.BiLSTMEstimator` and
    :class:`bilstm.estimators.language.LanguageEstimator`.

    Attributes:
        classes_: the tags, sorted, (K,).
        scheme_: bio or iobes, or None where tags are not of that kind.
        repaired_: how many training tags broke the scheme and were repaired.
        network_: the trained network.
        history_: what training did, a History.
        words_: the encoder of words, fitted on the training sentences.

    The trap: accuracy over words flatters where most tags are O; look at the entities' f1.

    Example:
        >>> sentences = [["Ann", "lives", "in", "Rome"], ["Rome", "is", "old"]] * 8
        >>> tags = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O", "O"]] * 8
        >>> model = BiLSTMTagger(max_epochs=5).fit(sentences, tags)
        >>> [len(found) for found in model.predict(["Ann is in Rome .", "old"])]
        [5, 1]

    Source: Huang, Xu and Yu 2015; Lample et al. 2016.
    """

    task = "tagger"
    unit = "sentence"
    summary = "A tag for every word of a sentence."
    fit_example = "train.conll --valid dev.conll -o names.bilstm"
    tune_example = "train.conll --valid dev.conll --minutes 60 --plot trials.png -o names.bilstm"
    data_help = (
        "A file of CoNLL columns or CoNLL-U, a JSON lines or Parquet file with lists of words and of tags, or a folder "
        "of such tables."
    )
    reading = ("text", "tag")
    option_help: ClassVar = {"text": "The column of texts or of lists of words, by default tokens or words."}
    learns_from_streams = True
    each_step = True
    keeps_best_metric = True
    higher_is_better = True
    space = WORDS
    compare_trials_by = "metric"

    crf: bool
    classes_: Array
    scheme_: str | None
    repaired_: int

    def __init__(
        self,
        *,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.5,
        crf: bool = True,
        embedding_size: int = 100,
        char_hidden_size: int = 48,
        embedding_dropout: float = 0.5,
        word_dropout: float = 0.1,
        min_count: int = 2,
        lowercase: bool = True,
        vectors: str | Path | None = None,
        extra_vectors: int = 50_000,
        optimizer: str = "adam",
        learning_rate: float = 0.003,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        clip_norm: float | None = 1.0,
        batch_size: int | None = 32,
        max_epochs: int = 20,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        store(self, locals())

    @property
    def metric_name(self) -> str:  # type: ignore[override]
        """What the history shows of the validation part."""
        return "accuracy" if self.scheme_ is None else "f1"

    # -- predict -------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> list[list[str]]:
        """The best sequence of tags for each sentence, in the caller's order.

        Args:
            X: a Dataset, a list of texts, or a list of lists of words.
        """
        dataset = self._sentences(X)
        return self.tags_of(self.decode(self.outputs(dataset), dataset.lengths), dataset.lengths)

    def prediction_columns(self, X: Any) -> list[pl.Series]:
        """``words`` and ``tags``; and where tags are BIO or IOBES the ``entities`` with their places in the text."""
        dataset = self._sentences(X)
        lists = {"words": words_in(dataset), "tags": self.predict(dataset)}
        columns = [pl.Series(name, values, dtype=pl.List(pl.String)) for name, values in lists.items()]
        if self.scheme_ is None:
            return columns
        entities = [
            [entity._asdict() | {"probability": round(entity.probability, 4)} for entity in sentence]
            for sentence in self.entities(dataset)
        ]
        return [*columns, pl.Series("entities", entities)]

    def predict_proba(self, X: Any) -> list[Array]:
        """Probability of each tag at each word, (T_i, K) a sentence, columns in the order of ``classes_``.

        With a CRF these are its exact marginals, by the forward–backward algorithm.
        """
        dataset = self._sentences(X)
        return np.split(self.marginals(self.outputs(dataset), dataset.lengths), np.cumsum(dataset.lengths)[:-1])

    def best(self, X: Any, n: int = 5) -> list[list[tuple[list[str], float]]]:
        """The n most probable sequences of tags of each sentence with their probabilities, best first.

        Raises:
            ParameterError: the model has no CRF.
        """
        dataset = self._sentences(X)
        outputs = self.outputs(dataset)
        if self.crf_layer is None:
            raise ParameterError("expected a model with a CRF for the best sequences, got crf=False")
        result: list[list[tuple[list[str], float]]] = [[] for _ in range(len(dataset))]
        with inference():
            batches = list(Sequences(outputs, dataset.lengths).in_order(PREDICTION_BATCH))
            best = [self.crf_layer.best(batch.values, batch.lengths, n) for batch in batches]
        for batch, (tags, logs) in zip(batches, best, strict=True):
            for row, length, paths, chances in zip(batch.rows, batch.lengths, tags, logs.exp(), strict=True):
                result[int(row)] = [
                    (self.classes_[path[: int(length)].numpy()].tolist(), float(chance))
                    for path, chance in zip(paths, chances, strict=True)
                    if chance > 0
                ]
        return result

    def entities(self, X: Any) -> list[list[Entity]]:
        """The entities of each sentence, with their place in the text and their exact probability.

        A probability is that of exactly these words being exactly such an entity, over all sequences of tags.

        Raises:
            ParameterError: the tags of the model are not BIO or IOBES.
        """
        dataset = self._sentences(X)
        outputs = self.outputs(dataset)
        self._check_scheme()
        codes = self.decode(outputs, dataset.lengths)
        return found_entities(dataset, outputs, codes, self.classes_.tolist(), self.crf_layer)

    def score(self, X: Any, y: Any = None) -> float:
        """Entity f1 where tags are BIO or IOBES, else the accuracy over words."""
        dataset = self.with_targets(self._sentences(X, y))
        return self.measure(dataset, self.outputs(dataset))[self.metric_name]

    def report(self, X: Any, y: Any = None) -> str:
        """Entities by type, and what was taken for what, as two tables of text.

        Raises:
            ParameterError: the tags of the model are not BIO or IOBES.
        """
        dataset = self.with_targets(self._sentences(X, y))
        self._check_scheme()
        return entity_tables(self._true_tags(dataset), self.predict(dataset))

    def _check_scheme(self) -> None:
        if self.scheme_ is None:
            got = f"got tags such as {self.classes_.tolist()[0]!r}"
            raise ParameterError(f"expected a model of BIO or IOBES tags, {got}", hint="use predict")

    @classmethod
    def read_for_fit(
        cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]
    ) -> Dataset | Stream:
        """Read tagged sentences to train on: a file, or a folder of tables, which is read piece by piece."""
        if like is None and is_folder(path):
            return read_folder(path, text=columns.get("text"), tag=columns.get("tag"))
        return read_sentences(path, text=columns.get("text"), tag=columns.get("tag"))

    def _read_language(self, path: str | Path, with_targets: bool, text: str | None) -> Dataset:
        return read_sentences(path, tag=self.read_with_.get("tag"), text=text, with_tags=with_targets)

    # -- hooks ---------------------------------------------------------------------------------------------

    def _from_language(self, X: Any, y: Any) -> Dataset:
        if y is None or is_frame(X):
            return super()._from_language(X, None)
        if any(isinstance(sentence, str) for sentence in X):
            raise DataError("expected sentences as lists of words beside their tags, got text", hint="text.split()")
        return from_words(X, y)

    def _from_arrays(self, X: Any, y: Any, *, reset: bool) -> Dataset:
        return self._from_language(X, y)

    def _sentences(self, X: Any, y: Any = None) -> Dataset:
        return X if isinstance(X, Dataset) else self.to_dataset(X, y)

    def training_data(self, X: Any, y: Any) -> Dataset:
        dataset = super().training_data(X, y)
        if dataset.tags is not None and dataset.tags.height == 0:
            raise DataError(f"expected sentences of words, got no word in any of them ({dataset.source})")
        mend, counts = self._mending([dataset])
        dataset = mend(dataset)
        self._tell_repairs(counts, dataset.source)
        return dataset

    def _prepared(self, stream: Stream) -> Stream:
        mend, self._repairs = self._mending(stream.pieces())  # a pass of its own: one piece may not show the scheme
        return stream.mapped(mend)

    def _read_stream(self, stream: Stream, seed: int, fraction: float) -> FirstPass:
        first = super()._read_stream(stream, seed, fraction)
        self._tell_repairs(self._repairs, stream.source)
        del self._repairs
        return first

    def _mending(self, pieces: Iterable[Dataset]) -> tuple[Callable[[Dataset], Dataset], Counter[str]]:
        """Find the scheme of all pieces; what brings each piece into it, and counts its tags and those it repairs."""
        evidence, counts = Evidence(), Counter[str]()
        for piece in pieces:
            evidence.add(self._true_tags(piece))
        scheme = evidence.scheme
        self.scheme_ = "bio" if scheme == "iob1" else scheme

        def mend(piece: Dataset) -> Dataset:
            if scheme is None:
                return piece
            tags, broken = mended(self._true_tags(piece), scheme)
            counts.update(tags=len(tags), broken=broken)
            return replace(piece, tags=pl.DataFrame({piece.target_names[0]: pl.Series(tags, dtype=pl.String)}))

        return mend, counts

    def _tell_repairs(self, counts: Counter[str], source: Source) -> None:
        self.repaired_ = counts["broken"]
        if self.repaired_:
            assert self.scheme_ is not None
            broken = f"{self.repaired_} of {counts['tags']} tags broke the {self.scheme_.upper()} scheme"
            warn(f"{broken} and were repaired ({source})", stacklevel=5)

    def _true_tags(self, dataset: Dataset) -> list[list[str]]:
        if dataset.tags is None:
            raise DataError(f"expected a tag for every word, got one target a sentence ({dataset.source})")
        return self.split_tags(dataset.tags.to_series(), dataset.lengths)

    @staticmethod
    def split_tags(tags: pl.Series, lengths: Array) -> list[list[str]]:
        flat, ends = tags.to_list(), np.cumsum(lengths)
        return [flat[a:b] for a, b in zip(ends - lengths, ends, strict=True)]

    def _new_encoders(self) -> None:
        super()._new_encoders()
        self.labels_ = LabelEncoder()

    def _update_targets(self, dataset: Dataset) -> None:
        assert dataset.tags is not None
        self.labels_.update(np.array(list(set(dataset.tags.to_series())), dtype=str), dataset.source)

    def _check_targets(self, source: Source) -> None:
        self.classes_ = self.labels_.classes
        if len(self.classes_) < 2:
            raise DataError(f"expected at least two tags, got {self.classes_.tolist()[0]!r} at every word ({source})")

    def with_targets(self, dataset: Dataset) -> Dataset:
        if dataset.tags is None:
            raise DataError(f"expected sentences with tags, got none ({dataset.source})")
        unknown = sorted(set(dataset.tags.to_series().to_list()) - set(self.classes_.tolist()))
        if unknown:
            warn(
                f"{len(unknown)} tags were not seen in training and cannot be predicted: {', '.join(unknown[:5])} "
                f"({dataset.source}; {did_you_mean(unknown[0], self.classes_, 5)})",
                stacklevel=4,
            )
        return dataset

    def _targets(self, dataset: Dataset) -> Array:
        learnable = [tag for tags in self._true_tags(dataset) for tag in self._learnable(tags)]
        return self.labels_.transform(np.array(learnable, dtype=str), dataset.source)

    def _learnable(self, tags: list[str]) -> list[str]:
        """The tags that the loss of a sentence is computed with: a validation file may hold new or broken ones."""
        classes, rules = self.classes_.tolist(), self._rules()
        known, filler = set(classes), classes[0]
        if rules is not None:
            allowed, first, last = rules
            filler = classes[int((allowed.diagonal() & first & last).argmax())]  # valid however often it is repeated
        learnable = [tag if tag in known else filler for tag in tags]
        if self.scheme_ is None:
            return learnable
        valid, broken = repair(learnable, self.scheme_)
        learnable = valid if broken else learnable
        return learnable if known.issuperset(learnable) else [filler] * len(learnable)

    def _head(self) -> int:
        return len(self.classes_)

    def build_network(self) -> nn.Module:
        reader = self._reader()
        assert reader is not None
        allowed, first, last = (self._rules() if self.crf else None) or (None, None, None)
        return StepNetwork(
            reader.output_size,
            self._head(),
            reader=reader,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            dropout=self.dropout,
            crf=CRF(self._head(), allowed=allowed, first=first, last=last) if self.crf else None,
        )

    def _rules(self) -> tuple[Array, Array, Array] | None:
        """Which tag may follow which, begin and end a sentence; None where all may."""
        return None if self.scheme_ is None else valid_transitions(self.classes_.tolist())

    @property
    def crf_layer(self) -> CRF | None:
        crf = self.network_.crf
        assert crf is None or isinstance(crf, CRF)
        return crf

    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        if self.crf_layer is not None:
            total: Tensor = self.crf_layer(outputs, targets, lengths)  # (B,)
        else:
            each = cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
            total = (each * valid_steps(lengths, outputs)).sum(dim=1)
        return total / lengths.clamp(min=1).to(total.device)  # a word's share; the weights are lengths

    def decode(self, outputs: Array, lengths: Array) -> Array:
        """Scores of every word (S, K) to the number of its tag, (S,)."""
        crf = self.crf_layer
        if crf is None or len(outputs) == 0:
            best: Array = outputs.argmax(axis=1)
            return best
        return _each_step(outputs, lengths, lambda batch: crf.decode(batch.values, batch.lengths)[0])

    def marginals(self, outputs: Array, lengths: Array) -> Array:
        crf = self.crf_layer
        if crf is None or len(outputs) == 0:
            return torch.from_numpy(outputs).softmax(dim=1).numpy()
        return _each_step(outputs, lengths, lambda batch: crf.marginals(batch.values, batch.lengths))

    def tags_of(self, codes: Array, lengths: Array) -> list[list[str]]:
        return self.split_tags(pl.Series(self.classes_[codes], dtype=pl.String), lengths)

    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        truth = self._true_tags(dataset)
        return tagging_metrics(truth, self.tags_of(self.decode(outputs, dataset.lengths), dataset.lengths))

    def describe(self) -> str:
        kinds = sorted({str(tag).partition("-")[2] for tag in self.classes_} - {""})
        what = f"finds {listed(kinds)} in sentences" if kinds and self.scheme_ else "gives every word a tag"
        return f"A tagger: it {what}, with {counted(len(self.classes_), 'tag')}{' and a CRF' if self.crf else ''}."

    def learned_facts(self) -> list[tuple[str, str]]:
        facts = [*super().learned_facts(), ("tags", listed(self.classes_.tolist(), NAMED))]
        if self.repaired_:
            assert self.scheme_ is not None
            facts.append(("repaired", f"{counted(self.repaired_, 'tag')} that broke the {self.scheme_.upper()} scheme"))
        return facts

    def encoders(self) -> dict[str, Any]:
        own = {"labels": self.labels_.to_json(), "scheme": self.scheme_, "repaired": self.repaired_}
        return super().encoders() | own

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        super().restore_encoders(encoders)
        self.labels_ = LabelEncoder.from_json(encoders["labels"])
        self.classes_, self.scheme_, self.repaired_ = self.labels_.classes, encoders["scheme"], encoders["repaired"]
        if self.classes_.dtype.kind not in "OU":
            raise DataError(f"expected tags as text, got {self.classes_.dtype}")
        if self.scheme_ is not None:
            check_tags(self.classes_.tolist(), self.scheme_)

    def check_sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().check_sizes(shapes)
        pairs = (self._head(), self._head())
        if self.crf and shapes.get("crf.transitions") != pairs:  # as many rules are worked out, too
            raise DataError(f"expected transitions between {pairs} tags, got {shapes.get('crf.transitions')}")


def _each_step(outputs: Array, lengths: Array, work: Callable[[Batch], Tensor]) -> Array:
    """What ``work`` makes of padded batches of scores (S, K), (B, T, …): one row a word in the caller's order."""
    with inference():
        batches = list(Sequences(outputs, lengths).in_order(PREDICTION_BATCH))
        parts = [work(batch) for batch in batches]
        return unsorted_steps(parts, [batch.rows for batch in batches], torch.from_numpy(lengths)).numpy()
