"""The X-ray of every task: it adds up, agrees with what the estimator says, and speaks in the caller's terms."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.exceptions import NotFittedError

from bilstm import BiLSTMRegressor
from bilstm.data.sound.recordings import from_sounds
from bilstm.errors import DataError, DataWarning, ParameterError
from bilstm.nn.crf.layer import CRF
from bilstm.xray import examination, paths, x_ray
from bilstm.xray.answers import log_odds, tag_log_odds
from tests.compare import assert_close
from tests.speech import RATE
from tests.xray import models
from tests.xray.models import EXAMPLES

TASKS = list(EXAMPLES)


@pytest.fixture(scope="module", params=TASKS)
def case(request):
    """A model, data, and the X-ray of the first example."""
    model, data = EXAMPLES[request.param]()
    return model, data, x_ray(model, data, outputs=4)


def logit(p):
    return np.log(p) - np.log1p(-p)


# -- of every task -------------------------------------------------------------------------------------------


def test_the_amounts_add_up_to_value_less_baseline(case):
    _, _, found = case
    assert found.contributions
    for one in found.contributions:
        difference = one.value - one.baseline
        assert one.amount.shape == (len(found.steps), len(found.features))
        assert_close(one.amount.sum() + one.gap, difference, atol=1e-9)
        assert abs(one.gap) <= 1e-3 * max(abs(difference), 20.0 if one.unit in ("price", "rent", "y") else 0.1)
        assert_close(one.past + one.direct + one.future, one.amount.sum(axis=1), atol=1e-9)
    assert not any("add up" in note for note in found.notes)


def test_gates_have_a_place_for_every_layer_direction_step_and_unit(case):
    model, _, found = case
    shape = (model.num_layers, 2, len(found.steps), model.hidden_size)
    assert {gate.shape for gate in found.gates} == {shape}
    assert {gate.dtype for gate in found.gates} == {np.dtype(np.float32)}
    assert found.half_life.shape == found.dead.shape == (*shape[:2], shape[3])
    assert len(found.layers) == 2 * model.num_layers
    assert found.inputs.shape == (len(found.steps), len(found.features))
    assert len(found.shown) == len(found.features)


def test_an_output_at_a_step_has_its_past_before_it_and_its_future_behind_it(case):
    _, _, found = case
    steps = np.arange(len(found.steps))
    for one in found.contributions:
        if one.at is not None:
            assert not one.past[steps >= one.at].any()
            assert not one.future[steps <= one.at].any()
            assert not one.direct[steps != one.at].any()
    assert (found.contributions[0].at is not None) == (found.task in ("tagger", "transcriber"))


def test_the_same_comes_out_again_and_the_model_stays_as_it_was(case):
    model, data, found = case
    state = {name: value.clone() for name, value in model.network_.state_dict().items()}
    again = x_ray(model, data, outputs=4)
    for one, other in zip(found.contributions, again.contributions, strict=True):
        assert_close(other.amount, one.amount)
    for name, value in model.network_.state_dict().items():
        assert_close(value, state[name])


# -- values are those of the estimator -----------------------------------------------------------------------


def test_a_regressor_is_explained_in_the_callers_units_and_columns():
    model, frame = EXAMPLES["regressor"]()
    found = x_ray(model, frame, row=3)
    assert found.title == "row 3"
    assert found.features == ["rooms", "age", "town"]
    assert found.shown == [f"rooms = {frame['rooms'][3]:.6g}", "age = missing", f"town = {frame['town'][3]}"]
    assert [one.output for one in found.contributions] == ["price", "rent"]
    assert_close([one.value for one in found.contributions], model.predict(frame[3:4])[0], rtol=1e-5)
    assert found.prediction.startswith(f"price = {found.contributions[0].value:.5g}, rent = ")
    assert_close(found.inputs[0, :2], [frame["rooms"][3], np.nan])
    mean = pl.DataFrame({"rooms": [model.features_.columns[0].mean], "age": [model.features_.columns[1].mean]})
    absent = mean.with_columns(town=pl.lit("elsewhere"))
    assert found.against == "the mean of every column of numbers in training, and no known value of the others"
    assert_close([one.baseline for one in found.contributions], model.predict(absent)[0], rtol=1e-5)


def test_columns_as_steps_are_called_as_they_are_encoded():
    model, frame = EXAMPLES["columns as steps"]()
    found = x_ray(model, frame, row=1)
    assert found.steps == ["rooms", "age", "age is missing", "town=a", "town=b", "town=c"]
    assert (found.axis, found.features) == ("column", ["value"])
    assert_close(found.inputs[:2, 0], [frame["rooms"][1], frame["age"][1]])
    assert_close(found.contributions[0].value, model.predict(frame[1:2])[0, 0], rtol=1e-5)


@pytest.mark.parametrize("name", ["classifier", "classifier of text"])
def test_a_class_is_explained_by_the_log_odds_of_its_probability(name):
    model, data = EXAMPLES[name]()
    found = x_ray(model, data)
    (one,) = found.contributions
    chances = model.predict_proba(data)[0]
    assert_close(one.value, logit(chances.max()), atol=1e-4)
    label = model.predict(data)[0]
    assert (one.output, one.unit) == (f"class {label}", "log-odds")
    assert found.prediction == f"{label} ({chances.max():.2f})"


def test_the_temperature_is_a_part_of_the_log_odds():
    model, data = copy.deepcopy(EXAMPLES["classifier"]())
    before = x_ray(model, data).contributions[0]
    model.temperature_ *= 2
    found = x_ray(model, data).contributions[0]
    assert_close(found.value, logit(model.predict_proba(data)[0].max()), atol=1e-4)
    assert found.value != before.value


def test_each_of_several_labels_is_explained():
    model, data = EXAMPLES["classifier with several labels"]()
    found, chances = x_ray(model, data), model.predict_proba(data)[0]
    told = {one.output: one.value for one in found.contributions}
    expected = {f"label {name}": logit(p) for name, p in zip(model.classes_, chances, strict=True) if p >= 0.5}
    assert list(told) == [name for name, _ in sorted(expected.items(), key=lambda pair: -pair[1])]
    assert_close(sorted(told.values()), sorted(expected.values()), atol=1e-4)


def test_without_a_label_the_likeliest_one_is_explained():
    model = copy.deepcopy(models.topics())
    with torch.no_grad():
        model.network_.output.bias -= 20
    found = x_ray(model, ["good"])
    assert found.prediction == "no label"
    assert len(found.contributions) == 1
    assert any("no label" in note for note in found.notes)


@pytest.mark.parametrize("crf", [True, False])
def test_a_tag_is_explained_by_the_log_odds_of_its_marginal(crf):
    model = models.tagger(crf)
    found = x_ray(model, [["Ann", "saw", "New", "Rome", "."]])
    tags, chances = model.predict([["Ann", "saw", "New", "Rome", "."]])[0], model.predict_proba([found.steps])[0]
    assert found.prediction == " ".join(f"{word}/{tag}" for word, tag in zip(found.steps, tags, strict=True))
    assert [one.at for one in found.contributions] == list(range(5))
    for one in found.contributions:
        own = chances[one.at, model.classes_.tolist().index(tags[one.at])]
        assert one.output == f"{found.steps[one.at]} → {tags[one.at]}"
        assert_close(one.value, logit(float(own)), atol=2e-3 * (1 + abs(one.value)))
    assert (found.transitions is None) == (not crf)


def test_words_that_mean_something_come_first():
    model = models.tagger()
    sentence = ["is", "old", ".", "Ann", "is", "old", "."]
    tags = model.predict([sentence])[0]
    found = x_ray(model, [sentence], outputs=2)
    named = [t for t, tag in enumerate(tags) if tag != "O"]
    assert [one.at for one in found.contributions] == sorted((named + [t for t in range(7) if t not in named])[:2])
    assert "2 of 7 words are looked at" in found.notes


def test_the_rules_of_a_scheme_show_among_the_transitions():
    found = x_ray(models.tagger(), ["Ann"])
    tags, matrix, start, end = found.transitions
    assert matrix[tags.index("O"), tags.index("I-LOC")] == start[tags.index("I-LOC")] == -np.inf
    crf = models.tagger().network_.crf
    assert_close(matrix[tags.index("O"), tags.index("O")], crf.transitions[tags.index("O"), tags.index("O")])
    assert np.isfinite(end).all()


def test_log_odds_are_those_of_softmax_and_of_marginals():
    torch.manual_seed(0)
    scores = torch.randn(3, 4)
    assert_close(
        log_odds(scores, torch.tensor([1, 0, 3])), logit(scores.softmax(1).numpy()[[0, 1, 2], [1, 0, 3]]), atol=1e-5
    )
    crf, emissions = CRF(3), torch.randn(2, 5, 3)
    marginals = crf.marginals(emissions).numpy()
    found = tag_log_odds(emissions, torch.tensor([1, 4]), torch.tensor([2, 0]), crf).detach()
    assert_close(found, logit(marginals[[0, 1], [1, 4], [2, 0]]), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("forecaster")])
def test_coming_steps_are_explained_as_they_are_forecast(name):
    model, _ = EXAMPLES[name]()
    found, said = x_ray(model), model.predict()
    values = np.array([one.value for one in found.contributions])
    is_log = model.target_as_ == "log-return"
    assert_close(np.exp(values) if is_log else values, said["predicted_y"].to_numpy(), rtol=1e-4)
    assert {one.unit for one in found.contributions} == {"log y" if is_log else "y"}
    assert [one.output for one in found.contributions] == [str(day) for day in said["day"].dt.date()]
    assert found.axis == "day"
    assert found.features == ["y", "beside", "calendar"]
    assert_close(found.inputs[:, 0], model.known_.steps["y"].to_numpy()[-8:])
    amounts = np.stack([one.amount for one in found.contributions])
    assert_close(amounts[:, -1], np.zeros_like(amounts[:, -1]))  # the last step is the baseline's


def test_steps_to_come_are_spread_evenly():
    found = x_ray(models.forecaster(), outputs=3)
    said = [str(day) for day in models.forecaster().predict()["day"].dt.date()]
    assert [one.output for one in found.contributions] == [said[0], said[2], said[4]]
    assert "3 of 5 steps to come are looked at" in found.notes


def test_a_bilstm_of_no_use_has_gates_and_no_contributions():
    found = x_ray(models.forecaster(share=0.0))
    assert any("no use for the BiLSTM" in note for note in found.notes)
    assert not any(one.past.any() or one.future.any() for one in found.contributions)
    assert found.gates.hidden.any()
    assert_close(found.gates.hidden, x_ray(models.forecaster()).gates.hidden, atol=1e-6)


def test_characters_are_explained_where_they_are_written():
    model, sounds = models.transcriber(), models.sounds()
    found = x_ray(model, sounds, row=1, outputs=3)
    assert found.prediction == model.predict(sounds)[1]
    assert found.title == "X[1]"
    scores = torch.from_numpy(model.outputs(sounds)[1])
    assert len(found.steps) == len(scores)
    assert len(found.features) == model.mels
    for one in found.contributions:
        character = model.characters_.transform(one.output[1])
        number = character[0] if character else model.characters_.space
        assert_close(one.value, log_odds(scores[one.at : one.at + 1], torch.tensor([number]))[0], atol=1e-4)
        assert one.output.endswith(f"at {one.at * model.sound_.step_seconds:.2f} s")
    frames = model.sound_.mel(sounds[1])
    assert_close(found.inputs[0], frames[: model.stack].mean(axis=0), rtol=1e-6)


# -- inputs of every kind ------------------------------------------------------------------------------------


def test_markup_signs_and_chinese_are_only_text():
    found = x_ray(models.texts(), ["<script>alert(1)</script> 好 $5 and $6"])
    assert found.title == "<script>alert(1)</script> 好 $5 and $6"
    assert "好" in found.steps


def test_a_long_sequence_is_cut_and_a_note_says_so(monkeypatch):
    monkeypatch.setattr(examination, "MOST_STEPS", 5)
    monkeypatch.setattr(examination, "FEWEST_STEPS", 5)
    found = x_ray(models.texts(), ["so good and so bad that it is good"])
    assert (found.title, len(found.steps)) == ("so good and so bad", 5)
    assert "only the first 5 of 9 steps are looked at" in found.notes[0]
    found = x_ray(models.transcriber(), models.sounds(1))
    assert len(found.steps) == 5
    assert "seconds are looked at" in found.notes[0]
    assert len(x_ray(models.forecaster()).steps) == 8  # a window is never cut


def test_heavy_work_has_fewer_outputs(monkeypatch):
    monkeypatch.setattr(examination, "MOST_WORK", 1.0)
    monkeypatch.setattr(examination, "FEWEST_STEPS", 3)
    found = x_ray(models.tagger(), ["Ann lives in Rome ."])
    assert (len(found.contributions), len(found.steps)) == (1, 3)


def test_what_does_not_add_up_is_said(monkeypatch):
    monkeypatch.setattr(examination, "FEWEST_PIECES", 1)
    monkeypatch.setattr(examination, "MOST_PIECES", 1)
    monkeypatch.setattr(paths, "TOLERANCE", 1e-9)
    with pytest.warns(DataWarning, match="do not add up"):
        found = x_ray(models.sequences(), models.walks(1)[0])
    assert any("do not add up" in note for note in found.notes)


def test_nothing_to_look_at_is_an_error():
    with pytest.raises(DataError, match="at least one word"):
        x_ray(models.texts(), [""])
    with pytest.raises(DataError, match="expected data beside a tagger"):
        x_ray(models.tagger())
    with pytest.raises(DataError, match="expected words as in training, got numbers"):
        x_ray(models.tagger(), models.regressor().to_dataset(models.houses(2)[0], None))
    with pytest.raises(DataError, match="expected numbers as in training, got words"):
        x_ray(models.regressor(), models.tagger().to_dataset(["a b"], None))
    with pytest.raises(DataError, match="expected sound"):
        x_ray(models.transcriber(), from_sounds([np.zeros(10)], rate=RATE))
    with pytest.raises(DataError, match="expected a table"):
        x_ray(models.regressor(), [np.zeros((3, 3))])


@pytest.mark.parametrize("row", [-1, 5, True, 0.5])
def test_a_row_that_is_not_there_is_an_error(row):
    model, frame = EXAMPLES["regressor"]()
    with pytest.raises(ParameterError, match="expected row from 0 to 4"):
        x_ray(model, frame, row=row)


@pytest.mark.parametrize("outputs", [0, -1, True, 1.5])
def test_a_wrong_number_of_outputs_is_an_error(outputs):
    model, frame = EXAMPLES["regressor"]()
    with pytest.raises(ParameterError, match="expected outputs of at least 1"):
        x_ray(model, frame, outputs=outputs)


def test_a_model_that_is_not_fitted_is_an_error():
    with pytest.raises(NotFittedError):
        x_ray(BiLSTMRegressor(), models.houses(2)[0])
