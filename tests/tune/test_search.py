"""A search is the same twice, stops what is bad, ends when it should, and says what it found."""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import optuna
import polars as pl
import pytest
import torch
from matplotlib.figure import Figure
from optuna.trial import TrialState

from bilstm import BiLSTMClassifier, BiLSTMRegressor, boston, digits
from bilstm.data.series.reader import read_series
from bilstm.errors import BilstmError, ExtraError, ParameterError, TrainingError
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.tune import search as searching
from bilstm.tune.plots import plot_search
from bilstm.tune.result import Trial, importance
from bilstm.tune.sampling import MedianOfFinished, NumberedTPE
from bilstm.tune.search import tune
from bilstm.tune.space import Choices, Range
from bilstm.tune.study import Study
from tests.compare import assert_close

HOUSES = boston().take(range(120))
QUICK = {
    "hidden_size": Range(2, 6, whole=True),
    "learning_rate": Range(1e-4, 0.1, log=True),
    "num_layers": Choices((1,)),
}


def small(**others):
    return BiLSTMRegressor(**{"max_epochs": 5, "dropout": 0.0, "batch_size": 64, "input_noise": 0.1} | others)


def figures(found):
    return [(row.number, row.state, row.value, row.params) for row in found.trials]


def test_the_same_seed_and_number_of_trials_give_the_same_trials(tmp_path):
    first, again = (tune(small(), HOUSES, trials=14, search=QUICK, seeds=1, folder=tmp_path / name) for name in "ab")
    assert figures(first) == figures(again)
    assert {row.state for row in first.trials} == {"finished", "stopped"}
    assert first.best_trial.params == first.best_params == again.best_params
    other = tune(small(random_state=1), HOUSES, trials=3, search=QUICK, seeds=1)
    assert figures(other)[1:] != figures(first)[1:3]


def test_the_first_trial_is_the_estimator_as_it_is_and_the_best_is_no_worse():
    found = tune(small(), HOUSES, trials=5, search={"learning_rate": Range(1e-3, 0.1, log=True)}, seeds=1)
    plain = small().fit(HOUSES)
    assert found.trials[0].params["learning_rate"] == 0.003
    assert_close(found.trials[0].metric, plain.metrics_["rmse"], rtol=1e-6)
    assert found.best_trial.value == min(row.value for row in found.trials if row.state == "finished")
    assert found.best_trial.value <= found.trials[0].value


def test_the_best_is_fitted_as_fit_alone_would_do_it(tmp_path):
    found = tune(small(), HOUSES, trials=4, search=QUICK, folder=tmp_path, seeds=2)
    assert found.checkpoint.exists()
    quick = found.fit(refit=False)
    found.checkpoint.unlink()
    for model in (found.fit(refit=False), small(**found.best_params).fit(HOUSES)):
        assert_close(model.predict(HOUSES), quick.predict(HOUSES))
    assert quick.get_params() == small(**found.best_params).get_params()


def test_the_best_learns_from_the_held_out_rows_too_for_as_many_epochs_as_its_fits_kept():
    found = tune(small(max_epochs=6), HOUSES, trials=3, search=QUICK, seeds=2)
    fits = [small(max_epochs=6, **found.best_params).set_params(random_state=seed).fit(HOUSES) for seed in (0, 1)]
    kept = [np.argmin(fit.history_["validation_loss"]) + 1 for fit in fits]
    assert found.best_trial.best_epoch == round(np.mean(kept))
    model = found.fit()
    assert (model.validation_fraction, model.max_epochs) == (0.0, found.best_trial.best_epoch)
    assert model.trained_with_["sequences"] == len(HOUSES)
    assert_close(model.predict(HOUSES), small(**found.final_params()).fit(HOUSES).predict(HOUSES))


def test_a_classifier_and_what_was_stopped_by_data_of_the_callers_keep_to_their_rows():
    found = tune(small(), HOUSES, validation=HOUSES.take(range(9)), trials=1, search=QUICK, seeds=1)
    assert found.final_params() == found.best_params
    quick = BiLSTMClassifier(max_epochs=1, hidden_size=3)
    found = tune(quick, digits().take(range(40)), trials=1, search={"hidden_size": Range(3, 4, whole=True)}, seeds=1)
    assert found.final_params() == found.best_params


