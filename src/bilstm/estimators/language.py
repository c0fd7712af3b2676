"""What the estimators that read words share: vocabulary, vectors, characters. Knows words; not what is predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted

from bilstm.data.batch import Sequences
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.source import Source, has_suffix
from bilstm.data.text.encoder import CASES, WordCounts, WordEncoder
from bilstm.data.text.reader import read_lines, read_texts
from bilstm.errors import DataError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.inputs import Readable, one_file
from bilstm.formatting import counted
from bilstm.networks.words import WordReader


class LanguageEstimator(BiLSTMEstimator):
    """Base of the estimators that read words; not for direct use.

    Args:
        embedding_size: of text: numbers of a learned word vector; 0 learns none.
        char_hidden_size: of text: units of each direction of the BiLSTM over a word's characters; 0 for none.
        embedding_dropout: of text: share of a word's numbers dropped while training.
        word_dropout: of text: share of the words read as unknown while training.
        min_count: of text: how often a word must be seen in training to be known.
        lowercase: of text: 'The' and 'the' are one word (case and characters still differ).
        vectors: of text: a file of pre-trained word vectors (.txt, .vec, .gz), or none.
        extra_vectors: of text: words of that file kept beside those seen in training, most frequent first.
    """

    reads_language = True

    embedding_size: int
    char_hidden_size: int
    embedding_dropout: float
    word_dropout: float
    min_count: int
    lowercase: bool
    vectors: str | Path | None
    extra_vectors: int

    words_: WordEncoder

    def read(self, path: Readable, *, with_targets: bool = False, text: str | None = None) -> Dataset:
        if not self.is_language_:
            return super().read(path, with_targets=with_targets, text=text)
        check_is_fitted(self)
        file = one_file(path)
        if isinstance(file, bytes) or (not with_targets and has_suffix(Path(file), (".txt",))):
            if with_targets:
                raise DataError("expected a file with targets, got lines of text (-)")
            return read_lines(file)
        return self._read_language(file, with_targets, text or self.read_with_.get("text"))

    def _read_language(self, path: str | Path, with_targets: bool, text: str | None) -> Dataset:
        return read_texts(path, text=text or "text", target=self.target_names_[0] if with_targets else None)

    def _new_encoders(self) -> None:
        super()._new_encoders()
        self.words_, self._word_counts = WordEncoder(), WordCounts()

    def _update_encoders(self, training: Dataset) -> None:
        if self.is_language_:
            self._word_counts.update(training.steps[WORD])
        else:
            super()._update_encoders(training)

    def _finish_encoders(self, source: Source) -> None:
        if not self.is_language_:
            super()._finish_encoders(source)
            return
        if not self._word_counts.counts:
            raise DataError(f"expected text, got none in any row ({source})")
        self.words_.fit(
            self._word_counts.counts,
            min_count=self.min_count,
            lowercase=self.lowercase,
            vectors=self.vectors,
            extra_vectors=self.extra_vectors,
        )
        del self._word_counts

    def encode(self, dataset: Dataset) -> Sequences:
        if not self.is_language_:
            return super().encode(dataset)
        ids, forms = self.words_.transform(dataset.steps[WORD])
        return Sequences(ids, dataset.lengths, forms)

    def _reader(self) -> WordReader | None:
        if not self.is_language_:
            return None
        words = self.words_
        sizes = len(words.words), len(words.characters), len(words.vector_words), words.vector_size
        reader = WordReader(
            *sizes,
            cases=len(CASES),
            embedding_size=self.embedding_size,
            char_hidden_size=self.char_hidden_size,
            dropout=self.embedding_dropout,
            word_dropout=self.word_dropout,
        )
        if words.vectors is not None:  # in a fit; a model file has them among its weights
            reader.vectors[1:] = torch.from_numpy(words.vectors)
            words.vectors = None
        return reader

    def learned_facts(self) -> list[tuple[str, str]]:
        if not self.is_language_:
            return super().learned_facts()
        words = self.words_
        vectors = f", vectors of {counted(len(words.vector_words), 'word')}" if words.vector_words else ""
        sizes = f"{counted(len(words.words), 'word')}, {counted(len(words.characters), 'character')}"
        return [("vocabulary", sizes + vectors)]

    def encoders(self) -> dict[str, Any]:
        return {"words": self.words_.to_json()} if self.is_language_ else super().encoders()

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        self.is_language_ = "words" in encoders
        if self.is_language_:
            self.words_ = WordEncoder.from_json(encoders["words"])
        else:
            super().restore_encoders(encoders)
