"""Saved equals loaded, in this process and the next; and no file, however bad, does harm."""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes
from sklearn.exceptions import NotFittedError

import bilstm
from bilstm import BiLSTMClassifier, BiLSTMRegressor, BiLSTMTagger, boston, digits
from bilstm.errors import ModelFileError
from bilstm.files import model_file
from bilstm.files.output import write_whole
from tests.compare import assert_close
from tests.model_files import exchange, hostile, put, try_to_load, with_header
from tests.sounds import sine

GOLDEN = Path(__file__).parent / "golden"
SMALL = {"hidden_size": 4, "max_epochs": 2}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file's path, with the model that was written."""
    model = BiLSTMRegressor(**SMALL).fit(boston().take(range(60)))
    path = tmp_path_factory.mktemp("model") / "boston.bilstm"
    model.save(path)
    return path, model


MODELS = {
    "a table with names, gaps and categories": lambda: BiLSTMRegressor(**SMALL).fit(
        pd.DataFrame({"rooms": [1.0, np.nan, 3.0, 4.0] * 5, "town": ["a", "ö", None, "b"] * 5}), np.arange(20.0)
    ),
    "several targets": lambda: BiLSTMRegressor(**SMALL).fit(np.eye(12), np.arange(24.0).reshape(12, 2)),
    "columns as steps": lambda: BiLSTMRegressor(**SMALL, table_as="steps").fit(boston().take(range(40))),
    "sequences": lambda: BiLSTMClassifier(**SMALL, pooling="attention").fit(digits().take(range(80))),
    "labels of text and class weights": lambda: BiLSTMClassifier(**SMALL, class_weight={"ja": 2.0}).fit(
        np.eye(12), ["ja", "nein"] * 6
    ),
    "two layers": lambda: BiLSTMClassifier(**SMALL, num_layers=2).fit(np.eye(12), [True, False] * 6),
}


@pytest.mark.parametrize("name", MODELS)
def test_saved_equals_loaded(tmp_path, name):
    model = MODELS[name]()
    path = tmp_path / "model.bilstm"
    model.save(path)
    loaded = bilstm.load(path)
    assert type(loaded) is type(model)
    plain = {key: value for key, value in model.get_params().items() if key not in ("checkpoint", "verbose")}
    assert {key: loaded.get_params()[key] for key in plain} == plain
    data = {
        "columns as steps": boston().take(range(40)),
        "sequences": digits().take(range(30)),
        "a table with names, gaps and categories": pd.DataFrame({"rooms": [2.0, np.nan], "town": ["b", "new"]}),
    }.get(name, np.eye(12))
    assert_close(loaded.predict(data), model.predict(data))
    assert loaded.history_.to_json() == model.history_.to_json()
    assert_close(list(loaded.metrics_.values()), list(model.metrics_.values()))
    loaded.save(tmp_path / "again.bilstm")
    assert_close(bilstm.load(tmp_path / "again.bilstm").predict(data), model.predict(data))


def test_a_loaded_model_can_be_fitted_again(saved):
    path, _ = saved
    data = boston().take(range(60, 120))
    again = bilstm.load(path).fit(data)
    assert_close(again.predict(data), BiLSTMRegressor(**SMALL).fit(data).predict(data))


def test_another_process_predicts_the_same(saved):
    path, model = saved
    code = "import sys, bilstm; print(*bilstm.load(sys.argv[1]).predict(bilstm.boston().take(range(5))).tolist())"
    out = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True).stdout
    assert_close(np.array(out.split(), dtype=float), model.predict(boston().take(range(5))))


def test_a_model_that_was_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        BiLSTMRegressor().save(tmp_path / "m.bilstm")


def test_a_file_that_cannot_be_written_leaves_the_old_one(saved, tmp_path, monkeypatch):
    path, model = saved
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=r"Cannot write .*No such file or directory"):
        model.save(tmp_path / "nowhere" / "m.bilstm")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", no_space)
    with pytest.raises(ModelFileError, match=r"Cannot write .*No space left on device"):
        model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.bilstm")), ids=lambda p: p.name)
