"""Puts a report together: what to ask, in which order to tell it, and one file of HTML. Knows sections; no figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

from bilstm.data.dataset import Dataset
from bilstm.errors import from_extra, record_warnings
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.files.output import write_whole
from bilstm.formatting import listed, number, percent
from bilstm.plotting import charts
from bilstm.report import classification, forecasting, regression, tagging, transcription  # noqa: F401 (they register)
from bilstm.report.blocks import Block, Heading, Section, Table, Text
from bilstm.report.checks import findings, same_as_training
from bilstm.report.examination import Examination, examine, without_data, x_rays
from bilstm.report.facts import commands, learned_from, settings, training, versions
from bilstm.report.figures import figures_blocks, verdict
from bilstm.training.progress import say

EXTRA = "report"
SHARES = ("accuracy", "coverage_80", "coverage_95", "wer", "cer", "exact", "direction")  # shown in per cent


def write_report(
    estimator: BiLSTMEstimator,
    data: Any = None,
    path: str | Path = "report.html",
    *,
    file: str | Path | None = None,
    verbose: int = 0,
) -> Path:
    """Write a report on a fitted estimator as one HTML file that needs no network.

    Args:
        estimator: any of the five, fitted.
        data: data with true targets that it has not seen: a Dataset, a pair (X, y), or the path of a file like that of
            training; None tells what training kept.
        path: the file to write.
        file: its model file, for its name and size, or None.
        verbose: 1 tells on stderr what is done.

    Returns:
        The path.

    Raises:
        DataError: data without targets, or other data than the estimator reads.
        ExtraError: jinja2 or plotly is missing.
        DataError: the file cannot be written.

    The trap: a report on the training data flatters; it says so where it can see it, but not of a part of that data.

    Example:
        >>> write_report(model, "test.csv", "report.html")  # doctest: +SKIP
        PosixPath('report.html')
    """
    path = Path(path)
    html = report_html(estimator, data, file=file, verbose=verbose)
    write_whole(path, html.encode())
    return path


def report_html(
    estimator: BiLSTMEstimator, data: Any = None, *, file: str | Path | None = None, verbose: int = 0
) -> str:
    """The same as text; see :func:`write_report`.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> model = BiLSTMRegressor(max_epochs=2).fit(boston().take(range(400)))
        >>> report_html(model, boston().take(range(400, 506)))[:15]
        '<!doctype html>'
    """
    check_is_fitted(estimator)
    jinja2 = from_extra("jinja2", EXTRA)
    scripts = charts.script()  # better missed now than after the work
    file = None if file is None else Path(file)
    tell = partial(say, verbose=verbose)
    (verdict, figures, *behaviour, about_data), result, name = _measured(estimator, data, tell)
    tell("writing the page")
    sections = [
        verdict,
        figures,
        Section("training", "How training went", training(estimator.history_)),
        *behaviour,
        *x_rays(estimator, without_data(estimator)[1] if result is None else result.examples, tell),
        about_data,
        Section("settings", "Settings", settings(estimator)),
        Section("versions", "Sizes and versions", [versions(estimator, file)]),
        Section("again", "How to make it again", commands(estimator, file, name)),
    ]
    title = f"{estimator.task.capitalize()}: {listed(estimator.target_names_, 3) if file is None else file.stem}"
    template = resources.files("bilstm.report") / "report.html.jinja"
    style = (resources.files("bilstm.report") / "report.css").read_text(encoding="utf-8")
    strict = {"autoescape": True, "undefined": jinja2.StrictUndefined}
    environment = jinja2.Environment(**strict, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title,
        sentence=estimator.describe(),
        sections=_linked(sections),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        examined=name,
        closed=charts.CLOSED,
        style=charts.STYLE + style,
        scripts=scripts,
        place=charts.place,
    )
    return str(page)


def measured_sections(estimator: BiLSTMEstimator, data: Any) -> list[Section]:
    """What data decide of a report: verdict, figures, behaviour, worst cases, what is strange about the data."""
    return _measured(estimator, data, lambda _: None)[0]


def _measured(
    estimator: BiLSTMEstimator, data: Any, tell: Callable[[str], None]
) -> tuple[list[Section], Examination | None, str | None]:
    """Those sections, what they were made from, and the name of the data."""
    if data is None:
        blocks, _ = without_data(estimator)
        ahead = [Section("behaviour", "What it says comes next", blocks)] if blocks else []
        return [_verdict_without_data(estimator), _figures_of_training(estimator), *ahead, _data(estimator)], None, None
    with record_warnings() as messages:
        dataset, name = _dataset(estimator, data)
        tell(f"examining the model on {dataset.source}")
        result = examine(estimator, dataset, tell)
        remarks = findings(estimator, dataset)
    same = same_as_training(estimator, dataset)
    own = verdict(result.evaluation)
    judged = replace(own, text=result.verdict or own.text, tone="doubtful" if same else own.tone)
    flatters = [Text(same, "warning")] if same else []
    about: list[Block] = [Text(estimator.describe()), judged, *flatters, learned_from(estimator)]
    sections = [
        Section("verdict", "In short", about),
        Section("figures", "How good it is", figures_blocks(result.evaluation)),
        Section("behaviour", "What it does", result.blocks),
        Section("worst", "The worst cases", result.worst),
        _data(estimator, [*([same] if same else []), *result.remarks, *messages, *remarks]),
    ]
    return sections, result, name


def _dataset(estimator: BiLSTMEstimator, data: Any) -> tuple[Dataset, str]:
    """Data in any form as a Dataset, and what to call it."""
    if isinstance(data, (str, Path)):
        return estimator.read(data, with_targets=True), Path(data).name
    if isinstance(data, Dataset):
        return data, data.source.name
    X, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    return estimator.to_dataset(X, y), "X"


def _verdict_without_data(estimator: BiLSTMEstimator) -> Section:
    figures, name = estimator.metrics_, estimator.metric_name
    nothing = "Nothing was held out in training and no data was given, so nothing is known of how good it is."
    text = Text(nothing, "warning")
    if figures:
        main = name if name in figures else next(iter(figures))
        held = (
            f"On the part of its training data that was held out to stop by, {main} was {_shown(main, figures[main])}. "
            "That part chose the epoch, so the figure flatters; give the report data that the model has not seen."
        )
        text = Text(held, "doubtful")
    return Section("verdict", "In short", [Text(estimator.describe()), text, learned_from(estimator)])


def _figures_of_training(estimator: BiLSTMEstimator) -> Section:
    rows = [[name, _shown(name, value)] for name, value in estimator.metrics_.items()]
    blocks: list[Block] = [Text("Nothing was held out to measure it by.")]
    if rows:
        note = (
            "No data was given. These are the figures that training kept of its validation part, which also chose the "
            "epoch; they have no intervals, since the part itself is not in the model."
        )
        blocks = [Text(note), Table("The validation part of training", ["figure", "value"], rows)]
    return Section("figures", "How good it is", blocks)


def _shown(name: str, value: float) -> str:
    return percent(value) if name in SHARES and not math.isnan(value) else number(value)


def _data(estimator: BiLSTMEstimator, remarks: Sequence[str] | None = None) -> Section:
    """What is strange about the data of the report, where there are some, and about those of training."""
    these: list[Block] = [] if remarks is None else [Heading("This data"), *_warnings(remarks)]
    then = [Text("What was strange about it is not recorded in the model file.")]
    if "warnings" in estimator.trained_with_:
        then = _warnings(estimator.trained_with_["warnings"])
    return Section("data", "The data", [*these, Heading("The training data"), *then])


def _warnings(texts: Sequence[str]) -> list[Text]:
    return [Text(text, "warning") for text in dict.fromkeys(texts)] or [
        Text("Nothing strange was found in it.", "good")
    ]


def _linked(sections: list[Section]) -> list[Section]:
    """Cases that have an X-ray link to it."""
    anchors = {block.anchor for section in sections for block in section.blocks if isinstance(block, Heading)}

    def linked(block: Block) -> Block:
        if not isinstance(block, Table) or not block.anchors:
            return block
        rows = []
        for anchor, (first, *rest) in zip(block.anchors, block.cells, strict=True):
            there = anchor.replace("case-", "xray-")
            rows.append([replace(first, href=f"#{there}") if there in anchors else first, *rest])
        return replace(block, rows=rows)

    return [replace(section, blocks=[linked(block) for block in section.blocks]) for section in sections]
