"""How a caller's data become the Dataset that an estimator needs: arrays, frames, texts, files.

Knows names, numbers and order of columns; does not know values, targets' meaning or networks. Errors that programs
expect of every estimator end in the words of scikit-learn, by which these know them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from bilstm.data.builtin import builtin_named
from bilstm.data.columns import as_sequences, columns_of
from bilstm.data.dataset import Dataset, is_frame, target_frame
from bilstm.data.encoders import FeatureEncoder
from bilstm.data.sound.recordings import Recordings
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import columns_in, is_folder, read_folder
from bilstm.data.tables.reader import read_raw, read_table
from bilstm.data.text.reader import from_texts, from_words, is_text, is_words, read_texts
from bilstm.errors import DataError, ParameterError, did_you_mean

READS_TEXT = "a classifier or a tagger reads text"
Readable = str | Path | bytes | Sequence[str | Path]


class Columns(TypedDict, total=False):
    """Which column of a file is what, as the options of ``bilstm fit`` name them."""

    target: Sequence[str]
    drop: Sequence[str]
    category: Sequence[str]
    future: Sequence[str]
    group: str | None
    order: str | None
    text: str | None
    tag: str | None
    time: str | None
    sound: str | None


def builtin_for_fit(path: str, columns: Columns) -> Dataset | None:
    """A built-in set by its name, whose columns are what they are; None where there is none of that name."""
    builtin = builtin_named(path, columns.get("drop", ()))
    for option, value in columns.items():
        if builtin is not None and value and option != "drop":
            raise ParameterError(f"expected no --{option} beside the built-in set {path!r}, got {value!r}")
    return builtin


def one_file(path: Readable) -> str | Path | bytes:
    """The only file of a list, or the file that is no list."""
    if isinstance(path, (str, Path, bytes)):
        return path
    if len(path) != 1:
        shown = " ".join(map(str, path[:3]))
        raise ParameterError(f"expected one file, got {len(path)}: {shown}", hint="only a transcriber reads several")
    return path[0]


def targets_of(dataset: Dataset) -> pl.DataFrame:
    """The targets, a row for each sequence; a DataError where they are not known."""
    if dataset.targets is None:
        raise DataError(f"expected data with targets, got none ({dataset.source})")
    return dataset.targets


class Inputs(BaseEstimator):  # type: ignore[misc]
    """The side of an estimator that takes data in; not for direct use.

    A class of its own, though :class:`bilstm.estimators.base.BiLSTMEstimator` is its only child, because taking data
    in and training are two ideas, whose file would have 800 lines.
    """

    reads_language = False  # whether the estimator can read words

    features_: FeatureEncoder
    feature_names_: list[str]
    target_names_: list[str]
    read_with_: dict[str, str]
    n_features_in_: int
    is_table_: bool
    is_language_: bool

    def _target_kind(self) -> str:
        """How a file's target column must be read: ``number`` or ``category``."""
        return "number"

    def training_data(self, X: Any, y: Any) -> Dataset:
        if isinstance(X, Dataset):
            if y is not None:
                raise DataError("expected no y beside a Dataset, which holds its targets, got one")
            dataset = X
            self.feature_names_in_ = np.array(dataset.feature_names, dtype=object)
        else:
            if y is None:
                reason = f"{type(self).__name__} requires y to be passed, but the target y is None"
                raise DataError(f"expected targets beside X, got none ({reason})")
            dataset = self._from_arrays(X, y, reset=True)
        self._adopt(dataset)
        if len(dataset) < 2:
            samples = f"n_samples = {len(dataset)} ({dataset.source})"
            raise DataError(f"expected at least 2 sequences to learn from, got {samples}")
        dataset.check_lengths()
        return dataset

    def _adopt(self, dataset: Dataset) -> None:
        """Take over the columns of training data, or of a piece of them, if this estimator can read such data."""
        if not dataset.target_names:
            raise DataError(
                f"expected data with targets, got none ({dataset.source})", hint="name the column with --target"
            )
        if isinstance(dataset, Recordings):
            raise DataError(f"expected numbers or words, got recordings ({dataset.source})", hint="a transcriber hears")
        if dataset.is_language and not self.reads_language:
            raise DataError(f"expected numbers, got text ({dataset.source})", hint=READS_TEXT)
        self._remember_columns(dataset)

    def _remember_columns(self, dataset: Dataset) -> None:
        self.feature_names_ = dataset.feature_names
        self.n_features_in_ = len(dataset.feature_names)
        self.target_names_ = dataset.target_names
        self.read_with_ = dict(dataset.read_with)

    def _from_arrays(self, X: Any, y: Any, *, reset: bool) -> Dataset:
        """Arrays to a Dataset; scikit-learn checks the names and number of a table's columns."""
        if hasattr(X, "toarray"):
            raise DataError("expected dense data, got a sparse matrix", hint="use X.toarray()")
        X = as_sequences(X)
        if is_frame(X) or getattr(X, "ndim", None) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset and hasattr(self, "feature_names_in_"):
            del self.feature_names_in_  # of an earlier fit, on a table with names
        if is_text(X) and not self.reads_language:
            raise DataError("expected numbers, got text (X)", hint=READS_TEXT)
        if self.reads_language and (is_text(X) or is_words(X)):
            return self._from_language(X, y)
        dataset = Dataset.from_arrays(X, y)
        if not dataset.feature_names:
            reason = f"0 feature(s) (shape=({len(dataset)}, 0)) while a minimum of 1 is required"
            raise DataError(f"expected at least one column, got none ({reason}; X)")
        return dataset

    def _from_language(self, X: Any, y: Any) -> Dataset:
        """Texts, or sentences as lists of words, with a target for each."""
        if isinstance(X, (str, Mapping)) or is_frame(X) or not isinstance(X, Iterable):
            kind = "one text" if isinstance(X, str) else type(X).__name__
            hint = "name the column of texts: X['text']" if is_frame(X) or isinstance(X, Mapping) else None
            raise DataError(f"expected a list of texts, got {kind}", hint=hint or "put it into a list: [text]")
        sentences = as_sequences(list(X))
        are_words = any(isinstance(sentence, (list, tuple)) for sentence in sentences)
        dataset = from_words(sentences) if are_words else from_texts(sentences)
        return dataset if y is None else replace(dataset, targets=target_frame(y))

    @classmethod
    def read_for_fit(
        cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]
    ) -> Dataset | Stream:
        """Read data to train on: a file, a built-in set, or a folder of files, which is read piece by piece.

        Args:
            path: of the file or the folder, or the name of a built-in set.
            like: the training data, where this is a second file, to stop by: it is read as the first one was.
            columns: which column is what; ``reading`` names those that this estimator knows.

        Raises:
            DataError: a column is missing, or holds what it must not hold.
            ParameterError: two of ``columns`` exclude each other.

        Example:
            >>> from bilstm import BiLSTMRegressor
            >>> data = BiLSTMRegressor.read_for_fit("houses.csv", target=["price"])  # doctest: +SKIP
        """
        builtin = builtin_for_fit(path, columns)
        if builtin is not None:
            if not builtin.target_names:
                hint = "bilstm fit forecaster reads it"
                raise ParameterError(f"expected rows or sequences with targets, got the series {path!r}", hint=hint)
            return builtin
        target, text, is_many = list(columns.get("target", ())), columns.get("text"), like is None and is_folder(path)
        if not target:
            names = columns_in(path) if is_many else read_raw(path).columns
            hint = did_you_mean("", names, 20)
            raise DataError(f"expected --target, the column to predict, got none ({path})", hint=hint)
        category = columns.get("category", ())
        drop, group, order = columns.get("drop", ()), columns.get("group"), columns.get("order")
        if text is not None:
            for option, value in {"drop": drop, "category": category, "group": group, "order": order}.items():
                if value:
                    raise ParameterError(f"expected no --{option} beside --text {text}, got {value!r}")
            if is_many:
                return read_folder(path, target=target, text=text)
            if len(target) > 1:
                raise DataError(f"expected one --target beside --text {text}, got {len(target)} ({path})")
            return read_texts(path, text=text, target=target[0])
        kinds = dict.fromkeys(category, "category") if like is None else like.kinds
        if is_many:
            return read_folder(path, target=target, drop=drop, group=group, order=order, kinds=kinds)
        return read_table(path, target=target, drop=drop, group=group, order=order, kinds=kinds)

    def read(self, path: Readable, *, with_targets: bool = False, text: str | None = None) -> Dataset:
        """Read data as this model needs it: its columns, their kinds, its groups.

        Args:
            path: a file with the columns of the training file, of which further ones are ignored; or a built-in set, by
                name. Of a model that reads words also a ``.txt`` file of lines, or lines as bytes (without targets); of
                a transcriber also a folder, a list of sound files, or the bytes of one.
            with_targets: also read the targets, for evaluation.
            text: of a model that reads words, the column of texts, if it is not called as in training.

        Raises:
            DataError: a column is missing, or holds text where the model needs numbers.
            ParameterError: several files, where the model reads one at a time.
        """
        check_is_fitted(self)
        path = one_file(path)
        builtin = builtin_named(path)
        if builtin is not None:
            return builtin
        if isinstance(path, bytes):
            raise DataError("expected a file of a table, got bytes (-)", hint="name the file instead of -")
        used = self.features_.kinds
        kinds = used | (dict.fromkeys(self.target_names_, self._target_kind()) if with_targets else {})
        return read_table(
            path,
            target=self.target_names_ if with_targets else None,
            features=[name for name in self.feature_names_ if name in used],
            kinds=kinds,
            **self.read_with_,
        )

    def to_dataset(self, X: Any, y: Any) -> Dataset:
        """Arrays as a Dataset with the features that the training data had."""
        if self.is_language_:
            return self._from_language(X, y)
        X = as_sequences(X)
        if isinstance(X, (list, tuple)) and not self.is_table_ and self.n_features_in_ == 1:
            X = [np.asarray(x)[:, None] if np.ndim(x) == 1 else x for x in X]  # also where all are equally long
        dataset = self._from_arrays(X, y, reset=False)
        if len(dataset.feature_names) != self.n_features_in_:
            count, known = len(dataset.feature_names), self.n_features_in_
            reason = f"X has {count} features, but {type(self).__name__} is expecting {known} features as input"
            raise DataError(f"expected {known} columns as in training, got {count} ({reason})")
        return dataset.renamed(self.feature_names_)

    def with_targets(self, dataset: Dataset) -> Dataset:
        """The same data with its targets in training's order; those of arrays, which have no names, by position."""
        targets, names = targets_of(dataset), dataset.target_names
        if set(names) == set(self.target_names_):
            return replace(dataset, targets=columns_of(targets, self.target_names_))
        if len(names) != len(self.target_names_) or dataset.is_named:
            hint = did_you_mean(self.target_names_[0], names)
            raise DataError(f"expected targets {self.target_names_}, got {names} ({dataset.source})", hint=hint)
        return dataset

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")


ONE_STEP_NOTE = (
    "each table row is a sequence of one step: the recurrent weights are never used, the BiLSTM works as a "
    "gated feed-forward network; table_as='steps' makes every column a step instead"
)
