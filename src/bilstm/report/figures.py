"""Figures of merit as a report shows them: tables with intervals, differences, a verdict. Computes none of them."""

from __future__ import annotations

import numpy as np

from bilstm.formatting import counted, fixed, number, percent
from bilstm.metrics.bootstrap import Interval, resamples_for
from bilstm.metrics.figures import Evaluation, Figure
from bilstm.report.blocks import Block, Cell, Facts, Table, Text

FEW = 30  # sequences below which an interval is itself unsure


def shown(figure: Figure, value: float) -> str:
    """The figure as text."""
    return percent(value) if figure.is_share else _digits(value)


def apart(figure: Figure, value: float) -> str:
    """A difference of two such figures as text; of shares in points, which are no shares of anything."""
    return f"{percent(value).removesuffix(' %')} points" if figure.is_share else _digits(value)


def figures_blocks(evaluation: Evaluation) -> list[Block]:
    """The table of figures, the table of differences, and how they came about."""
    head = ["", *(figure.name for figure in evaluation.figures)]
    names = ["this model", *(reference.name for reference in evaluation.references)]
    rows = [
        [Cell(name, strong=place == 0), *(_value(evaluation, figure, place) for figure in evaluation.figures)]
        for place, name in enumerate(names)
    ]
    blocks: list[Block] = [Table(f"Figures of {evaluation.count}, and their 95 % intervals", head, rows)]
    if evaluation.best is not None:
        blocks.append(_differences(evaluation, evaluation.best))
    terms = [(figure.name, figure.words) for figure in evaluation.figures]
    blocks.append(Facts([*terms, *((reference.name, reference.note) for reference in evaluation.references)]))
    return [*blocks, Text(_method(evaluation))]


def _digits(value: float) -> str:
    if not np.isfinite(value):
        return number(value)
    return "0.0000" if abs(value) < 5e-5 else fixed(value)


def _value(evaluation: Evaluation, figure: Figure, place: int) -> Cell:
    bounds = _bounds(figure, evaluation.interval(figure, place))
    return Cell(shown(figure, evaluation.value(figure, place)), bounds, strong=place == 0)


def _bounds(figure: Figure, found: Interval | None) -> str:
    if found is None or np.isnan(found.low):
        return ""
    return f"{shown(figure, found.low)} to {shown(figure, found.high)}"


def _differences(evaluation: Evaluation, place: int) -> Table:
    reference = evaluation.references[place - 1].name
    rows = []
    for figure in evaluation.figures:
        if np.isnan(evaluation.value(figure, place)) or not figure.has_interval:
            continue  # a rule without intervals has no coverage
        gap, found = evaluation.difference(figure, place)
        sign = "+" if gap > 0 else ""
        between = "" if found is None else f"{apart(figure, found.low)} to {apart(figure, found.high)}"
        rows.append([figure.name, sign + apart(figure, gap), between, judged(figure, gap, found)])
    head = ["figure", "difference", "95 % interval", "so this model is"]
    return Table(f"This model less the best simple rule here, {reference}", head, rows, texts=(0, 3))


def judged(figure: Figure, gap: float, found: Interval | None) -> str:
    """What a difference and its interval say, in a word or two.

    Example:
        >>> error = Figure("mae", "mean absolute error", lambda sums: sums[..., 0])
        >>> judged(error, -1.0, Interval(-2.0, -0.1)), judged(error, -1.0, Interval(-2.0, 0.5))
        ('better', 'no better: this may be chance')
    """
    if found is None or np.isnan(found.low):
        return "not to be told from one" if np.isfinite(gap) else "not comparable"
    if gap == 0 and found.low == found.high == 0:
        return "the same"
    if found.holds_zero:
        better = figure.better(gap, 0.0)
        return "no better: this may be chance" if better or gap == 0 else "no worse: this may be chance"
    return "better" if figure.better(found.low, 0.0) else "worse"


def verdict(evaluation: Evaluation) -> Text:
    """One or two sentences: how good it is, and whether that is more than a simple rule, beyond chance."""
    figure = evaluation.figures[0]
    found = evaluation.interval(figure)
    bounds = _bounds(figure, found)
    said = f"On {evaluation.count} the {short_of(figure)} is {shown(figure, evaluation.value(figure))}"
    said += f" (95 % interval {bounds})." if bounds else "; one alone says nothing of chance."
    if found is not None and found.low == found.high:
        said += (
            f" No resample differs: all are alike. A share of others below about {percent(3 / evaluation.units)} would "
            "not have shown (rule of three)."
        )
    elif evaluation.units < FEW and bounds:
        said += f" From only {counted(evaluation.units, evaluation.unit)} the interval is itself unsure."
    if evaluation.best is None:
        return Text(f"{said} There was no simple rule to compare it with.", "doubtful")
    reference = evaluation.references[evaluation.best - 1].name
    gap, between = evaluation.difference(figure, evaluation.best)
    against = f"{shown(figure, evaluation.value(figure, evaluation.best))} of the best simple rule here, {reference}"
    word = judged(figure, gap, between)
    if between is None or np.isnan(between.low):
        return Text(f"{said} Beside it stands {against}.", "doubtful")
    lies = f"the difference lies between {apart(figure, between.low)} and {apart(figure, between.high)}"
    if word in ("better", "worse"):
        return Text(f"{said} That is {word} than the {against}: {lies}.", "good" if word == "better" else "warning")
    if word == "the same":
        return Text(f"{said} That is the same as the {against}.", "doubtful")
    return Text(f"{said} That is not clearly different from the {against}: {lies}, and holds 0.", "doubtful")


def short_of(figure: Figure) -> str:
    """What a figure is, as far as its words' first comma or colon.

    Example:
        >>> short_of(Figure("f1", "f1 of entities, right only if all agrees", lambda sums: sums))
        'f1 of entities'
    """
    return figure.words.replace(":", ",").partition(",")[0].partition(" (")[0]


def _method(evaluation: Evaluation) -> str:
    if evaluation.units < 2:
        return "An interval needs more than one."
    resamples = resamples_for(evaluation.units)
    unit_is = f"{evaluation.unit_is} " if evaluation.unit_is else ""
    return (
        f"Intervals: percentile bootstrap over {counted(evaluation.units, evaluation.unit)}, "
        f"{resamples:,} resamples, seed 0; differences are paired, from the same resamples. {unit_is}"
        "They tell how the figure varies with the data it is measured on, not with the training."
    )
