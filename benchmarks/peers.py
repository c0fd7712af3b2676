"""The contenders of benchmarks/layer.py: ways to run one and the same layer, each with its answer as plain arrays.

Knows torch, ONNX Runtime, OpenVINO and our layer; JAX is next door in peers_jax.py. Knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from bilstm.nn import BiLSTM
from bilstm.nn.lstm.torch_kernel import has_narrow_routine
from problem import Array, Contender, Problem, Unable, packed, padded


def contenders(problem: Problem) -> tuple[dict[str, Contender], dict[str, str]]:
    """All that are installed and can, by name; and the others with the reason why not."""
    found, absent = dict(torch_and_ours(problem)), {}
    needed = {onnxruntime: ("onnxruntime", "onnx"), openvino: ("openvino", "onnx"), jax: ("jax",)}
    for make in (jax,) if problem.training else needed:
        name = make.__name__
        if not all(find_spec(module) for module in needed[make]):
            absent[name] = "not installed"
            continue
        try:
            found[name] = make(problem)
        except Unable as reason:
            absent[name] = str(reason)
    return found, absent


# --- torch and ours -----------------------------------------------------------------------------------------------


def ours(layer: nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    output: Tensor = layer(x, lengths=lengths)[0]
    return output


def torch_and_ours(problem: Problem) -> Iterator[tuple[str, Contender]]:
    """``torch`` where lengths are equal, else ``torch packed`` and, wrong but asked for, ``torch padded``."""
    equal = problem.lengths is None
    ways: dict[str, tuple[type[nn.LSTM], Callable[[nn.LSTM, Tensor, Tensor], Tensor]]] = {
        "torch" if equal else "torch packed": (nn.LSTM, padded if equal else packed),
        **({} if equal else {"torch padded": (nn.LSTM, padded)}),
        "bilstm": (BiLSTM, padded if equal else ours),
    }
    for name, (kind, way) in ways.items():
        if problem.bf16:
            yield name, _torch(problem, kind, way, torch.bfloat16)
            if kind is not nn.LSTM or has_narrow_routine():
                yield f"{name} autocast", _torch(problem, kind, way, torch.float32, autocast=True)
        else:
            yield name, _torch(problem, kind, way, torch.float32)


def _torch(
    problem: Problem,
    kind: type[nn.LSTM],
    way: Callable[[nn.LSTM, Tensor, Tensor], Tensor],
    dtype: torch.dtype,
    autocast: bool = False,
) -> Contender:
    layer = problem.case.layer(kind, dtype).train(problem.training)
    x, lengths, weights = problem.x.to(dtype), problem.row_lengths, list(layer.parameters())

    def inference() -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            return way(layer, x, lengths)

    def training() -> tuple[Tensor, ...]:
        return torch.autograd.grad(way(layer, x, lengths), weights, problem.d_output)

    return Contender(
        training if problem.training else inference,
        lambda result: [t.detach().float().numpy() for t in (result if isinstance(result, tuple) else (result,))],
    )


# --- runtimes that read ONNX --------------------------------------------------------------------------------------


def onnx_model(problem: Problem) -> bytes:
    """The layer as a graph of ONNX's LSTM operators: x (B, T, F) and, where lengths differ, lengths (B,) → y."""
    from onnx import TensorProto, helper, numpy_helper

    c, layer = problem.case, problem.case.layer(nn.LSTM)
    constants, nodes, name = [], [helper.make_node("Transpose", ["x"], ["x0"], perm=[1, 0, 2])], "x0"
    constants.append(numpy_helper.from_array(np.array([c.time, c.batch, 2 * c.hidden]), "shape"))
    with_lengths = "" if problem.lengths is None else "lengths"
    for k in range(c.layers):
        named = {f"W{k}": "weight_ih", f"R{k}": "weight_hh"}
        for target, source in named.items():
            both = [_onnx_gates(getattr(layer, f"{source}_l{k}{end}")) for end in ("", "_reverse")]
            constants.append(numpy_helper.from_array(np.stack(both), target))
        biases = [
            np.concatenate([_onnx_gates(getattr(layer, f"bias_{part}_l{k}{end}")) for part in ("ih", "hh")])
            for end in ("", "_reverse")
        ]
        constants.append(numpy_helper.from_array(np.stack(biases), f"B{k}"))
        inputs = [name, f"W{k}", f"R{k}", f"B{k}", with_lengths]
        nodes += [
            helper.make_node("LSTM", inputs, [f"y{k}"], hidden_size=c.hidden, direction="bidirectional"),
            helper.make_node("Transpose", [f"y{k}"], [f"z{k}"], perm=[0, 2, 1, 3]),  # (T, 2, B, H) → (T, B, 2, H)
            helper.make_node("Reshape", [f"z{k}", "shape"], [f"x{k + 1}"]),
        ]
        name = f"x{k + 1}"
    nodes.append(helper.make_node("Transpose", [name], ["y"], perm=[1, 0, 2]))
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [c.batch, c.time, c.features])]
    if with_lengths:
        given.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [c.batch]))
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [c.batch, c.time, 2 * c.hidden])]
    graph = helper.make_graph(nodes, "bilstm", given, result, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _onnx_gates(weight: Tensor) -> Array:
    """(4H, …) from torch's order of gates i, f, g, o to ONNX's i, o, f, g."""
    i, f, g, o = weight.detach().numpy().reshape(4, -1, *weight.shape[1:])
    return np.concatenate([i, o, f, g])


def _onnx_inputs(problem: Problem) -> dict[str, Array]:
    lengths = {} if problem.lengths is None else {"lengths": problem.lengths.numpy().astype(np.int32)}
    return {"x": problem.x.numpy(), **lengths}


def onnxruntime(problem: Problem) -> Contender:
    import onnxruntime as runtime

    if problem.bf16:
        raise Unable("its CPU LSTM knows float32 only")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = problem.threads, 1
    session = runtime.InferenceSession(onnx_model(problem), options, providers=["CPUExecutionProvider"])
    inputs = _onnx_inputs(problem)
    return Contender(lambda: session.run(None, inputs), list)


def openvino(problem: Problem) -> Contender:
    import openvino as ov

    if problem.bf16 and "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unable("no bfloat16 on this processor")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if problem.bf16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": problem.threads,
    }
    core = ov.Core()
    compiled = core.compile_model(core.read_model(onnx_model(problem), b""), "CPU", settings)
    request, inputs = compiled.create_infer_request(), _onnx_inputs(problem)
    # the result is the runtime's own memory: nothing is copied inside the clock
    return Contender(
        lambda: request.infer(inputs, share_inputs=True, share_outputs=True), lambda found: [np.array(found["y"])]
    )


def jax(problem: Problem) -> Contender:
    import peers_jax

    if problem.bf16:
        raise Unable("not set up for bfloat16 here")
    return Contender(peers_jax.function(problem), lambda found: [np.asarray(part) for part in found])
