"""The layer is torch.nn.LSTM to every program that has one, and says what is wrong with a call."""

from __future__ import annotations

import copy
import doctest
import io
import pickle  # noqa: TID251 – programs pickle modules; this package does not

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bilstm.errors import DataError, ParameterError
from bilstm.nn import BiLSTM, core, use_kernel
from bilstm.nn.lstm import layer as bilstm
from tests.compare import assert_close

OPTIONS = [
    {},
    {"num_layers": 2, "bias": False},
    {"bidirectional": False, "batch_first": True},
    {"num_layers": 3, "batch_first": True},
    {"proj_size": 2, "num_layers": 2},
]


def twins(*sizes: int, **options):
    """The same layer from torch and from here, from the same seed."""
    torch.manual_seed(3)
    theirs = nn.LSTM(*sizes, **({"bidirectional": True} | options))
    torch.manual_seed(3)
    return theirs, BiLSTM(*sizes, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_seed_gives_torchs_weights_under_torchs_names(options):
    theirs, ours = twins(4, 5, **options)
    assert isinstance(ours, nn.LSTM)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], value, what=name)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_checkpoint_loads_either_way(options):
    theirs, _ = twins(4, 5, **options)
    ours = BiLSTM(4, 5, **options)
    ours.load_state_dict(theirs.state_dict())
    assert_close(ours.weight_hh_l0, theirs.weight_hh_l0)
    again = nn.LSTM(4, 5, **({"bidirectional": True} | options))
    again.load_state_dict(ours.state_dict())
    assert_close(again.weight_hh_l0, theirs.weight_hh_l0)


def test_representation_and_attributes_are_torchs():
    theirs, ours = twins(4, 5, num_layers=2, dropout=0.5)
    assert repr(ours) == "Bi" + repr(theirs)
    assert [len(part) for part in ours.all_weights] == [4, 4, 4, 4]
    assert ours.all_weights[1][0] is ours.weight_ih_l0_reverse
    ours.flatten_parameters()


@pytest.mark.parametrize("states", [False, True], ids=["no states", "states"])
@pytest.mark.parametrize("options", OPTIONS[:-1], ids=str)
def test_a_padded_batch_gives_torchs_own_numbers(options, states):
    theirs, ours = twins(4, 5, **options)
    x = torch.randn(3, 3, 4)
    rows = ours.num_layers * (2 if ours.bidirectional else 1)
    hx = (torch.randn(rows, 3, 5), torch.randn(rows, 3, 5)) if states else None
    with use_kernel("torch"):
        (expected, expected_states), (output, found_states) = theirs(x, hx), ours(x, hx)
    assert_close(output, expected)
    for found, wanted in zip(found_states, expected_states, strict=True):
        assert_close(found, wanted)


@pytest.mark.parametrize("batch_first", [False, True])
def test_dropout_draws_torchs_own_numbers(batch_first):
    theirs, ours = twins(4, 5, num_layers=3, dropout=0.5, batch_first=batch_first)
    x = torch.randn(6, 3, 4)
    torch.manual_seed(5)
    expected = theirs(x)[0]
    torch.manual_seed(5)
    assert_close(ours(x)[0], expected, atol=1e-6)
    assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], atol=1e-6)


def test_dropout_of_everything_leaves_the_biases():
    _, ours = twins(4, 5, num_layers=2, dropout=1.0)
    output = ours(torch.randn(6, 3, 4))[0]
    assert_close(output, ours(torch.randn(6, 3, 4))[0])


@pytest.mark.parametrize("states", [False, True], ids=["no states", "states"])
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_packed_sequence_goes_in_and_comes_out(batch_first, in_order, states):
    theirs, ours = twins(4, 5, num_layers=2, batch_first=batch_first)
    lengths = [6, 4, 1] if in_order else [1, 6, 4]
    x = torch.randn(3, 6, 4)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=in_order)
    hx = (torch.randn(4, 3, 5), torch.randn(4, 3, 5)) if states else None
    (expected, (h, c)), (found, (h_n, c_n)) = theirs(packed, hx), ours(packed, hx)
    assert_close(found.batch_sizes, expected.batch_sizes)
    assert (found.sorted_indices is None) == in_order
    assert_close(found.data, expected.data, atol=1e-6)
    unpacked, row_lengths = pad_packed_sequence(found, batch_first=True)
    assert row_lengths.tolist() == lengths
    output = ours(x if batch_first else x.transpose(0, 1), hx, lengths)[0]
    assert_close(unpacked, output if batch_first else output.transpose(0, 1), atol=1e-6)
    assert_close(h_n, h, atol=1e-6)
    assert_close(c_n, c, atol=1e-6)


