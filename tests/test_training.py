"""The loop: it computes what plain PyTorch computes, stops when it should, and goes on where it was killed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from bilstm import BiLSTMClassifier, BiLSTMRegressor, boston
from bilstm.errors import ModelFileError, ParameterError, TrainingError
from bilstm.networks.network import Network
from bilstm.training.history import History
from tests.compare import assert_close
from tests.models import Killed, assert_same_model, die_and_go_on
from tests.processes import wait_for

SMALL = {"hidden_size": 8, "max_epochs": 6, "batch_size": 64}


class PlainNetwork(nn.Module):
    """The classic network as a tutorial writes it."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(13, 32, 4, bidirectional=True, batch_first=True)
        self.hidden = nn.Linear(64, 32)
        self.output = nn.Linear(32, 1)

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        return self.output(self.hidden(torch.cat([h_n[-2], h_n[-1]], dim=1).relu()).relu())


def test_the_classic_training_equals_plain_pytorch():
    data = boston()
    x = data.steps.to_numpy()
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)[:, None]
    y = data.target_values
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    model = BiLSTMRegressor(
        hidden_size=32, num_layers=4, dropout=0, learning_rate=0.001, schedule="constant", clip_norm=None,
        batch_size=None, max_epochs=1, validation_fraction=0,
    )  # fmt: skip
    first_weights = model.set_params(learning_rate=1e-30).fit(data).network_.state_dict()

    plain = PlainNetwork()
    plain.load_state_dict(first_weights)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.001)
    expected = []
    for _ in range(20):
        loss = nn.functional.mse_loss(plain(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    losses = model.set_params(learning_rate=0.001, max_epochs=20).fit(data).history_
    assert_close(losses["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [BiLSTMRegressor, BiLSTMClassifier])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.5, "num_layers": 2}, {"batch_size": None}], ids=str)
def test_two_fits_with_one_seed_are_one_model_bit_for_bit(kind, options):
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (X[:, 0] > 0).astype(int)
    torch.manual_seed(1)
    first = kind(**SMALL | options).fit(X, y)
    torch.manual_seed(2)
    assert_same_model(first, kind(**SMALL | options).fit(X, y))


def test_another_seed_is_another_model():
    data = boston().take(range(60))
    a, b = (BiLSTMRegressor(**SMALL, random_state=seed).fit(data) for seed in (0, 1))
    assert a.history_["loss"] != b.history_["loss"]


def test_every_weight_owns_its_memory_after_training():
    for parameter in BiLSTMRegressor(**SMALL).fit(boston().take(range(60))).network_.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


def test_a_step_tells_those_who_keep_something_made_of_the_weights(monkeypatch):
    versions = []
    original = Network.forward
    monkeypatch.setattr(
        Network,
        "forward",
        lambda self, batch: versions.append(self.hidden.weight._version) or original(self, batch),
    )
    BiLSTMRegressor(**SMALL | {"batch_size": None, "validation_fraction": 0}).fit(boston().take(range(60)))
    assert len(set(versions)) == SMALL["max_epochs"]


def test_fit_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    BiLSTMRegressor(**SMALL).fit(boston().take(range(60)))
    assert_close(torch.rand(3), expected)


def test_the_best_epochs_weights_are_kept():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(80, 5)), generator.normal(size=80)  # noise: every epoch makes it worse
    model = BiLSTMRegressor(hidden_size=32, max_epochs=60, schedule="constant", learning_rate=0.01).fit(X, y)
    losses = model.history_["validation_loss"]
    best = int(np.argmin(losses))
    assert best < len(losses) - 1
    shorter = BiLSTMRegressor(hidden_size=32, max_epochs=best + 1, schedule="constant", learning_rate=0.01).fit(X, y)
    assert_close(model.predict(X), shorter.predict(X))
    assert_close(model.metrics_["rmse"], model.history_["metric"][best], rtol=1e-6)


def test_training_stops_after_patience_epochs_without_a_better_one():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(80, 5)), generator.normal(size=80)
    history = BiLSTMRegressor(hidden_size=32, max_epochs=500, patience=7, learning_rate=0.01).fit(X, y).history_
    best = int(np.argmin(history["validation_loss"]))
    assert len(history) == best + 1 + 7


def test_a_given_validation_set_is_what_stops_training():
    data = boston()
    training, other = data.take(range(300)), data.take(range(300, 400))
    model = BiLSTMRegressor(**SMALL).fit(training, validation=other)
    assert model.metrics_["n"] == 100
    arrays = BiLSTMRegressor(**SMALL).fit(
        training.steps.to_numpy(),
        training.target_values,
        validation=(other.steps.to_numpy(), other.target_values),
    )
    assert_same_model(model, arrays)


def test_the_schedule_is_what_its_name_says():
    data = boston().take(range(64))
    fit = {"validation_fraction": 0, "batch_size": None, "learning_rate": 0.01, "hidden_size": 4, "max_epochs": 5}
    cosine = BiLSTMRegressor(**fit, schedule="cosine").fit(data).history_["learning_rate"]
    assert_close(cosine, [0.005 * (1 + math.cos(math.pi * t / 5)) for t in range(5)], rtol=1e-12)
    assert BiLSTMRegressor(**fit, schedule="constant").fit(data).history_["learning_rate"] == [0.01] * 5


def test_a_gradient_is_clipped_to_the_norm_and_reported_as_it_was(monkeypatch):
    original, taken = torch.optim.Adam.step, []

    def watched(self, *arguments):
        taken.append(float(self.param_groups[0]["params"][0].grad.norm()))
        return original(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    data = boston().take(range(64))
    fit = {"validation_fraction": 0, "batch_size": None, "hidden_size": 4, "max_epochs": 1, "dropout": 0.0}
    free, clipped, loose = (BiLSTMRegressor(**fit, clip_norm=norm).fit(data) for norm in (None, 1e-3, 1e3))
    whole = free.history_["gradient_norm"]
    assert whole[0] > 0.01
    assert_close(clipped.history_["gradient_norm"], whole)
    assert_close(loose.history_["gradient_norm"], whole)
    assert_close(taken, [whole[0], 1e-3, whole[0]], rtol=1e-5)


def test_a_repeated_row_and_a_row_of_double_weight_pull_alike():
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = X.sum(axis=1)
    # the scaler counts rows: equal means and deviations need a data set in which every row is repeated
    fit = {"validation_fraction": 0, "batch_size": None, "dropout": 0.0, "hidden_size": 8, "max_epochs": 30}
    weighted = BiLSTMRegressor(**fit).fit(X, y, sample_weight=np.full(20, 2.0))
    repeated = BiLSTMRegressor(**fit).fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    assert_close(weighted.predict(X), repeated.predict(X), atol=1e-4)


def test_rows_of_weight_zero_do_not_pull():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(40, 3)), generator.normal(size=40)
    other = y.copy()
    other[20:] = generator.permutation(y[20:])  # the scaler sees the same numbers, the loss other ones
    weight = np.repeat([1.0, 0.0], 20)
    fit = {"validation_fraction": 0, "batch_size": None, "dropout": 0.0, "hidden_size": 8, "max_epochs": 20}
    a, b = (BiLSTMRegressor(**fit).fit(X, target, sample_weight=weight).predict(X) for target in (y, other))
    assert_close(a, b, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_when_and_what_to_try():
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(
        TrainingError, match=r"expected a finite loss, got (nan|inf) \(epoch \d+\)\nhint: .*learning_rate"
    ):
        BiLSTMRegressor(learning_rate=1e30, clip_norm=None, max_epochs=50).fit(X, X[:, 0])


def test_a_gradient_that_is_not_finite_is_named():
    class Broken(BiLSTMRegressor):
        def _loss(self, outputs, targets, lengths):
            return (outputs - outputs.detach()).abs().sqrt().sum(dim=1)  # finite, but its slope at zero is not

    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(TrainingError, match=r"expected finite gradients, .* in lstm.weight_ih_l0 \(epoch 1\)"):
        Broken().fit(X, X[:, 0])


# -- going on after a stop ---------------------------------------------------------------------------------------

CHECKPOINTED = {"hidden_size": 8, "batch_size": 32, "dropout": 0.3, "max_epochs": 12, "num_layers": 2}


@pytest.mark.parametrize("kill_at", [1, 5, 11])
@pytest.mark.parametrize(
    "options", [{}, {"schedule": "constant", "optimizer": "adamw", "validation_fraction": 0}], ids=str
)
def test_a_run_that_was_stopped_ends_in_the_same_model_as_an_unbroken_one(tmp_path, kill_at, options):
    data = boston().take(range(200))
    unbroken = BiLSTMRegressor(**CHECKPOINTED | options).fit(data)
    checkpointed = BiLSTMRegressor(**CHECKPOINTED | options, checkpoint=tmp_path / "run.checkpoint")
    epochs = die_and_go_on(checkpointed, data, after=kill_at)
    assert epochs == list(range(kill_at + 1, 13)), "an epoch was lost or done twice"
    assert_same_model(unbroken, checkpointed)


def test_a_process_killed_without_warning_loses_at_most_one_epoch(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    code = (
        "import sys; from bilstm import BiLSTMRegressor, boston\n"
        "BiLSTMRegressor(hidden_size=8, max_epochs=100_000, schedule='constant', checkpoint=sys.argv[1], verbose=2)"
        ".fit(boston())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, checkpoint], stderr=subprocess.PIPE, text=True)
    wait_for(process, "epoch     10 ")
    process.send_signal(signal.SIGKILL)
    rest = process.stderr.read().splitlines()
    process.stderr.close()
    process.wait()
    told = [int(line.split()[1]) for line in rest if line.startswith("epoch") and len(line.split()) > 3]

    from bilstm.files.tensor_file import read
    from bilstm.training.checkpoint import Checkpoint

    header, _ = read(checkpoint)
    kept = Checkpoint(checkpoint, header["fingerprint"]).epoch
    assert kept >= max([10, *told]) - 1


def test_a_finished_run_of_constant_rate_can_be_prolonged(tmp_path):
    data = boston().take(range(100))
    fit = {"hidden_size": 8, "schedule": "constant", "dropout": 0.2}
    path = tmp_path / "run.checkpoint"
    BiLSTMRegressor(**fit, max_epochs=3, checkpoint=path).fit(data)
    longer = BiLSTMRegressor(**fit, max_epochs=6, checkpoint=path).fit(data)
    assert_same_model(longer, BiLSTMRegressor(**fit, max_epochs=6).fit(data))


@pytest.mark.parametrize("change", ["data", "parameters"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change):
    path = tmp_path / "run.checkpoint"
    data = boston().take(range(100))
    BiLSTMRegressor(**SMALL, checkpoint=path).fit(data)
    other = data.take(range(90)) if change == "data" else data
    model = BiLSTMRegressor(**SMALL | ({"hidden_size": 9} if change == "parameters" else {}), checkpoint=path)
    with pytest.raises(ModelFileError, match=r"expected a checkpoint of this run.*\nhint: delete it"):
        model.fit(other)


def test_a_checkpoint_needs_a_seed(tmp_path):
    with pytest.raises(ParameterError, match="expected random_state to be a number beside a checkpoint"):
        BiLSTMRegressor(**SMALL, random_state=None, checkpoint=tmp_path / "c").fit(boston())


# -- being told of every epoch -----------------------------------------------------------------------------------


def test_a_fit_tells_of_every_epoch_and_is_the_same_fit():
    data, told = boston().take(range(100)), []
    model = BiLSTMRegressor(**SMALL).fit(data, on_epoch=lambda history: told.append(len(history)))
    assert told == list(range(1, 7))
    assert_same_model(model, BiLSTMRegressor(**SMALL).fit(data))


def test_what_is_raised_out_of_a_fit_leaves_no_model_and_a_checkpoint_to_go_on_from(tmp_path):
    data = boston().take(range(100))
    model = BiLSTMRegressor(**SMALL, checkpoint=tmp_path / "run.checkpoint")
    state = torch.random.get_rng_state()

    def end(history):
        if len(history) == 3:
            raise Killed

    with pytest.raises(Killed):
        model.fit(data, on_epoch=end)
    assert_close(torch.random.get_rng_state(), state)
    with pytest.raises(NotFittedError):
        model.predict(data)
    assert_same_model(model.fit(data), BiLSTMRegressor(**SMALL).fit(data))


# -- the history -------------------------------------------------------------------------------------------------


def test_the_history_is_a_frame_with_a_row_an_epoch_and_a_figure():
    model = BiLSTMRegressor(**SMALL).fit(boston().take(range(100)))
    frame = model.history_.to_frame()
    assert frame.columns == [
        "epoch", "loss", "validation_loss", "metric", "seconds", "learning_rate", "gradient_norm",
    ]  # fmt: skip
    assert frame["epoch"].to_list() == list(range(1, 7))
    assert frame.select(pl.all().is_finite().all()).row(0) == (True,) * 7
    figure = model.history_.plot()
    assert [line.get_label() for line in figure.axes[0].lines] == ["training", "validation", "kept"]
    assert repr(model.history_).startswith("History(6 epochs, loss ")


@pytest.mark.parametrize(("keeps_best_metric", "epoch"), [(False, 3), (True, 2)])
def test_the_epoch_that_is_marked_as_kept_is_the_one_that_was(keeps_best_metric, epoch):
    history = History("f1")
    for number, (loss, metric) in enumerate([(3.0, 0.1), (2.0, 0.5), (1.0, 0.4)], 1):
        history.add(epoch=number, loss=loss, validation_loss=loss, metric=metric)
    history.keeps_best_metric = keeps_best_metric
    mark = history.plot().axes[0].lines[-1]
    assert (mark.get_label(), list(mark.get_xdata())) == ("kept", [epoch])


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys):
    BiLSTMRegressor(**SMALL, verbose=2).fit(boston().take(range(100)))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert "sequence of one step" in lines[0]
    assert [line.split(" · ")[0] for line in lines[1:]] == [f"epoch {e}" for e in (1, 2, 4, 6)]


def test_progress_is_a_live_line_on_a_terminal():
    pty = pytest.importorskip("pty")
    code = "from bilstm import *; BiLSTMRegressor(hidden_size=4, max_epochs=5, verbose=1).fit(boston().take(range(50)))"
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=child, stdout=child, env={**os.environ, "TERM": "xterm"}
    )
    os.close(child)
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says once the other end is closed
        while part := os.read(parent, 4096):
            shown += part
    os.close(parent)
    assert process.wait() == 0
    assert b"5/5" in shown
    assert b"rmse" in shown
