from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.reading.times import parse_setting, to_rfc3339, to_seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1790603050, "2026-09-28T13:44:10Z"),
        (0, "1970-01-01T00:00:00Z"),
        (1790603050.25, "2026-09-28T13:44:10.250000Z"),
        ("1790603050", "2026-09-28T13:44:10Z"),
        ("2026-06-19T19:38:30.906Z", "2026-06-19T19:38:30.906Z"),
        ("2026-06-19T19:38:30+02:00", "2026-06-19T17:38:30Z"),
        ("2026-06-19T19:38:30", "2026-06-19T19:38:30Z"),
    ],
)
def test_times_leave_as_rfc_3339_in_utc(value: Any, expected: str) -> None:
    assert to_rfc3339(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-13-01T00:00:00Z", 1e30, float("nan"), True, [], {}, "9" * 30, "2026-02-30T00:00:00Z"],
)
def test_anything_but_a_time_is_an_error_that_hides_the_value(value: Any) -> None:
    for convert in (to_rfc3339, to_seconds):
        with pytest.raises(ValueError, match=r"^not a time$"):
            convert(value)


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_seconds_survive_the_round_trip(seconds: int) -> None:
    assert to_seconds(to_rfc3339(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+05:30", datetime(2026, 1, 31, 2, 30, tzinfo=UTC)),
        ("2026-01-31T08:00:00.5-01:00", datetime(2026, 1, 31, 9, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_settings_take_dates_with_any_offset(text: str, expected: datetime) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "08:00", "P1D", "2026-02-30", "31.01.2026", "1790603050"])
def test_settings_take_only_dates(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_setting(text)
