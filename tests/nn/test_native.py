"""The native kernel: right on every instruction set, the same for any number of threads, and a citizen of autograd."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from torch.utils.checkpoint import checkpoint

from bilstm.errors import ParameterError
from bilstm.nn import BiLSTM, core, explain, last_kernel, use_kernel
from bilstm.nn.lstm import native
from bilstm.nn.lstm.calls import weights_of
from bilstm.nn.lstm.equations import Call
from tests.cases import CASES, Case
from tests.compare import assert_close
from tests.laws import (
    LAWS,
    by_rows_of_torch,
    every_number_is_within_twice_torchs_own_error,
    observe,
    run,
    sentence,
)
from tests.nn.kernels import ISAS, forced, needs_native
from tests.strategies import FUZZ, cases

pytestmark = needs_native

SENTENCES = Case(9, 12, 5, 19, layers=2, lengths=(12, 3, 0, 7, 1, 12, 5, 9, 2), states=True, seed=21)


def assert_ran(case: Case, isa: str) -> None:
    """A batch without rows or steps is the equations' own."""
    if case.batch and case.time:
        assert (last_kernel(), core.last_isa()) == ("native", isa)
    else:
        assert last_kernel() == "equations"


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("law", LAWS, ids=sentence)
@given(case=cases(dtypes=(torch.float32,), projected=False))
@FUZZ
def test_every_instruction_set_obeys_the_law(isa, law, case):
    with forced(isa), case.with_threads():
        run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths)
        assert_ran(case, isa)
        law(BiLSTM, case)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.proj_size])
def test_every_instruction_set_is_right_on_the_named_shapes(name, isa, threads):
    case = Case(**{**CASES[name].__dict__, "dtype": torch.float32, "threads": threads})
    with forced(isa), case.with_threads():
        every_number_is_within_twice_torchs_own_error(BiLSTM, case)
        run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths)
        assert_ran(case, isa)


def test_an_instruction_set_that_is_not_there_is_named_with_the_choices(monkeypatch):
    monkeypatch.setenv("BILSTM_ISA", "sse9")
    with pytest.raises(ParameterError) as error:
        BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    choices = ", ".join(repr(isa) for isa in core.isas())
    assert str(error.value) == (
        "expected an instruction set of this processor, got 'sse9' (environment variable BILSTM_ISA)\n"
        f"hint: there are {choices}"
    )


@pytest.mark.parametrize("isa", ISAS)
def test_the_number_of_threads_changes_no_bit(isa):
    case = Case(33, 20, 7, 24, layers=2, lengths=tuple((7 * row) % 21 for row in range(33)), states=True, seed=22)
    results = []
    for threads in (1, 2, 3):
        with forced(isa), Case(**{**case.__dict__, "threads": threads}).with_threads():
            results.append(observe(case.layer(BiLSTM), case, case.input()))
            assert_ran(case, isa)
    for name, value in results[0].items():
        assert_close(results[1][name], value, what=f"{name} by two threads")
        assert_close(results[2][name], value, what=f"{name} by three threads")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_in_inference_a_row_is_the_same_bit_for_bit_in_any_company(isa, threads):
    case = Case(**{**SENTENCES.__dict__, "threads": threads})
    layer, x, (h0, c0) = case.layer(BiLSTM), case.input(), case.hx()
    with forced(isa), case.with_threads(), torch.inference_mode():
        together = run(layer, x, (h0, c0), case.lengths)
        many = run(layer, x.repeat(7, 1, 1), (h0.repeat(1, 7, 1), c0.repeat(1, 7, 1)), case.lengths * 7)
        for row, length in enumerate(case.row_lengths):
            if not length:
                continue
            alone = run(layer, x[row : row + 1, :length], (h0[:, row : row + 1], c0[:, row : row + 1]), None)
            assert_ran(case, isa)
            for found in (together, many):
                assert_close(found["output"][row, :length], alone["output"][0], what=f"output of row {row}")
                for name in ("h_n", "c_n"):
                    assert_close(found[name][:, row], alone[name][:, 0], what=f"{name} of row {row}")


