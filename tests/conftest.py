"""What several test files need: the command line as a function."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import settings

from bilstm.cli import main

# A machine that others use too takes as long as it takes: timings are no matter of tests. The same examples in every
# run, and no file that remembers them, unless BILSTM_EXAMPLES asks for new ones.
settings.register_profile("patient", deadline=None, derandomize="BILSTM_EXAMPLES" not in os.environ, database=None)
settings.load_profile("patient")


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder; returns status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments):
        try:
            main([str(a) for a in arguments])
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run_command


@pytest.fixture
def typed(monkeypatch):
    """Give the command bytes on stdin."""
    return lambda data: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
