"""The page on requests says what the tap takes, and that is not much more than the API makes it take."""

from __future__ import annotations

import re

import pytest

from benchmarks.day import COMPANIES, lower_bound, row
from docs.generate import ROOT

PAGE = (ROOT / "docs/requests.md").read_text(encoding="utf-8")
ROWS = {line.partition(":")[0].strip("| "): line for line in PAGE.splitlines() if re.match(r"\| \w+: ", line)}


def test_the_page_has_every_company() -> None:
    assert ROWS.keys() == COMPANIES.keys()


@pytest.mark.parametrize("name", COMPANIES)
def test_the_tap_takes_no_more_than_half_as_much_again_as_the_least(name: str) -> None:
    cells = [cell.strip() for cell in ROWS[name].strip("|").split("|")]
    before, after, best = (int(cell.replace(",", "")) for cell in cells[1:4])

    assert best == lower_bound(COMPANIES[name]).total()
    assert best <= after <= 1.5 * best
    assert after < before


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "name", ["small", *(pytest.param(name, marks=pytest.mark.slow) for name in COMPANIES if name != "small")]
)
def test_the_page_says_what_is_measured(name: str) -> None:
    assert row(name, COMPANIES[name]) == ROWS[name]
