"""What the users of a company truly did, what Aircall tells of it, and what the marts of their time have to say.

It has nothing of the models: it goes through the day second by second where something changes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from aircall_sandbox import presence
from aircall_sandbox.events import of_change
from tests.targets.answers import iso, local, seconds, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aircall_sandbox import World
    from aircall_sandbox.presence import Presence
    from tests.targets.answers import Answers, Told

Record = dict[str, Any]
Span = tuple[int, int]
DAY, HOUR, QUARTER = 86_400, 3_600, 900
DAYS = 5
"""Of how many days the inbox knows."""
STATES = {"in_call": "on_call", "do_not_disturb": "away"}


class Stretch(NamedTuple):
    """What a user did for a while; `is_known` once something other than their calls told of them."""

    user: int
    begin: int
    end: int
    state: str
    reason: str | None
    is_known: bool


def talks(rows: Iterable[Record], told: Told, now: int) -> Iterator[tuple[int, Span]]:
    """Yield who was on which call, and when, from the rows of `aircall__calls`."""
    for row in rows:
        began, ended, answered = (
            row[name] and seconds(f"{row[name]}Z") for name in ("started_at", "ended_at", "answered_at")
        )
        if row["direction"] == "inbound":
            began = answered
        if began is None:
            continue
        handed_over = max(
            (
                seconds(event["happened_at"])
                for event in told.call_events
                if event["call_id"] == row["call_id"] and event["event"] == "call.transferred"
            ),
            default=0,
        )
        by, to = row["transferred_by_id"], row["main_user_id"] or row["transferred_to_id"]
        if by and to and by != to and answered and answered <= handed_over <= (ended or now):
            yield by, (began, handed_over)
            yield to, (handed_over, ended or now + 1)
        elif user := row["main_user_id"] or row["user_id"]:
            yield user, (began, ended or now + 1)


def live(world: World, rows: list[Record], told: Told) -> list[Stretch]:
    """Let users live their days, and tell the inbox and the polls of it.

    When the first of them went last is lost, and seen by a poll. Of the last, only calls are known.
    """
    now = int(world.now)
    since = now // DAY * DAY - DAYS * DAY
    on_calls: dict[int, list[Span]] = defaultdict(list)
    for user, span in sorted(talks(rows, told, now)):
        on_calls[user].append(span)
    presence.live(world, on_calls, since, random.Random(1))  # noqa: S311 - no secret
    *users, _ = world.kinds["users"]
    stretches = []
    for place, user in enumerate(users):
        lived = world.presence[user]
        gone = max(each.at for each in lived[1:] if each.availability == "offline")
        _tell(told, world.kinds["users"][user], lived, lost=gone if place == 0 else None)
        at = {0: gone, 1: now}.get(place, now - 600)
        seen = next(each for each in reversed(lived) if each.at <= at)
        told.user_availabilities.append({"id": user, "availability": seen.availability, "time_extracted": iso(at)})
        stretches += [*_of_calls(user, on_calls.pop(user, []), since), *_of_days(user, lived, now)]
    for user, spans in on_calls.items():
        stretches += _of_calls(user, spans, now)
    random.Random(1).shuffle(told.user_events)  # noqa: S311 - they come in any order
    return stretches


def _of_calls(user: int, spans: list[Span], until: int) -> Iterator[Stretch]:
    """Yield when a user of whom nothing else is known was on calls."""
    for begin, end in pairwise(sorted({min(edge, until) for span in spans for edge in span})):
        if any(a <= begin < b for a, b in spans):
            yield Stretch(user, begin, end, "on_call", None, is_known=False)


def _of_days(user: int, lived: list[Presence], now: int) -> Iterator[Stretch]:
    """Yield what a user did in the days of which the inbox knows, from their first event on."""
    for place, (shown, end) in enumerate(zip(lived, [*(each.at for each in lived[1:]), now], strict=True)):
        state = STATES.get(shown.availability, shown.availability)
        if (place or state == "on_call") and shown.at < end:
            yield Stretch(user, shown.at, end, state, shown.substatus if state == "away" else None, place > 0)


def _tell(told: Told, user: Record, lived: list[Presence], lost: int | None) -> None:
    """Tell the inbox of all changes but those of one second, each in both of the forms that Aircall has for it."""
    for before, after in pairwise(lived):
        for event in of_change("users", user | before.fields, user | after.fields) if after.at != lost else ():
            told.user_events.append(
                {
                    "event_id": f"{len(told.user_events):032x}",
                    "event": event.name,
                    "happened_at": iso(after.at),
                    "user_id": user["id"],
                    "substatus": event.data["substatus"],
                }
            )


def marts(answers: Answers, stretches: list[Stretch]) -> dict[str, list[Record]]:
    """Return the rows of the marts of agents' time."""
    of_hour: dict[tuple[Any, ...], list[Stretch]] = defaultdict(list)
    of_day: dict[tuple[Any, ...], list[Stretch]] = defaultdict(list)
    of_quarter: dict[int, list[Span]] = defaultdict(list)
    free: dict[int, list[Span]] = defaultdict(list)
    for stretch in stretches:
        for at, begin, end in _quarters(stretch.begin, stretch.end) if stretch.state != "offline" else ():
            part = stretch._replace(begin=begin, end=end)
            of_hour[stretch.user, local(at).date(), local(at).hour].append(part)
            of_day[stretch.user, local(at).date()].append(part)
            if stretch.state == "available":
                free[at].append((begin, end))
    begun: dict[int, list[Record]] = defaultdict(list)
    for row in answers.ended:
        started, ended = (seconds(f"{row[name]}Z") for name in ("started_at", "ended_at"))
        begun[started - started % QUARTER].append(row)
        for at, begin, end in _quarters(started, ended):
            of_quarter[at].append((begin, end))
    names = answers.names["user"]
    since = min(stretch.begin for stretch in stretches if stretch.is_known)
    return {
        "agent_hours": [
            {"user_id": user, "date": date, "hour": hour, "user_name": answers.names["user"].get(user)}
            | _figures(parts)
            for (user, date, hour), parts in of_hour.items()
        ],
        "agent_shifts": [
            {
                "user_id": user,
                "date": date,
                "user_name": names.get(user),
                "began_at_local": local(min(part.begin for part in parts)),
                "ended_at_local": local(max(part.end for part in parts)),
                "breaks": _breaks(parts),
            }
            | _figures(parts)
            for (user, date), parts in of_day.items()
        ],
        "concurrency": [
            {
                "quarter_starts_at": utc(at),
                "quarter_starts_at_local": local(at),
                "date": local(at).date(),
                "hour": local(at).hour,
                "calls_at_once": max(_levels(at, of_quarter[at])),
                "is_presence_known": at >= since,
                "agents_free_min": min(_levels(at, free[at])) if at >= since else None,
                "agents_free_max": max(_levels(at, free[at])) if at >= since else None,
                "inbound_calls": len([row for row in begun[at] if row["direction"] == "inbound"]),
                "missed_calls": len([row for row in begun[at] if row["is_missed"]]),
                "missed_no_available_agent": len(
                    [row for row in begun[at] if row["missed_call_reason"] == "no_available_agent"]
                ),
            }
            for at in of_quarter.keys() | free.keys()
        ],
    }


