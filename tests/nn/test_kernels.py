"""Every kernel obeys every law, the one named is the one that ran, and one that cannot serve hands over."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given

from bilstm.errors import ParameterError
from bilstm.nn import BiLSTM, core, explain, last_kernel, use_kernel
from bilstm.nn.lstm import torch_kernel
from bilstm.nn.lstm.torch_kernel import has_narrow_routine
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
from tests.strategies import FUZZ, cases

KERNELS = ["torch", "equations"]  # test_native.py has more about the native one, where it is built
BUILT = [kernel for kernel in ("native", *KERNELS) if kernel != "native" or core.isas()]


def assert_runs(kernel: str, case: Case) -> None:
    """The kernel named is the one that serves; an empty batch is the equations' own."""
    with torch.no_grad():
        run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths)
    assert last_kernel() == (kernel if case.batch and case.time else "equations")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("law", LAWS, ids=sentence)
@given(case=cases())
@FUZZ
def test_a_kernel_obeys_the_law(kernel, law, case):
    with use_kernel(kernel), case.with_threads():
        assert_runs(kernel, case)
        law(BiLSTM, case)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_is_right_on_the_named_shapes(kernel, name):
    case = CASES[name]
    with use_kernel(kernel), case.with_threads():
        assert_runs(kernel, case)
        every_number_is_within_twice_torchs_own_error(BiLSTM, case)


@pytest.mark.parametrize("least, way", [(0.0, "_pinned"), (2.0, "_packed")])
@pytest.mark.parametrize("name", ["unequal lengths", "unequal lengths and states", "no bias"])
def test_torchs_two_ways_over_unequal_lengths_are_both_right(monkeypatch, name, least, way):
    taken, right = [], getattr(torch_kernel, way)

    def noted(call):
        taken.append(way)
        return right(call)

    monkeypatch.setattr(torch_kernel, way, noted)
    monkeypatch.setattr(torch_kernel, "PINNED_FROM_TRAINING", least)
    monkeypatch.setattr(torch_kernel, "PINNED_FROM_INFERENCE", least)
    with use_kernel("torch"):
        for law in LAWS:
            law(BiLSTM, CASES[name])
    assert taken, f"{way} never ran"


def test_states_of_any_size_survive_a_row_without_steps():
    case = Case(3, 4, 2, 3, lengths=(4, 0, 2), states=True)
    h0, c0 = case.hx()
    with use_kernel("torch"):
        final = run(case.layer(BiLSTM), case.input(), (h0 * 1e6, c0 * 1e6), case.lengths)
    assert last_kernel() == "torch"
    assert_close(final["h_n"][:, 1], h0[:, 1] * 1e6)
    assert_close(final["c_n"][:, 1], c0[:, 1] * 1e6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_errs_at_most_twice_as_much_as_torch(kernel):
    case = Case(4, 6, 5, 9, layers=2, lengths=(6, 2, 0, 5), states=True, dtype=torch.bfloat16)
    truth, torchs = by_rows_of_torch(case, torch.float64), by_rows_of_torch(case, torch.bfloat16)
    with use_kernel(kernel):
        found = observe(case.layer(BiLSTM), case, case.input())
        assert last_kernel() == kernel
    for name, value in truth.items():
        allowed = 2 * float((torchs[name] - value).abs().max()) + torch.finfo(torch.bfloat16).eps
        assert_close(found[name], value, atol=allowed, what=name)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lengths", [None, [6, 2, 0, 5]], ids=["no lengths", "lengths"])
def test_autocast_runs_and_stays_near(kernel, lengths):
    case = Case(4, 6, 5, 9, states=True)
    layer, x = case.layer(BiLSTM), case.input().requires_grad_()
    exact = layer(x, case.hx(), lengths)[0]
    with use_kernel(kernel), torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x, case.hx(), lengths)[0]
        assert last_kernel() == ("equations" if kernel == "torch" and not has_narrow_routine() else kernel)
    output.float().sum().backward()
    assert_close(output.float(), exact, atol=0.05)
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("lengths", [None, [6, 2, 0, 5]], ids=["no lengths", "lengths"])
def test_kernels_drop_the_same_numbers(lengths):
    layer, x = (
        BiLSTM(5, 7, 3, batch_first=True, dropout=0.4, dtype=torch.float64),
        torch.randn(4, 6, 5).double(),
    )
    outputs = []
    for kernel in KERNELS:
        torch.manual_seed(7)
        with use_kernel(kernel):
            outputs.append(layer(x, None, lengths)[0])
        assert last_kernel() == kernel
    assert_close(outputs[0], outputs[1], atol=1e-14)
    assert float((outputs[0] - layer.eval()(x, None, lengths)[0]).abs().max().detach()) > 1e-3


