"""The transcriber: it learns, and says the same of a recording in every company and form, before and after a file."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import soundfile
import soxr
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bilstm
from bilstm import BiLSTMTranscriber, evaluate
from bilstm.data.sound.recordings import from_sounds, read_recordings
from bilstm.demo.tones import dial_tones
from bilstm.errors import DataError, DataWarning, ModelFileError, ParameterError
from bilstm.estimators import recognition
from tests.compare import assert_close
from tests.models import assert_same_model, die_and_go_on
from tests.sounds import file_of
from tests.speech import LEARNS, RATE, TINY, edits, heard, learned, tiny, untrained


@pytest.fixture(scope="module")
def spoken():
    return dial_tones(16, rate=RATE, words=False)


def told(transcripts):
    return [(one.text, one.confidence, one.words, one.alternatives, one.note) for one in transcripts]


# -- it learns -----------------------------------------------------------------------------------------------


def test_it_learns_what_it_hears():
    sounds, texts = heard()
    assert learned().score(sounds, texts) > 0.8
    assert learned().metrics_["wer"] < 0.2


def test_the_score_is_the_share_of_words_that_are_right():
    sounds, texts = dial_tones(12, rate=RATE, seed=9)
    model = untrained(words=True)
    understood = model.predict(sounds)
    wrong = sum(edits(a.split(), b.split()) for a, b in zip(texts, understood, strict=True))
    rate = wrong / sum(len(text.split()) for text in texts)
    assert_close(model.score(sounds, texts), 1 - rate, rtol=1e-12)
    found = evaluate(model, from_sounds(sounds, texts, rate=RATE))
    assert_close(found["wer"], rate, rtol=1e-12)
    assert_close(found["cer"], sum(map(edits, texts, understood)) / sum(map(len, texts)), rtol=1e-12)
    assert found["n"] == len(texts)


def test_the_history_measures_the_best_character_of_every_step(spoken):
    model = tiny(max_epochs=3, learning_rate=0.02).fit(*spoken, validation=heard())
    assert model.metric_name == "word accuracy"
    assert_close(max(model.history_["metric"]), model.score(*heard(), beam=1), rtol=1e-12)


def test_the_loss_is_that_of_torch_for_a_character(spoken):
    model = tiny(dropout=0, masks=False, speed_change=0, batch_size=None, validation_fraction=0)
    model.set_params(learning_rate=1e-30, max_epochs=1).fit(*spoken)
    losses = []
    for scores, text in zip(model.outputs(spoken[0]), spoken[1], strict=True):
        numbers = torch.tensor(model.characters_.transform(text))
        log_p = torch.from_numpy(scores).double().log_softmax(1)
        loss = torch.nn.functional.ctc_loss(log_p, numbers, [len(scores)], [len(numbers)], reduction="sum")
        losses.append(float(loss) / len(numbers))
    assert_close(model.history_["loss"][0], np.mean(losses), rtol=1e-5)


def test_fit_leaves_no_features_behind(spoken):
    assert "_cache" not in vars(tiny().fit(*spoken))


# -- the same in every company -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [learned, untrained])
def test_a_transcript_does_not_depend_on_its_batch_mates(model):
    sounds = [*heard()[0][:6], np.tile(heard()[0][0], 9)]
    together = model().transcribe(sounds)
    for sound, transcript in zip(sounds, together, strict=True):
        (alone,) = model().transcribe([sound])
        assert alone.text == transcript.text
        assert [word[:3] for word in alone.words] == [word[:3] for word in transcript.words]
        assert_close(alone.confidence, transcript.confidence, rtol=1e-3)


def test_transcripts_come_in_the_callers_order(monkeypatch):
    sounds = heard()[0]
    expected = untrained().predict(sounds)
    assert untrained().predict(sounds[::-1]) == expected[::-1]
    monkeypatch.setattr(recognition, "TOGETHER", 5)
    assert untrained().predict(sounds) == expected


def test_a_recording_that_is_there_twice_has_its_transcript_twice():
    sound = (heard()[0][0], RATE)
    (expected,) = untrained().predict([sound])
    assert untrained().predict([sound, sound]) == [expected, expected]


def test_every_form_of_a_recording_has_the_same_transcript(tmp_path):
    sounds = heard()[0][:4]
    contents = [file_of(sound, RATE, "wavfloat") for sound in sounds]
    paths = [tmp_path / f"{row}.wav" for row in range(len(sounds))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    model = untrained()
    expected = told(model.transcribe(sounds))
    both = [np.stack([sound, sound], axis=1) for sound in sounds]
    for form in (paths, list(map(str, paths)), contents, [(s, RATE) for s in sounds], from_sounds(paths), both):
        assert told(model.transcribe(form)) == expected
    assert told(model.transcribe([io.BytesIO(content) for content in contents])) == expected
    assert told(model.transcribe(model.read(tmp_path))) == expected


def test_a_recording_at_another_rate_is_understood():
    sounds, texts = heard()
    copies = [(soxr.resample(sound, RATE, 16_000), 16_000) for sound in sounds]
    understood = learned().predict(copies)
    assert sum(map(edits, understood, learned().predict(sounds))) <= 1
    assert sum(map(edits, understood, texts)) <= 2


# -- the same again ------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_models_and_others_do_not(spoken):
    a, b, c = (tiny(random_state=seed).fit(*spoken) for seed in (0, 0, 1))
    assert_same_model(a, b)
    assert a.history_["loss"] != c.history_["loss"]


def test_a_loaded_model_is_the_same(tmp_path):
    model, sounds = untrained(words=True), heard()[0]
    model.save(tmp_path / "m.bilstm")
    again = bilstm.load(tmp_path / "m.bilstm")
    assert told(again.transcribe(sounds, alternatives=2)) == told(model.transcribe(sounds, alternatives=2))
    for found, was in zip(again.outputs(sounds), model.outputs(sounds), strict=True):
        assert_close(found, was)
    assert list(again.stream(sounds[:1])) == list(model.stream(sounds[:1]))
    assert again.history_.to_json() == model.history_.to_json()
    assert again.get_params() == model.get_params()


def test_a_loaded_model_can_be_fitted_again(spoken, tmp_path):
    first = tiny().fit(*spoken)
    first.save(tmp_path / "m.bilstm")
    assert_same_model(bilstm.load(tmp_path / "m.bilstm").fit(*spoken), first)


def test_a_run_that_was_stopped_ends_in_the_same_model_as_an_unbroken_one(spoken, tmp_path):
    options = {"max_epochs": 4, "num_layers": 2, "batch_size": 4}
    unbroken = tiny(**options).fit(*spoken)
    stopped = tiny(**options, checkpoint=tmp_path / "run.checkpoint")
    assert die_and_go_on(stopped, *spoken, after=2) == [3, 4]
    assert_same_model(stopped, unbroken)


def test_a_checkpoint_of_other_recordings_is_refused(spoken, tmp_path):
    sounds, texts = spoken
    tiny(checkpoint=tmp_path / "run.checkpoint").fit(sounds, texts)
    other = [*sounds[:-1], sounds[-1] / 2]
    with pytest.raises(ModelFileError, match="expected a checkpoint of this run"):
        tiny(checkpoint=tmp_path / "run.checkpoint").fit(other, texts)


def test_it_is_cloned_and_set_as_scikit_learn_does_it(spoken):
    model = tiny(strict=True, mels=9).fit(*spoken)
    again = clone(model)
    assert (again.get_params(), hasattr(again, "network_")) == (model.get_params(), False)
    assert again.set_params(mels=12).mels == 12
    assert_same_model(clone(model).fit(*spoken), model)


# -- what it learns from -------------------------------------------------------------------------------------


def test_whole_groups_are_held_out(spoken):
    data = replace(from_sounds(*spoken, rate=RATE), groups=pl.Series(list("abcd") * 4))
    model = tiny(validation_fraction=0.25)
    model.left_out_ = []
    model.training_data(data, None)
    rows, held_out = model._split(data, None, seed=0)
    assert (len(rows), len(held_out)) == (12, 4)
    assert set(data.groups[rows]).isdisjoint(held_out.groups)
    assert set(held_out.names).isdisjoint(data.names[row] for row in rows)


def test_recordings_of_unknown_speakers_are_one_group(spoken):
    groups = pl.Series(["a", None, "b", None] * 4)
    model = tiny(validation_fraction=0.3).fit(replace(from_sounds(*spoken, rate=RATE), groups=groups))
    assert model.metrics_["n"] in (4, 8)


def test_one_group_is_split_like_none(spoken):
    data = from_sounds(*spoken, rate=RATE)
    alone = tiny().fit(replace(data, groups=pl.Series(["a"] * 16)))
    assert_same_model(alone, tiny().fit(data))


def test_validation_comes_as_a_pair_or_as_recordings(spoken):
    sounds, texts = heard()
    a = tiny().fit(*spoken, validation=(sounds, texts))
    b = tiny().fit(*spoken, validation=from_sounds(sounds, texts, rate=RATE))
    assert_same_model(a, b)
    assert a.metrics_["n"] == len(texts)


def test_without_a_validation_part_all_is_learned_to_the_end(spoken):
    model = tiny(validation_fraction=0).fit(*spoken)
    assert (model.metrics_, len(model.history_)) == ({}, 2)


def test_recordings_of_weight_zero_do_not_pull(spoken):
    sounds, texts = spoken
    weight = np.repeat([1.0, 0.0], 8)
    other = [*texts[:8], *texts[:7:-1]]  # the same characters, elsewhere
    fit = {"validation_fraction": 0, "batch_size": None, "dropout": 0, "masks": False, "max_epochs": 4}
    a, b, c = (
        tiny(**fit).fit(sounds, y, sample_weight=w) for y, w in ((texts, weight), (other, weight), (other, None))
    )
    assert_same_model(a, b)
    assert a.history_["loss"] != c.history_["loss"]


def test_the_rate_is_the_most_common_one_unless_it_is_named(spoken):
    sounds, texts = spoken
    mixed = [*((sound, RATE) for sound in sounds[:10]), *((sound, 11_025) for sound in sounds[10:])]
    assert BiLSTMTranscriber(**TINY | {"sample_rate": None}).fit(mixed, texts).sound_.rate == RATE
    assert tiny(sample_rate=11_025).fit(mixed, texts).sound_.rate == 11_025


def test_a_table_is_read_fitted_and_read_again_as_in_training(spoken, tmp_path):
    for row, sound in enumerate(spoken[0]):
        soundfile.write(tmp_path / f"{row}.wav", sound, RATE)
    table = pl.DataFrame({"file": [f"{row}.wav" for row in range(16)], "said": spoken[1], "who": ["a", "b"] * 8})
    table.write_csv(tmp_path / "train.csv")
    data = read_recordings(tmp_path / "train.csv", sound="file", text="said", group="who")
    model = tiny(validation_fraction=0).fit(data)
    table.drop("who").write_csv(tmp_path / "test.csv")
    assert model.read_with_ == {"sound": "file", "text": "said", "group": "who"}
    assert len(model.predict(model.read(tmp_path / "test.csv"))) == 16
    assert model.compare(model.read(tmp_path / "test.csv", with_targets=True)).truth == spoken[1]


def test_text_of_any_script_is_learned(spoken):
    texts = [" ".join("零一二三四五六七八九"[int(digit)] for digit in text) for text in spoken[1]]
    model = tiny().fit(spoken[0], texts)
    assert set(model.characters_.characters) == set("".join(texts))
    assert set("".join(model.predict(spoken[0]))) <= set("".join(texts))


def test_the_mean_of_an_utterance_serves_where_nothing_is_streamed():
    model = BiLSTMTranscriber(**LEARNS | {"normalise": "utterance", "max_epochs": 1}).fit(*dial_tones(20, rate=RATE))
    sound = heard()[0][0]
    twice = model.sound_.encoded(model.sound_.mel(2 * sound))
    assert_close(twice, model.sound_.encoded(model.sound_.mel(sound)), atol=1e-4)  # the level falls out
    with pytest.raises(ParameterError, match="expected normalise='running' for a stream, got 'utterance'"):
        next(model.stream([sound]))


# -- what it refuses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "X, y, message",
    [
        ([np.zeros(RATE)] * 3, ["1", "2"], "expected a text for each of 3 sounds, got 2"),
        ([np.zeros(RATE)] * 3, None, "expected recordings with their texts, got none"),
        ([np.zeros(RATE)] * 2, ["1", 2], "expected a text of every sound, got 2"),
        ([np.ones(RATE)], ["1"], "expected at least 2 recordings to learn from, got 1"),
        (np.zeros(RATE), ["1"], "expected a list of sounds, got a single one"),
        (bilstm.boston(), None, "expected recordings, got a table or sequences"),
        (from_sounds([np.zeros(RATE)] * 2, ["1", "2"], rate=RATE), ["1", "2"], "expected no y beside Recordings"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_learned_from_is_refused(X, y, message):
    with pytest.raises(DataError, match=message):
        tiny().fit(X, y)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"sample_rate": 10}, "expected sample_rate to be a whole number of at least 1000, or None, got 10"),
        ({"mels": 2}, "expected mels to be a whole number of at least 3"),
        ({"stack": 0}, "expected stack"),
        ({"normalise": "runing"}, "hint: did you mean 'running'"),
        ({"speed_change": 0.6}, "expected speed_change to be a number of at least 0 and at most 0.5"),
        ({"masks": "yes"}, "expected masks to be True or False"),
        ({"strict": 1}, "expected strict to be True or False"),
    ],
    ids=str,
)
def test_a_parameter_out_of_its_limits_is_named(spoken, parameters, message):
    with pytest.raises(ParameterError, match=message):
        tiny(**parameters).fit(*spoken)


def test_a_model_that_was_not_fitted_says_so():
    sound = np.zeros(RATE)
    for name in ("predict", "transcribe", "stream"):
        with pytest.raises(NotFittedError):
            getattr(tiny(), name)([sound])
    for name in ("score", "compare"):
        with pytest.raises(NotFittedError):
            getattr(tiny(), name)([sound], ["1"])


def test_a_validation_part_of_which_nothing_can_be_used_is_refused(spoken):
    with pytest.warns(DataWarning, match="2 of 2 recordings cannot be used"):  # noqa: SIM117
        with pytest.raises(DataError, match="expected a recording to stop by that can be used, got none"):
            tiny().fit(*spoken, validation=([np.zeros(RATE)] * 2, ["1", "2"]))
