"""The command line in a process of its own, for tests that stop it; and waiting for what it says."""

from __future__ import annotations

import subprocess
import sys

RUN = "from bilstm.cli import main; main()"
# A signal from outside comes when the machine has time for it, on a busy one after the process has ended.
STOPPING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started deaf to it
words, number = sys.argv.pop(1), int(sys.argv.pop(1))
write = sys.stderr.write

def write_and_stop(text):
    write(text)
    if words in text:
        sys.stderr.flush()
        os.kill(os.getpid(), number)

sys.stderr.write = write_and_stop
"""


def start(folder, *arguments, before=""):
    """`bilstm` with these words, in a folder, after some lines of Python; its stdout and stderr are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", before + RUN, *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stopped(folder, *arguments, after, by):
    """`bilstm` stopped by a signal as soon as it has said these words: its exit status, and what it said on stderr."""
    process = start(folder, after, str(int(by)), *arguments, before=STOPPING)
    _, err = process.communicate(timeout=120)
    assert after in err
    return process.returncode, err


def wait_for(process, words):
    """Read stderr up to the line that holds these words; an assertion fails where the process ends without it."""
    told = []
    for line in process.stderr:
        told.append(line)
        if words in line:
            return
    raise AssertionError(f"ended before it said {words!r}: {''.join(told)}")
