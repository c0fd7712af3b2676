"""What each route answers, and what a request may not be: every refusal in one shape, and none of them a 500."""

from __future__ import annotations

import asyncio
import builtins
import difflib
import io
import json
import os
import re
import tempfile
import threading

import polars as pl
import pytest
import soundfile

import bilstm
from bilstm.server.errors import RequestError
from bilstm.server.formats import Format
from bilstm.server.middleware import Limits
from bilstm.server.settings import Settings
from tests.compare import assert_close
from tests.server.asgi import acall, call, until
from tests.server.made import rows_of, sound_file

TEXT = "/v1/models/text/predict"


def test_models_are_listed_with_their_columns_and_classes(app):
    found = {one["name"]: one for one in call(app, "GET", "/v1/models").json["models"]}
    assert found["table"]["task"] == "regressor"
    assert [column["name"] for column in found["table"]["columns"]] == ["rooms", "age", "town"]
    assert found["steps"]["classes"] == [0, 1, 2]
    assert call(app, "GET", found["names"]["predict"].removesuffix("/predict")).json == found["names"]


def test_the_description_has_a_path_for_each_model_with_an_example_that_works(app):
    document = call(app, "GET", "/openapi.json").json
    for path, routes in document["paths"].items():
        for kind, content in routes.get("post", {}).get("requestBody", {}).get("content", {}).items():
            if "example" in content:
                assert call(app, "POST", path, content["example"], content_type=kind).status == 200, path
    assert [path for path in document["paths"] if path.endswith("/predict")] == [
        f"/v1/models/{one['name']}/predict" for one in call(app, "GET", "/v1/models").json["models"]
    ]


def test_a_model_that_is_not_there_is_asked_back_for(app):
    error = call(app, "POST", "/v1/models/texd/predict", {"rows": ["a"]}).error
    assert (error["status"], error["hint"]) == (404, "did you mean 'text'?")


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/models/", "/v1/../etc/passwd", "/docs/app.py"])
def test_other_paths_are_not_there(app, path):
    assert call(app, "GET", path).error["status"] == 404


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("GET", TEXT, "POST"),
        ("TRACE", TEXT, "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
    ],
)
def test_other_methods_are_told_which_are_allowed(app, method, path, allowed):
    answer = call(app, method, path)
    assert answer.error["status"] == 405
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "body, status, field",
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"rows": ["\\ud800"]}', 400, None),
        (b'{"rows": [NaN]}', 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "rows"),
        (b'{"row": ["a"]}', 422, "rows"),
        (b'{"rows": ["a"], "beam": 3}', 422, "beam"),
        (b'{"rows": ["a", 1]}', 422, "rows[1]"),
    ],
)
def test_a_body_that_is_no_request_is_refused(app, body, status, field):
    error = call(app, "POST", TEXT, body, content_type="application/json").error
    assert (error["status"], error["field"]) == (status, field)


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "audio/wav"])
def test_a_body_of_another_kind_is_refused(app, kind):
    answer = call(app, "POST", TEXT, b'{"rows": ["a"]}', content_type=kind)
    assert answer.error["status"] == 415
    assert answer.headers["accept"] == "application/json"


def form_of(*parts):
    """A form's body and its kind."""
    lines = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="%s"' % file.encode() if file else b"", content)
        for name, file, content in parts
    )
    return lines + b"--edge--\r\n", "multipart/form-data; boundary=edge"


def test_sound_comes_as_it_is_or_in_parts_of_a_form(app):
    sounds = rows_of("digits", 2)
    path = "/v1/models/digits/predict"
    alone = [call(app, "POST", path, sound, content_type="audio/wav").json["predictions"][0] for sound in sounds]
    body, kind = form_of(*(("sound", "../../etc/passwd", sound) for sound in sounds))
    assert call(app, "POST", path, body, content_type=kind).json["predictions"] == alone
    for wrong in (form_of(("sound", "", b"/etc/passwd")), form_of(("other", "a.wav", sounds[0])), form_of()):
        assert call(app, "POST", path, wrong[0], content_type=wrong[1]).status in (400, 422)
    assert call(app, "POST", path, b"nothing of a form", content_type=kind).status in (400, 422)
    assert call(app, "POST", path, b"x", content_type="multipart/form-data").error["status"] == 400
    assert call(app, "POST", path, {"rows": ["/etc/passwd"]}).error["status"] == 415


def test_a_body_of_a_gigabyte_is_refused_before_a_byte_of_it_is_read(app):
    def endless():
        for _ in range(1024):
            yield b" " * 2**20

    answer = call(app, "POST", TEXT, endless(), content_type="application/json", content_length=str(2**30))
    assert (answer.error["status"], answer.read) == (413, 0)
    assert answer.headers["connection"] == "close"


@pytest.fixture
def hurried(monkeypatch):
    """What still comes of a refused body is not waited for."""
    monkeypatch.setattr("bilstm.server.middleware.LINGER", 0.05)


