"""Recordings from tables, folders, files and programs: which there are, what is said, and what is missing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bilstm.data.sound.reader import read_sound
from bilstm.data.sound.recordings import Recordings, from_sounds, most_common_rate, read_recordings
from bilstm.errors import DataError
from tests.compare import assert_close
from tests.sounds import file_of, noise


@pytest.fixture
def folder(tmp_path):
    """Three recordings, two of them in a folder, and a table of them."""
    (tmp_path / "audio" / "deep").mkdir(parents=True)
    for number, name in enumerate(["audio/a.wav", "audio/deep/b.FLAC", "c.wav"]):
        kind = "flac" if name.endswith("FLAC") else "wav"
        (tmp_path / name).write_bytes(file_of(noise(800, seed=number), [8000, 8000, 44100][number], kind))
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "t.csv").write_text(
        'path,text,speaker\naudio/a.wav,yes,x\naudio/deep/b.FLAC,"no, never",x\nc.wav,"",y\n'
    )
    return tmp_path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_a_table_names_recordings_relative_to_its_folder(folder, kind, monkeypatch):
    frame = pl.read_csv(folder / "t.csv")
    path = folder / f"u.{kind}"
    {
        "csv": frame.write_csv,
        "tsv": lambda p: frame.write_csv(p, separator="\t"),
        "parquet": frame.write_parquet,
        "jsonl": frame.write_ndjson,
    }[kind](path)
    monkeypatch.chdir("/")
    data = read_recordings(path)
    assert data.texts_said == ["yes", "no, never", ""]
    assert data.names == ["audio/a.wav", "audio/deep/b.FLAC", "c.wav"]
    assert data.read_with == {"text": "text", "sound": "path"}
    assert [len(read_sound(sound, 8000)) for sound in data.sounds] == [800, 800, 145]
    assert read_recordings(path, with_targets=False).targets is None


def test_recordings_are_a_dataset_that_is_no_table(folder):
    data = read_recordings(folder / "t.csv")
    assert len(data) == 3
    assert not data.is_table
    assert not data.is_language
    assert data.feature_names == ["sound"]
    assert data.target_names == ["text"]
    data.check_lengths()
    some = data.take([2, 0])
    assert isinstance(some, Recordings)
    assert some.texts_said == ["", "yes"]
    assert some.sounds == (data.sounds[2], data.sounds[0])
    assert data.take(np.array([False, True, False])).names == ["audio/deep/b.FLAC"]
    assert some.take([1]).names == ["audio/a.wav"]
    assert len(data.take([])) == 0


def test_other_columns_may_hold_paths_and_texts(folder):
    (folder / "v.csv").write_text("file,sentence\nc.wav,hi\n")
    data = read_recordings(folder / "v.csv", text="sentence", sound="file")
    assert data.texts_said == ["hi"]
    assert data.target_names == ["text"]
    with pytest.raises(DataError, match="did you mean 'sentence'"):
        read_recordings(folder / "v.csv", text="sentense", sound="file")
    with pytest.raises(DataError, match="expected a column 'path', got none"):
        read_recordings(folder / "v.csv", with_targets=False)


def test_a_folder_gives_its_sound_files_sorted(folder):
    data = read_recordings(folder)
    assert data.names == ["audio/a.wav", "audio/deep/b.FLAC", "c.wav"]
    assert data.targets is None
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="got a folder without any"):
        read_recordings(folder / "empty")


def test_a_sound_file_is_one_recording_and_a_list_is_all_of_them(folder):
    assert read_recordings(str(folder / "c.wav")).names == [str(folder / "c.wav")]
    many = read_recordings([folder / "c.wav", folder / "audio", folder / "missing.wav"])
    assert [Path(name).name for name in many.names] == ["c.wav", "a.wav", "b.FLAC", "missing.wav"]
    twice = read_recordings([folder / "t.csv", folder / "t.csv"])
    assert twice.texts_said == ["yes", "no, never", ""] * 2
    with pytest.raises(DataError, match="of all recordings or of none"):
        read_recordings([folder / "t.csv", folder / "c.wav"])
    with pytest.raises(DataError, match="at least one recording"):
        read_recordings([])
    with pytest.raises(DataError, match=r"did you mean 'c\.wav'"):
        read_recordings(folder / "d.wav")


def test_a_listed_file_that_is_missing_is_kept_but_not_if_all_are(folder):
    (folder / "w.csv").write_text("path,text\nc.wav,a\ngone.wav,b\n")
    assert len(read_recordings(folder / "w.csv")) == 2
    (folder / "w.csv").write_text("path,text\nx/c.wav,a\ngone.wav,b\n")
    with pytest.raises(DataError, match=r"none of 2, the first 'x/c\.wav'") as caught:
        read_recordings(folder / "w.csv")
    assert str(folder) in caught.value.hint
    with pytest.raises(DataError, match="none of 1"):
        read_recordings([folder / "gone.wav"])


@pytest.mark.parametrize(
    "rows,message",
    [
        ("c.wav,a\n,b\n", "'path' in every row, got none .*line 3"),
        ("", "expected rows"),
    ],
)
def test_a_row_without_a_path_is_named(folder, rows, message):
    (folder / "w.csv").write_text("path,text\n" + rows)
    with pytest.raises(DataError, match=message):
        read_recordings(folder / "w.csv")


def test_an_empty_field_is_an_empty_text(folder):
    (folder / "w.csv").write_text("path,text\nc.wav,\nc.wav,a\n")
    assert read_recordings(folder / "w.csv").texts_said == ["", "a"]


def test_numbers_in_a_table_of_paths_are_named(folder):
    pl.DataFrame({"path": ["c.wav"], "text": [7]}).write_parquet(folder / "w.parquet")
    with pytest.raises(DataError, match="expected text in column 'text', got Int64"):
        read_recordings(folder / "w.parquet")


def test_fingerprints_tell_contents_texts_and_order_apart(folder):
    data = read_recordings(folder / "t.csv")
    same = read_recordings(folder / "t.csv").fingerprint()
    assert data.fingerprint() == same
    assert data.take([1, 0, 2]).fingerprint() != same
    (folder / "c.wav").write_bytes(file_of(noise(800, seed=9), 44100))
    assert data.fingerprint() != same
    waveforms = [noise(100), noise(100, seed=1)]
    known = {
        from_sounds(waveforms, ["a", "b"], rate=8000).fingerprint(),
        from_sounds(waveforms, ["a", "c"], rate=8000).fingerprint(),
        from_sounds(waveforms, ["a", "b"], rate=16000).fingerprint(),
        from_sounds([waveforms[0], 2 * waveforms[1]], ["a", "b"], rate=8000).fingerprint(),
        from_sounds([waveforms[0], file_of(waveforms[1], 8000)], ["a", "b"], rate=8000).fingerprint(),
    }
    assert len(known) == 5


def test_what_a_program_holds_of_every_kind(folder):
    path, samples = folder / "c.wav", noise(800)
    data = from_sounds(
        [path, str(path), file_of(samples, 8000), io.BytesIO(file_of(samples, 8000)), samples, (samples, 16000)],
        list("abcdef"),
        rate=8000,
    )
    assert data.names[2:] == ["X[2]", "X[3]", "X[4]", "X[5]"]
    assert data.texts_said == list("abcdef")
    for _ in range(2):  # a file object too is read again and again
        assert [len(read_sound(sound, 8000)) for sound in data.sounds] == [145, 145, 800, 800, 800, 400]
    assert_close(read_sound(data.sounds[4], 8000), samples)
    assert len(from_sounds(np.array([str(path)] * 2))) == 2
    assert len(from_sounds(pl.Series([str(path)] * 3), pl.Series(["x"] * 3))) == 3
    assert from_sounds(data, ["z"] * 6).texts_said == ["z"] * 6


@pytest.mark.parametrize(
    "X,y,message",
    [
        ("a.wav", None, "put it into a list"),
        (b"RIFF", None, "put it into a list"),
        (Path("a.wav"), None, "put it into a list"),
        (np.zeros(800), None, r"got a single one: an array of shape \(800,\)"),
        ((np.zeros(800), 8000), None, "got one pair"),
        (7, None, "got int"),
        ([np.zeros(800)], None, "expected the rate of a waveform"),
        ([[0.1, 0.2]], None, r"numpy\.asarray"),
        (["a.wav"], ["x", "y"], "expected a text for each of 1 sounds, got 2"),
        (["a.wav"], "x", "expected a list of texts"),
        (["a.wav"], [3], "got 3"),
        (["a.wav"], [None], "got a missing one"),
    ],
)
def test_what_is_no_list_of_sounds_is_named(X, y, message):
    with pytest.raises(DataError, match=message):
        from_sounds(X, y)


def test_the_most_common_rate_is_at_most_16_khz(folder):
    assert most_common_rate(read_recordings(folder / "t.csv")) == 8000
    assert most_common_rate(read_recordings(folder / "c.wav")) == 16000
    (folder / "bad.wav").write_text("no sound at all")
    bad = [folder / "bad.wav", folder / "gone.wav"]
    assert most_common_rate(from_sounds([*bad, folder / "c.wav", folder / "audio/a.wav"])) == 16000
    with pytest.raises(DataError, match=r"got none \(X\); the first: expected sound .*bad\.wav"):
        most_common_rate(from_sounds(bad))
    with pytest.raises(DataError, match="at least one recording"):
        most_common_rate(from_sounds([]))


def test_only_some_of_very_many_recordings_are_asked(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("bilstm.data.sound.recordings.RATES_LOOKED_AT", 5)
    monkeypatch.setattr(
        "bilstm.data.sound.recordings.sound_facts",
        lambda sound, name: asked.append(name) or type("Facts", (), {"rate": 8000}),
    )
    most_common_rate(from_sounds(np.zeros((100, 50)), rate=8000))
    assert len(asked) == 5
    assert asked[-1] == "X[99]"
