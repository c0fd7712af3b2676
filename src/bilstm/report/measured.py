"""Figures of merit with intervals, beside those of simple rules, and a verdict. Knows sums; not what they count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from bilstm.data.columns import Array
from bilstm.formatting import counted, number, percent
from bilstm.metrics.bootstrap import Interval, interval, resampled_sums, resamples_for
from bilstm.report.blocks import Block, Cell, Facts, Table, Text

ROUNDING = 1e-7  # share of a figure that may be nothing but the float32 of a network
FEW = 30  # sequences below which an interval is itself unsure


@dataclass(frozen=True)
class Measure:
    """One figure of merit.

    Args:
        name: as ``bilstm evaluate`` calls it.
        words: what it is, for a reader.
        of: from sums over sequences (…, S) to the figure (…).
        higher_is_better: or lower.
        is_share: shown in per cent.
        has_interval: false where resamples are biased, so that neither interval nor judgement would be sound.
    """

    name: str
    words: str
    of: Callable[[Array], Array]
    higher_is_better: bool = False
    is_share: bool = False
    has_interval: bool = True

    def shown(self, value: float) -> str:
        """The figure as text."""
        return percent(value) if self.is_share else _figures(value)

    def apart(self, value: float) -> str:
        """A difference of two such figures as text; of shares in points, which are no shares of anything."""
        return f"{percent(value).removesuffix(' %')} points" if self.is_share else _figures(value)

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is better than ``other``."""
        return one > other if self.higher_is_better else one < other


@dataclass(frozen=True)
class Rival:
    """A simple rule on the same sequences: what each adds to the sums, (N, S). A variant of the model is none."""

    name: str
    note: str
    sums: Any
    is_baseline: bool = True


@dataclass(frozen=True)
class Measured:
    """What a model and its rivals add to the sums, sequence by sequence.

    Args:
        unit: what is drawn in a resample, in the singular: row, sentence, recording, block.
        count: how many of what the figures are of, in words.
        measures: the first is the one that the verdict is about.
        sums: what each unit adds, (N, S).
        rivals: simple rules.
        unit_is: what a unit is, in a sentence, where its name does not say it.
    """

    unit: str
    count: str
    measures: Sequence[Measure]
    sums: Any
    rivals: Sequence[Rival] = field(default_factory=tuple)
    unit_is: str = ""

    @property
    def units(self) -> int:
        """How many there are."""
        return int(self.sums.shape[0])

    @property
    def main(self) -> Measure:
        """The one that the verdict is about."""
        return self.measures[0]

    @property
    def resamples(self) -> int:
        """How many are drawn."""
        return resamples_for(self.units)

    @cached_property
    def totals(self) -> Array:
        """Sums over all units, (1 + rivals, S); the model's first."""
        return np.stack([np.asarray(part.sum(axis=0)).ravel() for part in self._parts])

    @cached_property
    def draws(self) -> Array:
        """The same of every resample, (R, 1 + rivals, S): one draw for all, so that they can be compared."""
        joined = sparse.hstack([sparse.csr_array(part) for part in self._parts], format="csr")
        found = resampled_sums(joined, self.resamples)
        return found.reshape(len(found), len(self._parts), -1)

    @property
    def _parts(self) -> list[Any]:
        return [self.sums, *(rival.sums for rival in self.rivals)]

    def value(self, measure: Measure, place: int = 0) -> float:
        """A figure of the model (place 0) or of a rival."""
        with np.errstate(all="ignore"):
            return float(measure.of(self.totals[place]))

    def interval(self, measure: Measure, place: int = 0) -> Interval | None:
        """Its 95 % interval; None of a single unit, and of a figure that has none."""
        if self.units < 2 or not measure.has_interval:
            return None
        with np.errstate(all="ignore"):
            return interval(measure.of(self.draws[:, place]))

    def difference(self, measure: Measure, place: int) -> tuple[float, Interval | None]:
        """The model's figure less a rival's, and the interval of that, from the same draws."""
        mine, other = self.value(measure), self.value(measure, place)
        if self.units < 2:
            return mine - other, None
        with np.errstate(all="ignore"):
            found = interval(measure.of(self.draws[:, 0]) - measure.of(self.draws[:, place]))
        if all(abs(part) <= ROUNDING * abs(other) for part in (mine - other, *found)):
            return 0.0, Interval(0.0, 0.0)
        return mine - other, found

    @cached_property
    def best(self) -> int | None:
        """The place of the baseline with the best main figure, or None."""
        places = [place for place, rival in enumerate(self.rivals, 1) if rival.is_baseline]
        known = [place for place in places if not np.isnan(self.value(self.main, place))]
        sign = -1 if self.main.higher_is_better else 1
        return min(known, key=lambda place: sign * self.value(self.main, place), default=None)


def figures_blocks(measured: Measured) -> list[Block]:
    """The table of figures, the table of differences, and how they came about."""
    head = ["", *(measure.name for measure in measured.measures)]
    names = ["this model", *(rival.name for rival in measured.rivals)]
    rows = [
        [Cell(name, strong=place == 0), *(_figure(measured, measure, place) for measure in measured.measures)]
        for place, name in enumerate(names)
    ]
    blocks: list[Block] = [Table(f"Figures of {measured.count}, and their 95 % intervals", head, rows)]
    if measured.best is not None:
        blocks.append(_differences(measured, measured.best))
    terms = [(measure.name, measure.words) for measure in measured.measures]
    blocks.append(Facts([*terms, *((rival.name, rival.note) for rival in measured.rivals)]))
    return [*blocks, Text(_method(measured))]


