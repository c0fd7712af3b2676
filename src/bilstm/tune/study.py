"""A search as it is kept: who tries which parameters, what came of it, what is resumed after a stop.

Knows Optuna's study, files and locks; does not know when a search is over, or what its trials do.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from bilstm.errors import BilstmError, ParameterError
from bilstm.estimators.space import Choices, Dimension, Space
from bilstm.training.history import History
from bilstm.tune.result import Trial, best_of
from bilstm.tune.sampling import WARM_UP, MedianOfFinished, NumberedTPE
from bilstm.tune.space import default_params, trial_params
from bilstm.tune.storage import JOURNAL, Clock, acquired, lock, open_storage, sole_access
from bilstm.tune.trials import Fit, Objective, fit_of, summary, value_of

CLOCK, OWNER, BEGIN = "clock.json", "owner", "begin.lock"  # files of a search, beside its journal
VERSION = 1  # of what a fingerprint and a trial's notes mean
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}
TRIAL_FILE = re.compile(r"\.?trial-(\d+)[-.]")  # with a dot those that a kill cut short
NOT_IN_FINGERPRINT = ("checkpoint", "verbose", "device")


class TrialPruned(Exception):
    """A trial is worse than others were by then."""


class Study:
    """The trials of one search, in a folder, and in a database if one is named.

    The folder holds the journal, the checkpoints of running trials and the locks that tell which of them somebody is
    at work on. A database may be shared by several machines; each resumes the trials of its own folder.
    """

    def __init__(self, objective: Objective, space: Space, folder: Path, storage: BaseStorage) -> None:
        self.objective, self.space, self.folder, self._storage = objective, space, folder, storage
        self.clock = Clock(folder / CLOCK)
        open_ones = {name: dimension for name, dimension in space.items() if len(set(dimension.ends)) > 1}
        self._defaults = default_params(objective.estimator, open_ones, objective.training.is_language)
        name = f"bilstm-{fingerprint(objective, space)}"
        if isinstance(storage, JournalStorage) and set(optuna.get_all_study_names(storage)) - {name}:
            raise ParameterError(
                f"expected the search of this command, got one of other data, ranges or parameters ({folder})",
                hint="--restart forgets it; --study names another folder",
            )
        with lock(folder / BEGIN):
            owner = folder / OWNER  # what trials of this folder are marked with, in a database that others use too
            if not owner.exists() or not owner.read_text():
                owner.write_text(uuid.uuid4().hex)
            self.owner = owner.read_text()
            self.optuna = optuna.create_study(
                study_name=name,
                storage=storage,
                load_if_exists=True,
                direction="maximize" if objective.higher_is_better else "minimize",
                sampler=NumberedTPE(objective.estimator.random_state, self._defaults),
                pruner=MedianOfFinished(warm_up_steps(objective)),
            )

    def begin(self, most: int | None = None) -> RunningTrial | None:
        """The next trial: one whose owner died, or a new one; None if ``most`` have begun and none is orphaned."""
        with lock(self.folder / BEGIN):
            trials = self.optuna.get_trials(deepcopy=False)
            for trial in trials:
                is_ours = trial.state == TrialState.RUNNING and trial.user_attrs.get("owner") == self.owner
                if is_ours and (resumed := self._resume(trial)) is not None:
                    return resumed
            if most is not None and sum(trial.state != TrialState.WAITING for trial in trials) >= most:
                return None
            if all(trial.state != TrialState.WAITING for trial in trials):
                params = {} if trials else self._defaults
                self.optuna.enqueue_trial(params, user_attrs={"owner": self.owner})  # so that none is without an owner
            asked = self.optuna.ask()
            own = self._lock(asked.number)
            assert own is not None
            asked.set_user_attr("owner", self.owner)
            return RunningTrial(self, asked, own)

    def _resume(self, trial: FrozenTrial) -> RunningTrial | None:
        """A running trial of this folder; None if somebody is at work on it, or it ended just now."""
        own = self._lock(trial.number)
        if own is None:
            return None
        if self.optuna.get_trials(deepcopy=False)[trial.number].state != TrialState.RUNNING:
            own.release()
            return None
        study_id = self._storage.get_study_id_from_name(self.optuna.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        return RunningTrial(self, optuna.Trial(self.optuna, trial_id), own)

    def _lock(self, number: int) -> FileLock | None:
        return acquired(self.folder / f"trial-{number:04d}.lock")

    def checkpoint(self, number: int, seed: int) -> Path:
        return self.folder / f"trial-{number:04d}-{seed}.checkpoint"

    def trials(self) -> list[Trial]:
        trials = self.optuna.get_trials(deepcopy=False)
        return [self._as_trial(trial) for trial in trials if trial.state in STATES]

    def best(self) -> Trial | None:
        return best_of(self.trials(), higher_is_better=self.objective.higher_is_better)

    def _as_trial(self, trial: FrozenTrial) -> Trial:
        fits = [Fit(*one) for one in trial.user_attrs.get("fits", [])]
        if len(fits) < self.objective.seeds and "partly" in trial.user_attrs:
            fits.append(Fit(*trial.user_attrs["partly"]))
        steps = trial.intermediate_values
        known = {name: self.space[name] for name in self.space if name in trial.params}
        return Trial(
            number=trial.number,
            state=STATES[trial.state],
            value=trial.value if trial.state == TrialState.COMPLETE else steps[max(steps)] if steps else None,
            params=trial_params(known, trial.params),
            note=trial.user_attrs.get("note", ""),
            **summary(fits),
        )

    @property
    def metric_name(self) -> str:
        """Known after the first fit."""
        names = (trial.user_attrs.get("metric") for trial in self.optuna.get_trials(deepcopy=False))
        return next((name for name in names if name), "metric")

    def remove_files(self) -> None:
        """Remove the files of trials that are over, but the first checkpoint of the best: it holds its model."""
        best = self.best()
        kept = None if best is None else self.checkpoint(best.number, 0)
        over = {trial.number for trial in self.trials() if trial.state != "unfinished"}
        for path in self.folder.iterdir():
            match = TRIAL_FILE.match(path.name)
            if match is not None and int(match[1]) in over and path != kept:
                path.unlink(missing_ok=True)


class RunningTrial:
    """A trial that this process is at work on; nobody else is while it holds the lock."""

    def __init__(self, study: Study, trial: optuna.Trial, own: FileLock) -> None:
        self.study, self._trial, self._lock = study, trial, own
        drawn = {name: _suggested(trial, name, dimension) for name, dimension in study.space.items()}
        self.params = trial_params(study.space, drawn)
        self.number = trial.number
        self.done = [Fit(*one) for one in trial.user_attrs.get("fits", [])]
        frozen = study.optuna.get_trials(deepcopy=False)[trial.number]
        self._reported = max(frozen.intermediate_values, default=0)
        self._latest: Fit | None = None

    @property
    def is_resumed(self) -> bool:
        return bool(self._reported or self.done) or self.checkpoint(len(self.done)).exists()

    def checkpoint(self, seed: int) -> Path:
        return self.study.checkpoint(self.number, seed)

    def report(self, step: int, fits: Sequence[Fit]) -> None:
        """Write a value down, once; raises ``TrialPruned`` if others were better by then."""
        if step > self._reported:
            self._trial.report(value_of(fits), step)
            self._reported = step
        if step == self._reported and step < self.study.objective.last_step and self._trial.should_prune():
            self._latest = fits[-1]  # not what a resumed fit has done beyond it
            raise TrialPruned

    def save_fits(self, fits: Sequence[Fit], metric_name: str) -> None:
        """Write down the fits that are over; the checkpoint of the first is the model, if this trial is the best."""
        self._trial.set_user_attr("metric", metric_name)
        self._trial.set_user_attr("fits", [list(fit) for fit in fits])
        if len(fits) > 1:
            self.checkpoint(len(fits) - 1).unlink(missing_ok=True)

    def note_progress(self, history: History) -> None:
        """Remember how far a fit has come, for the table, if it is not to go on."""
        self._latest = fit_of(self.study.objective, history)

    def fail(self, error: BaseException) -> None:
        self._trial.set_user_attr("note", failure(error))
        self.end(TrialState.FAIL)

    def end(self, state: TrialState, value: float | None = None) -> None:
        if state != TrialState.COMPLETE:
            self.save_progress()
        with lock(self.study.folder / BEGIN):
            self.study.optuna.tell(self._trial, value, state=state)
            self.release()
            self.study.remove_files()

    def save_progress(self) -> None:
        if self._latest is not None:
            self._trial.set_user_attr("partly", list(self._latest))

    def release(self) -> None:
        """Give the lock back; if the trial is not over, somebody may resume it."""
        self._lock.release()


def _suggested(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(name, dimension.values)
    if dimension.whole:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def failure(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def warm_up_steps(objective: Objective) -> int:
    return max(1, round(min(1.0, WARM_UP * objective.seeds) * objective.max_epochs))


def fingerprint(objective: Objective, space: Space) -> str:
    """A digest of all that decides what a search finds: the same command on the same data has the same one."""
    params = objective.estimator.get_params(deep=False)
    fixed = sorted((name, repr(value)) for name, value in params.items() if name not in NOT_IN_FINGERPRINT)
    stopped_by = "" if objective.held_out is None else objective.held_out.fingerprint()
    searched = sorted((name, repr(dimension)) for name, dimension in space.items())
    kind, training = type(objective.estimator).__name__, objective.training.fingerprint()
    run = (VERSION, kind, fixed, training, stopped_by, searched, objective.seeds, objective.by)
    return hashlib.sha256(repr(run).encode()).hexdigest()[:16]


def delete_search(folder: Path, objective: Objective, space: Space, storage: str | None) -> None:
    """Remove the files of a search from its folder, and this search from the database, unless somebody is at work."""
    with sole_access(folder) as is_alone:
        if not is_alone:
            raise BilstmError(
                f"The search in {folder} cannot be forgotten while another process is at work on it.",
                hint="wait for the other process, or end it",
            )
        if storage is not None:
            name = f"bilstm-{fingerprint(objective, space)}"
            with open_storage(folder, storage) as database:
                if name in optuna.get_all_study_names(database):
                    optuna.delete_study(study_name=name, storage=database)
        for pattern in (JOURNAL, "trial-*", ".trial-*", CLOCK, OWNER):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)
