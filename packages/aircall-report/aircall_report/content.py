"""The content of the page."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aircall_report.database import PageError, one_line
from aircall_report.figures import count
from aircall_report.wording import clock

if TYPE_CHECKING:
    from datetime import tzinfo

    from aircall_report.marts import Marts, Span


class Content:
    """The content of the page, read from the marts.

    Args:
        marts: The marts.
        company: Name of the company; may be empty.
        now: The current time.
        time_zone: Name of the time zone that the models were built with; None if unknown.

    Raises:
        PageError: If the models were built with another time zone or SLA, or cannot be read.
    """

    def __init__(self, marts: Marts, *, company: str, now: datetime, time_zone: str | None) -> None:
        self.company = company
        self.sla_seconds = marts.sla_seconds
        self.anonymous = marts.anonymous
        self.span = span = marts.span(now)
        """The days in the report; None if there are no calls."""
        self.zone = _zone(time_zone, span)
        self.clock = time_zone or clock(self.zone.utcoffset(now) or timedelta())
        """Name of the time zone."""
        self.made = now.astimezone(self.zone)
        marts.check_sla()
        self.figures = count(marts, span) if span else None
        self.shifts = marts.shifts(span.last) if span else []
        """The shift of each agent on the last of these days on which anyone worked."""
        self.callers = marts.callers()
        """Waiting callers, latest first."""
        self.waiting = marts.waiting()
        """Number of waiting callers, by the number that they called."""
        self.streams = marts.streams()
        self.complete = marts.completeness()


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
