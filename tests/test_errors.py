"""Foreign text in log lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.errors import LONGEST_TEXT, one_line


@given(st.text())
def test_any_text_becomes_part_of_one_line(text: str) -> None:
    line = one_line(text)

    assert line.isprintable()
    assert len(line) <= LONGEST_TEXT
    assert line == one_line(line)
    line.encode()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Zoë & Søn, 東京", "Zoë & Søn, 東京"),
        (" two\nlines\t\x1b[0m ", "two lines [0m"),
        ("Acme\u2028\u202e2026-11-23 ERROR\x00\ud800", "Acme 2026-11-23 ERROR"),
        ("x" * 201, "x" * 199 + "…"),
        (" " * 10**7 + "x", "…"),
        ("", ""),
    ],
)
def test_only_characters_that_cannot_be_printed_are_lost(text: str, line: str) -> None:
    assert one_line(text) == line
