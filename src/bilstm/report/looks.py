"""X-rays of a few examples: a typical one, one that is surely right, the worst. Knows which, not what an X-ray is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bilstm.errors import BilstmError
from bilstm.report.blocks import Block, Cell, Drawing, Heading, Section, Text, shortened
from bilstm.report.examined import Examined, Example
from bilstm.xray import x_ray


def looks(estimator: Any, found: Examined | None, say: Callable[[str], None]) -> list[Section]:
    """A section with an X-ray of each example; of a forecaster without data, of the coming steps."""
    if found is not None:
        examples = found.examples
    elif estimator.task == "forecaster":
        examples = [Example("The steps that come next", None, 0)]
    else:
        examples = []
    blocks: list[Block] = []
    for example in examples:
        say(f"looking into it: {example.title.lower()}")
        blocks += _look(estimator, example)
    return [Section("xrays", "Inside the model", blocks)] if blocks else []


def _look(estimator: Any, example: Example) -> list[Block]:
    anchor = example.anchor.replace("case-", "xray-")
    heading = Heading(example.title, anchor)
    try:
        ray = x_ray(estimator, example.data, row=example.row)
    except BilstmError as error:
        return [heading, Text(f"No X-ray of it: {error.message}.")]
    blocks: list[Block] = [heading, Text(f"{shortened(ray.title, 300)}: {shortened(ray.prediction, 600)}")]
    blocks += [Drawing(chart) for chart in ray.charts()]
    return blocks + [Text(note) for note in ray.notes]


__all__ = ["Cell", "looks"]