def test_more_trials_go_on_from_those_that_there_are(tmp_path):
    whole = tune(small(), HOUSES, trials=7, search=QUICK, seeds=1)
    tune(small(), HOUSES, trials=3, search=QUICK, seeds=1, folder=tmp_path)
    assert figures(tune(small(), HOUSES, trials=7, search=QUICK, seeds=1, folder=tmp_path)) == figures(whole)


def test_what_others_have_found_since_is_seen(tmp_path):
    found = tune(small(), HOUSES, trials=1, search=QUICK, seeds=1, folder=tmp_path)
    newer = tune(small(), HOUSES, trials=4, search=QUICK, seeds=1, folder=tmp_path)
    assert figures(searching.reload_result(found, tmp_path, None)) == figures(newer)


def test_another_search_in_the_same_folder_is_refused_and_can_be_forgotten(tmp_path):
    tune(small(), HOUSES, trials=2, search=QUICK, seeds=1, folder=tmp_path)
    for other in ({"seeds": 2}, {"search": QUICK | {"hidden_size": Range(2, 7, whole=True)}, "seeds": 1}):
        with pytest.raises(ParameterError, match="expected the search of this command, got one of other data"):
            tune(small(), HOUSES, trials=2, folder=tmp_path, **{"search": QUICK} | other)
    (tmp_path / "mine.txt").write_text("not ours")
    found = tune(small(), HOUSES, trials=1, search=QUICK, seeds=2, folder=tmp_path, restart=True)
    assert len(found.trials) == 1
    assert (tmp_path / "mine.txt").exists()


def test_time_counts_over_all_runs_and_a_trial_that_it_ended_goes_on(tmp_path, monkeypatch):
    options = {"search": QUICK, "seeds": 1, "folder": tmp_path}
    tune(small(), HOUSES, trials=2, **options)
    seconds = json.loads((tmp_path / "clock.json").read_text())["seconds"]
    assert 0 < seconds < 600
    assert len(tune(small(), HOUSES, minutes=0.9 * seconds / 60, **options).trials) == 2, "the time was up"
    with monkeypatch.context() as patch:
        patch.setattr(searching, "Study", with_clock(FakeClock(iter([1e9]))))
        found = tune(small(), HOUSES, minutes=1000, **options)
    assert [row.state for row in found.trials] == ["finished", "finished", "unfinished"]
    assert 0 < found.trials[2].epochs < 5
    found = tune(small(), HOUSES, trials=3, **options)
    whole = tune(small(), HOUSES, trials=3, search=QUICK, seeds=1)
    assert figures(found) == figures(whole)
    assert [row.epochs for row in found.trials] == [row.epochs for row in whole.trials]


class FakeClock:
    """Shows given seconds, one after the other; the last ones for ever."""

    def __init__(self, ticks):
        self.ticks, self.seconds = ticks, 0.0

    def tick(self, *, now=False):
        self.seconds = next(self.ticks, self.seconds)
        return self.seconds


def with_clock(clock):
    def study(*arguments):
        made = Study(*arguments)
        made.clock = clock
        return made

    return study


def test_a_time_in_which_no_trial_ends_is_an_error_that_says_how_to_go_on(tmp_path):
    with pytest.raises(
        BilstmError, match=r"No trial came to its end in time\.\nhint: the same with more minutes goes on"
    ):
        tune(small(), HOUSES, minutes=1e-6, folder=tmp_path)


def test_a_trial_that_fails_is_told_and_the_search_goes_on(monkeypatch):
    fit, calls = BiLSTMRegressor.fit, []

    def fail_at_times(self, *arguments, **options):
        calls.append(self)
        if len(calls) in (2, 5, 6):
            raise TrainingError("expected a finite loss, got nan (epoch 1)")
        return fit(self, *arguments, **options)

    monkeypatch.setattr(BiLSTMRegressor, "fit", fail_at_times)
    found = tune(small(), HOUSES, trials=3, search=QUICK, seeds=1)
    assert [row.state == "failed" for row in found.trials] == [False, True, False]
    assert "TrainingError: expected a finite loss" in found.trials[1].note
    assert found.best_trial.number != 1
    calls.append(None)
    with pytest.raises(TrainingError, match="2 failed, the last with TrainingError: expected a finite loss"):
        tune(small(), HOUSES, trials=2, search=QUICK, seeds=1)


