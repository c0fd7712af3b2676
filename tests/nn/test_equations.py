"""The law book against strangers: torch's cell, numerical derivatives, and its own trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bilstm.nn import BiLSTM
from bilstm.nn.lstm import equations
from bilstm.nn.lstm.calls import weights_of
from bilstm.nn.lstm.equations import Call, Weights
from tests.cases import CASES
from tests.compare import assert_close


def small_call(lengths=(3, 0, 2), **options) -> Call:
    torch.manual_seed(0)
    layer = BiLSTM(2, 3, num_layers=2, dtype=torch.float64, batch_first=True, **options)
    B, T, D, H_out = len(lengths), 3, 2, options.get("proj_size", 0) or 3
    weights = [[Weights(*(_leaf(part) for part in way)) for way in ways] for ways in weights_of(layer)]
    return Call(
        torch.randn(B, T, 2, dtype=torch.float64, requires_grad=True),
        torch.randn(2 * D, B, H_out, dtype=torch.float64, requires_grad=True),
        torch.randn(2 * D, B, 3, dtype=torch.float64, requires_grad=True),
        weights,
        torch.tensor(lengths),
        [torch.rand(B, T, D * H_out, dtype=torch.float64) * 2],
    )


def _leaf(tensor):
    return None if tensor is None else tensor.detach().clone().requires_grad_()


def test_a_step_is_that_of_torchs_cell():
    torch.manual_seed(1)
    cell = nn.LSTMCell(4, 3, dtype=torch.float64)
    x, h, c = (torch.randn(5, width, dtype=torch.float64) for width in (4, 3, 3))
    now = equations.step(x, h, c, Weights(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, None))
    expected_h, expected_c = cell(x, (h, c))
    assert_close(now.hidden, expected_h, atol=1e-15)
    assert_close(now.cell, expected_c, atol=1e-15)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"proj_size": 2}], ids=str)
def test_first_and_second_derivatives_are_numerically_right(options):
    call = small_call(**options)
    tensors = [tensor for ways in call.weights for way in ways for tensor in way if tensor is not None]

    def run(x, h0, c0, *flat):
        parts = iter(flat)
        weights = [
            [Weights(*(None if part is None else next(parts) for part in way)) for way in ways] for ways in call.weights
        ]
        return tuple(equations.run(Call(x, h0, c0, weights, call.lengths, call.masks)))

    inputs = (call.input, call.h0, call.c0, *tensors)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def test_the_trace_obeys_the_equations_at_every_step():
    call = small_call(lengths=(3, 3, 3))
    trace = equations.trace(call)
    assert trace.cell.shape == (2, 2, 3, 3, 3)
    for d, order in enumerate(([0, 1, 2], [2, 1, 0])):
        before = call.c0.unflatten(0, (2, 2))[:, d]
        for t in order:
            i, f, g, o, c, h = (part[:, d, :, t] for part in trace)
            assert_close(c, f * before + i * g, what=f"cell, direction {d}, step {t}")
            assert_close(h, o * torch.tanh(c), what=f"hidden, direction {d}, step {t}")
            before = c


def test_the_top_layer_of_the_trace_is_the_output():
    call = small_call()
    hidden = equations.trace(call).hidden[-1]
    assert_close(torch.cat([hidden[0], hidden[1]], dim=2), equations.run(call).output)


def test_the_trace_is_zero_on_padding():
    call = small_call(lengths=(3, 0, 2))
    padding = ~equations.valid_steps(call.lengths, call.input)
    for name, part in equations.trace(call)._asdict().items():
        there = part[:, :, padding]
        assert_close(there, torch.zeros_like(there), what=name)


def test_masks_stand_between_layers():
    call = small_call(lengths=(3, 3, 3))
    below = equations.run(call._replace(h0=call.h0[:2], c0=call.c0[:2], weights=call.weights[:1], masks=None))
    above = equations.run(
        Call(below.output * call.masks[0], call.h0[2:], call.c0[2:], call.weights[1:], call.lengths, None)
    )
    assert_close(equations.run(call).output, above.output)


@pytest.mark.parametrize("name", ["no steps", "no rows"])
def test_an_empty_batch_keeps_its_states(name):
    case = CASES[name]
    layer, hx = case.layer(BiLSTM), case.hx()
    final = equations.run(Call(case.input(), *hx, weights_of(layer), torch.tensor(case.row_lengths).long(), None))
    assert final.output.shape == (case.batch, case.time, 2 * case.hidden)
    assert_close(final.h_n, hx[0])
    assert_close(final.c_n, hx[1])


def test_nan_in_the_padding_reaches_no_gradient():
    call = small_call(lengths=(1, 0, 2))
    x = call.input.detach().clone()
    x[~equations.valid_steps(call.lengths, x)] = float("nan")
    x.requires_grad_()
    final = equations.run(call._replace(input=x))
    parts = [tensor for ways in call.weights for way in ways for tensor in way if tensor is not None]
    for gradient in torch.autograd.grad(sum(part.sum() for part in final), [x, *parts]):
        assert bool(gradient.isfinite().all())
