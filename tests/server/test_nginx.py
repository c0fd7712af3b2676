"""The configuration of nginx that the documentation shows, run as it stands but for its places."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server.test_page import serving

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed, which makes the certificate"),
]
DOCUMENTED = re.search(
    r"^```nginx\n(.*?)^```", (Path(__file__).parents[2] / "docs/serving.md").read_text(), re.MULTILINE | re.DOTALL
)[1]
AROUND = """
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ }}
http {{
access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{server}
}}
"""
TRUSTING = ssl._create_unverified_context()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def nginx(folder, upstream, changes=()):
    """nginx as documented, in front of a server; gives its port."""
    key, certificate, port = folder / "key", folder / "certificate", free_port()
    subject = ["-subj", "/CN=shop.example", "-days", "2", "-keyout", key, "-out", certificate]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    places = {"127.0.0.1:8000": upstream, "443": str(port), "/etc/ssl/shop.example.pem": str(certificate)}
    server = DOCUMENTED
    for old, new in {**places, "/etc/ssl/shop.example.key": str(key), **dict(changes)}.items():
        assert old in server, old
        server = server.replace(old, new, 1)
    user = "user root;" if os.geteuid() == 0 else ""  # else workers are of another user, for whom the folder is closed
    (folder / "conf").write_text(AROUND.format(folder=folder, server=server, user=user))
    with subprocess.Popen([NGINX, "-p", folder, "-c", folder / "conf"], stderr=subprocess.PIPE, text=True) as process:
        try:
            until_listening(process, port)
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=30)


def until_listening(process, port):
    for _ in range(300):
        assert process.poll() is None, process.stderr.read()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nginx does not listen")


def ask(port, path, body=None, **headers):
    """Status, headers and body of what nginx answers; redirects are not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments):
            return None

    named = {"Host": f"shop.example:{port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", body, named)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=TRUSTING), Stay)
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def check_all(port):
    page = {"Origin": f"https://shop.example:{port}", "Content_Type": "application/json"}
    body = json.dumps({"rows": ["so good"]}).encode()
    status, _, answer = ask(port, "/ml/v1/models/text/predict", body, **page)
    assert (status, list(json.loads(answer))) == (200, ["predictions"])
    evil = page | {"Origin": "https://evil.example"}
    assert ask(port, "/ml/v1/models/text/predict", body, **evil)[0] == 403
    assert ask(port, "/ml/readyz")[0] == 200
    assert json.loads(ask(port, "/ml/openapi.json")[2])["servers"] == [{"url": "/ml"}]
    status, _, answer = ask(port, "/ml/v1/models/text/predict", b" " * 6_000_000, **page)
    assert (status, json.loads(answer)["error"]["status"]) == (413, 413)  # the server's own, which nginx passes on
    for part in re.findall(rb'(?:src|href)="(docs/[^"]+)"', ask(port, "/ml/docs")[2]):
        assert ask(port, f"/ml/{part.decode()}")[0] == 200


@pytest.fixture
def file(paths):
    return paths["text"]


@pytest.mark.parametrize("changes", [{}, {"http://bilstm;": "http://bilstm/;"}], ids=["kept", "stripped"])
def test_the_documented_nginx_serves_it_below_a_prefix_kept_or_stripped(file, tmp_path, changes):
    options = ("--root-path", "/ml", "--allow-host", "shop.example", "--max-body", "5000000")
    with serving(file, *options) as address, nginx(tmp_path, address().removeprefix("http://"), changes) as port:
        check_all(port)
        status, _, page = ask(port, "/ml/")
        assert status == 200
        for part in re.findall(rb'src="(/[^"]+)"', page):
            assert part.startswith(b"/ml/")
            assert ask(port, part.decode())[0] == 200, part
        assert websocket_opens(port)


def test_the_documented_nginx_serves_it_through_a_unix_socket_and_told_prefix(file, tmp_path):
    path = f"{tmp_path}/socket"
    options = ("--uds", path, "--allow-host", "shop.example", "--max-body", "5000000", "--no-page")
    told = {"proxy_http_version": "proxy_set_header X-Forwarded-Prefix /ml; proxy_http_version"}
    with serving(file, *options) as address:
        assert address(rf"unix:{path}") == f"unix:{path}"
        with nginx(tmp_path, f"unix:{path}", told | {"http://bilstm;": "http://bilstm/;"}) as port:
            check_all(port)
    assert not os.path.exists(path)


@pytest.mark.parametrize("host", ["$host", "$host:$server_port", "$proxy_host", "localhost"])
def test_pages_may_ask_whatever_host_nginx_sends(file, tmp_path, host):
    options = ("--allow-host", "shop.example", "--allow-host", "bilstm", "--root-path", "/ml", "--no-page")
    changes = {"$http_host": host}
    with serving(file, *options) as address, nginx(tmp_path, address().removeprefix("http://"), changes) as port:
        page = {"Origin": f"https://shop.example:{port}", "Content_Type": "application/json"}
        assert ask(port, "/ml/v1/models/text/predict", b'{"rows": ["so good"]}', **page)[0] == 200


def websocket_opens(port):
    """Whether the page's websocket opens through nginx, for a page of its own."""
    head = (
        f"GET /ml/_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: shop.example:{port}\r\n"
        f"Origin: https://shop.example:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with TRUSTING.wrap_socket(plain, server_hostname="shop.example") as connection:
        connection.sendall(head.encode())
        return connection.recv(100).startswith(b"HTTP/1.1 101")