def test_a_mistake_in_the_data_ends_the_search_at_once():
    with pytest.raises(ValueError, match="expected target 'y' to vary"):
        tune(small(), np.ones((30, 2)) * np.arange(30)[:, None], np.ones(30), trials=3)


def test_histories_are_searched_only_where_all_leave_the_same_windows():
    wave = read_series(np.sin(np.arange(120) / 5))
    estimator = BiLSTMForecaster(horizon=2, hidden_size=2, max_epochs=1, target_as="level")
    found = tune(estimator, wave, trials=2, search={"history": Range(8, 12, whole=True), "num_layers": Choices((1,))})
    assert all(8 <= row.params["history"] <= 12 for row in found.trials)
    names = pl.DataFrame({"g": ["a"] * 120 + ["b"] * 40, "t": [*range(120), *range(80, 120)]})
    two = read_series(names.with_columns(y=(pl.col("t") / 5).sin()), target="y", time="t", group="g")
    with pytest.raises(ParameterError, match="expected histories that leave the same held-out windows, got"):
        tune(estimator, two, trials=1, search={"history": Range(8, 30, whole=True)})
    with pytest.raises(ParameterError, match="expected no search of history beside validation data"):
        tune(estimator, wave, validation=wave, trials=1, search={"history": Range(8, 9, whole=True)})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"minutes": 0}, "expected minutes above 0"), ({"trials": 0}, "expected at least one trial")],
)
def test_limits_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        tune(small(), HOUSES, **options)


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ExtraError, match=r"pip install 'bilstm\[tune\]'"):
        tune(small(), HOUSES)


def test_optuna_says_nothing_and_is_left_as_it_was(capsys):
    level = optuna.logging.get_verbosity()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = tune(small(), HOUSES, trials=8, search=QUICK, seeds=1)
        found.importance()
    assert capsys.readouterr() == ("", "")
    assert [str(one.message) for one in told] == []
    assert optuna.logging.get_verbosity() == level


# -- drawing parameters and stopping trials ----------------------------------------------------------------------


def a_study(values, **others):
    study = optuna.create_study(**others)
    for steps in values:
        study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE,
                value=steps[max(steps)],
                intermediate_values=steps,
                params={},
                distributions={},
            )
        )
    return study


