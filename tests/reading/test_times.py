from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_aircall.reading.times import (
    NOT_A_TIME,
    from_milliseconds,
    parse_setting,
    to_milliseconds,
    to_rfc3339,
    to_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST, LAST = -62_135_596_800, 253_402_300_799
"""UNIX seconds of the first moment of the year 1, and of the last second of the year 9999."""


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
    for convert in (to_rfc3339, to_seconds, to_milliseconds):
        with pytest.raises(ValueError, match=f"^{NOT_A_TIME}$"):
            convert(value)


# The edges of the calendar

OFFSETS: Any = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EDGES = st.sampled_from([1, 2, 1970, 9998, 9999]).flatmap(
    lambda year: st.datetimes(datetime(year, 1, 1), datetime(year, 12, 31, 23, 59, 59, 999_999), timezones=OFFSETS)  # noqa: DTZ001
)
TEXTS = EDGES.map(datetime.isoformat) | st.datetimes(timezones=OFFSETS).map(datetime.isoformat)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([FIRST, LAST, FIRST * 1000, LAST * 1000, 10**11, 10**400]).flatmap(
        lambda edge: st.integers(edge - 2000, edge + 2000)
    )
)
VALUES = TEXTS | NUMBERS | NUMBERS.map(str) | st.text() | st.none() | st.booleans()


def outcome(convert: Callable[[Any], Any], value: Any) -> Any:
    """Return what a conversion makes of a value; None if it refuses it, in the one way in which it may."""
    try:
        return convert(value)
    except ValueError as error:
        assert str(error) == NOT_A_TIME  # noqa: PT017 - it may raise nothing as well
        return None


@given(VALUES)
def test_whatever_comes_in_is_a_time_of_the_calendar_or_refused(value: Any) -> None:
    text, seconds, milliseconds = (outcome(convert, value) for convert in (to_rfc3339, to_seconds, to_milliseconds))

    assert (text is None) == (seconds is None)
    if text is not None and seconds is not None:
        assert FIRST <= seconds <= LAST
        assert text.endswith("Z")
        assert to_seconds(text) == seconds
        assert to_rfc3339(text) == text
    if milliseconds is not None:
        assert FIRST * 1000 <= milliseconds < (LAST + 1) * 1000
        assert to_milliseconds(from_milliseconds(milliseconds)) == milliseconds


@given(NUMBERS.filter(lambda number: isinstance(number, int)))
def test_milliseconds_are_written_as_a_time_of_the_calendar_or_refused(milliseconds: int) -> None:
    text = outcome(from_milliseconds, milliseconds)

    assert (text is not None) == (FIRST * 1000 <= milliseconds < (LAST + 1) * 1000)
    if text is not None:
        assert to_seconds(text) == milliseconds // 1000


@given(TEXTS | st.text())
def test_a_date_of_a_setting_is_one_of_the_calendar_or_refused(text: str) -> None:
    try:
        moment = parse_setting(text)
    except ValueError:
        return
    assert FIRST <= to_seconds(moment.isoformat()) <= LAST


@given(st.integers(FIRST, LAST))
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
