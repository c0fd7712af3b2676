"""The command line on sound: from a table of recordings to a model, transcripts in every form; bad calls."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import soundfile

import bilstm
from bilstm.demo.tones import write_dial_tones
from tests.sounds import file_of, sine
from tests.speech import RATE, TINY, learned, untrained
from tests.tables import rows_of

QUICK = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
FIT = ["fit", "transcriber", "sounds/train.csv", "-o", "m.bilstm", *QUICK]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve recordings and their table in a folder, and none beside it."""
    monkeypatch.chdir(tmp_path)
    table = write_dial_tones(tmp_path / "sounds", 12, rate=RATE, seed=9, words=False)
    table.rename(tmp_path / "sounds" / "train.csv")
    return tmp_path


@pytest.fixture
def model(folder):
    """A model file of a transcriber that has learned, beside new recordings."""
    learned().save(folder / "m.bilstm")
    return learned()


@pytest.fixture
def names(folder):
    return sorted(str(path.relative_to(folder)) for path in (folder / "sounds").rglob("*.wav"))


# -- fit -----------------------------------------------------------------------------------------------------


def test_fit_reads_a_table_whose_paths_start_in_its_folder(folder, run):
    status, out, err = run(*FIT)
    assert (status, out) == (0, ""), err
    assert "wrote m.bilstm; on the validation part: wer " in err
    assert not (folder / "m.bilstm.checkpoint").exists()
    model = bilstm.load("m.bilstm")
    assert (model.task, model.read_with_) == ("transcriber", {"sound": "path", "text": "text"})
    assert model.get_params() | {"verbose": 0, "checkpoint": None} == bilstm.BiLSTMTranscriber(**TINY).get_params()


def test_the_command_fits_the_model_that_python_fits(folder, run):
    assert run(*FIT)[0] == 0
    same = bilstm.BiLSTMTranscriber(**TINY).fit(bilstm.data.sound.recordings.read_recordings("sounds/train.csv"))
    assert bilstm.load("m.bilstm").history_["loss"] == same.history_["loss"]


def test_columns_of_other_names_speakers_and_a_validation_file(folder, run):
    table = pl.read_csv("sounds/train.csv", schema_overrides={"text": pl.String})
    table = table.rename({"path": "file", "text": "said"}).with_columns(who=pl.Series(list("abcd") * 3))
    table.write_csv("sounds/train.csv")
    table.drop("who")[:5].write_csv("sounds/dev.csv")
    options = ["--sound", "file", "--text", "said"]
    status, _, err = run(*FIT, *options, "--group", "who", "--validation-fraction", "0.25")
    assert status == 0, err
    assert "n 3" in err  # one speaker of four
    assert bilstm.load("m.bilstm").read_with_ == {"sound": "file", "text": "said", "group": "who"}
    status, _, err = run(*FIT, *options, "--valid", "sounds/dev.csv")
    assert (status, "n 5" in err) == (0, True), err


@pytest.mark.filterwarnings("default")
def test_what_is_left_out_is_told_and_strict_forbids_it(folder, run):
    (folder / "sounds" / "silent.wav").write_bytes(file_of(np.zeros(RATE), RATE))
    with open("sounds/train.csv", "a") as file:
        file.write("silent.wav,1\n")
    status, _, err = run(*FIT)
    assert (status, "note: 1 of 13 recordings cannot be used (sounds/train.csv):\n  silent.wav: silent" in err) == (
        0,
        True,
    )
    status, _, err = run(*FIT, "--strict", "-o", "strict.bilstm")
    assert (status, "error: 1 of 13 recordings cannot be used" in err) == (1, True)
    assert "hint: mend them or leave them out" in err
    assert not (folder / "strict.bilstm").exists()


def test_options_of_a_transcriber_reach_the_model(folder, run):
    options = ["--normalise", "utterance", "--speed-change", "0", "--no-masks", "--sample-rate", "4000"]
    assert run(*FIT, *options)[0] == 0
    told = bilstm.load("m.bilstm").get_params()
    names = ("normalise", "speed_change", "masks", "sample_rate", "strict")
    assert [told[name] for name in names] == ["utterance", 0.0, False, 4000, False]


# -- predict -------------------------------------------------------------------------------------------------


def test_one_recording_gives_its_text_alone(model, names, run):
    for name in names[:3]:
        assert run("predict", "m.bilstm", name) == (0, f"{model.predict([name])[0]}\n", "")


def test_several_recordings_give_a_table(model, names, run):
    status, out, err = run("predict", "m.bilstm", *names)
    assert (status, err) == (0, "")
    rows = rows_of(out)
    found = model.transcribe(names)
    assert [row["path"] for row in rows] == names
    assert [row["text"] for row in rows] == [one.text for one in found]
    assert [float(row["confidence"]) for row in rows] == [round(one.confidence, 4) for one in found]
    assert list(rows[0]) == ["path", "text", "confidence"]


