"""The network of the transcriber beside torch.nn.LSTM in float64: whole, in blocks, and under masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bilstm.data.batch import Batch
from bilstm.estimators.recognition import in_blocks
from bilstm.networks.speech import BANDS, LONGEST_SPAN, MOST_STEPS, SPANS, WIDEST_BAND, SpeechNetwork, masked
from tests.compare import assert_close
from tests.strategies import FUZZ


def network(F=4, H=3, L=2, K=5, seed=0):
    torch.manual_seed(seed)
    return SpeechNetwork(F, K, hidden_size=H, num_layers=L).eval()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch_of(values):
    return Batch(values, torch.full((len(values),), values.shape[1]), torch.arange(len(values)))


def cell(net, layer, suffix):
    """One direction of one layer as torch's own layer in float64."""
    parts = {name: net.lstm.get_parameter(f"{name}_l{layer}{suffix}") for name in NAMES}
    lstm = nn.LSTM(parts["weight_ih"].shape[1], parts["weight_hh"].shape[1], batch_first=True).double()
    lstm.load_state_dict({f"{name}_l0": part.double() for name, part in parts.items()})
    return lstm


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def oracle(net, values, cuts, ahead):
    """Scores (B, T, K) in float64 of values that are heard in blocks, each with ``ahead`` steps behind it."""
    layers, scores, first = net.lstm.num_layers, [], 0
    states = [None] * layers
    for last in cuts:
        x = values[:, first : min(last + ahead, values.shape[1])].double()
        for layer in range(layers):
            forward, backward = cell(net, layer, ""), cell(net, layer, "_reverse")
            kept, states[layer] = forward(x[:, : last - first], states[layer])
            rest = forward(x[:, last - first :], states[layer])[0] if x.shape[1] > last - first else kept[:, :0]
            behind = backward(x.flip(1))[0].flip(1)
            x = torch.cat([torch.cat([kept, rest], 1), behind], 2)
        scores.append(x[:, : last - first] @ net.output.weight.double().T + net.output.bias.double())
        first = last
    return torch.cat(scores, 1)


def blocks_of(net, values, cuts, ahead):
    states, scores, first = None, [], 0
    for last in cuts:
        found, states = net.block(values[:, first : last + ahead], last - first, states)
        scores.append(found)
        first = last
    return torch.cat(scores, 1)


@st.composite
def cut_cases(draw):
    """Shapes, and where a recording is cut into blocks."""
    T = draw(st.integers(1, 9))
    cuts = sorted({*draw(st.lists(st.integers(1, T), max_size=4)), T})
    shape = {"F": draw(st.integers(1, 5)), "H": draw(st.sampled_from([1, 3, 9])), "L": draw(st.integers(1, 3))}
    return network(**shape, seed=draw(st.integers(0, 99))), normal(draw(st.integers(1, 3)), T, shape["F"]), cuts


@FUZZ
@given(cut_cases())
@torch.no_grad()
def test_blocks_that_see_all_that_is_to_come_give_the_scores_of_the_whole(case):
    net, values, cuts = case
    assert_close(blocks_of(net, values, cuts, values.shape[1]), net(batch_of(values)), atol=1e-5)


@FUZZ
@given(cut_cases(), st.integers(0, 5))
@torch.no_grad()
def test_blocks_are_what_torch_computes_direction_by_direction(case, ahead):
    net, values, cuts = case
    assert_close(blocks_of(net, values, cuts, ahead), oracle(net, values, cuts, ahead).float(), atol=1e-5)


@torch.no_grad()
def test_rows_of_any_length_are_what_torch_computes_of_each_alone():
    net, values, lengths = network(), normal(4, 7, 4), [7, 1, 0, 4]
    scores = net(Batch(values, torch.tensor(lengths), torch.arange(4)))
    for row, length in enumerate(lengths):
        alone = oracle(net, values[row : row + 1, :length], [length], 0) if length else torch.zeros(1, 0, 5)
        assert_close(scores[row, :length], alone[0].float(), atol=1e-5)


@FUZZ
@given(T=st.integers(1, 30), count=st.integers(1, 7), ahead=st.integers(0, 9), change=st.integers(0, 29))
def test_what_stands_behind_the_look_ahead_changes_no_score(T, count, ahead, change):
    net, steps = network(), normal(T, 4).numpy()
    other = steps.copy()
    other[change:] += 5
    a, b = (np.concatenate(list(in_blocks(net, [x], count, ahead))) for x in (steps, other))
    settled = max((end for end in range(0, T, count) if end + ahead <= change), default=0)
    assert_close(a[:settled], b[:settled])


