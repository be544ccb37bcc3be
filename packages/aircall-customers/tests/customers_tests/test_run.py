"""Runs of `python -m aircall_customers`, as processes that people and machines kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aircall_customers.customers import read_customers
from aircall_customers.guard import Claim, Guard
from aircall_customers.local import ROOT
from aircall_customers.run import FOLDER, Place, _environment, calls_until, run, working_folder
from aircall_sandbox import Sandbox, generate_company
from customers_tests import pipeline
from customers_tests.test_guard import cut_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 120
WORKER = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@dataclass
class Site:
    """One machine with a list of customers, and their sandbox."""

    folder: Path
    database: str
    sandbox: Sandbox
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, **customers: dict[str, Any]) -> None:
        """Write the list; each customer gets credentials and a place to load into."""
        entries = {}
        for name, entry in customers.items():
            warehouse = self.folder / name
            warehouse.mkdir(exist_ok=True)
            credentials = {"credentials": {"environment": name.upper()}}
            entries[name] = {**credentials, "target_settings": {"destination_path": str(warehouse)}, **entry}
            self.variables |= {
                f"{name.upper()}_USER": self.sandbox.api_id,
                f"{name.upper()}_PASSWORD": self.sandbox.api_token,
                f"{name.upper()}_API_URL": self.sandbox.url,
            }
        (self.folder / "customers.yml").write_text(
            yaml.safe_dump({"defaults": {"target": "target-jsonl"}, "customers": entries}), encoding="utf-8"
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a run."""
        return {
            **os.environ,
            "AIRCALL_DATABASE": self.database,
            "AIRCALL_CUSTOMERS": str(self.folder / "customers.yml"),
            "AIRCALL_PROJECT": str(ROOT),
            "AIRCALL_WORK": str(self.folder / "work"),
            "AIRCALL_MELTANO": str(self.folder / "meltano"),
            "TAP_AIRCALL_REQUESTS_PER_MINUTE": "100000",
            **self.variables,
        }

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the command."""
        return pipeline.spawn(list(arguments), self.environment | variables)

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run the command; return exit code, output and errors."""
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, output, errors

    def start_and_hang(self, name: str) -> subprocess.Popen[str]:
        """Start a load that hangs once it has written a state."""
        process = self.start("load", name, PIPELINE="hang")
        wait_for((self.folder / name / "hangs").exists)
        return process

    @property
    def left(self) -> list[str]:
        """Working folders that are there."""
        return [folder.name for folder in (self.folder / "work").glob("*/*")]


