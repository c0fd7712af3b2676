"""What the estimators share: checking, splitting, encoding, building, training, predicting, saving.

Knows the order of these steps; does not know what a target means. A task fills four hooks:
``_update_targets _targets _head _loss``, and says how it decodes, how it is measured and what is saved.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
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
from bilstm.data.forks import check_polars
from bilstm.data.source import Source
from bilstm.data.stream import Stream
from bilstm.errors import DataError, ParameterError, record_warnings, warn
from bilstm.estimators.inputs import ONE_STEP_NOTE, Inputs
from bilstm.estimators.parameters import check_parameters
from bilstm.estimators.provenance import provenance
from bilstm.estimators.space import POOLING, Space
from bilstm.files import model_file
from bilstm.formatting import counted, listed, number
from bilstm.networks.network import Network
from bilstm.networks.words import WordReader
from bilstm.training import workers
from bilstm.training.checkpoint import Checkpoint
from bilstm.training.history import History
from bilstm.training.host import Redirected, drawing, isolated
from bilstm.training.loop import Batches, Examples, predict, train
from bilstm.training.progress import Show, both, mebibytes, peak_memory, progress, say
from bilstm.training.streamed import FirstPass, Streamed

NAMED = 12  # columns, classes or tags that a fitted model's facts name


class BiLSTMEstimator(Inputs, ABC):
    """Base of the estimators; not for direct use.

    Args:
        hidden_size: H, units of each direction in each layer.
        num_layers: BiLSTM layers, one on top of the other.
        dropout: share of units dropped between the layers and before the output while training.
        input_noise: deviation of the noise added to the standardised inputs while training.
        pooling: how steps become one vector: final, mean, max or attention.
        table_as: a table row is 'one step' with all columns, or each column is one of its 'steps'.
        optimizer: adam or adamw.
        learning_rate: size of an optimiser step at the start.
        weight_decay: pull of the weights towards zero.
        schedule: learning rate over the epochs: constant, or cosine (falls to zero at max_epochs).
        clip_norm: largest norm of the whole gradient; none leaves it alone.
        batch_size: rows, sentences, windows or recordings in an optimiser step; none takes all at once.
        max_epochs: passes over the training data, at most.
        patience: epochs without a better validation loss after which training stops; none never stops early.
        validation_fraction: share of the data set aside to stop by; 0 trains on all of it to the end.
        random_state: the seed; equal seeds give equal models, bit for bit, on one machine.
        device: auto, cpu or cuda:0.
        checkpoint: a file written after every epoch, from which a killed run goes on; none writes nothing.
        verbose: 0 says nothing, 1 shows progress, n > 1 prints a line every n epochs.
    """

    task: str
    unit: str  # what is learned from and answered one by one, in the singular
    metric_name: str

    # what the command line tells of a task: plain literals in each class, read from its source by signatures.py
    summary: str  # one sentence
    fit_example: str  # words behind `bilstm fit TASK`, and behind `bilstm tune TASK`
    tune_example: str
    data_help = (  # what DATA may be
        "A CSV, Parquet or JSON lines file; a folder of them, which may be larger than memory; or one of the "
        "built-in sets boston and digits."
    )
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
    learns_from_streams = False  # whether it can be fitted to data that comes in pieces
    each_step = False  # whether every step has a target, rather than every sequence
    keeps_best_metric = False  # whether the best epoch is that of the highest metric, rather than the lowest loss
    higher_is_better: bool  # whether a higher metric is a better one
    space: ClassVar[Space]  # what a search for parameters tries, before the data is known
    compare_trials_by = "loss"  # what trials of a search are compared by: the loss or the metric
    seeds_for_small_data = 1  # fits of a trial where there are few sequences: several where they take seconds
    keeps_interrupted = True  # whether Ctrl-C in fit leaves the best weights so far, or ends more than the fit
    refits_all_rows = False  # whether the best model of a search may learn from the held-out rows too

    network_: nn.Module
    history_: History
    metrics_: dict[str, float]
    trained_on_: str
    trained_with_: dict[str, Any]  # see provenance.py; empty where a model file does not say

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep parameters that are NumPy's numbers, truth values or words, as grids hold them, as Python's."""
        super().__setattr__(name, value.item() if isinstance(value, np.generic) and not name.endswith("_") else value)

    # -- hooks ---------------------------------------------------------------------------------------------
    @abstractmethod
    def _update_targets(self, dataset: Dataset) -> None:
        """Learn what targets there are from a Dataset, or from the next piece of a stream, held out or not."""

    def _check_targets(self, source: Source) -> None:
        """Raise a DataError if the targets, all of which were seen, cannot be learned."""

    @abstractmethod
    def _targets(self, dataset: Dataset) -> Array | Sequences:
        """Encoded targets (N, …), or (S,) where each step has one, or the steps behind each sequence."""

    @abstractmethod
    def _head(self) -> int:
        """How many numbers the network gives for a sequence, or for a step."""

    @abstractmethod
    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Outputs (B, K), encoded targets (B, …) and lengths (B,) to one loss a sequence, (B,)."""

    @abstractmethod
    def measure(self, dataset: Dataset, outputs: Array) -> dict[str, float]:
        """Figures of merit of outputs beside the targets of ``dataset``."""

    @abstractmethod
    def describe(self) -> str:
        """What the fitted model is, in one sentence: what it reads, and what it says of that."""

    def _strata(self, dataset: Dataset) -> Array | None:
        """Labels whose shares a validation part should keep, or None."""
        return None

    # -- fit -----------------------------------------------------------------------------------------------

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, validation: Any = None, on_epoch: Show | None = None
    ) -> Self:
        """Train on sequences and their targets.

        Ctrl-C or a notebook's stop, after the first epoch, ends the training: the model has the best weights so far,
        and a warning says so. Whatever else breaks in, or fails, leaves an earlier fit as it was.

        Args:
            X: a Dataset; a Stream of them, too large for memory; or a table (array or DataFrame, one row = a sequence
                of one step); or an array (N, T, F); or a list (object array, Series) of arrays (T_i, F).
            y: targets (N,) or (N, K); None where X is a Dataset.
            sample_weight: weight of each sequence in the loss, (N,), or None.
            validation: a Dataset or a pair (X, y) to stop by; None sets ``validation_fraction`` of X aside.
            on_epoch: called after every epoch with the history so far; what it raises ends the fit, a KeyboardInterrupt
                as Ctrl-C does.

        Returns:
            self.

        Raises:
            DataError: data that cannot be learned from; says what and where.
            ParameterError: a constructor parameter out of its limits.
            TrainingError: the loss or a gradient is not finite.
        """
        fresh = copy(self)  # becomes self when all is done: what fails, or is predicted meanwhile, has the earlier fit
        try:
            with isolated(), record_warnings() as messages:
                fresh._fit(X, y, sample_weight, validation, messages, on_epoch)
        finally:
            fresh._end_fit()
        self.__dict__ = fresh.__dict__
        if self.history_.interrupted:
            warn(messages[-1], stacklevel=2)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, messages: list[str], on_epoch: Show | None
    ) -> None:
        started, memory = time.perf_counter(), peak_memory()
        check_parameters(self.get_params(deep=False), self.by_kind)
        self._device()
        seed = workers.from_first(int(check_random_state(self.random_state).randint(2**31 - 1)))
        training: Dataset | None = None
        batches: Batches
        if isinstance(X, Stream):
            if y is not None or sample_weight is not None:
                raise DataError("expected neither y nor sample_weight beside a stream, which holds its targets")
            first = self._read_stream(X, seed, self.validation_fraction if validation is None else 0.0)
            held_out = first.held_out if validation is None else self._validation_data(validation)
            batches = Streamed(first.training, first.count, self._examples, verbose=self.verbose)
            source, steps, weights = X.source, first.steps, np.zeros(0)
        else:
            dataset = self.training_data(X, y)
            self._new_encoders()
            self._update_targets(dataset)
            self._check_targets(dataset.source)
            weights = _check_sample_weight(sample_weight, np.empty((len(dataset), 0)), ensure_non_negative=True)
            self._begin(dataset, dataset.fingerprint(), is_table=dataset.is_table)
            rows, held_out = self._split(dataset, validation, seed)
            training = dataset.take(rows)
            self._choose(training, held_out, seed)
            self._fit_encoders(training)
            batches = self._examples(training, weights[rows])
            source, steps = training.source, training.steps.height
        checkpoint = self._open_checkpoint(held_out, weights)
        with progress(self.verbose, self.resolved("max_epochs")) as show:
            on_epoch = both(show, on_epoch)
            self.history_ = self._train(batches, training, held_out, seed, checkpoint=checkpoint, on_epoch=on_epoch)
        if self.history_.interrupted:
            messages.append(f"interrupted after epoch {len(self.history_)}: the model has the best weights so far")
        self.metrics_ = {}
        if held_out is not None:
            outputs = self._calibrate(held_out, self.outputs(held_out))
            self.metrics_ = self.measure(held_out, outputs)
        self.trained_with_ = provenance(source, len(batches), steps, held_out, started, messages)
        if isinstance(X, Stream):
            most, before = mebibytes(peak_memory()), mebibytes(memory)
            say(f"memory: {most} at most, {before} of it before the first row was read", self.verbose)

    def _end_fit(self) -> None:
        """Let go of what only a fit needs, whether or not it came to its end."""

    def _begin(self, data: Dataset, digest: str, *, is_table: bool) -> None:
        self.__dict__.pop("history_", None)  # until this fit has ended there is no fitted model
        self.is_table_, self.is_language_, self.trained_on_ = is_table, data.is_language, digest
        if self.is_table_ and self.table_as == "one step":
            say(ONE_STEP_NOTE, self.verbose)

    def _read_stream(self, stream: Stream, seed: int, fraction: float) -> FirstPass:
        """Read a stream once: fit the encoders to it, and hold a fraction of its sequences out."""
        if not self.learns_from_streams:
            kind = f"expected one file for a {self.task}, got a folder"
            raise DataError(f"{kind} ({stream.source})", hint="join its files into one")
        if self.batch_size is None:
            raise ParameterError("expected a batch_size beside data larger than memory, got None")
        head = next((piece for piece in stream.pieces() if len(piece)), None)
        if head is None:
            raise DataError(f"expected at least one sequence, got 0 samples ({stream.source})")
        self._adopt(head)
        self.feature_names_in_ = np.array(head.feature_names, dtype=object)
        self.is_language_ = head.is_language
        self._new_encoders()
        first = FirstPass(
            self._prepared(stream),
            seed,
            fraction,
            every=self._update_targets,
            learn=self._update_encoders,
            verbose=self.verbose,
        )
        self._begin(head, stream.digest, is_table=first.is_table)
        self._finish_encoders(stream.source)
        self._check_targets(stream.source)
        return first

    def _prepared(self, stream: Stream) -> Stream:
        """The stream as it is to be learned from."""
        return stream

    def _train(
        self,
        batches: Batches,
        training: Dataset | None,
        held_out: Dataset | None,
        seed: int,
        *,
        max_epochs: int | None = None,
        checkpoint: Checkpoint | None = None,
        on_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Build a network for the encoders as fitted, and train it on batches: of ``training``, or of a stream."""
        held_out_examples = None if held_out is None else self._examples(held_out)
        with drawing(seed):
            with Redirected():
                self.network_ = self.build_network()
            if training is not None:
                self._start(training, held_out)
            history = train(
                self.network_,
                batches,
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
                on_infinite=None if training is None else self._infinite(training),
                keep_interrupted=self.keeps_interrupted and max_epochs is None,
            )
        history.keeps_best_metric = self.keeps_best_metric
        return history

    def _infinite(self, training: Dataset) -> Callable[[Tensor], None] | None:
        """What is told of rows whose loss is infinite, and leaves them out; None: such a loss is an error."""
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
            return everything, self._validation_data(validation)
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
        """What ``fit`` to this data has measured, in words."""
        figures = " · ".join(f"{name} {number(value)}" for name, value in self.metrics_.items())
        return f"on the validation part: {figures}" if figures else "nothing was held out to measure it by"

    def _validation_data(self, validation: Any) -> Dataset:
        """A Dataset or a pair (X, y) to stop by, as this estimator needs it."""
        dataset = validation if isinstance(validation, Dataset) else self.to_dataset(*validation)
        dataset.check_lengths()
        return self.with_targets(dataset)

    def _examples(self, dataset: Dataset, weights: Array | None = None) -> Examples:
        encoded = self._targets(dataset)
        targets = encoded if isinstance(encoded, Sequences) else torch.from_numpy(encoded)
        weights = np.ones(len(dataset)) if weights is None else weights
        if self.each_step:
            weights = weights * dataset.lengths
        weights = weights.astype(np.float32)
        return Examples(self.encode(dataset), targets, torch.from_numpy(weights), self.each_step)

    # -- a search for parameters -----------------------------------------------------------------------------

    def search_space(self, data: Dataset) -> Space:
        """What a search for parameters tries: also the pooling, but of one step, where all poolings are the same."""
        pools = hasattr(self, "pooling") and not (data.is_table and self.table_as == "one step")
        return self.space | POOLING if pools else self.space

    def searched_data(self, X: Any, y: Any = None) -> Dataset:
        """X and y as the Dataset that ``fit`` makes of them; of series the whole ones, not yet cut into windows."""
        return self.training_data(X, y)

    def check_search(self, space: Space, data: Dataset, validation: Any = None) -> None:
        """Raise a ParameterError if trials with parameters of the space could not be compared on this data."""

    # -- encoders ------------------------------------------------------------------------------------------

    def _fit_encoders(self, training: Dataset) -> None:
        """Fit what turns sequences and targets into numbers to those that are learned from."""
        self._update_encoders(training)
        self._finish_encoders(training.source)

    def _new_encoders(self) -> None:
        self.features_ = FeatureEncoder()

    def _update_encoders(self, training: Dataset) -> None:
        """Learn from sequences, or from the next piece of a stream of them."""
        self.features_.update(training.steps, training.source)

    def _finish_encoders(self, source: Source) -> None:
        """Settle what :meth:`_update_encoders` has learned."""
        self.features_.finish()

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
        if self.features_.column_names != self.feature_names_:
            raise DataError(f"expected an encoder of each column, got others ({listed(self.feature_names_, NAMED)})")

    def check_sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise a DataError unless the encoders agree with the shapes of weights, so far as a network takes memory."""
        outputs, last = self._head(), f"lstm.weight_ih_l{self.num_layers - 1}"
        if shapes.get("output.bias") != (outputs,):
            raise DataError(f"expected weights of {counted(outputs, 'output')}, got {shapes.get('output.bias')}")
        if last not in shapes:  # to build a billion empty layers takes for ever
            raise DataError(f"expected weights of {counted(self.num_layers, 'layer')}, got no {last}")

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
        skipped = {"verbose", "checkpoint"} | ({"max_epochs"} if self.schedule == "constant" else set())
        settings = sorted((name, repr(value)) for name, value in parameters.items() if name not in skipped)
        stopped_by = "" if held_out is None else held_out.fingerprint()
        weighed = hashlib.sha256(weights.tobytes()).hexdigest()
        run = (type(self).__name__, settings, self.trained_on_, stopped_by, weighed)
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
        check_polars("make a table of predictions")
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
        check_is_fitted(self)
        model_file.save(self, Path(path))