def test_a_body_without_a_length_is_read_up_to_the_limit(app_of, hurried):
    def endless():
        while True:
            yield b" " * 1000

    answer = call(app_of(body=10_000), "POST", TEXT, endless(), content_type="application/json")
    assert answer.error["status"] == 413
    assert 10_000 < answer.read <= 11_000
    assert answer.headers["connection"] == "close"


def test_a_body_of_which_nothing_is_read_closes_its_connection(app):
    answer = call(app, "POST", "/v1/nothing", iter([b"x"] * 9))
    assert (answer.status, answer.read, answer.headers["connection"]) == (404, 0, "close")


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5000, "x"])
def test_a_length_that_is_none_is_refused(app, length):
    assert call(app, "POST", TEXT, b"{}", content_length=length).error["status"] in (400, 413)


def test_a_body_that_comes_too_slowly_is_refused(app_of, hurried):
    app = app_of(body_timeout=0.05)

    async def slow():
        sent = []

        async def receive():
            await asyncio.sleep(10)

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", b"99"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": TEXT, "raw_path": TEXT.encode(), "headers": headers}
        await app(scope | {"query_string": b"", "root_path": ""}, receive, send)
        return sent

    sent = asyncio.run(slow())
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["message"].startswith("expected the whole body within 0.05 seconds")


@pytest.fixture
def held(monkeypatch):
    """A model that does not answer before it is let go."""

    def hold(models):
        go, begun = threading.Event(), threading.Event()
        format = models.get("text").format
        answer = format.outputs.predict

        def slow(data):
            begun.set()
            assert go.wait(20)
            return answer(data)

        monkeypatch.setattr(format.outputs, "predict", slow)
        return go, begun

    return hold


def test_more_requests_than_are_worked_on_at_a_time_are_told_429_or_503_and_when_to_come_again(app_of, held):
    for options, status in (({"requests": 3}, 429), ({"queue": 2, "batch": 1}, 503)):
        app = app_of(**options)
        go, begun = held(app_of.made[-1])

        async def many(app=app, go=go, begun=begun):
            first = asyncio.create_task(acall(app, "POST", TEXT, {"rows": ["good"]}))
            assert await asyncio.to_thread(begun.wait, 20)
            others = [asyncio.create_task(acall(app, "POST", TEXT, {"rows": ["bad"]})) for _ in range(9)]
            await until(lambda: sum(task.done() for task in others) == 7)  # which are refused
            go.set()
            return await asyncio.gather(first, *others)

        answers = asyncio.run(many())
        assert [answer.status for answer in answers] == [200] * 3 + [status] * 7
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].error["message"].startswith("expected at most ")
        assert call(app, "POST", TEXT, {"rows": ["good"]}).status == 200  # and then all is well again


def test_an_answer_that_takes_too_long_is_given_up(app_of, held):
    app = app_of(timeout=0.1)
    go, _ = held(app_of.made[-1])
    answer = call(app, "POST", TEXT, {"rows": ["good"]})
    go.set()
    assert answer.error["status"] == 504
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("name, wrong", [("steps", [["x", 0]]), ("table", {f"room{n}" * 99: 0 for n in range(10**4)})])
def test_large_rows_are_checked_in_another_thread_and_hints_are_sought_among_few_names(app, monkeypatch, name, wrong):
    check, compared, threads = Format.check, [], []
    monkeypatch.setattr(Format, "check", lambda *rows: threads.append(threading.current_thread()) or check(*rows))
    monkeypatch.setattr(difflib, "get_close_matches", lambda word, names, *a, **k: compared.append(names) or [])
    padding = " " * 2**17
    body = json.dumps({"rows": [wrong]}) + padding
    assert call(app, "POST", f"/v1/models/{name}/predict", body.encode(), content_type="application/json").status == 422
    assert call(app, "POST", f"/v1/models/{name}/predict", {"rows": []}).status == 422
    assert [thread is threading.main_thread() for thread in threads] == [False, True]
    body = json.dumps(dict.fromkeys(wrong if name == "table" else ["row"], 0)) + padding
    assert call(app, "POST", f"/v1/models/{name}/predict", body.encode(), content_type="application/json").status == 422
    assert compared
    assert all(len(names) <= 100 and max(map(len, names)) <= 100 for names in compared)


def test_a_request_that_hangs_is_told_504(monkeypatch):
    monkeypatch.setattr("bilstm.server.middleware.SLACK", 0.0)

    async def hang(scope, receive, send):
        await asyncio.sleep(60)

    answer = call(Limits(hang, Settings(body_timeout=0.05, timeout=0.05)), "GET", "/v1/models")
    assert answer.error["status"] == 504


def test_a_time_that_is_over_inside_a_route_is_no_limit_of_the_request():
    async def fail(scope, receive, send):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        call(Limits(fail, Settings()), "GET", "/v1/models")


