"""Converts times: Aircall's UNIX seconds and ISO 8601 strings, the tap's RFC 3339 in UTC, and those in settings.

Facts, here and in the other modules of the tap, are sections of docs/aircall-api.md (here: Times, ids and texts).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

NOT_A_TIME = "not a time"
"""The whole error message: the value may be personal data."""
HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
HOUR_MILLISECONDS = 1_000 * HOUR_SECONDS
DAY_MILLISECONDS = 1_000 * DAY_SECONDS
MILLISECONDS_FROM = 10**11
"""A number in a webhook from here on is in milliseconds: as seconds, it would be the year 5138."""
LAST_MILLISECONDS = 4_102_444_800_000
"""The year 2100: no event is later, and arithmetic on earlier times stays within the calendar."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UTC_STRING = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?Z")


def to_rfc3339(value: Any) -> str:
    """Convert one of Aircall's times to RFC 3339 in UTC.

    Args:
        value: UNIX seconds, as a number or a string, or an ISO 8601 string with any offset. A string in UTC stays as it
            is, with its fraction.

    Raises:
        ValueError: If it is not a time; the message does not quote it.
    """
    text = _write(_parse(value))
    as_it_is = isinstance(value, str) and _UTC_STRING.fullmatch(value) and value[:19] == text[:19]
    return value if as_it_is else text


def to_seconds(value: Any) -> int:
    """Convert one of Aircall's times, or the result of `to_rfc3339`, to whole UNIX seconds, rounded down.

    Raises:
        ValueError: If it is not a time; the message does not quote it.
    """
    return (_parse(value) - _EPOCH) // _SECOND


def to_milliseconds(value: Any) -> int:
    """Convert a time in a webhook to UNIX milliseconds, rounded down (facts: Payloads of deliveries).

    Args:
        value: UNIX seconds, UNIX milliseconds (from `MILLISECONDS_FROM` on), as a number or a string, or an ISO 8601
            string.

    Raises:
        ValueError: If it is not a time; the message does not quote it.
    """
    if (number := _number(value)) is not None and number >= MILLISECONDS_FROM:
        return (_after_epoch(number, _MILLISECOND) - _EPOCH) // _MILLISECOND
    return (_parse(value) - _EPOCH) // _MILLISECOND


def event_milliseconds(value: Any) -> int | None:
    """Convert the time of an event to UNIX milliseconds; return None if it is not a time or implausible."""
    try:
        moment = to_milliseconds(value)
    except ValueError:
        return None
    return moment if 0 <= moment < LAST_MILLISECONDS else None


def from_milliseconds(milliseconds: int) -> str:
    """Convert UNIX milliseconds to RFC 3339 in UTC, with a fraction only if there is one.

    Raises:
        ValueError: If outside the years 1 to 9999.
    """
    return _write(_after_epoch(milliseconds, _MILLISECOND), "milliseconds" if milliseconds % 1000 else "seconds")


def _write(moment: datetime, precision: str = "auto") -> str:
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _parse(value: Any) -> datetime:
    """Parse a time and convert it to UTC.

    Raises:
        ValueError: If it is not a time, or outside the years 1 to 9999 in UTC.
    """
    if (number := _number(value)) is not None:
        return _after_epoch(number, _SECOND)
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(NOT_A_TIME) from None  # theirs quote the value


def _number(value: Any) -> float | None:
    """Return a number, or a string that is one, as a number; None for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _after_epoch(number: float, unit: timedelta) -> datetime:
    """Return the time this many units after the UNIX epoch.

    Raises:
        ValueError: If outside the years 1 to 9999.
    """
    try:
        return _EPOCH + number * unit
    except (ValueError, OverflowError):
        raise ValueError(NOT_A_TIME) from None


def parse_setting(text: str) -> datetime:
    """Parse a date or date-time in a setting.

    Args:
        text: ISO 8601. A date is its midnight; without an offset, UTC is assumed.

    Returns:
        The time in UTC.

    Raises:
        ValueError: If it is neither, or outside the years 1 to 9999 in UTC.
    """
    import pendulum  # noqa: PLC0415 - slow to import, and discovery needs none of it

    moment = pendulum.parse(text, exact=True, tz="UTC")
    if isinstance(moment, pendulum.DateTime):
        try:
            return moment.in_timezone("UTC")
        except OverflowError:
            raise ValueError(NOT_A_TIME) from None
    if isinstance(moment, pendulum.Date):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    raise ValueError(NOT_A_TIME)
