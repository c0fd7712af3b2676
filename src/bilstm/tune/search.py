"""The search itself: trial after trial until the time is up or enough have begun. Knows no storage and no options."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from bilstm.errors import ParameterError, TrainingError, from_extra, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Dimension
from bilstm.training.history import History
from bilstm.training.progress import QUIET, describe, say
from bilstm.tune.result import SearchResult, describe_trial, without_result
from bilstm.tune.space import space_for
from bilstm.tune.storage import open_storage, participation
from bilstm.tune.study import RunningTrial, Study, TrialPruned, delete_search
from bilstm.tune.trials import fit_trial, objective_for, value_of

MINUTES = 10.0  # where neither a time nor a number of trials is given
MOST_FAILURES = 8  # trials in a row that fail before the search gives up
RECOVERABLE = (TrainingError, RuntimeError, MemoryError)  # what may befall one choice of parameters and not another


class OutOfTime(Exception):
    """The minutes are over."""


def tune(
    estimator: BiLSTMEstimator,
    X: Any,
    y: Any = None,
    *,
    validation: Any = None,
    minutes: float | None = None,
    trials: int | None = None,
    search: Mapping[str, Dimension] | None = None,
    fixed: Collection[str] = (),
    seeds: int | None = None,
    by: str = "auto",
    folder: str | Path | None = None,
    storage: str | None = None,
    restart: bool = False,
    verbose: int = 0,
) -> SearchResult:
    """Search for parameters of an estimator that do well on held-out data.

    The first trial is the estimator as it is, nine more differ from it in two parameters each, further ones are
    proposed by TPE. A trial that is worse than the median of the finished ones is stopped. A search in a folder goes on
    where it was, when it is called again with the same arguments; ``minutes`` and ``trials`` may then be more.

    Args:
        estimator: not fitted. Its parameters hold in all trials, but those of its space that have their default.
        X, y, validation: as ``fit`` takes them. Trials are compared on the validation part.
        minutes: of search in all, over all of its runs; to fit the best afterwards is not counted. Default: 10, if
            ``trials`` is not given either.
        trials: that are begun in all.
        search: ranges by name, in place of the estimator's own or beside them.
        fixed: names of parameters that are not searched, though they have their default.
        seeds: fits of each trial, whose values are averaged; by default 5 for fewer than 2,000 rows, sequences or
            texts, else 1.
        by: ``loss`` or ``metric``: what is compared; ``auto``: what the estimator keeps its best epoch by (of a
            forecaster its error).
        folder: where the search is kept; None: nowhere.
        storage: URL of a database for what was tried, instead of a file in the folder.
        restart: forget what the folder and the database hold of this search.
        verbose: 0 says nothing.

    Returns:
        SearchResult: the best parameters, all trials, how much each parameter matters; ``fit()`` fits the estimator.

    Raises:
        ParameterError: a parameter cannot be searched, or the folder holds another search.
        BilstmError: no trial came to its end.
        ExtraError: Optuna is not installed.

    The trap: the best of many trials is lucky, too: its value flatters. Measure the model on other data.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> result = tune(BiLSTMRegressor(max_epochs=2), boston(), trials=2, seeds=1)
        >>> len(result.trials), sorted(result.best_params)[:2]
        (2, ['batch_size', 'dropout'])
    """
    from_extra("optuna", "tune")
    if minutes is not None and not minutes > 0:
        raise ParameterError(f"expected minutes above 0, got {minutes}")
    if trials is not None and trials < 1:
        raise ParameterError(f"expected at least one trial, got {trials}")
    objective = objective_for(estimator, X, y, validation, seeds, by)
    space = space_for(estimator, objective.training, search, fixed)
    estimator.check_search(space, objective.training, validation)
    place = Path(tempfile.mkdtemp(prefix="bilstm-tune-")) if folder is None else Path(folder)
    try:
        if restart:
            delete_search(place, objective, space, storage)
        with participation(place), open_storage(place, storage) as opened:
            study = Study(objective, space, place, opened)
            _search(study, MINUTES if minutes is None and trials is None else minutes, trials, verbose)
            result = _result(study)
    except BaseException:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
        raise
    if folder is None:
        weakref.finalize(result, shutil.rmtree, place, True)
    return result


def reload_result(result: SearchResult, folder: Path, storage: str | None) -> SearchResult:
    """What a search holds by now: since ``tune`` came back, others may have ended their trials."""
    with open_storage(folder, storage) as opened:
        return _result(Study(result.objective, result.space, folder, opened))


def _search(study: Study, minutes: float | None, most: int | None, verbose: int) -> None:
    failed, is_first = 0, True
    while (minutes is None or study.clock.seconds < 60 * minutes) and (trial := study.begin(most)) is not None:
        progress = _Progress(study, trial, minutes, verbose)
        with record_warnings(show=is_first):  # those of the others are the same
            is_first = False
            try:
                _fit(trial, progress)
                failed = 0
            except OutOfTime:
                trial.save_progress()
                trial.release()
                say(f"The time is up; trial {trial.number} can be resumed with more minutes.", verbose)
                break
            except RECOVERABLE as error:
                failed += 1
                trial.fail(error)
                if failed == MOST_FAILURES:
                    raise
            except Exception as error:
                trial.fail(error)
                raise
            except BaseException:
                trial.release()
                raise
        progress.end()
    study.clock.tick(now=True)


def _fit(trial: RunningTrial, progress: _Progress) -> None:
    """Run a trial to its end, or until others prove better."""
    objective, params, done = trial.study.objective, trial.params, trial.done
    try:
        fits = fit_trial(objective, params, trial.report, progress.on_epoch, done, trial.checkpoint, trial.save_fits)
    except TrialPruned:
        trial.end(TrialState.PRUNED)
    else:
        trial.end(TrialState.COMPLETE, value_of(fits))


class _Progress:
    """Shows a running trial, and looks at the clock."""

    def __init__(self, study: Study, trial: RunningTrial, minutes: float | None, verbose: int) -> None:
        self.study, self.trial, self.minutes, self.verbose = study, trial, minutes, verbose
        self.shown = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        if trial.is_resumed:
            say(f"trial {trial.number} goes on where it was", verbose)

    def on_epoch(self, seed: int, history: History) -> None:
        self.trial.note_progress(history)
        seconds = self.study.clock.tick()
        if self.verbose and time.monotonic() - self.shown > (0.5 if self.is_terminal else QUIET):
            self.shown = time.monotonic()
            which = f" · fit {seed + 1} of {self.study.objective.seeds}" * (self.study.objective.seeds > 1)
            text = f"trial {self.trial.number}{which} · epoch {len(history)} · {describe(history)}"
            self._write(text, "\r" if self.is_terminal else "\n")
        if self.minutes is not None and seconds >= 60 * self.minutes:
            raise OutOfTime

    def end(self) -> None:
        if self.verbose:
            trial, best = self.study.trials()[self.trial.number], self.study.best()
            mark = " · the best so far" if best is not None and best.number == trial.number else ""
            self._write(f"{describe_trial(trial, self.study.objective, self.study.metric_name)}{mark}", "\n")

    def _write(self, text: str, end: str) -> None:
        clear = "\x1b[K" if self.is_terminal else ""
        print(f"{text}{clear}", end=end, file=sys.stderr, flush=True)


def _result(study: Study) -> SearchResult:
    best, trials = study.best(), study.trials()
    if best is None:
        more = f"the same with more minutes goes on from {study.folder}; fewer max_epochs are quicker"
        raise without_result(trials, more)
    checkpoint = study.checkpoint(best.number, 0)
    return SearchResult(study.objective, study.space, trials, best, study.metric_name, study.clock.seconds, checkpoint)