def test_inference_and_training_give_the_same_numbers():
    layer, x = SENTENCES.layer(BiLSTM), SENTENCES.input()
    trained = run(layer, x, SENTENCES.hx(), SENTENCES.lengths)
    with torch.no_grad():
        inferred = run(layer, x, SENTENCES.hx(), SENTENCES.lengths)
    for name, value in inferred.items():
        assert_close(trained[name], value, atol=1e-6, what=name)
    assert last_kernel() == "native"


@pytest.mark.parametrize("isa", ISAS)
def test_bfloat16_errs_in_inference_at_most_twice_as_much_as_torch(isa):
    case = Case(**{**SENTENCES.__dict__, "dtype": torch.bfloat16})
    truth, torchs = by_rows_of_torch(case, torch.float64), by_rows_of_torch(case, torch.bfloat16)
    with forced(isa), torch.no_grad():
        found = run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths)
        assert_ran(case, isa)
    for name, value in found.items():
        assert value.dtype == torch.bfloat16
        allowed = 2 * float((torchs[name] - truth[name]).abs().max()) + torch.finfo(torch.bfloat16).eps
        assert_close(value, truth[name], atol=allowed, what=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_gives_bfloat16_as_it_does_in_torch(dtype):
    layer, x = SENTENCES.layer(BiLSTM), SENTENCES.input()
    exact = run(layer, x, SENTENCES.hx(), SENTENCES.lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        found = run(layer, x.to(dtype), SENTENCES.hx(), SENTENCES.lengths)
    assert last_kernel() == "native"
    for name, value in found.items():
        assert value.dtype == torch.bfloat16
        assert_close(value, exact[name], atol=0.05, what=name)


@pytest.mark.parametrize("lengths", [None, (12, 3, 0, 7, 1, 12, 5, 9, 2)], ids=["no lengths", "lengths"])
def test_dropout_drops_what_the_equations_drop(lengths):
    layer = SENTENCES.layer(BiLSTM, dropout=0.4)
    found = {}
    for kernel in ("native", "equations"):
        torch.manual_seed(7)
        with use_kernel(kernel):
            found[kernel] = observe(layer, SENTENCES, SENTENCES.input(), lengths=lengths)
        assert last_kernel() == kernel
    for name, value in found["equations"].items():
        assert_close(found["native"][name], value, atol=2e-5, rtol=1e-5, what=name)


@pytest.mark.parametrize("dropout", [False, True])
def test_room_for_any_lengths_is_room_enough(dropout):
    for F, H, L, D in itertools.product((1, 7), (1, 15, 16, 17, 100), (1, 3), (1, 2)):
        weights = [torch.empty(4 * H, F), torch.empty(4 * H, H)] * L * D
        for B, T in itertools.product((1, 2, 5), (1, 3, 8)):
            given = native.Inputs(torch.empty(B, T, F), None, None, weights, None, [torch.empty(0)] * dropout, D)
            room = native.empty_reserve_for_any_lengths(given).numel()
            for lengths in ([T] * B, [1] * B, [0] * B, list(range(T))[:B] + [T] * (B - T)):
                assert native.empty_reserve(given._replace(lengths=torch.tensor(lengths))).numel() <= room


# --- memory -------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_input_lies_in_memory_as_the_input_does():
    x = torch.randn(6, 3, 4, requires_grad=True)
    for layer in (BiLSTM(4, 5), BiLSTM(4, 5, batch_first=True)):
        output = layer(x)[0]
        assert last_kernel() == "native"
        (d_x,) = torch.autograd.grad(output.sum(), x)  # whose gradient is one number, expanded
        assert d_x.is_contiguous()


def test_weights_states_and_lengths_need_not_be_contiguous():
    case = SENTENCES
    layer, expected = case.layer(BiLSTM), observe(case.layer(BiLSTM), case, case.input())
    for parameter in layer.parameters():
        parameter.data = torch.stack([parameter.data] * 2, dim=-1)[..., 0]
        assert not parameter.is_contiguous()
    hx = tuple(state.transpose(0, 2).contiguous().transpose(0, 2) for state in case.hx())
    lengths = torch.tensor([case.lengths, case.lengths]).T.contiguous()[:, 0]
    found = observe(layer, case, case.input(), hx, lengths)
    assert last_kernel() == "native"
    for name, value in expected.items():
        assert_close(found[name], value, what=name)


def test_what_is_not_a_plain_tensor_goes_to_another_kernel():
    class Tagged(torch.Tensor):
        pass

    layer, x = BiLSTM(3, 4), torch.randn(5, 2, 3)
    expected = layer(x)[0]
    negated = torch.complex(torch.zeros_like(x), -x).conj().imag  # x, of which memory holds -x
    assert negated.is_neg()
    for other in (x.as_subclass(Tagged), negated):
        assert_close(layer(other)[0], expected, atol=1e-6)
        assert last_kernel() == "torch"
    gradients = []
    for d_output in (torch.ones(5, 2, 8), torch.complex(torch.ones(5, 2, 8), -torch.ones(5, 2, 8)).conj().imag):
        gradients.append(torch.autograd.grad(layer(x)[0], layer.weight_hh_l0, d_output)[0])
        assert last_kernel() == "native"
    assert_close(gradients[1], gradients[0])


def test_explain_says_why_a_call_goes_to_another_kernel():
    def reason(layer: BiLSTM, x: torch.Tensor) -> str:
        return dict(explain(Call(x.transpose(0, 1), None, None, weights_of(layer), None, None)))["native"]

    x = torch.zeros(5, 2, 3)
    assert reason(BiLSTM(3, 4), x) == "runs"
    assert reason(BiLSTM(3, 4).double(), x.double()) == "computes in float32, not in float64"
    assert reason(BiLSTM(3, 4, proj_size=2), x) == "knows no projections"
    assert reason(BiLSTM(3, 4, device="meta"), x.to("meta")) == "runs on a CPU, not on meta"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert reason(BiLSTM(3, 4), x) == "computes in bfloat16 only eagerly and without gradients"
    with torch.autocast("cpu", dtype=torch.float16), torch.no_grad():
        assert reason(BiLSTM(3, 4), x) == "knows autocast to bfloat16 only"


# --- the border to C++ --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("emissions", torch.zeros(2, 4, 3, dtype=torch.float64)),
        ("emissions", torch.zeros(2, 3, 4).transpose(1, 2)),
        ("emissions", torch.zeros(2, 4, 3, device="meta")),
        ("emissions", torch.zeros(2, 3)),
        ("emissions", torch.zeros(2, 4, 3).numpy()),
        ("emissions", None),
        ("lengths", torch.tensor([4, 2], dtype=torch.int32)),
    ],
)
def test_a_tensor_that_the_core_cannot_read_is_refused(name, wrong):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        core.call("crf_marginals", **crf_arguments(name, wrong))


