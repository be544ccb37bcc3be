"""Receivers are killed under load, again and again. Every event that got a 200 is in the stream exactly once."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.inbox.processes import Fleet, Follower, Sender
from tests.slow import few_or_many

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.postgres import Postgres

KILLS = few_or_many(3, 100)


def survive(aircall: Aircall, location: str, receivers: int, seed: int) -> None:
    fleet, follower, dice = Fleet(location, receivers), Follower(location), random.Random(seed)  # noqa: S311 - not for secrets
    senders = [Sender(fleet.ports, first * 1_000_000, seed + first) for first in range(4)]
    for thread in (follower, *senders):
        thread.start()
    for _ in range(KILLS):
        before = sum(len(sender.taken) for sender in senders)
        while sum(len(sender.taken) for sender in senders) < before + dice.randint(5, 60):
            time.sleep(0.002)
        fleet.kill(dice.randrange(receivers))
    for sender in senders:
        sender.end()
    exit_codes = fleet.stop()
    follower.end()

    taken = sorted(number for sender in senders for number in sender.taken)
    assert set(exit_codes) <= {0, -signal.SIGTERM}  # the last one that was killed may not have begun again
    assert sorted(follower.seen) == taken
    records = aircall.run("webhook_events", inbox=location).records("webhook_events")
    assert [record["body"]["data"]["id"] for record in records] == follower.seen
    assert sum(sender.failures for sender in senders) > 0


@pytest.mark.timeout(1800)
def test_a_killed_receiver_loses_and_duplicates_nothing(aircall: Aircall, tmp_path: Path) -> None:
    survive(aircall, str(tmp_path / "inbox.db"), receivers=1, seed=1)


@pytest.mark.timeout(1800)
def test_three_killed_receivers_on_one_database_lose_nothing(aircall: Aircall, postgres: Postgres) -> None:
    survive(aircall, postgres.url, receivers=3, seed=2)
