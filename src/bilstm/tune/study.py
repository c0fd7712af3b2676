"""A search as it is kept: who tries which parameters, what came of it, what is taken up after a stop.

Knows Optuna's study, files and locks; does not know when a search is over, or what its trials do.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from bilstm.errors import BilstmError, ParameterError
from bilstm.estimators.space import Choices, Range, Space
from bilstm.training.history import History
from bilstm.tune.locks import Clock, Lock, alone_in, locked
from bilstm.tune.sampling import WARM_UP, MedianOfFinished, NumberedTPE
from bilstm.tune.space import defaults, values
from bilstm.tune.storage import JOURNAL, opened, quiet, told_in_words
from bilstm.tune.trials import Fit, Setting, figure_of, fit_of, kept_by

CLOCK, OWNER, BEGIN = "clock.json", "owner", "begin.lock"  # files of a search, beside its journal
VERSION = 1  # of what a fingerprint and a trial's notes mean
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}
WRITTEN = re.compile(r"\.?trial-(\d+)[-.]")  # a trial's files; with a dot those that a kill cut short
NOT_IN_FINGERPRINT = ("checkpoint", "verbose", "device")


class Stopped(Exception):
    """A trial is worse than others were by then."""


@dataclass(frozen=True)
class Row:
    """One trial as a table shows it; ``figure``, ``loss`` and ``metric`` are means over its fits, or None.

    ``kept`` is the mean epoch that they kept, rounded; 0 where none is known.
    """

    number: int
    state: str
    figure: float | None
    loss: float | None
    metric: float | None
    epochs: int
    seconds: float
    parameters: dict[str, Any]
    note: str = ""
    kept: int = 0


class Study:
    """The trials of one search, in a folder, and in a database if one is named.

    The folder holds the journal, the checkpoints of running trials and the locks that tell which of them somebody is
    at work on. A database may be shared by several machines; each takes up the trials of its own folder.

    Args:
        setting: what all trials share.
        space: what is searched.
        folder: is there.
        storage: as :func:`bilstm.tune.storage.opened` gives it.

    Raises:
        ParameterError: the folder holds another search.
    """

    def __init__(self, setting: Setting, space: Space, folder: Path, storage: BaseStorage) -> None:
        self.setting, self.space, self.folder = setting, space, folder
        self.clock = Clock(folder / CLOCK)
        self.owner = self._owner()
        open_ones = {name: dimension for name, dimension in space.items() if len(set(dimension.ends)) > 1}
        self._defaults = defaults(setting.estimator, open_ones, setting.training.is_language)
        name = f"bilstm-{fingerprint(setting, space)}"
        if isinstance(storage, JournalStorage):
            _check_is_alone(optuna.get_all_study_names(storage), name, folder)
        warm_up = max(1, round(min(1.0, WARM_UP * setting.seeds) * setting.max_epochs))
        with locked(folder / BEGIN):
            self.optuna = optuna.create_study(
                study_name=name,
                storage=storage,
                load_if_exists=True,
                direction="maximize" if setting.is_higher_better else "minimize",
                sampler=NumberedTPE(setting.estimator.random_state, self._defaults),
                pruner=MedianOfFinished(warm_up),
            )

    def _owner(self) -> str:
        """What trials of this folder are marked with, in a database that others use too."""
        path = self.folder / OWNER
        with locked(self.folder / BEGIN):
            if not path.exists() or not path.read_text():
                path.write_text(uuid.uuid4().hex)
            return path.read_text()

    def begin(self, most: int | None = None) -> Running | None:
        """The next trial: one whose owner died, or a new one; None if ``most`` have begun and none is orphaned."""
        with locked(self.folder / BEGIN):
            trials = self.optuna.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state == TrialState.RUNNING and trial.user_attrs.get("owner") == self.owner:
                    found = self._take_up(trial)
                    if found is not None:
                        return found
            if most is not None and sum(trial.state != TrialState.WAITING for trial in trials) >= most:
                return None
            if all(trial.state != TrialState.WAITING for trial in trials):
                drawn = {} if trials else self._defaults
                self.optuna.enqueue_trial(drawn, user_attrs={"owner": self.owner})  # so that none is without an owner
            asked = self.optuna.ask()
            lock = self._lock(asked.number)
            assert lock.acquire(wait=False)
            asked.set_user_attr("owner", self.owner)
            return Running(self, asked, lock)

    def _take_up(self, trial: FrozenTrial) -> Running | None:
        lock = self._lock(trial.number)
        if not lock.acquire(wait=False):
            return None  # somebody is at work on it
        if self.optuna.get_trials(deepcopy=False)[trial.number].state != TrialState.RUNNING:
            lock.release()  # it ended just now
            return None
        return Running(self, optuna.Trial(self.optuna, trial._trial_id), lock)

    def _lock(self, number: int) -> Lock:
        return Lock(self.folder / f"trial-{number:04d}.lock")

    def checkpoint(self, number: int, seed: int) -> Path:
        """The file from which a fit of a trial goes on."""
        return self.folder / f"trial-{number:04d}-{seed}.checkpoint"

    def rows(self) -> list[Row]:
        """All trials that have begun, in their order."""
        trials = self.optuna.get_trials(deepcopy=False)
        return [self._row(trial) for trial in trials if trial.state in STATES]

    def best(self) -> Row | None:
        """The best of those that ran to their end; None before the first. Of equals the earlier one."""
        finished = [row for row in self.rows() if row.state == "finished" and row.figure is not None]
        sign = -1 if self.setting.is_higher_better else 1
        return min(finished, key=lambda row: sign * (row.figure or 0.0), default=None)

    def _row(self, trial: FrozenTrial) -> Row:
        fits = [Fit(*one) for one in trial.user_attrs.get("fits", [])]
        if len(fits) < self.setting.seeds and "partly" in trial.user_attrs:
            fits.append(Fit(*trial.user_attrs["partly"]))
        steps = trial.intermediate_values
        figure = trial.value if trial.state == TrialState.COMPLETE else steps[max(steps)] if steps else None
        known = [name for name in self.space if name in trial.params]
        return Row(
            number=trial.number,
            state=STATES[trial.state],
            figure=figure,
            loss=sum(fit.loss for fit in fits) / len(fits) if fits else None,
            metric=sum(fit.metric for fit in fits) / len(fits) if fits else None,
            epochs=sum(fit.epochs for fit in fits),
            seconds=sum(fit.seconds for fit in fits),
            parameters=values({name: self.space[name] for name in known}, trial.params),
            note=trial.user_attrs.get("note", ""),
            kept=kept_by(fits),
        )

    @property
    def metric_name(self) -> str:
        """What the estimator calls its metric; known after the first fit."""
        names = (trial.user_attrs.get("metric") for trial in self.optuna.get_trials(deepcopy=False))
        return next((name for name in names if name), "metric")

    def tidy(self) -> None:
        """Remove the files of trials that are over, but the first checkpoint of the best: it holds its model."""
        best = self.best()
        kept = None if best is None else self.checkpoint(best.number, 0)
        over = {row.number for row in self.rows() if row.state != "unfinished"}
        for path in self.folder.iterdir():
            found = WRITTEN.match(path.name)
            if found is not None and int(found[1]) in over and path != kept:
                path.unlink(missing_ok=True)


class Running:
    """A trial that this process is at work on; nobody else is while it holds the lock."""

    def __init__(self, study: Study, trial: optuna.Trial, lock: Lock) -> None:
        self.study, self._trial, self._lock = study, trial, lock
        drawn = {name: _suggested(trial, name, dimension) for name, dimension in study.space.items()}
        self.parameters = values(study.space, drawn)
        self.number = trial.number
        self.done = [Fit(*one) for one in trial.user_attrs.get("fits", [])]
        frozen = study.optuna.get_trials(deepcopy=False)[trial.number]
        self._told = max(frozen.intermediate_values, default=0)
        self._latest: Fit | None = None

    @property
    def was_begun(self) -> bool:
        """Whether some of its epochs were done before."""
        return bool(self._told or self.done) or self.checkpoint(len(self.done)).exists()

    def checkpoint(self, seed: int) -> Path:
        """Of the fit with that seed."""
        return self.study.checkpoint(self.number, seed)

    def report(self, step: int, fits: Sequence[Fit]) -> None:
        """Write a figure down, once, and stop the trial if others were better by then."""
        if step > self._told:
            self._trial.report(figure_of(fits), step)
            self._told = step
        if step == self._told and step < self.study.setting.last_step and self._trial.should_prune():
            self._latest = fits[-1]  # not what a fit that was taken up has done beyond it
            raise Stopped

    def keep(self, fits: Sequence[Fit], metric_name: str) -> None:
        """Write down the fits that are over; the checkpoint of the first is the model, if this trial is the best."""
        self._trial.set_user_attr("metric", metric_name)
        self._trial.set_user_attr("fits", [list(fit) for fit in fits])
        if len(fits) > 1:
            self.checkpoint(len(fits) - 1).unlink(missing_ok=True)

    def seen(self, seed: int, history: History) -> None:
        """Remember how far a fit has come, for the table, if it is not to go on."""
        self._latest = fit_of(self.study.setting, history)

    def finish(self, figure: float) -> None:
        """It ran to its end."""
        self._end(TrialState.COMPLETE, figure)

    def stop(self) -> None:
        """It was worse than others."""
        self._end(TrialState.PRUNED)

    def fail(self, note: str) -> None:
        """It could not go on."""
        self._trial.set_user_attr("note", note)
        self._end(TrialState.FAIL)

    def _end(self, state: TrialState, figure: float | None = None) -> None:
        if self._latest is not None and state != TrialState.COMPLETE:
            self._trial.set_user_attr("partly", list(self._latest))
        with locked(self.study.folder / BEGIN):
            self.study.optuna.tell(self._trial, figure, state=state)
            self.leave()
            self.study.tidy()

    def pause(self) -> None:
        """Leave it as it is, with a note of how far it has come."""
        if self._latest is not None:
            self._trial.set_user_attr("partly", list(self._latest))
        self.leave()

    def leave(self) -> None:
        """Give the lock back; if the trial is not over, somebody may take it up."""
        self._lock.release()


def _suggested(trial: optuna.Trial, name: str, dimension: Range | Choices) -> Any:
    """What is drawn for a parameter, or was drawn before."""
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(name, dimension.values)
    if dimension.whole:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def fingerprint(setting: Setting, space: Space) -> str:
    """A digest of all that decides what a search finds: the same command on the same data has the same one."""
    parameters = setting.estimator.get_params(deep=False)
    told = sorted((name, repr(value)) for name, value in parameters.items() if name not in NOT_IN_FINGERPRINT)
    stopped_by = "" if setting.held_out is None else setting.held_out.fingerprint()
    searched = sorted((name, repr(dimension)) for name, dimension in space.items())
    kind = type(setting.estimator).__name__
    run = (VERSION, kind, told, setting.training.fingerprint(), stopped_by, searched, setting.seeds, setting.by)
    return hashlib.sha256(repr(run).encode()).hexdigest()[:16]


def forget(folder: Path, setting: Setting, space: Space, storage: str | None) -> None:
    """Remove the files of a search from its folder, and this search from the database.

    Raises:
        BilstmError: another process is at work on it.
    """
    with alone_in(folder) as is_alone, quiet(), told_in_words(folder):
        if not is_alone:
            raise BilstmError(f"expected a search that nobody is at work on, got one with others ({folder})")
        if storage is not None:
            name = f"bilstm-{fingerprint(setting, space)}"
            with opened(folder, storage) as database:
                if name in optuna.get_all_study_names(database):
                    optuna.delete_study(study_name=name, storage=database)
        for pattern in (JOURNAL, "trial-*", ".trial-*", CLOCK, OWNER):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)


def _check_is_alone(names: Sequence[str], name: str, folder: Path) -> None:
    if any(other != name for other in names):
        raise ParameterError(
            f"expected the search of this command, got one of other data, ranges or parameters ({folder})",
            hint="--restart forgets it; --study names another folder",
        )
