"""The examples run exported models where nothing but numpy and ONNX Runtime can be imported, and say what we say."""

from __future__ import annotations

import csv
import io
import json
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger
from bilstm.data.builtin import boston
from bilstm.data.tables.reader import read_table
from bilstm.data.text.encoder import WordEncoder
from bilstm.data.text.reader import WORDS
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import write_dial_tones
from bilstm.export import to_onnx
from bilstm.export.tasks import _vocabulary
from tests.compare import assert_close
from tests.export import models
from tests.strategies import FUZZ

pytest.importorskip("onnxruntime")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
LONGEST = 60  # lines of an example

ALONE = """
import importlib.abc, runpy, sys

class Refuser(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {*sys.stdlib_module_names, "numpy", "onnxruntime"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuser())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
found = {name.partition(".")[0] for name in sys.modules} & {"torch", "bilstm", "polars", "sklearn", "onnx"}
print(sorted(found), file=sys.stderr)
"""


def alone(name, *arguments, stdin=""):
    """What an example prints in a process that can import the standard library, numpy and ONNX Runtime."""
    command = [sys.executable, "-I", "-X", "utf8", "-c", ALONE, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    return done.stdout


def saved(model, folder):
    """Both kinds of file of a model."""
    model.save(folder / "model.bilstm")
    to_onnx(model, folder / "model.onnx")
    return folder / "model.bilstm", folder / "model.onnx"


def assert_equal_tables(found, expected):
    found, expected = (list(csv.reader(io.StringIO(text))) for text in (found, expected))
    assert found[0] == expected[0]
    assert len(found) == len(expected)
    for row, wanted in zip(found[1:], expected[1:], strict=True):
        for cell, other in zip(row, wanted, strict=True):
            try:
                assert_close(float(cell), float(other), rtol=1e-5, atol=1e-6)
            except ValueError:
                assert cell == other


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("onnx_*.py")), ids=lambda path: path.name)
def test_the_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= LONGEST


# --- tables --------------------------------------------------------------------------------------------------


def towns(rows, kinds):
    """Numbers, truth values and names, some of them missing."""
    random = np.random.default_rng(rows)
    lines = [
        f"{random.normal(50, 9):.3f},{['', 'NA', '7'][n % 3]},{['true', 'False'][n % 2]},{kinds[n % len(kinds)]},"
        f"{random.integers(1, 99)},{['Rome', 'Oslo', 'Bari', 'Rome'][n % 4]}"
        for n in range(rows)
    ]
    return "\n".join(["size,floors,garden,kind,price,town", *lines]) + "\n"


@pytest.mark.parametrize("table_as", ["one step", "steps"])
@pytest.mark.parametrize("target", ["price", "town"])
def test_a_table_is_predicted_with_categories_and_missing_values(run, tmp_path, table_as, target):
    (tmp_path / "towns.csv").write_text(towns(60, ["flat", " house ", "?", "hut", ""]))
    (tmp_path / "new.csv").write_text(towns(23, ["hut", "palace", "n/a", "flat"]))
    kind = BiLSTMRegressor if target == "price" else BiLSTMClassifier
    model = kind(max_epochs=2, hidden_size=5, table_as=table_as)
    file, onnx = saved(model.fit(read_table(tmp_path / "towns.csv", target=target)), tmp_path)
    status, out, err = run("predict", file, "new.csv")
    assert status == 0, err
    assert_equal_tables(alone("onnx_table.py", onnx, tmp_path / "new.csv"), out)


def test_the_demonstrations_houses_are_predicted(run, tmp_path):
    file, onnx = saved(models.regressor(), tmp_path)
    boston().steps.write_csv(tmp_path / "houses.csv")
    assert_equal_tables(alone("onnx_table.py", onnx, tmp_path / "houses.csv"), run("predict", file, "houses.csv")[1])


# --- text ----------------------------------------------------------------------------------------------------

LINES = (
    "王小明昨天在安平市见到了李秀霞。\n\nThe iPhone of B2B\tcosts 3.5 % … İstanbul ǅ "
    + 30 * "长"
    + "x" * 40
    + "\n在北京!!!\n"
)


def test_words_are_tagged(run, tmp_path):
    file, onnx = saved(models.tagger(), tmp_path)
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")
    _, expected, _ = run("predict", file, "lines.txt")
    assert alone("onnx_text.py", onnx, tmp_path / "lines.txt") == expected
    assert alone("onnx_text.py", onnx, "-", stdin=LINES) == expected


