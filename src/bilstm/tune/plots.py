"""A search as a figure: its trials in their order, and which parameters mattered. Computes nothing of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bilstm.plotting.description import BLUE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bilstm.tune.result import SearchResult

OVER, STOPPED, BEST = BLUE, RED, "#3b3b3b"


def plot_search(result: SearchResult) -> Figure:
    """Trials over time on the left, importances on the right."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _trials(left, result)
    _importance(right, result)
    return figure


def _trials(axes: Axes, result: SearchResult) -> None:
    finished, stopped = (
        [(trial.number, trial.value) for trial in result.trials if trial.state == state and trial.value is not None]
        for state in ("finished", "stopped")
    )
    numbers, values = zip(*finished, strict=True)
    best = list(itertools.accumulate(values, max if result.objective.higher_is_better else min))
    to_the_end = [*numbers, result.trials[-1].number], [*best, best[-1]]
    axes.step(*to_the_end, where="post", color=BEST, linewidth=1.2, label="best so far")
    axes.plot(numbers, values, "o", color=OVER, markersize=5, label="finished")
    if stopped:
        axes.plot(*zip(*stopped, strict=True), "x", color=STOPPED, markersize=6, label="stopped early")
    axes.plot(result.best_trial.number, best[-1], "o", color=OVER, markersize=11, fillstyle="none")
    if min(values) > 0 and max(value for _, value in finished + stopped) > 3 * min(values):
        axes.set_yscale("log")  # one bad trial would press the others together
    axes.set_xlabel("trial")
    axes.set_ylabel(result.value_name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def _importance(axes: Axes, result: SearchResult) -> None:
    shares = result.importance()
    axes.set_title("which parameters mattered", fontsize="medium")
    if not shares:
        axes.text(0.5, 0.5, "too few trials to tell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    names = list(shares)[::-1]
    axes.barh([name.replace("_", " ") for name in names], [shares[name] for name in names], color=OVER)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3, axis="x")
