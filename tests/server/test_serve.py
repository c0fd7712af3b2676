"""The command in a process of its own: signals, kills, replaced files, and connections that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from bilstm.server.models import Models
from tests.server.conftest import TOKEN

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


class Running:
    """A server in a process of its own."""

    def __init__(self, *arguments):
        command = [
            sys.executable,
            "-m",
            "bilstm.cli",
            "serve",
            "--no-page",
            "--threads",
            "1",
            *map(str, arguments),
        ]
        environment = {name: value for name, value in os.environ.items() if name != "BILSTM_TOKEN"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.line = self.process.stderr.readline()
        assert "http://" in self.line, self.line + self.process.stderr.read()
        self.port = int(self.line.split("http://127.0.0.1:")[1].split()[0])
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.until(lambda: self.get("/readyz") == 200)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def predict(self, name, rows):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/models/{name}/predict",
            json.dumps({"rows": rows}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["predictions"]

    def send(self, data, seconds=10):
        """What comes back on a connection of its own, until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            found = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65536):
                    found += part
            return found

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            assert self.process.poll() is None, self.lines
            time.sleep(0.02)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stderr.close()


@pytest.fixture
def running():
    made = []

    def start(*arguments):
        made.append(Running(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_asked_to_end_it_answers_what_it_has_accepted_and_ends_with_0(running, paths):
    server = running(paths["text"], "--port", 0)
    answered, refused = [], []

    def ask():
        while True:
            try:
                answered.append(server.predict("text", ["good"] * 50))
            except urllib.error.HTTPError as error:
                refused.append(error.code)
            except urllib.error.URLError as error:
                refused.append(type(error.reason).__name__)
                return
            except (ConnectionError, OSError) as error:  # accepted and not answered
                refused.append(type(error).__name__)
                return

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    server.until(lambda: len(answered) > 40)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    for thread in threads:
        thread.join(30)
    assert all(len(predictions) == 50 for predictions in answered)
    assert set(refused) <= {"ConnectionRefusedError", "ConnectionResetError"}, refused
    assert server.get("/healthz") is None


def test_killed_it_can_be_started_again_at_once_on_the_same_port(running, paths):
    server = running(paths["text"], "--port", 0)
    connection = socket.create_connection(("127.0.0.1", server.port))  # still open when it dies
    before = server.predict("text", ["so good"])
    server.process.kill()
    server.process.wait()
    again = running(paths["text"], "--port", server.port)
    assert again.predict("text", ["so good"]) == before
    connection.close()


def test_it_loads_models_anew_on_sighup_and_when_files_are_replaced(running, paths, tmp_path):
    file = tmp_path / "m.bilstm"
    shutil.copy(paths["text"], file)
    server = running(file, "--port", 0)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: any("was loaded anew" in line for line in server.lines))
    shutil.copy(paths["names"], tmp_path / "new")
    os.replace(tmp_path / "new", file)
    server.until(lambda: "tags" in server.predict("m", ["Ann"])[0])


def test_connections_that_mean_no_good_are_closed(running, paths):
    server = running(paths["text"], "--port", 0, "--max-body", 1000)
    assert server.send(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request")
    many = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(40))
    assert server.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431")
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000
    assert server.send(endless).startswith(b"HTTP/1.1 431")
    described = json.loads(
        server.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").partition(
            b"\r\n\r\n"
        )[2]
    )
    for operations in described["paths"].values():
        for name, operation in operations.items():
            if name != "parameters":
                assert {"400", "408", "413", "431", "503", "504"} <= operation["responses"].keys()
    head = b"POST /v1/models/text/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    waiting = head + b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n"
    assert server.send(waiting).startswith(b"HTTP/1.1 413")
    for size, told in ((2**25, b"Content-Length: %d" % 2**25), (2**25, b"Transfer-Encoding: chunked")):
        body = b" " * size if b"Length" in told else b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(head + told + b"\r\n\r\n" + body)  # all of it, as most clients do before they read
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 2**23)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
    chunks = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b" " * 1024 + b"\r\n"
    found = server.send(chunks)
    assert found.startswith(b"HTTP/1.1 413")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["status"] == 413
    assert server.get("/healthz") == 200


def test_a_head_that_comes_too_slowly_is_given_up(paths):
    code = (
        "import sys; from bilstm.server import settings\n"
        "settings.Settings.__init__.__kwdefaults__['head_timeout'] = 0.2\n"
        "from bilstm.cli import main; main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", str(paths["text"]), "--port", "0", "--no-page"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(process.stderr.readline().split("127.0.0.1:")[1].split()[0])
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(begun)
                assert connection.recv(100).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as kept:
            for pause in (0, 1):  # an idle connection has longer than a head
                time.sleep(pause)
                kept.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n")
                assert kept.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--host", "0.0.0.0"], "error: expected a token beside --host 0.0.0.0"),
        (["--token-file", "missing"], "error: The token cannot be read from missing"),
        (["--batch", "0"], "error: expected batch to be above 0, got 0"),
    ],
)
def test_a_wrong_call_ends_with_2_and_a_hint(run, paths, monkeypatch, arguments, message):
    monkeypatch.delenv("BILSTM_TOKEN", raising=False)
    status, out, err = run("serve", paths["text"], *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)


def test_a_server_that_cannot_start_ends_with_1_and_says_why(run, paths, monkeypatch):
    async def fail(models):
        raise ZeroDivisionError("no way")

    monkeypatch.setattr(Models, "warm_up", fail)
    status, _, err = run("serve", paths["text"], "--port", 0, "--no-page")
    assert status == 1
    assert err.startswith("error: expected a server that starts, got an error on its way (ZeroDivisionError: no way)")


def test_a_port_comes_from_the_environment_and_the_option_is_before_it(run, paths, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        assert f"127.0.0.1:{taken.getsockname()[1]}: Address" in run("serve", paths["text"])[2]
        port = other.getsockname()[1]
        assert f"127.0.0.1:{port}: Address" in run("serve", paths["text"], "--port", port)[2]
    monkeypatch.setenv("PORT", "tcp://10.0.0.1:80")
    assert run("serve", paths["text"])[0] == 2


def test_a_unix_socket_that_cannot_be_had_ends_with_1(run, paths, tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "missing" / "socket", tmp_path / ("x" * 200)):
        status, _, err = run("serve", paths["text"], "--uds", path)
        assert (status, err.startswith(f"error: cannot listen at {path}: ")) == (1, True), err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_model_or_a_port_that_cannot_be_had_ends_with_1(run, paths):
    status, _, err = run("serve", "missing.bilstm", "--port", 0)
    assert status == 1
    assert "missing.bilstm" in err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, err = run("serve", paths["text"], "--port", taken.getsockname()[1])
    assert status == 1
    assert err.startswith("error: cannot listen at 127.0.0.1:")
    assert TOKEN not in err
