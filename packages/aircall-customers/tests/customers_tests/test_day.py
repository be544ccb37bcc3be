"""A day of many customers, loaded every hour by Dagster's daemon, while it and what it started are killed at random."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import yaml

from aircall_customers.customers import Project, read_customers
from aircall_customers.due import due
from aircall_customers.guard import Guard
from aircall_customers.local import ROOT, Deployment
from aircall_sandbox import Sandbox, World
from customers_tests import pipeline, zygote
from tap_aircall.tap import TapAircall
from tests.conftest import Recorder, Run
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aircall_customers.guard import Record

CUSTOMERS = int(os.environ.get("DAY_CUSTOMERS", "200"))
HOURS = int(os.environ.get("DAY_HOURS", "24"))
AT_ONCE = int(os.environ.get("DAY_AT_ONCE", "8"))
LOG = logging.getLogger(__name__)
WHOLE_DAY = 24
TWINS = min(CUSTOMERS, 20)
"""How many customers have a twin that is loaded without Dagster and without kills, to compare requests."""
RUNS_TO_A_KILL = (10, 40)
"""Something is killed after so many runs have begun, drawn anew each time."""
DAEMON_SHARE = 0.1
"""The share of kills that are the daemon's; the others are of workers, loads and what stands for Meltano."""
PATIENCE_SECONDS = 3_600
SHIFT = """
CREATE TABLE shift AS SELECT 0::double precision AS seconds;
CREATE OR REPLACE FUNCTION aircall_now() RETURNS timestamptz LANGUAGE sql AS
    'SELECT clock_timestamp() + (SELECT seconds FROM shift) * interval ''1 second''';
"""


