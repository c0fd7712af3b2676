"""The search itself: trial after trial until the time is up or enough have begun. Knows no storage and no options."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bilstm.errors import BilstmError, DataWarning, ParameterError, TrainingError, from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Dimension
from bilstm.training.history import History
from bilstm.training.progress import QUIET, describe, say
from bilstm.tune.found import Found, in_words
from bilstm.tune.locks import at_work_in
from bilstm.tune.space import space_for
from bilstm.tune.storage import opened, quiet, told_in_words
from bilstm.tune.study import Running, Stopped, Study, forget
from bilstm.tune.trials import figure_of, fit_trial, setting_for

MINUTES = 10.0  # where neither a time nor a number of trials is given
HOPELESS = 8  # trials in a row that fail before the search gives up
Going = (TrainingError, RuntimeError, MemoryError)  # what may befall one choice of parameters and not another


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
) -> Found:
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
        seeds: fits of each trial, whose figures are averaged; by default 5 for fewer than 2,000 rows, sequences or
            texts, else 1.
        by: ``loss`` or ``metric``: what is compared; ``auto``: what the estimator keeps its best epoch by (of a
            forecaster its error).
        folder: where the search is kept; None: nowhere.
        storage: URL of a database for what was tried, instead of a file in the folder.
        restart: forget what the folder and the database hold of this search.
        verbose: 0 says nothing.

    Returns:
        Found: the best parameters, all trials, how much each parameter matters; ``fit()`` fits the estimator.

    Raises:
        ParameterError: a parameter cannot be searched, or the folder holds another search.
        BilstmError: no trial came to its end.
        ExtraError: Optuna is not installed.

    The trap: the best of many trials is lucky, too: its figure flatters. Measure the model on other data.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> found = tune(BiLSTMRegressor(max_epochs=2), boston(), trials=2, seeds=1)
        >>> len(found.trials), sorted(found.best)[:2]
        (2, ['batch_size', 'dropout'])
    """
    from_extra("optuna", "tune")
    _check_limits(minutes, trials)
    setting = setting_for(estimator, X, y, validation, seeds, by)
    space = space_for(estimator, setting.training, search, fixed)
    estimator.check_search(space, setting.training, validation)
    place = Path(tempfile.mkdtemp(prefix="bilstm-tune-")) if folder is None else Path(folder)
    try:
        if restart:
            forget(place, setting, space, storage)
        with quiet(), told_in_words(place), at_work_in(place), opened(place, storage) as kept:
            study = Study(setting, space, place, kept)
            _search(study, MINUTES if minutes is None and trials is None else minutes, trials, verbose)
            found = _found(study, minutes)
    except BaseException:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
        raise
    if folder is None:
        weakref.finalize(found, shutil.rmtree, place, True)
    return found


def look_again(found: Found, folder: Path, storage: str | None) -> Found:
    """What a search holds by now: since ``tune`` came back, others may have ended their trials."""
    with quiet(), told_in_words(folder), opened(folder, storage) as kept:
        return _found(Study(found.setting, found.space, folder, kept), None)


def _check_limits(minutes: float | None, trials: int | None) -> None:
    if minutes is not None and not minutes > 0:
        raise ParameterError(f"expected minutes above 0, got {minutes}")
    if trials is not None and trials < 1:
        raise ParameterError(f"expected at least one trial, got {trials}")


def _search(study: Study, minutes: float | None, most: int | None, verbose: int) -> None:
    """Begin trials until there are enough, or the time is up."""
    setting, failed, first = study.setting, 0, True
    while minutes is None or study.clock.seconds < 60 * minutes:
        running = study.begin(most)
        if running is None:
            break
        line = _Line(study, running, minutes, verbose)
        with warnings.catch_warnings():
            if not first:
                warnings.simplefilter("ignore", DataWarning)  # the first trial has said it
            first = False
            try:
                fits = fit_trial(
                    setting,
                    running.parameters,
                    running.report,
                    line.tick,
                    done=running.done,
                    checkpoints=running.checkpoint,
                    on_fit=running.keep,
                )
            except Stopped:
                running.stop()
            except OutOfTime:
                running.pause()
                say(f"the time is up; trial {running.number} is left as it is", verbose)
                break
            except Going as error:
                failed += 1
                running.fail(f"{type(error).__name__}: {error}".splitlines()[0])
                if failed == HOPELESS:
                    raise
            except Exception as error:
                running.fail(f"{type(error).__name__}: {error}".splitlines()[0])
                raise
            except BaseException:
                running.leave()
                raise
            else:
                failed = 0
                running.finish(figure_of(fits))
        line.end()
    study.clock.tick(now=True)


class _Line:
    """What is told of a running trial, and the look at the clock."""

    def __init__(self, study: Study, running: Running, minutes: float | None, verbose: int) -> None:
        self.study, self.running, self.minutes, self.verbose = study, running, minutes, verbose
        self.told = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        if running.was_begun:
            say(f"trial {running.number} goes on where it was", verbose)

    def tick(self, seed: int, history: History) -> None:
        """After every epoch."""
        self.running.seen(seed, history)
        seconds = self.study.clock.tick()
        if self.verbose and time.monotonic() - self.told > (0.5 if self.is_terminal else QUIET):
            self.told = time.monotonic()
            which = f" · fit {seed + 1} of {self.study.setting.seeds}" * (self.study.setting.seeds > 1)
            text = f"trial {self.running.number}{which} · epoch {len(history)} · {describe(history)}"
            self._write(text, "\r" if self.is_terminal else "\n")
        if self.minutes is not None and seconds >= 60 * self.minutes:
            raise OutOfTime

    def end(self) -> None:
        """One line for the trial that is over."""
        if self.verbose:
            row = self.study.rows()[self.running.number]
            best = self.study.best()
            mark = " · the best so far" if best is not None and best.number == row.number else ""
            self._write(f"{in_words(row, self.study.setting, self.study.metric_name)}{mark}", "\n")

    def _write(self, text: str, end: str) -> None:
        clear = "\x1b[K" if self.is_terminal else ""
        print(f"{text}{clear}", end=end, file=sys.stderr, flush=True)


def _found(study: Study, minutes: float | None) -> Found:
    best, rows = study.best(), study.rows()
    if best is None:
        failed = [row for row in rows if row.state == "failed"]
        if failed:
            raise TrainingError(
                f"expected a trial that comes to its end, got {len(failed)} that failed: {failed[-1].note}"
            )
        limit = MINUTES if minutes is None else minutes
        raise BilstmError(
            f"expected a trial that comes to its end within {limit:g} minutes, got none",
            hint=f"the same with more minutes goes on from {study.folder}; fewer max_epochs are quicker",
        )
    checkpoint = study.checkpoint(best.number, 0)
    return Found(study.setting, study.space, rows, best, study.metric_name, study.clock.seconds, checkpoint)
