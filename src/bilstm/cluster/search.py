"""A search for parameters on many machines: Ray Tune runs the trials, Optuna draws what they try.

Knows Ray Tune and what the rooms of ``bilstm.tune`` say a space, a trial and a result are; knows no task.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bilstm.cluster.connection import connected, processors
from bilstm.errors import ParameterError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Dimension, Space
from bilstm.training.progress import say
from bilstm.tune.result import SearchResult, Trial, best_of, describe_trial, without_result
from bilstm.tune.sampling import NumberedTPE
from bilstm.tune.search import MINUTES, RECOVERABLE
from bilstm.tune.space import default_params, distributions, space_for, trial_params
from bilstm.tune.storage import optuna_quiet
from bilstm.tune.study import failure, fingerprint, warm_up_steps
from bilstm.tune.trials import Fit, Objective, fit_trial, objective_for, summary, value_of

ENOUGH = 3  # other trials before one is stopped
MOST_FAILURES = 5  # deaths of the machine under one trial
# Ray Tune reads these. Ctrl-C is ours; nobody asked for boxes on stdout, or for what it would write for TensorBoard.
SETTINGS = {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}


def tune_together(
    estimator: BiLSTMEstimator,
    X: Any,
    *,
    validation: Any = None,
    minutes: float | None = None,
    trials: int | None = None,
    search: Mapping[str, Dimension] | None = None,
    fixed: Collection[str] = (),
    seeds: int | None = None,
    by: str = "auto",
    folder: Path,
    storage: str | None = None,
    restart: bool = False,
    verbose: int = 0,
    address: str | None = None,
) -> SearchResult:
    """Search as :func:`bilstm.tune.search.tune` does, with a trial on every processor at the same time.

    Minutes are those of one run; Ray keeps what was tried, in the folder, which is one of every machine of the cluster.
    A search that was killed goes on from it: its finished trials stay, those that ran go on after their last epoch.

    The trap: which trials there are depends on which of them ended first. On one processor it does not.
    """
    if storage is not None:
        raise ParameterError(f"expected no storage beside Ray, which keeps what was tried, got {storage}")
    os.environ.update(SETTINGS)
    objective = objective_for(estimator, X, None, validation, seeds, by)
    space = space_for(estimator, objective.training, search, fixed)
    estimator.check_search(space, objective.training, validation)
    started = time.perf_counter()
    with connected(address, os.cpu_count() or 1) as ray, optuna_quiet():
        place = folder.resolve() / f"ray-trials-{fingerprint(objective, space)}"
        if restart:
            shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        limit = MINUTES if minutes is None and trials is None else minutes
        limits = {
            "num_samples": -1 if trials is None else trials,
            "max_concurrent_trials": processors(ray),
        }
        seconds = math.inf if limit is None else 60 * limit
        tuner = tuner_for(objective, space, place, limits, seconds, partial(say, verbose=verbose))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The reported value is ignored")  # a resumed trial reports again
            results = sorted(tuner.fit(), key=lambda result: (result.metrics or {}).get("began", math.inf))
        ended = [trial_of(number, result, space) for number, result in enumerate(results)]
    metrics = [result.metrics or {} for result in results]
    best = best_of(ended, higher_is_better=objective.higher_is_better)
    if best is None:
        raise without_result(ended, "give it more minutes")
    metric_name = next(known["metric_name"] for known in metrics if "metric_name" in known)
    checkpoint = checkpoint_of(place, metrics[best.number].get("trial_id", ""), 0)
    return SearchResult(objective, space, ended, best, metric_name, time.perf_counter() - started, checkpoint)


def tuner_for(
    objective: Objective, space: Space, place: Path, limits: dict[str, Any], seconds: float, log: Callable[[str], None]
) -> Any:
    """Ray's tuner for a search: a new one, or the one that was begun in the folder."""
    from ray import tune
    from ray.tune.schedulers import MedianStoppingRule
    from ray.tune.search.optuna import OptunaSearch

    trainable = tune.with_parameters(one_trial, objective=objective, space=space, place=place)
    trainable = tune.with_resources(trainable, {"cpu": 1})
    if tune.Tuner.can_restore(str(place)):
        log("the search goes on where it was")
        return tune.Tuner.restore(str(place), trainable, resume_unfinished=True)
    first = default_params(objective.estimator, space, objective.training.is_language)
    points = [first] if len(first) == len(space) else []
    mode = "max" if objective.higher_is_better else "min"
    sampler = NumberedTPE(objective.estimator.random_state)
    suggest = OptunaSearch(distributions(space), "value", mode, points_to_evaluate=points, sampler=sampler)
    stop = MedianStoppingRule(
        time_attr="step",
        grace_period=warm_up_steps(objective),
        min_samples_required=ENOUGH,
        min_time_slice=objective.last_step + 1,  # to pause trials for others would start them anew
        hard_stop=True,
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="value",
            mode=mode,
            search_alg=suggest,
            scheduler=stop,
            reuse_actors=True,
            **limits,
        ),
        run_config=tune.RunConfig(
            name=place.name,
            storage_path=str(place.parent),
            verbose=0,
            stop=time_budget(seconds),
            failure_config=tune.FailureConfig(max_failures=MOST_FAILURES),
            callbacks=[trial_logger(objective, space, log)],
        ),
    )


