"""A fit on a folder: it learns what a fit in memory learns, leaks nothing, bounds its memory and survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, digits, read_folder
from bilstm.data.dataset import Dataset
from bilstm.data.stream import Stream
from bilstm.data.tables.reader import read_table
from bilstm.data.text.reader import read_sentences, read_texts
from bilstm.errors import DataError, DataWarning, ModelFileError, ParameterError
from bilstm.training import streamed
from bilstm.training.streamed import FirstPass, ahead
from tests import tables
from tests.compare import assert_close
from tests.processes import stopped

QUICK = {"max_epochs": 2, "hidden_size": 8}


def houses(folder, files=1, rows=400, shuffled=True):
    """Boston in some Parquet files."""
    frame = tables.houses()
    order = np.random.default_rng(0).permutation(frame.height) if shuffled else np.arange(frame.height)
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(np.array_split(order[:rows], files)):
        frame[part].write_parquet(folder / f"{number}.parquet", row_group_size=50)
    return folder


def assert_same_course(ours, theirs, rtol=1e-3):
    for name in ("loss", "validation_loss", "metric"):
        assert_close(ours.history_[name], theirs.history_[name], rtol=rtol, what=name)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_folder_that_one_piece_holds_is_learned_from_as_in_memory(tmp_path, held_out):
    stream = read_folder(houses(tmp_path / "h"), target="medv")
    whole = read_table(tmp_path / "h/0.parquet", target="medv")
    options = QUICK | {"validation_fraction": 0.0}
    validation = whole.take(range(50)) if held_out else None
    ours = BiLSTMRegressor(**options).fit(stream, validation=validation)
    theirs = BiLSTMRegressor(**options).fit(whole, validation=validation)
    for column, other in zip(ours.features_.columns, theirs.features_.columns, strict=True):
        assert_close([column.mean, column.scale], [other.mean, other.scale], rtol=1e-12, what=column.name)
    assert_close(ours.scaler_.mean, theirs.scaler_.mean, rtol=1e-12)
    assert_close(ours.scaler_.scale, theirs.scaler_.scale, rtol=1e-12)
    assert_same_course(ours, theirs)
    assert ours.predict(whole).shape == (400,)


def texts(folder, files=2):
    folder.mkdir()
    rows = [(["so good", "very bad", "fine and good"][n % 3], ["yes", "no", "yes"][n % 3]) for n in range(60)]
    frame = pl.DataFrame(rows, schema=["text", "label"], orient="row")
    for number, part in enumerate(np.array_split(np.arange(60), files)):
        frame[part].write_ndjson(folder / f"{number}.jsonl")
    frame.write_ndjson(folder.parent / "whole.jsonl")
    return folder


@pytest.mark.parametrize("weight", [None, "balanced", {"yes": 2.0}])
def test_a_folder_of_texts_gives_the_vocabulary_and_the_classes_of_all(tmp_path, weight):
    options = QUICK | {"validation_fraction": 0.0, "class_weight": weight}
    ours = BiLSTMClassifier(**options).fit(read_folder(texts(tmp_path / "t"), text="text", target="label"))
    theirs = BiLSTMClassifier(**options).fit(read_texts(tmp_path / "whole.jsonl", text="text", target="label"))
    assert ours.words_.to_json() == theirs.words_.to_json()
    assert ours.classes_.tolist() == ["no", "yes"]
    assert_close(ours.class_weights_, theirs.class_weights_, rtol=1e-6)
    ours.save(tmp_path / "m.bilstm")
    assert ours.read(tmp_path / "whole.jsonl").texts.len() == 60


def test_several_labels_a_text_are_learned_from_a_folder(tmp_path):
    frame = pl.DataFrame({"text": ["a b", "c", "a c"] * 10, "labels": [["x"], ["y"], ["x", "y"]] * 10})
    frame.write_parquet(tmp_path / "a.parquet")
    model = BiLSTMClassifier(**QUICK).fit(read_folder(tmp_path, text="text", target="labels"))
    assert model.several_
    assert model.classes_.tolist() == ["x", "y"]


def test_the_scheme_of_tags_is_that_of_all_files_and_broken_ones_are_told_once(tmp_path):
    (tmp_path / "s").mkdir()
    parts = [[["O", "B-PER", "I-PER"], ["B-LOC", "O", "O"]] * 10, [["O", "I-PER", "I-PER"], ["O", "O", "B-LOC"]] * 10]
    for number, tags in enumerate(parts):
        frame = pl.DataFrame({"tokens": [["a", "b", "c"]] * 20, "tags": tags})
        frame.write_parquet(tmp_path / "s" / f"{number}.parquet")
    options = QUICK | {"validation_fraction": 0.0}
    with pytest.warns(DataWarning, match="10 of 120 tags broke the BIO scheme and were repaired"):
        ours = BiLSTMTagger(**options).fit(read_folder(tmp_path / "s"))
    whole = pl.concat([pl.read_parquet(tmp_path / "s" / f"{number}.parquet") for number in range(2)])
    whole.write_parquet(tmp_path / "whole.parquet")
    with pytest.warns(DataWarning, match="10 of 120 tags broke"):
        theirs = BiLSTMTagger(**options).fit(read_sentences(tmp_path / "whole.parquet"))
    assert (ours.scheme_, ours.repaired_, ours.classes_.tolist()) == (
        theirs.scheme_,
        theirs.repaired_,
        theirs.classes_.tolist(),
    )
    assert ours.words_.to_json() == theirs.words_.to_json()


def test_sequences_of_a_folder_are_learned_as_well_as_in_memory(tmp_path):
    data = digits().take(range(600))
    rows = np.repeat(np.arange(600), data.lengths)
    steps = data.steps.with_columns(n=pl.Series(rows), t=pl.Series(np.tile(np.arange(8), 600)))
    frame = pl.concat([steps, data.targets[rows]], how="horizontal")
    for number in range(3):
        frame[1600 * number :][:1600].write_parquet(tmp_path / f"{number}.parquet", row_group_size=111)
    stream = read_folder(tmp_path, target="digit", group="n", order="t")
    # a small buffer, so that the pieces really pass through it
    ours = BiLSTMClassifier(max_epochs=12, hidden_size=32).fit(replace(stream, buffer=40_000))
    theirs = BiLSTMClassifier(max_epochs=12, hidden_size=32).fit(data)
    others = digits().take(range(1200, 1797))
    assert ours.trained_with_["steps"] == 8 * ours.trained_with_["sequences"]
    assert ours.score(others, others.target_values) > theirs.score(others, others.target_values) - 0.04


def counted(rows=500, pieces=10):
    """A stream of the numbers 0, 1, 2 … each its own target."""
    whole = Dataset.from_arrays(np.arange(float(rows))[:, None], np.arange(float(rows)))
    return Stream(np.array_split(np.arange(rows), pieces), lambda part: iter([whole.take(part)]))


def read_once(stream, fraction=0.1):
    model = BiLSTMRegressor(**QUICK)
    return model, model._read_stream(stream, 3, fraction)


def rows_of(pieces):
    return {int(value) for piece in pieces for value in piece.target_values}


@pytest.mark.parametrize("most", [10_000, 20])
def test_what_is_held_out_is_bounded_and_no_encoder_sees_it(monkeypatch, most):
    monkeypatch.setattr(streamed, "HELD_OUT", most)
    model, first = read_once(counted(), 0.3)
    held, learned = rows_of([first.held_out]), rows_of(first.training.pieces(seed=1))
    assert held | learned == set(range(500))
    assert not held & learned
    assert (100 < len(held) < 200) if most > 500 else len(held) == most
    assert first.count == len(learned)
    assert_close(model.features_.columns[0].mean, np.mean([*learned]), rtol=1e-12)
    assert_close(model.features_.columns[0].scale, np.std([*learned]), rtol=1e-12)
    assert_close(model.scaler_.mean, [np.mean([*learned])], rtol=1e-12)


def test_what_is_held_out_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(streamed, "HELD_OUT_BYTES", 400)
    _, first = read_once(counted(), 0.5)
    assert 10 < len(first.held_out) <= 25
    assert rows_of([first.held_out]) | rows_of(first.training.pieces()) == set(range(500))


def test_every_epoch_reads_every_sequence_once_in_another_order(monkeypatch):
    epochs = []
    batches = streamed.Streamed.batches

    def watched(self, batch_size, seed):
        epochs.append([])
        for batch, targets, weights in batches(self, batch_size, seed):
            epochs[-1] += targets[:, 0].tolist()
            yield batch, targets, weights

    monkeypatch.setattr(streamed.Streamed, "batches", watched)
    model = BiLSTMRegressor(**QUICK, batch_size=16, validation_fraction=0.0).fit(replace(counted(), buffer=2000))
    truth = ((np.arange(500) - model.scaler_.mean) / model.scaler_.scale).astype(np.float32)
    assert_close(sorted(epochs[0]), truth, atol=1e-6)
    assert_close(sorted(epochs[1]), truth, atol=1e-6)
    assert epochs[0] != epochs[1]
    assert len(model.history_["loss"]) == 2


def test_a_sequence_in_two_files_is_an_error_that_names_it(tmp_path):
    for name, groups in (("a", "ppqq"), ("b", "rrqq")):
        frame = pl.DataFrame({"g": list(groups), "x": [1.0, 2.0, 3.0, 4.0], "y": [1, 1, 2, 2]})
        frame.write_csv(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match=r"got g 'q' again after others \(.*a.csv and .*b.csv\)\nhint: sort"):
        BiLSTMRegressor(**QUICK).fit(read_folder(tmp_path, target="y", group="g"))


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (BiLSTMRegressor, {"batch_size": None}, ParameterError, "expected a batch_size beside data larger than memory"),
        (BiLSTMForecaster, {}, DataError, "expected one file for a forecaster, got a folder"),
        (BiLSTMTagger, {}, DataError, "expected a tag for every word, got one target a sentence|expected numbers"),
        (BiLSTMClassifier, {}, DataError, "Unknown label type: continuous"),
    ],
)
def test_streams_that_cannot_be_learned_from_are_refused(model, options, error, message):
    stream = counted().mapped(lambda piece: replace(piece, targets=piece.targets + 0.5))
    with pytest.raises(error, match=message):
        model(**options).fit(stream)


def test_a_target_that_does_not_vary_is_refused():
    stream = counted().mapped(lambda piece: replace(piece, targets=piece.targets * 0 + 3))
    with pytest.raises(DataError, match="expected target 'y' to vary, got 3 in every row"):
        BiLSTMRegressor(**QUICK).fit(stream)


def test_weights_beside_a_stream_are_refused():
    with pytest.raises(DataError, match="expected neither y nor sample_weight beside a stream"):
        BiLSTMRegressor(**QUICK).fit(counted(), sample_weight=np.ones(500))


def test_a_run_of_other_files_is_not_taken_up(tmp_path):
    options = QUICK | {"checkpoint": tmp_path / "run.checkpoint"}
    BiLSTMRegressor(**options).fit(read_folder(houses(tmp_path / "h"), target="medv"))
    with pytest.raises(ModelFileError, match="expected a checkpoint of this run"):
        BiLSTMRegressor(**options).fit(read_folder(houses(tmp_path / "h", rows=300), target="medv"))


@pytest.mark.slow
def test_a_fit_from_a_folder_that_is_killed_goes_on_and_ends_in_the_same_model(run, tmp_path):
    houses(tmp_path / "h", files=3, rows=200)
    command = ["fit", "regressor", "h", "--target", "medv", "--hidden-size", "8"]
    command += ["--max-epochs", "20", "--log-every", "2"]
    stopped(tmp_path, *command, "-o", "killed.bilstm", after="epoch  2", by=signal.SIGKILL)
    checkpoint = tmp_path / "killed.bilstm.checkpoint"
    assert checkpoint.exists()
    status, _, told = run(*command, "-o", "killed.bilstm")
    assert status == 0, told
    assert "going on after epoch" in told
    assert not checkpoint.exists()
    assert run(*command, "-o", "whole.bilstm")[0] == 0
    rows = tmp_path / "h" / "0.parquet"
    expected = run("predict", "whole.bilstm", rows)
    assert expected[0] == 0
    assert run("predict", "killed.bilstm", rows) == expected


@pytest.mark.parametrize("kind", ["regressor", "classifier", "tagger"])
def test_the_command_reads_a_folder(run, tmp_path, kind):
    if kind == "regressor":
        houses(tmp_path / "d", files=2, shuffled=False)
        options = ["--target", "medv", "--drop", "b", "--category", "chas"]
    elif kind == "classifier":
        texts(tmp_path / "d")
        options = ["--text", "text", "--target", "label", "--valid", "whole.jsonl"]
    else:
        (tmp_path / "d").mkdir()
        frame = pl.DataFrame({"tokens": [["a", "b"]] * 30, "tags": [["NOUN", "VERB"]] * 30})
        frame.write_ndjson(tmp_path / "d" / "a.jsonl")
        options = []
    status, _, told = run("fit", kind, "d", *options, "--max-epochs", 1, "--hidden-size", 8, "-o", "m.bilstm")
    assert status == 0, told
    assert "of it before the first row was read" in told
    assert "wrote m.bilstm" in told


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["regressor", "d"], 1, "expected --target, the column to predict, got none (d)\nhint: there are 'x', 'y'"),
        (["regressor", "d", "--target", "z"], 1, "expected a column 'z', got none"),
        (["forecaster", "d", "--target", "y"], 1, "expected one file for a forecaster, got a folder (d)"),
        (["transcriber", "d"], 1, "expected one file for a transcriber, got a folder (d)"),
        (["classifier", "d", "--text", "x", "--target", "y", "--drop", "x"], 2, "expected no --drop beside --text x"),
        (["regressor", "e*.csv", "--target", "y"], 1, "expected Parquet, CSV or JSON lines files, got none (e*.csv)"),
    ],
)
def test_a_folder_that_cannot_be_read_is_told_in_one_paragraph(run, tmp_path, arguments, status, told):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("x,y\n1,2\n3,4\n")
    found, _, error = run("fit", *arguments, "-o", "m.bilstm")
    assert found == status
    assert told in error


MEMORY = """
import json, sys
from dataclasses import replace
import numpy as np
import pyarrow.parquet
from bilstm import BiLSTMRegressor, read_folder, read_table
from bilstm.data.tables import folder as folders
from bilstm.training import streamed
from bilstm.training.progress import peak_memory
folders.PIECE, folders.READERS, streamed.HELD_OUT_BYTES = 2 << 20, 30 << 20, 4 << 20  # an eighth, as the folder is
way, folder = sys.argv[1:]
BiLSTMRegressor(max_epochs=1).fit(np.arange(64.0).reshape(32, 2), np.arange(32.0))
before = peak_memory()
if way == "streamed":
    data = replace(read_folder(folder, target="y"), buffer=8 << 20)
