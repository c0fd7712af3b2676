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
from bilstm.errors import BilstmError, ParameterError, TrainingError, from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Dimension, Space
from bilstm.training.progress import say
from bilstm.tune.found import Found, in_words
from bilstm.tune.sampling import WARM_UP, NumberedTPE
from bilstm.tune.search import MINUTES, Going
from bilstm.tune.space import defaults, distributions, space_for, values
from bilstm.tune.storage import quiet
from bilstm.tune.study import Row, fingerprint
from bilstm.tune.trials import Fit, Setting, figure_of, fit_trial, kept_by, mean, setting_for

ENOUGH = 3  # other trials before one is stopped
MOST_FAILURES = 5  # deaths of the machine under one trial
# Ray Tune reads these. Ctrl-C is ours; nobody asked for boxes on stdout, or for what it would write for TensorBoard.
SETTINGS = {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}


def tune_together(
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
    folder: Path,
    storage: str | None = None,
    restart: bool = False,
    verbose: int = 0,
    address: str | None = None,
) -> Found:
    """Search as :func:`bilstm.tune.search.tune` does, with a trial on every processor at the same time.

    Args:
        estimator, X, y, validation, minutes, trials, search, fixed, seeds, by: as there; minutes are those of one run.
        storage: None; Ray keeps what was tried.
        restart, verbose: as there.
        folder: where trials are kept, on every machine of the cluster. A search that was killed goes on from it: its
            finished trials stay, those that ran go on after their last epoch.
        address: see :func:`bilstm.cluster.connection.connected`.

    Raises:
        ParameterError: as there; or a storage.
        ExtraError: Ray or Optuna is not installed.
        BilstmError: no trial came to its end.

    The trap: which trials there are depends on which of them ended first. On one processor it does not.
    """
    from_extra("optuna", "tune")
    if storage is not None:
        raise ParameterError(f"expected no storage beside Ray, which keeps what was tried, got {storage}")
    os.environ.update(SETTINGS)
    setting = setting_for(estimator, X, y, validation, seeds, by)
    space = space_for(estimator, setting.training, search, fixed)
    estimator.check_search(space, setting.training, validation)
    started = time.perf_counter()
    with connected(address, os.cpu_count() or 1) as ray, quiet():
        place = folder.resolve() / f"ray-{fingerprint(setting, space)}"
        if restart:
            shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        begun = tuner(setting, space, place, processors(ray), minutes, trials, partial(say, verbose=verbose))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The reported value is ignored")  # a trial that is taken up tells again
            found = list(begun.fit())
        results = sorted(found, key=lambda result: (result.metrics or {}).get("began", math.inf))
        rows = [row_of(number, result, space) for number, result in enumerate(results)]
        names = [result.metrics["metric_name"] for result in results if "metric_name" in (result.metrics or {})]
        ids = [result.metrics.get("trial_id", "") if result.metrics else "" for result in results]
    sign = -1 if setting.is_higher_better else 1
    over = [row for row in rows if row.state == "finished"]
    if not over:
        failed = [row for row in rows if row.note]
        if failed:
            raise TrainingError(f"expected a trial that comes to its end, got {failed[-1].note}")
        raise BilstmError("expected a trial that comes to its end in time, got none", hint="give it more minutes")
    best = min(over, key=lambda row: sign * (row.figure or 0.0))
    checkpoint = checkpoint_of(place, ids[best.number], 0)
    return Found(setting, space, rows, best, names[0], time.perf_counter() - started, checkpoint)


