"""Requests of a day of hourly runs, against the minimum that the API allows; docs/requests.md has the table.

Usage: `python -m benchmarks.day [company]`; all companies take some minutes.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any, NamedTuple

from aircall_sandbox import Sandbox, World
from aircall_sandbox.templates import new_call
from benchmarks.server import DAY, EvenCalls, EvenIndex
from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.cursors import FIRST_RUN, POSITIONS
from tap_aircall.reading.pages import PAGE_SIZE
from tap_aircall.reading.times import to_rfc3339
from tap_aircall.settings import DEFINITION
from tap_aircall.tap import TapAircall
from tap_aircall.writer import SilentWriter
from tests.clock import FakeClock

HOUR = 3_600
NOW = 1_795_438_800
"""2026-11-23T13:00:00Z, the start of the day."""
RUNS = 24
AGES = [round(hours * HOUR) for hours in DEFINITION["properties"]["reread_after_hours"]["default"]]
READ_AGAIN = sum(min(1.0, age / HOUR) for age in AGES)
"""Re-reads per call; an hourly run that reads a new call at one of these ages need not re-read it."""
PARTS = ("calls", "contacts", "user_numbers", "other lists", "ping")


class Company(NamedTuple):
    """Size of a company, and its calls per day."""

    users: int
    calls: int

    @property
    def lists(self) -> dict[str, int]:
        """Lengths of its lists."""
        few = {"teams": self.users // 10, "numbers": self.users // 2, "tags": 30, "webhooks": 5}
        return {"users": self.users, "availabilities": self.users, **few}

    @property
    def changed_contacts(self) -> int:
        """Contacts changed per hour."""
        return self.calls // 20 // RUNS


COMPANIES = {"small": Company(20, 200), "medium": Company(200, 2_000), "large": Company(2_000, 20_000)}


def lower_bound(company: Company) -> Counter[str]:
    """Return a lower bound of the requests for a day of hourly runs.

    Each run requests new calls, and all lists, which cannot be filtered for changes. Re-reads of calls could wait until
    they fill a page. The numbers of each user are read once.
    """
    lists = sum(map(_pages, company.lists.values())) + 1  # plus the company
    return Counter(
        {
            "calls": RUNS * _pages(company.calls / RUNS) + math.ceil(company.calls * READ_AGAIN / PAGE_SIZE),
            "contacts": RUNS * _pages(company.changed_contacts),
            "user_numbers": company.users,
            "other lists": RUNS * lists,
        }
    )


def measured(company: Company, owned_lists_every_hours: float) -> Counter[str]:
    """Run the tap for a day, and count its requests."""
    clock, world = FakeClock(NOW), World(now=NOW)
    _furnish(world, company)
    with Sandbox(world, clock=clock.time) as sandbox:
        state: Any = _state_before(NOW - HOUR, owned_lists_every_hours)
        for _ in range(RUNS):
            world.move_on(clock.now)
            for identity in list(world.contacts)[: company.changed_contacts]:
                world.edit_contact(identity, at=clock.now - HOUR / 2)
            tap = TapAircall(
                config={
                    "user": sandbox.api_id,
                    "password": sandbox.api_token,
                    "api_url": sandbox.url,
                    "requests_per_minute": 1_000_000,
                    "owned_lists_every_hours": owned_lists_every_hours,
                },
                state=state,
                clock=clock,
                message_writer=SilentWriter(),
            )
            tap.run()
            state = tap.state
            clock.now += HOUR
        return Counter(_part_of(log.path) for log in sandbox.requests)


def row(name: str, company: Company) -> str:
    """Measure a row of the table."""
    before, after, best = measured(company, 0).total(), measured(company, 24), lower_bound(company)
    parts = " + ".join(f"{after[part]:,}" for part in PARTS)
    ratio = after.total() / best.total()
    return (
        f"| {name}: {company.users:,} users, {company.calls:,} calls a day | {before:,} | {after.total():,} | "
        f"{best.total():,} | {ratio:.2f} | {parts} |"
    )


def _pages(records: float) -> int:
    return max(1, math.ceil(records / PAGE_SIZE))


def _part_of(path: str) -> str:
    if path.startswith("/v2/users/"):
        return "user_numbers"
    return {"/v1/calls": "calls", "/v1/contacts": "contacts", "/v1/ping": "ping"}.get(path, "other lists")


def _state_before(second: int, owned_lists_every_hours: float) -> dict[str, Any]:
    """Return a state as after weeks of hourly runs, the last of them at a UNIX second."""
    cursors = {str(age): to_rfc3339(second - age) for age in [TRAIL_SECONDS, *AGES]}
    cursors["0"] = cursors.pop(str(TRAIL_SECONDS))
    last = to_rfc3339(second - TRAIL_SECONDS)
    owned_at = to_rfc3339(int(second + HOUR / 2 - owned_lists_every_hours * HOUR))
    return {
        "bookmarks": {
            "calls": {
                FIRST_RUN: to_rfc3339(second - 60 * DAY),
                POSITIONS: cursors,
                "replication_key": "started_at",
                "replication_key_value": last,
            },
            "contacts": {"replication_key": "updated_at", "replication_key_value": last},
            "user_numbers": {"asked_at": owned_at},
        }
    }


def _furnish(world: World, company: Company) -> None:
    for kind, count in company.lists.items():
        for _ in range(count if kind != "availabilities" else 0):
            world.add(kind)  # type: ignore[arg-type]
    numbers = list(world.kinds["numbers"])
    world.user_numbers = {user: [numbers[n % len(numbers)]] for n, user in enumerate(world.kinds["users"])}
    for n in range(10 * company.users):
        world.add_contact(created_at=NOW - DAY - n)
    done = new_call(0, 0, None) | {"status": "done"}
    world.calls = EvenCalls(company.calls, [done])  # type: ignore[assignment]
    world.calls_by_start = EvenIndex(company.calls, 0, lambda: world.now)


def main() -> None:
    """Measure and print the table."""
    for name in sys.argv[1:] or COMPANIES:
        print(row(name, COMPANIES[name]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
