"""Look for the faults that BiLSTM models have: padding leaks, rows that know each other, halves that are not read.

Knows the faults, their words and their cures; calls somebody's module as a black box and changes nothing in it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from bilstm.errors import DataError
from bilstm.surgery import runs
from bilstm.surgery.example import CALL, Example, Refused, check_is_module

MORE = 7  # further steps of padding, a number that is rarely the size of another axis
NO_ROWS = "no part of the result has an axis of rows, by which calls could be compared"
ROWS = 8  # so many rows are called alone; a fault in every batch shows in these


class Finding(NamedTuple):
    """One fault: ``kind`` in a word or two, what was seen, and what to do."""

    kind: str
    sentence: str
    hint: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}\n  hint: {self.hint}"


class Audit(NamedTuple):
    """What ``audit`` saw; printing it gives the report."""

    findings: list[Finding]  # the faults, each with a hint
    passed: list[str]  # what was tried and is right
    unchecked: list[str]  # what could not be tried, and why

    def __str__(self) -> str:
        lines = [*map(str, self.findings), *(f"right: {text}" for text in self.passed)]
        return "\n".join([*lines, *(f"not checked: {text}" for text in self.unchecked)])


def audit(
    module: nn.Module, example: Any, lengths: Iterable[int] | Tensor | None = None, batch_first: bool = True
) -> Audit:
    """Call a model with changed batches and say in words where its results depend on what must not matter.

    It looks for padding that reaches the results; for rows that depend on their batch mates or on their order;
    for the ``output[:, -1]`` trap, where the backward half is read after a single step of the sequence; and for
    halves of a layer that nobody reads. All on a copy in eval mode.

    Args:
        module: any ``torch.nn.Module`` with recurrent layers, whoever wrote it.
        example: a batch as the model takes it: a tensor, a tuple of arguments, or a dict of keyword arguments.
            Sequences are (B, T) or (B, T, …). Best with three or more rows of different lengths.
        lengths: length of each row, (B,). Left out, they come from the argument of that name, from a mask, or
            from rows that end in the padding id or in zeros.
        batch_first: False for sequences (T, B, …).

    Returns:
        Findings, what passed and what could not be checked; ``print`` shows all.

    Raises:
        DataError: module is no ``torch.nn.Module``, or the example is none that it can be called with.

    Note:
        The trap: arguments are told apart by their sizes, so give the example other numbers of rows than of
        steps, layers or characters. Results are compared to four digits: what moves them less is not seen.

    Example:
        >>> import torch
        >>> from bilstm import audit
        >>> class Last(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.lstm = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        ...     def forward(self, x):
        ...         return self.lstm(x)[0][:, -1]
        >>> print(audit(Last(), torch.randn(5, 9, 3)).findings[0])
        last step: the backward half of layer lstm is read only at the last step, where it has seen one step
          hint: use the final states, torch.cat([h_n[-2], h_n[-1]], 1), or pool over the valid steps
    """
    check_is_module(module, "audit")
    try:
        copied = copy.deepcopy(module).eval().requires_grad_(False)
    except Exception as error:
        raise DataError(
            f"expected a module that can be copied, got {type(error).__name__}: {error} (audit)",
            hint="the audit works on a copy; remove tensors with a graph from the module's attributes",
        ) from error
    examination = _Examination(copied, Example(module, example, lengths, batch_first))
    if examination.repetition():
        examination.mates()
        examination.order()
        examination.padding()
    examination.directions()
    return examination.audit


class _Examination:
    """A module, an example, and the findings so far."""

    def __init__(self, module: nn.Module, example: Example) -> None:
        self.module, self.example = module, example
        self.audit = Audit([], [], [])
        self.findings, self.passed, self.unchecked = self.audit
        try:
            self.base = runs.run(module, example)
        except Refused as error:
            raise DataError(f"expected an example that the module takes, got {error} (audit)", hint=CALL) from error
        if not self.base[-1].values:
            raise DataError("expected a module that returns tensors or numbers, got neither (audit)")
        self.rows = list(range(example.sizes[0]))
        self.axes = runs.axes(module, example, self.base, MORE)

    # --- the checks ------------------------------------------------------------------------------------------

    def repetition(self) -> bool:
        """The same call twice; where that differs, nothing else can be told from calls."""
        again = runs.run(self.module, self.example, seed=1)
        by = runs.repeated(self.base[-1].values, again[-1].values)
        if not by:
            return True
        self._find(
            "repetition",
            f"called again with the same input, the result moves by {_percent(by)}",
            "in eval mode nothing may be drawn (F.dropout wants training=self.training), and every call starts"
            " from fresh states",
        )
        self.unchecked.append("padding and rows: no two calls agree")
        return False

    def mates(self) -> None:
        """Each row alone, with all its padding."""
        if len(self.rows) < 2:
            self.unchecked.append("rows: the example has one row")
            return
        moves: list[float | None] = []
        for rows in [self.rows[:-1], *([row] for row in self.rows[:ROWS])]:
            events = self._try(self.example.take(rows), "rows")
            if events is None:
                break
            if len(rows) == 1 and self._lost_an_axis(events[-1]):
                return
            moves.append(self._moved(events[-1], rows))
        if not any(moves) and len(moves) <= len(self.rows[:ROWS]):
            return  # a call was refused, and is said to be unchecked
        self._judge(
            "batch mates",
            _largest(moves),
            "a row's result moves by {} when other rows are left out: it depends on them",
            "look for a missing batch_first=True, h_n.view(B, -1), or a norm or softmax over the rows",
            "rows: a row alone gives what it gives in the batch",
        )

    def order(self) -> None:
        """All rows, last first."""
        turned = self._try(self.example.take(self.rows[::-1]), "order") if len(self.rows) > 1 else None
        if turned is not None:
            self._judge(
                "order",
                self._moved(turned[-1], self.rows[::-1]),
                "results move by {} when the rows come in another order",
                "rows sorted for packing have to be put back: pack with enforce_sorted=False",
                "order: results follow the order of the rows",
            )

    def padding(self) -> None:
        """Other padding, more padding, none."""
        if self.example.lengths is None:
            self.unchecked.append("padding: no row of the example is known to end early; give lengths=[…]")
            return
        variants = {f"{MORE} more steps of padding": self.example.longer(MORE)}
        if (noisy := self.example.other_padding()) is not None:
            variants["other numbers in the padding"] = noisy
        moves: dict[str, float | None] = {}
        layer, before = None, len(self.unchecked)
        for text, variant in variants.items():
            if events := self._try(variant, "padding"):
                moves[text] = self._moved(events[-1], self.rows)
                layer = layer or (self._first_moved(events) if moves[text] else None)
        if not any(finding.kind in ("batch mates", "one row") for finding in self.findings):
            moves["no padding at all"] = _largest([self._moved_without_padding(row) for row in self.rows[:ROWS]])
        if any(moves.values()):
            changes = ", ".join(f"by {_percent(by)} with {text}" for text, by in moves.items() if by)
            where = f"; it shows first in what layer {layer} returns" if layer else ""
            self._find(
                "padding",
                f"padding reaches the result, which moves {changes}{where}",
                "give the LSTM the lengths (bilstm.BiLSTM takes lengths=, nn.LSTM a packed sequence) and mask what"
                " pools over steps",
            )
        elif _largest(list(moves.values())) is None:
            self.unchecked.append(f"padding: {NO_ROWS}")
        elif len(self.unchecked) == before:
            self.passed.append("padding: neither its content nor its amount changes a result")

    def directions(self) -> None:
        """What of each half of a bidirectional layer's output is read."""
        try:
            readings = runs.readings(self.module, self.example)
        except (Refused, RuntimeError) as error:
            self.unchecked.append(f"directions: no gradient could be taken: {error}")
            return
        before = len(self.findings)
        read = [self._halves(layer, *reading) for layer, reading in readings.items()]
        if not any(read):
            self.unchecked.append("directions: no gradient leads from the result to a bidirectional layer")
        elif len(self.findings) == before:
            self.passed.append("directions: both halves are read where they have seen the sequence")

    def _halves(self, layer: str, forward: runs.Reading, backward: runs.Reading, lengths: Tensor) -> bool:
        """Judge one layer; False where nothing of it is read."""
        halves = {"forward": forward, "backward": backward}
        read = {half: reading.final or bool(reading.steps.any()) for half, reading in halves.items()}
        name = f"layer {layer}" if layer else "the module itself"
        if not any(read.values()):
            return False
        for half, reading in halves.items():
            if not read[half]:
                self._find(
                    "unread half",
                    f"the {half} half of {name} never reaches the result",
                    "read both halves of output, or both h_n[-2] and h_n[-1]",
                )
            elif not reading.final and _only_where_it_starts(half, reading.steps, lengths):
                end = "first" if half == "forward" else "last"
                self._find(
                    f"{end} step",
                    f"the {half} half of {name} is read only at the {end} step, where it has seen one step",
                    "use the final states, torch.cat([h_n[-2], h_n[-1]], 1), or pool over the valid steps",
                )
        return True

    def _lost_an_axis(self, alone: runs.Event) -> bool:
        for value, whole in zip(alone.values, self.base[-1].values, strict=False):
            if value.dim() != whole.dim():
                shapes = f"shape {tuple(value.shape)}, where {len(self.rows)} rows give {tuple(whole.shape)}"
                self._find("one row", f"one row gives a result of {shapes}", "look for squeeze() without an axis")
                return True
        return False

    # --- calls and findings --------------------------------------------------------------------------------------

    def _try(self, variant: Example, what: str) -> list[runs.Event] | None:
        try:
            return runs.run(self.module, variant)
        except Refused as error:
            self.unchecked.append(f"{what}: the module refuses the changed batch: {error}")
            return None

    def _moved_without_padding(self, row: int) -> float | None:
        alone = self.example.take([row])
        events = self._try(alone.cut(), "padding") if int(alone.row_lengths[0]) else None
        return None if events is None else self._moved(events[-1], [row])

    def _moved(self, event: runs.Event, rows: Sequence[int]) -> float | None:
        return runs.moved(self.base[-1].values, event.values, self.axes[-1], self.example.row_lengths, rows)

    def _first_moved(self, events: list[runs.Event]) -> str | None:
        """The first layer of which valid steps moved. Final states come second: often nobody reads them."""
        lengths = self.example.row_lengths
        for states_too in (False, True):
            for was, now, axes in zip(self.base[:-1], events[:-1], self.axes[:-1], strict=False):
                if was.layer != now.layer:
                    break
                is_recurrent = isinstance(self.module.get_submodule(was.layer), nn.RNNBase)
                first = 1 if is_recurrent and not states_too else None
                if runs.moved(was.values[:first], now.values[:first], axes, lengths, self.rows):
                    return was.layer
        return None

    def _find(self, kind: str, sentence: str, hint: str) -> None:
        self.findings.append(Finding(kind, sentence, hint))

    def _judge(self, kind: str, by: float | None, sentence: str, hint: str, passed: str) -> None:
        if by:
            self._find(kind, sentence.format(_percent(by)), hint)
        elif by is None:
            self.unchecked.append(f"{passed.split(':')[0]}: {NO_ROWS}")
        else:
            self.passed.append(passed)


def _only_where_it_starts(half: str, steps: Tensor, lengths: Tensor) -> bool:
    """Whether all that is read of rows with two steps or more is read where this half has seen the first of them."""
    elsewhere = steps[lengths > 1].clone()
    if half == "forward":
        elsewhere[:, 0] = False
    else:
        elsewhere[:, -1] = False
        elsewhere[range(len(elsewhere)), lengths[lengths > 1] - 1] = False
    return len(elsewhere) > 0 and not bool(elsewhere.any())


def _largest(moves: Sequence[float | None]) -> float | None:
    return max((by for by in moves if by is not None), default=None)


def _percent(by: float) -> str:
    if math.isinf(by):
        return "NaN or infinity"
    return f"{by:.0%}" if by >= 0.01 else "less than 1%"
