"""Stores of both kinds, empty; and receivers."""

from __future__ import annotations

import json
import math
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_aircall.inbox.deliveries import DELIVERIES, WEBHOOK, fingerprint
from tap_aircall.inbox.server import Receiver, Server
from tap_aircall.inbox.store import Inbox, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.clock import FakeClock


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an inbox may be made: a file, and then a database."""
    if request.param == "sqlite":
        return str(tmp_path / "inbox.db")
    url: str = request.getfixturevalue("postgres").url
    return url


@pytest.fixture
def inbox(location: str) -> Iterator[Inbox]:
    """An empty inbox."""
    inbox = Inbox.open(location, create=True)
    yield inbox
    inbox.close()


def event(name: str = "call.created", **fields: Any) -> dict[str, Any]:
    """Make the body of a delivery."""
    return {"resource": "call", "event": name, "timestamp": 1_700_000_000, "token": "secret", "data": {}, **fields}


SECRET = "planted-token"
"""The watch over the suite's logs knows it."""


def delivery(number: Any, **fields: Any) -> bytes:
    """Make a delivery as it comes in, with a secret and with a person."""
    data = {"id": number, "body": "planted words", "raw_digits": "+33 6 12 34 56 78"}
    return json.dumps(event("call.tagged", **{"token": SECRET, "data": data, **fields})).encode()


def known(token: str = SECRET, company: str = "Acme", kind: str = WEBHOOK) -> Webhook:
    """Return what makes a token known."""
    return Webhook(fingerprint(token), company, kind, None, "https://hooks.example.com/aircall", [], 0)


def ids(inbox: Inbox, company: str = "Acme") -> list[Any]:
    """Return the ids in the data of a company's events, in the order of their positions."""
    return [each.body["data"]["id"] for page in inbox.events(company, 0, 10**15) for each in page]


class Running:
    """A receiver that runs in a thread."""

    def __init__(self, inbox: Inbox, clock: FakeClock, *, largest: float = math.inf, **options: Any) -> None:
        self.inbox = inbox
        self.clock = clock
        self.server = Server(Receiver(inbox, clock, largest), **options)
        self.url = self.server.url
        self.port = self.server.listener.getsockname()[1]
        self._http = requests.Session()
        self._http.trust_env = False
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.server.listener]})
        self._thread.start()

    def post(self, body: Any, path: str = DELIVERIES, **options: Any) -> requests.Response:
        """Deliver something, as Aircall does."""
        return self._http.post(f"{self.url}{path}", data=body, timeout=60, **options)

    def get(self, path: str) -> requests.Response:
        """Ask for something."""
        return self._http.get(f"{self.url}{path}", timeout=60)

    def connect(self) -> socket.socket:
        """Connect, and say nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def stop(self) -> None:
        """End it, once it has finished what it accepted."""
        self._http.close()
        self.server.should_exit = True
        self._thread.join()


@pytest.fixture
def make_receiver(clock: FakeClock) -> Iterator[Callable[..., Running]]:
    """Run receivers for a test."""
    running: list[Running] = []

    def make(inbox: Inbox, **options: Any) -> Running:
        running.append(Running(inbox, clock, **options))
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def receiver(make_receiver: Callable[..., Running], tmp_path: Path) -> Iterator[Running]:
    """A receiver with a file, and one token that it knows."""
    inbox = Inbox.open(str(tmp_path / "inbox.db"), create=True, patience=0.05)
    inbox.add_webhook(known())
    running = make_receiver(inbox)
    yield running
    running.stop()
    inbox.close()