def tuner(
    setting: Setting,
    space: Space,
    place: Path,
    count: int,
    minutes: float | None,
    trials: int | None,
    tell: Callable[[str], None],
) -> Any:
    """Ray's tuner for a search: a new one, or the one that was begun in the folder."""
    from ray import tune
    from ray.tune.schedulers import MedianStoppingRule
    from ray.tune.search.optuna import OptunaSearch

    trainable = tune.with_resources(
        tune.with_parameters(one_trial, setting=setting, space=space, place=place), {"cpu": 1}
    )
    if tune.Tuner.can_restore(str(place)):
        tell("the search goes on where it was")
        return tune.Tuner.restore(str(place), trainable, resume_unfinished=True)
    first = defaults(setting.estimator, space, setting.training.is_language)
    mode = "max" if setting.is_higher_better else "min"
    suggest = OptunaSearch(
        space=distributions(space),
        metric="figure",
        mode=mode,
        sampler=NumberedTPE(setting.estimator.random_state),
        points_to_evaluate=[first] if len(first) == len(space) else [],
    )
    stop = MedianStoppingRule(
        time_attr="step",
        grace_period=max(1, round(min(1.0, WARM_UP * setting.seeds) * setting.max_epochs)),
        min_samples_required=ENOUGH,
        min_time_slice=setting.last_step + 1,  # to pause trials for others would start them anew
        hard_stop=True,
    )
    limit = MINUTES if minutes is None and trials is None else minutes
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="figure",
            mode=mode,
            search_alg=suggest,
            scheduler=stop,
            num_samples=-1 if trials is None else trials,
            time_budget_s=None if limit is None else 60 * limit,
            max_concurrent_trials=count,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=place.name,
            storage_path=str(place.parent),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MOST_FAILURES),
            callbacks=[teller(setting, space, tell)],
        ),
    )


def one_trial(drawn: dict[str, Any], setting: Setting, space: Space, place: Path) -> None:
    """Fit an estimator with what was drawn, and report to Ray Tune; on one processor."""
    import torch
    from ray import tune

    torch.set_num_threads(1)
    name = tune.get_context().get_trial_id()
    told: dict[str, Any] = {"began": time.time()}
    last = 0

    def report(step: int, fits: list[Fit]) -> None:
        nonlocal last
        last = step
        tune.report({"figure": figure_of(fits), "step": step, **told})

    def keep(fits: list[Fit], metric_name: str) -> None:
        told.update(
            loss=mean([fit.loss for fit in fits]),
            metric=mean([fit.metric for fit in fits]),
            epochs=sum(fit.epochs for fit in fits),
            kept=kept_by(fits),
            seconds=sum(fit.seconds for fit in fits),
            metric_name=metric_name,
        )

    try:
        fits = fit_trial(
            setting,
            values(space, drawn),
            report,
            checkpoints=lambda seed: checkpoint_of(place, name, seed),
            on_fit=keep,
        )
    except Going as error:
        worst = -math.inf if setting.is_higher_better else math.inf
        note = f"{type(error).__name__}: {error}".splitlines()[0]
        tune.report({"figure": worst, "step": last + 1, "note": note, **told})
        return
    tune.report({"figure": figure_of(fits), "step": setting.last_step, "finished": True, **told})


def checkpoint_of(place: Path, trial: str, seed: int) -> Path:
    """The file from which a fit of a trial goes on."""
    return place / f"{trial}-{seed}.checkpoint"


def row_of(number: int, result: Any, space: Space) -> Row:
    """A trial's result as a table shows it."""
    last, note = result.metrics or {}, ""
    state = "finished" if last.get("finished") else "stopped" if last.get("done") else "unfinished"
    if result.error is not None or "note" in last:
        state, note = "failed", last.get("note") or str(result.error).strip().split("\n")[-1]
    drawn = result.config or {}
    return Row(
        number=number,
        state=state,
        figure=None if state == "failed" else last.get("figure"),
        loss=last.get("loss"),
        metric=last.get("metric"),
        epochs=int(last.get("epochs") or last.get("step") or 0),
        seconds=float(last.get("seconds") or last.get("time_total_s") or 0.0),
        parameters=values(space, drawn) if set(space) <= set(drawn) else {},
        note=note,
        kept=int(last.get("kept") or 0),
    )


def teller(setting: Setting, space: Space, tell: Callable[[str], None]) -> Any:
    """What Ray Tune calls when a trial is over."""
    from ray import tune

    class Teller(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            tell(
                in_words(
                    row_of(trials.index(trial), Seen(trial), space),
                    setting,
                    trial.last_result.get("metric_name", "metric"),
                )
            )

    return Teller()


class Seen:
    """A trial that is over, by the names of a result."""

    def __init__(self, trial: Any) -> None:
        self.metrics, self.config, self.error = trial.last_result, trial.config, None
