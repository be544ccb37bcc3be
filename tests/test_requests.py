"""The table in docs/requests.md is measured, and close to the lower bound of the API."""

from __future__ import annotations

import re

import pytest

from benchmarks.day import COMPANIES, lower_bound, row
from docs.generate import ROOT

PAGE = (ROOT / "docs/requests.md").read_text(encoding="utf-8")
ROWS = {line.partition(":")[0].strip("| "): line for line in PAGE.splitlines() if re.match(r"\| \w+: ", line)}


def test_the_table_has_every_company() -> None:
    assert ROWS.keys() == COMPANIES.keys()


@pytest.mark.parametrize("name", COMPANIES)
def test_the_tap_needs_at_most_one_and_a_half_times_the_lower_bound(name: str) -> None:
    cells = [cell.strip() for cell in ROWS[name].strip("|").split("|")]
    before, after, best = (int(cell.replace(",", "")) for cell in cells[1:4])

    assert best == lower_bound(COMPANIES[name]).total()
    assert best <= after <= 1.5 * best
    assert after < before


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "name", ["small", *(pytest.param(name, marks=pytest.mark.slow) for name in COMPANIES if name != "small")]
)
def test_the_table_agrees_with_a_measurement(name: str) -> None:
    assert row(name, COMPANIES[name]) == ROWS[name]
