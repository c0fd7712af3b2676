"""Trials in a PostgreSQL server that the test starts: several processes, folders and kills, as in a file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from bilstm.errors import BilstmError, ParameterError
from tests.tune.test_stops import PATIENCE, child, go_on, shown, told_until

PROGRAMS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *map(Path, os.environ.get("PATH", "").split(":"))]
HOME = next((folder for folder in PROGRAMS if (folder / "initdb").exists()), None)

pytestmark = pytest.mark.skipif(HOME is None, reason="there is no PostgreSQL server (Debian: apt install postgresql)")


def as_owner(*words):
    """A command as a user that the server accepts to run as: it refuses root."""
    if os.geteuid() != 0:
        return [*words]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def server():
    """The URL of a database that is made for these tests and goes with them."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path may have a hundred characters at most
    port = free_port()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    quiet = {"check": True, "capture_output": True, "cwd": "/", "timeout": PATIENCE}
    initdb = [HOME / "initdb", "-D", folder / "data", "-U", "tester", "--auth=trust", "--no-sync"]
    subprocess.run(as_owner(*initdb), **quiet)
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    words = ["-D", folder / "data", "-k", folder, "-p", str(port), *settings]
    process = subprocess.Popen(
        as_owner(HOME / "postgres", *words), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ready = [HOME / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "tester", "-d", "postgres"]
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.1)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # ends sessions too
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_database_holds_the_trials_of_several_machines_and_each_takes_up_its_own(server, tmp_path):
    """Folders stand for machines: a lock in one says nothing to the other."""
    process = child(tmp_path / "a", 4, server)
    assert len(told_until(process, 30)) == 30
    process.kill()
    process.communicate(timeout=PATIENCE)
    found = go_on(tmp_path / "b", 4, storage=server)
    assert [row.state for row in found.trials].count("unfinished") == 1, "a's trial is left alone"
    assert len(found.trials) == 4, "and counts"
    found = go_on(tmp_path / "a", 4, storage=server)
    assert all(row.state in ("finished", "stopped") for row in found.trials), "a takes it up"
    assert not list(tmp_path.glob("*/trials.journal"))
    whole = go_on(tmp_path / "file", 4)
    assert [row.params for row in found.trials] == [row.params for row in whole.trials]
    assert shown(found)[0] == shown(whole)[0]
    assert len(go_on(tmp_path / "b", 1, storage=server, restart=True).trials) == 1


def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path):
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    with pytest.raises(BilstmError, match="cannot use the database postgresql") as caught:
        go_on(tmp_path, 1, storage=url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("url", "message"), [("trials", "as its URL"), ("nothing://x", "cannot use the database")])
def test_what_is_no_database_is_refused(tmp_path, url, message):
    with pytest.raises((ParameterError, BilstmError), match=message):
        go_on(tmp_path, 1, storage=url)
