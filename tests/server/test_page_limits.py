"""What the page does at its limits: tabs without end, models loaded anew below it, reports that take too long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import httpx
import numpy as np
import polars as pl
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from bilstm import BiLSTMRegressor
from bilstm.data.dataset import Dataset
from bilstm.errors import BilstmError, DataError
from bilstm.server.app import on_error
from bilstm.server.page.about import measured
from bilstm.server.page.home import Gate
from tests.browser import open_browser
from tests.server.asgi import call
from tests.server.test_page import RESULT, serving


def test_who_opens_tabs_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("bilstm.server.page.home.MOST_TABS", 0)
    app = Starlette(routes=[Mount("/", Gate(None))], exception_handlers={BilstmError: on_error})
    answer = call(app, "GET", "/")
    assert answer.error["status"] == 503
    assert answer.headers["retry-after"] == "60"


def test_a_tab_whose_model_was_loaded_anew_gets_its_new_form(tmp_path):
    file = tmp_path / "prices.bilstm"
    draw = np.random.default_rng(0).normal(size=(40, 2))
    quick = {"hidden_size": 4, "max_epochs": 1}
    BiLSTMRegressor(**quick).fit(pl.DataFrame(draw, schema=["old", "x"]), draw[:, 0]).save(file)
    BiLSTMRegressor(**quick).fit(pl.DataFrame(draw, schema=["new", "x"]), draw[:, 0]).save(tmp_path / "next")
    with serving(file) as address, open_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.goto(found := address())
        page.wait_for_selector(f"{RESULT} .big")
        os.replace(tmp_path / "next", file)
        for _ in range(300):
            if "new" in httpx.get(f"{found}/v1/models").text:
                break
            time.sleep(0.1)
        page.get_by_role("button", name="Predict").click()
        page.get_by_text("was loaded anew").wait_for()
        page.get_by_label("new", exact=True).wait_for()
        page.wait_for_selector(f"{RESULT} .big")


def test_a_report_of_too_many_rows_is_for_the_command_line():
    data = Dataset(pl.DataFrame({"rooms": np.ones(30_000)}), np.ones(30_000, dtype=np.int64))
    model = SimpleNamespace(read=lambda path, with_targets: data)
    with pytest.raises(DataError, match=r"expected at most 20,000 rows to measure on the page, got 30,000 \(a.csv\)"):
        measured(model, "a.csv", b"")


def test_work_that_goes_on_does_not_keep_a_process_from_ending():
    code = (
        "import asyncio, time\n"
        "from bilstm.server.page.background import Background\n"
        "asyncio.run(Background(0.2).run(lambda: time.sleep(600), 'report'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "expected the report within 0.2 seconds, got none" in ended.stderr
