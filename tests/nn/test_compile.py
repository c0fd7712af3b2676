"""A compiled, exported or traced layer is one operator for each call, for any sizes, with the eager results."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from bilstm.errors import DataError
from bilstm.nn import BiLSTM, core, last_kernel, use_kernel
from tests.compare import assert_close
from tests.nn.kernels import needs_native

pytestmark = [
    needs_native,
    pytest.mark.usefixtures("fresh_compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

SIZES = [(3, 6), (4, 9), (5, 3)]  # B, T


def compiled(layer: nn.Module, backend: object = "aot_eager", **options):
    """In one graph, or not at all. Torch breaks the graph at every nn.LSTM unless told that it may not."""
    function = torch.compile(layer, fullgraph=True, backend=backend, **options)

    def call(*arguments):
        with torch._dynamo.config.patch(allow_rnn=True):
            return function(*arguments)

    return call


def a_call(layer: BiLSTM, B: int, T: int, lengths: bool, states: bool = False):
    x = torch.randn(B, T, 5) if layer.batch_first else torch.randn(T, B, 5)
    hx = (torch.randn(4, B, 7), torch.randn(4, B, 7)) if states else None
    return x, hx, torch.randint(0, T + 1, (B,)) if lengths else None


def assert_equal_calls(one, other, arguments, **allowed) -> None:
    (output, states), (expected, expected_states) = one(*arguments), other(*arguments)
    assert output.stride() == expected.stride()
    for found, wanted in zip((output, *states), (expected, *expected_states), strict=True):
        assert_close(found, wanted, **allowed)


def gradients(function, layer: BiLSTM, x, *rest) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    output, (h_n, c_n) = function(x, *rest)
    return torch.autograd.grad(output.sin().sum() + h_n.cos().sum() + c_n.sum(), [x, *layer.parameters()])


# --- torch.compile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch_first, lengths, states",
    [(True, True, False), (False, False, False), (False, True, True)],
)
def test_a_compiled_layer_gives_the_eager_results_and_gradients_at_every_size(batch_first, lengths, states):
    layer = BiLSTM(5, 7, 2, batch_first=batch_first)
    function = compiled(layer)
    for B, T in SIZES:
        arguments = a_call(layer, B, T, lengths, states)
        with torch.no_grad():
            assert_equal_calls(function, layer, arguments)
        assert_equal_calls(function, layer, arguments)
        expected = gradients(layer, layer, *arguments)
        for found, wanted in zip(gradients(function, layer, *arguments), expected, strict=True):
            assert_close(found, wanted)


def test_a_compiled_layer_is_one_operator_and_is_compiled_once_for_all_sizes():
    graphs = []

    def noting(graph, example):
        graphs.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    layer = BiLSTM(5, 7, 2, batch_first=True).eval()
    function = compiled(layer, noting, dynamic=True)
    for B, T in SIZES:
        function(*a_call(layer, B, T, lengths=True))
    assert len(graphs) == 1
    assert sum("bilstm.lstm" in target for target in graphs[0]) == 1


def test_lengths_may_be_a_list():
    layer = BiLSTM(5, 7, 2, batch_first=True)
    assert_equal_calls(compiled(layer), layer, (torch.randn(3, 6, 5), None, [6, 0, 2]))


def test_dropout_is_drawn_in_the_graph():
    layer = BiLSTM(5, 7, 2, dropout=0.5)
    function, x = compiled(layer), torch.randn(6, 3, 5)
    torch.manual_seed(1)
    expected = layer(x)[0]
    torch.manual_seed(1)
    assert_close(function(x)[0], expected)
    assert float((function(x)[0] - expected).abs().max().detach()) > 1e-3


def test_an_empty_batch_compiles():
    layer = BiLSTM(5, 7, 2, batch_first=True)
    function = compiled(layer)
    for B, T in ((0, 4), (2, 0)):
        for lengths in (False, True):
            arguments = a_call(layer, B, T, lengths, states=True)
            (output, states), (expected, expected_states) = function(*arguments), layer(*arguments)
            for found, wanted in zip((output, *states), (expected, *expected_states), strict=True):
                assert_close(found, wanted)
            for found in gradients(function, layer, *arguments)[1:]:
                assert_close(found, torch.zeros_like(found))


def test_wrong_lengths_are_told_when_the_compiled_layer_runs():
    layer = BiLSTM(5, 7, batch_first=True)
    function = compiled(layer)
    with pytest.raises(DataError, match=r"expected lengths from 0 to 6, the steps of input, got 7 \(row 1\)"):
        function(torch.randn(3, 6, 5), None, torch.tensor([6, 7, 0]))


def test_the_kernel_in_force_is_compiled():
    layer, x = BiLSTM(5, 7, batch_first=True), torch.randn(3, 6, 5)
    targets = []

    def noting(graph, example):
        targets.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    with use_kernel("equations"):
        assert_close(compiled(layer, noting)(x)[0], layer(x)[0], atol=1e-6)
    assert targets
    assert not any("bilstm" in target for target in targets)


@pytest.mark.parametrize("options", [{"dtype": torch.float64}, {"proj_size": 3}], ids=str)
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 0, 2])], ids=["no lengths", "lengths"])
def test_a_layer_that_is_not_native_compiles_too(options, lengths):
    layer = BiLSTM(5, 7, batch_first=True, **options)
    x = torch.randn(3, 3, 5, dtype=options.get("dtype"))
    assert_close(compiled(layer)(x, None, lengths)[0], layer(x, None, lengths)[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own compiler looks at it
def test_without_the_whole_graph_the_layer_runs_eagerly_between_two_graphs():
    layer = BiLSTM(5, 7, batch_first=True)
    model, x = nn.Sequential(nn.Linear(5, 5), layer), torch.randn(3, 6, 5)
    expected = model(x)[0]
    assert_close(torch.compile(model, backend="aot_eager")(x)[0], expected, atol=1e-6)
    assert last_kernel() == "native"


def test_gradients_for_each_row_compile():
    layer, x, lengths = BiLSTM(5, 7, batch_first=True), torch.randn(3, 3, 5), torch.tensor([3, 2, 0])
    weights = {name: value.detach() for name, value in layer.named_parameters()}

    def total(weights, row, length):
        return torch.func.functional_call(layer, weights, (row[None], None, length[None]))[0].sin().sum()

    function = torch.func.vmap(torch.func.grad(total), in_dims=(None, 0, 0))
    expected = function(weights, x, lengths)
    for name, found in compiled(function)(weights, x, lengths).items():
        assert_close(found, expected[name], atol=1e-6, what=name)


@pytest.mark.slow
def test_inductor_gives_the_eager_results_and_gradients():
    layer = BiLSTM(5, 7, 2, batch_first=True)
    function, arguments = compiled(layer, "inductor"), a_call(layer, 3, 6, lengths=True)
    assert_equal_calls(function, layer, arguments)
    expected = gradients(layer, layer, *arguments)
    for found, wanted in zip(gradients(function, layer, *arguments), expected, strict=True):
        assert_close(found, wanted, atol=1e-6)


# --- torch.export -------------------------------------------------------------------------------------------


class Model(nn.Module):
    def __init__(self, layer: BiLSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths=None):
        return self.layer(x, lengths=lengths)


@pytest.mark.parametrize("strict", [False, True], ids=["not strict", "strict"])
@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize("lengths", [False, True], ids=["no lengths", "lengths"])
def test_an_exported_layer_runs_at_other_sizes_and_learns(lengths, batch_first, strict):
    layer = BiLSTM(5, 7, 2, batch_first=batch_first).eval()
    B, T = torch.export.Dim("B"), torch.export.Dim("T")
    x, _, row_lengths = a_call(layer, 3, 6, lengths)
    given, axes = (x,), ({0: B, 1: T} if batch_first else {0: T, 1: B},)
    if lengths:
        given, axes = (x, row_lengths), (*axes, {0: B})
    program = torch.export.export(Model(layer), given, dynamic_shapes=axes, strict=strict)
    assert sum("bilstm.lstm" in str(node.target) for node in program.graph.nodes) == 1
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    for sizes in ((1, 1), (5, 9), (2, 30)):
        x, _, row_lengths = a_call(layer, *sizes, lengths)
        given = (x, row_lengths) if lengths else (x,)
        assert_equal_calls(exported, Model(layer), given)
        found = gradients(exported, exported, *given)
        for value, wanted in zip(found, gradients(Model(layer), layer, *given), strict=True):
            assert_close(value, wanted)


def test_an_exported_layer_is_right_where_the_compiled_module_is_missing_or_the_type_is_another(monkeypatch):
    layer = BiLSTM(5, 7, 2, batch_first=True)
    x, lengths = torch.randn(3, 6, 5), torch.tensor([6, 0, 2])
    exported = torch.export.export(Model(layer), (x, lengths)).module()
    expected = [layer(x, None, lengths)[0], *gradients(Model(layer), layer, x, lengths)]
    doubled = torch.export.export(Model(copy.deepcopy(layer)), (x, lengths)).module().double()
    monkeypatch.setattr(core, "compiled", None)
    for module, given in ((exported, x), (doubled, x.double())):
        found = [module(given, lengths)[0], *gradients(module, module, given, lengths)]
        for value, wanted in zip(found, expected, strict=True):
            assert_close(value, wanted, atol=1e-5)


# --- other onlookers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 0, 2])], ids=["no lengths", "lengths"])
@pytest.mark.parametrize("keep", [False, True])
def test_the_operator_is_what_torch_expects_of_one(keep, lengths):
    layer = BiLSTM(5, 7, 2, batch_first=True)
    x, h0, c0 = (torch.randn(size, requires_grad=True) for size in ((3, 6, 5), (4, 3, 7), (4, 3, 7)))
    arguments = (x, h0, c0, list(layer.parameters()), lengths, [torch.ones(3, 6, 14)], 2, keep)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if not keep:  # this check compares all results, and with keep one of them is room that is not filled to its end
        checks.append("test_aot_dispatch_dynamic")
    torch.library.opcheck(torch.ops.bilstm.lstm, arguments, test_utils=checks)


def test_tensors_without_numbers_give_tensors_without_numbers():
    with torch._subclasses.FakeTensorMode():
        layer = BiLSTM(5, 7, 2)
        output, _ = layer(torch.randn(6, 3, 5), lengths=torch.tensor([6, 2, 1]))
        output.sum().backward()
    assert last_kernel() == "native"
    assert output.shape == (6, 3, 14)
    assert layer.weight_hh_l0.grad.shape == (28, 7)
    assert BiLSTM(5, 7, device="meta")(torch.randn(6, 3, 5, device="meta"))[0].shape == (6, 3, 14)
    assert last_kernel() == "torch"


def test_a_mode_sees_the_operator():
    layer, x = BiLSTM(5, 7), torch.randn(6, 3, 5)
    with FlopCounterMode(display=False):
        assert_close(layer(x, lengths=[6, 2, 1])[0], layer(x, lengths=[6, 2, 1])[0])
    graph = make_fx(lambda x: layer(x)[0])(x)
    assert any("bilstm.lstm" in str(node.target) for node in graph.graph.nodes)
    assert_close(graph(2 * x), layer(2 * x)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit", "ignore:Converting a tensor")
def test_torchscript_records_torchs_own_routine():
    layer = BiLSTM(5, 7, 2, batch_first=True)
    traced = torch.jit.trace(layer, torch.randn(3, 6, 5))
    assert "aten::lstm" in str(traced.graph)
    x = torch.randn(4, 9, 5)
    assert_close(traced(x)[0], layer(x)[0], atol=1e-6)