@FUZZ
@given(T=st.integers(1, 30), count=st.integers(1, 7), ahead=st.integers(0, 9), parts=st.lists(st.integers(0, 30)))
def test_steps_that_come_in_parts_of_any_size_are_heard_in_the_same_blocks(T, count, ahead, parts):
    net, steps = network(), normal(T, 4).numpy()
    pieces = np.split(steps, sorted(min(part, T) for part in parts))
    whole = np.concatenate(list(in_blocks(net, [steps], count, ahead)))
    assert_close(np.concatenate(list(in_blocks(net, pieces, count, ahead))), whole)
    cuts = [end for end in range(count, T, count) if end + ahead <= T]
    expected = oracle(net, torch.from_numpy(steps)[None], sorted({*cuts, T}), ahead)[0]
    assert_close(whole, expected.detach().float(), atol=1e-5)


def test_steps_that_never_come_give_no_block():
    assert list(in_blocks(network(), [], 3, 1)) == []
    assert list(in_blocks(network(), [np.zeros((0, 4), np.float32)], 3, 1)) == []


@torch.no_grad()
def test_the_forward_direction_goes_on_where_the_block_before_ended():
    net, values = network(), normal(2, 8, 4)
    _, states = net.block(values[:, :4], 4)
    (gone_on, _), (anew, _) = net.block(values[:, 4:], 4, states), net.block(values[:, 4:], 4)
    assert (gone_on - anew).abs().max() > 1e-3


@torch.no_grad()
def test_the_state_that_a_block_leaves_does_not_know_its_look_ahead():
    net, values = network(L=1), normal(2, 8, 4)
    other = torch.cat([values[:, :4], values[:, 4:] + 3], 1)
    for found, expected in zip(net.block(values, 4)[1][0], net.block(other, 4)[1][0], strict=True):
        assert_close(found, expected)


# -- masks ---------------------------------------------------------------------------------------------------


def runs(flags):
    """Lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return edges[1::2] - edges[::2]


@FUZZ
@given(
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=4),
    bands=st.integers(1, 30),
    stack=st.integers(1, 3),
    seed=st.integers(0, 10_000),
)
def test_masks_cover_a_few_ranges_of_bands_and_of_steps_and_nothing_else(lengths, bands, stack, seed):
    torch.manual_seed(seed)
    values = torch.rand(len(lengths), 90, stack * bands) + 1
    found = masked(values, torch.tensor(lengths), stack)
    kept = found != 0
    assert_close(found[kept], values[kept])
    for row, length in enumerate(lengths):
        frames = kept[row].reshape(90, stack, bands).numpy()
        hidden_steps = ~frames.any(axis=(1, 2))
        assert not hidden_steps[length:].any()
        longest = min(int(length * LONGEST_SPAN), MOST_STEPS)
        assert hidden_steps.sum() <= SPANS * longest
        assert len(runs(hidden_steps)) <= SPANS
        hidden_bands = ~frames[~hidden_steps].any(axis=(0, 1))
        assert hidden_bands.sum() <= BANDS * int(bands * WIDEST_BAND)
        assert len(runs(hidden_bands)) <= BANDS
        expected = ~(hidden_steps[:, None, None] | hidden_bands[None, None, :])
        assert_close(frames, np.broadcast_to(expected, frames.shape))


def test_masks_reach_every_band_and_every_step_and_their_largest_size():
    torch.manual_seed(0)
    kept = masked(torch.ones(2000, 40, 20), torch.full((2000,), 40), 1).bool()
    hidden_steps, hidden_bands = ~kept.any(2), ~kept.any(1)
    assert hidden_steps.any(0).all()
    assert hidden_bands.any(0).all()
    assert hidden_steps.sum(1).max() == SPANS * 8  # a fifth of 40
    assert hidden_bands.sum(1).max() == BANDS * 4


def test_spans_of_a_long_recording_stay_short():
    torch.manual_seed(0)
    hidden_steps = ~masked(torch.ones(2000, 300, 5), torch.full((2000,), 300), 1).any(2)
    assert hidden_steps.sum(1).max() == SPANS * MOST_STEPS


def test_each_row_has_its_own_masks():
    torch.manual_seed(0)
    kept = masked(torch.ones(50, 40, 20), torch.full((50,), 40), 1).bool()
    assert len({row.numpy().tobytes() for row in kept}) > 40


@pytest.mark.parametrize("training, masks, differs", [(True, True, True), (True, False, False), (False, True, False)])
@torch.no_grad()
def test_masks_are_for_training_alone(training, masks, differs):
    torch.manual_seed(0)
    net = SpeechNetwork(20, 3, hidden_size=4, masks=masks).train(training)
    batch = batch_of(normal(8, 40, 20))
    assert bool((net(batch) != net(batch)).any()) == differs
