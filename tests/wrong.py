"""BiLSTMs that are wrong as published libraries were, each with the layer's call; the laws must reject each.

Most differ from the truth in what one direction does, so they say only that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from bilstm.nn import BiLSTM, use_kernel
from bilstm.nn.lstm import equations
from tests.cases import Case
from tests.laws import Law, sentence

Right = Callable[..., tuple[Tensor, Tensor, Tensor, Any]]


class Wrong(BiLSTM):
    """The equations, with something put in the place of one direction's run."""

    def forward(self, input: Tensor, hx: Any = None, lengths: Any = None) -> Any:
        right = equations.run_direction

        def direction(*arguments: Any) -> Any:
            return self.direction(right, *arguments)

        with use_kernel("equations"), mock.patch.object(equations, "run_direction", direction):
            return super().forward(input, hx, lengths)

    def direction(self, right: Right, x: Tensor, h: Tensor, c: Tensor, w: Any, lengths: Tensor, reverse: bool) -> Any:
        return right(x, h, c, w, lengths, reverse)


class BackwardHalfNeverReversed(Wrong):
    """thinc's bidirectional, 2020: data[::1] reverses nothing."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x, h, c, w, lengths, False)


class ReversedOverPadding(Wrong):
    """stanfordmlgroup/nlc #8 and many a torch.flip: the backward half begins on the padding."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        output, h, c, steps = right(x, h, c, w, torch.full_like(lengths, x.shape[1]) if reverse else lengths, reverse)
        return output.masked_fill(~equations.valid_steps(lengths, x).unsqueeze(2), 0), h, c, steps


class BatchAxisReversed(Wrong):
    """seya #32: the rows are reversed, not the steps."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x.flip(0), h, c, w, lengths, False) if reverse else right(x, h, c, w, lengths, False)


class FirstStepWithoutGradient(Wrong):
    """thinc's compiled kernel: the backward loop stops one step early."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(torch.cat([x[:, :1].detach(), x[:, 1:]], dim=1), h, c, w, lengths, reverse)


class StatesSwapped(Wrong):
    """thinc: declared (c, h), called (h, c)."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x, c, h, w, lengths, reverse) if h.shape == c.shape else right(x, h, c, w, lengths, reverse)


class OnlyTheFirstRow(Wrong):
    """thinc's reference: the loop over the batch returns in its first round."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        first = (torch.arange(len(x)) == 0).unsqueeze(1)  # (B, 1)
        output, h_n, c_n, steps = right(x, h, c, w, lengths, reverse)
        return output * first.unsqueeze(2), h_n * first, c_n * first, steps


class ForgetAndInputSwapped(Wrong):
    """Weights of a library whose gate order is f, i, g, o."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        def swapped(stacked):
            i, f, g, o = stacked.chunk(4)
            return torch.cat([f, i, g, o])

        w = w._replace(input=swapped(w.input), hidden=swapped(w.hidden))
        return right(x, h, c, w, lengths, reverse)


class LastLengthIgnored(Wrong):
    """An off-by-one in the loop over lengths."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x, h, c, w, torch.cat([lengths[:-1], lengths[-1:] * 0 + x.shape[1]]), reverse)


class StatesIgnored(Wrong):
    """hx is accepted and never read."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x, h * 0, c * 0, w, lengths, reverse)


class CellKeepsRunningOnPadding(Wrong):
    """Output is masked afterwards, the states are those of the last padded step."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        output, *_, steps = right(x, h, c, w, lengths, reverse)
        _, h_n, c_n, _ = right(x, h, c, w, torch.full_like(lengths, x.shape[1]), reverse)
        return output, h_n, c_n, steps


class OutputOfPaddingRepeated(Wrong):
    """The state of a finished row is shown as if it were output."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        output, h_n, c_n, steps = right(x, h, c, w, lengths, reverse)
        padding = ~equations.valid_steps(lengths, x).unsqueeze(2)
        return torch.where(padding, h_n.unsqueeze(1), output), h_n, c_n, steps


class OneBiasOnly(Wrong):
    """bias_hh is taken for a copy of bias_ih."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        bias = None if w.hidden_bias is None else torch.zeros_like(w.hidden_bias)
        return right(x, h, c, w._replace(hidden_bias=bias), lengths, reverse)


class RecurrenceInHalfPrecision(Wrong):
    """Fast, and right to three digits."""

    def direction(self, right, x, h, c, w, lengths, reverse):
        return right(x, h, c, w._replace(hidden=w.hidden.bfloat16().to(w.hidden.dtype)), lengths, reverse)


class PaddingMultipliedAway(BiLSTM):
    """0·NaN is NaN."""

    def forward(self, input, hx=None, lengths=None):
        output, states = super().forward(input, hx, lengths)
        return output + 0 * (input if self.batch_first else input.transpose(0, 1)).sum(), states


class SortedAndNeverUnsorted(BiLSTM):
    """Rows are sorted by length for packing, and the result stays so."""

    def forward(self, input, hx=None, lengths=None):
        output, (h_n, c_n) = super().forward(input, hx, lengths)
        order = torch.arange(h_n.shape[1]) if lengths is None else torch.tensor(lengths, dtype=int).argsort(stable=True)
        axis = 0 if self.batch_first else 1
        return output.index_select(axis, order), (h_n.index_select(1, order), c_n.index_select(1, order))


class FinalStateFromTheLastStep(BiLSTM):
    """Classifying from output[:, -1]: the backward half has read one step there, and short rows none."""

    def forward(self, input, hx=None, lengths=None):
        output, (h_n, c_n) = super().forward(input, hx, lengths)
        if output.numel() == 0:
            return output, (h_n, c_n)
        last = output[:, -1] if self.batch_first else output[-1]  # (B, D·H_out)
        D = 2 if self.bidirectional else 1
        return output, (torch.cat([h_n[:-D], torch.stack(last.chunk(D, dim=1))]), c_n)


GALLERY: list[type[BiLSTM]] = [
    BackwardHalfNeverReversed,
    ReversedOverPadding,
    BatchAxisReversed,
    FirstStepWithoutGradient,
    StatesSwapped,
    OnlyTheFirstRow,
    FinalStateFromTheLastStep,
    ForgetAndInputSwapped,
    LastLengthIgnored,
    StatesIgnored,
    CellKeepsRunningOnPadding,
    OutputOfPaddingRepeated,
    OneBiasOnly,
    RecurrenceInHalfPrecision,
    PaddingMultipliedAway,
    SortedAndNeverUnsorted,
]


def rejected(law: Law, layer: type[BiLSTM], cases: Iterable[Case]) -> bool:
    """Whether the law finds fault with the layer on any of the cases."""
    for case in cases:
        try:
            law(layer, case)
        except AssertionError:
            return True
    return False


def verdicts(laws: list[Law], cases: list[Case]) -> dict[str, dict[str, bool]]:
    """For every wrong layer by name, which law rejects it."""
    return {wrong.__name__: {sentence(law): rejected(law, wrong, cases) for law in laws} for wrong in GALLERY}


def table(found: dict[str, dict[str, bool]]) -> str:
    """The verdicts as text: a row for each wrong layer, a column for each law."""
    laws = list(next(iter(found.values())))
    lines = [f"{number:>2}  {law}" for number, law in enumerate(laws, start=1)]
    width = max(map(len, found))
    lines.append(" " * width + "".join(f"{number:>4}" for number in range(1, len(laws) + 1)))
    for name, row in found.items():
        lines.append(name.ljust(width) + "".join(f"{'×' if row[law] else '·':>4}" for law in laws))
    return "\n".join(lines)