class Day:
    """Customers, their sandboxes, and a clock that is put forward by hand."""

    def __init__(self, folder: Path, server: Path, stack: ExitStack, chance: random.Random) -> None:
        self.chance = chance
        self.shift = 0.0
        self._seen: dict[str, datetime] = {}
        self._next_kill = RUNS_TO_A_KILL[0]
        self._states: dict[str, dict[str, object]] = {}
        self.kills: dict[str, int] = {"daemon": 0, "other": 0}
        self.names = [f"c{number:03}" for number in range(CUSTOMERS)]
        self.sandboxes: dict[str, Sandbox] = {}
        self.deployment = Deployment(folder, server, "day", "customers_tests.day")
        self._registry = folder / "processes"
        self._registry.mkdir()
        self._instance()
        socket = folder / "zygote"
        command = folder / "meltano"
        client = " ".join(f"'{part}'" for part in zygote.command())
        command.write_text(f'#!/bin/sh\nexec {client} meltano "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        self.deployment.environment |= {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parents[1])]),
            zygote.SOCKET: str(socket),
            "AIRCALL_MELTANO": str(command),
            "TAP_AIRCALL_REQUESTS_PER_MINUTE": "100000",
        }
        entries = {}
        for number, name in enumerate([*self.names, *self.twins]):
            world = World(now=self.now())
            seed = random.Random(number % CUSTOMERS)
            for tag in ("VIP", "spam"):
                world.add("tags", name=f"{tag} of {name[-3:]}")
            for _ in range(seed.randrange(20, 120)):
                world.add_call(started_at=int(self.now()) - seed.randrange(3_600, 20 * 86_400))
            self.sandboxes[name] = stack.enter_context(Sandbox(world, clock=self.now, requests_per_minute=120))
            (folder / name).mkdir()
            entries[name] = {
                "credentials": {"file": str(folder / name / "key.json")},
                "target_settings": {"destination_path": str(folder / name)},
            }
            sandbox = self.sandboxes[name]
            key = {"user": sandbox.api_id, "password": sandbox.api_token, "api_url": sandbox.url}
            (folder / name / "key.json").write_text(json.dumps(key), encoding="utf-8")
        listed = {name: entries[name] for name in self.names}
        self.deployment.write_customers(listed, {"target": "target-jsonl", "schedule": "@hourly"})
        self.guard = stack.enter_context(Guard(self.deployment.environment["AIRCALL_DATABASE"]))
        self._clock = stack.enter_context(
            psycopg.connect(self.deployment.environment["AIRCALL_DATABASE"], autocommit=True)
        )
        self._clock.execute(SHIFT)
        process = subprocess.Popen(
            [sys.executable, "-m", "customers_tests.zygote", str(socket), str(self._registry)],
            cwd=ROOT,
            env=self.deployment.environment,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        while not socket.exists():
            assert process.poll() is None
            time.sleep(0.1)
        stack.callback(self.deployment.stop)
        self.daemon = self.deployment.start("dagster-daemon", "run")

    @property
    def twins(self) -> list[str]:
        """Customers of whom Dagster does not know."""
        return [f"twin-{name}" for name in self.names[:TWINS]]

    def now(self) -> float:
        """Return the time of the simulated day."""
        return time.time() + self.shift

    def put_forward(self, seconds: float) -> None:
        """Put all clocks forward."""
        self.shift += seconds
        self._clock.execute("UPDATE shift SET seconds = %s", (self.shift,))

    def hour(self, hour: int) -> None:
        """Let an hour pass, in which each company has calls and renames a tag; and wait until all are loaded."""
        began = self.now()
        self.put_forward(3_600)
        for number, (name, sandbox) in enumerate(self.sandboxes.items()):
            seed = random.Random(hour * 1_000 + number % CUSTOMERS)
            with sandbox.lock:
                for _ in range(seed.randrange(6)):
                    sandbox.world.add_call(started_at=int(began) + seed.randrange(60, 3_000))
                sandbox.world.edit("tags", min(sandbox.world.kinds["tags"]), name=f"hour {hour} of {name[-3:]}")
        mark = datetime.fromtimestamp(began, UTC)
        until = time.monotonic() + PATIENCE_SECONDS
        customers = read_customers(self.deployment.customers, Project(ROOT))
        behind = set(self.names)
        while behind:
            assert time.monotonic() < until, self.guard.records()
            records = self.guard.records()
            self.load_twins(records)
            runs = sum(each.epoch for each in records.values())
            if runs >= self._next_kill:
                self._next_kill = runs + self.chance.randint(*RUNS_TO_A_KILL)
                self.kill()
            now = self.guard.now()
            behind -= {name for name in behind & records.keys() if (records[name].succeeded_at or mark) > mark}
            waiting = {name for name in behind if not due(customers[name], records.get(name), now)}
            if behind and waiting == behind and not any(records[name].is_held for name in waiting):
                self.put_forward(61)  # those that are left were killed, and wait for their time
            time.sleep(0.2)

    def end(self) -> None:
        """Let the runs that are under way come to their end, and begin no more."""
        self.deployment.write_customers({}, {})
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 20:
            records = self.guard.records()
            self.load_twins(records)
            if any(each.is_held for each in records.values()) or list(self._registry.iterdir()):
                quiet_since = time.monotonic()
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the daemon, which is started again as a service manager does it, or something that it started."""
        if self.chance.random() < DAEMON_SHARE:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = self.deployment.start("dagster-daemon", "run")
            self.kills["daemon"] += 1
            return
        time.sleep(self.chance.random())
        with suppress(IndexError, OSError):  # none is there, or it has just ended
            entry = self.chance.choice(list(self._registry.iterdir()))
            entry.unlink()
            os.kill(int(entry.name), 9)
            self.kills["other"] += 1

    def load_twins(self, records: Mapping[str, Record]) -> None:
        """Load the twin of whoever was loaded, as a single run does, from its own last state."""
        for name, twin in zip(self.names, self.twins, strict=False):
            loaded = records[name].succeeded_at if name in records else None
            if loaded is not None and loaded != self._seen.get(name):
                self._seen[name] = loaded
                self._states[twin] = self._load(twin, self._states.get(twin)).state

    def truth(self, name: str) -> Warehouse:
        """Return what a first load finds now."""
        warehouse = Warehouse()
        warehouse.load(self._load(name, None).messages)
        return warehouse

    def _load(self, name: str, state: dict[str, object] | None) -> Run:
        run = Run()
        sandbox = self.sandboxes[name]
        TapAircall(
            config={
                "user": sandbox.api_id,
                "password": sandbox.api_token,
                "api_url": sandbox.url,
                "requests_per_minute": 100_000,
                "streams": ["calls", "tags"],
            },
            state=json.loads(json.dumps(state)) if state else None,
            clock=pipeline.ShiftedClock(self.shift),
            message_writer=Recorder(run),
        ).run()
        return run

    def _instance(self) -> None:
        path = self.deployment.home / "dagster.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content["run_launcher"] = {"module": "customers_tests.zygote", "class": "ZygoteLauncher"}
        content["concurrency"]["runs"]["max_concurrent_runs"] = AT_ONCE
        content["run_monitoring"] = {"enabled": True, "start_timeout_seconds": 120, "poll_interval_seconds": 5}
        content["run_coordinator"] = {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": 1},
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def day(tmp_path: Path, postgres_server: Path) -> Iterator[Day]:
    with ExitStack() as stack:
        yield Day(tmp_path, postgres_server, stack, random.Random(19))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_day_of_kills_costs_no_customer_a_row_or_an_overlap_and_few_requests(day: Day, tmp_path: Path) -> None:
    for hour in range(HOURS):
        day.hour(hour)
        runs = sum(each.epoch for each in day.guard.records().values())
        LOG.info("Hour %d is over: %d runs, kills %s", hour, runs, day.kills)

    day.end()
    requests = {name: len(day.sandboxes[name].requests) for name in day.sandboxes}
    for name in day.names:
        rows, truth = pipeline.read(tmp_path / name / "warehouse.sqlite"), day.truth(name)
        for stream in ("calls", "tags"):
            expected = sorted(json.dumps(row, sort_keys=True, default=str) for row in truth.tables[stream].values())
            assert sorted(json.dumps(row, sort_keys=True) for row in rows[stream]) == expected, (name, stream)
    assert not list(tmp_path.glob("*/overlap"))
    killed = {name for name, record in day.guard.records().items() if record.was_killed}
    assert {folder.name.partition(".")[0] for folder in (tmp_path / "work").glob("*/*")} <= killed
    single = sum(requests[name] for name in day.twins) / TWINS
    spent = sum(requests[name] for name in day.names[:TWINS]) / TWINS
    LOG.info("%d customers, %d hours: %.1f requests each, single runs %.1f", CUSTOMERS, HOURS, spent, single)
    # What a kill wastes is a part of a run, which counts for more than it should where there are few runs.
    assert spent <= (1.05 * single if HOURS >= WHOLE_DAY else 1.05 * single + max(day.kills.values()) * single / HOURS)
