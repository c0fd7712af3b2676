"""A trace shows what the layer computed: its ends are the layer's to the bit, and the equations agree on the rest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch.nn.utils.rnn import pack_sequence

from bilstm.errors import DataError
from bilstm.nn import BiLSTM, core, last_kernel, use_kernel
from bilstm.nn.lstm import equations, kernels, native
from bilstm.nn.lstm.calls import weights_of
from bilstm.nn.lstm.equations import Call, Trace
from tests.cases import CASES, Case
from tests.compare import assert_close
from tests.laws import ROUNDINGS, run
from tests.nn.kernels import ISAS, forced, needs_native
from tests.strategies import FUZZ, cases

SENTENCES = Case(9, 12, 5, 19, layers=2, lengths=(12, 3, 0, 7, 1, 12, 5, 9, 2), states=True, seed=31)
WIDE = Case(40, 6, 7, 100, layers=2, lengths=tuple(row % 7 for row in range(40)), seed=32)  # AMX's in training


def trace(case: Case, layer: BiLSTM | None = None, x: torch.Tensor | None = None) -> Trace:
    layer, x = layer or case.layer(BiLSTM), case.input() if x is None else x
    hx = case.hx(x.dtype)
    return layer.trace(x if layer.batch_first else x.transpose(0, 1), hx, case.lengths)


def by_equations(case: Case, dtype: torch.dtype) -> Trace:
    with use_kernel("equations"), torch.no_grad():
        return trace(case, case.layer(BiLSTM, dtype), case.input(dtype))


def assert_same(found: Trace, expected: Trace, atol: float = 0.0, rtol: float = 0.0) -> None:
    for name, part in expected._asdict().items():
        assert_close(getattr(found, name), part, atol=atol, rtol=rtol, what=name)


def assert_it_ends_as_the_layer_does(found: Trace, results: dict[str, torch.Tensor], case: Case) -> None:
    """To the bit. A row without steps has no part in its own end."""
    shown = torch.cat(list(found.hidden[-1]), dim=2)  # (B, T, D·H)
    assert_close(shown, results["output"], what="hidden of the top layer")
    for row, length in enumerate(case.row_lengths):
        for d, last in enumerate((length - 1, 0)[: case.directions] if length else ()):
            for part, end in ((found.hidden, results["h_n"]), (found.cell, results["c_n"])):
                assert_close(part[:, d, row, last], end[d :: case.directions, row], what=f"end of row {row}, way {d}")


# --- the native kernel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@given(case=cases(dtypes=(torch.float32,), projected=False))
@FUZZ
def test_the_native_trace_ends_as_the_layer_does_and_is_that_of_the_equations(isa, case):
    with forced(isa), case.with_threads(), torch.no_grad():
        results = run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths)
        found = trace(case)
        empty = not (case.batch and case.time)
        assert last_kernel() == ("equations" if empty else "native")
        assert empty or core.last_isa() == isa
    assert_it_ends_as_the_layer_does(found, results, case)
    truth, simple = by_equations(case, torch.float64), by_equations(case, torch.float32)
    for name, expected in truth._asdict().items():
        part, error = getattr(found, name), (getattr(simple, name) - expected).abs()
        largest = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        allowed = ROUNDINGS * torch.finfo(torch.float32).eps * largest
        allowed += 2 * float(error.max()) if error.numel() else 0.0
        assert_close(part, expected, atol=allowed, what=name)
        padding = ~equations.valid_steps(torch.tensor(case.row_lengths).long(), case.input())
        assert_close(part[:, :, padding], expected[:, :, padding] * 0, what=f"{name} on padding")


@pytest.mark.parametrize("isa", ISAS)
def test_the_number_of_threads_changes_no_bit_of_a_trace(isa):
    found = []
    for threads in (1, 2, 3):
        with forced(isa), Case(**{**WIDE.__dict__, "threads": threads}).with_threads(), torch.no_grad():
            found.append(trace(WIDE))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@needs_native
@pytest.mark.parametrize("case", [WIDE, SENTENCES], ids=["wide", "narrow"])
def test_a_trace_is_of_inference_where_training_would_choose_another_instruction_set(case):
    layer = case.layer(BiLSTM)
    with torch.no_grad():
        results = run(layer, case.input(), case.hx(), case.lengths)
        isa = core.last_isa()
        found = trace(case, layer)
        assert core.last_isa() == isa
    assert_it_ends_as_the_layer_does(found, results, case)
    assert_same(trace(case, layer.train()), found)  # where gradients may be wanted, too
    assert (last_kernel(), core.last_isa()) == ("native", isa)


@needs_native
@pytest.mark.parametrize("steps_first", [True, False])
def test_neither_padding_nor_the_way_an_input_lies_in_memory_matters(steps_first):
    layer, x = SENTENCES.layer(BiLSTM, batch_first=not steps_first), SENTENCES.input()
    poisoned = x.clone()
    poisoned[~equations.valid_steps(torch.tensor(SENTENCES.lengths), x)] = float("nan")
    with torch.no_grad():
        expected = trace(SENTENCES)
        for parameter in layer.parameters():
            parameter.data = torch.stack([parameter.data] * 2, dim=-1)[..., 0]
        assert_same(trace(SENTENCES, layer, poisoned), expected)
        assert_same(trace(SENTENCES, layer, torch.stack([poisoned] * 3, dim=-1)[..., 1]), expected)
    assert last_kernel() == "native"


@needs_native
def test_what_dropout_drops_between_layers_is_still_in_the_hidden_states_below():
    layer = SENTENCES.layer(BiLSTM, torch.float32)
    masks = [torch.bernoulli(torch.full((9, 12, 38), 0.6)) / 0.6]
    weights, lengths = weights_of(layer), torch.tensor(SENTENCES.lengths)
    call = Call(SENTENCES.input(), *SENTENCES.hx(), weights, lengths, masks)
    with torch.no_grad():
        found, final = kernels.trace(call), kernels.run(call)
        assert last_kernel() == "native"
        with use_kernel("equations"):
            assert_same(found, kernels.trace(call), atol=1e-5)
    assert_close(torch.cat(list(found.hidden[-1]), dim=2), final.output)


# --- gradients ----------------------------------------------------------------------------------------------


@needs_native
def test_a_traces_gradient_is_that_of_the_equations_first_and_second():
    found = {}
    for kernel, dtype in (("native", torch.float32), ("equations", torch.float64)):
        layer, x = SENTENCES.layer(BiLSTM, dtype), SENTENCES.input(dtype).requires_grad_()
        with use_kernel(kernel):
            steps = trace(SENTENCES, layer, x)
        assert last_kernel() == kernel
        total = steps.forget_gate.sin().sum() + steps.cell.cos().sum()  # and nothing of the other parts
        first = torch.autograd.grad(total, [x, *layer.parameters()], create_graph=True)
        penalty = sum(gradient.pow(2).sum() for gradient in first)
        found[kernel] = [*first, *torch.autograd.grad(penalty, [x, *layer.parameters()])]
    for value, expected in zip(found["native"], found["equations"], strict=True):
        assert_close(value, expected, atol=1e-5 * float(expected.detach().abs().max()))


@needs_native
def test_without_gradients_a_trace_has_none():
    with torch.no_grad():
        assert not any(part.requires_grad for part in trace(SENTENCES))
    assert all(part.requires_grad for part in trace(SENTENCES))


# --- who traces ---------------------------------------------------------------------------------------------


@needs_native
def test_the_equations_trace_where_another_kernel_is_forced_or_the_native_one_cannot_serve(monkeypatch):
    expected = by_equations(SENTENCES, torch.float64)
    for name in ("equations", "torch"):  # torch's routines show no gates
        with use_kernel(name):
            assert_same(trace(SENTENCES), expected, atol=1e-5)
            assert last_kernel() == "equations"
        monkeypatch.setenv("BILSTM_KERNEL", name)
        trace(SENTENCES)
        assert last_kernel() == "equations"
    monkeypatch.setenv("BILSTM_KERNEL", "native")
    assert_same(trace(SENTENCES), expected, atol=1e-5)
    assert last_kernel() == "native"
    assert_same(trace(SENTENCES, SENTENCES.layer(BiLSTM, torch.float64), SENTENCES.input(torch.float64)), expected)
    assert last_kernel() == "equations"
    projected = trace(CASES["projected"])
    assert projected.hidden.shape == (2, 2, 3, 5, 6)
    assert last_kernel() == "equations"


def test_a_trace_needs_no_compiled_module(monkeypatch):
    monkeypatch.setattr(core, "compiled", None)
    assert_same(trace(SENTENCES), by_equations(SENTENCES, torch.float64), atol=1e-5)
    assert last_kernel() == "equations"


@needs_native
def test_whoever_looks_on_as_a_compiler_does_is_shown_the_equations(monkeypatch):
    monkeypatch.setattr(native, "watched", lambda: True)
    assert_same(trace(SENTENCES), by_equations(SENTENCES, torch.float64), atol=1e-5)
    assert last_kernel() == "equations"


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_in_bfloat16_a_trace_is_rounded_as_the_output_is(isa):
    case = Case(**{**SENTENCES.__dict__, "dtype": torch.bfloat16})
    layer = case.layer(BiLSTM)
    with forced(isa), torch.no_grad():
        results, found = run(layer, case.input(), case.hx(), case.lengths), trace(case)
        assert (last_kernel(), core.last_isa()) == ("native", isa)
    assert {part.dtype for part in found} == {torch.bfloat16}
    assert_it_ends_as_the_layer_does(found, results, case)
    assert_same(found, by_equations(case, torch.float64), atol=0.05)
    assert trace(case).cell.requires_grad
    assert last_kernel() == "equations"  # which alone have a gradient in bfloat16


@needs_native
def test_under_autocast_a_trace_is_that_of_the_layer_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        results = run(SENTENCES.layer(BiLSTM), SENTENCES.input(), SENTENCES.hx(), SENTENCES.lengths)
        found = trace(SENTENCES)
    assert last_kernel() == "native"
    assert_it_ends_as_the_layer_does(found, results, SENTENCES)


# --- edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no steps", "no rows", "every row empty", "one step", "nearly all padding"])
def test_a_trace_of_next_to_nothing_has_its_shape_and_ends_as_the_layer_does(name):
    case = CASES[name]
    with torch.no_grad():
        results, found = run(case.layer(BiLSTM), case.input(), case.hx(), case.lengths), trace(case)
    shape = (case.layers, 2, case.batch, case.time, case.hidden)
    assert [tuple(part.shape) for part in found] == [shape] * 6
    assert_it_ends_as_the_layer_does(found, results, case)


def test_a_single_sequence_is_a_batch_of_one():
    layer, x = BiLSTM(3, 4), torch.randn(5, 3)
    assert layer.trace(x).cell.shape == (1, 2, 1, 5, 4)
    assert_same(layer.trace(x), layer.trace(x.unsqueeze(1)))


def test_a_packed_sequence_is_refused_with_the_way_out():
    with pytest.raises(DataError, match="expected a tensor to trace, got a PackedSequence\nhint: pad_packed_sequence"):
        BiLSTM(3, 4).trace(pack_sequence([torch.randn(5, 3)]))
