"""The files of `bilstm demo data`: what stands in them, and that they never take the place of others."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import polars as pl
import pytest

import bilstm
from bilstm.data.series.reader import read_series
from bilstm.data.sound.recordings import read_recordings
from bilstm.data.text.conll import read_conll
from tests.compare import assert_close

NAMES = {"houses.csv", "new_houses.csv", "reviews.csv", "new_reviews.csv", "train.conll", "dev.conll"}
NAMES |= {"sunspots.csv", "more_sunspots.csv", "calls.csv", "new_calls.csv", "calls"}


@pytest.fixture
def written(run):
    """The folder, which is the present one, and what was said."""
    status, out, err = run("demo", "data", "-o", ".")
    assert (status, err) == (0, "")
    return out


def test_every_file_is_there_and_is_told_of(written):
    assert {path.name for path in Path().iterdir()} == NAMES
    assert all(name in written for name in NAMES)
    assert sum(path.stat().st_size for path in Path().rglob("*")) < 5_000_000


def test_the_houses_are_those_of_boston_in_another_order(written):
    old, new = (bilstm.read_table(name, target="medv") for name in ("houses.csv", "new_houses.csv"))
    data = bilstm.boston()
    assert (len(old), len(new), old.feature_names) == (400, 106, data.feature_names)
    both, whole = ([*old.target_values, *new.target_values], data.target_values)
    assert_close(sorted(both), sorted(whole))
    assert both != whole.tolist()


def test_the_older_sunspots_are_the_beginning_of_the_newer(written):
    old, new = (read_series(name, time="year", target="sunspots") for name in ("sunspots.csv", "more_sunspots.csv"))
    assert_close(old.target_matrix, new.target_matrix[: len(old.target_matrix)])
    assert_close(new.target_matrix, bilstm.sunspots().target_matrix)
    assert len(new.target_matrix) - len(old.target_matrix) > 33  # so that a forecast is measured more than once


def test_reviews_have_all_stars_in_both_files(written):
    for name, rows in (("reviews.csv", 2800), ("new_reviews.csv", 200)):
        table = pl.read_csv(name)
        assert (table.columns, table.height) == (["review", "stars"], rows)
        assert set(table["stars"]) == {1, 2, 3, 4, 5}


def test_sentences_are_of_two_languages_with_names_as_tags(written):
    for name in ("train.conll", "dev.conll"):
        found = read_conll(name)
        assert {"B-PER", "B-LOC", "B-ORG", "O"} <= set(found.tags)
        assert {word.isascii() for word in found.words} == {True, False}


def test_calls_are_recordings_and_the_new_ones_are_of_birds_that_are_new(written):
    old, new = pl.read_csv("calls.csv"), pl.read_csv("new_calls.csv")
    assert set(old["bird"]) & set(new["bird"]) == set()
    assert set(" ".join(new["text"]).split()) <= set(" ".join(old["text"]).split())
    for name in (*old["path"], *new["path"]):
        with wave.open(name) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
            assert 0.5 < file.getnframes() / 8000 < 4
    assert len(read_recordings("calls.csv")) == old.height


def test_a_second_time_changes_nothing_and_another_file_is_an_error(written, run):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Path().rglob("*.*")}
    assert run("demo", "data", "-o", ".")[:2] == (0, written)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Path().rglob("*.*")} == before
    Path("houses.csv").unlink()
    Path("new_calls.csv").write_text("mine\n")
    status, out, err = run("demo", "data", "-o", ".")
    assert (status, out) == (1, "")
    assert "new_calls.csv" in err
    assert "hint: choose another folder" in err
    assert Path("new_calls.csv").read_text() == "mine\n"
    assert not Path("houses.csv").exists()  # nothing is begun that cannot be ended


def test_a_folder_in_the_place_of_a_file_is_an_error(run):
    Path("houses.csv").mkdir()
    status, _, err = run("demo", "data", "-o", ".")
    assert (status, "houses.csv" in err) == (1, True)


def test_nothing_is_trained_so_that_epochs_are_a_mistake(run):
    status, _, err = run("demo", "data", "--max-epochs", "3")
    assert (status, "--max-epochs" in err) == (2, True)


def test_it_takes_no_torch(tmp_path):
    code = "import sys; from bilstm.cli import main; main(['demo', 'data'])"
    code = (
        f"import sys, contextlib\nwith contextlib.suppress(SystemExit):\n    {code}\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path, timeout=120)
    assert (tmp_path / "demo-data" / "houses.csv").is_file()