def test_files_of_every_format_version_keep_loading(path):
    model = bilstm.load(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    if model.task == "classifier":
        rows = pd.DataFrame(expected["X"]) if isinstance(expected["X"], dict) else expected["X"]
        assert list(model.predict(rows)) == expected["labels"]
        assert_close(model.predict_proba(rows), np.array(expected["probabilities"]), atol=2e-6)
        return
    if model.task == "tagger":
        assert model.predict(expected["X"]) == expected["tags"]
        for found, was in zip(model.predict_proba(expected["X"]), expected["probabilities"], strict=True):
            assert_close(found, np.array(was), atol=1e-6)
        return
    if model.task == "forecaster":
        coming = model.predict()
        assert coming["month"].dt.to_string("%Y-%m-%d").to_list() == expected["months"]
        for name, values in expected["predictions"].items():
            assert_close(coming[name].to_numpy(), np.array(values), rtol=1e-5)
        return
    if model.task == "transcriber":
        sound = np.concatenate([sine(frequency, 8000, seconds) for frequency, seconds in expected["tones"]])
        (found,) = model.transcribe([(sound, 8000)])
        assert (found.text, model.predict([(sound, 8000)], beam=1)) == (expected["text"], [expected["greedy"]])
        assert [word.text for word in found.words] == [text for text, *_ in expected["words"]]
        assert_close([word[1:3] for word in found.words], [times for _, *times in expected["words"]], atol=1e-9)
        assert_close(found.confidence, expected["confidence"], rtol=1e-2)
        assert_close(model.outputs([(sound, 8000)])[0], np.array(expected["scores"]), atol=1e-3)
        return
    assert_close(model.predict(pd.DataFrame(expected["X"])), np.array(expected["predictions"]), rtol=1e-5)


def test_there_is_a_golden_file_for_every_format_version():
    versions = {json.loads(raw_header(path)["__metadata__"]["bilstm"])["format"] for path in GOLDEN.glob("*.bilstm")}
    assert versions == set(range(1, model_file.FORMAT + 1))


# -- bad files ---------------------------------------------------------------------------------------------------


def raw_header(path):
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])


