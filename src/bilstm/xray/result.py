"""What an X-ray holds: gates, contributions, memory; as arrays and as JSON. Knows no picture of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.xray.gates import Gates

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
class XRayData:
    """One example as a fitted model sees it, as data: what panels, charts and files are made of.

    :class:`bilstm.xray.XRay` is the same with the methods that show it. They are apart so that what draws an X-ray
    need not know the class that calls it.

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
        notes: what a reader has to know.
        feature: what a feature is called: word, column or band. Bands are in an order of their own.

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
    feature: str = "column"

    def arrays(self) -> dict[str, Array]:
        """Everything as arrays with plain names, as ``numpy.savez`` takes them; texts too."""
        arrays: dict[str, Array] = dict(self.gates._asdict())
        arrays |= {"half_life": self.half_life, "dead": self.dead, "inputs": self.inputs}
        arrays |= {f"saturated_{name}": share for name, share in self.saturated.items()}
        arrays |= {name: np.array(getattr(self, name), dtype=str) for name in ("steps", "features", "layers", "notes")}
        arrays |= {name: np.array(getattr(self, name)) for name in ("task", "title", "prediction", "against", "axis")}
        arrays |= {f"output_{name}": array for name, array in _stacked(self.contributions, len(self.steps)).items()}
        if self.transitions is not None:
            tags, *scores = self.transitions
            arrays["tags"] = np.array(tags, dtype=str)
            arrays |= dict(zip(("transitions", "start", "end"), scores, strict=True))
        return arrays

    def plain(self) -> dict[str, Any]:
        """Everything but gates and inputs as JSON can say it; −inf and infinity become null."""
        plain: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("task", "title", "prediction", "against", "axis", "steps", "features", "layers", "notes")
        }
        plain["contributions"] = [
            {name: _rounded(getattr(one, name)) for name in Contribution.__dataclass_fields__}
            for one in self.contributions
        ]
        plain |= {"half_life": _rounded(self.half_life), "dead": self.dead.tolist()}
        plain["saturated"] = {name: _rounded(share) for name, share in self.saturated.items()}
        if self.transitions is not None:
            names = ("tags", "matrix", "start", "end")
            plain["transitions"] = {n: _rounded(v) for n, v in zip(names, self.transitions, strict=True)}
        return plain


def _stacked(contributions: list[Contribution], T: int) -> dict[str, Array]:
    """Contributions as arrays with one row an output."""
    stacked: dict[str, Array] = {
        name: np.array([getattr(one, name) for one in contributions], dtype=kind)
        for name, kind in (("unit", str), ("value", float), ("baseline", float), ("gap", float))
    }
    stacked["name"] = np.array([one.output for one in contributions], dtype=str)
    stacked["at"] = np.array([-1 if one.at is None else one.at for one in contributions], dtype=np.int64)
    for name in ("amount", "past", "future", "direct"):
        rows = [getattr(one, name) for one in contributions]
        stacked[name] = np.stack(rows) if rows else np.zeros((0, T))
    return stacked


def _rounded(value: Any) -> Any:
    """Numbers to six digits, arrays as lists."""
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
