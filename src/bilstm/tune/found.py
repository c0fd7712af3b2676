"""What a search found: the best parameters, all trials, and how much each parameter matters.

Knows trials and their figures; does not know how they were chosen, or where they are kept.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.space import Space, as_option
from bilstm.tune.space import distributions
from bilstm.tune.trials import Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bilstm.tune.study import Row


TELLING = 6  # trials below which nothing is said of how much parameters matter
SHOWN = 10  # trials of a table
MARKS = {"finished": "", "stopped": "stopped early", "failed": "failed", "unfinished": "not over"}


@dataclass(eq=False)
class Found:
    """The result of a search; see :func:`bilstm.tune.search.tune`.

    Args:
        setting: what all trials shared.
        space: what was searched.
        trials: all of them, in their order.
        winner: the best that ran to its end.
        metric_name: what the estimator calls its metric.
        seconds: of search.
        checkpoint: of the winner's first fit, if it is still there.
    """

    setting: Setting
    space: Space
    trials: list[Row]
    winner: Row
    metric_name: str
    seconds: float
    checkpoint: Path | None = None

    @property
    def best(self) -> dict[str, Any]:
        """The best parameters by name."""
        return self.winner.parameters

    def parameters(self, *, refit: bool = True) -> dict[str, Any]:
        """What the best model is fitted with: the best parameters, and what makes it learn from the held-out rows too.

        That is no held-out part, and as many epochs as the winner's fits kept on the mean. Only of an estimator that
        ``refits_all_rows``, and not where the caller's validation data stopped trials: see docs/decisions.md.

        Args:
            refit: False: the best parameters alone.
        """
        may = self.setting.validation is None and self.setting.estimator.refits_all_rows and self.winner.kept
        return self.best | ({"validation_fraction": 0.0, "max_epochs": self.winner.kept} if refit and may else {})

    def fit(self, *, refit: bool = True) -> BiLSTMEstimator:
        """The estimator, fitted with :meth:`parameters`: what ``fit`` alone would make of them.

        Where no row is added, and the checkpoint of the winner's first fit is left, that is taken up, in no time.
        """
        parameters = self.parameters(refit=refit)
        model = self.setting.estimator_with(parameters, 0, self.checkpoint if parameters == self.best else None)
        model.fit(self.setting.X, self.setting.y, validation=self.setting.validation)
        model.set_params(checkpoint=self.setting.estimator.checkpoint, verbose=self.setting.estimator.verbose)
        return model

    def hand_over(self, path: Path) -> None:
        """Put the winner's checkpoint where a fit with the best parameters looks for it."""
        if self.checkpoint is not None and self.checkpoint.exists():
            shutil.copyfile(self.checkpoint, path)

    @property
    def figure_name(self) -> str:
        """What trials were compared by."""
        return self.metric_name if self.setting.by == "metric" else "validation loss"

    def ordered(self) -> list[Row]:
        """Best first: those that ran to their end, then those that were stopped, then the others."""
        states = list(MARKS)
        sign = -1 if self.setting.is_higher_better else 1

        def rank(row: Row) -> tuple[int, float]:
            return states.index(row.state), math.inf if row.figure is None else sign * row.figure

        return sorted(self.trials, key=rank)

    def importance(self) -> dict[str, float]:
        """How much of what makes a trial good hangs on each parameter: shares that add up to 1, largest first.

        Stopped trials count with the figure that they had. Empty where there are fewer than six trials to tell from.

        Source: Watanabe, Bansal and Hutter 2023 (PED-ANOVA).
        """
        return importance(self.trials, self.space, is_higher_better=self.setting.is_higher_better)

    def table(self, most: int | None = SHOWN) -> str:
        """The best trials as text, one a line.

        Args:
            most: how many; None for all.
        """
        rows = self.ordered()[:most]
        names = list(self.space)
        head = ["trial", self.figure_name, *([] if self.setting.by == "metric" else [self.metric_name]), "epochs", "s"]
        lines = [[*head, *names, ""]]
        for row in rows:
            figures = [row.figure, *([] if self.setting.by == "metric" else [row.metric])]
            cells = [str(row.number), *map(_figure, figures), str(row.epochs), f"{row.seconds:.1f}"]
            lines.append([*cells, *(as_option(row.parameters.get(name, "")) for name in names), MARKS[row.state]])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        hidden = len(self.trials) - len(rows)
        return "\n".join([*text, *([f"and {hidden} more"] if hidden else [])])

    def importance_table(self) -> str:
        """The importances as text, with bars."""
        found = self.importance()
        width = max(map(len, found), default=0)
        return "\n".join(f"{name:<{width}}  {share:4.0%}  {'█' * round(20 * share)}" for name, share in found.items())

    def plot(self) -> Figure:
        """Trials over time, and the importances, as a figure of matplotlib."""
        from bilstm.tune.drawing import draw

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON can say it."""
        return {
            "task": self.setting.estimator.task,
            "compared_by": self.figure_name,
            "best": {"trial": self.winner.number, "figure": self.winner.figure, "parameters": self.best},
            "seeds": self.setting.seeds,
            "seconds": round(self.seconds, 1),
            "importance": {name: round(share, 4) for name, share in self.importance().items()},
            "trials": [
                {
                    "trial": row.number,
                    "state": row.state,
                    "figure": row.figure,
                    "validation_loss": row.loss,
                    self.metric_name: None if row.metric is None or math.isnan(row.metric) else row.metric,
                    "epochs": row.epochs,
                    "seconds": round(row.seconds, 3),
                    "parameters": row.parameters,
                    **({"note": row.note} if row.note else {}),
                }
                for row in self.trials
            ],
        }


def importance(rows: Sequence[Row], space: Space, *, is_higher_better: bool) -> dict[str, float]:
    """As :meth:`Found.importance`, of any trials."""
    told = [row for row in rows if row.figure is not None and row.state != "failed" and {*space} == {*row.parameters}]
    if len(told) < TELLING or len({row.figure for row in told}) < 2:
        return {}
    from_extra("optuna", "tune")
    import optuna

    from bilstm.tune.storage import quiet

    with quiet():
        study = optuna.create_study(direction="maximize" if is_higher_better else "minimize")
        known = distributions(space)
        for row in told:
            study.add_trial(optuna.create_trial(params=row.parameters, distributions=known, value=row.figure))
        judge = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(share) for name, share in found.items()}


def in_words(row: Row, setting: Setting, metric_name: str) -> str:
    """One trial as a line of talk."""
    told = " ".join(f"{name}={as_option(value)}" for name, value in row.parameters.items())
    if row.state == "failed":
        return f"trial {row.number} failed: {row.note} · {told}"
    end = f" · stopped after {row.epochs} epochs" if row.state == "stopped" else ""
    figure = metric_name if setting.by == "metric" else "loss"
    other = f" · {metric_name} {_figure(row.metric)}" if setting.by == "loss" else ""
    return f"trial {row.number}{end} · {figure} {_figure(row.figure)}{other} · {row.seconds:.1f} s · {told}"


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"
