"""The CRF as a citizen of torch: types, memory layouts, copies, devices without numbers, and its mistakes in words."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bilstm.errors import DataError, ParameterError
from bilstm.nn import CRF, core, last_kernel, use_kernel
from tests.compare import assert_close

BEST_KERNEL = "native" if core.isas() else "equations"
RULES = {
    "allowed": np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]) > 0,
    "first": np.array([True, False, True]),
    "last": np.array([True, True, False]),
}


def a_batch(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    emissions = torch.randn(4, 6, 3, generator=generator).to(dtype)
    return emissions, torch.randint(3, (4, 6), generator=generator), torch.tensor([6, 0, 3, 1])


def step(crf, emissions, tags, lengths):
    """Losses and gradients."""
    leaf = emissions.clone().requires_grad_()
    losses = crf(leaf, tags, lengths)
    return [losses.detach(), *torch.autograd.grad(losses.sum(), [leaf, *crf.parameters()])]


def assert_all_close(found, expected, **tolerances):
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, **tolerances)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_emissions_of_any_floating_type_give_their_own_gradient(dtype):
    crf, (emissions, tags, lengths) = CRF(3), a_batch(dtype)
    losses, *gradients = step(crf, emissions, tags, lengths)
    assert last_kernel() == ("equations" if dtype == torch.float64 else BEST_KERNEL)
    assert losses.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert [gradient.dtype for gradient in gradients] == [dtype, *[torch.float32] * 3]
    expected = step(copy.deepcopy(crf).double(), emissions.double(), tags, lengths)
    assert_close(losses, expected[0], rtol=1e-6, atol=1e-6)
    assert_all_close(gradients, expected[1:], rtol=5e-3 if dtype.itemsize == 2 else 1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.02), (torch.float64, 1e-6)])
def test_a_module_in_half_precision_or_double_gives_the_numbers_of_one_in_float32(dtype, error):
    crf, (emissions, tags, lengths) = CRF(3), a_batch()
    expected = step(crf, emissions, tags, lengths)
    found = step(copy.deepcopy(crf).to(dtype), emissions.to(dtype), tags, lengths)
    assert [gradient.dtype for gradient in found[1:]] == [dtype] * 4
    assert_all_close(found, expected, atol=error, rtol=error)


def test_how_tensors_lie_in_memory_changes_nothing():
    crf, (emissions, tags, lengths) = CRF(3, **RULES), a_batch()
    tags = crf.decode(emissions, lengths)[0]
    expected = step(crf, emissions, tags, lengths)
    turned = emissions.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not turned.is_contiguous()
    found = step(crf, turned, tags.T.contiguous().T.int(), lengths.int().tolist())
    assert_all_close(found, expected)
    assert_all_close(crf.decode(turned, lengths), crf.decode(emissions, lengths))


def test_a_weight_of_each_row_may_be_one_number_for_all():
    """Its gradient is then an expanded tensor, of one number in memory."""
    crf, (emissions, tags, lengths) = CRF(3), a_batch()
    crf(emissions, tags, lengths).sum().backward()
    together = crf.transitions.grad.clone()
    crf.zero_grad()
    (crf(emissions, tags, lengths) * torch.ones(4)).sum().backward()
    assert_close(crf.transitions.grad, together)


def test_a_graph_that_is_kept_gives_its_gradient_twice():
    crf, (emissions, tags, lengths) = CRF(3), a_batch()
    loss = crf(emissions, tags, lengths).sum()
    first = torch.autograd.grad(loss, list(crf.parameters()), retain_graph=True)
    assert_all_close(torch.autograd.grad(loss, list(crf.parameters())), first)


def test_torch_func_goes_to_the_equations():
    crf, (emissions, tags, lengths) = CRF(3), a_batch()
    expected = step(crf, emissions, tags, lengths)[1]
    found = torch.func.grad(lambda x: crf(x, tags, lengths).sum())(emissions)
    assert last_kernel() == "equations"
    assert_close(found, expected, atol=1e-6)


@pytest.mark.parametrize("kernel", ["native", "torch", "equations"])
def test_a_forced_kernel_is_the_one_that_runs(kernel):
    crf, (emissions, tags, lengths) = CRF(3), a_batch()
    for call in (
        lambda: crf(emissions, tags, lengths),
        lambda: crf.log_partition(emissions, lengths),
        lambda: crf.marginals(emissions, lengths),
        lambda: crf.decode(emissions, lengths),
    ):
        with use_kernel(kernel):
            call()
        assert last_kernel() == (BEST_KERNEL if kernel == "native" else "equations")


@pytest.mark.parametrize(("rows", "steps"), [(0, 4), (3, 0), (0, 0)])
def test_a_batch_without_rows_or_steps_is_no_mistake(rows, steps):
    crf, emissions = CRF(3, **RULES), torch.zeros(rows, steps, 3)
    assert_close(crf(emissions, torch.zeros(rows, steps, dtype=torch.int64)), torch.zeros(rows))
    assert crf.marginals(emissions).shape == (rows, steps, 3)
    assert crf.decode(emissions)[0].shape == (rows, steps)
    assert crf.best(emissions, n=2)[0].shape == (rows, 2, steps)


def test_a_copy_and_a_module_with_its_state_give_the_same():
    crf, (emissions, tags, lengths) = CRF(3, **RULES), a_batch()
    tags = crf.decode(emissions, lengths)[0]
    assert sorted(crf.state_dict()) == ["end", "start", "transitions"]
    other = CRF(3, **RULES)
    other.load_state_dict(crf.state_dict())
    with torch.device("meta"):
        empty = CRF(3, **RULES)
    assert empty.transitions.is_meta
    empty.load_state_dict(crf.state_dict(), assign=True)
    expected = step(crf, emissions, tags, lengths)
    for twin in (copy.deepcopy(crf), other, empty):
        assert_all_close(step(twin, emissions, tags, lengths), expected)


def test_a_rule_is_the_modules_own():
    mask = RULES["allowed"].copy()
    crf = CRF(3, allowed=mask)
    mask[:] = False
    assert_close(crf.allowed, RULES["allowed"])
    assert "3, allowed=…" in repr(crf)


def test_a_crf_learns_what_follows_what():
    torch.manual_seed(0)
    crf, tags = CRF(3), torch.arange(12).remainder(3).repeat(4, 1)
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        crf(torch.zeros(4, 12, 3), tags).mean().backward()
        optimizer.step()
    assert_close(crf.decode(torch.zeros(1, 12, 3))[0], tags[:1])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda crf: CRF(0), ParameterError, "expected num_tags of at least 1, got 0"),
        (
            lambda crf: CRF(3, first=np.ones(2, dtype=bool)),
            ParameterError,
            r"of shape \(3,\), got bool of shape \(2,\)",
        ),
        (lambda crf: CRF(3, allowed=np.ones((3, 3))), ParameterError, "got float64 of shape"),
        (
            lambda crf: crf.decode(torch.zeros(2, 5, 4)),
            DataError,
            r"expected emissions of shape \(B, T, 3\), got \(2, 5, 4\)",
        ),
        (lambda crf: crf.decode(torch.zeros(5, 3)), DataError, r"got \(5, 3\)"),
        (lambda crf: crf.decode(torch.zeros(2, 5, 3, dtype=torch.int64)), DataError, "floating type, got torch.int64"),
        (lambda crf: crf.decode(torch.zeros(2, 5, 3), [5, 6]), DataError, "lengths from 0 to 5.*got 6"),
        (lambda crf: crf.decode(torch.zeros(2, 5, 3), [5]), DataError, "expected 2 lengths"),
        (lambda crf: crf.best(torch.zeros(2, 5, 3), n=0), ParameterError, "expected n of at least 1, got 0"),
        (
            lambda crf: crf(torch.zeros(2, 5, 3), torch.zeros(2, 4).long()),
            DataError,
            r"shape \(2, 5\).*got int64 of shape",
        ),
        (lambda crf: crf(torch.zeros(2, 5, 3), torch.zeros(2, 5)), DataError, "whole numbers.*got float32"),
        (
            lambda crf: crf(torch.zeros(1, 2, 3), torch.tensor([[0, 3]])),
            DataError,
            r"from 0 to 2, got 3 \(row 0, step 1\)",
        ),
        (
            lambda crf: crf.log_probability(torch.zeros(1, 2, 3), None, torch.ones(1, 2, 3)),
            DataError,
            "permitted as truth values.*got float32",
        ),
    ],
)
def test_a_mistake_is_said_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make(CRF(3))
