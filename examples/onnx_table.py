"""Numbers or labels of table rows with numpy and ONNX Runtime alone: python onnx_table.py MODEL.onnx ROWS.csv"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(model: str, source: str) -> None:
    spec = json.loads(Path(model).with_suffix(".json").read_text("utf-8"))
    with open(source, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = {"lengths": np.ones(len(rows), np.int64)}  # a row is a sequence of one step
    for name, kind, code in (("numbers", "number", number), ("categories", "category", category)):
        columns = [column for column in spec["columns"] if column["kind"] == kind]
        cells = [[code(row[column["name"]].strip(), column, spec["missing"]) for column in columns] for row in rows]
        given[name] = np.array(cells)[:, None]  # (B, 1, columns)
    outputs = session.run(None, {taken.name: given[taken.name] for taken in session.get_inputs()})
    found = dict(zip((output.name for output in session.get_outputs()), outputs, strict=True))
    table = csv.writer(sys.stdout, lineterminator="\n")
    names = [f"predicted_{name}" for name in spec["targets"]]
    if "predictions" in found:
        table.writerows([names, *([f"{value:.7g}" for value in row] for row in found["predictions"])])
    else:
        chances = found["probabilities"].max(axis=1)
        answers = zip((spec["labels"][label] for label in found["label"]), chances, strict=True)
        table.writerows([[*names, "probability"], *([label, f"{chance:.7g}"] for label, chance in answers)])


def number(text: str, column: dict, missing: list[str]) -> float:
    """NaN where it is missing."""
    return np.nan if text.lower() in missing else float({"true": 1, "false": 0}.get(text.lower(), text))


def category(text: str, column: dict, missing: list[str]) -> int:
    """Its place among those of training, −1 for another, −2 where it is missing."""
    if text.lower() in missing:
        return -2
    return column["values"].index(text) if text in column["values"] else -1


if __name__ == "__main__":
    main(*sys.argv[1:])
