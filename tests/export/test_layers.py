"""Layers as ONNX operators: the BiLSTM in every dimension, the best path of a CRF, every pooling, and nothing twice."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from bilstm import BiLSTMRegressor
from bilstm.errors import ParameterError
from bilstm.export import layer_to_onnx
from bilstm.export.check import run
from bilstm.export.graph import Graph
from bilstm.export.layers import rows, viterbi
from bilstm.nn import CRF, BiLSTM
from tests.cases import CASES
from tests.compare import assert_close
from tests.laws import allowances, by_rows_of_torch
from tests.strategies import FUZZ, cases

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def assert_right(case, folder, make=BiLSTM):
    """ONNX Runtime within twice torch's own error, whatever stands in the padding."""
    layer_to_onnx(case.layer(make), folder / "layer.onnx")
    lengths = np.array(case.row_lengths)
    outside = np.arange(case.time) >= lengths[:, None]
    x = case.input().numpy().copy()
    x[outside] = np.array([np.nan, 1e30])[np.arange(outside.sum()) % 2, None]
    found = run((folder / "layer.onnx").read_bytes(), {"input": x, "lengths": lengths})
    truth, allowed = by_rows_of_torch(case, torch.float64), allowances(case)
    assert {"output", "h_n", "c_n"} <= found.keys()
    for name, values in found.items():
        assert_close(values, truth[name], atol=allowed[name], what=f"{name} of {case}")


@FUZZ
@given(cases((torch.float32,), projected=False))
def test_a_layer_is_right_in_every_dimension(tmp_path_factory, case):
    assume(case.batch > 0)
    assert_right(replace(case, states=False), tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", ["nearly all padding", "every row empty", "no steps", "one direction", "no bias"])
def test_a_layer_of_torch_is_right_at_the_edges(tmp_path, name):
    assert_right(replace(CASES[name], states=False), tmp_path, nn.LSTM)


def test_an_empty_batch_is_an_error_and_not_the_end_of_the_process(tmp_path):
    layer_to_onnx(BiLSTM(2, 3), tmp_path / "layer.onnx")
    code = (
        "import numpy, onnxruntime, sys\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "try:\n"
        "    session.run(None, {'input': numpy.zeros((0, 4, 2), 'f'), 'lengths': numpy.zeros(0, 'int64')})\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, 'first_length' in str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "layer.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "InvalidArgument True\n"), done.stderr


def test_what_onnx_has_not_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="expected a layer without projection, got proj_size=2"):
        layer_to_onnx(BiLSTM(3, 4, proj_size=2), tmp_path / "layer.onnx")
    with pytest.raises(ParameterError, match=r"expected a layer of float32, got torch.float64\nhint: use layer.float"):
        layer_to_onnx(BiLSTM(3, 4, dtype=torch.float64), tmp_path / "layer.onnx")


# --- the CRF ---------------------------------------------------------------------------------------------------


class Doubled(nn.LSTM):
    def forward(self, input, hx=None):
        output, states = super().forward(input, hx)
        return 2 * output, states


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.GRU(3, 4), "expected an nn.LSTM or a BiLSTM, got GRU"),
        (nn.RNN(3, 4), "got RNN"),
        (nn.LSTMCell(3, 4), "got LSTMCell"),
        (nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4)), "got Sequential\nhint: pass the layer that it holds: .1"),
        (BiLSTMRegressor(), "got BiLSTMRegressor\nhint: to_onnx"),
        (Doubled(3, 4), "got Doubled, which has a forward of its own"),
        ("layer.pt", "got str"),
    ],
)
def test_only_an_lstm_is_written_as_one(tmp_path, layer, words):
    with pytest.raises(ParameterError, match=words):
        layer_to_onnx(layer, tmp_path / "layer.onnx")
    assert not list(tmp_path.iterdir())


@FUZZ
@given(st.data())
def test_the_best_path_is_the_crfs_own_with_rules_and_ties(data):
    K, B, T = (data.draw(st.integers(1, most)) for most in (5, 4, 8))
    random = np.random.default_rng(data.draw(st.integers(0, 9999)))
    rules = [random.random(shape) < 0.8 for shape in ((K, K), (K,), (K,))]
    crf = CRF(K, allowed=rules[0], first=rules[1], last=rules[2]) if data.draw(st.booleans()) else CRF(K)
    with torch.no_grad():
        for parameter in crf.parameters():  # whole numbers: many paths are equally good
            parameter.copy_(torch.from_numpy(random.integers(-2, 3, parameter.shape)))
    emissions = random.integers(-2, 3, (B, T, K)).astype(np.float32)
    lengths = random.integers(0, T + 1, B)
    graph = Graph("path")
    given_ = graph.input("emissions", "float", ["B", "T", K])
    row = rows(graph, graph.input("lengths", "int64", ["B"]), given_)
    graph.output("tags", viterbi(graph, crf, given_, row), "int64", ["B", "T"])
    found = run(graph.model("path").SerializeToString(), {"emissions": emissions, "lengths": lengths})["tags"]
    expected, score = crf.decode(torch.from_numpy(emissions), torch.from_numpy(lengths))
    for row_found, row_expected, best in zip(found, expected, score, strict=True):
        if best > -torch.inf:  # else no path is allowed, and any answer is as good
            assert_close(row_found, row_expected)