@pytest.mark.parametrize("name", ["lengths", "transitions", "start", "end", "marginals"])
def test_a_tensor_of_another_shape_is_refused(name):
    arguments = crf_arguments()
    with pytest.raises(ValueError, match=f"{name} must have the shape"):
        core.call("crf_marginals", **crf_arguments(name, torch.cat([arguments[name]] * 2)))


def crf_arguments(name: str = "threads", value: object = 1) -> dict[str, object]:
    """Of a CRF of 2 rows, 4 steps and 3 tags; one of them as given."""
    arguments = {
        "emissions": torch.zeros(2, 4, 3),
        "lengths": torch.tensor([4, 2]),
        "transitions": torch.zeros(3, 3),
        "start": torch.zeros(3),
        "end": torch.zeros(3),
        "threads": 1,
        "marginals": torch.zeros(2, 4, 3),
    }
    return arguments | {name: value}


def test_a_torch_that_describes_tensors_by_capsules_only_gives_the_same_numbers():
    code = """
import sys, torch
if sys.argv[1] == "capsules":
    torch.Tensor.__dlpack_c_exchange_api__ = None  # as before torch 2.10
from bilstm.nn import CRF, BiLSTM, last_kernel
torch.manual_seed(3)
layer, x = BiLSTM(3, 4, 2, batch_first=True), torch.randn(2, 5, 3, requires_grad=True)
output, _ = layer(x, lengths=[5, 2])
assert last_kernel() == "native"
CRF(8)(output, torch.zeros(2, 5, dtype=torch.int64)).sum().backward()
assert last_kernel() == "native"
print(x.grad.tolist(), [weight.grad.tolist() for weight in layer.parameters()])
"""
    results = [
        subprocess.run([sys.executable, "-c", code, way], check=True, capture_output=True, text=True, timeout=60).stdout
        for way in ("capsules", "pointers")
    ]
    assert results[0] == results[1] != ""


