"""Fixtures: a made-up company, and a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, sync_playwright

from docs.picture import CHROMIUM
from report_tests.company import Company

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """A company without calls."""
    return Company(tmp_path / "warehouse.duckdb")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed, which the tests of the page need: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()
