"""The page as a reader, a browser and a screen reader get it: whole, in order, escaped, without another host."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import bilstm
from bilstm import BiLSTMClassifier, BiLSTMRegressor, boston
from bilstm.data.dataset import Dataset
from bilstm.errors import BilstmError, DataError, DataWarning, ExtraError
from bilstm.formatting import number
from bilstm.report import report_html, tagging, write_report
from bilstm.report.examination import examine
from bilstm.report.forecasting import fan_chart
from bilstm.xray import x_ray
from tests import series
from tests.compare import assert_close
from tests.report.models import NASTY, QUICK, TASKS, Outline, classifier, page, regressor, rows_of_classes, table

GOLDEN = Path(__file__).parent.parent / "golden"
SECTIONS = ["verdict", "figures", "training", "behaviour", "worst", "xrays", "data", "settings", "versions", "again"]


@pytest.mark.parametrize("name", TASKS)
def test_a_report_has_every_section_in_order(name):
    outline = Outline(page(name))
    assert not outline.open
    anchors = [attributes["id"] for attributes in outline.named("h2")]
    assert anchors == SECTIONS
    assert [link["href"] for link in outline.named("a")][1 : 1 + len(SECTIONS)] == [f"#{anchor}" for anchor in SECTIONS]
    assert len(outline.named("figure")) >= 4
    text = " ".join(outline.text)
    assert "percentile bootstrap over" in text
    assert "2,000 resamples" in text


@pytest.mark.parametrize("name", TASKS)
def test_headings_links_tables_and_charts_can_be_used_without_eyes(name):
    outline = Outline(page(name))
    levels = [int(tag[1]) for tag, _ in outline.headings]
    assert levels[0] == 1
    assert max(np.diff(levels)) <= 1, "a level of headings is left out"
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in outline.named("a"):
        assert link["href"].removeprefix("#") in ids
    assert all(attributes.get("scope") in ("row", "col") for attributes in outline.named("th"))
    assert len(outline.named("caption")) == len(outline.named("table"))
    drawings = [attributes for attributes in outline.named("div") if attributes.get("class") == "drawing"]
    assert all(len(attributes["aria-label"]) > 20 for attributes in drawings)
    assert outline.named("html") == [{"lang": "en"}]


@pytest.mark.parametrize("name", TASKS)
def test_a_page_names_no_other_host_and_forbids_requests(name):
    outline = Outline(page(name))
    (policy,) = [meta["content"] for meta in outline.named("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")
    for _, attributes in outline.tags:
        loading = {"src", "srcset", "action", "style"} & set(attributes)
        assert not loading or (loading == {"style"} and re.fullmatch(r"height:\d+px", attributes["style"])), attributes
        assert not any(str(value).startswith(("http", "//")) for value in attributes.values())
    assert not outline.named("link")


@pytest.mark.parametrize("name", TASKS)
def test_without_data_a_report_tells_what_training_kept(name):
    outline = Outline(page(name, with_data=False))
    lacks = {"worst"} if name == "forecaster" else {"behaviour", "worst", "xrays"}  # which can go on from training
    expected = [anchor for anchor in SECTIONS if anchor not in lacks]
    assert [attributes["id"] for attributes in outline.named("h2")] == expected
    text = " ".join(outline.text)
    assert "held out to stop by" in text
    assert "the figures that training kept of its validation part" in text


def test_html_in_names_and_texts_is_shown_and_never_run():
    for name in ("regressor", "texts", "tagger", "classifier"):
        html = page(name)
        outline = Outline(html)
        assert NASTY not in html
        assert not outline.named("i")
        assert not outline.named("b")
    assert NASTY in " ".join(Outline(page("texts")).text)
    assert "<b>saw</b>" in "".join(Outline(page("tagger")).text)


def strings(value):
    """All strings in a chart, but the templates, which are ours."""
    if isinstance(value, dict):
        parts = [part for key, part in value.items() if key not in ("hovertemplate", "texttemplate")]
        return [text for part in parts for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", ["regressor", "classifier", "texts", "tagger", "forecaster"])
def test_plotly_finds_no_markup_in_names_and_texts(name):
    """Titles, categories and menus of every chart; plotly would make links, italics and pictures of them."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', page(name), flags=re.DOTALL)
    texts = [text for chart in found for text in strings(json.loads(chart))]
    assert not [text for text in texts if re.search(r"</?[a-zA-Z0-9]", text)]
    if name == "regressor":
        assert "true &lt;i&gt;rent&lt;/i&gt;" in texts
    if name == "classifier":
        assert "&lt;0&gt;" in texts


