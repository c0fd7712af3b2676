"""The next steps of a series with numpy and ONNX Runtime alone: python onnx_series.py MODEL.onnx SERIES.csv

For models of one series that were fitted with --no-calendar and without --future; the last step stands last.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(model: str, source: str) -> None:
    spec = json.loads(Path(model).with_suffix(".json").read_text("utf-8"))
    if spec["calendar"] or spec["ahead"]["numbers"]:
        sys.exit("expected a model that reads no calendar and nothing known ahead")
    with open(source, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    read = dict.fromkeys([*spec["targets"], *spec["window"]["numbers"]])
    raw = {
        name: np.array([number(row[name], spec["missing"]) for row in rows])
        for name in read
        if name not in spec["gaps"]
    }
    known = np.flatnonzero(~np.isnan([raw[name] for name in spec["targets"]]).all(axis=0))
    window = slice(known[-1] + 1 - spec["history"], known[-1] + 1)  # ends at the last known target
    filled = {name: carried_on(values)[window] for name, values in raw.items()}
    gaps = {told: np.isnan(raw[name])[window] for told, name in spec["gaps"].items()}
    given = {
        "targets": [filled[name] for name in spec["targets"]],
        "numbers": [(filled | gaps)[name] for name in spec["window"]["numbers"]],
        "missing": [np.isnan(raw[name])[window] for name in spec["window"]["missing"]],
    }
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    kinds = {"tensor(double)": np.float64, "tensor(float)": np.float32}
    inputs = {one.name: np.stack(given[one.name], 1)[None].astype(kinds[one.type]) for one in session.get_inputs()}
    outputs = session.run(None, inputs)
    found = dict(zip((output.name for output in session.get_outputs()), outputs, strict=True))
    table = {f"predicted_{name}": found["forecast"][0, :, k] for k, name in enumerate(spec["targets"])}
    for level, percent in enumerate(spec["levels"]):
        for k, name in enumerate(spec["targets"]):
            table |= {f"{name}_{end}_{percent}": found[end][level, 0, :, k] for end in ("low", "high")}
    print(",".join(table))
    for row in zip(*table.values(), strict=True):
        print(",".join(f"{value:.7g}" for value in row))


def number(text: str, missing: list[str]) -> float:
    return np.nan if text.strip().lower() in missing else float(text)


def carried_on(values: np.ndarray) -> np.ndarray:
    """Gaps filled by the last known value."""
    return values[np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))]


if __name__ == "__main__":
    main(*sys.argv[1:])
