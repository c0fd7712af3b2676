"""A trial's figure is that of the epoch which the estimator itself keeps, and it is told the same after a stop."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, boston, evaluate
from bilstm.errors import ParameterError
from bilstm.training.history import History
from bilstm.tune.trials import Fit, Objective, fit_of, fit_trial, objective_for, value_of
from tests.compare import assert_close
from tests.models import Killed

HOUSES = boston().take(range(120))
SENTENCES = [["Ann", "lives", "in", "Rome"], ["Rome", "is", "old"], ["Bob", "sleeps"]] * 12
TAGS = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O", "O"], ["B-PER", "O"]] * 12


def silent(*_):
    """Is told of steps, and says nothing."""


def shown(step, fits):
    return step, value_of(fits)


def test_the_figure_is_what_the_fitted_estimator_has_on_its_validation_part():
    estimator = BiLSTMRegressor(hidden_size=4, max_epochs=8)
    (fit,) = fit_trial(objective_for(estimator, HOUSES, seeds=1), {"learning_rate": 0.02}, silent)
    model = estimator.set_params(learning_rate=0.02).fit(HOUSES)
    assert_close(fit.metric, model.metrics_["rmse"], rtol=1e-6)
    assert fit.value == fit.loss == min(model.history_["validation_loss"])
    assert fit.epochs == 8


def test_of_a_tagger_it_is_the_f1_of_the_epoch_that_is_kept():
    estimator = BiLSTMTagger(hidden_size=4, char_hidden_size=2, embedding_size=4, max_epochs=6, min_count=1)
    objective = objective_for(estimator, SENTENCES, TAGS, seeds=1)
    (fit,) = fit_trial(objective, {}, silent)
    assert objective.higher_is_better
    assert_close(fit.value, estimator.fit(SENTENCES, TAGS).metrics_["f1"], rtol=1e-9)


def test_of_a_forecaster_it_is_the_error_of_the_kept_epoch_whatever_way_the_target_is_seen():
    wave = np.sin(np.arange(200) / 5) + 2
    estimator = BiLSTMForecaster(history=10, horizon=2, hidden_size=4, max_epochs=2)
    objective = objective_for(estimator, wave)
    assert (objective.by, objective.seeds, objective.higher_is_better) == ("metric", 1, False)
    for view in ("level", "log-return"):
        (fit,) = fit_trial(objective, {"target_as": view}, silent)
        history = estimator.set_params(target_as=view).fit(wave).history_
        kept = int(np.argmin(history["validation_loss"]))
        assert fit.value == fit.metric == history["metric"][kept]


def test_several_seeds_are_several_fits_and_their_mean_is_told():
    estimator, told = BiLSTMRegressor(hidden_size=4, max_epochs=3, random_state=7), []
    fits = fit_trial(objective_for(estimator, HOUSES, seeds=2), {}, lambda *step: told.append(shown(*step)))
    alone = [min(estimator.set_params(random_state=s).fit(HOUSES).history_["validation_loss"]) for s in (7, 8)]
    assert [fit.value for fit in fits] == alone
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6]
    assert_close(told[2][1], alone[0])
    assert_close(told[5][1], sum(alone) / 2)


def test_figures_never_get_worse_while_one_fit_goes_on_since_the_best_epoch_is_kept():
    told = []
    objective = objective_for(BiLSTMRegressor(hidden_size=4, max_epochs=30, learning_rate=0.1), HOUSES, seeds=1)
    fit_trial(objective, {}, lambda step, fits: told.append(value_of(fits)))
    assert told == sorted(told, reverse=True)
    assert len(set(told)) < len(told), "the learning rate was too small for this test to say anything"


def test_a_long_fit_is_told_of_fifty_times_and_at_its_end():
    told = []
    objective = objective_for(BiLSTMRegressor(hidden_size=2, max_epochs=103), boston().take(range(20)), seeds=1)
    fit_trial(objective, {}, lambda step, fits: told.append(step))
    assert told == [*range(3, 103, 3), 103]


def test_a_fit_that_was_taken_up_tells_the_same_as_an_unbroken_one(tmp_path):
    objective = objective_for(BiLSTMRegressor(hidden_size=4, max_epochs=5), HOUSES, seeds=2)
    unbroken, told, kept = [], [], []
    whole = fit_trial(objective, {}, lambda *step: unbroken.append(shown(*step)))

    def die(seed, history):
        if (seed, len(history)) == (1, 3):
            raise Killed

    files = {"checkpoints": lambda seed: tmp_path / str(seed), "on_fit": lambda fits, _: kept.append(list(fits))}
    with pytest.raises(Killed):
        fit_trial(objective, {}, lambda *step: told.append(shown(*step)), die, **files)
    assert told == unbroken[:7]
    again = []
    fits = fit_trial(objective, {}, lambda *step: again.append(shown(*step)), done=kept[-1], **files)
    assert [fit[:5] for fit in fits] == [fit[:5] for fit in whole]
    assert again == unbroken[5:], "the earlier epochs of a fit are told again, those of a fit that is over are not"


def test_an_exception_of_the_listener_ends_the_trial():
    class Enough(Exception):
        pass

    def stop(step, fits):
        if step == 2:
            raise Enough

    with pytest.raises(Enough):
        fit_trial(objective_for(BiLSTMRegressor(hidden_size=2, max_epochs=5), HOUSES, seeds=1), {}, stop)


def history(rows):
    found = History("f1")
    for epoch, (loss, metric) in enumerate(rows, 1):
        found.add(epoch=epoch, loss=1.0, validation_loss=loss, metric=metric, seconds=2.0)
    return found


@pytest.mark.parametrize(
    ("kind", "by", "fit"),
    [
        (BiLSTMRegressor, "loss", Fit(0.2, 0.2, 0.5, 2, 4, 8.0)),
        (BiLSTMRegressor, "metric", Fit(0.5, 0.2, 0.5, 2, 4, 8.0)),  # the metric of the epoch of the lowest loss
        (BiLSTMTagger, "metric", Fit(0.9, 0.3, 0.9, 4, 4, 8.0)),  # of equal metrics that of the lower loss
    ],
    ids=str,
)
def test_the_kept_epoch_is_found_as_training_finds_it(kind, by, fit):
    objective = Objective(kind(), None, None, HOUSES, None, 1, by)
    assert fit_of(objective, history([(0.5, 0.1), (0.2, 0.5), (0.4, 0.9), (0.3, 0.9)])) == fit


def test_label_smoothing_does_not_change_what_is_compared():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(80, 3)), np.array(["a", "b"] * 40)
    estimator = BiLSTMClassifier(hidden_size=4, max_epochs=1, learning_rate=1e-12)
    objective = objective_for(estimator, X, y, seeds=1)
    plain, smooth = (fit_trial(objective, {"label_smoothing": share}, silent)[0].loss for share in (0.0, 0.5))
    assert_close(plain, smooth, rtol=1e-6)


def test_given_validation_data_is_what_trials_are_compared_on():
    others = boston().take(range(300, 340))
    estimator = BiLSTMRegressor(hidden_size=4, max_epochs=3)
    (fit,) = fit_trial(objective_for(estimator, HOUSES, validation=others, seeds=1), {}, silent)
    assert_close(fit.metric, evaluate(estimator.fit(HOUSES, validation=others), others)["rmse"], rtol=1e-6)


def test_few_rows_are_fitted_with_five_seeds_and_many_with_one():
    assert objective_for(BiLSTMRegressor(), boston()).seeds == 5
    many = np.arange(2000.0)
    assert objective_for(BiLSTMRegressor(), many[:, None], many).seeds == 1
    assert objective_for(BiLSTMTagger(), SENTENCES, TAGS).seeds == 1


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (BiLSTMRegressor(validation_fraction=0), {}, "expected a validation part to compare trials by"),
        (BiLSTMRegressor(random_state=None), {}, "expected random_state to be a number, got None"),
        (BiLSTMRegressor(), {"seeds": 0}, "expected at least one seed"),
        (BiLSTMRegressor(), {"by": "rmse"}, "expected by to be one of 'auto', 'loss', 'metric', got 'rmse'"),
    ],
)
def test_what_cannot_be_compared_is_refused(estimator, options, message):
    with pytest.raises(ParameterError, match=message):
        objective_for(estimator, HOUSES, **options)


def test_a_warning_about_the_data_is_given_by_the_first_fit_only():
    broken = [["B-PER", "O", "O", "I-LOC"], ["B-LOC", "O", "O"], ["B-PER", "O"]] * 12
    small = BiLSTMTagger(hidden_size=2, char_hidden_size=0, embedding_size=2, max_epochs=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        objective = objective_for(small, SENTENCES, broken, seeds=2)
        before = len(told)
        fit_trial(objective, {}, silent)
    assert len(told) - before == 1
