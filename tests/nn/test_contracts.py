"""What a program may do with an nn.LSTM it may do with ours, and with an accelerated one: the same, or a refusal."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.nn.utils import prune
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from bilstm import accelerate
from bilstm.errors import DataError
from bilstm.nn import CRF, BiLSTM, ctc_loss, last_kernel, use_kernel
from bilstm.nn.core import KERNEL_NAMES
from tests.compare import assert_close
from tests.nn.kernels import needs_native


def twins(*sizes: int, **options: object) -> tuple[nn.LSTM, nn.LSTM]:
    """Torch's layer, and an accelerated copy of it."""
    torch.manual_seed(0)
    theirs = nn.LSTM(*sizes, **options)  # type: ignore[arg-type]
    ours = copy.deepcopy(theirs)
    accelerate(ours)
    return theirs, ours


def gradients(layer: nn.LSTM, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True, materialize_grads=True))


def assert_same_gradients(theirs: nn.LSTM, ours: nn.LSTM, loss) -> None:
    for a, b in zip(gradients(theirs, loss(theirs)), gradients(ours, loss(ours)), strict=True):
        assert_close(b, a, atol=1e-5)


# --- changed in place ---------------------------------------------------------------------------------------------

CHANGES = {
    "masked_fill_": lambda y: y.masked_fill_(y > 0.1, 0.5),
    "mul_": lambda y: y.mul_(2.0),
    "relu_": torch.relu_,
    "one step": lambda y: y[:1].zero_(),
    "dropout": lambda y: nn.functional.dropout(y, 1.0, inplace=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_outputs_may_be_changed_in_place(change, batch_first, layers):
    theirs, ours = twins(3, 4, layers, batch_first=batch_first, bidirectional=True)
    x = torch.randn(4, 5, 3)

    def loss(layer: nn.LSTM) -> Tensor:
        output, (h_n, c_n) = layer(x)
        change(output)
        return output.square().sum() + h_n.sum() + c_n.sum()

    assert_same_gradients(theirs, ours, loss)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_may_be_reset_in_place_between_calls(bidirectional):
    theirs, ours = twins(3, 4, 2, bidirectional=bidirectional)
    steps, done = torch.randn(4, 1, 3, 3), torch.tensor([True, False, True])

    def loss(layer: nn.LSTM) -> Tensor:
        states, outputs = None, []
        for x in steps:
            output, states = layer(x, states)
            outputs.append(output)
            for state in states:
                state[:, done] = 0
        return torch.cat(outputs).square().sum()

    assert_same_gradients(theirs, ours, loss)


def test_an_input_changed_after_the_call_is_refused_as_torch_does():
    for layer in twins(3, 4, bidirectional=True):
        x = torch.randn(4, 5, 3)
        output, _ = layer(x)
        x.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


def test_a_graph_that_is_kept_gives_the_same_gradients_again_after_a_change_in_place():
    theirs, ours = twins(3, 4, bidirectional=True)
    x, found = torch.randn(4, 5, 3), []
    for layer in (theirs, ours):
        output, _ = layer(x)
        loss = output.relu_().square().sum()
        found += [torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True) for _ in range(2)]
    for a, *others in zip(*found, strict=True):
        for b in others:
            assert_close(b, a, atol=1e-5)


# --- where results lie in memory ----------------------------------------------------------------------------------


def strides(tensor: Tensor) -> list[tuple[int, int]]:
    """Of each axis its size and stride; that of an axis of size 1 says nothing."""
    return [(size, stride if size > 1 else 0) for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("kernel", KERNEL_NAMES)
@settings(max_examples=10)
@given(
    order=st.permutations([0, 1, 2]),
    batch_first=st.booleans(),
    bidirectional=st.booleans(),
    proj_size=st.sampled_from([0, 2]),
    sizes=st.tuples(*3 * [st.integers(1, 4)]),
    training=st.booleans(),
)
def test_results_lie_in_memory_as_torchs_do(kernel, order, batch_first, bidirectional, proj_size, sizes, training):
    options = {"batch_first": batch_first, "bidirectional": bidirectional, "proj_size": proj_size}
    theirs, ours = nn.LSTM(3, 4, 2, **options), BiLSTM(3, 4, 2, **options)
    inverse = [order.index(axis) for axis in range(3)]
    shape = (*sizes[:2], 3)
    x = torch.randn([shape[axis] for axis in order]).permute(inverse)
    with torch.set_grad_enabled(training), use_kernel(kernel):
        results = [[output, *states] for output, states in (theirs(x), ours(x))]
    for a, b in zip(*results, strict=True):
        assert strides(b) == strides(a)


def test_a_time_first_output_can_be_viewed_as_rows_whatever_the_inputs_strides():
    features = torch.randn(2, 6, 9)  # (B, C, W) of a convolution
    layer = BiLSTM(6, 5)
    output, _ = layer(features.permute(2, 0, 1))
    assert output.view(9 * 2, 10).shape == (18, 10)
    unbatched, _ = layer(features[0].T)
    assert unbatched.view(-1).shape == (90,)


# --- derivatives ----------------------------------------------------------------------------------------------------


def crf_loss(emissions: Tensor) -> Tensor:
    torch.manual_seed(0)
    return CRF(3)(emissions, torch.tensor([[0, 2, 1, 1], [1, 1, 0, 0]]), lengths=[4, 2])


def loss_of_ctc(outputs: Tensor) -> Tensor:
    return ctc_loss(outputs, torch.tensor([[1, 2], [2, 2]]), [4, 4], [2, 1])


def pooled(x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return BiLSTM(3, 4, 2, batch_first=True)(x, lengths=[4, 2])[0].square().sum(2).mean(1)


FUNCTIONS = {"CRF": crf_loss, "CTC": loss_of_ctc, "layer": pooled}


@needs_native
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_second_derivatives_in_float32_are_those_of_the_equations(function):
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    ours = hessian(lambda x: function(x).sum(), x)
    assert last_kernel() == "native"
    with use_kernel("equations"):
        expected = hessian(lambda x: function(x).sum(), x)
    assert expected.abs().max() > 1e-3
    assert_close(ours, expected, atol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_batch_of_gradients_comes_at_once(function):
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    assert_close(jacobian(function, x, vectorize=True), jacobian(function, x), atol=1e-6)


def test_a_gradient_penalty_reaches_the_parameters_of_a_crf():
    crf, emissions = CRF(3), torch.randn(1, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(crf(emissions, torch.zeros(1, 3).long()).sum(), emissions, create_graph=True)
    gradient.square().sum().backward()
    assert crf.transitions.grad is not None
    assert crf.transitions.grad.abs().max() > 1e-4


@pytest.mark.filterwarnings("ignore")
def test_gradients_of_single_rows():
    _, ours = twins(3, 4, batch_first=True)
    x = torch.randn(2, 5, 3)
    call_for_per_sample_grads(ours, batch_size=2)(x)[0].sum().backward()
    for row in range(2):
        (expected,) = torch.autograd.grad(ours(x[row])[0].sum(), ours.weight_ih_l0)
        assert_close(ours.weight_ih_l0.grad_sample[row], expected, atol=1e-5)


# --- other weights than the parameters ------------------------------------------------------------------------------


def replace_list(layer: nn.LSTM) -> None:
    layer._flat_weights = [2 * weight for weight in layer._flat_weights]


def lay_over(layer: nn.LSTM) -> None:
    for name in layer._flat_weights_names:
        object.__setattr__(layer, name, getattr(layer, name) * 2)


def set_again(layer: nn.LSTM) -> None:
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach() * 2)


def edit_data(layer: nn.LSTM) -> None:
    layer.weight_hh_l0.data = layer.weight_hh_l0.data * 2


def normalize(layer: nn.LSTM) -> None:
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2)


def pruned(layer: nn.LSTM) -> None:
    prune.l1_unstructured(layer, "weight_hh_l0", 0.5)


def tie(layer: nn.LSTM) -> None:
    layer.weight_hh_l0_reverse = layer.weight_hh_l0


OVERRIDES = [replace_list, lay_over, set_again, edit_data, normalize, pruned, tie]


@pytest.mark.parametrize("override", OVERRIDES, ids=[override.__name__ for override in OVERRIDES])
@pytest.mark.parametrize("called_before", [False, True])
def test_weights_laid_over_the_parameters_are_used_as_torch_uses_them(override, called_before):
    results, x = [], torch.randn(5, 2, 3)
    plain, _ = twins(3, 4, bidirectional=True)
    for layer in twins(3, 4, bidirectional=True):
        if called_before:
            layer(x)
        override(layer)
        results.append(layer(x)[0])
    assert_close(results[1], results[0], atol=1e-6)
    assert (results[0] - plain(x)[0]).abs().max() > 1e-3


def test_a_functional_call_lasts_as_long_as_it_does():
    theirs, ours = twins(3, 4)
    x, before = torch.randn(5, 2, 3), ours(torch.ones(5, 2, 3))[0]
    doubled = {name: 2 * value for name, value in theirs.named_parameters()}
    expected, found = (torch.func.functional_call(layer, doubled, x)[0] for layer in (theirs, ours))
    assert_close(found, expected, atol=1e-6)
    assert_close(ours(torch.ones(5, 2, 3))[0], before, atol=0)


# --- subclasses -----------------------------------------------------------------------------------------------------


def test_a_subclass_that_checks_what_it_is_given_is_asked():
    asked = []

    class Strict(BiLSTM):
        def check_forward_args(self, input, hidden, batch_sizes):
            asked.append((tuple(input.shape), tuple(hidden[0].shape), batch_sizes))
            if input.shape[0] > 5:
                raise RuntimeError("too long")

    layer = Strict(3, 4)
    layer(torch.randn(5, 2, 3))
    layer(torch.randn(5, 3), (torch.zeros(2, 4), torch.zeros(2, 4)))
    assert asked == [((5, 2, 3), (2, 2, 4), None), ((5, 1, 3), (2, 1, 4), None)]
    with pytest.raises(RuntimeError, match="too long"):
        layer(torch.randn(6, 2, 3))


@pytest.mark.parametrize(
    ("x", "hx"),
    [
        (torch.zeros(5, 2, 9), None),
        (torch.zeros(5, 2, 3, 1), None),
        (torch.zeros(5, 2, 3).double(), None),
        (torch.zeros(5, 2, 3), (torch.zeros(2, 3, 4), torch.zeros(2, 2, 4))),
        (torch.zeros(5, 2, 3), (torch.zeros(2, 2, 4), torch.zeros(2, 4))),
    ],
)
def test_what_does_not_fit_is_a_runtime_error_as_torchs_and_an_error_of_data(x, hx):
    for error in (RuntimeError, DataError, ValueError):
        with pytest.raises(error, match=r"(?i)expected|must have the type"):
            BiLSTM(3, 4)(x, hx)


# --- outside eager mode ---------------------------------------------------------------------------------------------


class Packed(nn.Module):
    """What most programs do: pack, run, unpack."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.lstm = layer

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = self.lstm(packed)
        return pad_packed_sequence(output, batch_first=True)[0]


class Padded(nn.Module):
    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.lstm, self.head = layer, nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        output, (h_n, _) = self.lstm(x)
        return self.head(output) + h_n.sum()


@pytest.mark.filterwarnings("ignore")
def test_a_recorded_model_takes_packed_batches_of_other_sizes():
    model = Packed(BiLSTM(3, 4, 2, batch_first=True))
    traced = torch.jit.trace(model, (torch.randn(2, 4, 3), torch.tensor([4, 2])))
    x, lengths = torch.randn(4, 6, 3), torch.tensor([1, 6, 3, 2])
    assert_close(traced(x, lengths), model(x, lengths), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_older_onnx_exporter_takes_packed_batches():
    written = io.BytesIO()
    example = (torch.randn(2, 4, 3), torch.tensor([4, 2]))
    torch.onnx.export(Packed(BiLSTM(3, 4, batch_first=True)).eval(), example, written, dynamo=False)
    assert b"LSTM" in written.getvalue()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_torch_fx_sees_one_node(bidirectional):
    model = Padded(BiLSTM(3, 8 // (1 + bidirectional), batch_first=True, bidirectional=bidirectional))
    graph, x = torch.fx.symbolic_trace(model), torch.randn(2, 5, 3)
    assert [node.target for node in graph.graph.nodes if node.op == "call_module"] == ["lstm", "head"]
    assert_close(graph(x), model(x), atol=0)


def test_a_packed_batch_on_the_meta_device_tells_shapes():
    packed = pack_padded_sequence(torch.randn(3, 5, 3, device="meta"), [5, 4, 3], batch_first=True)
    output, (h_n, _) = BiLSTM(3, 4, device="meta")(packed)
    assert (output.data.shape, h_n.shape) == ((12, 8), (2, 3, 4))


def test_a_packed_batch_made_without_batch_sizes_of_its_own_keeps_its_order():
    sequences = [torch.randn(n, 3) for n in (2, 5, 3)]
    theirs, ours = twins(3, 4, bidirectional=True)
    packed = pack_sequence(sequences, enforce_sorted=False)
    for a, b in zip(theirs(packed)[0], ours(packed)[0], strict=True):
        assert_close(b, a, atol=1e-6)


class Labelled(Tensor):
    """A tensor with a meaning of its own, as libraries make them; torch's functions see it and keep its class."""


def test_a_subclass_of_tensor_is_served_by_torchs_own_layer():
    theirs, ours = twins(3, 4)
    x = torch.randn(5, 2, 3).as_subclass(Labelled)
    expected, found = theirs(x)[0], ours(x)[0]
    assert type(found) is type(expected) is Labelled
    assert_close(found.as_subclass(Tensor), expected.as_subclass(Tensor), atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bidirectional", "layers"), [(False, 2), (True, 1)])
def test_a_package_of_aotinductor_runs(tmp_path, bidirectional, layers):
    model = Padded(BiLSTM(3, 8 // (1 + bidirectional), layers, batch_first=True, bidirectional=bidirectional)).eval()
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        path = torch._inductor.aoti_compile_and_package(
            torch.export.export(model, (x,)), package_path=str(tmp_path / "m.pt2")
        )
        assert_close(torch._inductor.aoti_load_package(path)(x), model(x), atol=1e-5)


def test_packed_sequences_stay_packed_sequences():
    packed = pack_padded_sequence(torch.randn(2, 4, 3), [4, 2], batch_first=True)
    output, _ = BiLSTM(3, 4)(packed)
    assert type(output) is PackedSequence
    assert output.data.is_contiguous()
