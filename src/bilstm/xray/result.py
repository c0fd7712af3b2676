"""What an X-ray holds: gates, contributions, memory; as arrays, figures, charts, a page or a file.

Knows the form of the result; how it is found, ``examination`` knows, how it is drawn, ``figures`` and ``charts``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.errors import BilstmError, ParameterError
from bilstm.xray.gates import Gates
from bilstm.xray.showing import FIGURES, PLOTS, ending_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bilstm.plotting.charts import Chart


DIGITS = 6  # of a number in a .json file


@dataclass(frozen=True)
class Contribution:
    """How one output came about: what each feature at each step added to the value of the baseline.

    Args:
        output: what is explained, in words.
        unit: of all numbers here.
        value: of the output.
        baseline: its value at the baseline.
        amount: (T, F'); its sum is value − baseline − gap.
        at: the step that the output belongs to; None where it belongs to the whole sequence.
        past, direct, future: parts of each step's amount, (T,), whose sum it is. Of an output at a step: from steps
            before it, from itself, from steps behind it. Of a whole sequence: through the forward direction of the top
            layer, around the BiLSTM, through the backward direction.
        gap: what is missing to completeness, from the steps of the integral.
    """

    output: str
    unit: str
    value: float
    baseline: float
    amount: Array = field(repr=False)
    past: Array = field(repr=False)
    future: Array = field(repr=False)
    direct: Array = field(repr=False)
    at: int | None = None
    gap: float = 0.0


@dataclass(frozen=True)
class XRay:
    """One example as a fitted model sees it; made by :func:`bilstm.xray.x_ray`.

    Args:
        task: of the model.
        title: what the example is called: the sentence, the row, the file.
        prediction: what the model says of it, in words.
        against: the baseline that contributions are measured from, in words.
        steps: a label for each step, T.
        axis: what the steps are: word, step, seconds, column, or the name of the times.
        features: names of the caller's, F'.
        shown: the same, of a single step with what stands there.
        inputs: what stands there in the caller's units, (T, F'), NaN where it is no number.
        gates: of every layer, direction, step and unit.
        contributions: of each output that was looked at.
        half_life: in steps, (L, D, H); see :func:`bilstm.xray.gates.half_life`.
        saturated: the share of steps at which each gate is stuck, (L, D, H) each.
        dead: units that never move, (L, D, H) of truth values.
        layers: what each layer and direction is called, L·D.
        transitions: tags, scores of one following another (K, K), of beginning and of ending (K,) each; −inf where a
            rule forbids it. None without a CRF.
        notes: what a reader should be told.

    Source: contributions: Sundararajan, Taly and Yan 2017; saturation: Karpathy, Johnson and Li 2015.
    """

    task: str
    title: str
    prediction: str
    against: str
    steps: list[str]
    axis: str
    features: list[str]
    shown: list[str]
    inputs: Array = field(repr=False)
    gates: Gates = field(repr=False)
    contributions: list[Contribution]
    half_life: Array = field(repr=False)
    saturated: dict[str, Array] = field(repr=False)
    dead: Array = field(repr=False)
    layers: list[str]
    transitions: tuple[list[str], Array, Array, Array] | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list)

    def arrays(self) -> dict[str, Array]:
        """Everything as arrays with plain names, as ``numpy.savez`` takes them; texts too."""
        found: dict[str, Array] = dict(self.gates._asdict())
        found |= {"half_life": self.half_life, "dead": self.dead, "inputs": self.inputs}
        found |= {f"saturated_{name}": share for name, share in self.saturated.items()}
        found |= {name: np.array(getattr(self, name), dtype=str) for name in ("steps", "features", "layers", "notes")}
        found |= {name: np.array(getattr(self, name)) for name in ("task", "title", "prediction", "against", "axis")}
        found |= {f"output_{name}": array for name, array in _stacked(self.contributions, len(self.steps)).items()}
        if self.transitions is not None:
            tags, *scores = self.transitions
            found["tags"] = np.array(tags, dtype=str)
            found |= dict(zip(("transitions", "start", "end"), scores, strict=True))
        return found

    def plain(self) -> dict[str, Any]:
        """Everything but gates and inputs as JSON can say it; −inf and infinity become null."""
        found: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("task", "title", "prediction", "against", "axis", "steps", "features", "layers", "notes")
        }
        found["contributions"] = [
            {name: _rounded(getattr(one, name)) for name in Contribution.__dataclass_fields__}
            for one in self.contributions
        ]
        found |= {"half_life": _rounded(self.half_life), "dead": self.dead.tolist()}
        found["saturated"] = {name: _rounded(share) for name, share in self.saturated.items()}
        if self.transitions is not None:
            names = ("tags", "matrix", "start", "end")
            found["transitions"] = {n: _rounded(v) for n, v in zip(names, self.transitions, strict=True)}
        return found

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
        from bilstm.xray import figures
        from bilstm.xray import figures as gate_figures

        L = len(self.gates.hidden)
        if what not in PLOTS:
            raise ParameterError(f"expected what to be one of {', '.join(PLOTS)}, got {what!r}")
        if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)) or not -L <= layer < L:
            raise ParameterError(f"expected layer from {-L} to {L - 1}, got {layer!r}")
        if what == "transitions" and self.transitions is None:
            raise ParameterError(
                "expected a model with a CRF for what='transitions', got one without",
                hint=f"it has {', '.join(PLOTS[:-1])}",
            )
        if what == "overview":
            return figures.overview(self, output)
        if what == "gates":
            return gate_figures.gates(self, int(layer))
        return gate_figures.memory(self) if what == "memory" else gate_figures.transitions(self)

    def charts(self) -> list[Chart]:
        """Interactive charts: contributions, gates, half-lives, saturation, transitions."""
        from bilstm.xray.charts import charts

        return charts(self)

    def page(self) -> str:
        """One page of HTML with all charts, which needs no other file and no network.

        Raises:
            ExtraError: plotly is not installed.
        """
        from bilstm.xray.charts import page

        return page(self)

    def save(self, path: str | Path) -> None:
        """Write a file whose ending says what: .npz (all arrays), .json, .html (all charts), .png, .svg or .pdf.

        Raises:
            ParameterError: another ending.
            BilstmError: the file cannot be written.
        """
        path = Path(path)
        ending = ending_of(path)
        try:
            if ending in FIGURES:
                from bilstm.plotting.plots import save_figure

                save_figure(self.plot(), path)
            elif ending == ".npz":
                arrays: dict[str, Any] = self.arrays()
                with path.open("wb") as file:
                    np.savez_compressed(file, **arrays)
            elif ending == ".json":
                path.write_text(json.dumps(self.plain(), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
            else:
                path.write_text(self.page(), encoding="utf-8")
        except OSError as error:
            raise BilstmError(f"cannot write {path}: {error.strerror}", hint="choose another file") from None


def _stacked(contributions: list[Contribution], T: int) -> dict[str, Array]:
    """Contributions as arrays with one row an output."""
    found: dict[str, Array] = {
        name: np.array([getattr(one, name) for one in contributions], dtype=kind)
        for name, kind in (("unit", str), ("value", float), ("baseline", float), ("gap", float))
    }
    found["name"] = np.array([one.output for one in contributions], dtype=str)
    found["at"] = np.array([-1 if one.at is None else one.at for one in contributions], dtype=np.int64)
    for name in ("amount", "past", "future", "direct"):
        rows = [getattr(one, name) for one in contributions]
        found[name] = np.stack(rows) if rows else np.zeros((0, T))
    return found


def _rounded(value: Any) -> Any:
    """Numbers to six digits, arrays as lists."""
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
