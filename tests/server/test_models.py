"""Models come by name from their files, and anew when these change; a bad file leaves the old model where it is."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading

import pytest

from bilstm.data.encoders import Column
from bilstm.errors import ModelFileError, ParameterError
from bilstm.server.app import create_app
from bilstm.server.errors import RequestError
from bilstm.server.formats.values import Field
from bilstm.server.models import Models, named, watch
from bilstm.server.settings import Settings
from bilstm.server.worker import Closed, Worker
from tests.server.asgi import call, until


def test_models_are_called_by_their_files_or_as_one_likes(tmp_path):
    files = named(["a/boston.bilstm", "old=b/boston.bilstm", "c/my model {1}.bilstm", "d/模型.bilstm", "e/...bilstm"])
    assert list(files) == ["boston", "old", "my-model-1", "模型", "model"]
    (tmp_path / "a=b.bilstm").touch()
    assert list(named([tmp_path / "a=b.bilstm"])) == ["a-b"]
    with pytest.raises(ParameterError, match="expected models of different names, got two called 'boston'"):
        named(["a/boston.bilstm", "b/boston.bilstm"])


def test_a_file_that_is_no_model_is_an_error_at_the_start(tmp_path, paths):
    (tmp_path / "bad.bilstm").write_bytes(b"nothing")
    with pytest.raises(ModelFileError):
        Models({"good": paths["text"], "bad": tmp_path / "bad.bilstm"}, Settings())
    for thread in [thread for thread in threading.enumerate() if thread.name == "bilstm-good"]:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def replaced(tmp_path, paths):
    """Models of one file, and what puts another file in its place."""
    file = tmp_path / "m.bilstm"
    shutil.copy(paths["text"], file)
    models = Models({"m": file}, Settings(page=False))

    def put(source):
        shutil.copy(source, tmp_path / "new") if source else (tmp_path / "new").write_bytes(b"broken")
        os.replace(tmp_path / "new", file)

    yield models, put
    models.close(10)


def test_a_replaced_file_is_loaded_and_its_new_schema_described(replaced, paths):
    models, put = replaced
    app = create_app(models, Settings(page=False))
    assert models.reload(changed=True) == []
    assert call(app, "POST", "/v1/models/m/predict", {"rows": ["good"]}).status == 200
    put(paths["table"])
    assert models.reload(changed=True) == ["m"]
    document = call(app, "GET", "/openapi.json").json
    content = document["paths"]["/v1/models/m/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert call(app, "POST", "/v1/models/m/predict", content["example"]).json["predictions"][0].keys() == {"values"}
    assert call(app, "POST", "/v1/models/m/predict", {"rows": ["good"]}).error["status"] == 422


def test_a_bad_new_file_leaves_the_old_model_and_is_tried_once(replaced, paths, caplog):
    models, put = replaced
    old = models.get("m")
    put(None)
    for _ in range(3):
        assert models.reload(changed=True) == []
    assert models.get("m") is old
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["model m stays as it was"]
    assert b'bilstm_reload_failures_total{model="m"} 1.0' in models.metrics.text()
    assert asyncio.run(models.get("m").predict(["good"]))
    put(paths["text"])
    assert models.reload(changed=True) == ["m"]


def test_a_file_that_is_overwritten_in_place_harms_no_answer_and_is_loaded_once_it_is_at_rest(replaced, paths):
    models, _ = replaced
    old, file = models.get("m"), models.get("m").path
    before = asyncio.run(old.predict(["good", "very bad"]))
    whole = paths["table"].read_bytes()
    for size in (10, len(whole) // 2):  # a copy that is on its way
        file.write_bytes(whole[:size])
        assert models.reload(changed=True) == []
        assert asyncio.run(models.get("m").predict(["good", "very bad"])) == before
    file.write_bytes(whole)
    assert models.reload(changed=True) == []
    assert models.reload(changed=True) == ["m"]
    assert models.get("m").estimator.task == "regressor"


def test_a_new_file_that_breaks_the_loader_is_logged_and_tried_once(replaced, paths, caplog, monkeypatch):
    models, put = replaced
    old = models.get("m")
    put(paths["table"])
    monkeypatch.setattr("bilstm.server.models.load", lambda path: {}["weight"])
    for _ in range(2):
        assert models.reload(changed=True) == []
    assert models.get("m") is old
    assert [record.getMessage() for record in caplog.records] == ["model m stays as it was: 'weight'"]
    assert caplog.records[0].exc_info


def test_a_model_that_does_not_predict_its_example_is_warned_of_and_the_others_warm_up(paths, caplog):
    models = Models({"text": paths["text"], "names": paths["names"]}, Settings(page=False))
    models.get("text").format.inputs.examples = 3
    asyncio.run(models.warm_up())
    models.close(10)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "model text does not predict its own example"
    ]
    assert b'bilstm_predictions_total{model="names"} 1.0' in models.metrics.text()


@pytest.mark.parametrize("mean, scale", [(123456789012.0, 1.0), (6.28491, 0.7), (0.0, 1.0), (-98765.4321, 1e-9)])
def test_the_example_of_a_column_lies_within_its_bounds(mean, scale):
    field = Field.of(Column("x", "number", mean=mean, scale=scale))
    assert field.check(field.example, "x") == field.example
    assert len(str(field.example)) <= 5 or abs(mean) > 1e4


def test_a_file_that_is_gone_leaves_the_old_model(replaced):
    models, _ = replaced
    models.get("m").path.unlink()
    assert models.reload(changed=True) == []
    assert models.reload() == []
    assert asyncio.run(models.get("m").predict(["good"]))


def test_what_the_old_model_has_accepted_it_answers(replaced, paths, monkeypatch):
    models, put = replaced
    old, begun, go = models.get("m"), threading.Event(), threading.Event()
    answer = old.format.outputs.predict
    monkeypatch.setattr(old.format.outputs, "predict", lambda data: begun.set() or (go.wait(60) and answer(data)))

    async def ask():
        waiting = [asyncio.create_task(old.predict(["good"]))]
        await until(begun.is_set)
        waiting += [asyncio.create_task(old.predict(["good"])) for _ in range(4)]
        await until(lambda: old.worker.waiting == 4)
        put(paths["table"])
        await asyncio.to_thread(models.reload)
        go.set()
        return await asyncio.gather(*waiting)

    assert len(asyncio.run(ask())) == 5
    assert models.get("m").estimator.task == "regressor"
    old.worker.join(10)
    assert not old.worker._thread.is_alive()


def test_a_request_whose_body_was_still_coming_is_answered_by_the_new_model(replaced, paths):
    models, put = replaced
    app = create_app(models, Settings(page=False))

    def body():
        yield b'{"rows": '
        put(paths["names"])
        assert models.reload() == ["m"]
        yield b'["Ann"]}'

    answer = call(app, "POST", "/v1/models/m/predict", body(), content_type="application/json")
    assert "tags" in answer.json["predictions"][0]


def test_a_worker_that_was_closed_takes_nothing(replaced):
    models, _ = replaced
    old = models.get("m")
    models.reload()
    with pytest.raises(Closed):
        asyncio.run(old.predict(["good"]))
    assert asyncio.run(models.predict("m", ["good"]))
    models.close(10)
    with pytest.raises(RequestError, match="expected a server that goes on") as refused:
        asyncio.run(models.predict("m", ["good"]))
    assert refused.value.status == 503


def test_files_are_watched(replaced, paths):
    models, put = replaced

    async def look():
        watching = asyncio.create_task(watch(models, 0.01))
        put(paths["table"])
        await until(lambda: models.version > 0)
        watching.cancel()

    asyncio.run(look())
    assert models.get("m").estimator.task == "regressor"


class Echo:
    """A format whose rows are answered with themselves; 'bad' cannot be read, 'worse' breaks a batch."""

    def __init__(self):
        self.batches = []
        self.begun, self.go = threading.Event(), threading.Event()

    def prepare(self, rows):
        if "bad" in rows:
            raise RequestError(422, "expected a good row")
        return list(rows)

    def predict(self, prepared):
        self.begun.set()
        assert self.go.wait(60)
        self.batches.append(list(prepared))
        if "worse" in prepared:
            raise ZeroDivisionError
        return [{"row": row} for row in prepared]


def asked(requests, **options):
    """What a worker answers to requests that come while it works on the first, and its batches."""
    echo = Echo()
    worker = Worker("echo", echo, Settings(**options))

    async def ask():
        tasks = [asyncio.create_task(worker.predict(["first"]))]
        await until(echo.begun.is_set)
        tasks += [asyncio.create_task(worker.predict(rows)) for rows in requests]
        await until(lambda: worker.waiting == len(requests))
        echo.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(ask())
    worker.close()
    worker.join(10)
    return found[1:], echo.batches[1:]


def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch():
    found, batches = asked([["a"], ["b", "c"], ["d"]])
    assert found == [[{"row": "a"}], [{"row": "b"}, {"row": "c"}], [{"row": "d"}]]
    assert batches == [["a", "b", "c", "d"]]


def test_a_batch_has_its_limit_and_requests_stay_in_order():
    _, batches = asked([["a"], ["b", "c"], ["d"], ["e"] * 9, ["f"]], batch=3)
    assert batches == [["a", "b", "c"], ["d"], ["e"] * 9, ["f"]]
    assert asked([["a"], ["b"]], batch=1)[1] == [["a"], ["b"]]


def test_a_mistake_is_nobody_elses():
    found, batches = asked([["a"], ["bad"], ["worse"], ["b"]])
    assert found[0] == [{"row": "a"}]
    assert isinstance(found[1], RequestError)
    assert isinstance(found[2], ZeroDivisionError)
    assert found[3] == [{"row": "b"}]
    assert batches == [["a", "worse", "b"], ["a"], ["worse"], ["b"]]
