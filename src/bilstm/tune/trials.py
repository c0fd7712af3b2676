"""One trial: an estimator fitted with some parameters, once or with several seeds, and the figure that it reaches.

Knows estimators and histories; does not know who chose the parameters, or what becomes of the figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.base import clone

from bilstm.data.dataset import Dataset
from bilstm.errors import DataWarning, ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.training.history import History

BY = ("auto", "loss", "metric")
STEPS = 50  # of a fit that are told of at most: epochs of small tables take milliseconds, and to tell takes one
FEW = 2_000  # sequences below which one held-out part is too small to tell parameters apart


class Fit(NamedTuple):
    """What one fit of a trial came to, at the epoch that it keeps."""

    figure: float
    loss: float
    metric: float
    epoch: int
    epochs: int
    seconds: float


Report = Callable[[int, list[Fit]], None]  # a step and the fits by then; what it raises ends the trial
Tick = Callable[[int, History], None]  # which fit, and its history after every epoch


@dataclass(frozen=True)
class Setting:
    """What all trials of a search share. Make it with :func:`setting_for`.

    Args:
        estimator: not fitted; its parameters hold wherever a trial does not say otherwise.
        X, y: what trials learn from, as ``fit`` takes it.
        training: the same as a Dataset (of a forecaster a Series), to be looked at.
        validation: what they are stopped and compared by; None sets a part of X aside, the same for all.
        seeds: fits of a trial, with the seeds ``random_state``, ``random_state + 1``, …: other held-out parts (if none
            was given) and other first weights. Its figure is their mean.
        by: ``loss`` or ``metric``: which column of the history is compared.
        held_out: ``validation`` as a Dataset, to be looked at; None where a part of X is set aside.
    """

    estimator: BiLSTMEstimator
    X: Any
    y: Any
    training: Dataset
    validation: Any
    seeds: int
    by: str
    held_out: Dataset | None = None

    @property
    def max_epochs(self) -> int:
        """Of one fit."""
        return int(self.estimator.resolved("max_epochs", is_language=self.training.is_language))

    @property
    def every(self) -> int:
        """A figure is told once in so many epochs."""
        return -(-self.max_epochs // STEPS)

    @property
    def is_higher_better(self) -> bool:
        """Whether the best trial is that of the highest figure."""
        return self.by == "metric" and self.estimator.higher_is_better

    @property
    def last_step(self) -> int:
        """The step of a trial's last epoch, if no fit stops early."""
        return self.seeds * self.max_epochs

    def estimator_with(
        self, parameters: Mapping[str, Any], seed: int = 0, checkpoint: Path | None = None
    ) -> BiLSTMEstimator:
        """The estimator that a trial fits, not fitted."""
        model: BiLSTMEstimator = clone(self.estimator)
        model.set_params(
            **parameters, random_state=self.estimator.random_state + seed, checkpoint=checkpoint, verbose=0
        )
        return model


def setting_for(
    estimator: BiLSTMEstimator,
    X: Any,
    y: Any = None,
    validation: Any = None,
    seeds: int | None = None,
    by: str = "auto",
) -> Setting:
    """A setting with what is left open decided.

    Args:
        estimator: not fitted.
        X, y, validation: as ``fit`` takes them.
        seeds: None: the estimator's own number for fewer than 2,000 rows, sequences or texts, where one held-out part
            tells little; else 1.
        by: ``auto``: what the estimator says.

    Raises:
        ParameterError: nothing would be held out, or there is no seed to repeat.
    """
    if by not in BY:
        raise ParameterError(f"expected by to be one of {', '.join(map(repr, BY))}, got {by!r}")
    if validation is None and not estimator.validation_fraction:
        raise ParameterError(
            "expected a validation part to compare trials by, got validation_fraction 0", hint="or give --valid FILE"
        )
    if isinstance(estimator.random_state, bool) or not isinstance(estimator.random_state, int):
        raise ParameterError(f"expected random_state to be a number, got {estimator.random_state!r}")
    if by == "auto":
        by = estimator.compare_trials_by
    training = _as_dataset(estimator, X, y)
    if seeds is None:
        seeds = estimator.seeds_for_small_data if len(training) < FEW else 1
    if seeds < 1:
        raise ParameterError(f"expected at least one seed, got {seeds}")
    pair = validation if isinstance(validation, tuple) else (validation, None)
    held_out = None if validation is None else _as_dataset(estimator, *pair)
    return Setting(estimator, X, y, training, validation, seeds, by, held_out)