def test_a_gradient_goes_through_a_packed_sequence():
    _, ours = twins(4, 5)
    x = torch.randn(3, 6, 4, requires_grad=True)
    packed = pack_padded_sequence(x, [1, 6, 4], batch_first=True, enforce_sorted=False)
    ours(packed)[0].data.sum().backward()
    assert (x.grad.abs().sum(2) > 0).sum(1).tolist() == [1, 6, 4]


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_needs_no_batch_axis(batch_first):
    theirs, ours = twins(4, 5, batch_first=batch_first)
    x, hx = torch.randn(6, 4), (torch.randn(2, 5), torch.randn(2, 5))
    (expected, (h, c)), (output, (h_n, c_n)) = theirs(x, hx), ours(x, hx)
    for found, wanted in ((output, expected), (h_n, h), (c_n, c)):
        assert_close(found, wanted, atol=1e-6)
    shorter = ours(x, hx, [4])[0]
    assert shorter.shape == (6, 10)
    assert_close(shorter[:4], ours(x[:4], hx)[0], atol=1e-6)
    assert_close(shorter[4:], torch.zeros(2, 10))


@pytest.mark.parametrize(
    "lengths",
    [[2, 6, 0], (2, 6, 0), np.array([2, 6, 0]), torch.tensor([2, 6, 0], dtype=torch.int32), iter([2, 6, 0])],
    ids=["list", "tuple", "numpy", "int32", "iterator"],
)
def test_lengths_may_be_any_integers(lengths):
    _, ours = twins(4, 5, batch_first=True)
    output = ours(torch.randn(3, 6, 4), lengths=lengths)[0]
    assert ((output != 0).any(2)).sum(1).tolist() == [2, 6, 0]


def test_copies_and_pickles_compute_the_same():
    _, ours = twins(4, 5, num_layers=2)
    x = torch.randn(6, 3, 4)
    expected = ours(x, lengths=[6, 2, 3])[0]
    stored = io.BytesIO()
    torch.save(ours, stored)
    stored.seek(0)
    for copied in (
        copy.deepcopy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(stored, weights_only=False),
    ):
        assert type(copied) is BiLSTM
        assert_close(copied(x, lengths=[6, 2, 3])[0], expected)


def test_weights_may_be_replaced_for_one_call():
    _, ours = twins(4, 5)
    x = torch.randn(6, 3, 4)
    zeros = {name: torch.zeros_like(value) for name, value in ours.named_parameters()}
    assert_close(torch.func.functional_call(ours, zeros, (x,))[0], torch.zeros(6, 3, 10))
    assert float(ours(x)[0].abs().max().detach()) > 0


def test_a_layer_moves_between_types():
    _, ours = twins(4, 5)
    output, (h_n, c_n) = ours.double()(torch.randn(6, 3, 4).double(), lengths=[1, 2, 3])
    assert {output.dtype, h_n.dtype, c_n.dtype} == {torch.float64}


def test_the_trace_ends_where_the_layer_ends():
    _, ours = twins(4, 5, num_layers=2)
    x = torch.randn(6, 3, 4)
    _, (h_n, c_n) = ours(x, lengths=[6, 2, 3])
    trace = ours.trace(x, lengths=[6, 2, 3])
    assert trace.forget_gate.shape == (2, 2, 3, 6, 5)
    for row, length in enumerate([6, 2, 3]):
        for d, last in enumerate((length - 1, 0)):
            assert_close(trace.cell[:, d, row, last], c_n[d::2, row], atol=1e-6)
            assert_close(trace.hidden[:, d, row, last], h_n[d::2, row], atol=1e-6)


