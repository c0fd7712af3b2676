"""Reports in a real browser: every chart is drawn, nothing is asked of a network, a phone need not scroll sideways."""

from __future__ import annotations

import pytest

from tests.browser import open_browser
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


CONTRAST = """
() => {
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
  };
  const poor = [];
  for (const element of document.querySelectorAll('main *')) {
    if (element.closest('svg, script, .unseen') || !element.textContent.trim() || element.children.length) continue;
    const [one, other] = [parts(getComputedStyle(element).color), behind(element)].map(light).sort((a, b) => b - a);
    if ((one + .05) / (other + .05) < 4.5) poor.push(element.outerHTML.slice(0, 100));
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened, scheme):
    for name in ("tagger", "transcriber", "classifier"):
        view, _ = opened(name, scheme=scheme)
        assert view.evaluate(CONTRAST) == []