def _as_dataset(estimator: BiLSTMEstimator, X: Any, y: Any) -> Dataset:
    reader: BiLSTMEstimator = clone(estimator)  # which learns the names of columns
    return X if isinstance(X, Dataset) else reader.searched_data(X, y)


def fit_trial(
    setting: Setting,
    parameters: Mapping[str, Any],
    report: Report,
    tick: Tick = lambda seed, history: None,
    *,
    done: Sequence[Fit] = (),
    checkpoints: Callable[[int], Path | None] = lambda seed: None,
    on_fit: Callable[[list[Fit], str], None] = lambda fits, metric_name: None,
) -> list[Fit]:
    """Fit an estimator with each seed in turn.

    Args:
        setting: what all trials share.
        parameters: of this one.
        report: told at the same steps in every trial, ``STEPS`` times a fit at most and at its last epoch, of the fits
            by then, the last one as if it ended there. A fit that was taken up tells of its earlier epochs again.
            What it raises ends the trial.
        tick: called after every epoch but the very last, before ``report``. What it raises ends the trial too.
        done: the fits that were over before; they are not repeated.
        checkpoints: a file for each seed, from which a killed fit goes on; None writes nothing.
        on_fit: told all fits so far when one is over, and what the metric is called.

    Returns:
        The fits, one a seed.

    Raises:
        TrainingError: a loss or gradient is not finite.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> setting = setting_for(BiLSTMRegressor(max_epochs=2), boston(), seeds=1)
        >>> fits = fit_trial(setting, {"hidden_size": 4}, lambda step, fits: print("epoch", step))
        epoch 1
        epoch 2
        >>> fits[0].epochs
        2
    """
    fits = list(done)
    while len(fits) < setting.seeds:
        seed = len(fits)
        model = setting.estimator_with(parameters, seed, checkpoints(seed))
        teller = _Teller(setting, fits, report, tick)
        with warnings.catch_warnings():
            if seed or done:
                warnings.simplefilter("ignore", DataWarning)  # the first fit has said it
            model.fit(setting.X, setting.y, validation=setting.validation, on_epoch=teller)
        teller.tell(model.history_, is_over=True)
        fits.append(fit_of(setting, model.history_))
        on_fit(fits, model.history_.metric_name)
    return fits


class _Teller:
    """Tells of one fit's epochs, each once, in their order."""

    def __init__(self, setting: Setting, fits: Sequence[Fit], report: Report, tick: Tick) -> None:
        self.setting, self.fits, self.report, self.tick = setting, list(fits), report, tick
        self.told = 0

    def __call__(self, history: History) -> None:
        if self._step(len(history)) < self.setting.last_step:
            self.tick(len(self.fits), history)
        self.tell(history, is_over=False)

    def _step(self, epoch: int) -> int:
        return len(self.fits) * self.setting.max_epochs + epoch

    def tell(self, history: History, *, is_over: bool) -> None:
        """Report the epochs since the last time; also those from before a run was taken up."""
        for epoch in range(self.told + 1, len(history) + 1):
            self.told = epoch
            is_last = epoch == self.setting.max_epochs or (is_over and epoch == len(history))
            if is_last or epoch % self.setting.every == 0:
                self.report(self._step(epoch), [*self.fits, fit_of(self.setting, history, epoch)])


def fit_of(setting: Setting, history: History, epochs: int | None = None) -> Fit:
    """What a fit comes to that ends after so many epochs: the figures of the epoch that it would keep."""
    epochs = len(history) if epochs is None else epochs
    kept = history.kept(by_metric=setting.estimator.keeps_best_metric, epochs=epochs)
    loss, metric = history["validation_loss"][kept], history["metric"][kept]
    figure = loss if setting.by == "loss" else metric
    return Fit(figure, loss, metric, kept + 1, epochs, sum(history["seconds"][:epochs]))


def figure_of(fits: Sequence[Fit]) -> float:
    """What a trial is compared by: the mean of its fits."""
    return mean([fit.figure for fit in fits])


def mean(figures: Sequence[float]) -> float:
    """Plain, in their order, so that it is the same in every process."""
    return sum(figures) / len(figures)


def kept_by(fits: Sequence[Fit]) -> int:
    """The epoch that fits keep on the mean, rounded; 0 for none."""
    return round(mean([fit.epoch for fit in fits])) if fits else 0
