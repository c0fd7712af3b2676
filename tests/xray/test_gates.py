"""What gates tell: hand-made ones whose memory is known, and those of a layer beside its output."""

from __future__ import annotations

import numpy as np
import torch

from bilstm.nn import BiLSTM
from bilstm.nn.core import use_kernel
from bilstm.xray.gates import DEAD, Gates, dead, half_life, saturated
from bilstm.xray.opened import Opened
from tests.compare import assert_close
from tests.xray.test_paths import batch_of, random_network


def gates(**known):
    """Gates of one layer, two directions, four steps and three units; 0.5 where nothing else is told."""
    return Gates(
        **{name: np.asarray(known.get(name, np.full((1, 2, 4, 3), 0.5)), np.float32) for name in Gates._fields}
    )


def test_the_half_life_is_the_time_in_which_half_is_left():
    steps = 7.0
    forget = np.full((1, 1, 20, 1), 2 ** (-1 / steps))
    assert_close(half_life(forget), [[[steps]]], rtol=1e-12)
    content = np.cumprod(forget[0, 0, :, 0])
    assert_close(content[int(steps) - 1], 0.5, rtol=1e-12)


def test_a_gate_that_changes_counts_with_its_geometric_mean():
    forget = np.array([0.25, 1.0, 0.5, 0.5]).reshape(1, 1, 4, 1)  # of which a sixteenth is left after four steps
    assert_close(half_life(forget), [[[1.0]]], rtol=1e-12)


def test_a_gate_that_is_always_open_remembers_for_ever_and_a_shut_one_forgets_at_once():
    assert_close(half_life(np.ones((1, 1, 3, 1))), [[[np.inf]]])
    assert_close(half_life(np.zeros((1, 1, 3, 1))), [[[0.0]]])


def test_saturation_is_the_share_of_steps_at_which_a_gate_is_stuck():
    forget = np.full((1, 2, 4, 3), 0.5)
    forget[0, 0, :, 1] = [0.05, 0.95, 0.99, 0.5]
    candidate = np.zeros((1, 2, 4, 3))
    candidate[0, 1, :2, 2] = [-0.95, 0.95]
    found = saturated(gates(forget_gate=forget, candidate=candidate))
    assert_close(found["forget_gate_shut"][0, 0], [0.0, 0.25, 0.0])
    assert_close(found["forget_gate_open"][0, 0], [0.0, 0.5, 0.0])
    assert_close(found["candidate_full"][0, 1], [0.0, 0.0, 0.5])
    assert set(found) == {
        *(f"{gate}_{end}" for gate in ("forget_gate", "input_gate", "output_gate") for end in ("shut", "open")),
        "candidate_full",
    }


def test_a_unit_that_never_moves_is_dead():
    hidden = np.full((1, 2, 4, 3), DEAD / 2)
    hidden[0, 1, 3, 2] = 0.1
    assert_close(dead(gates(hidden=hidden)), [[[True] * 3, [True, True, False]]])


def test_the_traced_hidden_state_is_the_layers_output():
    network, x = random_network(T=6, layers=2)
    opened = Opened(network, batch_of(x))
    for kernel in ("equations", "native"):
        with use_kernel(kernel):
            found, run = opened.trace(), opened.runs[-1]
        top = torch.cat(list(found.hidden[-1]), dim=1)  # (T, 2H)
        assert_close(top, run.before[0][0])
        assert_close(found.hidden[-1, 0, -1], run.before[1][-2, 0])
        assert_close(found.hidden[-1, 1, 0], run.before[1][-1, 0])


def test_the_traced_cell_follows_from_the_gates():
    layer = BiLSTM(3, 4, batch_first=True)

    class Only(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = layer

        def forward(self, batch):
            return self.lstm(batch.values)[0]

    found = Opened(Only(), batch_of(torch.randn(1, 5, 3))).trace()
    cell = found.forget_gate[0, 0, 1:] * found.cell[0, 0, :-1] + found.input_gate[0, 0, 1:] * found.candidate[0, 0, 1:]
    assert_close(found.cell[0, 0, 1:], cell, atol=1e-6)
    back = (
        found.forget_gate[0, 1, :-1] * found.cell[0, 1, 1:] + found.input_gate[0, 1, :-1] * found.candidate[0, 1, :-1]
    )
    assert_close(found.cell[0, 1, :-1], back, atol=1e-6)