else:
    import polars as pl
    from pathlib import Path
    from bilstm.data.dataset import joined
    data = joined([read_table(path, target="y") for path in sorted(Path(folder).iterdir())])
model = BiLSTMRegressor(max_epochs=1, hidden_size=8, batch_size=512).fit(data)
print(json.dumps([model.trained_with_["sequences"], (peak_memory() - before) / 2**20]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux counts a process's peak from its start")
def test_the_peak_of_memory_stays_below_a_bound_that_training_in_memory_passes(tmp_path):
    """A shortened form of benchmarks/streaming.py: the folder and every bound are small."""
    draw = np.random.default_rng(0)
    for number in range(10):
        x = draw.standard_normal((5000, 400), dtype=np.float32)
        frame = pl.from_numpy(x).with_columns(y=pl.Series(x[:, 0] + x[:, 1]))
        frame.write_parquet(tmp_path / f"{number}.parquet", row_group_size=1000, compression="uncompressed")
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) / 2**20
    assert size > 70

    def growth(way):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
        words = [sys.executable, "-c", MEMORY, way, str(tmp_path)]
        found = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, check=True)
        return json.loads(found.stdout)

    count, streamed_growth = growth("streamed")
    _, memory_growth = growth("in memory")
    assert count > 40_000
    assert streamed_growth < 3 * size < memory_growth, (size, streamed_growth, memory_growth)


