"""The page as people use it: in a browser, with each kind of model, by mouse and by keyboard, light and dark."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress

import httpx
import numpy as np
import polars as pl
import pytest

from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import dial_tones
from tests.browser import FAINT, open_browser
from tests.sounds import file_of
from tests.speech import RATE, untrained

TOKEN = "a token of twenty-four letters"
RESULT = "section[aria-label=Prediction]"
DRAWN = "section[aria-label=X-ray] .main-svg"
TASKS = ["prices", "vowels", "names", "waves", "digits"]


def save_models(folder):
    """A small model of each task."""
    generator = np.random.default_rng(0)
    quick = {"hidden_size": 6, "max_epochs": 2}
    frame = pl.DataFrame(generator.normal(size=(60, 3)), schema=["rooms", "<b>age</b>", "area"])
    frame = frame.with_columns(town=pl.Series(["北京", "Rome", "Oslo"] * 20))
    price = pl.DataFrame({"price": frame["rooms"] * 10 + 50})
    BiLSTMRegressor(**quick).fit(frame, price).save(folder / "prices.bilstm")
    vowels = [generator.normal(size=(4 + n % 3, 2)) for n in range(30)]
    BiLSTMClassifier(**quick).fit(vowels, ["ah", "oh", "<i>"] * 10).save(folder / "vowels.bilstm")
    BiLSTMTagger(hidden_size=16, max_epochs=3).fit(invented_sentences(150)).save(folder / "names.bilstm")
    BiLSTMForecaster(history=12, horizon=3, **quick).fit(np.sin(np.arange(200) / 5)).save(folder / "waves.bilstm")
    untrained().save(folder / "digits.bilstm")
    return [folder / f"{name}.bilstm" for name in TASKS]


@contextmanager
def serving(*files, **environment):
    """A server of its own, which is asked to end; gives what tells where it listens, once that is known."""
    command = [sys.executable, "-m", "bilstm.cli", "serve", "--port", "0", *map(str, files)]
    around = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}  # it is no test
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=around | environment) as server:

        def address(shown=r"http://127\.0\.0\.1:\d+"):
            found = next(filter(None, (re.search(shown, line) for line in server.stderr)))[0]
            if found.startswith("unix:"):
                return found
            for _ in range(200):
                with suppress(httpx.TransportError):
                    if httpx.get(f"{found}/readyz").status_code == 200:
                        return found
                time.sleep(0.1)
            raise AssertionError("the server was not ready in time")

        try:
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=30)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Addresses of a server of five models, and of one that wants a token; they start side by side."""
    files = save_models(tmp_path_factory.mktemp("models"))
    with serving(*files) as everyone, serving(files[0], BILSTM_TOKEN=TOKEN) as trusted:
        yield everyone(), trusted()


@pytest.fixture(scope="module")
def browser():
    with open_browser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as opened:
        yield opened


@pytest.fixture
def visit(browser, servers):
    """Open the page; at the end nothing may have gone wrong in it, and nothing may have gone elsewhere."""
    wrong = []
    with ExitStack() as stack:

        def open_page(model="prices", width=1280, address=servers[0], **options):
            context = browser.new_context(viewport={"width": width, "height": 900}, **options)
            stack.callback(context.close)
            context.set_default_timeout(15_000)
            page = context.new_page()
            page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda asked: wrong.append(asked.url) if is_foreign(asked.url, address) else None)
            page.goto(address)
            page.wait_for_selector("h1")
            if model != "prices":
                page.get_by_label("Model", exact=True).click()
                page.get_by_role("option", name=model).click()
                page.get_by_role("heading", name=model, level=1).wait_for()
            return page

        yield open_page
    assert wrong == []


def is_foreign(url, address):
    return not url.startswith((f"{address}/", "data:", f"blob:{address}"))


def give(page, model):
    """Ask the model, in the way of its kind."""
    if model == "names":
        page.get_by_label("Text", exact=True).fill("Ann lives in Rome <b>now</b>")
    if model == "digits":
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Upload a sound file").click()
        wave = dial_tones(1, rate=RATE, seed=5)[0][0]
        chooser.value.set_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": file_of(wave, RATE)})
    else:
        page.get_by_role("button", name=re.compile("^(Predict|Forecast)$")).click()