BAD = {
    "no file": (lambda path: None, "cannot read .*No such file"),
    "an empty file": (lambda path: b"", "got 0 bytes"),
    "a few bytes": (lambda path: b"abc", "got 3 bytes"),
    "text": (lambda path: b"rooms,price\n" * 99, "cut short or of another kind"),
    "a zip file": (lambda path: b"PK\x03\x04" + bytes(500), "damaged|another kind"),
    "half of it": (lambda path: path.read_bytes()[: len(path.read_bytes()) // 2], "damaged|cut short"),
    "all but a byte": (lambda path: path.read_bytes()[:-1], "damaged"),
    "a byte more": (lambda path: path.read_bytes() + b"x", "damaged"),
    "a header of 2^60 bytes": (
        lambda path: struct.pack("<Q", 2**60) + b"{}",
        "its header would take 1152921504606846976",
    ),
    "a header of nested lists": (lambda path: struct.pack("<Q", 200_000) + b"[" * 200_000, "damaged header"),
    "a header that is a list": (lambda path: struct.pack("<Q", 2) + b"[]", "damaged header"),
    "weights of another program": (
        lambda path: safetensors_bytes({"w": torch.zeros(2)}, {"format": "pt"}),
        "a safetensors file of something else",
    ),
    "a newer format": (lambda path: with_header(path, put(format=99)), "got format 99 .*\nhint: .*--upgrade"),
    "no format": (lambda path: with_header(path, put(format="x")), "without a format version"),
    "a checkpoint": (lambda path: with_header(path, put(checkpoint=1)), "the checkpoint of an unfinished training"),
    "a foreign class": (lambda path: with_header(path, put(estimator="os.system")), "got 'os.system'"),
    "a parameter out of range": (
        lambda path: with_header(path, lambda h: h["parameters"].update(hidden_size=-1)),
        "expected hidden_size to be a whole number of at least 1, got -1",
    ),
    "an unknown parameter": (
        lambda path: with_header(path, lambda h: h["parameters"].update(command="rm")),
        "damaged header",
    ),
    "a claim of a huge network": (
        lambda path: with_header(path, lambda h: h["parameters"].update(hidden_size=10**6)),
        "expected weights .* of shape .*1000000.*the file is damaged",
    ),
    "a claim of many layers": (
        lambda path: with_header(path, lambda h: h["parameters"].update(num_layers=10**9)),
        "damaged",
    ),
    "encoders of another width": (
        lambda path: with_header(path, lambda h: h["encoders"]["features"].pop()),
        "expected an encoder of each column, got others .*crim",
    ),
    "nothing but a format": (
        lambda path: with_header(path, lambda h: [h.pop(k) for k in set(h) - {"format"}]),
        "damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name_and_with_the_reason(saved, tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.bilstm"
    raw = content(saved[0])
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=message) as caught:
        bilstm.load(path)
    assert str(path) in str(caught.value)


def of(*names, change):
    """What changes one value of a header, found by the names that lead to it."""

    def changed(header):
        for name in names[:-1]:
            header = header[name]
        header[names[-1]] = change(header[names[-1]]) if callable(change) else change

    return changed


WRONG = {  # values that no reader would have missed until much later, or never
    "a mean that is a list": (of("encoders", "features", 0, "mean", change=[]), r"features\[0\].mean, got \[\]"),
    "a deviation of zero": (of("encoders", "features", 1, "scale", change=0.0), r"above 0 at .*scale, got 0.0"),
    "a name that is a number": (
        of("encoders", "features", 2, "name", change=7),
        r"expected text at .*\[2\].name, got 7",
    ),
    "names that are numbers": (
        of("features", change=lambda names: [*names[1:], 5]),
        r"expected text at features\[12\]",
    ),
    "a category that is a list": (
        of("encoders", "features", 0, "values", change=["a", ["b"]]),
        r"values\[1\], got \['b'",
    ),
    "a category twice": (of("encoders", "features", 0, "values", change=["a", "a"]), "got one twice"),
    "a column twice": (of("encoders", "features", 0, "name", change="zn"), "got one twice"),
    "a flag that is a word": (of("encoders", "features", 0, "flag", change="no"), "expected true or false at .*flag"),
    "a metric without end": (of("metrics", "rmse", change=float("inf")), "at metrics.rmse, got inf"),
    "a metric of text": (of("metrics", "rmse", change="x"), "at metrics.rmse, got 'x'"),
    "an epoch less in one column": (of("history", "columns", "loss", change=lambda losses: losses[1:]), "got gaps"),
    "scales of other targets": (
        of("encoders", "scaler", "names", change=["mdev"]),
        "expected scales of medv, got mdev",
    ),
    "more targets than outputs": (
        lambda h: (h["targets"].append("b"), [v.append(v[0]) for v in h["encoders"]["scaler"].values()]),
        "different names of columns|expected scales|2 outputs",
    ),
    "no target": (of("targets", change=[]), "expected different names of columns"),
    "a class weight that is a list": (of("parameters", "class_weight", change={"a": []}), "class_weight.a, got"),
    "half a character": (of("targets", change=["\ud83d"]), "damaged header"),
    "an object nested deep": (of("metrics", change=json.loads("[" * 400 + "]" * 400)), "expected an object at metrics"),
    "a number of a thousand digits": (of("encoders", "scaler", "mean", change=[10**999]), "a finite number at .*mean"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_the_wrong_kind_is_refused_in_one_sentence_that_says_where_it_stands(saved, tmp_path, name):
    change, message = WRONG[name]
    path = tmp_path / "wrong.bilstm"
    path.write_bytes(with_header(saved[0], change))
    with pytest.raises(ModelFileError, match=message) as caught:
        bilstm.load(path)
    assert len(str(caught.value)) < 600
    assert path.name in str(caught.value)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Files of a classifier of text and of a tagger whose scores pass through a CRF."""
    folder = tmp_path_factory.mktemp("labelled")
    BiLSTMClassifier(**SMALL, embedding_size=0, char_hidden_size=2).fit(["ja", "nein"] * 9, ["a", "b"] * 9).save(
        folder / "text"
    )
    BiLSTMTagger(**SMALL, embedding_size=2, char_hidden_size=0).fit([["Ann", "sleeps"]] * 9, [["B-P", "O"]] * 9).save(
        folder / "tags"
    )
    return folder


HUGE = {  # a few kilobytes that ask for much
    "labels of a wide kind": ("text", of("encoders", "labels", "dtype", change="<U700000000")),
    "labels of arrays": ("text", of("encoders", "labels", "dtype", change="(90000,900)f4")),
    "labels of records": ("text", of("encoders", "labels", "dtype", change="f8," * 9 + "(9,9999999)f8")),
    "one label that all others are filled up to": (
        "text",
        of("encoders", "labels", "classes", change=lambda _: ["a" * 200_000, *map(str, range(20_000))]),
    ),
    "labels that are no text": ("text", of("encoders", "labels", "classes", change=[3, 5])),
    "labels in disorder": ("text", of("encoders", "labels", "classes", change=["b", "a"])),
    "more labels than outputs": ("text", of("encoders", "labels", "classes", change=["a", "b", "c"])),
    "rules between very many tags": (
        "tags",
        of("encoders", "labels", "classes", change=lambda _: [f"B-{n:06}" for n in range(60_000)]),
    ),
    "corrections of very many words": (
        "text",
        lambda h: (
            h.update(format=2),
            h["encoders"]["words"].update(words=["a"] * 90_000, counts=[1] * 90_000, vector_size=90_000),
        ),
    ),
    "a temperature without end": ("text", of("encoders", "temperature", change=float("inf"))),
    "tags of another scheme": ("tags", of("encoders", "scheme", change="iob7")),
    "characters of two letters": ("text", of("encoders", "words", "characters", 0, change="aa")),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_small_header_that_asks_for_much_is_refused_before_memory_is_taken(labelled, tmp_path, name):
    file, change = HUGE[name]
    path = tmp_path / "huge.bilstm"
    path.write_bytes(with_header(labelled / file, change))
    with pytest.raises(ModelFileError):
        bilstm.load(path)
    try_to_load(path, path.read_bytes())


def test_tensors_whose_sizes_do_not_add_up_are_refused(saved, tmp_path):
    def with_entry(**changes):
        outer = raw_header(saved[0])
        outer["hidden.bias"].update(changes)
        text = json.dumps(outer).encode()
        raw = saved[0].read_bytes()
        return struct.pack("<Q", len(text)) + text + raw[8 + struct.unpack("<Q", raw[:8])[0] :]

    at = raw_header(saved[0])["hidden.bias"]["data_offsets"]
    for changes in (
        {"shape": [2**52, 2**52]},
        {"shape": [2**62, 4]},
        {"shape": [1] * 90 + [4]},
        {"shape": [-4]},
        {"shape": [4.0]},
        {"dtype": "F64"},
        {"dtype": "F8"},
        {"data_offsets": [at[0], at[0]]},
        {"data_offsets": [at[1], at[0]]},
        {"data_offsets": at[:1]},
        {"data_offsets": None},
    ):
        (tmp_path / "m.bilstm").write_bytes(with_entry(**changes))
        with pytest.raises(ModelFileError, match="damaged"):
            bilstm.load(tmp_path / "m.bilstm")


# -- files that change -------------------------------------------------------------------------------------------


CHANGES = {
    "another model is copied over it": lambda path, other: path.write_bytes(other.read_bytes()),
    "its weights become zero": lambda path, other: path.write_bytes(zeroed(path.read_bytes())),
    "it is cut short": lambda path, other: os.truncate(path, 10),
    "it is emptied": lambda path, other: path.write_bytes(b""),
    "it is deleted": lambda path, other: path.unlink(),
}


def zeroed(raw):
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    return raw[:start] + bytes(len(raw) - start)


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_loaded_stays_what_it_was_whatever_happens_to_its_file(saved, tmp_path, name):
    BiLSTMRegressor(**SMALL, random_state=5).fit(boston().take(range(60, 120))).save(tmp_path / "other.bilstm")
    path = tmp_path / "m.bilstm"
    path.write_bytes(saved[0].read_bytes())
    loaded, rows = bilstm.load(path), boston().take(range(20))
    CHANGES[name](path, tmp_path / "other.bilstm")
    assert_close(loaded.predict(rows), saved[1].predict(rows))
    loaded.save(tmp_path / "again.bilstm")
    assert_close(bilstm.load(tmp_path / "again.bilstm").predict(rows), saved[1].predict(rows))


def test_a_file_that_is_written_to_while_it_is_read_is_refused(saved, tmp_path, monkeypatch):
    path = tmp_path / "m.bilstm"
    path.write_bytes(saved[0].read_bytes())
    empty, seconds = torch.empty, itertools.count()

    def overtaken(*arguments, **others):
        path.write_bytes(saved[0].read_bytes())
        os.utime(path, (next(seconds),) * 2)
        return empty(*arguments, **others)

    monkeypatch.setattr(torch, "empty", overtaken)
    with pytest.raises(ModelFileError, match=r"being written to .*\nhint: copy it to another name"):
        bilstm.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "m.bilstm")
    with pytest.raises(ModelFileError, match="got a pipe or a device"):
        bilstm.load(tmp_path / "m.bilstm")


# -- any bytes ---------------------------------------------------------------------------------------------------


@hostile(150)
@given(st.data())
def test_a_file_with_any_bytes_changed_loads_or_is_refused_and_takes_no_memory(saved, tmp_path, data):
    raw = bytearray(saved[0].read_bytes())
    header_end = 8 + struct.unpack("<Q", raw[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, 7), st.integers(8, header_end - 1), st.integers(0, len(raw) - 1)))
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    try_to_load(tmp_path / "fuzzed.bilstm", bytes(raw[:cut]))


@hostile(100)
@given(st.binary(max_size=300))
@example(struct.pack("<Q", 40) + b'{"__metadata__":{"bilstm":"{\\"format\\":1}"}}'.ljust(40))
def test_any_bytes_are_refused(tmp_path, raw):
    path = tmp_path / "noise.bilstm"
    path.write_bytes(raw)
    with pytest.raises(ModelFileError):
        bilstm.load(path)


@hostile(200)
@given(st.data())
def test_a_header_with_any_value_exchanged_loads_or_is_refused(saved, tmp_path, data):
    try_to_load(tmp_path / "exchanged.bilstm", with_header(saved[0], lambda header: exchange(header, data)))


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are those of POSIX")
def test_permissions_are_those_of_an_ordinary_file_and_no_other_thread_is_laid_open(tmp_path):
    before = os.umask(0o027)
    try:
        done = threading.Event()

        def write_many():
            for number in range(200):
                write_whole(tmp_path / f"model {number % 3}", b"model")
            done.set()

        writer = threading.Thread(target=write_many)
        writer.start()
        modes = set()
        while not done.is_set():
            (tmp_path / "another").write_bytes(b"")
            modes.add((tmp_path / "another").stat().st_mode & 0o777)
            (tmp_path / "another").unlink()
        writer.join()
        assert modes <= {0o640}
        assert (tmp_path / "model 0").stat().st_mode & 0o777 == 0o640
        (tmp_path / "model 0").chmod(0o600)
        write_whole(tmp_path / "model 0", b"newer")
        assert (tmp_path / "model 0").stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model 0", "model 1", "model 2"]
    finally:
        os.umask(before)
