"""What is true of every BiLSTM, whoever computes it. A law takes a class of layers and a case, and asserts.

The outside oracle is torch.nn.LSTM, one sequence at a time, in float64. How far a layer may be from it, torch
itself says: twice the error that torch makes in the case's own type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from bilstm.nn import BiLSTM, use_kernel
from tests.cases import Case
from tests.compare import assert_close

Law = Callable[[type[nn.LSTM], Case], None]
Results = dict[str, Tensor]
States = tuple[Tensor, Tensor] | None

# Torch's error at one point may be 0 by luck, or nearly so where sums are short; 64 roundings of the largest
# number present are allowed beside it. A wrong equation is off by thousands of times more.
ROUNDINGS = 64


def reversing_the_input_and_swapping_the_directions_reverses_the_output(make: type[nn.LSTM], case: Case) -> None:
    if not case.bidirectional:
        return
    layer, swapped = case.layer(make), case.layer(make)
    swapped.load_state_dict(_with_directions_swapped(layer.state_dict(), case.width))
    here = run(layer, case.input(), case.hx(), case.lengths)
    hx = case.hx()
    there = run(
        swapped,
        _each_row_reversed(case.input(), case.row_lengths),
        None if hx is None else (_pairs_swapped(hx[0]), _pairs_swapped(hx[1])),
        case.lengths,
    )
    back = _each_row_reversed(there["output"], case.row_lengths).roll(case.width, dims=2)
    allowed = allowances(case)
    assert_close(back, here["output"], atol=2 * allowed["output"], what="output reversed")
    for name in ("h_n", "c_n"):
        assert_close(_pairs_swapped(there[name]), here[name], atol=2 * allowed[name], what=name)


def what_stands_in_the_padding_changes_nothing(make: type[nn.LSTM], case: Case) -> None:
    padding = _padding(case)
    poisons = torch.tensor([float("nan"), float("inf"), 1e30]).to(case.dtype)
    poison = poisons[torch.arange(case.input().numel()) % 3].reshape(case.input().shape)
    clean = observe(case.layer(make), case, case.input())
    poisoned = observe(case.layer(make), case, torch.where(padding, poison, case.input()))
    for name, expected in clean.items():
        assert_close(poisoned[name], expected, what=name)


def output_and_gradient_are_zero_on_padding(make: type[nn.LSTM], case: Case) -> None:
    results = observe(case.layer(make), case, case.input())
    for name in ("output", "gradient of input"):
        there = results[name][_padding(case).expand_as(results[name])]
        assert_close(there, torch.zeros_like(there), what=f"{name} on padding")


def batch_mates_change_nothing(make: type[nn.LSTM], case: Case) -> None:
    if case.batch == 0:
        return
    row = case.seed % case.batch
    other = Case(**{**case.__dict__, "seed": case.seed + 1})
    mates = torch.arange(case.batch) != row
    x = torch.where(mates[:, None, None], other.input(), case.input())
    lengths = [case.time - n if mate else n for n, mate in zip(case.row_lengths, mates, strict=True)]
    hx, strange = case.hx(), other.hx()
    if hx is not None and strange is not None:
        hx = tuple(torch.where(mates[None, :, None], s, h) for h, s in zip(hx, strange, strict=True))
    before = observe(case.layer(make), case, case.input())
    after = observe(case.layer(make), case, x, hx, lengths)
    allowed = allowances(case)
    for name, axis in _by_rows(before):
        assert_close(after[name].select(axis, row), before[name].select(axis, row), atol=2 * allowed[name], what=name)


def a_batch_equals_its_rows_one_by_one(make: type[nn.LSTM], case: Case) -> None:
    layer, hx, allowed = case.layer(make), case.hx(), allowances(case)
    together = run(layer, case.input(), hx, case.lengths)
    for row, length in enumerate(case.row_lengths):
        state = None if hx is None else (hx[0][:, row : row + 1], hx[1][:, row : row + 1])
        alone = run(layer, case.input()[row : row + 1, :length], state, None)
        output = together["output"][row : row + 1, :length]
        assert_close(output, alone["output"], atol=2 * allowed["output"], what=f"output of row {row}")
        for name in ("h_n", "c_n"):
            of_row = together[name][:, row : row + 1]
            assert_close(of_row, alone[name], atol=2 * allowed[name], what=f"{name} of row {row}")


def the_order_of_the_rows_is_the_callers(make: type[nn.LSTM], case: Case) -> None:
    order = torch.arange(case.batch).roll(1)
    hx = case.hx()
    hx = None if hx is None else (hx[0][:, order], hx[1][:, order])
    here = run(case.layer(make), case.input(), case.hx(), case.lengths)
    lengths = None if case.lengths is None else [case.lengths[row] for row in order]
    there = run(case.layer(make), case.input()[order], hx, lengths)
    allowed = allowances(case)
    for name, axis in (("output", 0), ("h_n", 1), ("c_n", 1)):
        expected = here[name].index_select(axis, order)
        assert_close(there[name], expected, atol=2 * allowed[name], what=f"{name} reordered")


def the_final_states_are_each_directions_own_last_step(make: type[nn.LSTM], case: Case) -> None:
    got, hx, allowed = (
        run(case.layer(make), case.input(), case.hx(), case.lengths),
        case.hx(),
        allowances(case),
    )
    top, width = (case.layers - 1) * case.directions, case.width
    cells = _cells(case) if case.time else None
    for row, length in enumerate(case.row_lengths):
        if length == 0:
            for name, start in zip(("h_n", "c_n"), hx or (None, None), strict=True):
                end = got[name][:, row]
                assert_close(end, torch.zeros_like(end) if start is None else start[:, row], what=f"{name} unmoved")
            continue
        assert cells is not None
        for d, last in list(enumerate((length - 1, 0)))[: case.directions]:
            shown = got["output"][row, last, d * width : (d + 1) * width]
            assert_close(got["h_n"][top + d, row], shown, what=f"h_n of row {row}, direction {d}")
            cell = got["c_n"][d :: case.directions, row]
            assert_close(cell, cells[:, d, row, last], atol=allowed["c_n"], what=f"c_n of row {row}, direction {d}")


def gradients_equal_finite_differences_of_the_equations(make: type[nn.LSTM], case: Case) -> None:
    """Central differences in float64 along one random direction per tensor, for the input one per time step."""
    got = observe(case.layer(make), case, case.input())
    layer, x, hx = case.layer(BiLSTM, torch.float64), case.input(torch.float64), case.hx(torch.float64)
    tensors = {"input": x} | dict(layer.named_parameters())
    if hx is not None:
        tensors |= {"h_0": hx[0], "c_0": hx[1]}
    generator = torch.Generator().manual_seed(case.seed)
    for name, tensor in tensors.items():
        gradient = got[f"gradient of {name}"].double()
        for part in range(case.time) if name == "input" else (slice(None),):
            way = torch.zeros_like(tensor)
            moved = way[:, part] if name == "input" else way
            moved.copy_(torch.randn(moved.shape, generator=generator, dtype=torch.float64))
            way /= way.norm().clamp(min=1.0)
            slope = _slope(tensor, way, lambda: _scalar(layer, case, x, hx))
            rounding = ROUNDINGS * torch.finfo(case.dtype).eps * _largest(gradient) * float(way.abs().sum())
            what = f"slope along {name}" + (f" at step {part}" if name == "input" else "")
            # a step of 1e-4 leaves an error of the order 1e-8 (the step squared) where the third derivative
            # is 1
            assert_close((gradient * way).sum(), slope, atol=1e-6 + rounding, rtol=1e-6, what=what)


def every_number_is_within_twice_torchs_own_error(make: type[nn.LSTM], case: Case) -> None:
    """Output, states and all gradients against torch.nn.LSTM per sequence in float64."""
    expected, allowed = by_rows_of_torch(case, torch.float64), allowances(case)
    for name, value in observe(case.layer(make), case, case.input()).items():
        assert_close(value, expected[name], atol=allowed[name], what=name)


LAWS: list[Law] = [
    reversing_the_input_and_swapping_the_directions_reverses_the_output,
    what_stands_in_the_padding_changes_nothing,
    output_and_gradient_are_zero_on_padding,
    batch_mates_change_nothing,
    a_batch_equals_its_rows_one_by_one,
    the_order_of_the_rows_is_the_callers,
    the_final_states_are_each_directions_own_last_step,
    gradients_equal_finite_differences_of_the_equations,
    every_number_is_within_twice_torchs_own_error,
]


def sentence(law: Law) -> str:
    words = law.__name__.replace("_", " ")
    for owner in ("caller", "direction", "torch"):
        words = words.replace(f"{owner}s", f"{owner}'s")
    return words


# --- seeing what a layer does --------------------------------------------------------------------------------


def run(layer: nn.LSTM, x: Tensor, hx: States, lengths: list[int] | tuple[int, ...] | None) -> Results:
    """Output (B, T, ·), h_n and c_n of x (B, T, F), whichever axis the layer wants first."""
    output, (h_n, c_n) = layer(x if layer.batch_first else x.transpose(0, 1), hx, lengths)
    return {"output": output if layer.batch_first else output.transpose(0, 1), "h_n": h_n, "c_n": c_n}


def observe(layer: nn.LSTM, case: Case, x: Tensor, hx: States = None, lengths: list[int] | None = None) -> Results:
    """All that a call returns, and the gradients of the probed scalar for input, states and every parameter."""
    hx = case.hx() if hx is None else hx
    x = x.clone().requires_grad_()
    hx = None if hx is None else (hx[0].clone().requires_grad_(), hx[1].clone().requires_grad_())
    results = run(layer, x, hx, case.lengths if lengths is None else lengths)
    return results | _gradients(layer, case, x, hx, results)


@lru_cache(maxsize=256)
def by_rows_of_torch(case: Case, dtype: torch.dtype) -> Results:
    """The same by torch.nn.LSTM, each row alone and without its padding."""
    layer = case.layer(nn.LSTM, dtype, batch_first=True)
    x, hx = case.input(dtype).requires_grad_(), case.hx(dtype)
    hx = None if hx is None else (hx[0].requires_grad_(), hx[1].requires_grad_())
    rows = case.layers * case.directions
    starts = hx or (torch.zeros(rows, case.batch, width, dtype=dtype) for width in (case.width, case.hidden))
    h_n, c_n = (list(start.unbind(1)) for start in starts)
    output = [torch.zeros(case.time, case.directions * case.width, dtype=dtype) for _ in range(case.batch)]
    for row, length in enumerate(case.row_lengths):
        if length:
            # packed, since torch's padded routine warns that oneDNN has no projections
            sequence = pack_sequence([x[row, :length]])
            y, (h, c) = layer(sequence, (h_n[row].unsqueeze(1), c_n[row].unsqueeze(1)))
            output[row] = torch.cat([y.data, output[row][length:]])
            h_n[row], c_n[row] = h[:, 0], c[:, 0]
    results = {
        "output": torch.stack(output) if output else x.new_zeros(0, case.time, case.directions * case.width),
        "h_n": torch.stack(h_n, 1) if h_n else x.new_zeros(rows, 0, case.width),
        "c_n": torch.stack(c_n, 1) if c_n else x.new_zeros(rows, 0, case.hidden),
    }
    return results | _gradients(layer, case, x, hx, results)


@lru_cache(maxsize=256)
def allowances(case: Case) -> dict[str, float]:
    """How far each number may be from the truth: twice torch's own error, and the roundings."""
    truth, torchs = by_rows_of_torch(case, torch.float64), by_rows_of_torch(case, case.dtype)
    rounding = ROUNDINGS * torch.finfo(case.dtype).eps
    return {
        name: 2 * float((torchs[name] - value).abs().max()) + rounding * _largest(value) if value.numel() else 0.0
        for name, value in truth.items()
    }