@pytest.mark.parametrize(
    ("steps", "is_stopped"),
    [
        ({4: 2.6}, True),
        ({4: 2.4}, False),
        ({2: 9.0}, False),  # too early to tell
        ({4: 1.0, 6: 3.0}, True),  # what the second seed says counts too
        ({9: 2.6}, True),  # later than those that ended early: they keep their last figure
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_trial_is_stopped_where_it_is_worse_than_the_median_of_the_finished_ones(steps, is_stopped, sign):
    others = [{4: sign * figure, end: sign * figure} for figure, end in [(1.0, 5), (2.0, 5), (3.0, 8), (4.0, 9)]]
    study = a_study(others, direction="minimize" if sign == 1 else "maximize")
    trial = optuna.create_trial(
        state=TrialState.RUNNING, intermediate_values={step: sign * value for step, value in steps.items()}
    )
    assert MedianOfFinished(3).prune(study, trial) is is_stopped


def test_the_first_trial_has_nothing_to_be_compared_with_and_the_second_has():
    trial = optuna.create_trial(state=TrialState.RUNNING, intermediate_values={4: 9.0})
    assert not MedianOfFinished(3).prune(a_study([]), trial)
    assert MedianOfFinished(3).prune(a_study([{4: 1.0}]), trial)


@pytest.mark.parametrize("finished", [0, 12])
def test_what_is_drawn_depends_on_the_number_of_the_trial_and_not_on_the_process(finished):
    def drawn(detour):
        study = optuna.create_study(sampler=NumberedTPE(3))
        for n in range(finished):
            study.tell(study.ask(SPACE), (n - 5) ** 2)
        if detour:  # a process that has drawn other things, and one parameter after the other
            NumberedTPE(3).sample_independent(study, study.ask()._get_latest_trial(), "x", SPACE["x"])
            study = optuna.load_study(study_name=study.study_name, storage=study._storage, sampler=NumberedTPE(3))
            trial = optuna.Trial(study, study.trials[finished]._trial_id)
            return {"y": trial.suggest_int("y", 1, 9), "x": trial.suggest_float("x", 0, 1)}
        return study.ask(SPACE).params

    SPACE = {"x": optuna.distributions.FloatDistribution(0, 1), "y": optuna.distributions.IntDistribution(1, 9)}
    assert drawn(True) == drawn(False)


def test_early_trials_change_two_parameters_and_all_have_their_turn():
    names = [f"p{n}" for n in range(7)]
    sampler = NumberedTPE(0, dict.fromkeys(names, 0.5))
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in names}
    study = optuna.create_study(sampler=sampler)
    changed = []
    for _ in range(10):
        trial = study.ask(space)
        changed.append({name for name, value in trial.params.items() if value != 0.5})
        study.tell(trial, 1.0)
    for first in (1, 4, 7):
        assert sorted(name for turn in changed[first : first + 3] for name in turn) == names
    assert {len(one) for one in changed} <= {2, 3}
    assert len({name for name, value in study.ask(space).params.items() if value != 0.5}) > 3, "then all are proposed"


# -- what is shown -----------------------------------------------------------------------------------------------


def rows(figure_of, count=40):
    generator = np.random.default_rng(0)
    draws = [{"a": float(f"{a:.3g}"), "b": float(f"{b:.3g}")} for a, b in generator.uniform(0, 1, (count, 2))]
    return [Trial(n, "finished", figure_of(**p), 1.0, 1.0, 5, 1.0, p) for n, p in enumerate(draws)]


def test_what_decides_is_important_and_what_does_not_is_not():
    space = {"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}
    found = importance(rows(lambda a, b: a**2 + 0.001 * b), space, higher_is_better=False)
    assert list(found) == ["a", "b"]
    assert found["a"] > 0.8
    assert_close(sum(found.values()), 1.0, atol=1e-9)
    assert importance(rows(lambda a, b: a, 5), space, higher_is_better=False) == {}
    assert importance(rows(lambda a, b: 1.0), space, higher_is_better=False) == {}


def test_a_table_has_the_best_first_and_a_figure_shows_all():
    found = tune(small(), HOUSES, trials=12, search=QUICK, seeds=1)
    lines = found.table(3).splitlines()
    assert lines[0].split()[:5] == ["trial", "validation", "loss", "rmse", "epochs"]
    assert lines[1].split()[0] == str(found.best_trial.number)
    assert lines[-1] == "and 9 more"
    finished = sorted((row for row in found.trials if row.state == "finished"), key=lambda row: row.value)
    assert [int(line.split()[0]) for line in lines[1:4]] == [row.number for row in finished[:3]]
    figure = plot_search(found)
    assert isinstance(figure, Figure)
    shown = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].lines}
    assert shown["finished"] == len(finished)
    assert shown["stopped early"] == sum(row.state == "stopped" for row in found.trials) > 0
    assert [name.get_text().replace(" ", "_") for name in figure.axes[1].get_yticklabels()][::-1] == [
        *found.importance()
    ]


def test_the_former_name_of_the_best_parameters_tells_the_new_one():
    found = tune(small(), HOUSES, trials=1, search=QUICK, seeds=1)
    with pytest.warns(DeprecationWarning, match="`best` of a search is now called `best_params`"):
        assert found.best == found.best_params


def test_random_numbers_of_the_caller_are_left_alone():
    state = torch.random.get_rng_state()
    tune(small(), HOUSES, trials=2, search=QUICK, seeds=1)
    assert_close(torch.random.get_rng_state(), state)
