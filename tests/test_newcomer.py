"""The five tasks from file to served prediction by README's lines: quickly, in the environment that is there.

`python tests/newcomer.py` does it all, from `git clone` on, in an empty one.
"""

from __future__ import annotations

import os
import sys

import pytest

from bilstm.cli.options import TASKS
from tests import newcomer
from tests.lines import run_line

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
README = newcomer.ROOT / "README.md"


def test_a_stranger_gets_from_files_to_served_predictions_by_the_lines_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines, serve, ask = newcomer.tasks(README.read_text())
    assert [line.split()[2] for line in lines if line.startswith("bilstm fit")] == list(TASKS)
    for line in lines:
        run_line(line)
    environment = {name: value for name, value in os.environ.items() if name != "BILSTM_TOKEN"}
    command = serve.replace("bilstm", f"{sys.executable} -m bilstm.cli", 1) + " --port 0 --threads 1"
    with newcomer.served(command, environment, tmp_path) as server:
        answers = newcomer.ask_all(server, tmp_path, ask)
    newcomer.check_answers(answers, tmp_path, learned=False)
    for line in README.read_text().splitlines():
        if line.startswith(("bilstm plot ", "bilstm xray ", "bilstm report ")):  # which stand behind the server
            run_line(line)


def test_a_figure_that_says_that_nothing_was_learned_stops_the_visit():
    newcomer.check_figures("bilstm evaluate houses.bilstm new_houses.csv", "rmse  2.9\nr2        0.85\n")
    with pytest.raises(AssertionError, match=r"r2 0\.2"):
        newcomer.check_figures("bilstm evaluate houses.bilstm new_houses.csv", "rmse  9.2\nr2        0.2\n")


def test_a_server_that_does_not_start_is_told_with_what_it_said(tmp_path):
    command = f"{sys.executable} -c \"import sys; sys.exit('no such model')\""
    with pytest.raises(AssertionError, match="no such model"):
        newcomer.Server(command, dict(os.environ), tmp_path)