@pytest.mark.parametrize("several", [False, True])
def test_texts_are_labelled(run, tmp_path, several):
    texts = ["so good", "very bad", "good and bad", "Good !"] * 8
    labels = [["good"], ["bad"], ["good", "bad"], ["good"]] * 8
    y = labels if several else [names[0] for names in labels]
    file, onnx = saved(BiLSTMClassifier(max_epochs=4, hidden_size=8).fit(texts, y), tmp_path)
    lines = "so good\n\nbad , and GOOD\nunheard\n"
    (tmp_path / "lines.txt").write_text(lines)
    expected = [line.split("\t") for line in run("predict", file, "lines.txt")[1].splitlines()]
    found = [line.split("\t") for line in alone("onnx_text.py", onnx, "-", stdin=lines).splitlines()]
    assert [row[0] for row in found] == [row[0] for row in expected]
    if not several:
        assert [row[2] for row in found] == [row[2] for row in expected]
        assert_close([float(row[1]) for row in found], [float(row[1]) for row in expected], atol=1.01e-4)


@FUZZ
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.booleans())
def test_any_word_has_the_numbers_that_the_package_gives_it(texts, lowercase):
    sentences = [[match[0] for match in WORDS.finditer(text)] for text in texts]
    words = pl.Series([word for sentence in sentences for word in sentence], dtype=pl.String)
    encoder = WordEncoder().fit(Counter(words.gather_every(2)), lowercase=lowercase)
    encoder.vector_words = words.gather_every(3).unique().to_list()
    encoder._index()
    numbers = runpy.run_path(str(EXAMPLES / "onnx_text.py"))["numbers"]
    found = numbers(json.loads(json.dumps(_vocabulary(encoder))), sentences)
    ids, forms = encoder.transform(words)
    inside = np.arange(found["words"].shape[1]) < found["lengths"][:, None]
    assert_close(found["words"][inside], ids[:, 0] + 1)
    assert_close(found["forms"][1:], forms.astype(np.int64))


# --- sound and series ----------------------------------------------------------------------------------------


def test_recordings_are_written_down(tmp_path):
    model = models.transcriber()
    _, onnx = saved(model, tmp_path)
    paths = [tmp_path / name for name in pl.read_csv(write_dial_tones(tmp_path, 6, seed=4))["path"]]
    rows = [line.split("\t") for line in alone("onnx_sound.py", onnx, *paths).splitlines()]
    assert rows == [[str(path), text] for path, text in zip(paths, model.predict(paths, beam=1), strict=True)]


def test_the_next_steps_of_a_series_are_forecast(tmp_path):
    random = np.random.default_rng(1)
    steps = 150
    table = {
        "load": 50 + 10 * np.sin(np.arange(steps) / 4) + random.normal(0, 1, steps),
        "heat": random.normal(20, 3, steps),
    }
    frame = pl.DataFrame(table).with_columns(
        pl.when(pl.int_range(pl.len()) % every != 3).then(name).alias(name)
        for name, every in (("load", 17), ("heat", 11))
    )
    frame.write_csv(tmp_path / "load.csv")
    model = BiLSTMForecaster(history=12, horizon=3, hidden_size=6, max_epochs=2, calendar=False)
    model.fit(pl.read_csv(tmp_path / "load.csv"), "load")
    model.network_.share.fill_(models.SHARE)
    _, onnx = saved(model, tmp_path)
    expected = model.predict(tmp_path / "load.csv").drop("step").write_csv()
    assert_equal_tables(alone("onnx_series.py", onnx, tmp_path / "load.csv"), expected)


def test_a_tagger_of_words_is_exported_with_vectors_and_without_a_crf(run, tmp_path):
    (tmp_path / "vectors.txt").write_text("in 0.5 -0.5\nRome 1 2\nof 0 1\n")
    model = BiLSTMTagger(max_epochs=2, hidden_size=8, crf=False, vectors=tmp_path / "vectors.txt", char_hidden_size=0)
    file, onnx = saved(model.fit(invented_sentences(60)), tmp_path)
    lines = "Ann of Rome met Bob in rome .\nIN\n"
    (tmp_path / "lines.txt").write_text(lines)
    assert alone("onnx_text.py", onnx, "-", stdin=lines) == run("predict", file, "lines.txt")[1]
