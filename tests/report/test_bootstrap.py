"""Intervals against scipy's bootstrap; figures from sums against the metrics that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from bilstm.metrics.bootstrap import Interval, interval, resampled_sums, resamples_for
from bilstm.metrics.figures import Evaluation, Figure, Reference
from bilstm.metrics.predictions import CLASSIFICATION, classification_parts, evaluate
from bilstm.report import page as pages
from bilstm.report.examination import examine
from bilstm.report.figures import figures_blocks, judged, verdict
from bilstm.report.forecasting import _blocks
from tests.compare import assert_close
from tests.report.models import TASKS


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 1000), st.sampled_from([50, 301]))
def test_an_interval_is_that_of_scipy(count, seed, resamples):
    values = np.random.default_rng(seed).normal(size=count)
    sums = np.column_stack([values**2, np.ones(count)])
    draws = resampled_sums(sums, resamples, seed=seed)
    found = interval(np.sqrt(draws[:, 0] / draws[:, 1]))

    def rmse(sample, axis):
        return np.sqrt(np.square(sample).mean(axis=axis))

    expected = stats.bootstrap(
        (values,), rmse, n_resamples=resamples, method="percentile", random_state=np.random.default_rng(seed)
    ).confidence_interval
    assert_close([found.low, found.high], [expected.low, expected.high], rtol=1e-12)


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch):
    sums = np.random.default_rng(0).normal(size=(30, 2))
    whole = resampled_sums(sums, 40)
    monkeypatch.setattr("bilstm.metrics.bootstrap.TOGETHER", 100)
    assert_close(resampled_sums(sums, 40), whole)
    assert_close(resampled_sums(sparse.csr_array(sums), 40), whole)


def test_of_very_many_sequences_fewer_resamples_are_drawn():
    assert [resamples_for(count) for count in (2, 100_000, 400_000, 10**9)] == [2000, 2000, 500, 200]


def test_an_interval_of_figures_that_mean_nothing_is_none():
    assert np.isnan(interval(np.full(10, np.nan)).low)
    assert_close(interval(np.array([1.0, np.inf, 1.0, 1.0])).high, 1.0)


ERROR = Figure("mae", "mean absolute error", lambda sums: sums[..., 0] / sums[..., 1])


def errors(values):
    return np.column_stack([np.abs(values), np.ones(len(values))])


def test_differences_are_paired():
    """Two rules whose errors move together differ surely, though each of their intervals is wide."""
    generator = np.random.default_rng(0)
    common = generator.exponential(size=80)
    evaluation = Evaluation(
        "row", "80 rows", [ERROR], [errors(common)], [Reference("rule", "", [errors(common + 0.05)])]
    )
    gap, found = evaluation.difference(ERROR, 1)
    assert_close(gap, -0.05, atol=1e-12)
    assert found.high < 0
    assert evaluation.interval(ERROR).high > evaluation.interval(ERROR, 1).low
    assert verdict(evaluation).tone == "good"


def test_a_difference_that_may_be_chance_is_called_so():
    generator = np.random.default_rng(1)
    one, other = generator.normal(size=(2, 50))
    evaluation = Evaluation("row", "50 rows", [ERROR], [errors(one)], [Reference("rule", "", [errors(other)])])
    assert "holds 0" in verdict(evaluation).text
    assert verdict(evaluation).tone == "doubtful"


def test_the_best_baseline_is_compared_with_and_a_variant_of_the_model_is_none():
    sums = errors(np.linspace(1, 2, 40))
    rivals = [
        Reference("bad", "", [sums * [3, 1]]),
        Reference("good", "", [sums * [2, 1]]),
        Reference("greedy", "", [sums], False),
    ]
    evaluation = Evaluation("row", "40 rows", [ERROR], [sums], rivals)
    assert evaluation.best == 2
    assert "the best simple rule here, good" in verdict(evaluation).text


def test_what_differs_by_rounding_is_the_same():
    sums = errors(np.linspace(1, 2, 40))
    evaluation = Evaluation("row", "40 rows", [ERROR], [sums], [Reference("twin", "", [sums * (1 + 1e-9)])])
    assert "That is the same as" in verdict(evaluation).text


RIGHT = Figure("accuracy", "share of right labels", lambda s: s[..., 0] / s[..., 1], True, True)


def test_equal_figures_that_are_wrong_elsewhere_differ_by_chance():
    """Of 60 rows each is wrong on 9, on others: their difference is 0, and what it could be has a width."""
    mine, other = np.ones((60, 2)), np.ones((60, 2))
    mine[:9, 0] = other[20:29, 0] = 0
    evaluation = Evaluation("row", "60 rows", [RIGHT], [mine], [Reference("rule", "", [other])])
    gap, found = evaluation.difference(RIGHT, 1)
    assert gap == 0
    deviation = np.sqrt(18 / 60 / 60)  # of a mean of 60 differences, 9 of them 1 and 9 of them −1
    assert_close([found.low, found.high], [-1.96 * deviation, 1.96 * deviation], atol=0.03)
    assert "holds 0" in verdict(evaluation).text


def test_a_calibration_error_is_shown_but_not_judged():
    """Absolute gaps of bins grow in every resample: of honest probabilities all of the interval lies too high."""
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1, 200)
    truth = (generator.uniform(size=200) > sure).astype(int)
    chances = np.column_stack([sure, 1 - sure])
    rule = Reference("rule", "", classification_parts(truth, np.full((200, 2), 0.5)))
    parts = classification_parts(truth, chances)
    evaluation = Evaluation("row", "200 rows", CLASSIFICATION, parts, [rule])
    table, differences, _, _ = figures_blocks(evaluation)
    column = table.head.index("calibration_error")
    assert table.cells[1][column].text
    assert not table.cells[1][column].small
    assert table.cells[1][column - 1].small
    assert [row[0] for row in differences.rows] == ["accuracy", "f1_macro", "log_loss"]


def test_a_figure_without_a_mistake_says_what_could_have_been_missed():
    sums = np.column_stack([np.ones(100), np.ones(100)])
    said = verdict(Evaluation("row", "100 rows", [RIGHT], [sums])).text
    assert "A share of others below about 3 % would not have shown" in said


@pytest.mark.parametrize(
    ("gap", "low", "high", "word"),
    [(-1, -2, -0.5, "better"), (1, 0.5, 2, "worse"), (-1, -2, 1, "no better: this may be chance")],
)
def test_a_difference_in_a_word(gap, low, high, word):
    assert judged(ERROR, gap, Interval(low, high)) == word


def test_intervals_of_forecasts_that_overlap_are_nearly_as_wide_as_the_truth():
    """Of random walks, 5 steps ahead: how much the mean error varies from walk to walk is known by drawing walks."""
    generator, W, h = np.random.default_rng(0), 1000, 5

    def losses():
        steps = generator.normal(size=W + h)
        return np.abs(np.cumsum([steps[s : s + W] for s in range(h)], axis=0)).mean(axis=0)

    truth = np.std([losses().mean() for _ in range(2000)])
    blocks = _blocks(np.zeros(W, dtype=int), h)
    widths = []
    for _ in range(20):
        sums = np.zeros((blocks[-1] + 1, 2))
        np.add.at(sums, blocks, np.column_stack([losses(), np.ones(W)]))
        draws = resampled_sums(sums, 500)
        low, high = interval(draws[:, 0] / draws[:, 1])
        widths.append((high - low) / (2 * 1.96 * truth))
    assert_close(np.mean(widths), 1.0, atol=0.12)  # with blocks of 5 forecasts it is 0.85


def test_a_block_is_of_one_series_and_forecasts_of_one_step_are_drawn_alone():
    starts = np.repeat([0, 100], [10, 5])
    assert _blocks(starts, 2).tolist() == [0] * 8 + [1] * 2 + [2] * 5
    assert _blocks(starts, 1).tolist() == list(range(15))


@pytest.mark.parametrize("name", TASKS)
def test_figures_are_those_of_evaluate(name):
    model, data = TASKS[name]()
    dataset, _ = pages._dataset(model, data)
    evaluation = examine(model, dataset, lambda _: None).evaluation
    expected = model.forecasts(dataset).metrics if name == "forecaster" else evaluate(model, dataset)
    for figure in evaluation.figures:
        assert_close(evaluation.value(figure), expected[figure.name], rtol=1e-9, atol=1e-12, what=figure.name)
