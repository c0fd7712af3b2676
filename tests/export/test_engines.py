"""Exported graphs in the hands of ONNX Runtime's own tools: halved to float16, quantised, in a session as it comes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bilstm import BiLSTMClassifier
from bilstm.export.check import compared, feed, made_up
from bilstm.export.tasks import written
from bilstm.networks.network import POOLING_NAMES
from tests.export import models

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# a process of its own, for what ONNX Runtime does not bear may end it; each folder holds a graph and its inputs
CONVERT_AND_RUN = """
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

for folder in map(Path, sys.argv[1:]):
    inputs = dict(np.load(folder / "inputs.npz"))
    half = convert_float_to_float16(onnx.load(folder / "whole.onnx"), keep_io_types=True)
    onnx.save(half, folder / "float16.onnx")
    quantize_dynamic(folder / "whole.onnx", folder / "int8.onnx")
    for kind in ("float16", "int8"):
        session = onnxruntime.InferenceSession(folder / f"{kind}.onnx")
        names = [output.name for output in session.get_outputs()]
        np.savez(folder / f"{kind}.npz", **dict(zip(names, session.run(names, inputs))))
"""


def texts(pooling):
    small = {"hidden_size": 6, "embedding_size": 8, "char_hidden_size": 4, "num_layers": 2, "max_epochs": 1}
    return BiLSTMClassifier(**small, pooling=pooling).fit(["so good", "bad bad day !"] * 8, ["a", "b"] * 8)


@pytest.mark.slow
def test_every_task_and_pooling_survives_float16_and_quantisation(tmp_path):
    made = [models.regressor, models.classifier, models.tagger, models.forecaster, models.transcriber]
    whole = {make.__name__: make() for make in made} | {pooling: texts(pooling) for pooling in POOLING_NAMES}
    data = {name: made_up(model) for name, model in whole.items()}
    for name, model in whole.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "whole.onnx").write_bytes(written(model)[0])
        np.savez(tmp_path / name / "inputs.npz", **feed(model, data[name]))
    folders = [str(tmp_path / name) for name in whole]
    done = subprocess.run([sys.executable, "-c", CONVERT_AND_RUN, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, model in whole.items():
        for kind, far in (("float16", 0.002), ("int8", 0.05)):
            results = dict(np.load(tmp_path / name / f"{kind}.npz"))
            assert compared(model, data[name], results)[0] < far, (name, kind)
