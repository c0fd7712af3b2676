"""Reports in a real browser: every chart is drawn, nothing is asked of a network, a phone need not scroll sideways."""

from __future__ import annotations

import pytest

from tests.browser import FAINT, open_browser
from tests.report.models import TASKS, page


def until(view, expression):
    """Wait for what must become true; the page's policy forbids playwright's own way."""
    for _ in range(200):
        if view.evaluate(expression):
            return
        view.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report; returns the page, and what went wrong in it as a list that grows."""
    contexts = []

    def open_report(name, width=1280, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(page(name), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        view, faults = context.new_page(), []
        view.on("console", lambda message: faults.append(message.text))
        view.on("pageerror", lambda error: faults.append(str(error)))
        view.on("request", lambda request: faults.append(request.url) if request.url != path.as_uri() else None)
        view.goto(path.as_uri())
        until(view, "[...document.querySelectorAll('.drawing')].every(d => d.querySelector('svg.main-svg'))")
        return view, faults

    yield open_report
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", TASKS)
def test_a_phone_shows_a_report_without_scrolling_sideways(opened, name):
    view, faults = opened(name, width=390, scheme="dark" if name == "tagger" else "light")
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    assert view.evaluate("document.querySelectorAll('.drawing').length") >= 4
    assert faults == []


def test_the_contents_lead_to_the_sections_by_keyboard(opened):
    view, faults = opened("classifier")
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.className") == "skip"
    view.keyboard.press("Tab")
    view.keyboard.press("Enter")
    assert view.evaluate("location.hash") == "#verdict"
    assert faults == []


def test_charts_fit_on_paper_and_come_back(opened):
    view, faults = opened("classifier")
    width = "document.querySelector('.drawing .main-svg').getBoundingClientRect().width"
    before = view.evaluate(width)
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    until(view, f"{width} === 640")
    view.evaluate("dispatchEvent(new Event('afterprint'))")
    until(view, f"{width} === {before}")
    assert before > 640
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened, scheme):
    for name in ("tagger", "transcriber", "classifier"):
        view, _ = opened(name, scheme=scheme)
        assert view.evaluate(FAINT) == []
