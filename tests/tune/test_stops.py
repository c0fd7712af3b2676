"""A search that is killed at any moment goes on where it was: nothing is lost but the epoch that was going on."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal._storage import JournalOperation

from bilstm import BiLSTMRegressor, boston
from bilstm.tune.sampling import MedianOfFinished
from bilstm.tune.search import tune
from bilstm.tune.space import Choices, Range
from bilstm.tune.storage import JOURNAL, Clock, Journal, acquired, participation, sole_access
from tests.compare import assert_close

SEARCH = {
    "hidden_size": Range(2, 6, whole=True),
    "learning_rate": Range(1e-3, 0.05, log=True),
    "num_layers": Choices((1,)),
    "batch_size": Choices((64,)),
}
# says every epoch of every fit, after its checkpoint is written
CHILD = """
import sys
from bilstm.tune import search
on_epoch = search._Progress.on_epoch
def told(self, seed, history):
    print("epoch", self.trial.number, seed, len(history), flush=True)
    on_epoch(self, seed, history)
search._Progress.on_epoch = told
from tests.tune.test_stops import go_on
go_on(sys.argv[1], int(sys.argv[2]), **({"storage": sys.argv[3]} if len(sys.argv) > 3 else {}))
"""
PATIENCE = 180  # seconds that a child may take for what takes it three on a quiet machine


def go_on(folder, trials, **options):
    """The search that all of these tests make, or what is left of it."""
    estimator = BiLSTMRegressor(max_epochs=10, dropout=0.0, random_state=3)
    return tune(estimator, boston().take(range(90)), trials=trials, search=SEARCH, seeds=2, folder=folder, **options)


def child(folder, trials, *storage):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(folder), str(trials), *storage]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def told_until(process, count):
    """The epochs that a child tells of, until there are so many or it ends."""
    told = []
    while len(told) < count and (line := process.stdout.readline()):
        told.append(tuple(map(int, line.split()[1:])))
    return told


def end(process):
    """Kill a child without warning; the epochs that it told of before."""
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=PATIENCE)
    return [tuple(map(int, line.split()[1:])) for line in out.splitlines() if re.fullmatch(r"epoch \d+ \d+ \d+", line)]


def events(folder):
    """What the journal holds of parameters, states and figures."""
    lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
    known = {JournalOperation.SET_TRIAL_PARAM: ("param_name", "param_value_internal")}
    known[JournalOperation.SET_TRIAL_STATE_VALUES] = ("state", "values")
    known[JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE] = ("step", "intermediate_value")
    found = [line for line in lines if line["op_code"] in known]
    return [(line["trial_id"], *(line[name] for name in known[line["op_code"]])) for line in found]


def shown(found):
    return [(row.number, row.state, row.value, row.epochs, row.params) for row in found.trials]


def test_a_search_killed_at_three_random_moments_ends_as_an_unbroken_one_and_repeats_no_epoch(tmp_path):
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown if the test fails
    draw, kills, trials = random.Random(seed), 3, 6
    whole = go_on(tmp_path / "unbroken", trials)
    epochs = sum(row.epochs for row in whole.trials)
    told = []
    for part in range(kills):
        process = child(tmp_path / "killed", trials)
        # a fifth is left over at least, for a child goes on until the signal comes
        told += told_until(process, draw.randrange(1, 4 * epochs // (5 * kills)))
        time.sleep(draw.uniform(0, 0.03))  # anywhere within an epoch, or between two trials
        told += end(process)
        assert process.returncode == -signal.SIGKILL, f"part {part} ended by itself"
    found = go_on(tmp_path / "killed", trials)

    assert shown(found) == shown(whole)
    assert found.best_params == whole.best_params
    assert events(tmp_path / "killed") == events(tmp_path / "unbroken"), "something was lost, or written twice"
    by_fit = defaultdict(list)
    for number, fit, epoch in told:
        by_fit[number, fit].append(epoch)
    for fit, seen in by_fit.items():
        assert seen == sorted(set(seen)), f"epochs of {fit} were done twice: {seen}"
    missed = sum(max(seen) - min(seen) + 1 - len(seen) for seen in by_fit.values())
    assert missed <= kills, "an epoch is only untold where the process died between its checkpoint and its word"


@pytest.mark.slow
def test_two_processes_share_a_search_and_none_takes_a_living_ones_trial(tmp_path):
    both = [child(tmp_path, 6) for _ in range(2)]
    outs = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    seen = [{line.split()[1] for line in out.splitlines()} for out, _ in outs]
    assert not seen[0] & seen[1], "both were at work on one trial"
    found = go_on(tmp_path, 6)
    assert [row.number for row in found.trials] == list(range(6))
    assert all(row.state in ("finished", "stopped") for row in found.trials)


def test_ctrl_c_leaves_a_trial_that_goes_on(tmp_path, monkeypatch):
    from bilstm.tune.search import _Progress

    on_epoch = _Progress.on_epoch

    def interrupt(self, seed, history):
        on_epoch(self, seed, history)
        if (self.trial.number, seed, len(history)) == (1, 1, 4):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Progress, "on_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            go_on(tmp_path / "a", 3)
    assert shown(go_on(tmp_path / "a", 3)) == shown(go_on(tmp_path / "b", 3))


@pytest.mark.parametrize("at", [7, 10, 17], ids=["in the first fit", "at its end", "in the second fit"])
def test_a_trial_that_dies_before_it_is_told_to_stop_has_the_epochs_of_one_that_was_told(tmp_path, monkeypatch, at):
    from bilstm.tune.search import _Progress

    on_epoch, is_worse = _Progress.on_epoch, lambda _, study, trial: (trial.number, trial.last_step) == (1, at)
    monkeypatch.setattr(MedianOfFinished, "prune", is_worse)

    def die(self, seed, history):
        on_epoch(self, seed, history)
        if (self.trial.number, 10 * seed + len(history)) == (1, at):
            raise KeyboardInterrupt  # the checkpoint is written, and nothing told

    with monkeypatch.context() as patch:
        patch.setattr(_Progress, "on_epoch", die)
        with pytest.raises(KeyboardInterrupt):
            go_on(tmp_path / "a", 2)
    found, whole = (shown(go_on(tmp_path / name, 2)) for name in "ab")
    assert found == whole
    assert [(row[1], row[3]) for row in whole] == [("finished", 20), ("stopped", at)]


# -- the parts that this rests on --------------------------------------------------------------------------------


def test_a_line_of_the_journal_that_was_cut_short_is_no_line(tmp_path):
    def study():
        return optuna.create_study(
            study_name="s", storage=JournalStorage(Journal(tmp_path / JOURNAL)), load_if_exists=True
        )

    study().tell(study().ask(), 1.0)
    whole = (tmp_path / JOURNAL).read_bytes()
    for cut in range(1, 40):
        (tmp_path / JOURNAL).write_bytes(whole + whole.splitlines()[-1][:cut])
        assert [trial.value for trial in study().trials] == [1.0]
        again = study()
        again.tell(again.ask(), 2.0)
        assert [trial.value for trial in study().trials] == [1.0, 2.0]
        (tmp_path / JOURNAL).write_bytes(whole)


def test_a_lock_is_free_when_its_owner_is_dead(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom bilstm.tune.storage import acquired\n"
    code += "own = acquired(Path(sys.argv[1])); print(own is not None, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "l"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    assert acquired(tmp_path / "l") is None
    process.kill()
    process.communicate()
    lock = acquired(tmp_path / "l")
    assert lock is not None
    lock.release()


def test_the_last_of_those_at_work_is_alone(tmp_path):
    with participation(tmp_path):
        with participation(tmp_path), sole_access(tmp_path) as is_alone:
            assert not is_alone
        with sole_access(tmp_path) as is_alone:
            assert not is_alone
    with sole_access(tmp_path) as is_alone:
        assert is_alone


def test_the_clock_counts_work_once_and_pauses_never(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first, second = Clock(tmp_path / "clock.json"), Clock(tmp_path / "clock.json")
    now[0] += 10
    assert_close(first.tick(), 10.0)
    now[0] += 5
    assert_close(second.tick(), 15.0)  # ten of its fifteen were counted by the other
    now[0] += 100  # nobody is at work: both were killed
    third = Clock(tmp_path / "clock.json")
    assert_close(third.seconds, 15.0)
    now[0] += 2
    assert_close(third.seconds, 17.0)
    now[0] -= 500  # the machine is started anew: its clock begins from nothing
    fourth = Clock(tmp_path / "clock.json")
    now[0] += 3
    assert_close(fourth.tick(), 18.0)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_setting_the_systems_clock_changes_no_budget(tmp_path, monkeypatch, jump):
    real = time.time
    first, second = Clock(tmp_path / "clock.json"), Clock(tmp_path / "clock.json")
    first.tick(now=True)
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert 0 <= first.tick(now=True) < 60
    assert 0 <= second.tick(now=True) < 60
    third = Clock(tmp_path / "clock.json")
    before = third.seconds
    time.sleep(0.01)
    assert before < third.seconds < 60  # the time goes on, too
