"""Other people's models with a BiLSTM in them, written by torch's own exporter to ONNX: one operator a layer."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from bilstm.errors import ParameterError
from bilstm.export import translations
from bilstm.export.check import run
from bilstm.nn import BiLSTM
from bilstm.surgery import accelerate
from tests.compare import assert_close
from tests.nn.kernels import needs_native

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = [
    needs_native,
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)`:FutureWarning"),  # torch's exporter's own
]
B, T = torch.export.Dim("B"), torch.export.Dim("T")


def exported(module, given, axes):
    """An ONNX model of torch's exporter."""
    program = torch.export.export(module, given, dynamic_shapes=axes)
    written = torch.onnx.export(program, dynamo=True, custom_translation_table=translations(), verbose=False)
    file = io.BytesIO()
    written.save(file)
    operators = [node.op_type for node in written.model_proto.graph.node]
    return file.getvalue(), operators, [value.name for value in written.model_proto.graph.input]


class WithLengthsAndStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = BiLSTM(3, 4, 2, batch_first=True)

    def forward(self, x, lengths, h0, c0):
        output, (h_n, c_n) = self.layer(x, (h0, c0), lengths)
        return output, h_n, c_n


def test_lengths_and_states_are_inputs_of_any_size():
    module = WithLengthsAndStates().eval()

    def inputs(B, T, lengths):
        return torch.randn(B, T, 3), torch.tensor(lengths), torch.randn(4, B, 4), torch.randn(4, B, 4)

    content, operators, names = exported(module, inputs(2, 5, [5, 2]), ({0: B, 1: T}, {0: B}, {1: B}, {1: B}))
    assert operators.count("LSTM") == 2
    given = inputs(4, 9, [9, 0, 3, 5])
    found = run(content, dict(zip(names, (value.numpy() for value in given), strict=True)))
    for value, wanted in zip(found.values(), module(*given), strict=True):
        assert_close(value, wanted, atol=1e-6)


class SomebodysModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, bias=False, dropout=0.0)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def test_an_accelerated_model_of_one_direction_without_biases():
    module = SomebodysModel().eval()
    accelerate(module)
    content, operators, names = exported(module, (torch.randn(5, 2, 3),), ({0: T, 1: B},))
    assert operators.count("LSTM") == 1
    x = torch.randn(11, 3, 3)
    (found,) = run(content, {names[0]: x.numpy()}).values()
    assert_close(found, module(x), atol=1e-6)


def test_a_model_that_drops_units_is_refused():
    (translate,) = translations().values()
    with pytest.raises(ParameterError, match=r"expected a model in evaluation, got one that drops units"):
        translate(None, None, None, [], None, [torch.ones(1)], 2, False)
