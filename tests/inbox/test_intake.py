from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from tap_aircall.errors import InboxError
from tap_aircall.http.logs import be_discreet
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery, EventRow
from tap_aircall.inbox.server import Intake
from tests.inbox.conftest import delivery
from tests.messages import names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


def row(number: int) -> EventRow:
    return Delivery(delivery(number)).row("Acme", WEBHOOK, 0)


class Disk:
    """Stores as slowly as a test wants."""

    def __init__(self) -> None:
        self.commits: list[list[EventRow]] = []
        self.began = threading.Event()
        self.may_go_on = threading.Event()
        self.failure: Exception | None = None

    def append(self, rows: Sequence[EventRow]) -> None:
        self.began.set()
        assert self.may_go_on.wait(60)
        if self.failure is not None:
            raise self.failure
        self.commits.append(list(rows))


def while_it_runs(disk: Disk, test: Callable[[Intake], Awaitable[None]]) -> None:
    async def run() -> None:
        taking = Intake(disk.append)
        storing = asyncio.create_task(taking.run())
        await test(taking)
        storing.cancel()

    asyncio.run(run())


async def kept(taking: Intake, *numbers: int) -> list[asyncio.Task[None]]:
    """Hand in events, and let them be waiting."""
    tasks = [asyncio.create_task(taking.keep(row(number))) for number in numbers]
    await asyncio.sleep(0)
    return tasks


def test_events_that_arrive_during_a_commit_share_the_next_one() -> None:
    disk = Disk()

    async def test(taking: Intake) -> None:
        first = await kept(taking, 0)
        await asyncio.to_thread(disk.began.wait, 60)
        others = await kept(taking, *range(1, 30))
        assert not any(task.done() for task in first + others)
        disk.may_go_on.set()
        await asyncio.gather(*first, *others)

    while_it_runs(disk, test)

    assert disk.commits == [[row(0)], [row(number) for number in range(1, 30)]]


def test_a_failed_commit_fails_its_events_and_the_next_one_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tap_aircall")
    disk = Disk()
    disk.may_go_on.set()

    async def test(taking: Intake) -> None:
        for failure in (InboxError("The disk is full."), InboxError("The disk is full.")):
            disk.failure = failure
            for task in await kept(taking, 1, 2):
                with pytest.raises(InboxError):
                    await task
        disk.failure = None
        await asyncio.gather(*await kept(taking, 1, 2))

    while_it_runs(disk, test)

    assert disk.commits == [[row(1), row(2)]]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert names(caplog.messages[0], "The disk is full.")


def test_an_unexpected_failure_does_not_end_the_intake() -> None:
    be_discreet()
    disk = Disk()
    disk.may_go_on.set()

    async def test(taking: Intake) -> None:
        disk.failure = MemoryError("planted words")
        (task,) = await kept(taking, 1)
        with pytest.raises(InboxError):
            await task
        disk.failure = None
        await asyncio.gather(*await kept(taking, 2))

    while_it_runs(disk, test)

    assert disk.commits == [[row(2)]]


def test_a_cancelled_event_is_not_stored() -> None:
    disk = Disk()

    async def test(taking: Intake) -> None:
        first = await kept(taking, 0)
        await asyncio.to_thread(disk.began.wait, 60)
        given_up, wanted = await kept(taking, 1, 2)
        given_up.cancel()
        await asyncio.sleep(0)
        disk.may_go_on.set()
        await asyncio.gather(*first, wanted)

    while_it_runs(disk, test)

    assert disk.commits == [[row(0)], [row(2)]]
