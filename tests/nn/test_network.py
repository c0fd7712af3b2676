"""The network on top of the layer: pooling sees valid steps only, and the classic network is what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bilstm.data.batch import Batch, Sequences
from bilstm.networks.network import POOLING_NAMES, Network
from tests.compare import assert_close

lengths_of = st.lists(st.integers(1, 6), min_size=1, max_size=6)


def a_batch(lengths, features=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(sum(lengths), features, generator=generator).numpy()
    return Sequences(steps, lengths).batch(range(len(lengths)))


@given(lengths_of, st.sampled_from(POOLING_NAMES), st.integers(1, 3))
def test_a_sequence_gives_the_same_alone_and_padded_among_others(lengths, pooling, layers):
    torch.manual_seed(1)
    network = Network(3, 2, hidden_size=5, num_layers=layers, pooling=pooling).eval()
    batch = a_batch(lengths)
    together = network(batch)
    for row, length in enumerate(lengths):
        alone = Batch(batch.values[row : row + 1, :length], batch.lengths[row : row + 1], torch.tensor([0]))
        assert_close(together[row], network(alone)[0], atol=1e-6, what=f"row {row}")


@given(lengths_of, st.sampled_from(POOLING_NAMES))
def test_what_stands_in_the_padding_never_matters(lengths, pooling):
    torch.manual_seed(2)
    network = Network(3, 2, hidden_size=4, pooling=pooling).eval()
    batch = a_batch(lengths)
    poisoned = batch.values.clone()
    for row, length in enumerate(lengths):
        poisoned[row, length:] = float("nan")
    assert_close(network(Batch(poisoned, batch.lengths, batch.rows)), network(batch))


def test_the_classic_network_is_lstm_last_states_relu_linear_relu_linear():
    torch.manual_seed(3)
    network = Network(13, 1, hidden_size=32, num_layers=4).eval()
    lstm = nn.LSTM(13, 32, 4, bidirectional=True, batch_first=True)
    lstm.load_state_dict(network.lstm.state_dict())
    batch = a_batch([1] * 7, features=13)
    _, (h_n, _) = lstm(batch.values)
    last = torch.cat([h_n[-2], h_n[-1]], dim=1).relu()
    assert_close(network(batch), network.output(network.hidden(last).relu()), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_equals_numpy_over_the_valid_steps(pooling):
    torch.manual_seed(4)
    network = Network(3, 2, hidden_size=4, pooling=pooling).eval()
    batch = a_batch([2, 5, 1])
    states, _ = network.lstm(batch.values, lengths=batch.lengths)
    rows = [getattr(np, pooling)(states[i, :t].detach().numpy(), axis=0) for i, t in enumerate([2, 5, 1])]
    pooled = torch.tensor(np.stack(rows))
    assert_close(network(batch), network.output(network.hidden(pooled.relu()).relu()), atol=1e-6)


def test_input_noise_is_of_the_given_size_and_in_training_only():
    network = Network(3, 2, hidden_size=4, input_noise=0.5)
    batch = Batch(torch.zeros(400, 5, 3), torch.full((400,), 5), torch.arange(400))
    seen = []
    network.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(batch)
    network.eval()(batch)
    assert_close(seen[0].std(), 0.5, rtol=0.05)
    assert_close(seen[1], batch.values)
    assert_close(batch.values, torch.zeros(400, 5, 3), what="the caller's batch")
