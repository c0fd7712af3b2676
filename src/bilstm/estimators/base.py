"""What the estimators share: checking, splitting, encoding, building, training, predicting, saving.

Knows the order of these steps; does not know what a target means. A task fills four hooks:
``_targets _head _loss decode``, and says what it checks, how it is measured and what is saved.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import polars.selectors
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.encoders import FeatureEncoder
from bilstm.data.stream import Stream
from bilstm.errors import DataError, ParameterError, record_warnings
from bilstm.estimators.circumstances import circumstances
from bilstm.estimators.inputs import ONE_STEP_NOTE, Inputs
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.space import Space
from bilstm.formatting import counted, listed, number
from bilstm.networks.network import Network
from bilstm.networks.words import WordReader
from bilstm.training import workers
from bilstm.training.checkpoint import Checkpoint
from bilstm.training.history import History
from bilstm.training.loop import Examples, Supply, predict, train
from bilstm.training.progress import Show, both, progress, say

NOT_IN_FINGERPRINT = ("verbose", "checkpoint")
NAMED = 12  # columns, classes or tags that a fitted model's facts name


class BiLSTMEstimator(Inputs, ABC):
    """Base of the estimators; not for direct use."""

    task: str
    unit: str  # what is learned from and answered one by one, in the singular
    metric_name: str

    # what the command line tells of a task: plain literals in each class, read from its source by signatures.py
    summary: str  # one sentence
    fit_example: str  # words behind `bilstm fit TASK`, and behind `bilstm tune TASK`
    tune_example: str
    data_help: str  # what DATA may be
    reading: tuple[str, ...]  # names of the options that say how DATA is read
    option_help: ClassVar[dict[str, str]] = {}  # texts of such options, where they differ from the usual ones
    needs_data = True  # whether a fitted model predicts nothing without data
    reads_many_files = False  # whether it reads several files at once
    figure_name = "predictions"  # what the file is called in which `bilstm plot` draws them
    predict_options: tuple[str, ...] = ()  # options of `bilstm predict` and `evaluate` that are this task's alone
    backtest_options: tuple[str, ...] = ()  # options of `bilstm evaluate` that say how it is tested again and again

    hidden_size: int
    num_layers: int
    dropout: Any
    input_noise: float
    pooling: Any
    table_as: str
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    clip_norm: float | None
    batch_size: int | None
    max_epochs: Any
    patience: int | None
    validation_fraction: float
    random_state: Any
    device: str
    checkpoint: str | Path | None
    verbose: int

    by_kind: ClassVar[dict[str, tuple[Any, Any]]] = {}  # what a parameter that is None means: for numbers, for words
    each_step = False  # whether every step has a target, rather than every sequence
    keeps_best_metric = False  # whether the best epoch is that of the highest metric, rather than the lowest loss
    higher_is_better: bool  # whether a higher metric is a better one
    space: ClassVar[Space]  # what a search for parameters tries, before the data is known
    compare_trials_by = "loss"  # what trials of a search are compared by: the loss or the metric
    seeds_for_small_data = 1  # fits of a trial where there are few sequences: several where they take seconds
    refits_all_rows = False  # whether the best model of a search may learn from the held-out rows too

    network_: nn.Module
    history_: History
    metrics_: dict[str, float]
    trained_on_: str
    trained_with_: dict[str, Any]  # see circumstances.py; empty where a model file does not say

    # -- hooks ---------------------------------------------------------------------------------------------
    @abstractmethod
    def _targets(self, dataset: Dataset, *, fit: bool) -> Array | Sequences:
        """Encoded targets (N, …), or (S,) where each step has one, or the steps behind each sequence.

        With ``fit``, learn the encoding from this training part first.
        """

    @abstractmethod
    def _head(self) -> int:
        """How many numbers the network gives for a sequence, or for a step."""

    @abstractmethod
    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Outputs (B, K), encoded targets (B, …) and lengths (B,) to one loss a sequence, (B,)."""

    @abstractmethod
    def decode(self, outputs: Array, lengths: Array) -> Any:
        """Outputs (N, K) to what the caller asked for: values in his units, probabilities, tags."""

    @abstractmethod
    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        """Figures of merit of outputs beside the targets of ``dataset``."""

    @abstractmethod
    def _check_targets(self, dataset: Dataset) -> None:
        """Reject targets that cannot be learned."""

    @abstractmethod
    def describe(self) -> str:
        """What the fitted model is, in one sentence: what it reads, and what it says of that."""

    def _strata(self, dataset: Dataset) -> Array | None:
        """Labels whose shares a validation part should keep, or None."""
        return None

    # -- fit -----------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation: Any = None,
        on_epoch: Show | None = None,
    ) -> Self:
        """Train on sequences and their targets.

        Args:
            X: a Dataset; a Stream of them, too large for memory; or a table (array or DataFrame, one row = a sequence
                of one step); or an array (N, T, F); or a list of arrays (T_i, F).
            y: targets (N,) or (N, K); None where X is a Dataset.
            sample_weight: weight of each sequence in the loss, (N,), or None.
            validation: a Dataset or a pair (X, y) to stop by; None sets ``validation_fraction`` of X aside.
            on_epoch: called after every epoch with the history so far; what it raises ends the fit, unfitted.

        Returns:
            self.

        Raises:
            DataError: data that cannot be learned from; says what and where.
            ParameterError: a constructor parameter out of its limits.
            TrainingError: the loss or a gradient is not finite.
        """
        with record_warnings() as told:
            return self._fit(X, y, sample_weight, validation, told, on_epoch)

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: Any, told: list[str], on_epoch: Show | None) -> Self:
        started = time.perf_counter()
        check_parameters(self.get_params(deep=False), self.by_kind)
        self._device()
        seed = workers.from_first(int(check_random_state(self.random_state).randint(2**31 - 1)))
        if isinstance(X, Stream):
            from bilstm.estimators.streamed import fit_stream  # which stands upon this file

            if y is not None or sample_weight is not None:
                raise DataError("expected neither y nor sample_weight beside a stream, which holds its targets")
            fit_stream(self, X, validation, seed, started, told, on_epoch)
            return self
        dataset = self.training_data(X, y)
        self._check_targets(dataset)
        weights = _check_sample_weight(sample_weight, np.empty((len(dataset), 0)), ensure_non_negative=True)
        self.__dict__.pop("history_", None)  # until this fit has ended there is no fitted model
        self.is_table_ = dataset.is_table
        self.is_language_ = dataset.is_language
        self.trained_on_ = dataset.fingerprint()
        if self.is_table_ and self.table_as == "one step":
            say(ONE_STEP_NOTE, self.verbose)

        rows, held_out = self._split(dataset, validation, seed)
        training = dataset.take(rows)
        self._choose(training, held_out, seed)
        self._fit_features(training)
        checkpoint = self._open_checkpoint(held_out, weights)
        with progress(self.verbose, self.resolved("max_epochs")) as show:
            tell = both(show, on_epoch)
            self.history_ = self._train(training, held_out, weights[rows], seed, checkpoint=checkpoint, on_epoch=tell)
        self._conclude(held_out, circumstances(training, held_out, started, told))
        return self

    def _conclude(self, held_out: Dataset | None, trained_with: dict[str, Any]) -> None:
        """Measure the trained network by what was held out, and remember of what it was made."""
        self.metrics_ = {}
        if held_out is not None:
            outputs = self._calibrate(held_out, self.outputs(held_out))
            self.metrics_ = self.measure(held_out, outputs)
        self.trained_with_ = trained_with

    def _train(
        self,
        training: Dataset | Supply,
        held_out: Dataset | None,
        weights: Array | None,
        seed: int,
        *,
        max_epochs: int | None = None,
        checkpoint: Checkpoint | None = None,
        on_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Build a network for the encoders as fitted, and train it; a Dataset first fits those of its targets."""
        dataset = training if isinstance(training, Dataset) else None
        supply = self._examples(training, weights, fit=True) if isinstance(training, Dataset) else training
        held_out_examples = None if held_out is None else self._examples(held_out, None, fit=False)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network_ = self.build_network()
            if dataset is not None:
                self._start(dataset, held_out)
            history = train(
                self.network_,
                supply,
                held_out_examples,
                loss=self._loss,
                metric=None if held_out is None else lambda out: self._metric(held_out, out),
                metric_name=self.metric_name,
                keep_best_metric=self.keeps_best_metric,
                optimizer=self.optimizer,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                schedule=self.schedule,
                clip_norm=self.clip_norm,
                batch_size=self.batch_size,
                max_epochs=max_epochs or self.resolved("max_epochs"),
                patience=self.patience,
                seed=seed,
                device=self._device(),
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                on_infinite=None if dataset is None else self._infinite(dataset),
            )
        history.keeps_best_metric = self.keeps_best_metric
        return history

    def _infinite(self, training: Dataset) -> Callable[[Tensor], None] | None:
        """What is told the rows whose loss is infinite and goes on without them; None: such a loss is an error."""
        return None

    def _choose(self, training: Dataset, held_out: Dataset | None, seed: int) -> None:
        """Settle before training what the validation part is to decide."""

    def _start(self, training: Dataset, held_out: Dataset | None) -> None:
        """Give the fresh network what is known before training."""

    def _metric(self, held_out: Dataset, outputs: Array) -> float:
        """The one figure of merit that the history shows of each epoch."""
        return self.measure(held_out, outputs)[self.metric_name]

    def _calibrate(self, held_out: Dataset, outputs: Array) -> Array:
        """Learn from the validation part how sure the model may be; returns its outputs after that."""
        return outputs

    def _split(self, dataset: Dataset, validation: Any, seed: int) -> tuple[Array, Dataset | None]:
        """Rows to learn from, and what to stop by: the given validation data, a part set aside, or None."""
        everything = np.arange(len(dataset))
        if validation is not None:
            return everything, self._given(validation)
        count = round(self.validation_fraction * len(dataset))
        if count == 0 or len(dataset) - count < 2:
            return everything, None
        strata = self._strata(dataset)
        if strata is not None and min(count, len(dataset) - count) < len(np.unique(strata)):
            strata = None  # too few rows to hold one of every class
        rows, others = train_test_split(everything, test_size=count, random_state=seed, stratify=strata)
        return np.sort(rows), dataset.take(np.sort(others))

    def validation_part(self, validation: Dataset, training: Dataset | Stream) -> Dataset:
        """What of a second file ``fit`` may be stopped by: here all of it."""
        return validation

    def fit_report(self, training: Dataset | Stream, validation: Dataset | None = None) -> str:
        """What ``fit`` has measured, in words.

        Args:
            training, validation: what this estimator was fitted to, and stopped by.
        """
        figures = " · ".join(f"{name} {number(value)}" for name, value in self.metrics_.items())
        return f"on the validation part: {figures}" if figures else "nothing was held out to measure it by"

    def _given(self, validation: Any) -> Dataset:
        """A Dataset or a pair (X, y) to stop by, as this estimator needs it."""
        if not isinstance(validation, Dataset):
            validation = self.to_dataset(*validation)
        validation.check_lengths()
        return self.with_targets(validation)

    def _examples(self, dataset: Dataset, weights: Array | None, *, fit: bool) -> Examples:
        found = self._targets(dataset, fit=fit)
        targets = found if isinstance(found, Sequences) else torch.from_numpy(found)
        weights = np.ones(len(dataset)) if weights is None else weights
        if self.each_step:
            weights = weights * dataset.lengths
        weighed = torch.from_numpy(weights.astype(np.float32))
        return Examples(self.encode(dataset), targets, weighed, self.each_step)

    # -- a search for parameters -----------------------------------------------------------------------------

    def search_space(self, data: Dataset) -> Space:
        """What a search for parameters of this estimator tries on such data."""
        return self.space

    def searched_data(self, X: Any, y: Any = None) -> Dataset:
        """X and y as the Dataset that ``fit`` makes of them; of series the whole ones, not yet cut into windows."""
        return self.training_data(X, y)

    def check_search(self, space: Space, data: Dataset, validation: Any = None) -> None:
        """Raise a ParameterError if trials with parameters of the space could not be compared on this data."""

    def _fit_features(self, training: Dataset) -> None:
        self.features_ = FeatureEncoder().fit(training.steps)

    def encode(self, dataset: Dataset) -> Sequences:
        matrix = self.features_.transform(dataset.steps, dataset.source)  # (S, F')
        if self.columns_are_steps:
            return Sequences(matrix.reshape(-1, 1), np.full(len(matrix), matrix.shape[1]))
        return Sequences(matrix, dataset.lengths)

    def resolved(self, name: str, *, is_language: bool | None = None) -> Any:
        """A parameter; where it is None, what that means for this kind of data (None: that of training)."""
        value = getattr(self, name)
        if value is not None or name not in self.by_kind:
            return value
        return self.by_kind[name][self.is_language_ if is_language is None else is_language]

    def _reader(self) -> WordReader | None:
        """What turns words into vectors, for sequences of words."""
        return None

    def encoders(self) -> dict[str, Any]:
        """The fitted encoders as JSON can say them; a task adds those of its targets."""
        return {"features": self.features_.to_json()}

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        """Bring back what :meth:`encoders` said."""
        self.is_language_ = False
        self.features_ = FeatureEncoder.from_json(encoders["features"])

    def build_network(self) -> nn.Module:
        """A network with fresh weights for the encoders as fitted."""
        reader = self._reader()
        columns = 1 if self.columns_are_steps else len(self.features_.names) if reader is None else reader.output_size
        return Network(
            columns,
            self._head(),
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            dropout=self.resolved("dropout"),
            input_noise=self.input_noise,
            pooling=self.resolved("pooling"),
            reader=reader,
        )

    # -- what was learned ----------------------------------------------------------------------------------

    @property
    def row_unit(self) -> str:
        """What a caller calls one of the sequences that were learned from: a row, where they were a table."""
        return "row" if self.is_table_ else self.unit

    @property
    def input_words(self) -> str:
        """What the fitted model reads, in words: ``a table row of 13 columns``."""
        if self.is_language_:
            return "a text"
        columns = counted(len(self.feature_names_), "column")
        if self.is_table_:
            return f"a table row of {columns}" + (", a column a step" if self.columns_are_steps else "")
        return f"a sequence of steps of {columns}"

    def learned_facts(self) -> list[tuple[str, str]]:
        """What the fitted model knows of its training data, as pairs of a name and what there is to say of it."""
        return [("columns", listed(self.feature_names_, NAMED))]

    @property
    def columns_are_steps(self) -> bool:
        return self.is_table_ and self.table_as == "steps"

    def _device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.zeros(1, device=self.device).item()
            return torch.device(self.device)
        except (RuntimeError, AssertionError):
            raise ParameterError(f"expected device to be 'auto', 'cpu' or 'cuda:0', got {self.device!r}") from None

    def _open_checkpoint(self, held_out: Dataset | None, weights: Array) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        if not isinstance(self.random_state, Integral):
            raise ParameterError(
                f"expected random_state to be a number beside a checkpoint, got {self.random_state!r}",
                hint="a run can only be taken up where its random numbers can be drawn again",
            )
        parameters = self.get_params(deep=False)
        # with a constant rate no epoch knows how many will follow: a finished run may be prolonged
        skipped = {*NOT_IN_FINGERPRINT, *(("max_epochs",) if self.schedule == "constant" else ())}
        told = sorted((name, repr(value)) for name, value in parameters.items() if name not in skipped)
        stopped_by = "" if held_out is None else held_out.fingerprint()
        weighed = hashlib.sha256(weights.tobytes()).hexdigest()
        run = (type(self).__name__, told, self.trained_on_, stopped_by, weighed)
        checkpoint = Checkpoint(Path(self.checkpoint), hashlib.sha256(repr(run).encode()).hexdigest())
        if checkpoint.epoch:
            say(f"going on after epoch {checkpoint.epoch} of {self.checkpoint}", self.verbose)
        return checkpoint

    # -- predict -------------------------------------------------------------------------------------------

    def outputs(self, X: Any) -> Array:
        """What the network says of new data, (N, K), before decoding, in the caller's order."""
        check_is_fitted(self)
        dataset = X if isinstance(X, Dataset) else self.to_dataset(X, None)
        dataset.check_lengths()
        if self.is_table_ and not dataset.is_table:
            raise DataError(f"expected a table as in training, got sequences of several steps ({dataset.source})")
        device = self._device()
        if next(self.network_.parameters()).device != device:  # to look at every module takes a third of a row's time
            self.network_.to(device)
        return predict(self.network_, self.encode(dataset), device).numpy()

    @abstractmethod
    def prediction_columns(self, X: Any) -> list[pl.Series]:
        """Predictions as named columns, a row each, in the caller's order."""

    def prediction_frame(self, X: Any) -> pl.DataFrame:
        """Predictions as a table to be written, behind the names of the sequences where they have some.

        Its numbers have seven digits, which is what float32 knows.
        """
        frame = pl.DataFrame(self.prediction_columns(X)).with_columns(pl.selectors.float().round_sig_figs(7))
        ids = X.ids if isinstance(X, Dataset) else None
        return frame if ids is None else frame.insert_column(0, ids)

    def save(self, path: str | Path) -> None:
        """Write everything a later process needs to predict to one file; see :func:`bilstm.load`.

        Args:
            path: by custom it ends in ``.bilstm``. An existing file is replaced in one step or not at all.

        Raises:
            NotFittedError: fit has not been called.
            ModelFileError: the file cannot be written.
        """
        from bilstm.files import model_file

        check_is_fitted(self)
        model_file.save(self, Path(path))
