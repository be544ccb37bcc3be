"""Receivers in processes of their own, which are killed and started again, and an Aircall that delivers to them.

The processes are forked from one that has imported the receiver already, since there are many of them.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_aircall.inbox.server import Receiver, Server
from tap_aircall.inbox.store import Inbox
from tap_aircall.reading.clock import Clock
from tests.inbox.conftest import SECRET, event, known

if TYPE_CHECKING:
    from collections.abc import Sequence

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.inbox.processes"])


def serve(location: str, port: int) -> None:
    """Receive at a port until a signal comes."""
    inbox = Inbox.open(location, create=True, patience=3)
    Server(Receiver(inbox, Clock()), port=port).serve_until_signal()


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Fleet:
    """Receivers that share a store.

    Args:
        location: The store.
        size: How many.
    """

    def __init__(self, location: str, size: int) -> None:
        with closing(Inbox.open(location, create=True)) as inbox:
            inbox.add_webhook(known())
        self.ports = [free_port() for _ in range(size)]
        self._location = location
        self._processes = [self._start(port) for port in self.ports]

    def kill(self, number: int) -> None:
        """Kill one, in the middle of whatever it does, and start it again."""
        process = self._processes[number]
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
        self._processes[number] = self._start(self.ports[number])

    def stop(self) -> list[int | None]:
        """End all as a service manager does; return their exit codes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        return [process.exitcode for process in self._processes]

    def _start(self, port: int) -> multiprocessing.context.ForkServerProcess:
        process = FORKED.Process(target=serve, args=(self._location, port))
        process.start()
        return process


class Sender(threading.Thread):
    """Delivers events at least once: each until a receiver responds with 200, and some again.

    Args:
        ports: Ports of the receivers.
        first: Number of its first event.
        seed: What its dice are cast with.
    """

    def __init__(self, ports: Sequence[int], first: int, seed: int) -> None:
        super().__init__()
        self.taken: list[int] = []
        """Numbers of the events that got a 200."""
        self.failures = 0
        self._ports = ports
        self._next = first
        self._dice = random.Random(seed)  # noqa: S311 - not for secrets
        self._ended = threading.Event()

    @override
    def run(self) -> None:
        """Deliver until the end is asked for."""
        while not self._ended.is_set():
            body = json.dumps(event("call.tagged", token=SECRET, data={"id": self._next})).encode()
            while not self._deliver(body):
                self.failures += 1
                time.sleep(0.01)
            self.taken.append(self._next)
            if self._dice.random() < 0.1:
                self._deliver(body)
            self._next += 1

    def end(self) -> None:
        """Finish the event that is under way, and no more."""
        self._ended.set()
        self.join()

    def _deliver(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._dice.choice(self._ports), timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/aircall", body)
            return connection.getresponse().status == 200
        return False


class Follower(threading.Thread):
    """Reads the inbox as the tap does: each time from the last position that it has seen."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self.seen: list[int] = []
        """Numbers of the events, in the order in which they were read."""
        self._location = location
        self._ended = threading.Event()

    @override
    def run(self) -> None:
        """Read until the end is asked for, and then to the end."""
        after, is_over = 0, False
        while not is_over:
            is_over = self._ended.is_set()
            with closing(Inbox.open(self._location, create=False)) as inbox:
                for page in inbox.events("Acme", after, inbox.last_position("Acme")):
                    self.seen.extend(each.body["data"]["id"] for each in page)
                    after = page[-1].position

    def end(self) -> None:
        """Read what is there, and no more."""
        self._ended.set()
        self.join()
