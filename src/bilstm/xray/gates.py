"""What gates tell of the units behind them: how long a cell remembers, which gates are stuck, which units are dead.

Knows arrays of gates; does not know where they come from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array

LOW, HIGH = 0.1, 0.9  # of a gate: shut and open, the bounds of Karpathy, Johnson and Li 2015
DEAD = 1e-3  # of |h|: with weights of the usual size, up to 1, such a unit moves no later sum by more than that


class Gates(NamedTuple):
    """Every gate, cell and hidden state of one sequence, (L, D, T, H) float32; both directions on the input's time."""

    input_gate: Array
    forget_gate: Array
    candidate: Array
    output_gate: Array
    cell: Array
    hidden: Array


SIGMOIDS = ("input_gate", "forget_gate", "output_gate")


def half_life(forget_gate: Array) -> Array:
    """After how many steps half of a cell's content is forgotten, (L, D, T, H) → (L, D, H).

    .. math:: \\tau = \\frac{\\ln 2}{-\\frac1T \\sum_t \\ln f_t}

    f is what is left of the cell in one step, so their geometric mean is what is left in a usual one. A gate that is
    never anything but open has the half-life infinity.

    Example:
        >>> half_life(np.full((1, 1, 3, 1), 0.5)).tolist()
        [[[1.0]]]
    """
    with np.errstate(divide="ignore"):
        lost = -np.log(forget_gate.astype(np.float64)).mean(axis=2)
        result: Array = np.log(2) / np.maximum(lost, 0.0)
    return result


def saturated(gates: Gates) -> dict[str, Array]:
    """The share of steps at which each gate is stuck, (L, D, H) each.

    Of the three gates ``NAME_shut`` (below 0.1) and ``NAME_open`` (above 0.9), of the candidate ``candidate_full``
    (beyond ±0.9).
    """
    shares: dict[str, Array] = {}
    for name in SIGMOIDS:
        gate = getattr(gates, name)
        shares[f"{name}_shut"] = (gate < LOW).mean(axis=2)
        shares[f"{name}_open"] = (gate > HIGH).mean(axis=2)
    shares["candidate_full"] = (np.abs(gates.candidate) > HIGH).mean(axis=2)
    return shares


def dead(gates: Gates) -> Array:
    """Which units never move: |h| below 1e-3 at every step, (L, D, H) of truth values."""
    result: Array = np.all(np.abs(gates.hidden) < DEAD, axis=2)
    return result
