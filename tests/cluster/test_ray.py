"""Ray: workers that are killed and started again, mistakes that are not tried twice, many files predicted.

What needs a cluster is slow: to start one takes Ray a minute of both cores, and its processes go on taking some.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import bilstm
from bilstm import BiLSTMRegressor, boston
from bilstm.files import tensor_file
from tests.cluster.fits import one_fails
from tests.cluster.test_workers import torchrun
from tests.compare import assert_close

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found as Linux tells them")
FIT = ("fit", "regressor", "boston", "--batch-size", 16, "--hidden-size", 16, "--dropout", 0.2)
PATIENCE = 300  # seconds, on a machine that may be busy


def workers_alive():
    """Ray Train's workers among the processes that this one has started, and never those of somebody else."""
    found = []
    for process in sorted(children(os.getpid())):
        try:
            if "RayTrainWorker" in Path(f"/proc/{process}/cmdline").read_text():
                found.append(process)
        except OSError:
            continue
    return found


def kill_one(checkpoint, epoch, killed):
    """Kill a worker as soon as that epoch is over, in the midst of a later one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not killed:
        try:
            reached = tensor_file.read(checkpoint)[0]["facts"]["epoch"]
        except (OSError, bilstm.BilstmError):
            reached = 0
        if reached >= epoch and (alive := workers_alive()):
            os.kill(alive[-1], signal.SIGKILL)
            killed.append(reached)
        time.sleep(0.01)


@linux
@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_model_is_that_of_an_unbroken_run(cluster, run, tmp_path):
    """Bit for bit that of two workers whom torchrun started, dropout and all."""
    options = (*FIT, "--max-epochs", 60, "--patience", "none")
    plain = torchrun("-m", "bilstm.cli", *options, "-o", "plain.bilstm", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert plain.stderr.count("wrote plain.bilstm") == 1
    killed = []
    killer = threading.Thread(target=kill_one, args=(tmp_path / "m.bilstm.checkpoint", 5, killed))
    killer.start()
    status, _, err = run(*options, "-o", "m.bilstm", "--workers", 2)
    killer.join()
    assert status == 0, err
    assert killed
    assert killed[0] < 60
    assert "going on after epoch" in err
    a, b = (bilstm.load(tmp_path / name) for name in ("plain.bilstm", "m.bilstm"))
    for name, tensor in a.network_.state_dict().items():
        assert_close(tensor, b.network_.state_dict()[name], what=name)
    assert_close(a.history_["loss"], b.history_["loss"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bilstm", "plain.bilstm"]


@pytest.mark.slow
def test_a_mistake_in_the_data_is_told_once_and_not_tried_again(cluster, run, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,4\n")
    status, _, err = run("fit", "regressor", "bad.csv", "--target", "c", "-o", "m.bilstm", "--workers", 2)
    assert status == 1
    assert err.count("expected a column 'c'") == 1


@pytest.mark.slow
def test_a_mistake_of_one_worker_alone_ends_them_all(cluster):
    from bilstm.cluster.training import train_together

    with pytest.raises(ValueError, match="only here"):
        train_together(one_fails, count=2)


def test_an_address_where_nobody_answers_is_told_at_once(tmp_path):
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "bilstm.cli", *map(str, FIT), "-o", "m.bilstm", "--ray", "127.0.0.1:1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "error: No Ray cluster answers at 127.0.0.1:1: " in done.stderr
    assert "hint: start one with: ray start --head" in done.stderr


@pytest.mark.parametrize("words", ["0", "many", "3..2", "1..2..3"])
def test_a_number_of_workers_that_is_none_is_an_error(run, words):
    status, _, err = run(*FIT, "-o", "m.bilstm", "--workers", words)
    assert status == 2
    assert "--workers takes a number of at least 1, or two such as 2..8" in err


def test_without_ray_one_line_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = run(*FIT, "-o", "m.bilstm", "--workers", 2)
    assert status == 1
    assert "expected the extra 'cluster'" in err
    assert "pip install 'bilstm[cluster]'" in err


@pytest.mark.slow
def test_many_files_are_predicted_as_each_is_alone_and_what_is_done_is_left(cluster, run, tmp_path):
    data = boston()
    model = BiLSTMRegressor(hidden_size=4, max_epochs=1).fit(data)
    model.save(tmp_path / "m.bilstm")
    (tmp_path / "in").mkdir()
    for part in range(3):
        data.steps[part * 50 : part * 50 + 20 + part].write_parquet(tmp_path / "in" / f"{part}.parquet")
    (tmp_path / "in" / "broken.parquet").write_bytes(b"nothing of the kind")

    status, _, err = run("predict", "m.bilstm", "in/*.parquet", "--ray", "-o", "out")
    assert status == 1
    assert err.count("error: ") == 2  # of the file, and of the whole
    assert "3 of 4 files predicted into out" in err
    for part in range(3):
        _, expected, _ = run("predict", "m.bilstm", f"in/{part}.parquet")
        assert (tmp_path / "out" / f"{part}.csv").read_text() == expected
    assert len(list((tmp_path / "out").iterdir())) == 3

    (tmp_path / "in" / "broken.parquet").unlink()
    (tmp_path / "out" / "1.csv").unlink()
    before = (tmp_path / "out" / "0.csv").stat().st_mtime_ns
    status, _, err = run("predict", "m.bilstm", "in", "--ray", "-o", "out")
    assert status == 0, err
    assert "1 of 3 files predicted into out; 2 were there already" in err
    assert (tmp_path / "out" / "0.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("in/*.parquet",), "There are no files to predict"),
        (("a/1.csv", "b/1.parquet"), "expected files of different names"),
    ],
)
def test_files_that_cannot_be_predicted_apart_are_an_error(run, tmp_path, arguments, message):
    BiLSTMRegressor(hidden_size=4, max_epochs=1).fit(boston().take(range(20))).save(tmp_path / "m.bilstm")
    for name in ("a/1.csv", "b/1.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x\n1\n")
    status, _, err = run("predict", "m.bilstm", *arguments, "--ray", "-o", "out")
    assert status == 1
    assert message in err


@pytest.mark.slow
def test_a_search_on_ray_saves_the_best_of_its_trials_and_does_none_of_them_twice(cluster, run, tmp_path):
    pytest.importorskip("optuna")
    words = ("--trials", 3, "--max-epochs", 2, "--seeds", 1, "--search", "hidden_size=4..8", "--num-layers", 1)
    command = ("tune", "regressor", "boston", "-o", "m.bilstm", "--ray", "--json", *words)
    status, out, err = run(*command)
    assert status == 0, err
    found = json.loads(out)
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 3
    best = min(found["trials"], key=lambda trial: trial["validation_loss"])
    assert found["best"]["parameters"] == best["parameters"]
    model = bilstm.load(tmp_path / "m.bilstm")
    again = BiLSTMRegressor(**best["parameters"], num_layers=1, max_epochs=2).fit(boston())
    kept = int(np.argmin(again.history_["validation_loss"])) + 1
    refit = BiLSTMRegressor(**best["parameters"], num_layers=1, max_epochs=kept, validation_fraction=0).fit(boston())
    assert_close(model.predict(boston()), refit.predict(boston()), rtol=1e-5)  # threads may differ
    assert_close(min(again.history_["validation_loss"]), best["validation_loss"], rtol=1e-5)

    status, out, err = run(*command)
    assert status == 0, err
    assert "the search goes on where it was" in err
    assert json.loads(out)["trials"] == found["trials"]


def test_predictions_of_many_files_need_a_folder(run):
    status, _, err = run("predict", "m.bilstm", "in/*.parquet", "--ray")
    assert status == 2
    assert "--ray needs a folder for the predictions." in err


@linux
@pytest.mark.slow
def test_ctrl_c_ends_all_workers_and_the_same_command_goes_on(tmp_path):
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "bilstm.cli", *map(str, FIT), "-o", "m.bilstm", "--workers", "2"]
    process = subprocess.Popen([*command, "--max-epochs", "100000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "m.bilstm.checkpoint").exists():
        assert time.monotonic() < end, process.communicate(process.kill())
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    started = children(process.pid)
    assert started
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "error: interrupted; the same command goes on from the last finished epoch" in err
    while started & alive() and time.monotonic() < end:
        time.sleep(0.1)
    assert not started & alive()
    assert (tmp_path / "m.bilstm.checkpoint").exists()


def children(pid):
    """Everything that a process has started, and what that has started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents[name] = parent
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in found} - found
    return found - {pid}


def alive():
    return {int(path.name) for path in Path("/proc").glob("[0-9]*")}
