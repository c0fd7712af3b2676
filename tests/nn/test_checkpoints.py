"""Layers of other people's weights compute what those people's layers do: checkpoints of nn.LSTM, and Keras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

from bilstm.errors import DataError
from bilstm.nn import BiLSTM
from tests.compare import assert_close
from tests.strategies import FUZZ

SIZES = st.fixed_dictionaries(
    {
        "input_size": st.integers(1, 5),
        "hidden_size": st.integers(2, 5),
        "num_layers": st.integers(1, 3),
        "bias": st.booleans(),
        "bidirectional": st.booleans(),
        "proj_size": st.integers(0, 1),
        "dtype": st.sampled_from([torch.float32, torch.float64]),
    }
)

# --- torch ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own layer says so
@FUZZ
@given(SIZES, st.sampled_from(["", "lstm.", "module.encoder.rnn."]))
def test_the_layer_of_a_checkpoint_is_found_with_all_its_sizes(sizes, prefix):
    layer = nn.LSTM(**sizes)
    state = {prefix + name: value for name, value in layer.state_dict().items()} | {"head.weight": torch.zeros(2, 3)}
    found = BiLSTM.from_state_dict(state)
    for name in ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size"):
        assert getattr(found, name) == sizes[name], name
    x = torch.randn(4, 2, sizes["input_size"], dtype=sizes["dtype"])
    assert_close(found(x)[0], layer(x)[0], atol=1e-6)


def test_a_prefix_chooses_between_layers_with_or_without_its_point():
    model = nn.ModuleDict({"one": nn.LSTM(2, 3), "two": nn.ModuleDict({"rnn": nn.LSTM(4, 5, 2, batch_first=True)})})
    for prefix in ("two.rnn", "two.rnn."):
        layer = BiLSTM.from_state_dict(model.state_dict(), prefix, batch_first=True, dropout=0.25)
        assert (layer.input_size, layer.hidden_size, layer.batch_first, layer.dropout) == (4, 5, True, 0.25)
    with pytest.raises(DataError, match=r"expected one LSTM in the state, got 2: 'one', 'two.rnn'\nhint: name it"):
        BiLSTM.from_state_dict(model.state_dict())
    with pytest.raises(DataError, match=r"expected an LSTM behind 'two.rn', got none\nhint: did you mean 'two.rnn'"):
        BiLSTM.from_state_dict(model.state_dict(), "two.rn")


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_another_recurrent_layer_is_refused(kind):
    with pytest.raises(DataError, match=r"expected weights of an LSTM, \(4H, F\) and \(4H, H\), got"):
        BiLSTM.from_state_dict(kind(4, 8).state_dict())
    with pytest.raises(DataError, match="expected one LSTM in the state, got none"):
        BiLSTM.from_state_dict({"weight": torch.zeros(3)})


def _changed(change, *names):
    """The state of a model whose LSTM was changed in one or more of its weights."""
    model = nn.ModuleDict({"rnn": nn.LSTM(3, 4, 2, bidirectional=True)})
    for name in names:
        change(model["rnn"], name)
    return model.state_dict()


@pytest.mark.parametrize(
    ("change", "names", "hint"),
    [
        (lambda layer, name: prune.random_unstructured(layer, name, 0.5), ["weight_hh_l1_reverse"], "was pruned"),
        (lambda layer, name: prune.l1_unstructured(layer, name, 0.3), ["bias_ih_l0"], "was pruned"),
        (parametrizations.weight_norm, ["weight_ih_l0", "weight_hh_l1"], "is parametrized"),
        (parametrizations.spectral_norm, ["weight_hh_l0"], "is parametrized"),
        (torch.nn.utils.spectral_norm, ["weight_hh_l0_reverse"], "has spectral norm"),
        (
            lambda layer, name: layer.register_parameter(f"{name}_raw", nn.Parameter(torch.ones(2))),
            ["weight_hh_l0"],
            "_raw",
        ),
        (
            lambda layer, name: layer.register_buffer(f"{name}_scale", torch.ones(2)),
            ["weight_hh_l0"],
            "names of an LSTM",
        ),
    ],
)
def test_what_stands_in_a_state_in_place_of_a_weight_is_named(change, names, hint):
    with pytest.raises(
        DataError, match=f"expected the weights that an LSTM computes with, got 'rnn[^']*{names[0]}.*\n.*{hint}"
    ):
        BiLSTM.from_state_dict(_changed(change, *names), "rnn")


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_weight_norm_of_old_is_named():
    with pytest.raises(DataError, match=r"got 'rnn.weight_ih_l0_[gv]'\nhint: the layer has weight norm"):
        BiLSTM.from_state_dict(_changed(torch.nn.utils.weight_norm, "weight_ih_l0"))


@pytest.mark.parametrize("prefix", [None, "net.rnn"])
def test_a_state_further_down_in_a_checkpoint_is_pointed_at(prefix):
    state = {f"net.rnn.{name}": value for name, value in nn.LSTM(3, 4).state_dict().items()}
    for checkpoint, path in (
        ({"epoch": 3, "optimizer": {}, "model_state_dict": state}, "['model_state_dict']"),
        ({"ema": {"weights": state}}, "['ema']['weights']"),
        ({"model": nn.LSTM(3, 4)}, "['model'].state_dict()"),
    ):
        with pytest.raises(DataError, match=re.escape(f"pass checkpoint{path}")):
            BiLSTM.from_state_dict(checkpoint, prefix)


def test_a_state_of_something_else_says_what_it_is():
    arrays = {name: value.numpy() for name, value in nn.LSTM(3, 4).state_dict().items()}
    for state, words in (
        (nn.LSTMCell(3, 4).state_dict(), "weights of an nn.LSTMCell"),
        ({"rnn._all_weight_values.0.param._packed_params": None}, "the layer is quantized"),
        (arrays, "expected tensors, got ndarray"),
        (nn.LSTM(3, 4), "expected a state_dict, got LSTM\nhint: layer.state_dict"),
        ("model.pt", "expected a state_dict, got str"),
    ):
        with pytest.raises(DataError, match=words):
            BiLSTM.from_state_dict(state)


# --- Keras ---------------------------------------------------------------------------------------------------

KERAS = """
import sys
import numpy as np
import keras
from keras import layers

