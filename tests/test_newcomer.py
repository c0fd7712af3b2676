"""The five tasks from file to served prediction by README's lines: quickly, in the environment that is there.

`python tests/newcomer.py` does it all, from `git clone` on, in an empty one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import newcomer
from tests.lines import run_line

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
README = newcomer.ROOT / "README.md"
# what README's part on the five tasks is to say; used as long as it does not say it itself
STAND_IN = """
```sh
bilstm demo data -o .                                    # small files to try the lines below with
```
```sh
bilstm fit regressor houses.csv --target medv -o houses.bilstm
bilstm evaluate houses.bilstm new_houses.csv
bilstm predict houses.bilstm new_houses.csv -o prices.csv
bilstm fit classifier reviews.csv --text review --target stars -o reviews.bilstm
bilstm evaluate reviews.bilstm new_reviews.csv
bilstm predict reviews.bilstm new_reviews.csv -o labelled.csv
bilstm fit tagger train.conll --valid dev.conll -o names.bilstm
bilstm evaluate names.bilstm dev.conll
bilstm predict names.bilstm dev.conll -o tagged.conll
bilstm fit forecaster sunspots.csv --time year --target sunspots --history 33 --horizon 5 --season 11 -o sunspots.bilstm
bilstm evaluate sunspots.bilstm more_sunspots.csv
bilstm predict sunspots.bilstm
bilstm fit transcriber calls.csv -o calls.bilstm
bilstm evaluate calls.bilstm new_calls.csv
bilstm predict calls.bilstm calls/*.wav -o heard.csv
```
```text
bilstm serve houses.bilstm reviews.bilstm names.bilstm sunspots.bilstm calls.bilstm
curl -s localhost:8000/v1/models/reviews/predict -H 'Content-Type: application/json' -d '{"rows": ["not good at all"]}'
```
"""
TASKS = ("regressor", "classifier", "tagger", "forecaster", "transcriber")


def test_a_stranger_gets_from_files_to_served_predictions_by_the_lines_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = README.read_text()
    lines, serve, ask = newcomer.tasks(readme if newcomer.FOLDER in readme else STAND_IN)
    assert [line.split()[2] for line in lines if line.startswith("bilstm fit")] == list(TASKS)
    for line in lines:
        run_line(line)
    environment = {name: value for name, value in os.environ.items() if name != "BILSTM_TOKEN"}
    command = serve.replace("bilstm", f"{sys.executable} -m bilstm.cli", 1) + " --port 0 --threads 1"
    with newcomer.served(command, environment, tmp_path) as server:
        answers = newcomer.ask_all(server, tmp_path, ask)
    newcomer.check_answers(answers, tmp_path, learned=False)


def test_a_figure_that_says_that_nothing_was_learned_stops_the_visit():
    newcomer.check_figures("bilstm evaluate houses.bilstm new_houses.csv", "rmse  2.9\nr2        0.85\n")
    with pytest.raises(AssertionError, match=r"r2 0\.2"):
        newcomer.check_figures("bilstm evaluate houses.bilstm new_houses.csv", "rmse  9.2\nr2        0.2\n")


def test_a_server_that_does_not_start_is_told_with_what_it_said(tmp_path):
    command = f"{sys.executable} -c \"import sys; sys.exit('no such model')\""
    with pytest.raises(AssertionError, match="no such model"):
        newcomer.Server(command, dict(os.environ), Path(tmp_path))
