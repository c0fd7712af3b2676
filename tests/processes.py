"""The command line in a process of its own, for tests that stop it; and waiting for what it says."""

from __future__ import annotations

import subprocess
import sys


def start(folder, *arguments):
    """`bilstm` with these words, in a folder; its stdout and stderr are pipes."""
    code = "from bilstm.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_for(process, words):
    """Read stderr up to the line that holds these words; an assertion fails where the process ends without it."""
    told = []
    for line in process.stderr:
        told.append(line)
        if words in line:
            return
    raise AssertionError(f"ended before it said {words!r}: {''.join(told)}")
