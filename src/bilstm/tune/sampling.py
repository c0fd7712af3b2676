"""How parameters are drawn and bad trials are stopped: TPE and the median rule, both the same in every process.

Knows Optuna's trials; does not know estimators, files or time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

STARTUP = 10  # trials that are over before the model of good ones is asked
CHANGED = 2  # parameters in which each of these differs from the defaults
WARM_UP = 1 / 3  # of a trial's epochs, but at most one fit, before which none is stopped: small rates begin slowly


class NumberedTPE(BaseSampler):
    """Optuna's TPE, seeded anew for every number of a trial and every name of a parameter.

    What is drawn then depends on the seed, the number and the trials before, not on what this process has drawn: a
    search that was killed goes on as it would have. The first trials differ from the defaults in two parameters each,
    turn by turn: near a good point one of two steps leads up, while a leap in all directions hardly ever does.
    What is not among the defaults is drawn in every trial.

    Source: Bergstra, Bardenet, Bengio and Kégl 2011.
    """

    def __init__(self, seed: int, defaults: Mapping[str, Any] | None = None) -> None:
        self.seed, self.defaults = seed, dict(defaults or {})

    def _tpe(self, trial: FrozenTrial, name: str = "") -> TPESampler:
        return TPESampler(
            n_startup_trials=STARTUP,
            seed=_derived(self.seed, trial.number, name),
            multivariate=True,
            constant_liar=True,  # several processes do not try the same
        )

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._tpe(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if param_name in self.defaults and len(over) < STARTUP and param_name not in self.changed(trial.number):
            return self.defaults[param_name]
        return self._tpe(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def changed(self, number: int) -> list[str]:
        """The parameters in which an early trial differs from the defaults; all have their turn before one returns."""
        names = sorted(self.defaults)
        turns = max(1, len(names) // CHANGED)
        turn, place = divmod(max(number - 1, 0), turns)  # the very first trial has the defaults
        order: list[str] = np.random.RandomState(_derived(self.seed, turn, "turn")).permutation(names).tolist()
        return order[CHANGED * place : CHANGED * (place + 1) if place < turns - 1 else None]


def _derived(*words: Any) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:4], "little")


class MedianOfFinished(BasePruner):
    """Stops a trial whose value is worse than the median of what the finished ones had by then.

    It does so from the second trial on: the first has the defaults, and few trials fit into some minutes.

    Values are those of the best epoch so far, so that a trial that ended early keeps its last one; Optuna's own
    median rule would leave it out. Nor may the luck of the first seed shield a trial from what the second one says.

    Source: Golovin et al. 2017 (Vizier).
    """

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up  # steps before which no trial is stopped

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or step < self.warm_up:
            return False
        finished = (one.intermediate_values for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        by_then = [{at: value for at, value in values.items() if at <= step} for values in finished]
        others = [values[max(values)] for values in by_then if values]
        if not others:
            return False
        median, value = float(np.median(others)), trial.intermediate_values[step]
        return value < median if study.direction == StudyDirection.MAXIMIZE else value > median
