"""The native kernel: tensors in, addresses out, one call of C++ for a whole stack of layers or for a CRF.

The only file that imports the compiled module, and it survives its absence (``ctc_native`` calls it for CTC). Knows
which calls the module serves and how tensors must lie in memory for it; computes nothing and knows no autograd.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bilstm.errors import ParameterError, did_you_mean
from bilstm.nn.crf_equations import Chain
from bilstm.nn.equations import Call, Trace, needs_gradient, tensors

PLAIN = (Tensor, nn.Parameter)  # what a subclass means by its numbers, only the subclass knows
FLOAT32 = (torch.float32,)
NOT_BUILT = "not built"

Maybe = Tensor | None
Results = tuple[Tensor, Tensor, Tensor]  # output, h_n, c_n
Steps = tuple[Tensor, ...]  # the parts of an equations.Trace


class Given(NamedTuple):
    """A Call whose weights are one list, four or (without biases) two for each layer and direction."""

    input: Tensor
    h0: Maybe
    c0: Maybe
    weights: Sequence[Tensor]
    lengths: Maybe
    masks: Sequence[Tensor]
    directions: int

    @property
    def each(self) -> int:
        """Weights of a layer in one direction; if they have biases, a vector comes third."""
        return 4 if len(self.weights) > 2 and self.weights[2].dim() == 1 else 2

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """B, T, F, H, L, D."""
        B, T, F = self.input.shape
        layers = len(self.weights) // (self.directions * self.each)
        return B, T, F, self.weights[1].shape[1], layers, self.directions


# --- which calls it serves ----------------------------------------------------------------------------------


def serves(call: Call) -> str | None:
    """None, or in words why the native kernel cannot serve the call."""
    if _compiled is None:
        return NOT_BUILT
    if call.weights[0][0].projection is not None:
        return "knows no projections"
    if transformed():
        return "knows no transforms of torch.func and no forward-mode gradients"
    if torch._C._get_tracing_state() is not None:
        return "cannot be recorded by torch.jit.trace"
    if call.input.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu"):
        return _serves_bfloat16(call)
    if watched():
        return "has no ONNX operator" if torch.onnx.is_in_onnx_export() else _foreign(call.input, FLOAT32)
    return takes(tensors(call))


def serves_trace(call: Call) -> str | None:
    """The same for a trace, of which there is no operator."""
    return "traces only eagerly" if watched() else serves(call)


def _serves_bfloat16(call: Call) -> str | None:
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is not torch.bfloat16:
        return "knows autocast to bfloat16 only"
    if watched() or needs_gradient(call):
        return "computes in bfloat16 only eagerly and without gradients"
    return takes(tensors(call), (torch.bfloat16, torch.float32))


def takes(given: Sequence[Tensor], dtypes: Sequence[torch.dtype] = FLOAT32) -> str | None:
    """The same for bare tensors, of which the first is the input."""
    if _compiled is None:
        return NOT_BUILT
    for tensor in given:
        if tensor.dtype not in dtypes or not tensor.is_cpu or type(tensor) not in PLAIN or tensor.is_neg():
            return _foreign(tensor, dtypes) or f"takes plain tensors only, not {type(tensor).__name__}"
    return None if given[0].numel() else "leaves a batch without rows or steps to the equations"


def transformed() -> bool:
    """Whether a call runs inside torch.func (vmap, grad, jvp …) or under forward-mode automatic differentiation."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def watched() -> bool:
    """Whether a compiler, an exporter or another mode looks on: it must be shown operators, not addresses."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def serves_crf(chain: Chain) -> str | None:
    """None, or in words why the native kernel cannot serve a CRF."""
    return serves_eagerly((chain.emissions, chain.transitions, chain.start, chain.end))


def serves_eagerly(given: Sequence[Tensor], dtypes: Sequence[torch.dtype] = FLOAT32) -> str | None:
    """The same for what is no stack of layers: a CRF, or CTC; of the tensors the first is the input."""
    if _compiled is None:
        return NOT_BUILT
    if watched() or transformed() or torch._C._get_tracing_state() is not None:
        return "computes a CRF or CTC only eagerly, without transforms of torch.func"
    return takes(given, dtypes)


def call(function: str, *arguments: Any) -> None:
    """Call a function of the compiled module by its name: for CTC, whose addresses ``ctc_native`` makes."""
    _call(getattr(_compiled, function), *arguments)


def isas() -> list[str]:
    """The instruction sets that this processor can run, best first; none where the kernel is not built."""
    return [] if _compiled is None else list(_compiled.isas())


def last_isa() -> str:
    """The instruction set that ran last in this process; empty before the first run."""
    return "" if _compiled is None else str(_compiled.last_isa())


def _foreign(tensor: Tensor, dtypes: Sequence[torch.dtype]) -> str | None:
    if tensor.device.type != "cpu":
        return f"runs on a CPU, not on {tensor.device.type}"
    return None if tensor.dtype in dtypes else f"computes in float32, not in {str(tensor.dtype).removeprefix('torch.')}"


# --- the three functions of the compiled module -------------------------------------------------------------


def infer(given: Given) -> Results:
    """Run all layers without a thought of gradients, in float32 or bfloat16."""
    if _in_float32(given):
        return forward(given, None)
    # in float32 every bfloat16 is itself; the products may be made of bfloat16 where that is faster
    output, h_n, c_n = forward(_widened(given), None, bfloat16=True)
    return output.bfloat16(), h_n.bfloat16(), c_n.bfloat16()


def trace(given: Given) -> Steps:
    """Each step of the run that ``infer`` makes, to the bit: i, f, g, o, c and h, (L, D, B, T, H) each."""
    if _in_float32(given):
        return _trace(given)
    return tuple(part.bfloat16() for part in _trace(_widened(given), bfloat16=True))


def forward(given: Given, reserve: Maybe, bfloat16: bool = False) -> Results:
    """Run all layers; a reserve, where there is one, is filled with what backward needs of the run."""
    results = empty_results(given)
    arguments, alive = _arguments(given, results)
    _call(_compiled.forward, *arguments, _address(reserve), bfloat16)
    del alive
    return results


def _trace(given: Given, bfloat16: bool = False) -> Steps:
    B, T, _, H, L, D = given.sizes
    parts = tuple(given.input.new_empty(L, D, B, T, H) for _ in Trace._fields)
    results = empty_results(given)
    arguments, alive = _arguments(given, results)
    _call(_compiled.trace, *arguments, [_address(part) for part in parts], bfloat16)
    del alive, results
    return parts


def backward(
    given: Given, results: Results, reserve: Tensor, d_results: Sequence[Maybe], wanted: Sequence[bool]
) -> list[Maybe]:
    """The gradients of input, h0, c0 and each weight, None where not wanted. Uses the reserve up."""
    d_output, d_h_n, d_c_n = (None if d is None else d.resolve_neg() for d in d_results)
    d_output, d_h_n, d_c_n = _adjacent(d_output), _packed(d_h_n), _packed(d_c_n)
    gradients = empty_gradients(given, wanted)
    d_input, d_h0, d_c0, *d_weights = gradients
    arguments, alive = _arguments(given, results)
    _call(
        _compiled.backward,
        *arguments,
        _address(reserve),
        _steps(d_output),
        _address(d_h_n),
        _address(d_c_n),
        _steps(d_input),
        _address(d_h0),
        _address(d_c0),
        _weights(d_weights, given.each),
    )
    del alive
    return gradients


# --- a CRF: native/crf.hpp ----------------------------------------------------------------------------------


def crf_forward(chain: Chain, tags: Maybe, keep: bool) -> tuple[Tensor, Maybe]:
    """log Z (B,) float64, less the score of the tags where there are any; and what backward needs, if it is kept."""
    chain, arguments = _chain_arguments(chain)
    tags = _packed(tags)
    result = chain.emissions.new_empty(len(chain.emissions), dtype=torch.float64)
    size = _compiled.crf_reserve_size(arguments[0]) if keep else 0
    reserve = result.new_empty(size) if keep else None
    _call(_compiled.crf_forward, *arguments, _address(tags), _address(result), _address(reserve))
    return result, reserve


def crf_backward(chain: Chain, tags: Maybe, reserve: Tensor, d_result: Tensor) -> tuple[Tensor, ...]:
    """The gradients of emissions, transitions, start and end."""
    chain, arguments = _chain_arguments(chain)
    tags, d_result = _packed(tags), d_result.resolve_neg().contiguous()
    gradients = tuple(
        torch.empty_like(tensor) for tensor in (chain.emissions, chain.transitions, chain.start, chain.end)
    )
    addresses = [_address(gradient) for gradient in gradients]
    _call(_compiled.crf_backward, *arguments, _address(tags), d_result.data_ptr(), reserve.data_ptr(), *addresses)
    return gradients


def crf_marginals(chain: Chain) -> Tensor:
    """The probability of each tag at each step, (B, T, K)."""
    chain, arguments = _chain_arguments(chain)
    marginals = torch.empty_like(chain.emissions)
    _call(_compiled.crf_marginals, *arguments, marginals.data_ptr())
    return marginals


def crf_viterbi(chain: Chain) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,) float64."""
    chain, arguments = _chain_arguments(chain)
    B, T, _ = chain.emissions.shape
    tags, score = torch.empty(B, T, dtype=torch.int64), torch.empty(B, dtype=torch.float64)
    _call(_compiled.crf_viterbi, *arguments, tags.data_ptr(), score.data_ptr())
    return tags, score