def _gradients(layer: nn.LSTM, case: Case, x: Tensor, hx: States, results: Results) -> Results:
    leaves = {"input": x} | dict(layer.named_parameters())
    if hx is not None:
        leaves |= {"h_0": hx[0], "c_0": hx[1]}
    total = _probed(case, results) + sum(leaf.sum() * 0 for name, leaf in leaves.items() if name != "input")
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    results.update({name: value.detach() for name, value in results.items()})
    return {f"gradient of {name}": value for name, value in zip(leaves, found, strict=True)}


def _probed(case: Case, results: Results) -> Tensor:
    probes = case.probes(results["output"].dtype)
    return sum(
        ((results[name] * probe).sum() for name, probe in zip(("output", "h_n", "c_n"), probes, strict=True)),
        start=torch.zeros((), dtype=results["output"].dtype),
    )


def _scalar(layer: BiLSTM, case: Case, x: Tensor, hx: States) -> Tensor:
    with use_kernel("equations"):
        return _probed(case, run(layer, x, hx, case.lengths))


@torch.no_grad()
def _slope(tensor: Tensor, way: Tensor, value: Callable[[], Tensor], step: float = 1e-4) -> Tensor:
    tensor.add_(way, alpha=step)
    above = value()
    tensor.add_(way, alpha=-2 * step)
    below = value()
    tensor.add_(way, alpha=step)
    return (above - below) / (2 * step)


