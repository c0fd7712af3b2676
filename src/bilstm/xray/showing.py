"""An X-ray that shows itself: as figures, charts, a page and files. What it holds, ``result`` knows."""

from __future__ import annotations

import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bilstm.errors import ParameterError
from bilstm.files.output import write_whole
from bilstm.formatting import clipped
from bilstm.plotting.charts import Chart
from bilstm.plotting.charts import page as page_of
from bilstm.xray import pictures
from bilstm.xray.result import Contribution, XRayData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = ("overview", "gates", "memory", "transitions")
FIGURES = (".png", ".svg", ".pdf")


class XRay(XRayData):
    """One example as a fitted model sees it; made by :func:`bilstm.xray.x_ray`, shown by its methods."""

    def plot(self, output: int = 0, *, what: str = "overview", layer: int = -1) -> Figure:
        """One figure.

        Args:
            output: which of the contributions an overview shows, where they belong to the whole sequence.
            what: ``overview`` (contributions, and below them cells and forget gates of the top layer), ``gates`` (all
                gates, cell and hidden state of a layer), ``memory`` (half-lives, shut and open gates, dead units) or
                ``transitions`` (of a CRF).
            layer: whose gates, from 0; −1 is the top one.

        Raises:
            ParameterError: there is no such figure or layer, or the model has no CRF.
        """
        from bilstm.plotting.figures import to_matplotlib

        L = len(self.gates.hidden)
        if what not in PLOTS:
            raise ParameterError(f"expected what to be one of {', '.join(PLOTS)}, got {what!r}")
        if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)) or not -L <= layer < L:
            raise ParameterError(f"expected layer from {-L} to {L - 1}, got {layer!r}")
        if what == "transitions" and self.transitions is None:
            hint = f"it has {', '.join(PLOTS[:-1])}"
            raise ParameterError("expected a model with a CRF for what='transitions', got one without", hint=hint)
        if what == "overview":
            sheet = pictures.overview(self, output)
        elif what == "gates":
            sheet = pictures.gates(self, int(layer))
        else:
            sheet = pictures.memory(self) if what == "memory" else pictures.transitions(self)
        return to_matplotlib(**sheet._asdict())

    def charts(self) -> list[Chart]:
        """Interactive charts: contributions, gates, half-lives, saturation, transitions."""
        return pictures.charts(self)

    def page(self) -> str:
        """One page of HTML with all charts, which needs no other file and no network.

        Raises:
            ExtraError: plotly is not installed.
        """
        lines = [f"<p><strong>{html.escape(clipped(self.prediction, 2000))}</strong></p>"]
        if self.axis == "word" and self.contributions:
            lines += [_coloured(self.steps, one) for one in self.contributions if one.at is None]
        lines.append(f"<p>Contributions are measured from a baseline: {html.escape(self.against)}.</p>")
        lines += [f"<p>Note: {html.escape(note)}.</p>" for note in self.notes]
        title = f"X-ray of a {self.task}: {clipped(self.title, 160)}"
        return page_of(title, self.charts(), before="\n".join(lines))

    def save(self, path: str | Path) -> None:
        """Write a file whose ending says what: .npz (all arrays), .json, .html (all charts), .png, .svg or .pdf.

        Raises:
            ParameterError: another ending.
            DataError: the file cannot be written.
        """
        path = Path(path)
        ending = ending_of(path)
        if ending in FIGURES:
            from bilstm.plotting.figures import save_figure

            save_figure(self.plot(), path)
        elif ending == ".npz":
            arrays: dict[str, Any] = self.arrays()
            content = io.BytesIO()
            np.savez_compressed(content, **arrays)
            write_whole(path, content.getvalue())
        elif ending == ".json":
            write_whole(path, (json.dumps(self.plain(), ensure_ascii=False, allow_nan=False) + "\n").encode())
        else:
            write_whole(path, self.page().encode())


def ending_of(path: Path) -> str:
    """The ending of a file that an X-ray can be saved as, in small letters."""
    ending = path.suffix.lower()
    if ending not in (*FIGURES, ".npz", ".json", ".html", ".htm"):
        raise ParameterError(
            f"expected a file that ends in .html, .png, .svg, .pdf, .npz or .json, got {path.name!r}",
            hint="the ending says what is written",
        )
    return ending


def _coloured(steps: list[str], one: Contribution) -> str:
    """The words of a sentence, red where they speak for the output and blue where they speak against it."""
    amounts = one.amount.sum(axis=1)
    most = float(np.abs(amounts).max()) or 1.0
    words = []
    for word, amount in zip(steps, amounts.tolist(), strict=True):
        colour = "213,94,0" if amount > 0 else "0,114,178"
        strength = round(0.6 * abs(amount) / most, 3)
        words.append(
            f'<span style="background:rgba({colour},{strength});padding:.1em .2em;border-radius:.2em" '
            f'title="{amount:+.3g}">{html.escape(word)}</span>'
        )
    return f'<p style="font-size:1.2rem;line-height:2">{" ".join(words)}</p>'
