"""X-rays of a few examples: a typical one, one that is surely right, the worst. Knows which, not what an X-ray is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bilstm.errors import BilstmError
from bilstm.formatting import shortened
from bilstm.report.blocks import Block, Drawing, Heading, Section, Text
from bilstm.report.examined import Examined, Example
from bilstm.xray import x_ray

# charts that are much the same for every example, and shown of the first alone
ONCE = ("How long units remember", "Open and shut gates", "Which tag follows which")


def looks(estimator: Any, found: Examined | None, say: Callable[[str], None]) -> list[Section]:
    """A section with an X-ray of each example; of a forecaster without data, of the coming steps."""
    if found is not None:
        examples = found.examples
    elif estimator.task == "forecaster":
        examples = [Example("The steps that come next", None, 0)]
    else:
        examples = []
    blocks: list[Block] = []
    for place, example in enumerate(examples):
        say(f"looking into it: {example.title.lower()}")
        blocks += _look(estimator, example, in_full=place == 0)
    return [Section("xrays", "Inside the model", blocks)] if blocks else []


def _look(estimator: Any, example: Example, in_full: bool) -> list[Block]:
    heading = Heading(example.title, example.anchor.replace("case-", "xray-"))
    try:
        ray = x_ray(estimator, example.data, row=example.row)
    except BilstmError as error:
        return [heading, Text(f"There is no X-ray of it: {error.message}.")]
    charts = [chart for chart in ray.charts() if in_full or chart.title not in ONCE]
    said = Text(f"{shortened(ray.title, 300)}: {shortened(ray.prediction, 600)}")
    notes = [Text(f"{note[0].upper()}{note[1:]}.") for note in ray.notes if note]
    return [heading, said, *(Drawing(chart) for chart in charts), *notes]
