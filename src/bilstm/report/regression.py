"""A regressor examined: errors beside a mean and a ridge, predictions over truth, the worst rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.encoders import numeric_targets
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.formatting import counted, number
from bilstm.metrics.baselines import folds, ridge
from bilstm.metrics.figures import Evaluation, Reference
from bilstm.metrics.predictions import regression_figures, regression_metrics, regression_parts
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import Axis, Panel, Points, Rule, thinned
from bilstm.plotting.interactive import to_plotly
from bilstm.plotting.panels import errors_panel, scatter_panel
from bilstm.report.blocks import Block, Drawing, Table
from bilstm.report.examination import Examination, columns_for_rules, examine, examples, worst_table

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
    chosen = examples(dataset, losses, -losses, np.ones(len(truth), dtype=bool), "The most exact")
    return Examination(evaluation, blocks, [_worst(estimator, dataset, truth, predicted, losses)], chosen)


def _evaluation(estimator: BiLSTMRegressor, dataset: Dataset, truth: Array, predicted: Array) -> Evaluation:
    mean = np.broadcast_to(estimator.scaler_.mean, truth.shape)
    references = [Reference("always the mean", "the mean of the training rows", regression_parts(truth, mean))]
    if folds(len(truth)):
        columns, what = columns_for_rules(estimator, dataset)
        how = f"{what}, cross-validated on this data itself in {folds(len(truth))} folds"
        references.append(Reference("ridge regression", how, regression_parts(truth, ridge(columns, truth))))
    unit = estimator.row_unit
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
    error = predicted - truth
    over = scatter_panel(truth[rows], predicted[rows], name, rows=rows)
    hover = "row %{customdata}<br>predicted %{x}<br>error %{y}<extra></extra>"
    residuals = Points(predicted[rows], error[rows], size=4, hover=hover, details=rows)
    cloud = Panel([residuals, Rule(0.0, "y")], Axis(f"predicted {name}"), Axis("predicted − true"))
    right = f"On the line the model is right; above it says too much, below too little.{few}"
    shapeless = f"A cloud without a shape is what one hopes for; a bend or a funnel is something not learned.{few}"
    spread = "How many rows have an error of which size; a long tail on one side is a bias."
    drawn = [
        (f"{name}: predicted over true", right, over, 420),
        (f"{name}: error over prediction", shapeless, cloud, 360),
        (f"{name}: how large the errors are", spread, errors_panel(error), 280),
    ]
    return [Drawing(Chart(title, note, to_plotly([panel]), height)) for title, note, panel, height in drawn]


def _worst(estimator: BiLSTMRegressor, dataset: Dataset, truth: Array, predicted: Array, losses: Array) -> Table:
    names = estimator.target_names_
    columns = [truth, predicted, predicted - truth] if len(names) == 1 else [truth, predicted]

    def cells(row: int) -> list[str]:
        return [number(values[row, k]) for k in range(len(names)) for values in columns]

    heads = [head for name in names for head in (f"true {name}", "predicted", "error")[: len(columns)]]
    return worst_table(dataset, losses, [estimator.row_unit, *heads], cells, "with the largest errors")