def test_no_string_of_a_request_is_taken_for_a_file(app, monkeypatch):
    """With every way to open a file shut but for fresh ones of ours, all models still answer."""
    paths = ["/etc/passwd", "file:///etc/passwd", "../secret.csv", "train.wav", "C:\\secret.bilstm"]
    call(app, "POST", TEXT, {"rows": paths})  # what is imported on first use is imported

    def shut(opens):
        def only_ours(file, *arguments, **named):
            assert not isinstance(file, str) or file.startswith(tempfile.gettempdir()), f"opened {file}"
            return opens(file, *arguments, **named)

        return only_ours

    requests = [
        ("text", paths),
        ("names", [*paths, paths]),
        ("table", [{"rooms": 1, "age": 1, "town": path} for path in paths]),
        ("load", [[{"station": path, "hour": path, "heat": 1, "load": 1}] * 20 for path in paths]),
    ]
    for place, name in ((builtins, "open"), (io, "open"), (os, "open"), (soundfile, "SoundFile")):
        monkeypatch.setattr(place, name, shut(getattr(place, name)))
    found = [call(app, "POST", f"/v1/models/{name}/predict", {"rows": rows}).status for name, rows in requests]
    sounds = [call(app, "POST", "/v1/models/digits/predict", path.encode(), content_type="audio/wav") for path in paths]
    parts, kind = form_of(*(("sound", path, sound_file()) for path in paths))
    named = call(app, "POST", "/v1/models/digits/predict", parts, content_type=kind)
    monkeypatch.undo()
    assert found == [200, 200, 200, 422]
    assert [(one.error["status"], one.error["field"]) for one in sounds] == [(422, "rows[0]")] * len(paths)
    assert named.status == 200


def test_errors_of_ours_are_told_without_their_inside(app_of, monkeypatch):
    app = app_of()
    monkeypatch.setattr(app_of.made[-1].get("text").format.outputs, "predict", lambda data: 1 / 0)
    error = call(app, "POST", TEXT, {"rows": ["a"]}).error
    assert error["status"] == 500
    assert "division" not in json.dumps(error)


def test_browsers_are_told_to_load_nothing_else(app):
    for path in ("/v1/models", "/nothing", "/docs", "/healthz"):
        headers = call(app, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
    assert "'unsafe-eval'" not in call(app, "GET", "/docs").headers["content-security-policy"]
    assert call(app, "GET", "/v1/models").headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_of_the_description_needs_no_other_host(app):
    page = call(app, "GET", "/docs").body.decode()
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 4
    for file in files:
        assert file.startswith("docs/") or file == "data:,"
        if file != "data:,":
            assert call(app, "GET", f"/{file}").status == 200
    assert "<script>" not in page


def test_without_a_page_the_root_leads_to_the_description(app):
    answer = call(app, "GET", "/")
    assert (answer.status, answer.headers["location"]) == (307, "/docs")


def test_it_is_ready_once_its_models_are_loaded_and_until_it_ends(app_of):
    app = app_of()

    async def life():
        before = (await acall(app, "GET", "/readyz")).status
        async with app.router.lifespan_context(app):
            during = (await acall(app, "GET", "/readyz")).status
        return before, during, (await acall(app, "GET", "/readyz")).status, (await acall(app, "GET", "/healthz")).status

    assert asyncio.run(life()) == (200, 200, 503, 200)


def test_what_happens_is_counted(app_of):
    app = app_of()
    for rows in (["good", "bad"], [1]):
        call(app, "POST", TEXT, {"rows": rows})
    call(app, "GET", "/wp-admin.php")
    told = call(app, "GET", "/metrics").body.decode()
    for line in (
        'bilstm_requests_total{method="POST",route="/v1/models/{name}/predict",status="200"} 1.0',
        'bilstm_requests_total{method="POST",route="/v1/models/{name}/predict",status="422"} 1.0',
        'bilstm_requests_total{method="GET",route="other",status="404"} 1.0',
        'bilstm_predictions_total{model="text"} 2.0',
        'bilstm_batch_rows_count{model="text"} 1.0',
        'bilstm_queue_length{model="text"} 0.0',
        'bilstm_reload_failures_total{model="text"} 0.0',
    ):
        assert line in told, line


def test_numbers_keep_all_their_digits(app, paths):
    rows = rows_of("table", 3)
    found = call(app, "POST", "/v1/models/table/predict", {"rows": rows}).json["predictions"]
    frame = pl.DataFrame(rows, schema={"rooms": pl.Float64, "age": pl.Float64, "town": pl.String})
    expected = bilstm.load(paths["table"]).predict(frame)
    assert_close([[one["values"][name] for name in ("price", "rent")] for one in found], expected)
    again = call(app, "POST", "/v1/models/table/predict", {"rows": rows[::-1]}).json["predictions"]
    assert found == again[::-1]


def test_a_refusal_says_what_it_is():
    error = RequestError(422, "expected a number, got 'x'", field="rows[0]")
    assert str(error) == "expected a number, got 'x'"


def test_a_sound_that_is_none_is_refused_by_its_place(app):
    body, kind = form_of(("sound", "a.wav", sound_file()), ("sound", "b.wav", b"not sound"))
    error = call(app, "POST", "/v1/models/digits/predict", body, content_type=kind).error
    assert (error["status"], error["field"]) == (422, "rows[1]")