def _quarters(begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the quarter hours that a time touches, and the part of it in each."""
    for at in range(begin - begin % QUARTER, max(end, begin + 1), QUARTER):
        yield at, max(at, begin), min(at + QUARTER, end)


def _levels(at: int, spans: list[Span]) -> list[int]:
    """Return how many go on at once whenever that changes in a quarter hour."""
    edges = {at, *(edge for span in spans for edge in span if edge < at + QUARTER)}
    return [sum(begin <= edge < end for begin, end in spans) for edge in edges]


def _figures(parts: list[Stretch]) -> Record:
    lasted = {
        state: sum(part.end - part.begin for part in parts if part.state == state)
        for state in ("on_call", "after_call_work", "available", "away")
    }
    is_known = any(part.is_known for part in parts)
    busy = lasted["on_call"] + lasted["after_call_work"]
    whole = busy + lasted["available"]
    return {
        "is_presence_known": is_known,
        "on_call_seconds": lasted.pop("on_call"),
        **{f"{state}_seconds": length if is_known else None for state, length in lasted.items()},
        "occupancy": busy / whole if is_known and whole else None,
    }


def _breaks(parts: list[Stretch]) -> str | None:
    lasted: dict[str, int] = defaultdict(int)
    for part in parts:
        if part.state == "away":
            lasted[str(part.reason)] += part.end - part.begin
    return ", ".join(f"{reason}: {lasted[reason]}" for reason in sorted(lasted)) or None
