"""What estimators can be beside the demonstrations: each is exported and checked, and its files say what is in them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl
import pytest

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, BiLSTMTranscriber
from bilstm.cli.options import TASKS
from bilstm.data.builtin import digits
from bilstm.data.series.reader import read_series
from bilstm.data.series.windows import cut
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import dial_tones
from bilstm.errors import ModelFileError
from bilstm.export import check, to_onnx
from bilstm.export.check import checked, compared, feed
from bilstm.export.tasks import written
from bilstm.networks.network import POOLING_NAMES
from tests.export import models
from tests.export.models import run
from tests.series import SMALL

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLOSE = 2e-5  # in the units of check.py; float32 differs by some millionths


def assert_exported(model, data=None):
    difference = checked(model, written(model)[0]).difference
    assert difference < CLOSE
    if data is not None:
        assert compared(model, data, run(model, feed(model, data)))[0] < CLOSE


# --- one output a sequence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_every_pooling(pooling):
    data = digits().take(range(60))
    assert_exported(BiLSTMClassifier(max_epochs=1, hidden_size=5, pooling=pooling, num_layers=2).fit(data), data)


@pytest.mark.parametrize("pooling", POOLING_NAMES)
@pytest.mark.parametrize("several", [False, True])
def test_texts_with_one_label_or_several(pooling, several):
    texts, labels = ["so good", "", "bad bad day !", "Good"] * 6, ["a", "b", "c", "a"] * 6
    y = [[label, "d"] if n % 2 else [] for n, label in enumerate(labels)] if several else labels
    model = BiLSTMClassifier(max_epochs=1, hidden_size=5, pooling=pooling).fit(texts, y)
    assert_exported(model, model.to_dataset(["", "unheard of", "GOOD day"], None))


def test_sequences_with_gaps_and_several_targets():
    random = np.random.default_rng(0)
    sequences = [random.normal(1e6, 3, (n % 5 + 1, 2)) for n in range(30)]
    for sequence in sequences[::3]:
        sequence[0, 1] = np.nan
    model = BiLSTMRegressor(max_epochs=2, hidden_size=4, pooling="mean").fit(sequences, random.normal(50, 9, (30, 2)))
    assert_exported(model, model.to_dataset(sequences[:7], None))


# --- tags ------------------------------------------------------------------------------------------------------


def test_a_tagger_of_whole_words_with_all_it_can_have(tmp_path):
    (tmp_path / "vectors.txt").write_text("in 0.5 -0.5\nRome 1 2\nof 0 1\n")
    data = invented_sentences(60)
    options = {"max_epochs": 1, "hidden_size": 5, "num_layers": 2}
    assert_exported(BiLSTMTagger(vectors=tmp_path / "vectors.txt", **options).fit(data), data)
    assert_exported(BiLSTMTagger(crf=False, char_hidden_size=0, lowercase=False, **options).fit(data), data)
    assert_exported(BiLSTMTagger(embedding_size=0, **options).fit(data), data)


# --- series ----------------------------------------------------------------------------------------------------


def a_load():
    """Two series by the hour with gaps, a column beside and one known ahead."""
    random, hours = np.random.default_rng(2), np.arange(220)
    when = pl.Series(hours * 3600 * 10**6).cast(pl.Datetime("us"))
    parts = [
        {"station": name, "hour": when, "load": 50 + level + random.normal(0, 1, 220), "heat": random.normal(0, 1, 220)}
        for name, level in (("a", 0), ("b", 30))
    ]
    frame = pl.concat(pl.DataFrame(part) for part in parts).with_columns(holiday=(pl.col("hour").dt.day() == 3) * 1.0)
    place = pl.int_range(pl.len())
    frame = frame.with_columns(
        pl.when(place % 19 != 5).then("load").alias("load"),
        pl.when(place % 23 != 4).then("heat").alias("heat"),
        pl.when(place % 29 != 6).then("holiday").alias("holiday"),
    )
    return read_series(frame, target="load", time="hour", group="station", future=["holiday"])


@pytest.mark.parametrize(
    "options", [{"rescale": True}, {"rescale": False, "linear": False}, {"target_as": "log-return"}]
)
def test_series_with_a_calendar_gaps_and_columns_known_ahead(options):
    series = a_load()
    model = BiLSTMForecaster(**(SMALL | {"validation_fraction": 0.2} | options)).fit(series)
    model.network_.share.fill_(models.SHARE)
    spec = written(model)[1]
    assert spec["calendar"] == ["hour sin", "hour cos", "weekday sin", "weekday cos"]
    assert spec["gaps"] == {"load is missing": "load"}
    assert spec["window"]["missing"] == ["heat", "holiday"]
    assert spec["ahead"]["numbers"] == ["holiday", *spec["calendar"]]
    assert_exported(model, cut(series, model.history, model.horizon).take(np.arange(0, 200, 13)))


def test_several_targets_and_no_share_of_the_bilstm():
    random = np.random.default_rng(3)
    table = pl.DataFrame({"a": random.normal(0, 1, 120).cumsum(), "b": random.normal(9, 1, 120), "c": np.arange(120.0)})
    model = BiLSTMForecaster(**(SMALL | {"target_as": "level"})).fit(read_series(table, target=["a", "b"]))
    model.network_.share.fill_(0.0)
    assert list(written(model)[1]["inputs"]) == ["targets"]  # of a linear map nothing else is read
    assert_exported(model)
    model.network_.share.fill_(1.0)
    assert list(written(model)[1]["inputs"]) == ["targets", "numbers"]
    assert checked(model, written(model)[0]).difference < CLOSE


# --- sound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["running", "utterance"])
def test_steps_of_several_frames(normalise):
    sounds, texts = dial_tones(8)
    model = BiLSTMTranscriber(hidden_size=6, num_layers=1, mels=20, max_epochs=1, sample_rate=8000, normalise=normalise)
    model = model.set_params(speed_change=0.0).fit(sounds, texts)
    assert compared(model, sounds, run(model, feed(model, sounds)))[0] < 1e-3  # features of Kaldi's are off by 1e-5


# --- the files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_graph_is_valid_dynamic_and_holds_every_weight_once(task):
    model = getattr(models, task)()
    content, spec = models.exported(model)
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)  # with strict inference of shapes
    assert [(one.domain, one.version) for one in graph.opset_import] == [("", spec["opset"])]
    for name, told in {**spec["inputs"], **spec["outputs"]}.items():
        axes = told["shape"][:2] if name not in ("low", "high") else told["shape"][1:2]
        assert axes[0] in ("B", "U"), name
        fixed = {"forecast", "targets", "probabilities", "predictions", "low", "high"}
        assert name in fixed or all(isinstance(axis, str) for axis in axes), name
    weights = sum(tensor.numel() * 4 for tensor in model.network_.state_dict().values())
    assert len(content) < weights + 30_000 + 8 * 257 * model.get_params().get("mels", 0)
    names = [name for node in graph.graph.node for name in node.input]
    assert {constant.name for constant in graph.graph.initializer} <= set(names), "something is not read"
    results = {name for node in graph.graph.node for name in node.output if node.op_type not in ("LSTM", "Scan")}
    read = {*names, *(output.name for output in graph.graph.output)}
    assert results <= read, results - read


def test_both_files_are_written_and_belong_together(tmp_path):
    found = to_onnx(models.classifier(), tmp_path / "digits.onnx")
    assert found.difference < CLOSE
    spec = json.loads((tmp_path / "digits.json").read_text("utf-8"))
    assert spec["onnx_sha256"] == hashlib.sha256((tmp_path / "digits.onnx").read_bytes()).hexdigest()
    assert (spec["format"], spec["task"], spec["labels"]) == (1, "classifier", list(range(10)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.json", "digits.onnx"]


def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    right = check.run
    monkeypatch.setattr(check, "run", lambda *args: {name: 1.01 * value for name, value in right(*args).items()})
    with pytest.raises(ModelFileError, match=r"expected ONNX Runtime .* got results that differ by .* \(probability\)"):
        to_onnx(models.classifier(), tmp_path / "digits.onnx")
    assert not list(tmp_path.iterdir())