# --- autograd -----------------------------------------------------------------------------------------------


def gradients(layer: BiLSTM, x: torch.Tensor, **options) -> list[torch.Tensor]:
    output, (h_n, c_n) = layer(x, lengths=SENTENCES.lengths)
    total = output.sin().sum() + h_n.cos().sum() + c_n.sum()
    return list(torch.autograd.grad(total, [x, *layer.parameters()], **options))


def test_a_retained_graph_gives_the_same_gradient_again_and_again():
    layer, x = SENTENCES.layer(BiLSTM), SENTENCES.input().requires_grad_()
    total = layer(x, lengths=SENTENCES.lengths)[0].sin().sum()
    first = torch.autograd.grad(total, [x, *layer.parameters()], retain_graph=True)
    assert last_kernel() == "native"
    for retain in (True, False):
        again = torch.autograd.grad(total, [x, *layer.parameters()], retain_graph=retain)
        for found, expected in zip(again, first, strict=True):
            assert_close(found, expected)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        total.backward()


def test_a_second_order_gradient_is_that_of_the_equations():
    found = {}
    for kernel, dtype in (("native", torch.float32), ("equations", torch.float64)):
        layer, x = SENTENCES.layer(BiLSTM, dtype), SENTENCES.input(dtype).requires_grad_()
        with use_kernel(kernel):
            first = gradients(layer, x, create_graph=True)
        assert last_kernel() == kernel
        penalty = sum(gradient.pow(2).sum() for gradient in first)
        found[kernel] = torch.autograd.grad(penalty, [x, *layer.parameters()])
    for value, expected in zip(found["native"], found["equations"], strict=True):
        assert_close(value, expected, atol=1e-5 * float(expected.abs().max()))


def test_a_weight_shared_by_both_directions_has_the_sum_of_both_gradients():
    layer, x = BiLSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        setattr(layer, f"{name}_reverse", getattr(layer, name))
    found = []
    for kernel, create_graph in (("native", False), ("native", True), ("equations", False)):
        with use_kernel(kernel):
            output = layer(x)[0].sin().sum()
        assert last_kernel() == kernel
        found.append(torch.autograd.grad(output, list(layer.parameters()), create_graph=create_graph))
    for first, second, expected in zip(*found, strict=True):
        assert_close(first, expected, atol=1e-5)
        assert_close(second, expected, atol=1e-5)


