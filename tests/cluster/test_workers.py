"""Workers that train one model: what one process computes, in several. Started by torchrun, which is torch's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cluster import fits
from tests.compare import assert_close

ROOT = Path(__file__).parent.parent.parent
NOISE = 1e-4  # relative: Adam divides by small gradients, which lets sums in another order show


def torchrun(*arguments, count=2, cwd=ROOT):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two workers ended with."""
    folder = tmp_path_factory.mktemp("workers")
    done = torchrun(ROOT / "tests" / "cluster" / "fits.py", folder)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_there_were_two(found):
    assert [worker["workers"] for worker in found] == [2, 2]


@pytest.mark.parametrize("fit", fits.ALIKE, ids=lambda fit: fit.__name__)
def test_losses_gradients_and_metrics_are_those_of_one_process(fit, found):
    together, alone = found[0][fit.__name__], fits.told(fit())
    for name in fits.COLUMNS:
        assert_close(together["history"][name], alone["history"][name], rtol=NOISE, what=name)
    assert together["metrics"].keys() == alone["metrics"].keys()
    for name, value in alone["metrics"].items():
        assert_close(together["metrics"][name], value, rtol=10 * NOISE, atol=NOISE, what=name)


@pytest.mark.parametrize("name", [*(fit.__name__ for fit in fits.ALIKE), "dropping_tagger"])
def test_the_workers_end_with_one_model_bit_for_bit(name, found):
    a, b = (worker[name] for worker in found)
    assert a["weights"] == b["weights"]
    for column in fits.COLUMNS:
        assert_close(a["history"][column], b["history"][column], what=column)


def test_a_mean_over_workers_is_the_weighed_one_sent_or_in_shared_memory_and_the_same_bits_in_each(found):
    in_memory, sent = found[0]["averages"]
    assert found[1]["averages"] == found[0]["averages"]
    assert not sent["shared"]
    if Path("/dev/shm").is_dir():
        assert in_memory["shared"]
    assert in_memory["left"] == sent["left"] == []
    for way in (in_memory, sent):
        for turn, one in enumerate(way["turns"]):
            weights = [1.0 + rank + turn for rank in (0, 1)]
            expected = np.average([fits.held(turn, rank)[:-1].double() for rank in (0, 1)], axis=0, weights=weights)
            assert one["weight"] == sum(weights)
            assert_close(one["numbers"], expected, rtol=1e-6, atol=1e-6)


def test_every_worker_is_told_of_rows_that_are_ruled_out_and_they_do_not_count(found):
    alone = fits.ruled_out()
    assert alone["rows"] == [1, 3]
    for worker in found:
        assert worker["ruled_out"]["rows"] == [1, 3]
        assert_close(worker["ruled_out"]["loss"], alone["loss"], rtol=1e-6)


def test_where_one_worker_finds_no_number_all_stop_with_the_same_words(found):
    assert [worker["broken"] for worker in found] == [fits.broken()] * 2
    assert "expected a finite loss, got nan (epoch 1)" in found[0]["broken"]["error"]


def test_of_many_places_each_worker_reads_its_own_and_together_they_read_all(found):
    a, b = (worker["dealt"] for worker in found)
    assert sorted(a["seen"] + b["seen"]) == list(range(120))
    assert len(a["batches"]) == len(b["batches"])
    assert sum(a["batches"]) + sum(b["batches"]) == 120
    assert max(a["batches"] + b["batches"]) == 8  # half of the batch
    assert 0 in b["batches"]  # it has fewer places, and waits at the end
    assert a["model"]["weights"] == b["model"]["weights"]
    assert a["model"]["history"]["loss"][-1] < a["model"]["history"]["loss"][0]
