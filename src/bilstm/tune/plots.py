"""A search as a figure: its trials in their order, and which parameters mattered. Computes nothing of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from bilstm.plotting.description import BLUE, RED, Axis, Bars, Line, Mark, Panel, Points
from bilstm.plotting.figures import to_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bilstm.tune.result import SearchResult

FINISHED, STOPPED, BEST = BLUE, RED, "#3b3b3b"


def plot_search(result: SearchResult) -> Figure:
    return to_matplotlib([[_trials(result), _importance(result)]], size=(11, 4.5))


def _trials(result: SearchResult) -> Panel:
    finished, stopped = (
        [(trial.number, trial.value) for trial in result.trials if trial.state == state and trial.value is not None]
        for state in ("finished", "stopped")
    )
    numbers, values = zip(*finished, strict=True)
    best = list(itertools.accumulate(values, max if result.objective.higher_is_better else min))
    ends = [*numbers[1:], result.trials[-1].number]  # each holds until a later trial is finished
    steps = np.stack([numbers, ends], axis=1).ravel()
    marks: list[Mark] = [
        Line(np.repeat(best, 2), steps, name="best so far", colour=BEST, width=1.2),
        Points(numbers, values, name="finished", colour=FINISHED, size=5, opacity=1.0),
        Points([result.best_trial.number], [best[-1]], colour=FINISHED, size=12, opacity=0.3),
    ]
    if stopped:
        at, reached = zip(*stopped, strict=True)
        marks.insert(2, Points(at, reached, name="stopped early", colour=STOPPED, size=5, opacity=1.0))
    # one bad trial would press the others together
    is_wide = min(values) > 0 and max(value for _, value in finished + stopped) > 3 * min(values)
    y = Axis(result.value_name, scale="log" if is_wide else "linear")
    return Panel(marks, Axis("trial", scale="whole"), y, span=3)


def _importance(result: SearchResult) -> Panel:
    shares = result.importance()
    if not shares:
        return Panel([], title="too few trials to tell which parameters mattered", span=2)
    names = list(shares)[::-1]
    bars = Bars([shares[name] for name in names], colour=FINISHED, is_horizontal=True)
    labels = Axis(labels=[name.replace("_", " ") for name in names])
    return Panel([bars], Axis(scale="percent"), labels, title="which parameters mattered", span=2)
