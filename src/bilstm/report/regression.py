"""A regressor examined: errors beside a mean and a ridge, predictions over truth, the worst rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.encoders import numeric_targets
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.formatting import counted, number
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.predictions import regression_figures, regression_metrics, regression_parts
from bilstm.metrics.simple_rules import folds, means_of_steps, ridge
from bilstm.plotting.charts import Chart, figure, rounded, thinned
from bilstm.plotting.description import BLUE, GREEN, ORANGE
from bilstm.report.blocks import Block, Drawing, Table
from bilstm.report.examination import (
    MOST_COLUMNS,
    Examination,
    content,
    examine,
    examples,
    names_of,
    worst_rows,
    worst_table,
)

TARGETS = 12  # that are drawn


@examine.register
def _(estimator: BiLSTMRegressor, dataset: Dataset, say: Callable[[str], None]) -> Examination:
    dataset = estimator.with_targets(dataset)
    dataset.check_lengths()
    assert dataset.targets is not None
    truth = numeric_targets(dataset.targets, dataset.source)  # (N, K)
    predicted = estimator.values(dataset)
    names = estimator.target_names_
    say(f"fitting a ridge regression to compare with ({len(truth):,} rows)")
    evaluation = _evaluation(estimator, dataset, truth, predicted)
    losses = np.square((predicted - truth) / estimator.scaler_.scale).mean(axis=1)
    blocks: list[Block] = []
    if len(names) > 1:
        blocks.append(_by_target(truth, predicted, names))
    for k, name in enumerate(names[:TARGETS]):
        blocks += _charts(truth[:, k], predicted[:, k], name)
    found = examples(dataset, losses, -losses, np.ones(len(truth), dtype=bool), "The most exact")
    return Examination(evaluation, blocks, [_worst(dataset, truth, predicted, names, losses)], found)


def _evaluation(estimator: BiLSTMRegressor, dataset: Dataset, truth: Array, predicted: Array) -> Evaluation:
    mean = np.broadcast_to(estimator.scaler_.mean, truth.shape)
    references = [Reference("always the mean", "the mean of the training rows", regression_parts(truth, mean))]
    if folds(len(truth)):
        matrix = estimator.features_.transform(dataset.steps, dataset.source)
        columns = means_of_steps(matrix, dataset.lengths)
        what = "" if dataset.is_table else " on the means of the steps"
        how = f"cross-validated on this data itself in {folds(len(truth))} folds{what}"
        references.append(Reference("ridge regression", how, regression_parts(truth, ridge(columns, truth))))
    unit = "row" if dataset.is_table else "sequence"
    figures, parts = regression_figures(truth.shape[1]), regression_parts(truth, predicted)
    return Evaluation(unit, counted(len(truth), unit), figures, parts, references)


def _by_target(truth: Array, predicted: Array, names: list[str]) -> Table:
    columns = ["rmse", "mae", "r2"]
    rows = []
    for k, name in enumerate(names):
        figures = regression_metrics(truth[:, k], predicted[:, k])
        rows.append([name, *(number(figures[column]) for column in columns)])
    return Table("Each target", ["target", *columns], rows)


def _charts(truth: Array, predicted: Array, name: str) -> list[Block]:
    rows = thinned(len(truth))
    few = "" if len(rows) == len(truth) else f" {len(rows):,} of {len(truth):,} are drawn, evenly chosen."
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    texts = [str(row) for row in rows]
    points = {"type": "scatter", "mode": "markers", "marker": {"size": 6, "opacity": 0.6, "color": BLUE}}
    perfect = {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "name": "perfect", "line": {"color": ORANGE}}
    hover = {"text": texts, "hovertemplate": "row %{text}<br>true %{x}<br>predicted %{y}<extra></extra>"}
    over = {**points, "x": rounded(truth[rows]), "y": rounded(predicted[rows]), "name": "rows", **hover}
    residual = {**points, "x": rounded(predicted[rows]), "y": rounded((predicted - truth)[rows]), "name": "rows"}
    residual |= {"text": texts, "hovertemplate": "row %{text}<br>predicted %{x}<br>error %{y}<extra></extra>"}
    counts, edges = np.histogram(predicted - truth, bins=int(np.clip(2 * np.sqrt(len(truth)), 5, 40)))
    bars = {"type": "bar", "x": rounded((edges[:-1] + edges[1:]) / 2), "y": counts, "width": rounded(np.diff(edges))}
    return [
        Drawing(
            Chart(
                f"{name}: predicted over true",
                f"On the line the model is right; above it says too much, below too little.{few}",
                figure([over, perfect], x=f"true {name}", y=f"predicted {name}"),
                height=420,
            )
        ),
        Drawing(
            Chart(
                f"{name}: error over prediction",
                f"A cloud without a shape is what one hopes for; a bend or a funnel is something not learned.{few}",
                figure([residual], x=f"predicted {name}", y="predicted − true", showlegend=False),
            )
        ),
        Drawing(
            Chart(
                f"{name}: how large the errors are",
                "How many rows have an error of which size; a long tail on one side is a bias.",
                figure([{**bars, "marker": {"color": GREEN}}], x="predicted − true", y="rows", bargap=0.05),
                height=280,
            )
        ),
    ]


def _worst(dataset: Dataset, truth: Array, predicted: Array, names: list[str], losses: Array) -> Table:
    rows = worst_rows(losses)
    shown = dataset.steps.columns[:MOST_COLUMNS] if dataset.is_table else []
    head = ["row" if dataset.is_table else "sequence"]
    for name in names:
        head += [f"true {name}", f"predicted {name}", "error"] if len(names) == 1 else [f"true {name}", "predicted"]
    table = []
    for row, called in zip(rows, names_of(dataset, rows), strict=True):
        cells = [called]
        for k in range(len(names)):
            cells += [number(truth[row, k]), number(predicted[row, k])]
            cells += [number(predicted[row, k] - truth[row, k])] if len(names) == 1 else []
        table.append((row, [*cells, *(content(dataset, row) if shown else [])]))
    more = dataset.steps.width - len(shown)
    note = f", with the first {len(shown)} of {dataset.steps.width} columns" if shown and more else ""
    return worst_table(f"The {counted(len(table), head[0])} with the largest errors{note}", [*head, *shown], table)