def test_types_whose_names_begin_alike_are_rows_of_their_own():
    kinds = [f"<b>{'long' * 8}</b>{k}" for k in range(3)]
    chart = tagging._type_confusion({(kinds[0], kinds[2]): 5, (kinds[1], "O"): 2}, kinds).chart
    (heat,) = chart.figure["data"]
    assert len(set(heat["x"])) == len(set(heat["y"])) == 4
    assert heat["x"][0].startswith("&lt;b&gt;long")
    assert heat["customdata"][0][2] == 5


def test_the_verdict_of_training_data_is_that_it_flatters():
    rows, labels = rows_of_classes(40)
    model = BiLSTMClassifier(**QUICK).fit(rows, labels)
    assert "trained on this very data" in report_html(model, (rows, labels))
    assert "trained on this very data" not in page("classifier")


def test_what_a_model_remembers_of_its_training_is_told_also_of_a_saved_one(tmp_path):
    model = BiLSTMRegressor(**QUICK).fit(boston().take(range(100)))
    model.save(tmp_path / "houses & more.bilstm")
    loaded = bilstm.load(tmp_path / "houses & more.bilstm")
    assert loaded.trained_with_ == model.trained_with_
    text = " ".join(Outline(report_html(loaded, file=tmp_path / "houses & more.bilstm")).text)
    assert "90 rows and 10 more to stop by, from boston" in text
    assert "Regressor: houses & more" in text
    assert "bilstm fit regressor boston --hidden-size 6 --max-epochs 3 -o 'houses & more.bilstm'" in text


def test_an_older_model_says_that_it_does_not_know():
    text = " ".join(Outline(report_html(bilstm.load(GOLDEN / "v1.bilstm"))).text)
    assert "not recorded" in text
    assert "bilstm fit regressor DATA --target medv" in text


def test_what_is_the_same_in_every_x_ray_is_shown_once():
    html = page("tagger")
    assert html.count("<strong>Gates") == 3
    assert html.count("<strong>Open and shut gates") == html.count("<strong>Which tag follows which") == 1


def test_one_row_gives_figures_without_intervals():
    model, (rows, targets) = regressor()
    text = " ".join(Outline(report_html(model, (rows[:1], targets[:1]))).text)
    assert "one alone says nothing of chance" in text
    assert "An interval needs more than one" in text


def test_few_rows_have_no_fitted_rival():
    model, (rows, targets) = regressor()
    html = report_html(model, (rows[:12], targets[:12]))
    assert "always the mean" in html
    assert "ridge regression" not in html
    assert "From only 12 rows the interval is itself unsure" in html


def test_a_class_that_training_never_saw_is_left_out_and_told():
    model, (rows, labels) = classifier()
    strange = labels.astype(object)
    strange[:5] = "nobody <knows>"
    outline = Outline(report_html(model, (rows, strange)))
    text = " ".join(outline.text)
    assert "5 rows of 60 have a class that training never saw (nobody <knows>)" in text
    assert "Figures of 55 rows" in text
    with pytest.raises(DataError, match="expected a known class, got 'x'"):
        report_html(model, (rows[:2], np.array(["x", "x"])))


def test_rows_keep_their_numbers_when_others_are_left_out():
    model, (rows, labels) = classifier()
    strange = labels.astype(object)
    strange[[0, 1, 7]] = "nobody"
    found = examine(model, Dataset.from_arrays(rows, strange), lambda _: None)
    (worst,) = found.worst
    assert len(worst.rows) == 10
    for row in worst.rows:
        assert row[5] == number(rows[int(row[0]), 0])
    example = found.examples[0]
    title = x_ray(model, example.data, row=example.row).title
    assert_close(rows[int(title.removeprefix("row "))], example.data.steps.row(example.row))


