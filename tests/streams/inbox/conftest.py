"""An Aircall whose webhooks fill a real inbox."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox.events import EVENTS
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery
from tap_aircall.inbox.store import Inbox
from tests.clock import NOW
from tests.receiving import PUBLIC, Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Aircall, Run

T0 = int(NOW)
COMPANY = "Acme"


def said(event: str, happened: float = 0, **data: Any) -> dict[str, Any]:
    """Return a delivery of an event that happened so many seconds after `NOW`."""
    return {"resource": "x", "event": event, "timestamp": T0 + happened, "data": data}


@dataclass
class Hooked:
    """An Aircall, a receiver of its webhooks, and the inbox that it fills."""

    aircall: Aircall
    location: str
    inbox: Inbox
    receiver: Receiver

    def deliver(self, seconds: float = 5) -> None:
        """Let time pass, and put what Aircall delivers into the inbox, in the order in which it comes."""
        self.aircall.clock.now += seconds
        before = len(self.receiver.bodies)
        self.aircall.sandbox.webhooks.deliver()
        self.put(*self.receiver.bodies[before:])

    def put(self, *bodies: dict[str, Any], company: str = COMPANY, kind: str = WEBHOOK) -> None:
        """Put deliveries into the inbox."""
        now = int(self.aircall.clock.now * 1000)
        if rows := [Delivery(json.dumps(body).encode()).row(company, kind, now) for body in bodies]:
            self.inbox.append(rows)

    def tell(self, event: str, happened: float = 0, company: str = COMPANY, **data: Any) -> None:
        """Put one event into the inbox; see `said`."""
        self.put(said(event, happened, **data), company=company)

    def run(self, *streams: str, **options: Any) -> Run:
        """Run the tap with the inbox."""
        return self.aircall.run(*streams, **{"inbox": self.location, **options})


@pytest.fixture
def hooked(aircall: Aircall, tmp_path: Path) -> Iterator[Hooked]:
    """All of it, with one webhook for all events."""
    location = str(tmp_path / "inbox.db")
    inbox = Inbox.open(location, create=True)
    with receiver() as server:
        webhooks = aircall.sandbox.webhooks
        webhooks.forwards[PUBLIC] = server.url
        aircall.world.add("webhooks", url=PUBLIC, events=list(EVENTS))
        yield Hooked(aircall, location, inbox, server)
    inbox.close()