def time_budget(seconds: float) -> Any:
    """What ends a run of Ray Tune; its own budget goes by the system's time, which may be set meanwhile."""
    from ray import tune

    class TimeBudget(tune.Stopper):
        def __init__(self) -> None:
            self.end = math.nan  # of a run, which begins when it is first asked

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            self.end = time.monotonic() + seconds if math.isnan(self.end) else self.end
            return time.monotonic() >= self.end

        def __reduce__(self) -> Any:
            return time_budget, (seconds,)

    return TimeBudget()


def one_trial(drawn: dict[str, Any], objective: Objective, space: Space, place: Path) -> None:
    """Fit an estimator with what was drawn, and report to Ray Tune; on one processor."""
    import torch
    from ray import tune

    torch.set_num_threads(1)
    name = tune.get_context().get_trial_id()
    known: dict[str, Any] = {"began": time.time()}
    last = 0

    def report(step: int, fits: list[Fit]) -> None:
        nonlocal last
        last = step
        tune.report({"value": value_of(fits), "step": step, **known})

    try:
        fits = fit_trial(
            objective,
            trial_params(space, drawn),
            report,
            checkpoints=lambda seed: checkpoint_of(place, name, seed),
            on_fit=lambda fits, metric_name: known.update(summary(fits), metric_name=metric_name),
        )
    except RECOVERABLE as error:
        worst = -math.inf if objective.higher_is_better else math.inf
        tune.report({"value": worst, "step": last + 1, "note": failure(error), **known})
        return
    tune.report({"value": value_of(fits), "step": objective.last_step, "finished": True, **known})


def checkpoint_of(place: Path, trial: str, seed: int) -> Path:
    """From which a fit of a trial goes on."""
    return place / f"{trial}-{seed}.checkpoint"


def trial_of(number: int, result: Any, space: Space) -> Trial:
    """One of Ray's results, or of its trials, as a trial of ours."""
    last, note = getattr(result, "metrics", None) or getattr(result, "last_result", None) or {}, ""
    state = "finished" if last.get("finished") else "stopped" if last.get("done") else "unfinished"
    error = getattr(result, "error", None)
    if error is not None or "note" in last:
        state, note = "failed", last.get("note") or str(error).strip().split("\n")[-1]
    drawn = result.config or {}
    return Trial(
        number=number,
        state=state,
        value=None if state == "failed" else last.get("value"),
        loss=last.get("loss"),
        metric=last.get("metric"),
        epochs=int(last.get("epochs") or last.get("step") or 0),
        seconds=float(last.get("seconds") or last.get("time_total_s") or 0.0),
        params=trial_params(space, drawn) if set(space) <= set(drawn) else {},
        note=note,
        best_epoch=int(last.get("best_epoch") or 0),
    )


def trial_logger(objective: Objective, space: Space, log: Callable[[str], None]) -> Any:
    """What Ray Tune calls when a trial is over."""
    from ray import tune

    class TrialLogger(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            metric_name = trial.last_result.get("metric_name", "metric")
            log(describe_trial(trial_of(trials.index(trial), trial, space), objective, metric_name))

    return TrialLogger()
