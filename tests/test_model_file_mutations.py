"""Ten thousand model files with something wrong in them: what loads also predicts and saves again, the rest is refused
in a sentence; none takes memory that its own size does not explain."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bilstm
from bilstm.errors import BilstmError, ModelFileError
from bilstm.training.progress import peak_memory
from tests.model_file_mutations import mutated
from tests.model_files import MOST, peak_from_now_on
from tests.sounds import sine

GOLDEN = Path(__file__).parent / "golden"
PART = 500  # mutations of a test, of each of which all golden files have some
TIMES = 50  # the file's own bytes that reading it may take, beside MOST


def asked(model, expected):
    """A prediction of a golden file's own example, and what is said of the model."""
    model.describe(), model.learned_facts()
    if model.task == "forecaster":
        return model.predict()
    if model.task == "transcriber":
        return model.predict([(sine(400, 8000, 0.3), 8000)], beam=1)
    rows = expected["X"]
    return model.predict(pd.DataFrame(rows) if isinstance(rows, dict) else rows)


def loaded(path):
    """The model of a file, or why it was refused."""
    try:
        return bilstm.load(path), ""
    except ModelFileError as error:
        return None, str(error)


def predicted(model, expected):
    """What a model says of the example, or in which sentence it refuses to: weights may make numbers infinite."""
    try:
        return str(asked(model, expected))
    except BilstmError as error:
        return error.message


def tried(path, raw, expected):
    """Whether the bytes of a model file can be loaded: then they also predict, and so does what is saved of them."""
    path.write_bytes(raw)
    model, reason = loaded(path)
    assert len(reason) < 1200, reason
    if model is not None:
        said = predicted(model, expected)
        model.save(path)
        assert predicted(bilstm.load(path), expected) == said
    return model is not None


def files():
    names = sorted(path.stem for path in GOLDEN.glob("*.bilstm"))
    has_sound = importlib.util.find_spec("kaldi_native_fbank") is not None
    return [name for name in names if has_sound or "transcriber" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10_000 // PART))
def test_a_model_file_with_anything_changed_is_refused_or_predicts_and_is_saved_again(tmp_path, part):
    golden = {name: (GOLDEN / f"{name}.bilstm").read_bytes() for name in files()}
    examples = {name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in golden}
    wrong = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, raw in golden.items():  # what is imported on first use is not the next file's
            assert tried(tmp_path / "m.bilstm", raw, examples[name])
        for number in range(part * PART, (part + 1) * PART):
            name = list(golden)[number % len(golden)]
            raw = mutated(golden[name], number)
            before = peak_from_now_on()
            try:
                tried(tmp_path / "m.bilstm", raw, examples[name])
            except BaseException as error:  # a panic of Rust is no Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                wrong.append(f"{name}, mutation {number}: {type(error).__name__} {str(error)[:200]}")
            if (grown := peak_memory() - before) > MOST + TIMES * len(raw):
                wrong.append(f"{name}, mutation {number}: {grown} bytes of memory for a file of {len(raw)}")
    assert not wrong, wrong[:20]
