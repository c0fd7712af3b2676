"""Behind proxies, below prefixes, and mounted in another application: what callers and their browsers see."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from bilstm.errors import ParameterError
from bilstm.server.access import COOKIE
from bilstm.server.app import create_app
from bilstm.server.settings import Settings, place_of
from tests.server.asgi import acall, call, connect
from tests.server.conftest import TOKEN

TEXT = "/v1/models/text/predict"
ROWS = {"rows": ["so good"]}


def ask(app, host, origin, **headers):
    return call(app, "POST", TEXT, ROWS, host=host, origin=origin, **headers)


# --- who the page is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host, origin",
    [
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("localhost", "https://localhost:443"),
        ("LocalHost:8000", "http://localhost:8000"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_the_host_by_what_it_means_and_not_by_its_letters(app, host, origin):
    assert ask(app, host, origin).status == 200


@pytest.mark.parametrize(
    "host, origin",
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8001"),
        ("localhost", "http://localhost:443"),
        ("localhost", "http://127.0.0.1"),
        ("localhost", "http://user@localhost.evil.example"),
        ("localhost", "http://[::"),
        ("localhost", "http://localhost:99999"),
        ("localhost", "chrome-extension://localhost"),
    ],
)
def test_an_origin_of_another_port_or_name_is_refused(app, host, origin):
    assert ask(app, host, origin).error["status"] == 403


@pytest.mark.parametrize(
    "allowed, origin, status",
    [
        ("models.example", "https://models.example", 200),
        ("models.example", "https://models.example:9443", 200),
        ("Models.Example.", "https://models.example", 200),
        ("models.example:9443", "https://models.example:9443", 200),
        ("models.example:443", "https://models.example", 200),
        ("models.example:9443", "https://models.example", 403),
        ("bücher.example", "https://xn--bcher-kva.example", 200),
        ("models.example", "https://models.example.evil.example", 403),
        ("models.example", "https://sub.models.example", 403),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost"])
def test_pages_of_allowed_hosts_may_ask_whatever_host_the_proxy_sends(app_of, allowed, origin, status, host):
    app = app_of(allowed_hosts=(allowed,))
    assert ask(app, host, origin).status == status
    came = asyncio.run(connect(app, "/_nicegui_ws/", host=host, origin=origin))
    assert ("own pages" in came[0].get("reason", "")) == (status == 403)


def test_a_refused_page_behind_a_proxy_is_told_the_way_out(app):
    assert "--allow-host shop.example:8443" in ask(app, "127.0.0.1", "https://shop.example:8443").error["hint"]


def test_a_page_without_tls_may_not_ask_what_is_served_with_it(app):
    secure = {"x_forwarded_proto": "https"}
    assert ask(app, "localhost", "https://localhost", **secure).status == 200
    assert ask(app, "localhost", "http://localhost", **secure).error["status"] == 403


@pytest.mark.parametrize("host", ["https://shop.example", "shop.example/ml", "", "a b", "x@y", "shop.example:port"])
def test_a_host_that_is_none_is_refused_at_the_start(host):
    with pytest.raises(ParameterError, match="expected the name of a host, got"):
        Settings(allowed_hosts=(host,))


@given(st.text(max_size=30))
def test_any_host_is_read_or_is_none(host):
    place = place_of(host)
    assert place is None or (place[0] and place_of(place[0]) == (place[0], None))


# --- what proxies say ------------------------------------------------------------------------------------------


def test_a_host_that_a_trusted_proxy_tells_is_heard_and_held_to_the_same_names(app_of):
    app = app_of(allowed_hosts=("shop.example",))
    told = {"x_forwarded_host": "shop.example", "x_forwarded_port": "8443"}
    assert ask(app, "127.0.0.1", "https://shop.example:8443", **told).status == 200
    evil = {"x_forwarded_host": "evil.example"}
    assert ask(app, "127.0.0.1", "https://evil.example", **evil).error["status"] == 400


def test_a_port_that_a_trusted_proxy_tells_belongs_to_the_host(app):
    assert ask(app, "localhost", "https://localhost:8443", x_forwarded_port="8443").status == 200
    assert ask(app, "localhost", "https://localhost:8443").error["status"] == 403


def test_what_others_than_trusted_proxies_say_is_not_heard(app_of, capsys):
    app = app_of(forwarded_allow_ips="10.0.0.0/8", access_log=True)
    told = {"x_forwarded_prefix": "/ml", "x_forwarded_for": "6.6.6.6", "x_forwarded_port": "9"}
    assert call(app, "GET", "/", **told).headers["location"] == "/docs"
    assert ask(app, "localhost", "http://localhost:9", **told).error["status"] == 403
    assert "6.6.6.6" not in capsys.readouterr().err
    app = app_of(forwarded_allow_ips="10.0.0.0/8, 127.0.0.1", access_log=True)
    assert call(app, "GET", "/", **told).headers["location"] == "/ml/docs"
    assert "6.6.6.6" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", '/"><script>', "ml", "/ml?x", "/ml//x"])
def test_a_prefix_that_is_no_path_is_not_heard(app, prefix):
    assert call(app, "GET", "/", x_forwarded_prefix=prefix).headers["location"] == "/docs"


@pytest.mark.parametrize("addresses", ["nginx", "10.0.0.1/8", "127.0.0.1,;"])
def test_addresses_of_proxies_that_are_none_are_refused_at_the_start(addresses):
    with pytest.raises(ParameterError, match="expected the address of a proxy, got"):
        Settings(forwarded_allow_ips=addresses)


def test_a_sign_in_over_tls_is_kept_for_tls_and_for_the_prefix(app_of):
    app = app_of(token=TOKEN, root_path="/ml")
    form = {"content_type": "application/x-www-form-urlencoded", "x_forwarded_proto": "https"}
    answer = call(app, "POST", "/login", f"token={TOKEN}".encode(), **form)
    assert (answer.status, answer.headers["location"]) == (303, "/ml/")
    assert {"Secure", "Path=/ml"} <= set(answer.headers["set-cookie"].split("; "))
    session = answer.headers["set-cookie"].partition(";")[0]
    assert call(app, "GET", "/ml/docs", cookie=session).status == 200
    out = call(app, "POST", "/logout", cookie=session)
    assert out.headers["location"] == "/ml/login"
    assert {f'{COOKIE}=""', "Path=/ml"} <= set(out.headers["set-cookie"].split("; "))


# --- below a prefix --------------------------------------------------------------------------------------------


def below(app_of, how, **options):
    """An application below /ml, and what stands before its paths as it gets them."""
    if how == "mounted":
        return Starlette(routes=[Mount("/ml", app_of(**options))]), "/ml"
    return app_of(root_path="/ml/", **options), "/ml" if how == "kept" else ""


@pytest.mark.parametrize("how", ["stripped", "kept", "mounted"])
def test_below_a_prefix_all_is_as_without_and_every_address_has_the_prefix(app_of, how):
    app, before = below(app_of, how, token=TOKEN, body=1000)
    known = {"authorization": f"Bearer {TOKEN}"}
    for probe in ("/healthz", "/readyz"):
        assert call(app, "GET", before + probe).status == 200
    visit = call(app, "GET", f"{before}/", accept="text/html")
    assert (visit.status, visit.headers["location"]) == (303, "/ml/login")
    assert call(app, "GET", f"{before}/", **known).headers["location"] == "/ml/docs"
    assert call(app, "GET", f"{before}/docs/", **known).headers["location"] == "/ml/docs"
    assert call(app, "POST", before + TEXT, {"rows": ["x" * 2000]}, **known).error["status"] == 413
    assert call(app, "POST", before + TEXT, ROWS, **known).status == 200
    assert call(app, "GET", before + "/v1/nothing", **known).error["status"] == 404
    assert call(app, "GET", before + "/openapi.json", **known).json["servers"] == [{"url": "/ml"}]
    assert call(app, "GET", before + "/v1/models/text", **known).json["predict"] == f"/ml{TEXT}"
    assert call(app, "GET", before + "/docs", **known).headers["content-security-policy"].startswith("default-src 'no")
    told = call(app, "GET", before + "/metrics", **known).body.decode()
    assert 'bilstm_requests_total{method="GET",route="/healthz",status="200"} 1.0' in told


def test_requests_below_a_prefix_are_limited_in_number(app_of):
    app, before = below(app_of, "mounted", requests=1)

    async def ask_twice():
        async def slow(scope, receive, send):
            async def later():
                await asyncio.sleep(0.2)
                return await receive()

            await app(scope, later, send)

        first = asyncio.create_task(acall(slow, "POST", before + TEXT, ROWS))
        await asyncio.sleep(0.05)
        second = await acall(app, "POST", before + TEXT, ROWS)
        return (await first).status, second.error["status"]

    assert asyncio.run(ask_twice()) == (200, 429)


@pytest.mark.parametrize("path", ["", "/"])
def test_the_prefix_itself_is_the_start(app_of, path):
    assert call(app_of(root_path="ml"), "GET", f"/ml{path}").headers["location"] == "/ml/docs"


@pytest.mark.parametrize("path", ["/v1", "/docs/x", "/a b", "/ml?"])
def test_a_prefix_that_cannot_be_one_is_refused_at_the_start(path):
    with pytest.raises(ParameterError, match="expected a path to be served below, got"):
        Settings(root_path=path)


def test_a_program_that_mounts_it_runs_its_life(app_of):
    app = app_of()
    host = Starlette(routes=[Mount("/ml", app)], lifespan=lambda _: app.router.lifespan_context(app))

    async def life():
        async with host.router.lifespan_context(host):
            during = (await acall(host, "GET", "/ml/readyz")).status
        return during, (await acall(host, "GET", "/ml/readyz")).status

    assert asyncio.run(life()) == (200, 503)


def test_the_page_of_the_description_loads_its_parts_from_beside_it(models):
    app = create_app(models, Settings(page=False))
    parts = re.findall(r'(?:src|href)="([^"]+)"', call(app, "GET", "/docs").body.decode())
    start = call(app, "GET", "/docs/start.js").body.decode()
    assert not [part for part in [*parts, *re.findall(r"url: '([^']+)'", start)] if part.startswith("/")]


# --- bodies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP", "x-unknown"])
def test_a_compressed_body_is_refused_by_the_name_of_its_coding(app, coding):
    answer = call(app, "POST", TEXT, ROWS, content_encoding=coding)
    assert answer.error["status"] == 415
    assert coding.partition(",")[0].lower() in answer.error["message"]
    assert answer.headers["accept-encoding"] == "identity"


def test_a_body_that_says_it_is_as_it_is_is_taken(app):
    assert call(app, "POST", TEXT, ROWS, content_encoding="identity").status == 200


def test_what_answers_get_answers_head(app):
    for path in ("/", "/docs", "/healthz", "/readyz", "/v1/models", "/v1/models/text", "/openapi.json", "/metrics"):
        assert call(app, "HEAD", path).status == call(app, "GET", path).status, path
