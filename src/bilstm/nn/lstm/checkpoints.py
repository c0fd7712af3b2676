"""Weights of other people's LSTMs: which layer they belong to, and under which names it holds them.

Knows the names in checkpoints of torch.nn.LSTM and the arrays of Keras; makes no module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bilstm.errors import DataError, did_you_mean

Checkpoint = tuple[dict[str, Any], dict[str, Tensor]]  # the sizes of a layer, and its state_dict
FIRST = "weight_ih_l0"
WEIGHT = re.compile(  # prefix, name of the weight, and how a name goes on that is not the weight's own
    r"((?:.*?\.)??)(?:parametrizations\.)?((?:weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?)((?:[._].+)?)"
)
STAND_INS = (  # what a state_dict holds in place of a weight, by the end of its name
    (r"_mask", "the layer was pruned: torch.nn.utils.prune.remove(layer, name) puts _orig · _mask in its place"),
    (
        r"\.original",
        "the weight is parametrized: torch.nn.utils.parametrize.remove_parametrizations(layer, name) first",
    ),
    (r"_g", "the layer has weight norm: torch.nn.utils.remove_weight_norm(layer, name) puts the weight in its place"),
    (
        r"_u",
        "the layer has spectral norm: torch.nn.utils.remove_spectral_norm(layer, name) puts the weight in its place",
    ),
    (r"_raw", "the layer drops weights and keeps them as _raw: pass them without this ending"),
    (r"", "names of an LSTM's weights are weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, …, and _reverse behind"),
)
ARRAYS = {2: (1, False), 3: (1, True), 4: (2, False), 6: (2, True)}  # arrays of a Keras layer: directions, biases


def from_torch(state: Any, prefix: str | None = None) -> Checkpoint:
    """The one LSTM in a ``state_dict``, or that behind ``prefix``: the arguments of BiLSTM, and its state."""
    if not isinstance(state, Mapping):
        hint = "layer.state_dict()" if hasattr(state, "state_dict") else "torch.load(path) of a file of weights is one"
        raise DataError(f"expected a state_dict, got {type(state).__name__}", hint=hint)
    prefix, own = _layer(state, prefix)
    odd = next((name for name, value in own.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise DataError(
            f"expected tensors, got {type(own[odd]).__name__} ({prefix}{odd})", hint="torch.from_numpy makes them"
        )
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


def _layer(state: Mapping[str, Any], prefix: str | None) -> tuple[str, dict[str, Any]]:
    """What stands before the names of the LSTM's weights, and its weights by their names behind that."""
    layers: dict[str, dict[str, str]] = {}  # the names in the state by prefix and by what stands behind it
    for name in state:
        if match := WEIGHT.fullmatch(str(name)):
            layers.setdefault(match[1], {})[str(name).removeprefix(match[1])] = match[3]
    prefixes = sorted(p for p, names in layers.items() if any(FIRST in name for name in names))
    if prefix is not None:
        wanted = prefix if prefix.endswith(".") or not prefix else prefix + "."
        if wanted not in prefixes:
            hint = did_you_mean(prefix, [f.rstrip(".") for f in prefixes]) if prefixes else _other_cause(state)
            raise DataError(f"expected an LSTM behind {prefix!r}, got none", hint=hint)
        prefixes = [wanted]
    if len(prefixes) != 1:
        got = f"{len(prefixes)}: {', '.join(repr(f.rstrip('.')) for f in prefixes[:8])}" if prefixes else "none"
        hint = "name it with prefix=" if prefixes else _other_cause(state)
        raise DataError(f"expected one LSTM in the state, got {got}", hint=hint)
    names = layers[prefixes[0]]
    endings = [ending for ending in names.values() if ending]
    if endings:
        odd = prefixes[0] + next(name for name, ending in names.items() if ending)
        hint = next(hint for pattern, hint in STAND_INS if any(re.match(pattern, ending) for ending in endings))
        raise DataError(f"expected the weights that an LSTM computes with, got {odd!r}", hint=hint)
    return prefixes[0], {name: state[prefixes[0] + name] for name in names}


def _other_cause(state: Mapping[str, Any]) -> str | None:
    """Why a checkpoint seems to hold no LSTM: its weights stand further down, or are of another kind of layer."""
    for name, value in state.items():
        path = f"[{name!r}]"
        if hasattr(value, "state_dict"):
            return f"a whole module stands in the checkpoint: pass checkpoint{path}.state_dict()"
        if isinstance(value, Mapping):
            for inner in (i for i, deep in value.items() if isinstance(deep, Mapping)):
                if any(WEIGHT.fullmatch(str(key)) for key in value[inner]):
                    return f"the state_dict stands in the checkpoint: pass checkpoint{path}[{inner!r}]"
            if any(WEIGHT.fullmatch(str(key)) for key in value):
                return f"the state_dict stands in the checkpoint: pass checkpoint{path}"
    names = [str(name) for name in state]
    if any(re.fullmatch(r"(.*\.)?weight_ih", name) for name in names):
        return "these are weights of an nn.LSTMCell or another cell: an LSTM's end in _l0"
    if any("_all_weight_values" in name or "_packed_params" in name for name in names):
        return "the layer is quantized: take the state_dict of the model before that"
    return None


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
        if any(len(shape) == 0 for shape in shapes):
            raise DataError(f"expected arrays of a Keras layer, got a lone number among them (layer {k})")
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
        hint = "kernel, recurrent kernel and bias of each direction, forward first; a GRU has three gates"
        if shapes[-1] == (8 * H,):
            hint = "a CuDNNLSTM has two biases: keras.layers.LSTM joins them as it loads its file; pass its weights"
        elif len(shapes[1]) == 2 and shapes[1][0] == 4 * shapes[1][1]:
            hint = "Keras' kernels are (F, 4H) and (H, 4H); those of torch go into from_state_dict"
        raise DataError(f"expected arrays of shapes {expected}, got {list(shapes)} (Keras layer {layer})", hint=hint)
