"""Who may ask: without the token nobody, from another site no browser, under another name no page."""

from __future__ import annotations

import asyncio
import time

import pytest

from bilstm.cli.serve import read_token
from bilstm.errors import ParameterError
from bilstm.server.access import COOKIE, Sessions
from bilstm.server.settings import Settings
from tests.server.asgi import call, connect
from tests.server.conftest import TOKEN

ROUTES = [
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/docs/start.js"),
    ("GET", "/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/text"),
    ("POST", "/v1/models/text/predict"),
    ("POST", "/logout"),
    ("GET", "/_nicegui/3.18.0/static/nicegui.js"),
    ("POST", "/_nicegui_ws/socket.io/"),
    ("GET", "/nothing"),
    ("OPTIONS", "/v1/models"),
]
WRONG = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer wrong"},
    {"authorization": f"Bearer {TOKEN}x"},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": f"Bearer {TOKEN[:-1]}"},
    {"authorization": "Bearer ÿ"},
    {"cookie": f"{COOKIE}={TOKEN}"},
    {"cookie": f"{COOKIE}=9999999999.abc"},
    {"cookie": f"{COOKIE}=;;=,"},
]


@pytest.fixture
def guarded(app_of):
    return app_of(token=TOKEN)


@pytest.mark.parametrize("method, path", ROUTES)
@pytest.mark.parametrize("headers", WRONG, ids=str)
def test_without_the_token_no_route_answers(guarded, method, path, headers):
    answer = call(guarded, method, path, **headers)
    assert answer.error["status"] == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", WRONG, ids=str)
def test_without_the_token_no_websocket_opens(guarded, headers):
    sent = asyncio.run(connect(guarded, "/_nicegui_ws/socket.io/", **headers))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_with_the_token_every_route_answers(guarded):
    for method, path in ROUTES:
        assert call(guarded, method, path, authorization=f"Bearer {TOKEN}").status != 401, path


def test_health_needs_no_token(guarded):
    assert call(guarded, "GET", "/healthz").status == 200
    assert call(guarded, "GET", "/readyz").status in (200, 503)


def test_a_browser_signs_in_and_out_with_a_cookie_that_is_not_the_token(guarded):
    asked = call(guarded, "GET", "/docs", accept="text/html,*/*")
    assert (asked.status, asked.headers["location"]) == (303, "/login")
    page = call(guarded, "GET", "/login")
    assert b"<form" in page.body
    assert page.headers["referrer-policy"] == "same-origin"  # with none, browsers send the form's origin as null
    form = {"content_type": "application/x-www-form-urlencoded"}
    wrong = call(guarded, "POST", "/login", b"token=wrong", **form)
    assert wrong.status == 401
    assert "set-cookie" not in wrong.headers
    right = call(guarded, "POST", "/login", f"token={TOKEN}".replace(" ", "+").encode(), **form)
    assert (right.status, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    session = cookie.partition(";")[0]
    assert TOKEN not in cookie
    assert call(guarded, "GET", "/docs", cookie=f"a=b; {session}").status == 200
    out = call(guarded, "POST", "/logout", cookie=session)
    assert f"{COOKIE}=" in out.headers["set-cookie"]
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_the_form_takes_little(guarded):
    assert call(guarded, "POST", "/login", b"token=" + b"x" * 5000).error["status"] == 413


def test_a_session_ends():
    sessions = Sessions(TOKEN, 100)
    session = sessions.new()
    assert sessions.is_session(session)
    end, digest = session.split(".")
    assert 90 < int(end) - time.time() <= 100
    assert not sessions.is_session(f"{int(end) + 1}.{digest}")
    assert not Sessions(TOKEN, -1).is_session(Sessions(TOKEN, -1).new())
    assert not Sessions(TOKEN + "!", 100).is_session(session)
    for odd in ("", ".", "9", "9.", ".ü", "x.y", "٣.a"):
        assert not sessions.is_session(odd)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_session_lasts_as_long_whatever_the_systems_clock_is_set_to(monkeypatch, jump):
    sessions = Sessions(TOKEN, 100)
    session, real, monotonic = sessions.new(), time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert sessions.is_session(session)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 200)
    assert not sessions.is_session(session)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "127.8.8.8", "proxy.example"]
)
def test_this_machine_is_known_by_its_names(app_of, host):
    assert call(app_of(allowed_hosts=("proxy.example",)), "GET", "/healthz", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "[::2]", "8.8.8.8"]
)
def test_another_name_is_refused_so_that_no_name_server_leads_a_page_here(app, host):
    assert call(app, "GET", "/v1/models", host=host).error["status"] == 400
    assert asyncio.run(connect(app, "/_nicegui_ws/", host=host))[0]["type"] == "websocket.close"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "file://"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
def test_what_another_site_makes_a_browser_send_is_refused(app, headers):
    assert call(app, "POST", "/v1/models/text/predict", {"rows": ["good"]}, **headers).error["status"] == 403
    assert call(app, "GET", "/v1/models", **headers).error["status"] == 403
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    assert asyncio.run(connect(app, "/_nicegui_ws/", **named))[0]["type"] == "websocket.close"


def test_a_link_of_another_site_may_lead_here_and_a_form_may_not(app):
    came = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert call(app, "GET", "/docs", **came).status == 200
    assert call(app, "POST", "/v1/models/text/predict", {"rows": ["good"]}, **came).error["status"] == 403


def test_a_session_holds_beside_malformed_cookies_of_others(guarded):
    session = Sessions(TOKEN, 100).new()
    assert call(guarded, "GET", "/docs", cookie=f'a[]="\x01; b@={{"c": 1}}; {COOKIE}={session}; ,').status == 200


@pytest.mark.parametrize(
    "headers", [{"origin": "http://127.0.0.1:8000"}, {"sec_fetch_site": "same-origin"}, {}], ids=str
)
def test_its_own_pages_and_programs_may_ask(app, headers):
    assert call(app, "POST", "/v1/models/text/predict", {"rows": ["good"]}, **headers).status == 200


def test_no_other_origin_is_allowed_to_read(app):
    answer = call(app, "OPTIONS", "/v1/models/text/predict", origin="http://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"host": "0.0.0.0"}, "expected a token beside --host 0.0.0.0"),
        ({"host": "example.org"}, "expected a token beside"),
        ({"host": "::"}, "expected a token beside"),
        ({"token": "short"}, "expected a token of at least 16 characters, got 5"),
        ({"port": 70_000}, "expected a port up to 65535"),
        ({"rows": 0}, "expected rows to be above 0, got 0"),
        ({"timeout": float("nan")}, "expected timeout to be above 0"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        Settings(**options)


def test_the_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BILSTM_TOKEN", f" {TOKEN}\n")
    assert read_token(None) == TOKEN
    (tmp_path / "token").write_text("another token of a file\n")
    assert read_token(tmp_path / "token") == "another token of a file"
    (tmp_path / "empty").write_text("\n")
    for name in ("empty", "missing", "."):
        with pytest.raises(ParameterError, match=r"holds no token|cannot be read"):
            read_token(tmp_path / name)
    monkeypatch.delenv("BILSTM_TOKEN")
    assert read_token(None) is None
