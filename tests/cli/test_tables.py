"""The command line as a user meets it: what goes to stdout, what to stderr, which status, and every bad input."""

from __future__ import annotations

import json
import signal
import warnings

import numpy as np
import polars as pl
import pytest

import bilstm
from bilstm import boston, evaluate
from tests import tables
from tests.compare import assert_close
from tests.processes import start, stopped
from tests.tables import rows_of

QUICK = ["--max-epochs", "3", "--hidden-size", "8"]


@pytest.fixture
def houses(tmp_path):
    """The Boston table as a CSV file, the last 100 rows as another."""
    frame = tables.houses()
    frame[:406].write_csv(tmp_path / "houses.csv")
    frame[406:].write_csv(tmp_path / "new.csv")
    return tmp_path / "houses.csv", tmp_path / "new.csv"


@pytest.fixture
def speakers(tmp_path):
    """A long table of sequences with a label each."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "utterance": f"u{n}",
            "step": t,
            "a": generator.normal() + 2 * (n % 3),
            "b": generator.normal(),
            "speaker": "xyz"[n % 3],
        }
        for n in range(60)
        for t in range(generator.integers(2, 9))
    ]
    pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=1).write_csv(tmp_path / "speech.csv")
    return tmp_path / "speech.csv"


def test_from_a_file_to_a_model_to_predictions_to_figures(run, houses, tmp_path):
    training, new = houses
    status, out, err = run("fit", "regressor", training, "--target", "medv", "-o", "m.bilstm", *QUICK)
    assert (status, out) == (0, "")
    assert "epoch 3" in err
    assert "wrote m.bilstm; on the validation part: rmse" in err
    assert not (tmp_path / "m.bilstm.checkpoint").exists()

    status, out, _ = run("predict", "m.bilstm", new)
    table = rows_of(out)
    assert (status, len(table), list(table[0])) == (0, 100, ["predicted_medv"])
    model = bilstm.load("m.bilstm")
    expected = model.predict(bilstm.read_table(new, target="medv"))
    assert_close([float(row["predicted_medv"]) for row in table], expected, rtol=1e-6)

    status, out, _ = run("evaluate", "m.bilstm", new, "--json")
    assert (status, set(json.loads(out))) == (0, {"rmse", "mae", "r2", "n"})
    assert json.loads(out) == evaluate(model, bilstm.read_table(new, target="medv"))

    status, out, _ = run("plot", "m.bilstm")
    assert (status, out) == (0, "m-loss.png\n")
    assert (tmp_path / "m-loss.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = run("plot", "m.bilstm", new, "-o", "p.svg")
    assert (status, out) == (0, "p.svg\n")


def test_a_long_table_is_remembered_by_the_model(run, speakers):
    options = ["--target", "speaker", "--group", "utterance", "--order", "step", "--pooling", "mean"]
    assert run("fit", "classifier", speakers, *options, "-o", "m.bilstm", "--max-epochs", "60")[0] == 0
    status, out, _ = run("predict", "m.bilstm", speakers)
    table = rows_of(out)
    assert (status, len(table), list(table[0])) == (0, 60, ["utterance", "predicted_speaker", "probability"])
    truth = {f"u{n}": "xyz"[n % 3] for n in range(60)}
    assert np.mean([truth[row["utterance"]] == row["predicted_speaker"] for row in table]) > 0.8
    status, out, err = run("evaluate", "m.bilstm", speakers, "--json")
    assert (status, set(json.loads(out))) == (0, {"accuracy", "f1_macro", "log_loss", "calibration_error", "n"})
    assert "trained on these very sequences" in err
    assert run("plot", "m.bilstm", speakers)[0] == 0


def test_built_in_sets_are_data_too(run):
    assert run("fit", "regressor", "boston", "--drop", "b", "-o", "m.bilstm", *QUICK)[0] == 0
    assert "b" not in bilstm.load("m.bilstm").feature_names_
    status, out, _ = run("evaluate", "m.bilstm", "boston")
    assert (status, out.split()[0]) == (0, "rmse")


def test_predictions_can_go_to_a_file(run):
    run("fit", "regressor", "boston", "-o", "m.bilstm", *QUICK)
    status, out, err = run("predict", "m.bilstm", "boston", "-o", "out.csv")
    assert (status, out, err) == (0, "", "wrote out.csv: 506 rows\n")
    assert pl.read_csv("out.csv").shape == (506, 1)


def test_options_reach_the_model(run):
    options = ["--hidden-size", "5", "--num-layers", "2", "--clip-norm", "none", "--batch-size", "none"]
    options += ["--schedule", "constant", "--max-epochs", "1"]
    assert run("fit", "classifier", "digits", "-o", "m.bilstm", "--class-weight", "balanced", *options)[0] == 0
    parameters = bilstm.load("m.bilstm").get_params()
    told = ("hidden_size", "num_layers", "clip_norm", "batch_size", "schedule", "max_epochs", "class_weight")
    assert [parameters[name] for name in told] == [5, 2, None, None, "constant", 1, "balanced"]


def test_a_given_validation_file_is_used(run, houses):
    _, _, err = run("fit", "regressor", houses[0], "--target", "medv", "--valid", houses[1], "-o", "m.bilstm", *QUICK)
    assert "n 100" in err


def test_a_validation_file_is_read_as_the_training_file_was(run, tmp_path):
    rows = [f"{'1bx'[n % 3]},{n},{n}\n" for n in range(30)]
    (tmp_path / "t.csv").write_text("c,x,y\n" + "".join(rows))
    (tmp_path / "v.csv").write_text("c,x,y\n" + "".join(rows[::3]))  # its column c looks like numbers
    command = ["fit", "regressor", "t.csv", "--target", "y", "-o", "m.bilstm", *QUICK]
    assert run(*command, "--valid", "v.csv")[0] == 0
    model = bilstm.load("m.bilstm")
    same = evaluate(model, model.read("v.csv", with_targets=True))
    assert_close(list(model.metrics_.values()), list(same.values()), rtol=1e-6)


def test_labels_that_are_numbers_by_name_are_evaluated_and_drawn(run, tmp_path):
    (tmp_path / "t.csv").write_text("x,l\n" + "".join(f"{n},{n % 3}\n" for n in range(30)))
    command = ["fit", "classifier", "t.csv", "--target", "l", "--category", "l", "-o", "m.bilstm", *QUICK]
    assert run(*command)[0] == 0
    assert bilstm.load("m.bilstm").classes_.tolist() == ["0", "1", "2"]
    assert run("evaluate", "m.bilstm", "t.csv")[0] == 0
    assert run("plot", "m.bilstm", "t.csv")[0] == 0


def test_the_classic_demo_leaves_what_it_says(run, tmp_path):
    status, out, _ = run("demo", "regressor", "--max-epochs", "30")
    assert status == 0
    for words in ("held-out error", "the mean of the training prices", "ridge regression", "this BiLSTM", "Try next"):
        assert words in out
    files = {"boston.bilstm", "loss.png", "predictions.png", "predictions.csv"}
    assert {file.name for file in (tmp_path / "demo-regressor").iterdir()} == files
    for command in [line.split()[1:] for line in out.splitlines() if line.startswith("  bilstm")]:
        assert run(*command, *(QUICK if command[:1] == ["fit"] and "--help" not in command else []))[0] == 0, command


def test_the_digits_demo_leaves_what_it_says(run, tmp_path):
    status, out, _ = run("demo", "classifier", "--max-epochs", "2", "--folder", "d")
    assert status == 0
    assert "logistic regression" in out
    assert {file.name for file in (tmp_path / "d").iterdir()} == {
        "digits.bilstm", "loss.png", "confusion.png", "predictions.csv",
    }  # fmt: skip


def test_doctor_says_which_kernel_runs_and_why(run):
    status, out, _ = run("doctor")
    assert status == 0
    for word in ("torch", "native", "equations", "runs", "processor", "cores"):
        assert word in out


# -- bad calls and bad data --------------------------------------------------------------------------------------

FIT = ["fit", "regressor", "t.csv", "--target", "y", "-o", "m.bilstm", *QUICK]
ROWS = "".join(f"{i},{i % 7},{i * 2}\n" for i in range(30))
BAD = {
    "a missing file": (None, FIT, 1, "expected a file, got a path where there is none (t.csv)"),
    "a near miss of a file": (
        "x,y\n1,2\n",
        ["fit", "regressor", "tt.csv", "--target", "y", "-o", "m.bilstm"],
        1,
        "hint: did you mean 't.csv'?",
    ),
    "a near miss of a column": (
        "x,price\n1,2\n3,4\n",
        [*FIT[:3], "--target", "prise", *FIT[5:]],
        1,
        "expected a column 'prise', got none (t.csv)\nhint: did you mean 'price'?",
    ),
    "no target": (
        "x,y\n1,2\n",
        ["fit", "regressor", "t.csv", "-o", "m"],
        1,
        "expected --target, the column to predict",
    ),
    "text in a number column": (
        f"x,z,y\n{ROWS}oops,1,1\n",
        FIT,
        1,
        "expected a number in column 'x', got 'oops' (t.csv, line 32)\nhint: correct it",
    ),
    "one row": ("x,y\n1,2\n", FIT, 1, "expected at least 2 sequences to learn from, got n_samples = 1 (t.csv)"),
    "a constant target": ("x,y\n1,2\n2,2\n3,2\n", FIT, 1, "expected target 'y' to vary, got 2 in every row (t.csv)"),
    "a missing target": (
        f"x,z,y\n{ROWS}1,1,\n",
        FIT,
        1,
        "expected a value of target 'y' in every row, got a missing one (t.csv, line 32)",
    ),
    "an empty file": ("", FIT, 1, "expected a table, got an empty file (t.csv)"),
    "a class seen once": (
        "x,y\n" + "1,a\n" * 9 + "2,b\n",
        ["fit", "classifier", *FIT[2:]],
        1,
        "expected at least 2 rows of every class, got 1 of class 'b' (t.csv)",
    ),
    "numbers for labels": (
        "x,y\n" + "".join(f"{i},{i / 7:.3f}\n" for i in range(1, 20)),
        ["fit", "classifier", *FIT[2:]],
        1,
        "hint: for numbers use a regressor",
    ),
    "an output folder that is not there": (
        f"x,z,y\n{ROWS}",
        [*FIT[:5], "-o", "nowhere/m.bilstm"],
        1,
        "Cannot write nowhere/m.bilstm: there is no folder nowhere.",
    ),
    "no model file": ("x\n1\n", ["predict", "m.bilstm", "t.csv"], 1, "cannot read m.bilstm: No such file or directory"),
    "a table for a model file": ("x\n1\n", ["predict", "t.csv", "t.csv"], 1, "expected a model file, got"),
    "a parameter out of range": (f"x,z,y\n{ROWS}", [*FIT, "--dropout", "1.5"], 2, "expected dropout to be a number"),
    "a near miss of a choice": (f"x,z,y\n{ROWS}", [*FIT, "--pooling", "maen"], 2, "hint: did you mean 'mean'?"),
    "a word for a number": (f"x,z,y\n{ROWS}", [*FIT, "--hidden-size", "many"], 2, "--hidden-size"),
    "a target for a built-in set": (
        None,
        ["fit", "regressor", "boston", "--target", "crim", "-o", "m.bilstm"],
        2,
        "expected no --target beside the built-in set 'boston'",
    ),
    "a folder for a model": ("x,y\n1,2\n", [*FIT[:5], "-o", "."], 1, "Cannot write .: it is a folder."),
    "a device that is not there": (f"x,z,y\n{ROWS}", [*FIT, "--device", "mars"], 2, "expected device to be 'auto'"),
    "an unknown option": (f"x,z,y\n{ROWS}", [*FIT, "--hiden-size", "3"], 2, "--hidden-size"),
    "an unknown command": ("", ["fti"], 2, "No such command 'fti'"),
    "an unknown task": ("", ["fit", "regresor", "t.csv"], 2, "No such command 'regresor'"),
    "an unknown demo": ("", ["demo", "clasifier"], 2, "hint: did you mean 'classifier'?"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_short_paragraph_and_a_status(run, tmp_path, name):
    text, arguments, status, message = BAD[name]
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    found, out, err = run(*arguments)
    assert message in err
    assert (found, out) == (status, "")
    assert "Traceback" not in err
    assert len(err.splitlines()) < 12
    assert not (tmp_path / "m.bilstm").exists()


def test_warnings_are_shown_by_python_again_after_a_command(run):
    shown = warnings.showwarning
    run("doctor")
    assert warnings.showwarning is shown


def test_predictions_of_numbers_go_to_a_file_of_the_kind_that_its_name_says(run):
    run("fit", "regressor", "boston", "-o", "m.bilstm", *QUICK)
    for name in ("out.parquet", "out.jsonl", "out.tsv"):
        assert run("predict", "m.bilstm", "boston", "-o", name)[0] == 0
    assert pl.read_parquet("out.parquet").equals(pl.read_ndjson("out.jsonl"))
    assert pl.read_csv("out.tsv", separator="\t").shape == (506, 1)


def test_a_table_does_not_come_on_standard_input(run, typed):
    run("fit", "regressor", "boston", "-o", "m.bilstm", *QUICK)
    typed(b"1,2\n")
    status, out, err = run("predict", "m.bilstm", "-")
    assert (status, out) == (1, "")
    assert "hint: name the file instead of -" in err


def test_debug_shows_the_traceback(run):
    for call in (["--debug", "predict", "none.bilstm", "none.csv"], ["predict", "none.bilstm", "none.csv", "--debug"]):
        with pytest.raises(bilstm.BilstmError):
            run(*call)


def test_a_model_meets_data_without_its_columns(run, houses):
    run("fit", "regressor", houses[0], "--target", "medv", "-o", "m.bilstm", *QUICK)
    pl.read_csv(houses[1]).drop("rm").write_csv("less.csv")
    status, _, err = run("predict", "m.bilstm", "less.csv")
    assert (status, err.splitlines()[0]) == (1, "error: expected a column 'rm', got none (less.csv)")
    text = houses[1].read_text().splitlines()
    text[3] = "x" + text[3]
    (houses[1].parent / "bad.csv").write_text("\n".join(text))
    status, _, err = run("predict", "m.bilstm", "bad.csv")
    assert status == 1
    assert "(bad.csv, line 4)" in err


def test_columns_in_another_order_and_more_of_them_change_nothing(run, houses):
    run("fit", "regressor", houses[0], "--target", "medv", "-o", "m.bilstm", *QUICK)
    frame = pl.read_csv(houses[1])
    frame.select(reversed(frame.columns)).with_columns(more=pl.lit("text")).write_csv("turned.csv")
    expected = run("predict", "m.bilstm", houses[1])
    assert (expected[0], len(expected[1].splitlines())) == (0, 101)
    assert run("predict", "m.bilstm", "turned.csv") == expected


# -- stopping ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unbroken():
    """What a fit that nobody stops predicts."""
    return bilstm.BiLSTMRegressor(hidden_size=8, max_epochs=40).fit(boston()).predict(boston())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_fit_that_was_stopped_goes_on_and_ends_in_the_same_model(run, tmp_path, unbroken, how):
    command = ["fit", "regressor", "boston", "-o", "m.bilstm", "--hidden-size", "8"]
    command += ["--max-epochs", "40", "--log-every", "2"]
    status, err = stopped(tmp_path, *command, after="epoch  4", by=how)
    assert status == (1 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert "error: interrupted; the same command goes on from m.bilstm.checkpoint" in err
    assert (tmp_path / "m.bilstm.checkpoint").exists()
    assert not (tmp_path / "m.bilstm").exists()
    _, _, err = run(*command)
    assert "going on after epoch" in err
    assert_close(bilstm.load(tmp_path / "m.bilstm").predict(boston()), unbroken)
    assert not (tmp_path / "m.bilstm.checkpoint").exists()


def test_a_checkpoint_of_another_command_is_refused_until_restart(run, tmp_path):
    (tmp_path / "m.bilstm.checkpoint").write_bytes(b"not a checkpoint")
    status, _, err = run("fit", "regressor", "boston", "-o", "m.bilstm", *QUICK)
    assert status == 1
    assert "m.bilstm.checkpoint" in err
    assert run("fit", "regressor", "boston", "-o", "m.bilstm", "--restart", *QUICK)[0] == 0


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    bilstm.BiLSTMRegressor(hidden_size=2, max_epochs=1).fit(boston()).save(tmp_path / "m.bilstm")
    frame = pl.concat([boston().steps] * 40)
    frame.write_csv(tmp_path / "long.csv")
    process = start(tmp_path, "predict", "m.bilstm", "long.csv")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in err
    assert "Exception" not in err
