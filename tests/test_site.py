"""The documentation as a site: it has every page, refuses a broken link, and loads nothing from another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import open_browser

pytest.importorskip("mkdocs")
pytest.importorskip("material")

ROOT = Path(__file__).parent.parent
FOLDERS = ("*.md", "docs/*.md", "benchmarks/*.md")
PAGES = sorted(path.relative_to(ROOT) for pattern in FOLDERS for path in ROOT.glob(pattern))
LOADS = {"link": "href"} | dict.fromkeys(("script", "img", "iframe", "source", "video", "audio"), "src")


def build(root, folder):
    """What `make docs` runs."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=root,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


class Loaded(HTMLParser):
    """Addresses that a browser fetches to show a page; links that a reader may follow are not among them."""

    def __init__(self, page):
        super().__init__()
        self.addresses = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get(LOADS.get(tag))
        if address and dict(attrs).get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(address)


def test_every_page_of_the_repository_is_a_page_of_the_site(site):
    for page in PAGES:
        name = "index" if page.stem == "README" else page.stem
        assert (site / page.parent / f"{name}.html").exists(), page


def test_pages_and_styles_load_nothing_from_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        addresses = Loaded(page).addresses
        assert any(address.endswith(".js") for address in addresses), page
        for address in addresses + re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", page.read_text()):
            assert not re.match(r"(\w+:)?//", address), f"{page.name} loads {address}"
            target = page.parent / address.split("#")[0].split("?")[0]
            assert page.name == "404.html" or target.exists(), f"{page.name} lacks {address}"
    for style in site.rglob("*.css"):
        for address in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", style.read_text()):
            assert not re.match(r"(https?:)?//", address), f"{style.name} loads {address}"


def test_lists_and_tables_are_recognised_on_the_site_as_in_the_repository(site):
    for page in sorted(site.rglob("*.html")):
        text = re.sub(r"<(pre|script)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
        marks = re.findall(r"^\s*(?:[-*+] |\d+\. |#|```|\|.*\|$).*", text, flags=re.MULTILINE)
        assert not marks, f"{page.name}: {marks[:3]} (a list wants a blank line before it)"
    for page in PAGES:
        inner = re.findall(r"^ {1,3}[-*+] .*", (ROOT / page).read_text(), flags=re.MULTILINE)
        assert not inner, f"{page}: {inner[:3]} (a list in a list wants four blanks before it)"


def test_what_the_search_looks_through_lies_beside_the_pages(site):
    for ending in ("json", "js"):  # the second one is for pages that are opened as files
        assert "what the cell keeps" in (site / "search" / f"search_index.{ending}").read_text()


def test_pages_opened_from_a_disk_show_their_pictures_and_can_be_searched(site):
    with open_browser() as browser:
        page, asked, errors = browser.new_page(), [], []
        page.set_default_timeout(240_000)  # a busy machine takes its time
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto((site / "docs" / "equations.html").as_uri())
        for picture in page.locator("article img").all():
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("async one => (await one.decode(), one.naturalWidth)") > 100
        page.get_by_placeholder("Search").click()  # what loads the index
        page.get_by_placeholder("Search").press_sequentially("forget gate")
        page.locator(".md-search-result__link[href*='equations.html']").first.wait_for()
        assert not errors
        assert not [url for url in asked if not url.startswith(("file:", "data:", "about:"))]


def test_a_broken_link_a_broken_anchor_and_a_page_outside_the_navigation_are_errors(tmp_path):
    for page in PAGES:
        (tmp_path / page.parent).mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    for name in ("mkdocs.yml", "docs/site_hook.py", "docs/site.css", "docs/iframe-worker.js"):
        shutil.copy(ROOT / name, tmp_path / name)
    text = "# Forgotten\n\n[a](nowhere.md) [b](text.md#nowhere) [c](../src/nothing.py)\n"
    (tmp_path / "docs" / "forgotten.md").write_text(text)
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    for complaint in ("nowhere.md'", "#nowhere'", "../src/nothing.py", "- docs/forgotten.md"):
        assert complaint in built.stderr, built.stderr
