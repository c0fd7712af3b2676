"""Integrated gradients: closed forms, brute force in double precision, and the two directions by finite differences."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bilstm.data.batch import Batch
from bilstm.networks.network import POOLING_NAMES, Network
from bilstm.nn import BiLSTM
from bilstm.nn.core import use_kernel
from bilstm.xray import paths
from bilstm.xray.opened import Opened
from bilstm.xray.paths import TOLERANCE, integrate
from tests.compare import assert_close


def batch_of(values):
    return Batch(values, torch.tensor([values.shape[1]]), torch.tensor([0]))


def first(outputs, which):
    return outputs.gather(1, which[:, None]).squeeze(1)


def random_network(T=4, F=3, H=5, layers=2, pooling="final", seed=0, K=2):
    """A network with large weights, and a sequence."""
    torch.manual_seed(seed)
    network = Network(F, K, hidden_size=H, num_layers=layers, pooling=pooling)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network, torch.randn(1, T, F)


def integrated(network, x, baseline=None, owners=None, K=2, **limits):
    opened = Opened(network, batch_of(x))
    baseline = torch.zeros_like(x[0]) if baseline is None else baseline
    owners = np.arange(x.shape[2]) if owners is None else owners
    return integrate(opened, baseline, first, K, owners, opened.directions, **limits)


def brute_force(network, x, baseline, k, points=4000):
    """The midpoint rule in double precision, by the equations: (T, F)."""
    wide = copy.deepcopy(network).double().eval()
    way = x[0].double() - baseline.double()
    with use_kernel("equations"):
        places = (torch.arange(points, dtype=torch.float64) + 0.5) / points
        rows = (baseline.double() + places[:, None, None] * way).requires_grad_()
        wide(Batch(rows, torch.full((points,), x.shape[1]), torch.arange(points)))[:, k].sum().backward()
    return (rows.grad.mean(dim=0) * way).numpy()


def test_of_one_number_the_amount_is_the_whole_difference():
    network, x = random_network(T=1, F=1)
    with torch.no_grad():
        difference = network(batch_of(x)) - network(batch_of(torch.zeros_like(x)))
    for k, path in enumerate(integrated(network, x)):
        assert_close(path.amounts.sum(), float(difference[0, k]), atol=path.tolerance)


class Linear(nn.Module):
    """A linear map of the steps beside a BiLSTM that counts for nothing."""

    def __init__(self, T, F):
        super().__init__()
        self.lstm = BiLSTM(F, 2, batch_first=True)
        self.weights = nn.Parameter(torch.randn(T, F))
        self.register_buffer("share", torch.zeros(()))

    def forward(self, batch):
        out = torch.einsum("btf,tf->b", batch.values, self.weights)[:, None]
        return out + self.share * self.lstm(batch.values)[0].sum() if self.share > 0 else out


def test_of_a_linear_map_the_amounts_are_weights_times_distances():
    torch.manual_seed(0)
    network, x, baseline = Linear(4, 3), torch.randn(1, 4, 3), torch.randn(4, 3)
    opened = Opened(network, batch_of(x))
    (path,) = integrate(opened, baseline, first, 1, np.arange(3), opened.directions)
    expected = (network.weights * (x[0] - baseline)).detach()
    assert_close(path.amounts[2], expected, atol=1e-6)
    assert_close(path.amounts[:2], np.zeros((2, 4, 3)))
    assert opened.trace().hidden.shape == (1, 2, 4, 2)
    assert float(opened.network.share) == 0


@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_the_amounts_are_those_of_brute_force_in_double_precision(pooling):
    network, x = random_network(pooling=pooling, seed=3)
    baseline = 0.3 * torch.randn(4, 3)
    for k, path in enumerate(integrated(network, x, baseline)):
        assert_close(path.amounts.sum(axis=0), brute_force(network, x, baseline, k), atol=4 * path.tolerance)


def test_numbers_of_one_feature_are_summed():
    network, x = random_network(F=4)
    apart, together = integrated(network, x), integrated(network, x, owners=np.array([0, 1, 1, 0]))
    for one, other in zip(apart, together, strict=True):
        summed = np.stack([one.amounts[..., [0, 3]].sum(-1), one.amounts[..., [1, 2]].sum(-1)], axis=-1)
        assert_close(other.amounts, summed, atol=1e-5)


def by_halves(network, x_forward, x_backward):
    """What a network says where each direction of its top layer has read a sequence of its own."""
    wide = copy.deepcopy(network).double().eval()
    H = wide.lstm.hidden_size
    with torch.no_grad(), use_kernel("equations"):
        (out_f, (h_f, _)), (out_b, (h_b, _)) = (wide.lstm(x) for x in (x_forward, x_backward))
        output = torch.cat([out_f[..., :H], out_b[..., H:]], dim=2)
        h_n = torch.cat([h_f[:-1], h_b[-1:]])

        class Said(nn.Module):
            def forward(self, *_, **__):
                return output, (h_n, None)

        wide.lstm = Said()
        return wide(batch_of(x_forward))[0]


@pytest.mark.parametrize("pooling", ["final", "attention"])
def test_each_direction_has_the_gradient_of_finite_differences(pooling):
    network, x = random_network(T=3, F=2, H=4, pooling=pooling, seed=5)
    opened = Opened(copy.deepcopy(network).double(), batch_of(x.double()))
    with use_kernel("equations"):
        found = opened.gradients(x.double(), torch.tensor([1]), first, opened.directions)[:, 0]  # (3, T, F)
    step = 1e-5
    for t in range(3):
        for f in range(2):
            moved = torch.zeros_like(x, dtype=torch.float64)
            moved[0, t, f] = step
            up, down, same = x + moved, x - moved, x.double()
            past = (by_halves(network, up, same) - by_halves(network, down, same))[1] / (2 * step)
            future = (by_halves(network, same, up) - by_halves(network, same, down))[1] / (2 * step)
            assert_close(found[0, t, f], past, atol=1e-7)
            assert_close(found[1, t, f], future, atol=1e-7)
    assert_close(found[2], torch.zeros(3, 2, dtype=torch.float64))


def test_the_ways_together_are_the_gradient():
    network, x = random_network()
    opened = Opened(network, batch_of(x))
    which = torch.tensor([0])
    apart = opened.gradients(x, which, first, opened.directions).sum(dim=0)
    together = opened.gradients(x, which, first, opened.together).sum(dim=0)
    own = x.clone().requires_grad_()
    network.eval()(batch_of(own))[0, 0].backward()
    assert_close(apart, own.grad, atol=1e-6)
    assert_close(together, own.grad, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    T=st.integers(1, 9),
    F=st.integers(1, 4),
    H=st.integers(1, 9),
    layers=st.integers(1, 3),
    pooling=st.sampled_from(POOLING_NAMES),
    seed=st.integers(0, 99),
)
def test_the_amounts_add_up_whatever_the_sizes(T, F, H, layers, pooling, seed):
    network, x = random_network(T, F, H, layers, pooling, seed)
    with torch.no_grad():
        value, start = network.eval()(batch_of(x))[0], network(batch_of(torch.zeros_like(x)))[0]
    for k, path in enumerate(integrated(network, x)):
        assert_close([path.value, path.baseline], [float(value[k]), float(start[k])], atol=1e-5)
        assert_close(path.value - path.baseline - path.amounts.sum(), path.gap, atol=1e-9)
        assert abs(path.gap) <= path.tolerance
        assert path.tolerance == TOLERANCE * max(abs(path.value - path.baseline), 0.1)


def test_work_is_bounded_and_what_is_missing_is_told():
    network, x = random_network(T=6, H=8, seed=11)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    found = integrated(network, 3 * x, most_pieces=1)
    assert any(abs(path.gap) > path.tolerance for path in found)
    for path in found:
        assert_close(path.value - path.baseline - path.amounts.sum(), path.gap, atol=1e-9)


def test_many_rows_at_once_or_one_at_a_time_are_the_same(monkeypatch):
    network, x = random_network()
    whole = integrated(network, x)
    monkeypatch.setattr(paths, "MOST_NUMBERS", 1)
    for one, other in zip(whole, integrated(network, x), strict=True):
        assert_close(other.amounts, one.amounts, atol=1e-5)


def test_amounts_do_not_depend_on_how_many_become_amounts_together(monkeypatch):
    network, x = random_network()
    owners = np.array([1, 0, 1])
    whole = integrated(network, x, owners=owners)
    monkeypatch.setattr(paths, "AT_ONCE", 1)
    for one, other in zip(whole, integrated(network, x, owners=owners), strict=True):
        assert_close(other.amounts, one.amounts, rtol=1e-14, atol=1e-16)


def test_the_network_stays_as_it_was():
    network, x = random_network()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    integrated(network, x)
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    for name, value in network.state_dict().items():
        assert_close(value, before[name])
