"""What a transcriber cannot learn from: each planted fault is named once, the rest is learned; and infinite losses."""

from __future__ import annotations

import re
from copy import copy

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from bilstm.data.batch import Sequences
from bilstm.data.sound.recordings import from_sounds, read_recordings
from bilstm.demo.tones import dial_tones
from bilstm.errors import DataError, DataWarning, TrainingError
from bilstm.estimators import recognition, recording_checks, transcriber
from bilstm.training.loop import Examples, train
from tests.compare import assert_close
from tests.models import assert_same_model
from tests.sounds import file_of, noise
from tests.speech import RATE, tiny, untrained

GOOD = 14
SAID = "1234567890" * 8  # 80 characters
USELESS = {  # in the order in which they stand in the corpus, by what is said of them
    "long_text.wav": r"its text of 80 characters needs 80 steps, its \d\.\d\d s have (\d+)$",
    "no_text.wav": "has an empty text$",
    "white_text.wav": "has an empty text$",
    "no_bytes.wav": "expected sound, got an empty file",
    "cut.flac": "expected a whole recording, got a file that breaks off",
    "words.wav": "expected sound .*, got a file that is none",
    "missing.wav": "No such file|no such file|expected .* file",
    "silent.wav": "silent: peak below -60 dBFS",
    "click.wav": "too short: 10 ms, expected 25 ms$",
    "nan.wav": "expected numbers as samples, got NaN or infinity",
}
FINE = ("clipped.wav", "studio.wav")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A table of recordings, most of them good, in which everything is planted that may be wrong."""
    folder = tmp_path_factory.mktemp("corpus")
    sounds, texts = dial_tones(GOOD, rate=RATE, words=False)
    rows = []
    for row, (sound, text) in enumerate(zip(sounds, texts, strict=True)):
        soundfile.write(folder / f"good{row}.wav", sound, RATE)
        rows.append((f"good{row}.wav", text))
    flac = file_of(noise(4 * RATE), RATE, "flac")
    holed = noise(RATE)
    holed[100] = np.nan
    contents = {
        "long_text.wav": (file_of(sounds[0], RATE), SAID),
        "no_text.wav": (file_of(sounds[0], RATE), ""),
        "white_text.wav": (file_of(sounds[0], RATE), " \t "),
        "no_bytes.wav": (b"", "1"),
        "cut.flac": (flac[: len(flac) // 2], "1"),
        "words.wav": (b"these are words, and no sound at all" * 9, "1"),
        "missing.wav": (None, "1"),
        "silent.wav": (file_of(np.zeros(RATE), RATE), "1"),
        "click.wav": (file_of(sounds[0][: RATE // 100], RATE), "1"),
        "nan.wav": (file_of(holed, RATE, "wavfloat"), "1"),
        "clipped.wav": (file_of(np.clip(80 * sounds[1], -1, 1), RATE), texts[1]),
        "studio.wav": (file_of(np.stack([noise(96_000)] * 2, axis=1), 96_000, "wav24"), "1"),
    }
    for name, (content, text) in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
        rows.insert(len(rows) // 2, (name, text))
    lines = [f'{name},"{text}"' for name, text in rows]
    (folder / "train.csv").write_text("\n".join(["path,text", *lines]) + "\n")
    return folder / "train.csv", [name for name, _ in rows]


@pytest.fixture(scope="module")
def surveyed(corpus):
    with pytest.warns(DataWarning) as caught:
        model = tiny(validation_fraction=0).fit(read_recordings(corpus[0]))
    return model, [str(one.message) for one in caught]


def test_every_fault_is_named_once_in_the_order_of_the_rows(corpus, surveyed):
    useless, _ = surveyed[1]
    head, *lines = useless.splitlines()
    total = GOOD + len(USELESS) + len(FINE)
    assert head == f"{len(USELESS)} of {total} recordings cannot be used ({corpus[0]}):"
    assert [line.split(":")[0].strip() for line in lines] == [name for name in corpus[1] if name in USELESS]


@pytest.mark.parametrize("name", USELESS)
def test_a_fault_is_told_in_words(surveyed, name):
    assert re.search(USELESS[name], dict(surveyed[0].left_out_)[name])


def test_a_text_that_is_too_long_is_told_with_the_steps_that_there_are(corpus, surveyed):
    steps = re.search(USELESS["long_text.wav"], dict(surveyed[0].left_out_)["long_text.wav"])[1]
    samples = soundfile.info(corpus[0].parent / "long_text.wav").frames
    assert int(steps) == surveyed[0].sound_.steps(surveyed[0].sound_.frames_of(samples))


def test_what_is_left_out_is_kept_in_the_order_of_the_rows(corpus, surveyed):
    assert [name for name, _ in surveyed[0].left_out_] == [name for name in corpus[1] if name in USELESS]


def test_what_may_be_bad_is_told_and_learned_from(surveyed):
    head, *lines = surveyed[1][1].splitlines()
    assert head.startswith("1 of 26 recordings may be bad")
    (line,) = lines
    assert re.match(r"  clipped.wav: clipped: \d+\.\d % of the samples stand at full scale", line)


def test_nothing_that_was_left_out_has_a_say(corpus, surveyed):
    data = read_recordings(corpus[0])
    rows = [row for row, name in enumerate(data.names) if name not in USELESS]
    with pytest.warns(DataWarning, match="1 of 16 recordings may be bad"):
        clean = tiny(validation_fraction=0).fit(data.take(rows))
    assert clean.left_out_ == []
    assert_same_model(surveyed[0], clean)


def test_strict_makes_one_error_that_lists_them_all(corpus):
    with pytest.raises(DataError, match="10 of 26 recordings cannot be used") as caught:
        tiny(strict=True).fit(read_recordings(corpus[0]))
    assert all(name in caught.value.message for name in USELESS)
    assert "clipped" not in caught.value.message
    assert "without strict they are left out" in caught.value.hint


@pytest.mark.filterwarnings("ignore:1 of 16 recordings may be bad")
def test_strict_lets_what_may_be_bad_pass(corpus):
    data = read_recordings(corpus[0])
    tiny(strict=True).fit(data.take([row for row, name in enumerate(data.names) if name not in USELESS]))


def test_a_long_report_is_cut_and_counted(monkeypatch):
    monkeypatch.setattr(recording_checks, "MOST_LINES", 3)
    sounds, texts = dial_tones(12, rate=RATE, words=False)
    with pytest.warns(DataWarning, match=r"5 of 12 .*\n  X\[0\].*\n  X\[1\].*\n  X\[2\].*\n  and 2 more$"):
        tiny().fit(sounds, [""] * 5 + texts[5:])


def test_a_recording_that_is_too_long_for_training_is_left_out_but_understood(monkeypatch):
    sounds, texts = dial_tones(10, rate=RATE, words=False)
    sounds[4] = np.tile(sounds[4], 12)
    monkeypatch.setattr(recording_checks, "LONGEST", 3.0)
    with pytest.warns(DataWarning, match=r"X\[4\]: \d+ s long; cut it, training takes 3 s"):
        model = tiny().fit(sounds, texts)
    assert [name for name, _ in model.left_out_] == ["X[4]"]
    assert model.transcribe(sounds)[4].note is None


@pytest.mark.parametrize("texts", [["", " ", ""], ["1", "", ""]])
def test_where_nothing_is_left_there_is_an_error(texts):
    left = sum(map(bool, map(str.strip, texts)))
    with pytest.warns(DataWarning, match="cannot be used"):  # noqa: SIM117
        with pytest.raises(DataError, match=f"expected at least 2 recordings that can be learned from, got {left}"):
            tiny().fit([noise(RATE, seed=seed) for seed in range(3)], texts)


def test_where_no_file_can_be_read_the_first_reason_is_told(tmp_path):
    for row in range(3):
        (tmp_path / f"{row}.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"that can be read, got none .*: expected sound, got an empty"):
        tiny(sample_rate=None).fit([tmp_path / f"{row}.wav" for row in range(3)], ["1", "2", "3"])


# -- in prediction and evaluation ----------------------------------------------------------------------------


def test_predict_refuses_what_cannot_be_read_and_transcribe_goes_on(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    sound = dial_tones(1, rate=RATE)[0][0]
    X = [(sound, RATE), tmp_path / "bad.wav", (np.zeros(RATE), RATE), (np.clip(80 * sound, -1, 1), RATE)]
    model = untrained()
    with pytest.raises(DataError, match="2 of 4 recordings cannot be used") as caught:
        model.predict(X)
    assert "bad.wav" in caught.value.message
    good, bad, silent, clipped = model.transcribe(X)
    assert (good.note, good.text) == (None, model.predict(X[:1])[0])
    assert (bad.text, bad.confidence, bad.words) == ("", 0.0, [])
    assert "expected sound" in bad.note
    assert silent.note.startswith("silent")
    assert clipped.note.startswith("clipped")
    assert clipped.text


def test_notes_belong_to_their_recordings_however_many_are_read_together(monkeypatch):
    sounds = [*dial_tones(5, rate=RATE)[0], np.zeros(RATE), noise(RATE), np.zeros(9, np.float32)]
    expected = [one.note and one.note[:6] for one in untrained().transcribe(sounds)]
    assert expected == [None] * 5 + ["silent", None, "too sh"]
    monkeypatch.setattr(recognition, "TOGETHER", 2)
    assert [one.note and one.note[:6] for one in untrained().transcribe(sounds)] == expected


def test_evaluation_leaves_out_what_cannot_be_heard_and_says_so():
    sounds, texts = dial_tones(4, rate=RATE)
    sounds[1], texts[2] = np.zeros(RATE), " "
    with pytest.warns(DataWarning, match=r"2 of 4 .*\n  X\[1\]: silent.*\n  X\[2\]: has an empty text$"):
        found = untrained().compare(sounds, texts)
    assert (found.names, found.metrics["n"]) == (["X[0]", "X[3]"], 2)
    strict = copy(untrained()).set_params(strict=True)
    with pytest.raises(DataError, match="2 of 4 recordings cannot be used"):
        strict.compare(sounds, texts)


def test_evaluation_of_nothing_is_refused():
    with pytest.warns(DataWarning, match="2 of 2"):  # noqa: SIM117
        with pytest.raises(DataError, match="expected recordings that can be heard, with texts, got none"):
            untrained().compare([np.zeros(RATE)] * 2, ["one", "two"])


def test_characters_that_the_model_cannot_write_are_told():
    sounds, texts = dial_tones(2, rate=RATE)
    with pytest.warns(DataWarning, match="the texts have characters that the model cannot write: '!', 'É'"):
        untrained().compare(sounds, [texts[0], f"{texts[1]} E\u0301!"])


# -- infinite losses -----------------------------------------------------------------------------------------


class One(nn.Module):
    """A network that says one number."""

    def __init__(self):
        super().__init__()
        self.number = nn.Parameter(torch.zeros(()))

    def forward(self, batch):
        return self.number * batch.values[:, 0]


def trained(loss, on_infinite, rows=(0, 1, 2)):
    values = np.array([[1.0], [2.0], [3.0]], np.float32)[list(rows)]
    examples = Examples(Sequences(values, [1] * len(rows)), torch.tensor(values), torch.ones(len(rows)))
    network = One()
    history = train(
        network, examples, None, loss=loss, metric=None, metric_name="", optimizer="adam", learning_rate=0.1,
        weight_decay=0.0, schedule="constant", clip_norm=None, batch_size=None, max_epochs=3, patience=None, seed=0,
        device=torch.device("cpu"), on_infinite=on_infinite,
    )  # fmt: skip
    return network.number.item(), history


def squared(outputs, targets, lengths):
    return ((outputs - targets)[:, 0]) ** 2


def infinite(outputs, targets, lengths):
    return torch.where(targets[:, 0] == 2, torch.inf, squared(outputs, targets, lengths))


def test_a_row_of_infinite_loss_is_told_and_training_goes_on_as_if_it_were_not_there():
    told = []
    number, history = trained(infinite, lambda rows: told.append(rows.tolist()))
    without, expected = trained(squared, None, rows=(0, 2))
    assert told == [[1]] * 3
    assert_close(number, without, rtol=1e-6)
    assert_close(history["loss"], expected["loss"], rtol=1e-6)


def test_where_all_losses_are_infinite_nothing_moves():
    number, history = trained(lambda o, t, n: squared(o, t, n) * 0 + torch.inf, lambda rows: None)
    assert (number, history["loss"]) == (0.0, [0.0] * 3)


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_a_loss_that_is_wrong_in_another_way_is_an_error_all_the_same(value):
    with pytest.raises(TrainingError, match="expected a finite loss"):
        trained(lambda o, t, n: squared(o, t, n) + value, lambda rows: None)


def test_nobody_to_tell_makes_an_infinite_loss_an_error():
    with pytest.raises(TrainingError, match="expected a finite loss, got inf"):
        trained(infinite, None)


def test_a_transcriber_names_a_recording_whose_text_has_no_alignment_once(monkeypatch):
    sounds, texts = dial_tones(9, rate=RATE, words=False)
    texts[3] = SAID
    monkeypatch.setattr(transcriber, "check_texts", lambda *_: [])
    with pytest.warns(DataWarning) as caught:
        model = tiny(validation_fraction=0, batch_size=3, max_epochs=4).fit(from_sounds(sounds, texts, rate=RATE))
    (warning,) = caught
    assert str(warning.message).startswith("X[3]: its text has no alignment with its sound")
    assert [name for name, _ in model.left_out_] == ["X[3]"]
    assert np.isfinite(model.history_["loss"]).all()
