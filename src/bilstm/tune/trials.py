"""One trial: an estimator fitted with some parameters, once or with several seeds, and the value that it reaches.

Knows estimators and histories; does not know who chose the parameters, or what becomes of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.base import clone

from bilstm.data.dataset import Dataset
from bilstm.errors import ParameterError, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.training.history import History

BY = ("auto", "loss", "metric")
STEPS = 50  # reports of a fit at most: epochs of small tables take milliseconds, and a report takes one
FEW = 2_000  # sequences below which one held-out part is too small to tell parameters apart


class Fit(NamedTuple):
    """One fit of a trial, with the figures of the epoch that it keeps."""

    value: float
    loss: float
    metric: float
    epoch: int
    epochs: int
    seconds: float


Report = Callable[[int, list[Fit]], None]  # a step and the fits by then; what it raises ends the trial
OnEpoch = Callable[[int, History], None]  # which fit, and its history after every epoch


@dataclass(frozen=True)
class Objective:
    """What all trials of a search share. Make it with :func:`objective_for`.

    The fits of a trial have the seeds ``random_state``, ``random_state + 1``, …: other held-out parts (if none was
    given) and other first weights. The value of the trial is their mean.
    """

    estimator: BiLSTMEstimator  # not fitted; its parameters hold wherever a trial does not say otherwise
    X: Any  # what trials learn from, as ``fit`` takes it
    y: Any
    training: Dataset  # the same as a Dataset (of a forecaster a Series), to be looked at
    validation: Any  # what trials are stopped and compared by; None sets a part of X aside, the same for all
    seeds: int  # fits of a trial
    by: str  # "loss" or "metric": which column of the history is compared
    held_out: Dataset | None = None  # ``validation`` as a Dataset; None where a part of X is set aside

    @property
    def max_epochs(self) -> int:
        return int(self.estimator.resolved("max_epochs", is_language=self.training.is_language))

    @property
    def higher_is_better(self) -> bool:
        return self.by == "metric" and self.estimator.higher_is_better

    @property
    def last_step(self) -> int:
        """The step of a trial's last epoch, if no fit stops early."""
        return self.seeds * self.max_epochs

    def estimator_with(
        self, parameters: Mapping[str, Any], seed: int = 0, checkpoint: Path | None = None
    ) -> BiLSTMEstimator:
        model: BiLSTMEstimator = clone(self.estimator).set_params(**parameters)
        model.set_params(random_state=self.estimator.random_state + seed, checkpoint=checkpoint, verbose=0)
        model.keeps_interrupted = False
        return model


def objective_for(
    estimator: BiLSTMEstimator,
    X: Any,
    y: Any = None,
    validation: Any = None,
    seeds: int | None = None,
    by: str = "auto",
) -> Objective:
    """An objective with what is left open decided: how many ``seeds``, and by what trials are compared ("auto")."""
    if by not in BY:
        raise ParameterError(f"expected by to be one of {', '.join(map(repr, BY))}, got {by!r}")
    if validation is None and not estimator.validation_fraction:
        message = "expected a validation part to compare trials by, got validation_fraction 0"
        raise ParameterError(message, hint="or give --valid FILE")
    if isinstance(estimator.random_state, bool) or not isinstance(estimator.random_state, int):
        raise ParameterError(f"expected random_state to be a number, got {estimator.random_state!r}")
    if by == "auto":
        by = estimator.compare_trials_by
    training = _as_dataset(estimator, X, y)
    if seeds is None:
        seeds = estimator.seeds_for_small_data if len(training) < FEW else 1
    if seeds < 1:
        raise ParameterError(f"expected at least one seed, got {seeds}")
    held_out = None
    if validation is not None:
        held_out = _as_dataset(estimator, *(validation if isinstance(validation, tuple) else (validation, None)))
    return Objective(estimator, X, y, training, validation, seeds, by, held_out)


def _as_dataset(estimator: BiLSTMEstimator, X: Any, y: Any) -> Dataset:
    reader: BiLSTMEstimator = clone(estimator)  # which learns the names of columns
    return X if isinstance(X, Dataset) else reader.searched_data(X, y)


