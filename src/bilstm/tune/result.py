"""What a search came to: the best parameters, all trials, and how much each parameter matters.

Data, and tables of it; does not know how trials were chosen, where they are kept, or how they are drawn.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilstm.errors import BilstmError, TrainingError, from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Space
from bilstm.formatting import as_option
from bilstm.tune.space import distributions
from bilstm.tune.trials import Objective

MIN_TRIALS = 6  # below which nothing is said of how much parameters matter
SHOWN = 10  # trials of a table
REMARKS = {"finished": "", "stopped": "stopped early", "failed": "failed", "unfinished": "not over"}  # best state first


@dataclass(frozen=True)
class Trial:
    """One trial; ``value``, by which trials are compared, ``loss`` and ``metric`` are means over its fits, or None."""

    number: int
    state: str
    value: float | None
    loss: float | None
    metric: float | None
    epochs: int
    seconds: float
    params: dict[str, Any]
    note: str = ""
    best_epoch: int = 0  # that its fits kept on the mean, rounded; 0: none is known


@dataclass(eq=False)
class SearchResult:
    """The result of a search; see :func:`bilstm.tune.search.tune`."""

    objective: Objective  # what all trials shared
    space: Space  # what was searched
    trials: list[Trial]  # all of them, in their order
    best_trial: Trial  # the best that ran to its end
    metric_name: str  # what the estimator calls its metric
    seconds: float  # how long the search took
    checkpoint: Path | None = None  # of the best trial's first fit, if it is still there

    @property
    def best_params(self) -> dict[str, Any]:
        return self.best_trial.params

    @property
    def best(self) -> dict[str, Any]:
        """The former name of :attr:`best_params`."""
        warnings.warn("`best` of a search is now called `best_params`.", DeprecationWarning, stacklevel=2)
        return self.best_params

    def final_params(self, *, refit: bool = True) -> dict[str, Any]:
        """What the best model is fitted with: the best parameters, and what makes it learn from the held-out rows too.

        That is no held-out part, and as many epochs as the best trial's fits kept on the mean. Only of an estimator
        that ``refits_all_rows``, and not where the caller's validation data stopped trials: see docs/decisions.md.
        Without ``refit`` it is the best parameters alone.
        """
        epochs, objective = self.best_trial.best_epoch, self.objective
        if not (refit and epochs and objective.validation is None and objective.estimator.refits_all_rows):
            return self.best_params
        return self.best_params | {"validation_fraction": 0.0, "max_epochs": epochs}

    def fit(self, *, refit: bool = True) -> BiLSTMEstimator:
        """The estimator, fitted with :meth:`final_params`: what ``fit`` alone would make of them.

        Where no row is added, and the checkpoint of the best trial's first fit is left, that is taken up, in no time.
        """
        params, objective = self.final_params(refit=refit), self.objective
        model = objective.estimator_with(params, 0, self.checkpoint if params == self.best_params else None)
        model.fit(objective.X, objective.y, validation=objective.validation)
        model.keeps_interrupted = True
        model.set_params(checkpoint=objective.estimator.checkpoint, verbose=objective.estimator.verbose)
        return model

    def copy_checkpoint(self, path: Path) -> None:
        if self.checkpoint is not None and self.checkpoint.exists():
            shutil.copyfile(self.checkpoint, path)

    @property
    def value_name(self) -> str:
        return self.metric_name if self.objective.by == "metric" else "validation loss"

    def ranked(self) -> list[Trial]:
        """Best first: those that ran to their end, then those that were stopped, then the others."""
        states, sign = list(REMARKS), -1 if self.objective.higher_is_better else 1
        return sorted(
            self.trials, key=lambda t: (states.index(t.state), math.inf if t.value is None else sign * t.value)
        )

    def importance(self) -> dict[str, float]:
        """How much of what makes a trial good hangs on each parameter: shares that add up to 1, largest first.

        Stopped trials count with the value that they had. Empty where there are fewer than six trials to tell from.

        Source: Watanabe, Bansal and Hutter 2023 (PED-ANOVA).
        """
        return importance(self.trials, self.space, higher_is_better=self.objective.higher_is_better)

    def table(self, most: int | None = SHOWN) -> str:
        """The ``most`` best trials as text, one a line; None for all."""
        trials = self.ranked()[:most]
        by_loss = self.objective.by == "loss"
        lines = [["trial", self.value_name, *[self.metric_name] * by_loss, "epochs", "s", *self.space, ""]]
        for trial in trials:
            cells = [str(trial.number), _number(trial.value), *[_number(trial.metric)] * by_loss, str(trial.epochs)]
            params = [as_option(trial.params.get(name, "")) for name in self.space]
            lines.append([*cells, f"{trial.seconds:.1f}", *params, REMARKS[trial.state]])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.rjust, line, widths)).rstrip() for line in lines]
        hidden = len(self.trials) - len(trials)
        return "\n".join(text + [f"and {hidden} more"] * (hidden > 0))

    def importance_table(self) -> str:
        shares = self.importance()
        width = max(map(len, shares), default=0)
        return "\n".join(f"{name:<{width}}  {share:4.0%}  {'█' * round(20 * share)}" for name, share in shares.items())

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.objective.estimator.task,
            "compared_by": self.value_name,
            "best": {"trial": self.best_trial.number, "figure": self.best_trial.value, "parameters": self.best_params},
            "seeds": self.objective.seeds,
            "seconds": round(self.seconds, 1),
            "importance": {name: round(share, 4) for name, share in self.importance().items()},
            "trials": [
                {
                    "trial": trial.number,
                    "state": trial.state,
                    "figure": trial.value,
                    "validation_loss": trial.loss,
                    self.metric_name: None if trial.metric is None or math.isnan(trial.metric) else trial.metric,
                    "epochs": trial.epochs,
                    "seconds": round(trial.seconds, 3),
                    "parameters": trial.params,
                    **({"note": trial.note} if trial.note else {}),
                }
                for trial in self.trials
            ],
        }


def best_of(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """The best of those that ran to their end; of equals the earlier one."""
    finished = [trial for trial in trials if trial.state == "finished" and trial.value is not None]
    sign = -1 if higher_is_better else 1
    return min(finished, key=lambda trial: sign * (trial.value or 0.0), default=None)


def without_result(trials: Sequence[Trial], hint: str) -> BilstmError:
    if failed := [trial for trial in trials if trial.state == "failed"]:
        return TrainingError(f"No trial came to its end: {len(failed)} failed, the last with {failed[-1].note}")
    return BilstmError("No trial came to its end in time.", hint=hint)


def importance(trials: Sequence[Trial], space: Space, *, higher_is_better: bool) -> dict[str, float]:
    valued = [t for t in trials if t.value is not None and t.state != "failed" and space.keys() == t.params.keys()]
    if len(valued) < MIN_TRIALS or len({trial.value for trial in valued}) < 2:
        return {}
    optuna = from_extra("optuna", "tune")
    from bilstm.tune.storage import optuna_quiet

    with optuna_quiet():
        study = optuna.create_study(direction="maximize" if higher_is_better else "minimize")
        known = distributions(space)
        study.add_trials([optuna.create_trial(params=t.params, distributions=known, value=t.value) for t in valued])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def describe_trial(trial: Trial, objective: Objective, metric_name: str) -> str:
    params = " ".join(f"{name}={as_option(value)}" for name, value in trial.params.items())
    if trial.state == "failed":
        return f"trial {trial.number} failed: {trial.note} · {params}"
    end = f" · stopped after {trial.epochs} epochs" if trial.state == "stopped" else ""
    by_metric = objective.by == "metric"
    value = f"{metric_name if by_metric else 'loss'} {_number(trial.value)}"
    other = "" if by_metric else f" · {metric_name} {_number(trial.metric)}"
    return f"trial {trial.number}{end} · {value}{other} · {trial.seconds:.1f} s · {params}"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"