def wait_for(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def processes_of(folder: str) -> list[int]:
    """Return the processes of runs whose working folder begins so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"{FOLDER}={folder}".encode() in variables:
            found.append(int(process.name))
    return found


@pytest.fixture
def site(tmp_path: Path, database: str) -> Iterator[Site]:
    """A machine with the customer acme."""
    pipeline.install(tmp_path)
    with Sandbox(generate_company(seed=3, now=time.time(), calls=700, contacts=10, users=3)) as sandbox:
        here = Site(tmp_path, database, sandbox)
        here.write(acme={})
        yield here


def test_a_load_and_the_next_one_go_on_from_each_other_and_leave_no_folder(site: Site, guard: Guard) -> None:
    first = site.run("load", "acme")
    sent = len(site.sandbox.requests)
    second = site.run("load", "acme")
    status = site.run("status")

    assert (first[0], first[2]) == (second[0], second[2]) == (0, "")
    rows = pipeline.read(site.folder / "acme/warehouse.sqlite")
    assert [row["id"] for row in rows["calls"]] == sorted(site.sandbox.world.calls)
    assert len(site.sandbox.requests) - sent < sent
    assert site.left == []
    record = guard.records()["acme"]
    assert (record.epoch, record.run, record.failures) == (2, None, 0)
    assert record.calls_until
    assert record.began_at
    assert record.calls_until < record.began_at
    assert status[1].startswith("acme: well; last success ")


def test_an_inbox_that_cannot_be_read_is_named_in_one_line_and_nothing_is_claimed(site: Site, guard: Guard) -> None:
    code, _, errors = site.run("load", "acme", AIRCALL_INBOX=str(site.folder / "none.sqlite"))

    assert code == 1
    assert errors.startswith("AIRCALL_INBOX: ")
    assert errors.count("\n") == 1
    assert guard.records() == {}


def test_a_second_run_is_refused_with_one_line_and_the_first_goes_on(site: Site, guard: Guard) -> None:
    first = site.start_and_hang("acme")
    code, output, errors = site.run("load", "acme")
    first.terminate()
    out, _ = first.communicate(timeout=PATIENCE_SECONDS)

    assert (code, output) == (1, "")
    assert errors.startswith("Customer acme is being loaded already (")
    assert errors.endswith("); this run ends.\n")
    assert errors.count("\n") == 1
    assert first.returncode == 1
    record = guard.records()["acme"]
    assert (record.epoch, record.error_kind, record.error) == (1, "Stopped", "The run was stopped (SIGTERM).")
    assert site.left == []
    assert out is not None


def test_a_run_that_was_killed_leaves_nothing_that_the_next_one_does_not_clear_away(site: Site, guard: Guard) -> None:
    first = site.start_and_hang("acme")
    folder = str(site.folder / "work")
    first.kill()
    first.communicate()
    wait_for(lambda: guard.records()["acme"].was_killed)
    orphans, left = processes_of(folder), site.left

    code, _, errors = site.run("load", "acme")

    assert (code, errors) == (0, "")
    assert orphans
    assert left == ["acme.1"]
    assert processes_of(folder) == []
    assert site.left == []
    rows = pipeline.read(site.folder / "acme/warehouse.sqlite")
    assert [row["id"] for row in rows["calls"]] == sorted(site.sandbox.world.calls)
    record = guard.records()["acme"]
    assert (record.epoch, record.failures, record.error) == (2, 0, None)


def test_a_load_ends_when_the_worker_that_began_it_is_gone(site: Site, guard: Guard) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, sys.executable, "-m", "aircall_customers", "load", "acme"],
        env=site.environment | {"PIPELINE": "hang"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for((site.folder / "acme/hangs").exists)
    worker.kill()
    worker.wait()
    wait_for(lambda: guard.records()["acme"].run is None and not guard.records()["acme"].is_held)

    assert guard.records()["acme"].error == "The run worker is gone; its load was ended."
    assert processes_of(str(site.folder / "work")) == []
    wait_for(lambda: site.left == [])


def test_a_load_ends_when_its_claim_is_lost(site: Site, connect: Callable[[], Guard]) -> None:
    process = site.start_and_hang("acme")
    os.kill(process.pid, signal.SIGSTOP)  # as a machine that was cut off
    cut_off(site.database)
    with connect().claim("acme", "another machine"):
        os.kill(process.pid, signal.SIGCONT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert errors == "Customer acme: the database is gone, and the claim with it; this run ends.\n"
    assert processes_of(str(site.folder / "work")) == []
    assert site.left == []


@pytest.mark.parametrize(
    ("kind", "line", "marked"),
    [
        ("LoginNeeded", "Please log in again.", [True, True, True]),
        ("Forbidden", "Aircall rejects the credentials.", [False, False, True]),
        ("Forbidden", "Stream 'tags': Aircall rejects the credentials.", [False, False, False]),
        ("Unavailable", "Aircall cannot be reached.", [False, False, False]),
    ],
)
def test_a_customer_that_aircall_no_longer_lets_in_is_marked(
    site: Site, guard: Guard, *, kind: str, line: str, marked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = json.dumps({"name": "tap-aircall", "level": "error", "event": line, "error_kind": kind})
    (site.folder / "message").write_text(f"{message}\n")
    (site.folder / "meltano").write_text(f"#!/bin/sh\ncat {site.folder}/message\nexit 1\n")
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    marks = []
    for _ in marked:
        report = run("load", "acme", Place.from_environment())
        assert (report.succeeded, report.error_kind, report.error) == (False, kind, line)
        marks.append(guard.records()["acme"].marked_at is not None)

    assert marks == marked


def test_a_run_sees_the_secrets_of_its_customer_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write(acme={}, globex={"credentials": {"file": str(site.folder / "globex.json")}})
    (site.folder / "globex.json").write_text('{"oauth_access_token": "of globex", "auth_scheme": "OAUTH"}')
    for name, value in {**site.environment, "TAP_AIRCALL_PASSWORD": "of nobody", "ACME_PASSWORD": "of acme"}.items():
        monkeypatch.setenv(name, value)
    customers = read_customers(site.folder / "customers.yml")

    seen = _environment(Claim("globex", 1), customers, {"TAP_AIRCALL_OAUTH_ACCESS_TOKEN": "of globex"})

    assert seen["TAP_AIRCALL_OAUTH_ACCESS_TOKEN"] == "of globex"
    assert not {"of nobody", "of acme"} & set(seen.values())
    assert seen["TAP_AIRCALL_REQUESTS_PER_MINUTE"] == "100000"


def test_what_cannot_be_begun_is_said_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    del site.variables["ACME_PASSWORD"], site.variables["ACME_USER"]
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    place = Place.from_environment()

    assert run("load", "nobody", place).error == f"{site.folder}/customers.yml has no customer nobody."
    assert run("load", "acme", place).error == (
        "Customer acme: variables ACME_...: no credentials are there, such as user and password."
    )
    assert site.run("load", "acme", AIRCALL_DATABASE="")[::2] == (
        1,
        "AIRCALL_DATABASE is missing: the address of a PostgreSQL database, such as postgresql://host/name.\n",
    )


def test_a_working_folder_is_the_runs_own(tmp_path: Path) -> None:
    with working_folder(tmp_path, Claim("acme", 1)) as first, working_folder(tmp_path, Claim("acme-2", 1)) as other:
        (first / "left").touch()
        (tmp_path / "acme.0").mkdir()
        with working_folder(tmp_path, Claim("acme", 2)) as second:
            assert sorted(tmp_path.iterdir()) == sorted([second, other])

    assert list(tmp_path.iterdir()) == []


def test_how_far_calls_were_read_is_in_the_state() -> None:
    def state(second: str) -> dict[str, Any]:
        return {"singer_state": {"bookmarks": {"calls": {"cursors": {"0": second}}}}}

    completed, partial = state("2026-11-23T13:00:00Z"), state("2026-11-23T14:00:00Z")
    assert str(calls_until({"completed": completed, "partial": {}})) == "2026-11-23 13:00:00+00:00"
    assert str(calls_until({"completed": completed, "partial": partial})) == "2026-11-23 14:00:00+00:00"
    assert calls_until({"completed": {"singer_state": {"bookmarks": {"tags": {}}}}, "partial": None}) is None
