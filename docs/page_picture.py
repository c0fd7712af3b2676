"""Makes docs/page.png: the page of a running server, after one text and its X-ray. Knows where to click."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TEXT = "It starts slowly, but becomes a gripping and beautiful film."


def main(address: str, output: Path) -> None:
    """Ask the text classifier at an address, and take the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1120, "height": 1230})
        page.goto(address)
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Predict").click()
        page.get_by_role("button", name="Show the X-ray").click()
        page.wait_for_selector("section[aria-label=X-ray] .main-svg")
        page.wait_for_timeout(1500)  # until the drawing stands still
        page.screenshot(path=output)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(__file__).with_name("page.png"))