def test_the_peak_of_memory_grows_by_what_is_held_and_keeps_it():
    code = (
        "from bilstm.training.progress import peak_memory\nbefore = peak_memory()\n"
        "held = b'x' * (200 << 20)\nthen = peak_memory()\ndel held\nprint(then - before, peak_memory() - then)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    grown, more = map(int, found.split())
    assert 190 << 20 < grown < 260 << 20
    assert abs(more) < 10 << 20  # Linux counts in steps


def test_work_that_takes_long_says_how_far_it_is_and_how_much_memory_it_took(monkeypatch, capsys):
    monkeypatch.setattr(streamed, "QUIET", 0.0)
    BiLSTMRegressor(**QUICK, verbose=1).fit(replace(counted(), buffer=2000))
    told = capsys.readouterr().err
    assert "MiB of memory at most" in told
    assert "sequences ·" in told


def test_names_that_share_a_number_are_no_error(monkeypatch):
    stream = counted(40, 4).mapped(lambda piece: replace(piece, ids=pl.Series([f"n{v}" for v in piece.target_values])))
    model = BiLSTMRegressor(**QUICK)
    model.read_with_ = {"group": "g"}
    original = FirstPass._look

    def with_a_twin(self, piece):
        original(self, piece)
        self._names[-1] = np.append(self._names[-1], self._names[0][0])

    monkeypatch.setattr(FirstPass, "_look", with_a_twin)
    assert model._read_stream(stream, 0, 0.0).count == 40


def test_what_goes_wrong_while_the_next_pool_is_made_is_told():
    def items():
        yield 1
        raise DataError("expected a second one")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(DataError, match="expected a second one"):
        next(found)
    assert list(ahead(iter("abc"))) == ["a", "b", "c"]
