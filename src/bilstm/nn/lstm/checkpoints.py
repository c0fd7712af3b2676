"""Weights of other people's LSTMs: which layer they belong to, and under which names it holds them.

Knows the names in checkpoints of torch.nn.LSTM and the arrays of Keras; makes no module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bilstm.errors import DataError, did_you_mean

Checkpoint = tuple[dict[str, Any], dict[str, Tensor]]  # the sizes of a layer, and its state_dict
FIRST = "weight_ih_l0"
ARRAYS = {2: (1, False), 3: (1, True), 4: (2, False), 6: (2, True)}  # arrays of a Keras layer: directions, biases


def from_torch(state: Mapping[str, Any], prefix: str | None = None) -> Checkpoint:
    """The one LSTM in a ``state_dict``, or that behind ``prefix``: the arguments of BiLSTM, and its state."""
    prefix = _prefix(state, prefix)
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    own = {name: value for name, value in own.items() if name.startswith(("weight_", "bias_")) and "_l" in name}
    first, hidden = own[FIRST], own.get("weight_hh_l0")
    projection = own.get("weight_hr_l0")
    H = first.shape[0] // 4
    width = H if projection is None else projection.shape[0]
    if hidden is None or first.shape[0] != 4 * H or tuple(hidden.shape) != (4 * H, width):
        shapes = tuple(first.shape), None if hidden is None else tuple(hidden.shape)
        raise DataError(
            f"expected weights of an LSTM, (4H, F) and (4H, H), got {shapes[0]} and {shapes[1]} ({prefix or 'state'})",
            hint="a GRU has three gates, a plain RNN one",
        )
    sizes = {
        "input_size": first.shape[1],
        "hidden_size": H,
        "num_layers": sum(name.startswith("weight_ih_l") and not name.endswith("_reverse") for name in own),
        "bias": "bias_ih_l0" in own,
        "bidirectional": f"{FIRST}_reverse" in own,
        "proj_size": 0 if projection is None else width,
        "dtype": first.dtype,
    }
    return sizes, own


def _prefix(state: Mapping[str, Any], prefix: str | None) -> str:
    """What stands before the names of the LSTM's weights."""
    prefixes = sorted(name.removesuffix(FIRST) for name in state if name == FIRST or name.endswith("." + FIRST))
    if prefix is not None:
        wanted = prefix if prefix.endswith(".") or not prefix else prefix + "."
        if wanted not in prefixes:
            raise DataError(
                f"expected an LSTM behind {prefix!r}, got none",
                hint=did_you_mean(prefix, [f.rstrip(".") for f in prefixes]),
            )
        return wanted
    if len(prefixes) != 1:
        got = f"{len(prefixes)}: {', '.join(repr(f.rstrip('.')) for f in prefixes[:8])}" if prefixes else "none"
        raise DataError(f"expected one LSTM in the state, got {got}", hint="name it with prefix=" if prefixes else None)
    return prefixes[0]


def from_keras(weights: Sequence[Any]) -> Checkpoint:
    """Layers of arrays as ``get_weights`` gives them, or those of one layer: the arguments of BiLSTM, and its state.

    Keras' gates stand in the order i, f, c, o, which is torch's i, f, g, o. It has one bias, which becomes bias_ih.
    """
    layers = [weights] if len(weights) and hasattr(weights[0], "shape") else list(weights)
    state: dict[str, Tensor] = {}
    width, kinds = 0, set()
    for k, arrays in enumerate(layers):
        shapes = [np.shape(array) for array in arrays]
        if len(arrays) not in ARRAYS:
            raise DataError(
                f"expected 2, 3, 4 or 6 arrays of a Keras layer, got {len(arrays)} (layer {k})",
                hint="pass layer.get_weights() of an LSTM or Bidirectional(LSTM), or a list of those of several",
            )
        D, has_bias = ARRAYS[len(arrays)]
        kinds.add((D, has_bias, shapes[1][0]))
        each = len(arrays) // D
        for d, end in zip(range(D), ("", "_reverse"), strict=False):
            _check_keras(shapes[d * each : (d + 1) * each], width or shapes[0][0], shapes[1][0], k)
            state |= _of_direction(arrays[d * each : (d + 1) * each], f"l{k}{end}")
        width = D * shapes[1][0]
    if len(kinds) != 1:
        raise DataError(
            f"expected layers of one kind and size, got {len(kinds)} kinds of {len(layers)} layers",
            hint="a BiLSTM has as many units and directions in every layer: make one for each",
        )
    D, has_bias, H = kinds.pop()
    sizes = {
        "input_size": np.shape(layers[0][0])[0],
        "hidden_size": H,
        "num_layers": len(layers),
        "bias": has_bias,
        "bidirectional": D == 2,
        "dtype": state[FIRST].dtype,
    }
    return sizes, state


def _of_direction(arrays: Sequence[Any], end: str) -> dict[str, Tensor]:
    kernel, recurrent, *bias = (torch.from_numpy(np.array(array)) for array in arrays)
    state = {f"weight_ih_{end}": kernel.T.contiguous(), f"weight_hh_{end}": recurrent.T.contiguous()}
    if bias:
        state |= {f"bias_ih_{end}": bias[0], f"bias_hh_{end}": torch.zeros_like(bias[0])}
    return state


def _check_keras(shapes: Sequence[tuple[int, ...]], width: int, H: int, layer: int) -> None:
    expected = [(width, 4 * H), (H, 4 * H), (4 * H,)][: len(shapes)]
    if list(shapes) != expected:
        raise DataError(
            f"expected arrays of shapes {expected}, got {list(shapes)} (Keras layer {layer})",
            hint="kernel, recurrent kernel and bias of each direction, forward first; a GRU has three gates",
        )
