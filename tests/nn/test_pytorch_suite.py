"""PyTorch's own tests of nn.LSTM hold for the accelerated layer as they do for torch's."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.utils import _pytree as trees

from bilstm import accelerate
from tests.compare import assert_close
from tests.nn import pytorch_suite

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own layer says so


FILES = (
    "test_nn.py",
    "test_modules.py",
    "test_expanded_weights.py",
    "test_jit.py",
    "nn/test_load_state_dict.py",
    "onnx/test_pytorch_onnx_onnxruntime.py",
    "onnx/test_utility_funs.py",
    "test_serialization.py",
    "test_autograd.py",
)
SCRIPTED = "made in a class of torch.jit.ScriptModule, which compiles the forward that it finds; torch.jit.script works"
DIFFERENT = {  # tests that pass for nn.LSTM and not for the accelerated one, and why that is right
    **{
        f"TestModuleCPU::test_errors_nn_LSTM_{mode}_mode_cpu_{dtype}": "an input of another type is a ValueError as "
        "torch's is, in words of our own"
        for mode in ("train", "eval")
        for dtype in ("float32", "float64")
    },
    "TestScript::test_nn_LSTM": SCRIPTED,
    "TestScript::test_nn_LSTM_with_layers": SCRIPTED,
    "TestNNDeviceTypeCPU::test_save_lstm_compatibility_cpu": "one layer's whole __dict__, its forward in it, is laid "
    "over another layer, while the first one lacks an attribute: no file holds that",
}
ALLOWED = {torch.float32: 1e-5, torch.float64: 1e-12}  # of the largest number of a tensor


def samples(dtype, training):
    """A pair of layers, torch's and the accelerated one, and what they are called with, as PyTorch's database says."""
    torch.manual_seed(0)
    pytest.importorskip("expecttest")  # which torch.testing._internal imports
    module_db = importlib.import_module("torch.testing._internal.common_modules").module_db

    (entry,) = (entry for entry in module_db if entry.module_cls is nn.LSTM)
    for sample in entry.module_inputs_func(entry, device="cpu", dtype=dtype, requires_grad=True, training=training):
        words = sample.constructor_input
        layer = nn.LSTM(*words.args, **words.kwargs, dtype=dtype).train(training)
        twin = copy.deepcopy(layer)
        accelerate(twin)
        yield layer, twin, sample.forward_input.args, sample.forward_input.kwargs


def grads_of(layer, args, kwargs):
    wanted = [*(leaf for leaf in trees.tree_leaves((args, kwargs)) if leaf.requires_grad), *layer.parameters()]
    outputs = trees.tree_leaves(layer(*args, **kwargs))
    return outputs, torch.autograd.grad(sum((output**2).sum() for output in outputs), wanted)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_sample_of_torchs_database_has_torchs_answer_and_gradients(dtype, training):
    count = 0
    for layer, twin, args, kwargs in samples(dtype, training):
        for found, expected in zip(grads_of(twin, args, kwargs), grads_of(layer, args, kwargs), strict=True):
            for ours, theirs in zip(found, expected, strict=True):
                assert ours.shape == theirs.shape
                assert ours.stride() == theirs.stride()
                assert_close(ours, theirs, atol=ALLOWED[dtype] * (1 + float(theirs.detach().abs().max())))
        count += 1
    assert count >= 32


@pytest.mark.slow
def test_gradients_of_first_and_second_order_of_each_sample_are_finite_differences():
    for _, twin, args, kwargs in samples(torch.float64, True):
        leaves, form = trees.tree_flatten((args, kwargs))
        names, parameters = zip(*twin.named_parameters(), strict=True)
        count = len(leaves)

        def called(*tensors, twin=twin, form=form, count=count, names=names):
            args, kwargs = trees.tree_unflatten(tensors[:count], form)
            weights = dict(zip(names, tensors[count:], strict=True))
            return tuple(trees.tree_leaves(functional_call(twin, weights, args, kwargs)))

        tensors = (*leaves, *(parameter.detach().requires_grad_() for parameter in parameters))
        assert gradcheck(called, tensors, fast_mode=True)
        assert gradgradcheck(called, tensors, fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_pytorchs_own_tests_pass_as_they_do_for_nn_lstm(file):
    pytest.importorskip("expecttest")
    try:
        pytorch_suite.tests_folder()
    except pytorch_suite.NotFetched as reason:
        pytest.skip(str(reason))
    torchs, ours = (pytorch_suite.outcomes(file, accelerated=accelerated) for accelerated in (False, True))
    passed = {name for name, outcome in torchs.items() if outcome == "passed"}
    assert passed, f"no test of {file} passes for nn.LSTM"
    different = {name: ours.get(name, "not run") for name in passed if ours.get(name) != "passed"}
    listed = {name for name in DIFFERENT if name in torchs}
    assert different.keys() == listed, different