def test_a_missing_target_is_an_error_that_names_the_row():
    model, (rows, targets) = regressor()
    gap = targets.with_columns(price=targets["price"].scatter(3, None))
    with pytest.raises(DataError, match=r"target 'price' in every row, got NaN .*row 3"):
        report_html(model, (rows, gap))


def test_data_without_targets_or_of_another_kind_is_an_error():
    model, (rows, _) = regressor()
    for data, message in (
        ((rows, None), "with targets, got none"),
        (rows, "with targets, got none"),
        (3, "got an array of"),
    ):
        with pytest.raises(DataError, match=f"expected .*{message}"):
            report_html(model, data)


def test_a_report_of_many_rows_is_thinned():
    model = BiLSTMRegressor(**QUICK).fit(np.eye(30)[:, :3], np.arange(30.0))
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(6000, 3))
    html = report_html(model, (rows, rows.sum(axis=1)))
    assert "2,000 of 6,000 are drawn" in html
    assert len(html) < len(page("regressor")) + 300_000


def test_blocks_of_forecasts_are_counted_and_explained_once():
    text = " ".join(Outline(page("forecaster")).text)
    assert re.search(r"bootstrap over \d+ blocks, .* A block is 8 forecasts in a row of one series", text)
    assert text.count("A block is") == 1


def test_what_came_is_drawn_behind_every_forecast_however_far_it_reaches():
    model = series.small(horizon=70).fit(series.table(600), "y")
    data = bilstm.read_series(series.table(1400, seed=1), target="y")
    found = model.forecasts(model.with_targets(data))
    known, *fans_of = fan_chart(data, found, len(found) - 1, 0).chart.figure["data"]
    drawn = [trace for trace in fans_of if "fill" not in trace and trace["line"]["width"] > 0]
    assert len(drawn) == 8
    assert {time for trace in drawn for time in trace["x"]} <= set(known["x"])


def test_errors_with_one_far_outside_are_few_bars():
    model = BiLSTMRegressor(**QUICK).fit(np.eye(30)[:, :3], np.arange(30.0))
    targets = np.arange(900.0) % 3
    targets[5] = 1e12
    found = examine(model, Dataset.from_arrays(np.zeros((900, 3)), targets), lambda _: None)
    (bars,) = found.blocks[-1].chart.figure["data"]
    assert len(bars["x"]) <= 40
    assert sum(bars["y"]) == 900


def test_fifty_classes_fit():
    rows, labels = rows_of_classes(200, classes=50)
    html = report_html(BiLSTMClassifier(**QUICK).fit(rows, labels), rows_of_classes(100, classes=50, seed=1))
    assert "Figures of 100 rows" in html


def test_what_training_warned_of_is_told():
    rows, targets = table(60)
    with pytest.warns(DataWarning, match=r"column 'name' is left out"):
        model = BiLSTMRegressor(**QUICK).fit(
            rows.with_columns(name=np.array([f"n{k}" for k in range(60)])), targets.select("price")
        )
    assert "column 'name' is left out" in model.trained_with_["warnings"][0]
    assert "column &#39;name&#39; is left out" in report_html(model)


def test_a_missing_extra_is_told_before_the_work(monkeypatch):
    for module in ("jinja2", "plotly.offline"):
        with monkeypatch.context() as changed:
            changed.setitem(sys.modules, module, None)
            with pytest.raises(ExtraError, match=r"expected the extra 'report'"):
                report_html(regressor()[0])


def test_a_report_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(BilstmError, match="Cannot write"):
        write_report(regressor()[0], path=tmp_path / "nowhere" / "r.html")


def test_a_report_is_written_to_its_path(tmp_path):
    model, data = regressor()
    path = write_report(model, data, tmp_path / "r.html")
    assert path == tmp_path / "r.html"
    text = path.read_text(encoding="utf-8")
    assert re.match("<!doctype html>", text)
    assert text.endswith("</html>")