SHOWN = {"prices": ".big", "vowels": ".bars", "names": ".words", "waves": ".main-svg", "digits": ".said"}


@pytest.mark.parametrize("model", TASKS)
def test_every_kind_of_model_predicts_and_is_looked_into(visit, model):
    page = visit(model)
    give(page, model)
    page.wait_for_selector(f"{RESULT} {SHOWN[model]}")
    page.get_by_role("button", name="Show the X-ray").click()
    page.wait_for_selector(DRAWN)
    page.get_by_text("Gates and memory").click()
    page.wait_for_function(f"document.querySelectorAll('{DRAWN}').length > 3")


@pytest.mark.parametrize("model", TASKS)
def test_the_page_fits_a_telephone(visit, model):
    page = visit(model, width=390, color_scheme="dark", reduced_motion="reduce")
    give(page, model)
    page.wait_for_selector(f"{RESULT} {SHOWN[model]}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_html_in_names_and_texts_is_shown_as_text(visit):
    page = visit("names")
    give(page, "names")
    page.wait_for_selector(f"{RESULT} .words")
    assert "<b>now</b>" in page.locator(RESULT).inner_text()
    assert visit("prices").get_by_label("<b>age</b>").count() == 1


def test_a_prediction_needs_no_mouse(visit):
    page = visit("names")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            break
    page.keyboard.type("Ann lives in Rome")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{RESULT} .words")
    ring = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
    assert ring != "none", "what has the focus shows it"


def test_a_mistake_is_told_in_words_and_what_was_typed_stays(visit):
    page = visit("vowels")
    box = page.get_by_label(re.compile("^CSV"))
    box.fill("x0\n1\n")
    page.get_by_role("button", name="Predict").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "expected a column 'x1', got none (the pasted rows)" in alert.inner_text()
    assert "There are 'x0'." in alert.inner_text()
    assert box.input_value() == "x0\n1\n"


def upload(page, button, name, content):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files({"name": name, "mimeType": "text/csv", "buffer": content})


def test_a_file_of_many_rows_is_a_table_that_can_be_saved(visit):
    page = visit("prices")
    rows = "rooms,<b>age</b>,area,town\n" + "".join(f"{n},1,,Rome\n" for n in range(150))
    upload(page, "Upload a table", "new <rows>.csv", rows.encode())
    page.get_by_text("150 predictions").wait_for()
    assert page.locator(f"{RESULT} tbody tr").count() == 150
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download as CSV").click()
    frame = pl.read_csv(saved.value.path())
    assert frame.columns == ["input", "price"]
    assert frame.height == 150


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"rooms\n1\n", "expected a column"),
        (b"", "empty file (bad.csv)"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"rooms,<b>age</b>,area,town\nx,1,1,a\n", "expected a number in column 'rooms', got 'x' (bad.csv, line 2)"),
    ],
)
def test_a_bad_file_is_a_mistake_that_names_it(visit, content, told):
    page = visit("prices")
    page.wait_for_selector(f"{RESULT} .big")
    upload(page, "Upload a table", "bad.csv", content)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert told in alert.inner_text()


def test_the_microphone_is_heard(visit):
    page = visit("digits", permissions=["microphone"])
    page.get_by_role("button", name="Record").click()
    page.get_by_text(re.compile(r"^[1-9]\.\d of 60 s")).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(f"{RESULT} .said")
    assert page.locator("audio").evaluate("player => player.src").startswith("blob:")


def test_two_tabs_do_not_know_of_each_other(visit):
    first, second = visit("prices"), visit("prices")
    before, untouched = (page.locator(f"{RESULT} .big").inner_text() for page in (first, second))
    assert before == untouched
    first.get_by_label("rooms").fill("3")
    first.get_by_role("button", name="Predict").click()
    first.wait_for_function(f"before => document.querySelector('{RESULT} .big')?.innerText != before", arg=before)
    assert second.locator(f"{RESULT} .big").inner_text() == untouched
    assert second.get_by_label("rooms").input_value() != "3"


def test_the_tab_about_a_model_shows_its_training(visit):
    page = visit("waves")
    page.get_by_role("tab", name="About this model").click()
    page.wait_for_selector("section[aria-label=Training] .main-svg")
    assert "mase" in page.locator("section[aria-label=Figures]").inner_text()
    assert "forecaster" in page.locator("section[aria-label=Facts]").inner_text()


