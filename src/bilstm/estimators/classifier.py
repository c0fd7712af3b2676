"""BiLSTMClassifier: a label with its probability for a table row or a sequence. Knows labels only."""

from __future__ import annotations

import itertools
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import column_or_1d
from torch import Tensor
from torch.nn import functional

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset, is_labels_lists
from bilstm.data.encoders import LabelEncoder
from bilstm.data.source import Source
from bilstm.errors import DataError, ParameterError, did_you_mean
from bilstm.estimators.base import NAMED
from bilstm.estimators.inputs import targets_of
from bilstm.estimators.language import LanguageEstimator
from bilstm.estimators.parameters import store
from bilstm.estimators.space import NUMBERS, POOLING, WORDS, Space
from bilstm.formatting import listed
from bilstm.metrics.predictions import classification_metrics, several_labels_metrics


class BiLSTMClassifier(ClassifierMixin, LanguageEstimator):  # type: ignore[misc]
    """Predicts a label for each sequence with a BiLSTM, by cross-entropy.

    .. math:: \\min_\\theta \\; -\\frac1N \\sum_n w_n \\log \\mathrm{softmax}(f_\\theta(x_n))_{y_n}

    on standardised inputs; scaler and early stopping see training rows only.

    Args:
        dropout: share of units dropped between the layers and before the output while training; none: 0.1, of text 0.5.
        pooling: how steps become one vector: final, mean, max or attention; none: final, of text attention.
        class_weight: none, 'balanced', or a weight for each class by name.
        label_smoothing: share of a label's probability that is spread over all classes while training.
        max_epochs: passes over the training rows, at most; none: 100, of text 15.

    The other parameters are described at :class:`bilstm.estimators.base.BiLSTMEstimator`, those for text at
    :class:`bilstm.estimators.language.LanguageEstimator`.

    Attributes:
        classes_: the labels, sorted, (K,).
        network_: the trained network.
        history_: what training did, a History.
        temperature_: what the scores are divided by; 1 where no rows were set aside.
        features_, labels_: the encoders; features_ is fitted on the training rows; words_ of text.

    Probabilities are calibrated: the scores are divided by one temperature, fitted on the validation part.
    Where the targets are lists of labels, each label is predicted on its own (0, 1 or several a sequence).

    The trap: probabilities of a trained network are often too sure of themselves; ``calibration_error`` says by how
    much those of the model are off on average.

    Source: Guo, Pleiss, Sun and Weinberger 2017 (temperature and expected calibration error).

    Example:
        >>> from bilstm.data.builtin import digits
        >>> data = digits().take(range(100))
        >>> model = BiLSTMClassifier(max_epochs=2).fit(data)
        >>> model.predict_proba(data.take([0, 1])).shape
        (2, 10)
    """

    task = "classifier"
    unit = "sequence"
    summary = "A label for a row, a sequence or a text."
    fit_example = "reviews.csv --text review --target stars -o reviews.bilstm"
    tune_example = "reviews.csv --text review --target stars --trials 30 --max-epochs 10 -o reviews.bilstm"
    reading = ("target", "drop", "category", "group", "order", "text")
    metric_name = "accuracy"
    learns_from_streams = True
    higher_is_better = True
    space = NUMBERS
    space_of_text = WORDS | POOLING
    seeds_for_small_data = 5
    by_kind: ClassVar = {"dropout": (0.1, 0.5), "pooling": ("final", "attention"), "max_epochs": (100, 15)}

    class_weight: Any
    label_smoothing: float
    classes_: Array
    temperature_: float
    several_: bool

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float | None = None,
        input_noise: float = 0.3,
        pooling: str | None = None,
        table_as: str = "one step",
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        embedding_size: int = 100,
        char_hidden_size: int = 25,
        embedding_dropout: float = 0.5,
        word_dropout: float = 0.1,
        min_count: int = 1,
        lowercase: bool = True,
        vectors: str | Path | None = None,
        extra_vectors: int = 50_000,
        optimizer: str = "adam",
        learning_rate: float = 0.003,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        clip_norm: float | None = 1.0,
        batch_size: int | None = 32,
        max_epochs: int | None = None,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        store(self, locals())

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, (N, K), columns in the order of ``classes_``, rows in the caller's."""
        return self.decode(self.outputs(X))

    def predict(self, X: Any) -> Any:
        """The most probable label of each sequence, (N,), in the caller's order and kind.

        Where a sequence may have several labels: a list of those with a probability of at least one half.
        """
        return self._labels_of(self.predict_proba(X))

    def _labels_of(self, probabilities: Array) -> Any:
        if self.several_:
            return [self.classes_[row >= 0.5].tolist() for row in probabilities]
        return self.labels_.inverse(probabilities.argmax(axis=1))

    def prediction_columns(self, X: Any) -> list[pl.Series]:
        """Predictions as named columns: ``predicted_<target>`` and its ``probability``."""
        each = self.predict_proba(X)
        # of several labels: how probable it is that all of them are right, each on its own
        chances = np.maximum(each, 1 - each).prod(axis=1) if self.several_ else each.max(axis=1)
        predicted = pl.Series(f"predicted_{self.target_names_[0]}", self._labels_of(each))
        return [predicted, pl.Series("probability", chances)]

    def training_data(self, X: Any, y: Any) -> Dataset:
        if y is not None and not is_labels_lists(y) and np.asarray(y).ndim == 2:
            y = column_or_1d(y, warn=True)
        return super().training_data(X, y)

    def search_space(self, data: Dataset) -> Space:
        return self.space_of_text if data.is_language else super().search_space(data)

    def _new_encoders(self) -> None:
        super()._new_encoders()
        self.labels_, self.temperature_, self.several_ = LabelEncoder(), 1.0, False

    def _update_targets(self, dataset: Dataset) -> None:
        assert dataset.targets is not None
        self.several_ = dataset.targets.width == 1 and dataset.targets.dtypes[0] == pl.List
        if self.several_:
            names = itertools.chain.from_iterable(_label_lists(dataset))
            self.labels_.update(np.array(list(names), dtype=str), dataset.source)
            return
        labels = true_labels(dataset)
        is_continuous = labels.dtype.kind == "f" and (labels != labels.astype(int)).any()
        if is_continuous or labels.dtype.kind not in "Ubiuf":
            kind = "continuous" if is_continuous else "unknown"
            raise DataError(
                f"expected labels, got {labels.tolist()[0]!r} … ({dataset.source}; Unknown label type: {kind})",
                hint="for numbers use a regressor",
            )
        self.labels_.update(labels, dataset.source)

    def _check_targets(self, source: Source) -> None:
        self.classes_ = self.labels_.classes
        if self.several_ and self.class_weight is not None:
            raise ParameterError(f"expected no class_weight beside lists of labels, got {self.class_weight!r}")
        if len(self.classes_) < 2:
            hint = "there is nothing to learn; check the column"
            raise DataError(f"expected at least two classes, got {self.classes_.tolist()} ({source})", hint=hint)
        self.class_weights_ = self._class_weights()

    def _class_weights(self) -> Tensor:
        """The weight of each class, float32 (K,); balanced: N / (K · rows of the class)."""
        chosen, counts = self.class_weight, self.labels_.counts
        weights = np.ones(len(counts))
        if isinstance(chosen, dict):
            by_word = {str(label): k for k, label in enumerate(self.classes_.tolist())}  # --class-weight 0=2 is a word
            for name, weight in chosen.items():
                if isinstance(weight, bool) or not isinstance(weight, Real) or not float(weight) >= 0:
                    raise ParameterError(f"expected a class_weight of at least 0, got {weight!r} for {name!r}")
                if str(name) not in by_word:
                    hint = did_you_mean(str(name), self.classes_)
                    raise ParameterError(f"expected class_weight of known classes, got {name!r}", hint=hint)
                weights[by_word[str(name)]] = weight
        elif isinstance(chosen, str) and chosen == "balanced":
            weights = counts.sum() / (len(counts) * counts)
        elif chosen is not None:
            raise ParameterError(f"expected class_weight to be 'balanced', a dict or None, got {chosen!r}")
        return torch.from_numpy(weights.astype(np.float32))

    def _target_kind(self) -> str:
        return "category" if self.classes_.dtype.kind in "OU" else "number"

    def _strata(self, dataset: Dataset) -> Array | None:
        if dataset.targets is not None and dataset.targets.dtypes[0] == pl.List:
            return None
        labels = true_labels(dataset)
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise DataError(
                f"expected at least 2 rows of every class, got 1 of class {classes.tolist()[counts.argmin()]!r} "
                f"({dataset.source})",
                hint="it cannot stand on both sides of the validation split: leave the row out, join the class "
                "with another, or set validation_fraction to 0",
            )
        return labels

    def _targets(self, dataset: Dataset) -> Array:
        if self.several_:
            marked: Array = self.label_matrix(dataset).astype(np.float32)
            return marked
        return self.labels_.transform(true_labels(dataset), dataset.source)

    def label_matrix(self, dataset: Dataset) -> Array:
        """Which labels each sequence has, (N, K) of truth values."""
        lists = _label_lists(dataset)
        rows = np.repeat(np.arange(len(lists)), [len(names) for names in lists])
        names = np.array(list(itertools.chain.from_iterable(lists)), dtype=self.classes_.dtype)
        marked = np.zeros((len(lists), len(self.classes_)), dtype=bool)
        if len(names):
            marked[rows, self.labels_.transform(names, dataset.source)] = True
        return marked

    def _head(self) -> int:
        return len(self.classes_)

    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        if self.several_:
            return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(dim=1)
        weights = self.class_weights_.to(outputs.device)
        smoothing = self.label_smoothing if outputs.requires_grad else 0.0  # the validation loss is the plain one
        return functional.cross_entropy(outputs, targets, weight=weights, reduction="none", label_smoothing=smoothing)

    def decode(self, outputs: Array) -> Array:
        """Outputs (N, K) to the probability of each class, (N, K)."""
        scores = outputs.astype(np.float64) / self.temperature_
        probabilities: Array = expit(scores) if self.several_ else softmax(scores, axis=1)
        return probabilities  # (N, K)

    def _calibrate(self, held_out: Dataset, outputs: Array) -> Array:
        """The temperature that makes the held-out labels most probable."""
        targets = self._targets(held_out)

        def lost(log_temperature: float) -> float:
            scores = outputs.astype(np.float64) / np.exp(log_temperature)
            if self.several_:
                return float((np.logaddexp(0, scores) - scores * targets).mean())
            return float((logsumexp(scores, axis=1) - scores[np.arange(len(scores)), targets]).mean())

        best = minimize_scalar(lost, bounds=(np.log(0.05), np.log(20)), method="bounded")
        self.temperature_ = float(np.exp(best.x)) if best.fun < lost(0.0) else 1.0
        return outputs

    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        probabilities = self.decode(outputs)
        if self.several_:
            return several_labels_metrics(self.label_matrix(dataset), probabilities)
        labels = true_labels(dataset)
        self.labels_.transform(labels, dataset.source)  # a class the model does not know is an error
        return classification_metrics(labels, probabilities, self.classes_)

    @property
    def row_unit(self) -> str:
        return "text" if self.is_language_ else super().row_unit

    def describe(self) -> str:
        choice = f"{'any' if self.several_ else 'one'} of {len(self.classes_)} ({listed(self.classes_.tolist(), 5)})"
        return f"A classifier: it reads {self.input_words} and says {listed(self.target_names_, 4)}: {choice}."

    def learned_facts(self) -> list[tuple[str, str]]:
        return [*super().learned_facts(), ("classes", listed(self.classes_.tolist(), NAMED))]

    def encoders(self) -> dict[str, Any]:
        own = {"labels": self.labels_.to_json(), "temperature": self.temperature_, "several": self.several_}
        return super().encoders() | own

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        super().restore_encoders(encoders)
        self.labels_ = LabelEncoder.from_json(encoders["labels"])
        self.classes_ = self.labels_.classes
        self.temperature_ = float(encoders.get("temperature", 1.0))  # format 1 has neither
        self.several_ = encoders.get("several", False)
        if self.several_ and self.classes_.dtype.kind not in "OU":
            raise DataError(f"expected lists of labels as text, got {self.classes_.dtype}")


def _label_lists(dataset: Dataset) -> list[list[str]]:
    """Lists of labels (N,) of a Dataset with one target; a missing list has none."""
    column = targets_of(dataset).to_series()
    if column.dtype != pl.List:
        raise DataError(f"expected a list of labels for every row, got none ({dataset.source})")
    return [[str(name) for name in names or () if name is not None] for names in column.to_list()]


def true_labels(dataset: Dataset) -> Array:
    """The labels (N,) of a Dataset with one target."""
    targets = targets_of(dataset)
    if targets.width != 1:
        raise DataError(f"expected one target, got {targets.width} ({dataset.source})")
    column = targets.to_series()
    if column.dtype.is_temporal():
        column = column.cast(pl.String)
    values: Array = column.to_numpy()
    missing = np.zeros(len(column), dtype=bool)
    if column.dtype.is_float():
        missing = ~np.isfinite(values)
    elif column.null_count():
        missing = np.array([value is None for value in column.to_list()])
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"expected a label in every row, got {column[row]!r} (NaN, inf or nothing; {dataset.source}, row {row})",
            hint="leave rows without a label out of the training data",
        )
    return values if values.dtype.kind != "O" else np.array(column.to_list())
