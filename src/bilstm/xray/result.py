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

    The three parts of a step's amount add up to it. Of an output at a step they come from the steps before it, from
    itself, and from the steps behind it. Of an output of the whole sequence they come through the forward direction of
    the top layer, around the BiLSTM, and through the backward direction.
    """

    output: str  # what is explained, in words
    unit: str  # of all numbers here
    value: float  # of the output
    baseline: float  # its value at the baseline
    amount: Array = field(repr=False)  # (T, F'); its sum is value − baseline − gap
    past: Array = field(repr=False)  # (T,)
    future: Array = field(repr=False)  # (T,)
    direct: Array = field(repr=False)  # (T,)
    at: int | None = None  # the step that the output belongs to; None where it belongs to the whole sequence
    gap: float = 0.0  # what is missing to completeness, from the steps of the integral


@dataclass(frozen=True)
class XRayData:
    """One example as a fitted model sees it, as data: what panels, charts and files are made of.

    :class:`bilstm.xray.XRay` is the same with the methods that show it. They are apart so that what draws an X-ray
    need not know the class that calls it.

    Source: contributions: Sundararajan, Taly and Yan 2017; saturation: Karpathy, Johnson and Li 2015.
    """

    task: str  # of the model
    title: str  # what the example is called: the sentence, the row, the file
    prediction: str  # what the model says of it, in words
    against: str  # the baseline that contributions are measured from, in words
    steps: list[str]  # a label for each step, T
    axis: str  # what the steps are: word, step, seconds, column, or the name of the times
    features: list[str]  # names of the caller's, F'
    shown: list[str]  # the same, of a single step with what stands there
    inputs: Array = field(repr=False)  # what stands there in the caller's units, (T, F'), NaN where it is no number
    gates: Gates = field(repr=False)  # of every layer, direction, step and unit
    contributions: list[Contribution]  # of each output that was looked at
    half_life: Array = field(repr=False)  # in steps, (L, D, H)
    saturated: dict[str, Array] = field(repr=False)  # the share of steps at which each gate is stuck, (L, D, H) each
    dead: Array = field(repr=False)  # units that never move, (L, D, H) of truth values
    layers: list[str]  # what each layer and direction is called, L·D
    # tags, scores of one following another (K, K), of beginning and of ending (K,) each; −inf where a rule forbids it
    transitions: tuple[list[str], Array, Array, Array] | None = field(default=None, repr=False)  # None without a CRF
    notes: list[str] = field(default_factory=list)  # what a reader has to know
    feature: str = "column"  # what a feature is called: word, column or band; bands are in an order of their own

    def arrays(self) -> dict[str, Array]:
        """Everything as arrays with plain names, as ``numpy.savez`` takes them; texts too."""
        arrays: dict[str, Array] = dict(self.gates._asdict())
        arrays |= {"half_life": self.half_life, "dead": self.dead, "inputs": self.inputs}
        arrays |= {f"saturated_{name}": share for name, share in self.saturated.items()}
        arrays |= {name: np.array(getattr(self, name), dtype=str) for name in ("steps", "features", "layers", "notes")}
        arrays |= {name: np.array(getattr(self, name)) for name in ("task", "title", "prediction", "against", "axis")}
        outputs = self.contributions
        arrays["output_name"] = np.array([one.output for one in outputs], dtype=str)
        arrays["output_at"] = np.array([-1 if one.at is None else one.at for one in outputs], dtype=np.int64)
        for name, kind in (("unit", str), ("value", float), ("baseline", float), ("gap", float)):
            arrays[f"output_{name}"] = np.array([getattr(one, name) for one in outputs], dtype=kind)
        for name in ("amount", "past", "future", "direct"):
            rows = [getattr(one, name) for one in outputs]
            arrays[f"output_{name}"] = np.stack(rows) if rows else np.zeros((0, len(self.steps)))
        if self.transitions is not None:
            tags, *scores = self.transitions
            arrays["tags"] = np.array(tags, dtype=str)
            arrays |= dict(zip(("transitions", "start", "end"), scores, strict=True))
        return arrays

    def plain(self) -> dict[str, Any]:
        """Everything but gates and inputs as JSON can say it; −inf and infinity become null."""
        texts = ("task", "title", "prediction", "against", "axis", "steps", "features", "layers", "notes")
        plain: dict[str, Any] = {name: getattr(self, name) for name in texts}
        plain["contributions"] = [_rounded(vars(one)) for one in self.contributions]
        plain |= {name: _rounded(getattr(self, name)) for name in ("half_life", "dead", "saturated")}
        if self.transitions is not None:
            plain["transitions"] = _rounded(
                dict(zip(("tags", "matrix", "start", "end"), self.transitions, strict=True))
            )
        return plain


def _rounded(value: Any) -> Any:
    """Numbers to six digits, arrays as lists."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