@pytest.mark.parametrize("data", ["sounds", "sounds/train.csv"])
def test_a_folder_and_a_table_are_all_of_their_recordings(model, names, run, data):
    status, out, err = run("predict", "m.bilstm", data)
    assert (status, err) == (0, "")
    rows = rows_of(out)
    expected = dict(zip([name.removeprefix("sounds/") for name in names], model.predict(names), strict=True))
    assert {row["path"]: row["text"] for row in rows} == expected


def test_a_table_without_texts_is_enough(model, names, run):
    pl.DataFrame({"path": names}).write_csv("new.csv")
    assert len(run("predict", "m.bilstm", "new.csv")[1].splitlines()) == 13


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "txt"])
def test_transcripts_go_to_a_file_of_its_kind(model, names, run, folder, ending):
    status, out, err = run("predict", "m.bilstm", *names[:3], "-o", f"out.{ending}")
    assert (status, out, err) == (0, "", f"wrote out.{ending}: 3 recordings\n")
    written = (folder / f"out.{ending}").read_text()
    texts = model.predict(names[:3])
    if ending == "txt":
        assert written.splitlines() == texts
        return
    if ending in ("csv", "tsv"):
        rows = rows_of(written, "\t" if ending == "tsv" else ",")
    else:
        rows = json.loads(written) if ending == "json" else [json.loads(line) for line in written.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [row["path"] for row in rows] == names[:3]


def test_json_tells_words_with_their_times(model, names, run, folder):
    run("predict", "m.bilstm", names[0], "-o", "out.json")
    (row,) = json.loads((folder / "out.json").read_text())
    (found,) = model.transcribe(names[:1])
    assert [word["text"] for word in row["words"]] == [word.text for word in found.words]
    assert [word["start"] for word in row["words"]] == [round(word.start, 3) for word in found.words]
    assert set(row) == {"path", "text", "confidence", "words"}


def test_sound_comes_on_stdin(model, names, run, typed, folder):
    typed((folder / names[0]).read_bytes())
    assert run("predict", "m.bilstm", "-") == (0, f"{model.predict(names[:1])[0]}\n", "")


def test_notes_go_to_stderr_and_into_the_file(model, names, run, folder):
    (folder / "bad.wav").write_bytes(b"no sound")
    status, out, err = run("predict", "m.bilstm", names[0], "bad.wav", "nowhere.wav")
    assert status == 0
    first, second = err.splitlines()
    assert first.startswith("note: bad.wav: expected sound")
    assert second.startswith("note: nowhere.wav: ")
    rows = rows_of(out)
    assert [bool(row["note"]) for row in rows] == [False, True, True]
    assert [row["text"] for row in rows] == [model.predict(names[:1])[0], "", ""]
    run("predict", "m.bilstm", names[0], "bad.wav", "-o", "out.jsonl")
    good, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert ("note" in good, "expected sound" in bad["note"]) == (False, True)


def test_where_nothing_can_be_heard_the_status_says_so(model, run, folder):
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    (folder / "bad.wav").write_bytes(b"no sound")
    status, out, err = run("predict", "m.bilstm", "silent.wav", "bad.wav", "-o", "out.csv")
    assert (status, out) == (1, "")
    assert "error: Nothing can be heard in silent.wav, bad.wav." in err
    assert not (folder / "out.csv").exists()


def test_a_recording_in_which_nothing_is_understood_has_an_empty_line(model, run):
    soundfile.write("hum.wav", sine(60, RATE), RATE)
    assert model.predict(["hum.wav"]) == [""]
    assert run("predict", "m.bilstm", "hum.wav") == (0, "\n", "")


def test_options_of_decoding_reach_the_search(folder, names, run):
    untrained(words=True).save("m.bilstm")
    words = "".join(f"-1\t{word}\n" for word in ("one", "two", "</s>"))
    (folder / "lm.arpa").write_text(f"\\data\\\nngram 1=5\n\n\\1-grams:\n-99\t<s>\n-9\t<unk>\n{words}\n\\end\\\n")
    calls = {
        ("--beam", "1"): {"beam": 1},
        ("--look-ahead", "0.1"): {"look_ahead": 0.1},
        ("--hot-word", "six", "--hot-word", "two"): {"hot_words": ["six", "two"]},
        ("--lm", "lm.arpa", "--lm-weight", "9", "--word-bonus", "2"): {
            "lm": "lm.arpa", "lm_weight": 9.0, "word_bonus": 2.0,
        },
    }  # fmt: skip
    plain = untrained(words=True).predict(names)
    for options, decoding in calls.items():
        expected = untrained(words=True).predict(names, **decoding)
        assert expected != plain, options
        rows = rows_of(run("predict", "m.bilstm", *names, *options)[1])
        assert [row["text"] for row in rows] == expected, options


# -- evaluate ------------------------------------------------------------------------------------------------


def test_evaluate_shows_every_mistake_and_the_rates(folder, run):
    table = pl.read_csv("sounds/train.csv", schema_overrides={"text": pl.String})
    learned().save("m.bilstm")
    understood = learned().predict([folder / "sounds" / name for name in table["path"]])
    said = ["999", *understood[1:]]  # one mistake
    table.with_columns(text=pl.Series(said)).write_csv("sounds/test.csv")
    status, out, err = run("evaluate", "m.bilstm", "sounds/test.csv")
    assert (status, err) == (0, "")
    name, truth, predicted, *_ = out.splitlines()
    assert (name, truth.split()[1:], predicted.split()[1:]) == (table["path"][0], ["999"], [understood[0]])
    assert "11 of 12 texts without a mistake" in out
    assert [line.split()[0] for line in out.splitlines()[-4:]] == ["wer", "cer", "exact", "n"]
    status, out, err = run("evaluate", "m.bilstm", "sounds/test.csv", "--json")
    figures = json.loads(out)
    assert (status, err) == (0, "")
    assert (set(figures), figures["n"]) == ({"wer", "cer", "exact", "n"}, 12)
    assert round(figures["wer"], 6) == round(1 / 12, 6)


def test_evaluate_on_the_training_recordings_says_that_it_flatters(folder, run):
    assert run(*FIT)[0] == 0
    assert "trained on these very recordings" in run("evaluate", "m.bilstm", "sounds/train.csv", "--json")[2]


# -- bad calls -----------------------------------------------------------------------------------------------

BAD = {
    "no data": (["predict", "m.bilstm"], 2, "A transcriber needs DATA."),
    "stdin beside a file": (["predict", "m.bilstm", "-", "sounds"], 2, "Standard input (-) cannot be read together"),
    "nothing on stdin": (["predict", "m.bilstm", "-"], 1, "Nothing can be heard in X[0]."),
    "a missing file": (["predict", "m.bilstm", "sunds/0.wav"], 1, "sunds/0.wav"),
    "files that are all missing": (["predict", "m.bilstm", "a.wav", "b.wav"], 1, "got none of 2, the first 'a.wav'"),
    "a folder without sound": (["predict", "m.bilstm", "empty"], 1, "got a folder without any (empty)"),
    "no language model": (["predict", "m.bilstm", "sounds", "--lm", "no.arpa"], 1, "no.arpa"),
    "a beam of zero": (["predict", "m.bilstm", "sounds", "--beam", "0"], 2, "--beam"),
    "a look-ahead into the past": (["predict", "m.bilstm", "sounds", "--look-ahead", "-1"], 2, "--look-ahead"),
    "an endless look-ahead": (["predict", "m.bilstm", "sounds", "--look-ahead", "inf"], 2, "expected a look-ahead of"),
    "a hot word in other letters": (["predict", "m.bilstm", "sounds", "--hot-word", "ä"], 1, "expected hot words in"),
    "folds": (["evaluate", "m.bilstm", "sounds/train.csv", "--folds", "2"], 2, "A transcriber takes no --folds."),
    "evaluation without texts": (
        ["evaluate", "m.bilstm", "sounds"],
        1,
        "expected recordings with their texts, got none",
    ),
    "a column that is not there": ([*FIT, "--text", "txt"], 1, "hint: did you mean 'text'"),
    "training without texts": (["fit", "transcriber", "sounds", "-o", "x.bilstm"], 1, "hint: a table with the columns"),
    "a rate that is none": (
        [*FIT, "--sample-rate", "9"],
        2,
        "expected sample_rate to be a whole number of at least 1000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_with_sound_is_one_short_paragraph_and_a_status(model, folder, run, typed, name):
    (folder / "empty").mkdir()
    typed(b"")
    arguments, status, message = BAD[name]
    found, out, err = run(*arguments)
    assert message in err
    assert (found, out) == (status, "")
    assert "Traceback" not in err
    assert len(err.splitlines()) < 12


OPTIONS = [["--lm", "x"], ["--lm-weight", "1"], ["--word-bonus", "1"], ["--hot-word", "a"], ["--beam", "2"]]


@pytest.fixture(scope="module")
def regressor(tmp_path_factory):
    path = tmp_path_factory.mktemp("regressor") / "r.bilstm"
    bilstm.BiLSTMRegressor(hidden_size=2, max_epochs=1).fit(bilstm.boston().take(range(30))).save(path)
    return path


@pytest.mark.parametrize("option", [*OPTIONS, ["--look-ahead", "1"]], ids=lambda option: option[0])
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_options_of_decoding_are_a_transcribers_alone(run, regressor, command, option):
    status, out, err = run(command, regressor, "boston", *option)
    assert (status, out) == (2, "")
    assert f"A regressor takes no {option[0]}.\nhint: a transcriber takes it" in err


def test_other_tasks_take_one_file(run, regressor):
    status, out, err = run("predict", regressor, "boston", "digits")
    assert (status, out) == (2, "")
    assert "expected one file, got 2: boston digits" in err
