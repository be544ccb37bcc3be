"""Formats of numbers, times and names on the page. An absent value is an en dash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

NOTHING = "\u2013"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
REASONS = {
    "out_of_opening_hours": "Outside opening hours",
    "abandoned_in_ivr": "Caller hung up in the menu",
    "abandoned_in_classic": "Caller hung up while waiting",
    "short_abandoned": "Caller hung up within 10 s",
    "no_available_agent": "No agent was available",
    "agents_did_not_answer": "Agents did not pick up",
}
STATES = {
    "on_call": "on a call",
    "after_call_work": "after-call work",
    "available": "available",
    "away": "away",
}
CHANNELS = {"sms": "Text message", "whatsapp": "WhatsApp", "group": "Group text"}
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def number(value: int) -> str:
    """Return a count: 12,530."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return a count with its noun: 1 call, 2 calls."""
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def share(part: int, whole: int) -> str:
    """Return a share in percent; 0% and 100% only where they are exact."""
    if not whole:
        return NOTHING
    percent = round(100 * part / whole)
    if percent == 0 and part:
        return "<1%"
    if percent >= 100 and part < whole:  # noqa: PLR2004 - percent
        return ">99%"
    return f"{percent}%"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: 14 s, 3 min 20 s, 5 h 10 min, 3 days."""
    if seconds is None:
        return NOTHING
    whole = max(round(seconds), 0)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s".removesuffix(" 0 s")
    if whole < 2 * DAY:
        return f"{whole // HOUR:,} h {whole % HOUR // MINUTE} min".removesuffix(" 0 min")
    return f"{whole // DAY:,} days"


def breaks(text: str) -> str:
    """Return the breaks of a mart, which are in seconds, to the minute: Out for lunch: 45 min."""
    return re.sub(r"(?<=: )[0-9]{1,9}(?=, |$)", lambda found: duration(round(int(found[0]) / MINUTE) * MINUTE), text)


def hours(seconds: int) -> str:
    """Return working time: 12.5 h."""
    return f"{seconds / HOUR:,.1f} h"


def average(total: int, count: int) -> str:
    """Return the average of durations."""
    return duration(total / count if count else None)


def day(value: date) -> str:
    """Return a day: 24 Nov 2026."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def weekday(value: date) -> str:
    """Return a day with its weekday: Tue 24 Nov 2026."""
    return f"{DAYS[value.weekday()][:3]} {day(value)}"


def moment(value: datetime) -> str:
    """Return a time: 24 Nov 2026, 21:06."""
    return f"{day(value)}, {value:%H:%M}"


def recent(value: datetime, now: datetime) -> str:
    """Return a time, without its year if that is the current one: 24 Nov, 21:06."""
    if value.year != now.year:
        return moment(value)
    return f"{value.day} {MONTHS[value.month - 1]}, {value:%H:%M}"


def clock(offset: timedelta) -> str:
    """Return the name of an offset from UTC: UTC+01:00."""
    minutes = round(offset.total_seconds() / MINUTE)
    if not minutes:
        return "UTC"
    sign = "+" if minutes > 0 else "\u2212"
    return f"UTC{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