inputs = keras.Input((None, 3))
out = {}
random = np.random.default_rng(0)
lengths = np.array([6, 1, 4])
x = random.normal(size=(3, 6, 3)).astype(np.float32)
x[np.arange(6) >= lengths[:, None]] = 0.0
masked = layers.Masking()(inputs)
for name, options in {"plain": {}, "no_bias": {"use_bias": False}}.items():
    first = layers.Bidirectional(layers.LSTM(5, return_sequences=True, **options))
    second = layers.Bidirectional(layers.LSTM(5, return_sequences=True, return_state=True, **options))
    steps, *states = second(first(masked))
    model = keras.Model(inputs, [steps, *states])
    model.set_weights([random.normal(0, 0.7, w.shape).astype(np.float32) for w in model.get_weights()])
    for layer, of in ((first, "first"), (second, "second")):
        out |= {f"{name} {of} {k}": w for k, w in enumerate(layer.get_weights())}
    out |= {f"{name} result {k}": keras.ops.convert_to_numpy(r) for k, r in enumerate(model(x))}
lone = {way: layers.LSTM(4, return_sequences=True, go_backwards=way == "back") for way in ("on", "back")}
for way, layer in lone.items():
    out[f"{way} result"] = keras.ops.convert_to_numpy(layer(x))
    out |= {f"{way} {k}": w for k, w in enumerate(layer.get_weights())}
np.savez(sys.argv[1], x=x, lengths=lengths, **out)
"""


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory):
    """What Keras itself computes, in a process of its own: its backend is a setting of the process."""
    if find_spec("keras") is None:
        pytest.skip("keras is not installed")
    path = tmp_path_factory.mktemp("keras") / "found.npz"
    # its settings would be written to the home folder
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(path.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", KERAS, str(path)]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    return np.load(path)


def _arrays(found, name):
    return [found[f"{name} {k}"] for k in range(8) if f"{name} {k}" in found.files]


@pytest.mark.parametrize("name", ["plain", "no_bias"])
def test_masked_layers_of_keras_give_the_same_numbers_here(of_keras, name):
    layer = BiLSTM.from_keras([_arrays(of_keras, f"{name} first"), _arrays(of_keras, f"{name} second")])
    lengths = of_keras["lengths"]
    output, (h_n, c_n) = layer(torch.from_numpy(of_keras["x"]), lengths=lengths)
    results = _arrays(of_keras, f"{name} result")
    for row, length in enumerate(lengths):  # behind a row's length Keras may repeat what it said last
        assert_close(output[row, :length], results[0][row, :length], atol=1e-5)
    expected = [torch.from_numpy(result) for result in results[1:]]  # forward h and c, backward h and c
    for found, wanted in zip((h_n[-2], c_n[-2], h_n[-1], c_n[-1]), expected, strict=True):
        assert_close(found, wanted, atol=1e-5)


def test_a_lone_layer_of_keras_is_one_direction_and_going_backwards_is_the_input_turned_round(of_keras):
    x = torch.from_numpy(of_keras["x"])
    on, back = (BiLSTM.from_keras(_arrays(of_keras, way)) for way in ("on", "back"))
    assert not on.bidirectional
    assert_close(on(x)[0], of_keras["on result"], atol=1e-5)
    assert_close(back(x.flip(1))[0], of_keras["back result"], atol=1e-5)


def test_arrays_that_are_no_lstm_are_refused():
    kernel, recurrent, bias = np.zeros((3, 8)), np.zeros((2, 8)), np.zeros(8)
    with pytest.raises(DataError, match="hint: a CuDNNLSTM has two biases"):
        BiLSTM.from_keras([kernel, recurrent, np.zeros(16)] * 2)
    with pytest.raises(DataError, match="those of torch go into from_state_dict"):
        BiLSTM.from_keras([kernel.T, recurrent.T, bias])
    with pytest.raises(DataError, match="got a lone number among them"):
        BiLSTM.from_keras([kernel, np.array(1.0), bias])
    with pytest.raises(DataError, match=r"expected arrays of shapes \[\(3, 8\), \(2, 8\), \(8,\)\], got \[\(3, 6\)"):
        BiLSTM.from_keras([np.zeros((3, 6)), np.zeros((2, 6)), np.zeros((2, 6))])  # a GRU
    with pytest.raises(DataError, match="expected 2, 3, 4 or 6 arrays of a Keras layer, got 5"):
        BiLSTM.from_keras([kernel, recurrent, bias, kernel, recurrent])
    with pytest.raises(DataError, match="expected layers of one kind and size, got 2 kinds of 2 layers"):
        BiLSTM.from_keras([[kernel, recurrent, bias] * 2, [np.zeros((4, 8)), recurrent, bias]])
    with pytest.raises(DataError, match=r"expected arrays of shapes \[\(4, 8\)"):  # the second reads both directions
        BiLSTM.from_keras([[kernel, recurrent, bias] * 2] * 2)
