"""Layers above a BiLSTM give a row the same bits alone and among others, and are as exact as torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bilstm.networks import batch_invariant
from bilstm.networks.network import attention_pool, mean_pool
from tests.compare import assert_close

sizes = st.integers(1, 40)


@settings(max_examples=60)
@given(rows=st.integers(1, 70), inputs=sizes, outputs=sizes, seed=st.integers(0, 9))
def test_a_row_has_the_same_bits_alone_and_among_others(rows, inputs, outputs, seed):
    torch.manual_seed(seed)
    layer, values = nn.Linear(inputs, outputs), torch.randn(rows, inputs) * 10 ** torch.randn(rows, 1)
    with torch.inference_mode():
        together = batch_invariant.linear(layer, values)
        alone = torch.cat([batch_invariant.linear(layer, row[None]) for row in values])
        assert_close(together, alone, rtol=0, atol=0)


@pytest.mark.parametrize("inputs", [1, 3, 64, 128, 600, 1024])
def test_its_error_is_no_larger_than_the_librarys(inputs):
    torch.manual_seed(0)
    layer, values = nn.Linear(inputs, 30), torch.randn(50, inputs).relu()
    values[3] = 0
    with torch.inference_mode():
        exact = values.double() @ layer.weight.double().T + layer.bias.double()
        ours = (batch_invariant.linear(layer, values).double() - exact).abs()
        theirs = (layer(values).double() - exact).abs()
    assert ours.max() <= theirs.max()
    assert (ours <= 2.0**-23 * (1 + exact.abs())).all()


def test_training_and_gradients_take_the_librarys_way():
    layer, values = nn.Linear(5, 3), torch.randn(4, 5)
    assert_close(batch_invariant.linear(layer, values), layer(values), rtol=0, atol=0)
    assert batch_invariant.linear(layer, values).requires_grad


def test_what_is_no_number_stays_none():
    layer = nn.Linear(3, 2)
    with torch.inference_mode():
        found = batch_invariant.linear(layer, torch.tensor([[float("nan"), 1, 2], [1, 2, 3]]))
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12), width=st.integers(1, 9))
def test_a_row_is_pooled_alike_whatever_it_is_padded_to(lengths, width):
    torch.manual_seed(len(lengths))
    longest = max(lengths)
    states = torch.randn(len(lengths), longest, width)
    for row, length in enumerate(lengths):
        states[row, length:] = 0
    scores, all_lengths = torch.randn(len(lengths), longest), torch.tensor(lengths)
    with torch.inference_mode():
        for pool, others in ((mean_pool, ()), (attention_pool, (scores,))):
            together = batch_invariant.by_length(pool, states, all_lengths, *others)
            assert_close(together, pool(states, all_lengths, *others), rtol=1e-5, atol=1e-6)
            for row, length in enumerate(lengths):
                cut = [steps[row : row + 1, :length] for steps in (states, *others)]
                alone = batch_invariant.by_length(pool, cut[0], all_lengths[row : row + 1], *cut[1:])
                assert_close(together[row : row + 1], alone, rtol=0, atol=0)