def _figures(value: float) -> str:
    """Four digits, zeros at the end too, so that figures below each other have as many."""
    if not np.isfinite(value):
        return number(value)
    if abs(value) < 5e-5:
        return "0.0000"
    text = f"{value:#.4g}" if abs(value) >= 0.1 else f"{value:.4f}"
    return number(value) if "e" in text else text.removesuffix(".").replace("-", "−")


def _figure(measured: Measured, measure: Measure, place: int) -> Cell:
    return Cell(
        measure.shown(measured.value(measure, place)),
        _bounds(measure, measured.interval(measure, place)),
        strong=place == 0,
    )


def _bounds(measure: Measure, found: Interval | None) -> str:
    if found is None or np.isnan(found.low):
        return ""
    return f"{measure.shown(found.low)} to {measure.shown(found.high)}"


def _differences(measured: Measured, place: int) -> Table:
    rival = measured.rivals[place - 1].name
    rows = []
    for measure in measured.measures:
        if np.isnan(measured.value(measure, place)) or not measure.has_interval:
            continue  # a rule without intervals has no coverage
        gap, found = measured.difference(measure, place)
        sign = "+" if gap > 0 else ""
        between = "" if found is None else f"{measure.apart(found.low)} to {measure.apart(found.high)}"
        rows.append([measure.name, sign + measure.apart(gap), between, judged(measure, gap, found)])
    head = ["figure", "difference", "95 % interval", "so this model is"]
    return Table(f"This model less the best simple rule here, {rival}", head, rows, texts=(0, 3))


def judged(measure: Measure, gap: float, found: Interval | None) -> str:
    """What a difference and its interval say, in a word or two.

    Example:
        >>> error = Measure("mae", "mean absolute error", lambda sums: sums[..., 0])
        >>> judged(error, -1.0, Interval(-2.0, -0.1)), judged(error, -1.0, Interval(-2.0, 0.5))
        ('better', 'no better: this may be chance')
    """
    if found is None or np.isnan(found.low):
        return "not to be told from one" if np.isfinite(gap) else "not comparable"
    if gap == 0 and found.low == found.high == 0:
        return "the same"
    if found.holds_zero:
        better = measure.better(gap, 0.0)
        return "no better: this may be chance" if better or gap == 0 else "no worse: this may be chance"
    return "better" if measure.better(found.low, 0.0) else "worse"


def verdict(measured: Measured) -> Text:
    """One or two sentences: how good it is, and whether that is more than a simple rule, beyond chance."""
    measure, value = measured.main, measured.value(measured.main)
    found = measured.interval(measure)
    bounds = _bounds(measure, found)
    said = f"On {measured.count} the {short_of(measure)} is {measure.shown(value)}"
    said += f" (95 % interval {bounds})." if bounds else "; one alone says nothing of chance."
    if found is not None and found.low == found.high:
        said += (
            f" No resample differs: all are alike. A share of others below about {percent(3 / measured.units)} would "
            "not have shown (rule of three)."
        )
    elif measured.units < FEW and bounds:
        said += f" From only {counted(measured.units, measured.unit)} the interval is itself unsure."
    if measured.best is None:
        return Text(f"{said} There was no simple rule to compare it with.", "doubtful")
    rival = measured.rivals[measured.best - 1].name
    gap, apart = measured.difference(measure, measured.best)
    against = f"{measure.shown(measured.value(measure, measured.best))} of the best simple rule here, {rival}"
    word = judged(measure, gap, apart)
    if apart is None or np.isnan(apart.low):
        return Text(f"{said} Beside it stands {against}.", "doubtful")
    between = f"the difference lies between {measure.apart(apart.low)} and {measure.apart(apart.high)}"
    if word in ("better", "worse"):
        return Text(f"{said} That is {word} than the {against}: {between}.", "good" if word == "better" else "warning")
    if word == "the same":
        return Text(f"{said} That is the same as the {against}.", "doubtful")
    return Text(f"{said} That is not clearly different from the {against}: {between}, and holds 0.", "doubtful")


def short_of(measure: Measure) -> str:
    """What a figure is, as far as its words' first comma or colon.

    Example:
        >>> short_of(Measure("f1", "f1 of entities, right only if all agrees", lambda sums: sums))
        'f1 of entities'
    """
    return measure.words.replace(":", ",").partition(",")[0].partition(" (")[0]


def _method(measured: Measured) -> str:
    if measured.units < 2:
        return "An interval needs more than one."
    unit_is = f"{measured.unit_is} " if measured.unit_is else ""
    return (
        f"Intervals: percentile bootstrap over {counted(measured.units, measured.unit)}, "
        f"{measured.resamples:,} resamples, seed 0; differences are paired, from the same resamples. {unit_is}"
        "They tell how the figure varies with the data it is measured on, not with the training."
    )