def test_torchs_own_checks_of_first_and_second_order_pass_in_float64():
    layer = BiLSTM(3, 2, 2, batch_first=True, dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def output(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x, None, [3, 1]))[0]

    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x, *layer.parameters()), fast_mode=True)
    assert torch.autograd.gradgradcheck(output, (x, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("what", ["lengths", "weight"])
def test_a_change_in_place_before_the_backward_is_an_error_as_in_torch(what):
    layer, lengths = BiLSTM(3, 4, batch_first=True), torch.tensor([5, 2])
    output, _ = layer(torch.randn(2, 5, 3), lengths=lengths)
    assert last_kernel() == "native"
    total = output.sum()
    with torch.no_grad():
        {"lengths": lengths, "weight": layer.weight_hh_l0}[what].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_a_checkpointed_layer_has_the_same_gradient():
    layer, x = SENTENCES.layer(BiLSTM), SENTENCES.input().requires_grad_()

    def total(x):
        return layer(x, lengths=SENTENCES.lengths)[0].sin().sum()

    expected = torch.autograd.grad(total(x), [x, *layer.parameters()])
    found = torch.autograd.grad(checkpoint(total, x, use_reentrant=False), [x, *layer.parameters()])
    assert last_kernel() == "native"
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted)


def test_saved_tensors_may_be_packed_elsewhere():
    layer, x = SENTENCES.layer(BiLSTM), SENTENCES.input().requires_grad_()
    expected = gradients(layer, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.numpy(force=True).copy(), torch.from_numpy):
        found = gradients(layer, x)
    assert last_kernel() == "native"
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted)


# --- torch.func ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own forward mode uses it
def test_a_forward_mode_derivative_is_the_slope():
    layer, x, way = SENTENCES.layer(BiLSTM), SENTENCES.input(), torch.randn(9, 12, 5)
    exact = SENTENCES.layer(BiLSTM, torch.float64)

    def at(step: float) -> torch.Tensor:
        return exact(x.double() + step * way, lengths=SENTENCES.lengths)[0]

    _, tangent = torch.func.jvp(lambda x: layer(x, lengths=SENTENCES.lengths)[0], (x,), (way,))
    assert_close(tangent, (at(1e-5) - at(-1e-5)) / 2e-5, atol=1e-4)
    with torch.autograd.forward_ad.dual_level():
        output = layer(torch.autograd.forward_ad.make_dual(x, way), lengths=SENTENCES.lengths)[0]
        assert_close(torch.autograd.forward_ad.unpack_dual(output).tangent, tangent, atol=1e-6)


def test_a_gradient_for_each_row_is_each_rows_gradient():
    layer, x, lengths = BiLSTM(5, 7, batch_first=True), torch.randn(4, 6, 5), torch.tensor([6, 2, 0, 5])
    weights = dict(layer.named_parameters())

    def total(weights, row, length):
        return torch.func.functional_call(layer, weights, (row[None], None, length[None]))[0].sin().sum()

    together = torch.func.vmap(torch.func.grad(total), in_dims=(None, 0, 0))(weights, x, lengths)
    for row in range(4):
        one = torch.autograd.grad(total(weights, x[row], lengths[row]), list(weights.values()))
        assert last_kernel() == "native"
        alone = torch.func.grad(total)(weights, x[row], lengths[row])
        for name, expected in zip(weights, one, strict=True):
            assert_close(together[name][row], expected, atol=1e-5, what=name)
            assert_close(alone[name], expected, atol=1e-5, what=name)


def test_weights_given_for_one_call_have_the_gradient():
    layer, x = BiLSTM(4, 5), torch.randn(6, 3, 4)
    weights = {name: (2 * value).detach().requires_grad_() for name, value in layer.named_parameters()}
    doubled = torch.func.functional_call(layer, weights, (x,))[0]
    assert last_kernel() == "native"
    found = torch.autograd.grad(doubled.sum(), list(weights.values()))
    with torch.no_grad():
        for value in layer.parameters():
            value.mul_(2)
    output = layer(x)[0]
    assert_close(doubled, output)
    for value, expected in zip(found, torch.autograd.grad(output.sum(), list(layer.parameters())), strict=True):
        assert_close(value, expected)