X = torch.zeros(6, 3, 4)
STATE = torch.zeros(2, 3, 5)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda ours: ours(torch.zeros(6, 3, 7)),
            "input.size(-1) must be equal to input_size. Expected 4, got 7, of an input of shape (6, 3, 7).\n"
            "hint: features are the last axis; this layer was made with input_size=4",
        ),
        (
            lambda ours: ours(torch.zeros(4)),
            "Expected input to be 2D or 3D, got 1D instead, of shape (4,).\n"
            "hint: a batch is (time, batch, features), or (batch, time, features) with batch_first=True",
        ),
        (
            lambda ours: ours(X.double()),
            "input must have the type torch.float32, got type torch.float64.\n"
            "hint: convert it, input.to(torch.float32), or the layer, layer.to(torch.float64)",
        ),
        (
            lambda ours: ours(X, lengths=[6, 7, 1]),
            "expected lengths from 0 to 6, the steps of input, got 7 (row 1)",
        ),
        (
            lambda ours: ours(X, lengths=[6, 2, -1]),
            "expected lengths from 0 to 6, the steps of input, got -1 (row 2)",
        ),
        (
            lambda ours: ours(X, lengths=[6, 2]),
            "expected 3 lengths, one for each row, got shape (2,)\n"
            "hint: rows are counted along the batch axis; batch_first says which that is",
        ),
        (
            lambda ours: ours(X, lengths=[6.0, 2.0, 1.0]),
            "expected lengths as whole numbers, got [6.0, 2.0, 1.0]\n"
            "hint: from a mask that is True on valid steps: lengths = mask.sum(1)",
        ),
        (
            lambda ours: ours(X, lengths=torch.tensor([6.0, 2.0, 1.0])),
            "expected lengths as whole numbers, got tensor([6., 2., 1.])\n"
            "hint: from a mask that is True on valid steps: lengths = mask.sum(1)",
        ),
        (
            lambda ours: ours(X, lengths=3),
            "expected lengths as whole numbers, got 3\n"
            "hint: from a mask that is True on valid steps: lengths = mask.sum(1)",
        ),
        (
            lambda ours: ours(X, lengths=[True, False, True]),
            "expected lengths as whole numbers, got [True, False, True]\n"
            "hint: from a mask that is True on valid steps: lengths = mask.sum(1)",
        ),
        (
            lambda ours: ours(X, (STATE, torch.zeros(3, 2, 5))),
            "Expected hidden[1] size (2, 3, 5), got (3, 2, 5) (c_0 of hx).\n"
            "hint: states are (layers × directions, batch, units), whatever batch_first says",
        ),
        (
            lambda ours: ours(X, STATE),
            "expected hx as the pair (h_0, c_0), got Tensor",
        ),
        (
            lambda ours: ours(X, (STATE, STATE.double())),
            "c_0 must have the type torch.float32, got type torch.float64.\n"
            "hint: convert it, c_0.to(torch.float32), or the layer, layer.to(torch.float64)",
        ),
        (
            lambda ours: ours(pack_padded_sequence(X, [6, 3, 3]), lengths=[6, 3, 3]),
            "expected no lengths beside a PackedSequence, got both\n"
            "hint: a PackedSequence carries its lengths: leave the argument out",
        ),
    ],
)
def test_a_wrong_call_is_told_what_was_expected(call, message):
    with pytest.raises(DataError) as error:
        call(BiLSTM(4, 5))
    assert str(error.value) == message


def test_sizes_out_of_range_are_named_all_at_once():
    with pytest.raises(ParameterError) as error:
        BiLSTM(0, 5, num_layers=-1, dropout=1.5, proj_size=5)
    assert str(error.value) == (
        "expected input_size of at least 1, got 0; num_layers of at least 1, got -1; "
        "dropout from 0 to 1, got 1.5; proj_size of 0 or less than hidden_size, 5, got 5 (BiLSTM)"
    )


def test_wrong_types_are_torchs_type_errors():
    with pytest.raises(TypeError, match="hidden_size should be of type int"):
        BiLSTM(4, 5.0)
    with pytest.raises(TypeError, match="bias should be of type bool"):
        BiLSTM(4, 5, bias=1)


@pytest.mark.parametrize("module", [bilstm, core], ids=lambda module: module.__name__)
def test_the_docstrings_examples_run(module):
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0