@pytest.mark.parametrize("lengths", [None, [6, 2, 4, 5]], ids=["no lengths", "lengths"])
def test_a_gradient_can_be_taken_in_evaluation_and_of_some_tensors_only(lengths):
    layer = BiLSTM(5, 7, 2, batch_first=True).eval().requires_grad_(False)
    layer.weight_hh_l1_reverse.requires_grad_()
    x = torch.randn(4, 6, 5)
    gradients = []
    for kernel in BUILT:
        with use_kernel(kernel):
            gradients.append(torch.autograd.grad(layer(x, None, lengths)[0].sum(), layer.weight_hh_l1_reverse)[0])
        assert last_kernel() == kernel
    assert float(gradients[0].abs().max()) > 0
    for gradient in gradients[:-1]:
        assert_close(gradient, gradients[-1], atol=1e-5)


def test_input_need_not_be_contiguous():
    case = Case(4, 6, 5, 3, lengths=(6, 2, 4, 5))
    strided = torch.stack([case.input(), case.input()], dim=3).flatten(2)[:, :, ::2]
    assert not strided.is_contiguous()
    for kernel in BUILT:
        with use_kernel(kernel):
            here = case.layer(BiLSTM)(strided, None, case.lengths)[0]
            assert_close(here, case.layer(BiLSTM)(case.input(), None, case.lengths)[0])
        assert last_kernel() == kernel


def test_the_first_kernel_that_serves_runs():
    BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    assert last_kernel() == BUILT[0]


def test_a_kernel_that_cannot_serve_hands_over():
    with use_kernel("native"):
        BiLSTM(3, 4).double()(torch.zeros(5, 2, 3).double())
    assert last_kernel() == "torch"
    with use_kernel("torch"):
        BiLSTM(3, 4)(torch.zeros(0, 2, 3))
    assert last_kernel() == "equations"


def test_the_environment_forces_a_kernel_and_the_block_comes_first(monkeypatch):
    monkeypatch.setenv("BILSTM_KERNEL", "equations")
    BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    assert last_kernel() == "equations"
    with use_kernel("torch"):
        BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    assert last_kernel() == "torch"


def test_a_block_ends_where_it_ends_even_by_an_error():
    with pytest.raises(ZeroDivisionError), use_kernel("equations"):
        raise ZeroDivisionError
    BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    assert last_kernel() == BUILT[0]


def test_a_block_holds_for_its_own_thread():
    seen = []

    def elsewhere():
        BiLSTM(3, 4)(torch.zeros(5, 2, 3))
        seen.append(last_kernel())

    with use_kernel("equations"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [BUILT[0]]


def test_an_unknown_kernel_is_named_and_a_near_one_offered(monkeypatch):
    with pytest.raises(ParameterError) as error, use_kernel("equation"):
        pass
    assert str(error.value) == (
        "expected the name of a kernel, got 'equation' (use_kernel)\nhint: did you mean 'equations'?"
    )
    monkeypatch.setenv("BILSTM_KERNEL", "cudnn")
    with pytest.raises(ParameterError) as error:
        BiLSTM(3, 4)(torch.zeros(5, 2, 3))
    assert str(error.value) == (
        "expected the name of a kernel, got 'cudnn' (environment variable BILSTM_KERNEL)\n"
        "hint: there are 'native', 'torch', 'equations'"
    )


def test_without_the_compiled_module_torch_runs(monkeypatch):
    monkeypatch.setattr(core, "compiled", None)
    BiLSTM(3, 4)(torch.zeros(5, 2, 3), lengths=[5, 1])
    assert last_kernel() == "torch"
    assert (core.isas(), core.last_isa()) == ([], "")
    assert explain() == [
        ("native", "not built"),
        ("torch", "runs"),
        ("equations", "torch comes first"),
    ]
    with use_kernel("equations"):
        assert explain()[1:] == [("torch", "equations is forced"), ("equations", "runs")]
