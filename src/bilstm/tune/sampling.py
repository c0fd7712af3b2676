"""How parameters are drawn and bad trials are stopped: TPE and the median rule, both the same in every process.

Knows Optuna's trials; does not know estimators, files or time.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

STARTUP = 8  # trials that are drawn at random before the model of good ones is asked
WARM_UP = 1 / 3  # of a trial's epochs, but at most one fit, before which none is stopped: small rates begin slowly


class NumberedTPE(BaseSampler):
    """Optuna's TPE, seeded anew for every number of a trial and every name of a parameter.

    What is drawn then depends on the seed, the number and the trials before, not on what this process has drawn: a
    search that was killed goes on as it would have.

    Args:
        seed: of the search.

    Source: Bergstra, Bardenet, Bengio and Kégl 2011.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _tpe(self, trial: FrozenTrial, name: str = "") -> TPESampler:
        digest = hashlib.sha256(f"{self.seed} {trial.number} {name}".encode()).digest()
        return TPESampler(
            n_startup_trials=STARTUP,
            seed=int.from_bytes(digest[:4], "little"),
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
        return self._tpe(trial, param_name).sample_independent(study, trial, param_name, param_distribution)


class MedianOfFinished(BasePruner):
    """Stops a trial whose figure is worse than the median of what the finished ones had by then.

    It does so from the second trial on: the first has the defaults, and few trials fit into some minutes.

    Figures are those of the best epoch so far, so that a trial that ended early keeps its last one; Optuna's own
    median rule would leave it out. Nor may the luck of the first seed shield a trial from what the second one says.

    Args:
        warm_up: steps before which no trial is stopped.

    Source: Golovin et al. 2017 (Vizier).
    """

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or step < self.warm_up:
            return False
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [figure for one in finished if (figure := figure_at(one, step)) is not None]
        if not others:
            return False
        median = float(np.median(others))
        figure = trial.intermediate_values[step]
        return figure < median if study.direction == StudyDirection.MAXIMIZE else figure > median


def figure_at(trial: FrozenTrial, step: int) -> float | None:
    """What a trial had reached by a step; None before its first."""
    steps = [one for one in trial.intermediate_values if one <= step]
    return trial.intermediate_values[max(steps)] if steps else None