def _chain_arguments(chain: Chain) -> tuple[Chain, tuple[Any, ...]]:
    """What all four begin with, and the packed tensors, which must live as long as their addresses."""
    chain = Chain(*(tensor.contiguous() for tensor in chain))
    B, T, K = chain.emissions.shape
    addresses = (
        chain.lengths.data_ptr(),
        chain.emissions.data_ptr(),
        chain.transitions.data_ptr(),
        chain.start.data_ptr(),
        chain.end.data_ptr(),
    )
    return chain, ((B, T, K), addresses, torch.get_num_threads())


# --- room for results ---------------------------------------------------------------------------------------


def empty_results(given: Given) -> Results:
    """Room for output, h_n and c_n."""
    B, _, _, H, L, D = given.sizes
    states = L * D, B, H
    return _empty_steps(given.input, D * H), given.input.new_empty(states), given.input.new_empty(states)


def empty_gradients(given: Given, wanted: Sequence[bool]) -> list[Maybe]:
    """Room for the gradients of input, h0, c0 and each weight; None where not wanted."""
    rest = zip((given.h0, given.c0, *given.weights), wanted[1:], strict=True)
    return [
        _empty_steps(given.input, given.input.shape[2]) if wanted[0] else None,
        *(_packed_room(tensor) if want and tensor is not None else None for tensor, want in rest),
    ]


