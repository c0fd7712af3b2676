"""SIGTERM ends the server with status 0 in time, whatever it does just then; a file that blocks keeps no other back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.processes import start, wait_for
from tests.server.test_serve import Running
from tests.sounds import file_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")]
IN_TIME = 25  # seconds: the 20 for requests and what else there is to end, on a machine that others use too
HEAD = b"POST /v1/models/%s/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
HANGING = """
import time
from bilstm.server import models
load = models.load
models.load = lambda path: {when} and load(path)
"""


def recording(seconds):
    draw = np.random.default_rng(0)
    return file_of(draw.normal(0, 0.1, 16_000 * seconds).astype(np.float32), 16_000)


def hold(connections, port, data):
    connections.append(socket.create_connection(("127.0.0.1", port), timeout=60))
    connections[-1].sendall(data)


def busy(connections, port):
    sound = recording(90)
    for _ in range(6):
        hold(connections, port, HEAD % (b"digits", b"audio/wav", len(sound)) + sound)


def uploading(connections, port):
    hold(connections, port, HEAD % (b"digits", b"audio/wav", 10**6) + b"RIFF" * 100)
    connections.append(socket.create_connection(("127.0.0.1", port), timeout=60))

    def trickle():
        with contextlib.suppress(OSError):
            connections[-1].sendall(HEAD % (b"text", b"application/json", 10**6))
            while True:
                connections[-1].sendall(b" ")
                time.sleep(0.1)

    threading.Thread(target=trickle, daemon=True).start()


def refused(connections, port):
    hold(connections, port, HEAD % (b"text", b"application/json", 10**9) + b" " * 1000)


def idle(connections, port):
    hold(connections, port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    hold(connections, port, b"GET /healthz HTTP/1.1\r\nHost: loc")
    hold(connections, port, b"")
    hold(connections, port, b"\r\n")


def unread(connections, port):
    rows = json.dumps({"rows": ["so good"] * 1000}).encode()
    one = HEAD % (b"text", b"application/json", len(rows)) + rows
    connections.append(socket.socket())
    connections[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connections[-1].connect(("127.0.0.1", port))
    connections[-1].settimeout(2)
    with contextlib.suppress(TimeoutError):
        connections[-1].sendall(one * 40)


@pytest.fixture
def connections():
    """What a test has connected; closed at its end."""
    opened = []
    yield opened
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("state", [busy, uploading, refused, idle, unread])
def test_asked_to_end_it_ends_with_0_in_time_whatever_its_callers_do(paths, state, connections):
    server = Running(paths["digits"], paths["text"], "--port", 0)
    try:
        state(connections, server.port)
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(IN_TIME) == 0
    finally:
        server.close()


def test_what_cannot_be_answered_until_the_end_is_told_so(paths, connections):
    slow = "import time\nfrom bilstm.server.worker import Worker\nWorker._outcomes = lambda *_: time.sleep(600)\n"
    with served(slow, paths["text"], "--no-page") as (process, port):
        hold(connections, port, HEAD % (b"text", b"application/json", 16) + b'{"rows": ["ab"]}')
        time.sleep(1)
        process.terminate()
        assert process.wait(IN_TIME) == 0
        answer = connections[0].recv(10_000)
    assert answer.startswith(b"HTTP/1.1 503")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["status"] == 503


@contextlib.contextmanager
def served(before, *arguments):
    """A server after some lines of Python, and its port; without the page."""
    process = start(".", "serve", "--port", "0", *map(str, arguments), before=before + "\n")
    try:
        line = next(line for line in process.stderr if "http://" in line)
        yield process, int(line.split("127.0.0.1:")[1].split()[0])
    finally:
        process.kill()
        process.communicate()


def test_a_page_with_its_websocket_and_one_that_polls_keep_nothing_from_ending(paths, connections):
    upgrade = (
        b"GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with served("", paths["text"]) as (process, port):
        hold(connections, port, upgrade)
        assert connections[0].recv(12) == b"HTTP/1.1 101"
        poll = b"GET /_nicegui_ws/socket.io/?EIO=4&transport=polling%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        hold(connections, port, poll % b"")
        answer = b""
        while b"upgrades" not in answer:
            answer += connections[1].recv(10_000)
        session = re.search(rb'"sid":"([^"]+)"', answer)[1]
        hold(connections, port, poll % (b"&sid=" + session))
        time.sleep(1)
        process.terminate()
        assert process.wait(IN_TIME) == 0


def test_a_log_that_nobody_reads_keeps_nothing_from_ending(paths):
    server = Running(paths["text"], "--port", 0)
    server.close()
    command = [sys.executable, "-m", "bilstm.cli", "serve", paths["text"], "--port", str(server.port)]
    with subprocess.Popen([*command, "--no-page", "--access-log"], stderr=subprocess.PIPE, text=True) as process:
        assert "http://" in process.stderr.readline()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection,
        ):
            for _ in range(4000):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(10_000)
        process.terminate()
        assert process.wait(IN_TIME) == 0


@pytest.mark.parametrize("what", ["pipe", "share"])
def test_a_file_that_blocks_keeps_neither_other_models_nor_the_end_waiting(paths, tmp_path, what):
    files = [tmp_path / "a.bilstm", tmp_path / "b.bilstm"]
    for file in files:
        shutil.copy(paths["text"], file)
    before = HANGING.format(
        when='(time.sleep(600 if path.name == "a.bilstm" and path.stat().st_size == 5 else 0) or 1)'
    )
    with served(before, *files, "--no-page") as (process, _):
        if what == "pipe":
            os.mkfifo(tmp_path / "new")
        else:
            (tmp_path / "new").write_bytes(b"short")
        os.replace(tmp_path / "new", files[0])
        if what == "pipe":
            wait_for(process, "model a stays as it was: expected a model file, got a pipe or a device")
        time.sleep(2)
        for _ in range(2):
            shutil.copy(paths["names"], tmp_path / "new")
            os.replace(tmp_path / "new", files[1])
            wait_for(process, "model b was loaded anew")
        process.send_signal(signal.SIGHUP)
        wait_for(process, "model b was loaded anew")
        if what == "pipe":
            shutil.copy(paths["names"], tmp_path / "new")
            os.replace(tmp_path / "new", files[0])
            wait_for(process, "model a was loaded anew")
        process.terminate()
        assert process.wait(IN_TIME) == 0


IMPORTING = """
import importlib, sys, time
importlib.import_module("bilstm.cli.serve").from_extra = lambda *_: print("now", file=sys.stderr) or time.sleep(600)
"""
LOADING = "import sys\n" + HANGING.format(when='print("now", file=sys.stderr) or time.sleep(600)')


@pytest.mark.parametrize("before", [IMPORTING, LOADING], ids=["importing", "loading"])
def test_while_it_starts_it_ends_at_once(paths, tmp_path, before):
    process = start(".", "serve", str(paths["text"]), "--uds", str(tmp_path / "socket"), before=before + "\n")
    wait_for(process, "now")
    process.terminate()
    assert process.wait(IN_TIME) == 0
    process.communicate()
    assert not (tmp_path / "socket").exists()


def test_a_unix_socket_of_a_killed_server_is_taken_over_and_that_of_a_running_one_is_not(paths, tmp_path, run):
    path = str(tmp_path / "socket")
    for is_first in (True, False):
        process = start(".", "serve", str(paths["text"]), "--uds", path, "--no-page")
        wait_for(process, f"at unix:{path} (no token")
        status, _, err = run("serve", paths["text"], "--uds", path)
        assert (status, err.startswith(f"error: cannot listen at {path}: Address already in use")) == (1, True)
        if is_first:
            process.kill()
            process.communicate()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
    process.terminate()
    assert process.wait(IN_TIME) == 0
    process.communicate()
    assert not os.path.exists(path)
