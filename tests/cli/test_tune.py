"""`bilstm tune` as a user meets it: every task, what is printed where, and every wrong call."""

from __future__ import annotations

import json
import shlex

import numpy as np
import polars as pl
import pytest

from bilstm import boston, load
from bilstm.cli.options import TASKS
from bilstm.demo.tones import write_dial_tones
from tests import tables
from tests.compare import assert_close

QUICK = ["--trials", "2", "--max-epochs", "2", "--search", "hidden_size=3..5"]


@pytest.fixture
def houses(tmp_path):
    """Houses in the folder where the command runs."""
    tables.houses()[:120].write_csv(tmp_path / "houses.csv")
    return ["tune", "regressor", "houses.csv", "--target", "medv", "-o", "h.bilstm", *QUICK]


def test_the_best_is_saved_and_its_command_makes_it_again(run, houses, tmp_path):
    status, out, err = run(*houses, "--seeds", "1", "--dropout", "0.1", "--plot", "trials.png")
    assert status == 0, err
    assert out.splitlines()[0].split()[:3] == ["trial", "validation", "loss"]
    assert "dropout" not in out.splitlines()[0]
    assert "wrote h.bilstm; nothing was held out" in err
    assert err.count(" hidden_size=") == 2, "a line for each trial"
    assert (tmp_path / "trials.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "h.bilstm.checkpoint").exists()
    command = out.rstrip().splitlines()[-1].removeprefix("the best again: bilstm ")
    assert run(*shlex.split(command.replace("h.bilstm", "again.bilstm")))[0] == 0
    first, again = load(tmp_path / "h.bilstm"), load(tmp_path / "again.bilstm")
    rows = boston().take(range(20))
    assert_close(first.predict(rows), again.predict(rows))
    assert 3 <= first.hidden_size <= 5


def test_json_is_one_object_with_all_trials_and_a_second_run_adds_to_them(run, houses):
    status, out, _ = run(*houses, "--seeds", "1", "--json")
    first = json.loads(out)
    assert (status, len(first["trials"])) == (0, 2)
    houses[houses.index("--trials") + 1] = "3"
    again = json.loads(run(*houses, "--seeds", "1", "--json")[1])
    assert again["trials"][:2] == first["trials"]
    assert len(again["trials"]) == 3
    assert again["command"].startswith("bilstm fit regressor houses.csv -o h.bilstm --target medv")
    assert again["best"]["figure"] == min(trial["figure"] for trial in again["trials"] if trial["state"] == "finished")
    once_more = json.loads(run(*houses, "--seeds", "1", "--json", "--restart")[1])
    assert [trial["figure"] for trial in once_more["trials"]] == [trial["figure"] for trial in again["trials"]]


def test_texts_tags_series_and_sounds_are_searched(run, tmp_path):
    texts = [{"text": ["so good", "very bad"][n % 2], "label": ["yes", "no"][n % 2]} for n in range(40)]
    pl.DataFrame(texts).write_csv(tmp_path / "texts.csv")
    (tmp_path / "t.conll").write_text("Ann B-PER\nlives O\nin O\nRome B-LOC\n\nRome B-LOC\nsleeps O\n\n" * 12)
    steps = np.arange(120)
    pl.DataFrame({"t": steps, "y": 2 + np.sin(steps / 5)}).write_csv(tmp_path / "s.csv")
    pl.DataFrame({"t": np.arange(100, 150), "y": 2 + np.sin(np.arange(100, 150) / 5)}).write_csv(tmp_path / "v.csv")
    write_dial_tones(tmp_path / "sounds", 8)
    calls = {
        "classifier": ["texts.csv", "--text", "text", "--target", "label", "--seeds", "1", "--char-hidden-size", "2"],
        "tagger": ["t.conll", "--valid", "t.conll", "--char-hidden-size", "2"],
        "forecaster": ["s.csv", "--time", "t", "--target", "y", "--history", "10", "--valid", "v.csv"],
        "transcriber": ["sounds/tones.csv", "--num-layers", "1", "--by", "loss"],
    }
    for task, call in calls.items():
        status, out, err = run("tune", task, *call, *QUICK, "-o", f"{task}.bilstm", "--json")
        assert status == 0, f"{task}: {err}"
        found = json.loads(out)
        assert len(found["trials"]) == 2, task
        assert 3 <= load(tmp_path / f"{task}.bilstm").hidden_size <= 5
        assert found["command"].startswith(f"bilstm fit {task} {call[0]}")
    assert found["compared_by"] == "validation loss"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--search", "hiden_size=1..2"], 2, "did you mean 'hidden_size'"),
        (["--search", "dropout=0..2"], 2, "expected dropout to be a number of at least 0 and below 1"),
        (["--search", "random_state=1,2"], 2, "every trial has the same seeds"),
        (["--hidden-size", "3"], 2, "hidden_size is both given and searched."),
        (["--validation-fraction", "0"], 2, "expected a validation part to compare trials by"),
        (["--minutes", "0"], 2, "expected minutes above 0"),
        (["--by", "rmse"], 2, "expected by to be one of"),
        (["--plot", "no/where.png"], 1, "there is no folder no."),
        (["--target", "none"], 1, "'none'"),
        (["--storage", "here"], 2, "expected a database as its URL"),
    ],
)
def test_a_wrong_call_is_an_error_in_one_paragraph(run, houses, tmp_path, words, status, message):
    found, out, err = run(*houses, *words)
    assert (found, out) == (status, "")
    assert message in err
    assert "not foreseen" not in err
    assert not (tmp_path / "h.bilstm").exists()


@pytest.mark.parametrize("task", TASKS)
def test_help_tells_the_ranges(run, task):
    status, out, _ = run("tune", task, "--help")
    assert status == 0
    assert "Searched: hidden_size" in " ".join(out.split())
