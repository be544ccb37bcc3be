"""The days of a company's users: they log in, take breaks, do after-call work, and log out (facts: Events)."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aircall_sandbox.templates import Record
    from aircall_sandbox.world import World

    Span = tuple[int, int]

LOGIN, LOGOUT = (time(8, 40), time(8, 59)), (time(18), time(18, 29))
"""Earliest and latest, by the clock of the user."""
BREAKS = (
    ("On a break", time(10), time(11), 8, 15, 0.8),
    ("Out for lunch", time(12), time(13, 15), 30, 60, 1.0),
    ("On a break", time(15), time(16), 8, 15, 0.7),
    ("In training", time(16, 30), time(17), 20, 40, 0.15),
)
"""Reason, earliest and latest begin, shortest and longest minutes, and probability."""
BACK_OFFICE_SECONDS = 300
"""Length of some breaks that follow after-call work at once."""
APART_SECONDS = 60
"""Least time between two breaks: without any, no event would tell them apart."""
SATURDAY = 5


class Presence(NamedTuple):
    """How the API shows a user from a UNIX second on."""

    at: int
    availability: str
    availability_status: str
    substatus: str

    @property
    def fields(self) -> Record:
        """The fields of the user."""
        return {name: value for name, value in self._asdict().items() if name != "at"}


def talks_of(world: World) -> dict[int, list[Span]]:
    """Return when each user was on calls, in order: an outbound call keeps its user busy from its start."""
    talks: dict[int, list[Span]] = defaultdict(list)
    for call in world.calls.values():
        began = call["started_at"] if call["direction"] == "outbound" else call["answered_at"]
        user = call["transferred_to"] or call["user"]
        if user and began and began <= world.now:
            talks[user["id"]].append((began, call["ended_at"] or int(world.now) + 1))
    return {user: sorted(spans) for user, spans in talks.items()}


def presence_of(user: Record, talks: Sequence[Span], since: int, until: int, draw: random.Random) -> Iterator[Presence]:
    """Yield how the API shows a user at a UNIX second, and at each change until another."""
    talks = [talk for talk in talks if talk[1] > since]
    works = list(_after_call_work(talks, user["wrap_up_time"]))
    online, breaks = _days(ZoneInfo(user["time_zone"]), sorted([*talks, *works]), since, until, draw)
    for _, begin in works[::3]:
        end = begin + BACK_OFFICE_SECONDS
        taken = [*talks, *((a - APART_SECONDS, b + APART_SECONDS) for a, b in breaks)]
        if not any(a < end and begin < b for a, b in taken):
            breaks[begin, end] = "Back office"
    edges = {edge for spans in (talks, works, online, breaks) for span in spans for edge in span}
    shown = None
    for at in sorted({since, *(edge for edge in edges if since < edge <= until)}):
        reason = breaks.get(_during(breaks, at) or (0, 0))
        if _during(talks, at):
            availability = "in_call"
        elif _during(works, at):
            availability = "after_call_work"
        elif not _during(online, at):
            availability = "offline"
        else:
            availability = "do_not_disturb" if reason else "available"
        status = ("unavailable", reason) if reason else ("available", "always_opened")
        if shown != (shown := (availability, *status)):
            yield Presence(at, *shown)


def _after_call_work(talks: Sequence[Span], seconds: int) -> Iterator[Span]:
    """Yield the after-call work of a user, which the next call ends."""
    for _, end in talks if seconds else ():
        following = min((a for a, b in talks if b > end), default=end + seconds)
        if following > end:
            yield end, min(end + seconds, following)


def _days(
    zone: ZoneInfo, busy: Sequence[Span], since: int, until: int, draw: random.Random
) -> tuple[list[Span], dict[Span, str]]:
    """Return when a user is logged in, and their breaks, which wait until they are free."""
    online: list[Span] = []
    breaks: dict[Span, str] = {}
    day = datetime.fromtimestamp(since, zone).date()
    while day <= datetime.fromtimestamp(until, zone).date():

        def between(earliest: time, latest: time) -> int:
            begin, end = (datetime.combine(day, at, zone).timestamp() for at in (earliest, latest))  # noqa: B023
            return draw.randint(int(begin), int(end))

        if day.weekday() < SATURDAY:
            online.append((between(*LOGIN), between(*LOGOUT)))
            free_at = 0
            for reason, earliest, latest, least, most, share in BREAKS:
                begin, seconds = max(between(earliest, latest), free_at), draw.randint(60 * least, 60 * most)
                for a, b in busy:
                    begin = b if a < begin + seconds and begin < b else begin
                if draw.random() < share:
                    breaks[begin, begin + seconds] = reason
                    free_at = begin + seconds + APART_SECONDS
        day += timedelta(days=1)
    return online, breaks


def _during(spans: Iterable[Span], at: int) -> Span | None:
    """Return the span that a second is in."""
    return next((span for span in spans if span[0] <= at < span[1]), None)


def live(world: World, talks: Mapping[int, Sequence[Span]], since: int, draw: random.Random) -> None:
    """Let the users of a company live their days since a UNIX second, and show them as they are now."""
    for identity, user in world.kinds["users"].items():
        found = list(presence_of(user, talks.get(identity, ()), since, int(world.now), draw))
        world.presence[identity] = found
        user.update(found[-1].fields)
