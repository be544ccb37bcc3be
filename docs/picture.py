"""Takes the screenshots of the HTML report for the documents: `make picture`, after `make demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "demo-data/report.html"
IMAGES = ROOT / "docs/images"
WIDTH, HEIGHT, HEIGHT_OF_AGENTS = 1200, 1470, 462
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""This machine's browser, also for tests; None if there is none."""


def main() -> int:
    """Take the screenshots; return the exit code."""
    if CHROMIUM is None or not PAGE.exists():
        print("The screenshots need Chromium and the report of `make demo`.", file=sys.stderr)  # noqa: T201
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.screenshot(path=IMAGES / "report.png")
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT_OF_AGENTS})
        page.locator("#shifts-heading").evaluate("heading => heading.scrollIntoView()")
        page.screenshot(path=IMAGES / "agents.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
