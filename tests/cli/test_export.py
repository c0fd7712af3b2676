"""`bilstm export`: two files and how near ONNX Runtime came; mistakes in one paragraph each."""

from __future__ import annotations

import sys

import pytest

from bilstm import BiLSTMRegressor
from bilstm.data.builtin import boston

pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "boston.bilstm"
    BiLSTMRegressor(max_epochs=1, hidden_size=4).fit(boston()).save(path)
    return path


def test_the_files_are_written_and_named_after_the_model(run, model, tmp_path):
    status, out, err = run("export", model)
    assert status == 0, err
    assert out.splitlines() == [str(tmp_path / "boston.onnx"), str(tmp_path / "boston.json")]
    assert err.startswith("ONNX Runtime ")
    assert "at most, on made-up inputs (deviations of the target)" in err
    assert (tmp_path / "boston.onnx").stat().st_size > 1000
    assert run("export", model, "--to", "onnx", "-o", "other.onnx")[1].splitlines() == ["other.onnx", "other.json"]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--to", "onx"], 2, "There is no export to 'onx'.\nhint: did you mean 'onnx'?"),
        (["-o", "model.json"], 1, "Cannot write model.json: the JSON file beside it has that name."),
        (["-o", "."], 1, "Cannot write .: it is a folder."),
        (["-o", "no/model.onnx"], 1, "Cannot write no/model.onnx: there is no folder no."),
    ],
)
def test_mistakes_are_told(run, model, arguments, status, message):
    found = run("export", model, *arguments)
    assert found[0] == status
    assert found[1] == ""
    assert message in found[2]


def test_without_the_extra_one_line_says_what_to_install(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, _, err = run("export", model)
    assert status == 1
    assert "pip install 'bilstm[export]'" in err


def test_without_onnx_runtime_the_file_is_written_unchecked(run, model, monkeypatch, tmp_path):
    monkeypatch.setattr("bilstm.export.check.find_spec", lambda name: None)
    status, _, err = run("export", model)
    assert (status, err) == (0, "not checked: ONNX Runtime is not installed (pip install 'bilstm[export]')\n")
    assert (tmp_path / "boston.onnx").exists()
