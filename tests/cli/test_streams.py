"""Where output goes: streams that take less than all, links, pipes, long names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bilstm import BiLSTMRegressor, BiLSTMTagger, load
from bilstm.errors import BilstmError
from bilstm.export import to_onnx
from bilstm.files.output import beside, write_whole
from bilstm.plotting.figures import save_figure
from bilstm.report import write_report
from bilstm.xray import x_ray

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, links and devices are those of POSIX")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A folder with a tagger of Greek words and a file for it."""
    folder = tmp_path_factory.mktemp("names")
    sentences, tags = [["Άννα", "τρέχει"], ["Νίκος", "κάθεται"]] * 10, [["B-PER", "O"]] * 20
    small = {"hidden_size": 4, "embedding_size": 4, "char_hidden_size": 4, "max_epochs": 1}
    BiLSTMTagger(**small).fit(sentences, tags).save(folder / "names.bilstm")
    (folder / "new.txt").write_text("Άννα τρέχει\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def numbers():
    X = np.random.default_rng(0).normal(size=(30, 4, 2))
    return BiLSTMRegressor(hidden_size=3, max_epochs=2).fit(X, X.sum(axis=(1, 2))), X


def predict(folder, stdout="", **settings):
    """`bilstm predict` in a shell, whose standard output goes where ``stdout`` says."""
    command = f"{sys.executable} -m bilstm.cli predict names.bilstm new.txt {stdout}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | settings
    return subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, timeout=120)


@pytest.mark.slow
@posix
def test_standard_output_is_utf_8_whatever_the_locale_says(names):
    done = predict(names, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert done.returncode == 0
    assert done.stdout.decode("utf-8").startswith("Άννα\t")


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("stdout", "settings", "said"),
    {
        "an encoding that was asked for": ("", {"PYTHONIOENCODING": "ascii"}, "its encoding, ascii, has no"),
        "a full disk": (">/dev/full", {}, "No space left on device"),
        "a closed one": (">&-", {}, "it is closed"),
    }.values(),
)
def test_what_standard_output_cannot_take_is_one_sentence(names, stdout, settings, said):
    done = predict(names, stdout, **settings)
    assert done.returncode == 1
    assert done.stdout == b""
    first, hint = done.stderr.decode().splitlines()
    assert first.startswith("error: Cannot write to standard output: ")
    assert said in first
    assert hint.startswith("hint: ")


@pytest.mark.slow
@posix
def test_talk_never_stands_between_results_where_standard_error_is_closed(names):
    done = predict(names, "-o out.conll 2>&-")
    assert (done.returncode, done.stdout) == (0, b"")
    assert (names / "out.conll").read_text(encoding="utf-8").startswith("Άννα\t")


def writers(model, X):
    """Each kind of file that is written, by its ending."""
    return {
        ".bilstm": model.save,
        ".onnx": lambda path: to_onnx(model, path),
        ".png": lambda path: save_figure(model.history_.plot(), path),
        ".html": lambda path: write_report(model, path=path),
        ".npz": lambda path: x_ray(model, X[:1]).save(path),
        ".json": lambda path: x_ray(model, X[:1]).save(path),
    }


@posix
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(numbers, tmp_path):
    for ending, write in writers(*numbers).items():
        link, file = tmp_path / ending / f"current{ending}", tmp_path / ending / "store" / f"first{ending}"
        file.parent.mkdir(parents=True)
        link.symlink_to(Path("store") / file.name)
        write(link)  # at first it leads nowhere
        file.write_bytes(b"old")
        write(link)
        assert link.is_symlink(), ending
        assert len(file.read_bytes()) > 100, ending
        assert list(file.parent.iterdir()) == [file], ending
    load(tmp_path / ".bilstm" / "current.bilstm")


@posix
def test_a_named_pipe_takes_what_a_file_would(numbers, tmp_path):
    for ending, write in writers(*numbers).items():
        pipe, came = tmp_path / ending / f"pipe{ending}", []
        pipe.parent.mkdir()
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda pipe=pipe, came=came: came.append(pipe.read_bytes()))
        reader.start()
        write(pipe)
        reader.join(30)
        assert len(came[0]) > 100, ending
        assert pipe.is_fifo(), ending


@posix
def test_a_device_that_is_full_is_one_sentence(numbers):
    with pytest.raises(BilstmError, match=r"^Cannot write /dev/full: No space left on device\."):
        numbers[0].save("/dev/full")


@posix
def test_a_named_pipe_is_no_file_to_read(numbers, tmp_path):
    os.mkfifo(tmp_path / "new.csv")
    with pytest.raises(BilstmError, match=r"got a pipe or a device .*\nhint: write what it gives to a file first"):
        BiLSTMRegressor.read_for_fit(str(tmp_path / "new.csv"), target=["y"])


def test_names_may_be_as_long_as_the_file_system_lets_them(numbers, tmp_path):
    path = tmp_path / f"{'n' * 248}.bilstm"
    numbers[0].save(path)
    for ending in (".checkpoint", ".study"):
        write_whole(beside(path, ending), b"found again by its name")
        assert beside(path, ending) == beside(path, ending) != beside(path.with_name("other"), ending)
    with pytest.raises(BilstmError, match=r"^Cannot write .*File name too long\."):
        numbers[0].save(tmp_path / f"{'n' * 249}.bilstm")