def fit_trial(
    objective: Objective,
    params: Mapping[str, Any],
    report: Report,
    on_epoch: OnEpoch = lambda seed, history: None,
    done: Sequence[Fit] = (),
    checkpoints: Callable[[int], Path | None] = lambda seed: None,
    on_fit: Callable[[list[Fit], str], None] = lambda fits, metric_name: None,
) -> list[Fit]:
    """Fit an estimator with each seed in turn; the fits, one a seed, after those that were ``done`` before.

    ``report`` is called at the same steps in every trial, ``STEPS`` times a fit at most and at its last epoch, with the
    fits by then, the last one as if it ended there; a resumed fit reports its earlier epochs again. ``on_epoch`` is
    called after every epoch but the very last, before ``report``. ``on_fit`` gets all fits so far, and what the metric
    is called.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> objective = objective_for(BiLSTMRegressor(max_epochs=2), boston(), seeds=1)
        >>> fits = fit_trial(objective, {"hidden_size": 4}, lambda step, fits: print("epoch", step))
        epoch 1
        epoch 2
        >>> fits[0].epochs
        2
    """
    fits = list(done)
    while len(fits) < objective.seeds:
        seed = len(fits)
        model = objective.estimator_with(params, seed, checkpoints(seed))
        reporter = _Reporter(objective, fits, report, on_epoch)
        with record_warnings(show=not (seed or done)):  # the first fit has given them
            model.fit(objective.X, objective.y, validation=objective.validation, on_epoch=reporter)
        reporter.report_until_now(model.history_, is_over=True)
        fits.append(fit_of(objective, model.history_))
        on_fit(fits, model.history_.metric_name)
    return fits


class _Reporter:
    def __init__(self, objective: Objective, fits: Sequence[Fit], report: Report, on_epoch: OnEpoch) -> None:
        self.objective, self.fits, self.report, self.on_epoch = objective, list(fits), report, on_epoch
        self.reported = 0

        self.before = len(self.fits) * objective.max_epochs  # steps of the fits that are over

    def __call__(self, history: History) -> None:
        if self.before + len(history) < self.objective.last_step:
            self.on_epoch(len(self.fits), history)
        self.report_until_now(history, is_over=False)

    def report_until_now(self, history: History, *, is_over: bool) -> None:
        """Report the epochs since the last time; also those from before a fit was resumed."""
        for epoch in range(self.reported + 1, len(history) + 1):
            self.reported = epoch
            is_last = epoch == self.objective.max_epochs or (is_over and epoch == len(history))
            if is_last or epoch % -(-self.objective.max_epochs // STEPS) == 0:
                self.report(self.before + epoch, [*self.fits, fit_of(self.objective, history, epoch)])


def fit_of(objective: Objective, history: History, epochs: int | None = None) -> Fit:
    """What a fit comes to that ends after so many epochs: the figures of the epoch that it would keep."""
    epochs = len(history) if epochs is None else epochs
    kept = history.kept(by_metric=objective.estimator.keeps_best_metric, epochs=epochs)
    loss, metric = history["validation_loss"][kept], history["metric"][kept]
    value = loss if objective.by == "loss" else metric
    return Fit(value, loss, metric, kept + 1, epochs, sum(history["seconds"][:epochs]))


def value_of(fits: Sequence[Fit]) -> float:
    """The mean of the fits, in their order, so that it is the same in every process."""
    return sum(fit.value for fit in fits) / len(fits)


def summary(fits: Sequence[Fit]) -> dict[str, Any]:
    """What is known of a trial by its fits so far, by the names that a ``Trial`` has for it."""
    if not fits:
        return {"loss": None, "metric": None, "epochs": 0, "seconds": 0.0}
    return {
        "loss": sum(fit.loss for fit in fits) / len(fits),
        "metric": sum(fit.metric for fit in fits) / len(fits),
        "epochs": sum(fit.epochs for fit in fits),
        "seconds": sum(fit.seconds for fit in fits),
        "best_epoch": round(sum(fit.epoch for fit in fits) / len(fits)),
    }