def _cells(case: Case) -> Tensor:
    """(L, D, B, T, H) by the equations."""
    layer, x = case.layer(BiLSTM, torch.float64), case.input(torch.float64)
    with torch.no_grad():
        x = x if case.batch_first else x.transpose(0, 1)
        return layer.trace(x, case.hx(torch.float64), case.lengths).cell


def _largest(value: Tensor) -> float:
    return max(1.0, float(value.abs().max())) if value.numel() else 1.0


def _by_rows(results: Results) -> Iterator[tuple[str, int]]:
    """The results that have rows, and the axis they lie along."""
    for name in results:
        if name in ("output", "gradient of input"):
            yield name, 0
        elif name in ("h_n", "c_n", "gradient of h_0", "gradient of c_0"):
            yield name, 1


def _padding(case: Case) -> Tensor:
    return (torch.arange(case.time) >= torch.tensor(case.row_lengths, dtype=torch.int64)[:, None])[:, :, None]


def _each_row_reversed(x: Tensor, lengths: list[int]) -> Tensor:
    rows = [torch.cat([row[:length].flip(0), row[length:]]) for row, length in zip(x, lengths, strict=True)]
    return torch.stack(rows) if rows else x


def _pairs_swapped(states: Tensor) -> Tensor:
    return states.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _with_directions_swapped(state: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    """Each direction gets the other's parameters; layers above read the directions in the other order too."""
    swapped = {}
    for name, value in state.items():
        other = name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse"
        above = name.startswith("weight_ih") and not name.startswith("weight_ih_l0")
        swapped[other] = value.roll(width, dims=1) if above else value
    return swapped
