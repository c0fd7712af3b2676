"""The forecaster's network: the last value, a linear map, and what the BiLSTM adds; gradients and scales."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from bilstm.data.batch import Sequences
from bilstm.networks.forecast import LEAST_SCALE, ForecastNetwork
from tests.compare import assert_close
from tests.strategies import FUZZ


@st.composite
def networks(draw):
    """A network whose head has learned something, and windows for it."""
    torch.manual_seed(draw(st.integers(0, 999)))
    K, beside, future = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(0, 3))
    T, h, B = draw(st.integers(2, 7)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    network = ForecastNetwork(
        K + beside,
        K,
        history=T,
        horizon=h,
        hidden_size=draw(st.sampled_from([1, 3, 5])),
        future_size=future,
        num_layers=draw(st.integers(1, 2)),
        changes=draw(st.booleans()),
        rescale=draw(st.booleans()),
        with_linear=draw(st.booleans()),
    )
    return learned(network).eval(), windows(B, T, K + beside, h, future)


def learned(network):
    """The network with a head and a linear map that are not zero."""
    for name, tensor in network.state_dict().items():
        if name.startswith(("output", "ahead.output")) or name == "linear":
            tensor.copy_(torch.randn_like(tensor) / 3)
        elif name.endswith(("sizes", "size")):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def windows(B, T, F, h, future=0):
    ahead = Sequences(torch.randn(B * h, future).numpy(), np.full(B, h)) if future else None
    return Sequences(torch.randn(B * T, F).numpy(), np.full(B, T), future=ahead).whole


@FUZZ
@given(networks())
def test_a_network_that_knows_nothing_forecasts_the_last_value(case):
    network, batch = case
    for name, tensor in network.state_dict().items():
        if name.startswith(("output", "ahead.output")) or name == "linear":
            tensor.zero_()
    K, h = network.targets, network.horizon
    assert_close(network(batch), batch.values[:, -1, :K].repeat(1, h))


@FUZZ
@given(networks())
def test_without_a_share_of_the_bilstm_the_linear_map_is_left(case):
    network, batch = case
    network.share.fill_(0.0)
    K, h = network.targets, network.horizon
    z = batch.values[..., :K].double().numpy()
    weights = network.linear.double().numpy()
    expected = np.repeat(z[:, -1:], h, axis=1)
    if network.with_linear:
        step = np.einsum("btk,th->bhk", z - z[:, -1:], weights[:-1]) + weights[-1][:, None]
        expected = expected + step
    assert_close(network(batch).view(-1, h, K), expected, atol=1e-5)


def test_the_linear_map_may_be_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    z = generator.normal(size=300).cumsum()
    X = np.stack([z[t : t + 8] for t in range(280)])
    y = np.stack([z[t + 8 : t + 10] for t in range(280)])
    ridge = Ridge(alpha=0.1).fit(X - X[:, -1:], y - X[:, -1:])
    network = ForecastNetwork(1, 1, history=8, horizon=2, hidden_size=3).eval()
    network.linear.copy_(torch.from_numpy(np.vstack([ridge.coef_.T, ridge.intercept_])))
    batch = Sequences(X.reshape(-1, 1).astype(np.float32), np.full(280, 8)).whole
    assert_close(network(batch), ridge.predict(X - X[:, -1:]) + X[:, -1:], atol=1e-4)


@FUZZ
@given(networks())
def test_the_share_is_how_much_of_the_bilstm_counts(case):
    network, batch = case
    outputs = {}
    for share in (0.0, 0.25, 1.0):
        network.share.fill_(share)
        outputs[share] = network(batch).detach()
    assert_close(outputs[0.25], 0.75 * outputs[0.0] + 0.25 * outputs[1.0], atol=1e-5)


@FUZZ
@given(networks(), st.floats(-50, 50))
def test_a_window_on_another_level_is_forecast_on_that_level(case, level):
    network, batch = case
    before = network(batch).detach()
    batch.values[..., : network.targets] += level
    assert_close(network(batch), before + level, atol=2e-4 * (1 + abs(level)))


@FUZZ
@given(networks())
def test_all_gradients_are_finite_and_every_weight_has_one(case):
    network, batch = case
    network.train()(batch).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_window_without_changes_has_finite_outputs_and_gradients(value):
    torch.manual_seed(0)
    network = learned(ForecastNetwork(1, 1, history=6, horizon=2, hidden_size=3, rescale=True, changes=True))
    batch = Sequences(np.full((6, 1), value), [6]).whole
    batch.values.requires_grad_(True)
    network(batch).sum().backward()
    assert batch.values.grad.isfinite().all()
    assert_close(network.scale(batch.values.detach()), np.full((1, 1, 1), LEAST_SCALE), rtol=1e-6)


@FUZZ
@given(st.integers(1, 3), st.floats(0.1, 20), st.booleans())
def test_with_rescale_what_the_bilstm_adds_grows_with_the_windows_changes(K, factor, changes):
    torch.manual_seed(0)
    options = {"history": 6, "horizon": 2, "hidden_size": 3, "changes": changes}
    network = learned(ForecastNetwork(K, K, rescale=True, **options)).eval()
    batch = windows(4, 6, K, 2)
    last = batch.values[:, -1:].clone()
    before = network(batch).detach().view(4, 2, K) - last
    batch.values.copy_(last + factor * (batch.values - last))
    step = network(batch).view(4, 2, K) - last
    intercept = network.linear[-1][None, :, None]  # that of the linear map is in fixed units
    assert_close(step - intercept, factor * (before - intercept), atol=1e-4 * (1 + factor))


def test_what_is_known_ahead_of_a_step_moves_the_forecast_of_that_step_alone():
    torch.manual_seed(0)
    network = learned(ForecastNetwork(1, 1, history=5, horizon=3, hidden_size=8, future_size=2)).eval()
    batch = windows(4, 5, 1, 3, 2)
    before = network(batch).detach()
    batch.future[:, 1] += 1.0
    moved = (network(batch) - before).abs()
    assert (moved[:, 1] > 0).all()
    assert_close(moved[:, [0, 2]], np.zeros((4, 2)))


def test_the_bilstm_reads_the_columns_beside_the_targets():
    torch.manual_seed(0)
    network = learned(ForecastNetwork(3, 1, history=5, horizon=2, hidden_size=4)).eval()
    batch = windows(4, 5, 3, 2)
    before = network(batch).detach()
    batch.values[:, 0, 2] += 1.0
    assert ((network(batch) - before).abs() > 0).all()
