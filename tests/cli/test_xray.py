"""`bilstm xray` as a user meets it: every task, what is printed, what is written, and bad calls."""

from __future__ import annotations

import json

import pytest

from tests.series import table as days_of
from tests.sounds import file_of
from tests.speech import RATE
from tests.xray import models


def test_a_row_of_a_table_has_its_columns_by_size(run, tmp_path):
    models.regressor().save(tmp_path / "m.bilstm")
    models.houses(3, seed=5)[0].write_csv(tmp_path / "new.csv")
    status, out, err = run("xray", "m.bilstm", "new.csv", "--row", 1, "--outputs", 1)
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0] == "row 1"
    assert lines[1].startswith("price = ")
    sizes = [abs(float(line.split()[-1])) for line in lines[5:]]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)


def test_a_text_from_stdin_becomes_a_page(run, tmp_path, typed):
    models.tagger().save(tmp_path / "ner.bilstm")
    typed(b"Ann lives in Rome .\n")
    status, out, err = run("xray", "ner.bilstm", "-", "-o", "x.html")
    assert (status, err) == (0, "wrote x.html\n")
    assert out.startswith("Ann lives in Rome .\nAnn/")
    assert "log-odds" in out
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_text_of_a_classifier_shows_both_directions(run, tmp_path):
    models.texts().save(tmp_path / "m.bilstm")
    (tmp_path / "t.txt").write_text("so good\nvery bad\n")
    status, out, _ = run("xray", "m.bilstm", "t.txt", "--row", 1, "-o", "x.json")
    assert status == 0
    assert "forwards" in out
    assert json.loads((tmp_path / "x.json").read_text())["title"] == "very bad"


def test_a_forecaster_needs_no_data_and_takes_newer_ones(run, tmp_path):
    models.forecaster().save(tmp_path / "m.bilstm")
    status, out, err = run("xray", "m.bilstm", "--outputs", 2)
    assert status == 0
    assert out.startswith("y after 2024-04-29")
    assert "2 of 5 steps to come" in err
    days_of(130, beside=1.0).write_csv(tmp_path / "newer.csv")
    status, out, _ = run("xray", "m.bilstm", "newer.csv")
    assert out.startswith("y after 2024-05-09")


def test_a_sound_file_is_taken_as_it_is(run, tmp_path):
    models.transcriber().save(tmp_path / "m.bilstm")
    (tmp_path / "a.wav").write_bytes(file_of(models.sounds(1)[0], RATE))
    status, out, err = run("xray", "m.bilstm", "a.wav", "--outputs", 2, "-o", "x.npz")
    assert status == 0, err
    assert out.startswith("a.wav\n")
    assert (tmp_path / "x.npz").is_file()


@pytest.mark.parametrize(
    "arguments, status, told",
    [
        (["m.bilstm"], 2, "A tagger needs DATA."),
        (["m.bilstm", "none.conll"], 1, "expected a file"),
        (["m.bilstm", "Ann lives in Rome"], 2, "bilstm predict FILE -"),
        (["m.bilstm", "a.txt", "b.txt"], 2, "expected one file, got 2"),
        (["m.bilstm", "a.txt", "--row", "1"], 2, "expected row from 0 to 0, got 1"),
        (["m.bilstm", "a.txt", "-o", "x.doc"], 2, "expected a file that ends in .html"),
        (["m.bilstm", "a.txt", "-o", "nowhere/x.html"], 1, "Cannot write"),
        (["m.bilstm", "empty.txt"], 1, "expected lines of text"),
        (["m.bilstm", "blank.txt"], 1, "expected at least one word"),
        (["none.bilstm", "a.txt"], 1, "none.bilstm"),
    ],
)
def test_a_bad_call_is_one_paragraph(run, tmp_path, arguments, status, told):
    models.tagger().save(tmp_path / "m.bilstm")
    for name, text in (("a.txt", "Ann\n"), ("b.txt", "Ann\n"), ("empty.txt", ""), ("blank.txt", "\n")):
        (tmp_path / name).write_text(text)
    found, _, err = run("xray", *arguments)
    assert found == status
    assert told in err
    assert "Traceback" not in err
