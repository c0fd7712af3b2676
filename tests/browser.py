"""A browser for tests of pages: the chromium of this machine, or a skipped test that says which is missing."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_browser(*arguments):
    """A headless browser of playwright; the test is skipped where there is none.

    Args:
        arguments: further ones of its command line.
    """
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            browser.close()