@pytest.mark.parametrize("model", ["prices", "names"])
def test_a_file_with_its_truth_brings_the_charts_of_the_report(visit, model):
    page = visit(model)
    page.get_by_role("tab", name="About this model").click()
    rows = "".join(f"{n},{n},1,Rome,{10 * n + 50}\n" for n in range(12))
    content = {
        "prices": ("new <rows>.csv", "rooms,<b>age</b>,area,town,price\n" + rows),
        "names": ("dev.conll", "Ann B-PER\nsleeps O\n\nRome B-LOC\n\n" * 6),
    }
    upload(page, "Upload a file", *content[model][:1], content[model][1].encode())
    report = page.locator("section[aria-label=Report]")
    report.get_by_role("heading", name="How good it is").wait_for(timeout=30_000)
    report.locator(".main-svg").first.wait_for()
    report.get_by_text(content[model][0]).first.wait_for()
    with page.expect_download(timeout=60_000) as saved:
        page.get_by_role("button", name="Download the whole report").click()
    assert saved.value.path().read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_report_says_what_is_wrong_with_a_file(visit):
    page = visit("prices")
    page.get_by_role("tab", name="About this model").click()
    upload(page, "Upload a file", "new.csv", b"rooms,area,town\n1,2,Rome\n")
    page.locator("section[aria-label=Report]").get_by_role("alert").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(visit, scheme):
    page = visit("names", color_scheme=scheme)
    give(page, "names")
    page.wait_for_selector(f"{RESULT} .words")
    dark = page.evaluate("document.body.classList.contains('body--dark')")
    assert dark == (scheme == "dark")
    assert page.evaluate(FAINT) == []
    page.get_by_role("button", name="Predict").hover()
    page.get_by_label("Text", exact=True).fill("")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("alert").wait_for()
    assert page.evaluate(FAINT) == []


def test_a_button_changes_between_light_and_dark(visit):
    page = visit("prices", color_scheme="light")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme: light").click()
    page.get_by_role("button", name="Theme: dark").wait_for()
    page.wait_for_selector("body.body--dark")


def test_headings_go_down_step_by_step_and_the_page_has_a_language(visit):
    page = visit("prices")
    page.wait_for_selector(f"{RESULT} .big")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en-US"
    nameless = """[...document.querySelectorAll('input:not([type=file]), textarea, button, select')].filter(
        e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.innerText.trim()))"""
    assert page.evaluate(f"{nameless}.map(e => e.outerHTML.slice(0, 200))") == []


# --- without the token -------------------------------------------------------------------------------------

SOCKET = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"} | {
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
}


def static_of(address, headers):
    page = httpx.get(address, headers=headers).text
    return re.search(r"/_nicegui/[\d.]+/static/nicegui\.css", page)[0]


def test_without_the_token_neither_page_nor_parts_nor_websocket_answer(servers):
    address, headers = servers[1], {"authorization": f"Bearer {TOKEN}"}
    socket = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    for path in ("/", static_of(address, headers), "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        assert httpx.get(f"{address}{path}").status_code == 401
        assert httpx.get(f"{address}{path}", headers=headers).status_code == 200
    assert httpx.get(f"{address}{socket}", headers=SOCKET).status_code in (401, 403)


def test_a_websocket_from_another_site_is_refused(servers):
    other = SOCKET | {"origin": "http://elsewhere.example"}
    answer = httpx.get(f"{servers[0]}/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers=other)
    assert answer.status_code == 403


def test_no_other_site_may_read_what_the_websocket_falls_back_on(servers):
    polling = f"{servers[0]}/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert httpx.get(polling, headers={"origin": "http://evil.example"}).status_code == 403
    own = httpx.get(polling, headers={"origin": servers[0]})
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]


def test_who_signs_in_gets_the_page(browser, servers):
    with closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(servers[1])
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"{RESULT} .big", timeout=15_000)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Token").wait_for()
        page.goto(servers[1])
        page.get_by_label("Token").wait_for()


def test_a_path_that_the_page_does_not_have_is_not_found(servers):
    answer = httpx.get(f"{servers[0]}/etc/passwd")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == 404
