"""`bilstm report` as a user meets it: what is written where, and every wrong call."""

from __future__ import annotations

import polars as pl
import pytest

from tests.report.models import Outline
from tests.tables import houses

QUICK = ["--max-epochs", "3", "--hidden-size", "6", "--log-every", "0"]


@pytest.fixture
def model(run, tmp_path):
    """A model of houses in the folder where the command runs, and houses that it has not seen."""
    frame = houses()
    frame[:300].write_csv(tmp_path / "houses.csv")
    frame[300:].write_csv(tmp_path / "new <b>.csv")
    assert run("fit", "regressor", "houses.csv", "--target", "medv", "-o", "houses.bilstm", *QUICK)[0] == 0
    return tmp_path / "houses.bilstm"


def test_a_report_is_written_and_its_name_printed(run, model, tmp_path):
    status, out, err = run("report", "houses.bilstm", "new <b>.csv", "-o", "r.html")
    assert (status, out) == (0, "r.html\n")
    assert "examining the model" in err
    assert "MB, works without a network" in err
    text = " ".join(Outline((tmp_path / "r.html").read_text()).text)
    assert "examined on new <b>.csv" in text
    assert "bilstm evaluate houses.bilstm 'new <b>.csv'" in text
    assert "from houses.csv" in text


def test_without_data_it_lies_beside_the_model(run, model, tmp_path):
    assert run("report", "houses.bilstm")[:2] == (0, "houses-report.html\n")
    assert "No data was given" in (tmp_path / "houses-report.html").read_text()


def test_a_built_in_set_has_its_name(run, model, tmp_path):
    assert run("report", "houses.bilstm", "boston", "-o", "r.html")[0] == 0
    assert "bilstm evaluate houses.bilstm boston\n" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.bilstm"], "none.bilstm"),
        (["houses.csv"], "expected a model file"),
        (["houses.bilstm", "none.csv"], "none.csv"),
        (["houses.bilstm", "digits"], "expected targets ['medv'], got ['digit'] (digits)"),
        (["houses.bilstm", "houses.bilstm"], "expected a table, got bytes that are not UTF-8"),
        (["houses.bilstm", "-o", "."], "Cannot write .: it is a folder."),
        (["houses.bilstm", "-o", "no/where.html"], "there is no folder no."),
    ],
)
def test_a_wrong_call_is_an_error_in_one_paragraph(run, model, tmp_path, arguments, message):
    status, out, err = run("report", *arguments)
    assert (status, out) == (1, "")
    assert message in err
    assert "Traceback" not in err
    assert "not foreseen" not in err
    assert not list(tmp_path.glob("*.html"))


def test_data_without_the_target_is_an_error(run, model, tmp_path):
    pl.read_csv(tmp_path / "houses.csv").drop("medv").write_csv(tmp_path / "bare.csv")
    status, _, err = run("report", "houses.bilstm", "bare.csv")
    assert status == 1
    assert "expected a column 'medv', got none (bare.csv)" in err