def empty_reserve(given: Given) -> Tensor:
    """Room for what backward needs of a run."""
    return given.input.new_empty(_reserve_size(given, given.sizes, given.lengths))


def empty_reserve_for_any_lengths(given: Given) -> Tensor:
    """The same where lengths and sizes are not known yet: its own size is a product of theirs."""
    B, T, F, H, L, D = given.sizes
    # a run of n steps keeps at most n times what a run of one step keeps; the one more is for n = 0
    return given.input.new_empty((B * T + 1, _reserve_size(given, (1, 1, int(F), int(H), L, D), None)))


def _empty_steps(like: Tensor, width: int) -> Tensor:
    """Room for (B, T, width), time first in memory where that is how ``like`` lies."""
    B, T, _ = like.shape
    time_first = like.stride(0) < like.stride(1)
    return like.new_empty_strided((B, T, width), (width, B * width, 1) if time_first else (T * width, width, 1))


def _packed_room(like: Tensor) -> Tensor:
    # empty_like takes a third of new_empty's time, and there are as many of these as weights
    return torch.empty_like(like) if like.is_contiguous() else like.new_empty(like.shape)


def _reserve_size(given: Given, sizes: tuple[int, ...], lengths: Maybe) -> int:
    lengths = _packed(lengths)
    return int(_call(_compiled.reserve_size, sizes, _address(lengths), len(given.masks) > 0))


def _in_float32(given: Given) -> bool:
    return given.input.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")


def _widened(given: Given) -> Given:
    input, h0, c0, weights, _, masks, _ = given
    return given._replace(
        input=input.float(),
        h0=None if h0 is None else h0.float(),
        c0=None if c0 is None else c0.float(),
        weights=[weight.float() for weight in weights],
        masks=[mask.float() for mask in masks],
    )


def _arguments(given: Given, results: Results) -> tuple[tuple[Any, ...], Any]:
    """What all three functions of the module begin with, and the tensors that must live as long as their addresses."""
    input, h0, c0, lengths = _adjacent(given.input), _packed(given.h0), _packed(given.c0), _packed(given.lengths)
    weights, masks = [_packed(weight) for weight in given.weights], [_adjacent(mask) for mask in given.masks]
    output, h_n, c_n = results
    arguments = (
        given.sizes,
        torch.get_num_threads(),
        _steps(input),
        _address(h0),
        _address(c0),
        _weights(weights, given.each),
        _address(lengths),
        [_steps(mask) for mask in masks],
        _steps(output),
        _address(h_n),
        _address(c_n),
    )
    return arguments, (input, h0, c0, lengths, weights, masks)


def _adjacent(steps: Maybe) -> Maybe:
    """(B, T, ·) with the features of a step adjacent in memory."""
    return steps if steps is None or steps.stride(2) == 1 else steps.contiguous()


def _packed(tensor: Maybe) -> Maybe:
    return None if tensor is None else tensor.contiguous()


def _address(tensor: Maybe) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _steps(tensor: Maybe) -> tuple[int, int, int]:
    return (0, 0, 0) if tensor is None else (tensor.data_ptr(), tensor.stride(0), tensor.stride(1))


def _weights(weights: Sequence[Maybe], each: int) -> list[int]:
    """Four addresses for each layer and direction."""
    addresses = [_address(weight) for weight in weights]
    if each == 2:
        addresses = [address for k in range(0, len(addresses), 2) for address in (*addresses[k : k + 2], 0, 0)]
    return addresses


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except ValueError:
        named = os.environ.get("BILSTM_ISA", "")
        if named in ("", *isas()):
            raise
        raise ParameterError(
            f"expected an instruction set of this processor, got {named!r} (environment variable BILSTM_ISA)",
            hint=did_you_mean(named, isas()),
        ) from None


def _load() -> tuple[Any, str | None]:
    try:
        return import_module("bilstm._native"), None
    except ImportError as error:  # installed without a C++ compiler, or built for another Python
        return None, str(error)


_compiled, import_error = _load()  # the module or None, and then why
