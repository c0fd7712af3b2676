"""The benchmarks run from end to end on tiny shapes, and time nothing whose answer is wrong. No time is asserted."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bilstm.nn import BiLSTM, core
from bilstm.surgery import accelerate
from tests.cases import Case
from tests.surgery.test_transplant import LENGTHS

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, BENCHMARKS / script, "--threads", "1", *arguments]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_layer_is_timed_beside_its_peers_in_every_task():
    shown = run("layer.py", "--shapes", "3x4x2x5x2", "--rounds", "3", "--budget", "1")
    rows = [line for line in shown.splitlines() if line.startswith("3x4x2x5x2 (3, 4, 2, 5, 2)")]
    assert [row.split(":")[0].removeprefix("3x4x2x5x2 (3, 4, 2, 5, 2) ") for row in rows] == [
        f"{lengths} {task}"
        for lengths in ("all equal", "unequal")
        for task in ("inference fp32", "training fp32", "inference bf16")
    ]
    for row in rows:
        assert "bilstm " in row
        assert "torch " in row
    if find_spec("onnx") and find_spec("onnxruntime"):
        assert all("onnxruntime " in rows[k] for k in (0, 3))
    assert "| lengths, training, against torch packed | ≥ 8" in shown


def test_a_trace_is_timed_by_both_kernels_once_it_is_right():
    shown = run("tracing.py", "--shapes", "3x4x2x5x2", "--rounds", "3", "--budget", "1")
    assert shown.startswith("3x4x2x5x2 (3, 4, 2, 5, 2), ms: run ")
    assert "  trace by the equations " in shown


def test_times_of_torchs_routines_are_not_stored_as_ours(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import record

    monkeypatch.setattr(core, "compiled", None)
    with pytest.raises(SystemExit, match="the native core is not built"):
        record.store("layer", {})


def test_a_wrong_trace_is_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from tracing import check

    case = Case(3, 5, 2, 4, layers=2)
    layer = case.layer(BiLSTM)
    with torch.inference_mode():
        check(case, layer, torch.tensor([2, 5, 3]))
        layer.weight_hh_l1.data.neg_()
        with pytest.raises(AssertionError, match="input_gate of Case"):
            check(case, layer, torch.tensor([2, 5, 3]))


def test_epochs_are_timed_once_their_losses_agree():
    shown = run("training.py", "--rounds", "1", "--batches", "1")
    assert "boston: plain PyTorch " in shown
    assert "sentences: plain PyTorch " in shown


def test_a_search_is_measured_beside_the_defaults_on_rows_that_neither_has_seen(monkeypatch):
    quick = ["--trials", "2", "--seeds", "1", "--max-epochs", "1", "--splits", "1"]
    assert "better in " in run("tuning.py", "--sets", "boston", *quick)
    monkeypatch.syspath_prepend(BENCHMARKS)
    from tuning import boston, parted

    rest, test = parted(boston(), 0, by_class=False)
    assert (len(rest), len(test)) == (455, 51)
    assert not set(map(tuple, rest.steps.rows())) & set(map(tuple, test.steps.rows()))


@pytest.mark.skipif(not core.isas(), reason="the equations search for minutes")
def test_ctc_is_timed_beside_torch_once_losses_agree_and_texts_are_found():
    shown = run("ctc.py", "--rounds", "1", "--budget", "1")
    assert shown.count("bilstm ") == shown.count("torch ") == 2
    assert "search with bigrams, nothing pruned" in shown


@pytest.mark.slow
def test_workers_are_timed_once_their_losses_are_those_of_one():
    shown = run("scaling.py", "--sentences", "80", "--epochs", "2", "--rounds", "1", "--commands", "0")
    assert shown.startswith("losses of 2 workers and of 1: ")
    for name in ("1 worker: {", "2 workers, the same batches: {", "2 workers, a batch each: {"):
        assert f"\n{name}" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read as Linux tells it")
def test_the_memory_of_a_step_is_at_least_what_it_returns():
    grown = float(run("memory.py", "--one", "64x100x8x128x1", "unequal", "bilstm"))
    output = 64 * 100 * 256 * 4 / 2**20
    assert output < grown < 100 * output


@pytest.mark.skipif(sys.platform != "linux" or not find_spec("onnxruntime"), reason="as above, and ONNX Runtime")
def test_an_exported_model_takes_less_memory_than_the_package_and_says_the_same(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from without_torch import compare, table

    row = compare(tmp_path, *table(tmp_path, 1), 1)
    assert row["imports"]["megabytes"] < row["example"]["megabytes"] < row["package"]["megabytes"] / 2


@pytest.mark.parametrize("training", [False, True])
def test_a_contender_with_a_wrong_answer_is_not_timed(monkeypatch, training):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from layer import TOLERANCES, check
    from peers import torch_and_ours
    from problem import Problem

    problem = Problem(Case(3, 5, 2, 4, layers=2), torch.tensor([2, 5, 3]), training=training, threads=1)
    entries = dict(torch_and_ours(problem))
    check(problem, entries, TOLERANCES["training"])
    entries["bilstm"] = entries["torch padded"]
    with pytest.raises(AssertionError, match="bilstm of Case"):
        check(problem, entries, TOLERANCES["training"])


def test_an_aim_is_met_by_its_mean_and_its_worst_shape(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from aims import aim

    assert aim("ratio", {"a": 1.0, "b": 4.0}, 2)["met"]
    assert not aim("ratio", {"a": 1.0, "b": 4.0}, 2, 1.5)["met"]
    assert not aim("ratio", {"a": 1.0, "b": 3.9}, 2)["met"]
    assert aim("share", {"a": 0.5, "b": 0.7}, 0.7, most=True)["worst_shape"] == "b"


def somebody_elses_tagger():
    from others import Other
    from tests.surgery.test_transplant import loss, tagger, words

    return Other(tagger(), lambda model: [model(words(), LENGTHS)], lambda model: iter([loss(model)]))


def test_somebody_elses_tagger_is_timed_once_its_twin_agrees(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from surgery import compare

    found = compare(somebody_elses_tagger(), rounds=3, budget=0.1)
    assert found["swapped"] == ["body.lstm", "above"]
    assert set(found["inference"]) == set(found["training"]) == {"theirs", "accelerated"}


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_twin_with_a_wrong_answer_or_a_wrong_gradient_is_not_timed(monkeypatch, part):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import surgery

    def damaged(module):
        done = accelerate(module)
        if part == "forward":
            torch.nn.init.zeros_(module.body.lstm.weight_hh_l0)
        else:
            module.body.lstm.weight_hh_l0.register_hook(torch.zeros_like)
        return done

    monkeypatch.setattr(surgery, "accelerate", damaged)
    monkeypatch.setattr(surgery, "interleaved", lambda *_: pytest.fail("was timed"))
    with pytest.raises(AssertionError, match="predictions" if part == "forward" else "gradient of"):
        surgery.compare(somebody_elses_tagger(), rounds=3, budget=0.1)
