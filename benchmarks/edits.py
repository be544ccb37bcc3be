"""Requests a day for calls, and how old an edit is in the warehouse: with an inbox and two ages, and with six ages.

A company has 1,000 calls a day and edits 300 old ones, at ages between half an hour and 29 days, as many in each
doubling of the age. The tap runs every hour, over real HTTP, by a clock of its own.

Usage: `python -m benchmarks.edits [days]`.
"""

from __future__ import annotations

import logging
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from aircall_sandbox import Sandbox, World
from aircall_sandbox.events import of_change
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery
from tap_aircall.inbox.store import Inbox
from tap_aircall.tap import TapAircall
from tap_aircall.writer import InterruptibleWriter
from tests.clock import FakeClock

if TYPE_CHECKING:
    from aircall_sandbox.templates import Record

HOUR, DAY = 3_600, 86_400
BEGIN = 1_795_438_800
CALLS, EDITS = 1_000, 300
"""A day."""
YOUNGEST, OLDEST = 0.5 * HOUR, 29 * DAY
"""Ages at which calls are edited."""
SIX: list[float] = [0.5, 6, 24, 72, 168, 720]
TWO: list[float] = [24, 720]


class Warehouse(InterruptibleWriter):
    """Notes when an edit arrives, and keeps the last state.

    Args:
        clock: Says when.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.waiting: dict[tuple[int, int], float] = {}
        """When edits were made that have not arrived: by call, and number of the edit."""
        self.ages: list[float] = []
        """Seconds that those took that have."""
        self.state: Record = {}

    @override
    def send(self, messages: list[Record]) -> None:
        for message in messages:
            if message["type"] == "STATE":
                self.state = message["value"]
            for comment in message["record"]["comments"] if message["type"] == "RECORD" else ():
                made_at = self.waiting.pop((message["record"]["id"], comment["id"]), None)
                if made_at is not None:
                    self.ages.append(self.clock.now - made_at)


def main() -> None:
    """Measure and print."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 26
    logging.disable(logging.WARNING)
    for name, ages, has_inbox, last in (("inbox, two ages", TWO, True, 3), ("six ages", SIX, False, days)):
        requests, taken, missing = simulate(ages, last, has_inbox=has_inbox)
        late = sorted(taken)
        print(  # noqa: T201
            f"{name}: {requests:.0f} requests a day; an edit arrives after {statistics.median(late) / HOUR:.1f} h "
            f"(median), {late[-1] / HOUR:.1f} h at the latest of {len(late):,}; {missing:,} not within {last} days"
        )


def simulate(ages: list[float], days: int, *, has_inbox: bool) -> tuple[float, list[float], int]:
    """Let a company work for some days, with edits in the first two.

    Returns:
        Requests a day in the second day; how many seconds each edit took that arrived; how many did not.
    """
    clock, dice = FakeClock(BEGIN), random.Random(1)  # noqa: S311 - not for secrets
    world = World(now=clock.now)
    calls = [add(world, BEGIN - 31 * DAY + n * DAY // CALLS) for n in range(31 * CALLS)]
    with tempfile.TemporaryDirectory() as folder, Sandbox(world, clock=clock.time) as sandbox:
        location = str(Path(folder) / "inbox.db")
        inbox, told = Inbox.open(location, create=True), list[bytes]()
        if has_inbox:
            world.changed = lambda kind, before, after: told.extend(
                encoded(event.name, event.data, world.now + event.after) for event in of_change(kind, before, after)
            )
        tell(inbox, [encoded("number.created", {"id": 1}, clock.now)])
        warehouse = Warehouse(clock)
        config: dict[str, Any] = {
            "user": sandbox.api_id,
            "password": sandbox.api_token,
            "api_url": sandbox.url,
            "requests_per_minute": 1_000_000,
            "reread_after_hours": ages,
            "streams": ["calls"],
            **({"inbox": location} if has_inbox else {}),
        }
        run(config, warehouse)
        counted = 0
        for hour in range(24 * days):
            begin = clock.now
            calls += [add(world, int(begin) + n * DAY // CALLS) for n in range(1, CALLS // 24 + (hour % 3 != 0))]
            moments = sorted(begin + HOUR * dice.random() for _ in range(EDITS // 24 + hour % 2))
            for moment in moments if hour < 48 else ():  # noqa: PLR2004 - two days
                clock.now = moment
                world.move_on(moment)
                edit(world, calls, warehouse, moment - YOUNGEST * (OLDEST / YOUNGEST) ** dice.random())
            clock.now = begin + HOUR
            world.move_on(clock.now)
            tell(inbox, told)
            told.clear()
            before = len(sandbox.requests)
            run(config, warehouse)
            asked = sum(log.path != "/v1/ping" for log in sandbox.requests[before:])
            counted += asked if 24 <= hour < 48 else 0  # noqa: PLR2004 - the second day
        inbox.close()
    return counted, warehouse.ages, len(warehouse.waiting)


def add(world: World, started_at: int) -> int:
    """Add a call; return its id."""
    call_id: int = world.add_call(started_at=started_at, talk_seconds=180)["id"]
    return call_id


def edit(world: World, calls: list[int], warehouse: Warehouse, started_at: float) -> None:
    """Comment on the call that began at a time, or just after."""
    place = int((started_at - (BEGIN - 31 * DAY)) / (DAY / CALLS))
    call_id = calls[max(0, min(place, len(calls) - 1))]
    comments = world.calls[call_id]["comments"]
    number = len(comments) + 1
    warehouse.waiting[call_id, number] = warehouse.clock.now
    world.edit_call(call_id, comments=[*comments, {"id": number, "content": "x", "posted_at": int(world.now)}])


def encoded(event: str, data: Record, happened_at: float) -> bytes:
    """Return a delivery."""
    return msgspec.json.encode({"event": event, "timestamp": int(happened_at), "data": data})


def tell(inbox: Inbox, bodies: list[bytes]) -> None:
    """Put deliveries into the inbox."""
    if bodies:
        inbox.append([Delivery(body).row("Acme", WEBHOOK, 0) for body in bodies])


def run(config: Record, warehouse: Warehouse) -> None:
    """Run the tap once, from where it was."""
    state = warehouse.state or None
    TapAircall(config=config, state=state, clock=warehouse.clock, message_writer=warehouse).run()


if __name__ == "__main__":
    main()
