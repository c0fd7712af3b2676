"""An X-ray as interactive charts, and as one page of them. Knows their order and the coloured words."""

from __future__ import annotations

import html

import numpy as np

from bilstm.formatting import clipped
from bilstm.plotting import charts as house
from bilstm.plotting.charts import Chart
from bilstm.xray.contribution_charts import contribution_charts
from bilstm.xray.gate_charts import gate_charts, gates_of_a_step, half_lives, saturation, transitions
from bilstm.xray.result import Contribution, XRay


def charts(found: XRay) -> list[Chart]:
    """All charts of an X-ray, in the order of reading."""
    parts = contribution_charts(found)
    if len(found.steps) == 1:
        parts.append(gates_of_a_step(found))
    else:
        parts += [*gate_charts(found), half_lives(found), saturation(found)]
    return parts + ([] if found.transitions is None else [transitions(found)])


def page(found: XRay) -> str:
    """One page of HTML: what the model says, the coloured words, all charts."""
    lines = [f"<p><strong>{html.escape(clipped(found.prediction, 2000))}</strong></p>"]
    if found.axis == "word" and found.contributions:
        lines += [_coloured(found, one) for one in found.contributions if one.at is None]
    lines.append(f"<p>Contributions are measured from a baseline: {html.escape(found.against)}.</p>")
    lines += [f"<p>Note: {html.escape(note)}.</p>" for note in found.notes]
    title = f"X-ray of a {found.task}: {clipped(found.title, 160)}"
    return house.page(title, charts(found), before="\n".join(lines))


def _coloured(found: XRay, one: Contribution) -> str:
    """The words of a sentence, red where they speak for the output and blue where they speak against it."""
    amounts = one.amount.sum(axis=1)
    most = float(np.abs(amounts).max()) or 1.0
    words = []
    for word, amount in zip(found.steps, amounts.tolist(), strict=True):
        colour = "213,94,0" if amount > 0 else "0,114,178"
        strength = round(0.6 * abs(amount) / most, 3)
        words.append(
            f'<span style="background:rgba({colour},{strength});padding:.1em .2em;border-radius:.2em" '
            f'title="{amount:+.3g}">{html.escape(word)}</span>'
        )
    return f'<p style="font-size:1.2rem;line-height:2">{" ".join(words)}</p>'
