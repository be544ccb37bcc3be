"""Times as Aircall sends them, as the tap emits them, and as users write them.

Aircall mixes UNIX seconds and ISO 8601 strings (facts: Times, ids and texts). They leave the tap as RFC 3339 in UTC.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

_UTC_STRING = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_YEAR_10000 = 253_402_300_800
MILLISECONDS_FROM = 10**11
"""From this number on, a time that webhooks tell is in milliseconds; it stands for a day in 1973."""
_IN_AN_HOUR = [f"{minute:02d}:{second:02d}Z" for minute in range(60) for second in range(60)]
HOURS = 10_000
"""How many are remembered: more than a year of them."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class _Hours(dict[int, str]):
    """Dates with their hours, such as `2026-11-23T13:`, by hours since 1970.

    The times of a call, and those of its neighbours, share them.
    """

    def __missing__(self, hour: int) -> str:
        if len(self) >= HOURS:
            self.clear()
        self[hour] = datetime.fromtimestamp(hour * 3600, UTC).isoformat()[:14]
        return self[hour]


_HOURS = _Hours()


def to_rfc3339(value: Any) -> str:
    """Turn a time of Aircall's into RFC 3339 in UTC.

    Args:
        value: UNIX seconds, as a number or in a string, or an ISO 8601 string with any offset. A string that is in UTC
            already stays as it is, with its fraction.

    Raises:
        ValueError: If it is not a time; the message does not hold the value.
    """
    if type(value) is int and 0 <= value < _YEAR_10000:
        return _HOURS[value // 3600] + _IN_AN_HOUR[value % 3600]
    if type(value) is str:
        return _from_text(value)
    return _format(_parse(value))


def to_seconds(value: Any) -> int:
    """Turn a time of Aircall's, or one that `to_rfc3339` made, into whole UNIX seconds, rounded down.

    Raises:
        ValueError: If it is not a time; the message does not hold the value.
    """
    if type(value) is int and 0 <= value < _YEAR_10000:
        return value
    return math.floor(_parse(value))


def to_milliseconds(value: Any) -> int:
    """Turn a time of a webhook's into UNIX milliseconds, whatever form it has (facts: What deliveries hold).

    Args:
        value: UNIX seconds or milliseconds, as a number or in a string, or an ISO 8601 string. A number is taken for
            milliseconds from `MILLISECONDS_FROM` on: as seconds it would lie thousands of years ahead.

    Raises:
        ValueError: If it is no time; the message does not hold the value.
    """
    number = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if isinstance(number, int | float) and MILLISECONDS_FROM <= number < _YEAR_10000 * 1000:
        return int(number)
    return round(_parse(number) * 1000)


def from_milliseconds(milliseconds: int) -> str:
    """Return UNIX milliseconds of a year that can be written as RFC 3339 in UTC, with a fraction if there is one."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    text = moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


@lru_cache(maxsize=4096)
def _from_text(text: str) -> str:
    seconds = _parse(text)
    return text if _UTC_STRING.fullmatch(text) else _format(seconds)


def _format(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00") + "Z"


def _parse(value: Any) -> float:
    """Read a time, in UNIX seconds with their fraction."""
    try:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            seconds = float(value) if isinstance(value, str) else value
            datetime.fromtimestamp(seconds, UTC)  # within the years that a date can have
            return seconds
    except (ValueError, OverflowError, OSError):
        pass
    message = "not a time"
    raise ValueError(message)


def parse_setting(text: str) -> datetime:
    """Read a date or date-time as a user writes it.

    Args:
        text: ISO 8601. A date alone is its first moment; without an offset it is UTC.

    Returns:
        The moment, in UTC.

    Raises:
        ValueError: If it is neither.
    """
    import pendulum  # noqa: PLC0415 - takes longer to load than discovery should wait

    moment = pendulum.parse(text, exact=True, tz="UTC")
    if isinstance(moment, pendulum.DateTime):
        return moment.in_timezone("UTC")
    if isinstance(moment, pendulum.Date):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    message = "not a date"
    raise ValueError(message)
