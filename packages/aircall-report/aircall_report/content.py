"""The content of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aircall_report.database import PageError, one_line
from aircall_report.figures import Figures, count
from aircall_report.wording import clock

if TYPE_CHECKING:
    from datetime import tzinfo

    from aircall_report.marts import Caller, Completeness, Marts, Shift, Span, Stream


@dataclass(frozen=True)
class Content:
    """The content of the page.

    Args:
        company: Name of the company; may be empty.
        span: The days in the report; None if there are no calls.
        figures: The figures of these days.
        shifts: The shift of each agent on the last of these days on which anyone worked.
        callers: Waiting callers, latest first.
        waiting: Number of waiting callers, by the number that they called.
        streams: The age of each stream's data.
        complete: Whether calls are missing.
        made: When the report was made, in `zone`.
        zone: The company's time zone.
        clock: Its name.
        sla_seconds: Limit of seconds to answer a call.
        anonymous: Whether names of people are left out.
    """

    company: str
    span: Span | None
    figures: Figures | None
    shifts: list[Shift]
    callers: list[Caller]
    waiting: dict[int | None, int]
    streams: list[Stream]
    complete: Completeness
    made: datetime
    zone: tzinfo
    clock: str
    sla_seconds: int
    anonymous: bool


def gather(marts: Marts, *, company: str, now: datetime, time_zone: str | None) -> Content:
    """Read the marts.

    Raises:
        PageError: If the models were built with another time zone or SLA, or cannot be read.
    """
    span = marts.span(now)
    zone = _zone(time_zone, span)
    marts.check_sla()
    return Content(
        company=company,
        span=span,
        figures=count(marts, span) if span else None,
        shifts=marts.shifts(span.last) if span else [],
        callers=marts.callers(),
        waiting=marts.waiting(),
        streams=marts.streams(),
        complete=marts.completeness(),
        made=now.astimezone(zone),
        zone=zone,
        clock=time_zone or clock(zone.utcoffset(now) or timedelta()),
        sla_seconds=marts.sla_seconds,
        anonymous=marts.anonymous,
    )


def _zone(name: str | None, span: Span | None) -> tzinfo:
    """Return the time zone for times: the named one if the models' clock agrees, else that clock's offset."""
    if name is None:
        return timezone(span.offset if span else timedelta())
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # what zoneinfo raises for invalid names
        message = f"There is no time zone {one_line(name)}; use an IANA name such as Europe/Paris."
        raise PageError(message) from error
    if span and span.latest_call.astimezone(zone).utcoffset() != span.offset:
        message = (
            f"The models were built with another time zone than {one_line(name)}: at the latest call, their clock "
            f"was {clock(span.offset)}. Give theirs with --time-zone, or in DBT_AIRCALL_TIME_ZONE."
        )
        raise PageError(message)
    return zone
