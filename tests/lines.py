"""Lines of a page as a reader types them, run in this process. Knows how words are cut and globs filled in."""

from __future__ import annotations

import glob
import shlex

from bilstm.cli import main


def run_line(line, *, epochs=2):
    """Run a line that begins with `bilstm`, if it is one and no comment; a fit for a few epochs only.

    Raises:
        AssertionError: it is another command, or ends with a status that is not 0.
    """
    words = [part for word in shlex.split(line, comments=True) for part in sorted(glob.glob(word)) or [word]]
    if not words:
        return
    assert words[0] == "bilstm", line
    quick = ["--max-epochs", str(epochs)] if words[1] == "fit" else []
    status = None
    try:
        main([*words[1:], *quick])
    except SystemExit as stop:
        status = stop.code
    assert not status, f"{line}: status {status}"
