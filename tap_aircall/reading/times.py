"""Times as Aircall sends them, as the tap emits them, and as users write them.

Aircall mixes UNIX seconds and ISO 8601 strings (facts: Times, ids and texts). They leave the tap as RFC 3339 in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

NOT_A_TIME = "not a time"
"""All that an error says: the value may be personal."""
MILLISECONDS_FROM = 10**11
"""From this number on, a time that webhooks tell is in milliseconds; it stands for a day in 1973."""
LAST_MILLISECONDS = 4_102_444_800_000
"""The year 2100: no event is from later, and what is calculated from an earlier one stays within the calendar."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UTC_STRING = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?Z")


def to_rfc3339(value: Any) -> str:
    """Turn a time of Aircall's into RFC 3339 in UTC.

    Args:
        value: UNIX seconds, as a number or in a string, or an ISO 8601 string with any offset. A string that is in UTC
            already stays as it is, with its fraction.

    Raises:
        ValueError: If it is not a time; the message does not hold the value.
    """
    text = _write(_parse(value))
    as_it_is = isinstance(value, str) and _UTC_STRING.fullmatch(value) and value[:19] == text[:19]
    return value if as_it_is else text


def to_seconds(value: Any) -> int:
    """Turn a time of Aircall's, or one that `to_rfc3339` made, into whole UNIX seconds, rounded down.

    Raises:
        ValueError: If it is not a time; the message does not hold the value.
    """
    return (_parse(value) - _EPOCH) // _SECOND


def to_milliseconds(value: Any) -> int:
    """Turn a time of a webhook's into UNIX milliseconds, whatever form it has (facts: What deliveries hold).

    Args:
        value: UNIX seconds or milliseconds, as a number or in a string, or an ISO 8601 string. A number is taken for
            milliseconds from `MILLISECONDS_FROM` on: as seconds it would lie thousands of years ahead.

    Returns:
        The milliseconds, rounded down.

    Raises:
        ValueError: If it is not a time; the message does not hold the value.
    """
    if (number := _number(value)) is not None and number >= MILLISECONDS_FROM:
        return (_after_epoch(number, _MILLISECOND) - _EPOCH) // _MILLISECOND
    return (_parse(value) - _EPOCH) // _MILLISECOND


def told_milliseconds(value: Any) -> int | None:
    """Return when something happened that an event tells of (UNIX milliseconds); None for a time that cannot be."""
    try:
        moment = to_milliseconds(value)
    except ValueError:
        return None
    return moment if 0 <= moment < LAST_MILLISECONDS else None


def from_milliseconds(milliseconds: int) -> str:
    """Return UNIX milliseconds as RFC 3339 in UTC, with a fraction if there is one.

    Raises:
        ValueError: If they lie outside the years 1 to 9999.
    """
    return _write(_after_epoch(milliseconds, _MILLISECOND), "milliseconds" if milliseconds % 1000 else "seconds")


def _write(moment: datetime, precision: str = "auto") -> str:
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _parse(value: Any) -> datetime:
    """Read a time; the one place where the edges of the calendar count.

    Returns:
        The moment, in UTC.

    Raises:
        ValueError: If it is not a time, or lies outside the years 1 to 9999 in UTC.
    """
    if (number := _number(value)) is not None:
        return _after_epoch(number, _SECOND)
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(NOT_A_TIME) from None  # theirs quote the value


def _number(value: Any) -> float | None:
    """Return the number that a value is, or has as its text; None for all others."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _after_epoch(number: float, unit: timedelta) -> datetime:
    """Return the moment that lies so many units after the beginning of 1970.

    Raises:
        ValueError: If there is none in the years 1 to 9999.
    """
    try:
        return _EPOCH + number * unit
    except (ValueError, OverflowError):
        raise ValueError(NOT_A_TIME) from None


def parse_setting(text: str) -> datetime:
    """Read a date or date-time as a user writes it.

    Args:
        text: ISO 8601. A date alone is its first moment; without an offset it is UTC.

    Returns:
        The moment, in UTC.

    Raises:
        ValueError: If it is neither, or lies outside the years 1 to 9999 in UTC.
    """
    import pendulum  # noqa: PLC0415 - takes longer to load than discovery should wait

    moment = pendulum.parse(text, exact=True, tz="UTC")
    if isinstance(moment, pendulum.DateTime):
        try:
            return moment.in_timezone("UTC")
        except OverflowError:
            raise ValueError(NOT_A_TIME) from None
    if isinstance(moment, pendulum.Date):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    raise ValueError(NOT_A_TIME)
