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

import aircall_customers
from aircall_customers.customers import Project, read_customers
from aircall_customers.guard import Claim, Guard
from aircall_customers.local import ROOT
from aircall_customers.run import Place, Report, calls_until, run, working_folder
from aircall_sandbox import Sandbox, generate_company
from customers_tests import pipeline
from customers_tests.test_guard import cut_off
from tests.messages import each_names, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 280
WORKER = "import subprocess, sys; subprocess.run(sys.argv[1:])"
IDLE_INIT = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans become children of this process, which reaps none of them
code = subprocess.run(sys.argv[1:]).returncode
print("zombies:", os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
sys.exit(code)
"""


@dataclass
class Site:
    """One machine with a list of customers, and their sandbox."""

    folder: Path
    database: str
    sandbox: Sandbox
    variables: dict[str, str] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, **customers: dict[str, Any]) -> None:
        """Write the list; each customer gets credentials and a place to load into."""
        self.entries = {}
        for name, entry in customers.items():
            warehouse = self.folder / name
            warehouse.mkdir(exist_ok=True)
            credentials = {"credentials": {"environment": name.upper()}}
            self.entries[name] = {**credentials, "target_settings": {"destination_path": str(warehouse)}, **entry}
            self.variables |= {
                f"{name.upper()}_USER": self.sandbox.api_id,
                f"{name.upper()}_PASSWORD": self.sandbox.api_token,
                f"{name.upper()}_API_URL": self.sandbox.url,
            }
        (self.folder / "customers.yml").write_text(
            yaml.safe_dump({"defaults": {"target": "target-jsonl"}, "customers": self.entries}), encoding="utf-8"
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

    def say(self, *lines: object, code: int = 1) -> None:
        """Let a command stand for Meltano that prints these lines, as JSON, and ends with a code."""
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (self.folder / "message").write_text(text, encoding="utf-8")
        (self.folder / "meltano").write_text(f"#!/bin/sh\ncat {self.folder}/message\nexit {code}\n", encoding="utf-8")

    def load(self, name: str = "acme") -> Report:
        """Load a customer in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in self.environment.items():
                patch.setenv(variable, value)
            patch.setattr(aircall_customers, "BEGUN_BY", os.getppid())
            return run(name, Place())

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
        if f"TMPDIR={folder}".encode() in variables:
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
    each_names(errors.splitlines(), ("acme",))
    assert first.returncode == 1
    record = guard.records()["acme"]
    assert (record.epoch, record.error_kind) == (1, "Stopped")
    assert names(str(record.error), "SIGTERM")
    assert site.left == []
    assert out is not None


def test_a_load_that_is_killed_ends_all_that_it_began_and_the_next_one_goes_on(site: Site, guard: Guard) -> None:
    first = site.start_and_hang("acme")
    folder = str(site.folder / "work")
    assert processes_of(folder)
    first.kill()
    first.communicate()
    wait_for(lambda: processes_of(folder) == [])
    wait_for(lambda: guard.records()["acme"].was_killed)
    left = site.left

    code, _, errors = site.run("load", "acme")

    assert (code, errors) == (0, "")
    assert left == ["acme.1"]
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

    assert names(str(guard.records()["acme"].error), "worker")
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
    each_names(errors.splitlines(), ("acme", "database"))
    assert processes_of(str(site.folder / "work")) == []
    assert site.left == []


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ({"event": "Please log in again.", "error_kind": "LoginNeeded"}, [True, True, True]),
        ({"event": "Aircall rejects the credentials.", "error_kind": "Forbidden"}, [False, False, True]),
        ({"event": "Not that one.", "error_kind": "Forbidden", "error_stream": "tags"}, [False, False, False]),
        ({"event": "Aircall cannot be reached.", "error_kind": "Unavailable"}, [False, False, False]),
    ],
)
def test_a_customer_that_aircall_no_longer_lets_in_is_marked(
    site: Site, guard: Guard, *, said: dict[str, str], marked: list[bool]
) -> None:
    site.say({"name": "tap-aircall", "level": "error", **said})
    marks = []
    for _ in marked:
        report = site.load()
        assert (report.succeeded, report.error_kind, report.error) == (False, said["error_kind"], said["event"])
        marks.append(guard.records()["acme"].marked_at is not None)

    assert marks == marked


NO_MESSAGE = ("Meltano", "Meltano exited with code 1, without a message.")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            [{"name": None, "level": "error", "event": None}],
            NO_MESSAGE,
        ),
        (
            [{"level": "error", "error_kind": {"a": 1}}],
            NO_MESSAGE,
        ),
        ([{"requests": 3}, {"level": "critical", "event": "No\0 such\nthing."}], ("Meltano", "No such thing.")),
        (
            [{"requests": "many", "records": 7}, [], 3, "\ud800"],
            NO_MESSAGE,
        ),
        (
            [
                {"name": "target-jsonl", "level": "error", "event": "DETAIL: Key (first_name)=(Ann)"},
                {"level": "error"},
            ],
            ("Target", "target-jsonl failed; see the log of the run."),
        ),
        (
            [{"level": "error", "event": "Loader failed"}, {"level": "error", "exit_codes": {"loaders": 1}}],
            ("Target", "target-jsonl failed; see the log of the run."),
        ),
        (
            [{"level": "error", "event": "+33123456789", "block_type": "InvokerCommand"}],
            ("Build", "The build failed; see the log of the run."),
        ),
        (
            [
                {"level": "error", "error_kind": "Forbidden", "error_stream": "tags", "event": "Not that one."},
                {"level": "error", "error_kind": "Unavailable", "event": "Aircall is gone."},
            ],
            ("Unavailable", "Aircall is gone."),
        ),
    ],
)
def test_whatever_meltano_prints_the_failure_is_one_line_that_quotes_no_row(
    site: Site, guard: Guard, said: list[Any], told: tuple[str, str]
) -> None:
    site.say(*said)

    report = site.load()

    assert (report.error_kind, report.error) == told
    assert guard.records()["acme"].error == told[1]


@pytest.mark.parametrize(
    ("streams", "records", "wrong"),
    [
        (["calls", "call_*"], {"calls": 2, "call_topics": 0}, []),
        (["calls", "!users"], {"calls": 2}, []),
        (["call", "calls", "Tags"], {"calls": 2, "tags": 0}, ["call", "Tags"]),
        (["!calls"], {}, ["!calls"]),
    ],
)
def test_streams_that_select_nothing_are_an_error(
    site: Site, streams: list[str], records: dict[str, int], wrong: list[str]
) -> None:
    site.write(acme={"streams": streams})
    site.say({"name": "tap-aircall", "requests": 1, "records": records}, code=0)

    report = site.load()

    assert report.succeeded is not bool(wrong)
    assert not wrong or names(report.error or "", "acme", "streams", *wrong)


def test_a_state_of_one_place_does_not_go_on_in_another(site: Site, guard: Guard) -> None:
    first, second = (str(site.folder / name) for name in ("first", "second"))
    state = "dev:tap-aircall-to-target-duckdb:acme"
    site.say(code=0)

    def load_into(schema: str, path: str) -> str:
        site.write(acme={"target": "target-duckdb", "schema": schema, "target_settings": {"filepath": path}})
        return site.load().error or ""

    assert not load_into("one", first)
    project = Project(ROOT)
    place = project.place(read_customers(site.folder / "customers.yml", project)["acme"])
    with guard.claim("acme", "its Meltano") as claim, guard.writing(state, claim):
        guard.put(state, claim._replace(place=place), {"value": 1})
    assert not load_into("one", f"{site.folder}/acme/../first")
    assert names(load_into("two", first), "acme", state, place, "schema two")
    assert names(load_into("one", second), "acme", state, place, "second")
    with guard.writing(state, None):  # a person says that the rows have moved, too
        guard.put(state, None, {"value": 1, "schema": "one"})  # as older versions wrote it
    assert names(load_into("two", second), "acme", state, "schema one", "schema two")
    assert not load_into("one", second)


def test_a_run_sees_nothing_of_other_customers_nor_of_what_surrounds_it(site: Site) -> None:
    site.write(acme={}, acme_eu={}, target={}, globex={"credentials": {"file": str(site.folder / "globex.json")}})
    (site.folder / "globex.json").write_text('{"oauth_access_token": "of globex", "auth_scheme": "OAUTH"}')
    site.variables |= {
        "ACME_PASSWORD": "of acme",
        "ACME_EU_PASSWORD": "of acme_eu",
        "TARGET_PASSWORD": "of target",
        "TARGET_POSTGRES_HOST": "of all",
        "TAP_AIRCALL_PASSWORD": "of nobody",
        "AIRCALL_DAGSTER_DATABASE": "hidden",
        "AIRCALL_ALERT_URL": "hidden",
        "DAGSTER_PIPES_CONTEXT": "hidden",
    }
    (site.folder / "meltano").write_text(f"#!/bin/sh\nenv > {site.folder}/$3\n")
    secrets = {site.database, "hidden", "of acme", "of acme_eu", "of target", "of nobody", "of globex"}

    for name in ("acme", "acme_eu", "target", "globex"):
        assert site.load(name).error is None
        lines = (site.folder / f"--state-id-suffix={name}").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines if "=" in line)
        assert secrets & set(seen.values()) == {f"of {name}"}
        assert (seen["TARGET_POSTGRES_HOST"], seen["TAP_AIRCALL_REQUESTS_PER_MINUTE"]) == ("of all", "100000")


@pytest.mark.parametrize("code", [0, 1])
def test_a_database_that_restarts_during_a_load_is_one_line(site: Site, guard: Guard, code: int) -> None:
    restart = f"from customers_tests.test_guard import cut_off; cut_off({site.database!r})"
    paths = os.pathsep.join(str(Path(__file__).parents[up]) for up in (4, 1))
    (site.folder / "meltano").write_text(
        f'#!/bin/sh\nPYTHONPATH={paths} {sys.executable} -c "{restart}"\nexit {code}\n', encoding="utf-8"
    )

    _, _, errors = site.run("load", "acme")

    each_names(errors.splitlines(), ("database",) if "acme" in errors else ("AIRCALL_DATABASE", "AdminShutdown"))
    assert site.left == []
    assert guard.records()["acme"].was_killed


def test_orphans_that_nobody_reaps_keep_no_load_waiting(site: Site, guard: Guard) -> None:
    (site.folder / "meltano").write_text("#!/bin/sh\nsleep 600 &\nexit 1\n")
    command = [sys.executable, "-c", IDLE_INIT, sys.executable, "-m", "aircall_customers", "load", "acme"]
    done = subprocess.run(command, env=site.environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.splitlines()[-1] == "zombies: True"
    each_names(done.stderr.splitlines(), ("Meltano", 1))
    assert done.returncode == 1
    assert guard.records()["acme"].is_held is False


def test_a_load_whose_worker_was_gone_before_it_looked_ends(site: Site, guard: Guard) -> None:
    load = site.start("load", "acme", PIPELINE="hang", AIRCALL_PARENT="1")

    load.communicate(timeout=PATIENCE_SECONDS)

    assert names(str(guard.records()["acme"].error), "worker")
    assert processes_of(str(site.folder / "work")) == []


def test_what_cannot_be_begun_is_said_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    del site.variables["ACME_PASSWORD"], site.variables["ACME_USER"]
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    place = Place()

    assert names(str(run("nobody", place).error), site.folder / "customers.yml", "nobody")
    assert names(str(run("acme", place).error), "acme", "ACME_", "user", "password")
    code, _, errors = site.run("load", "acme", AIRCALL_DATABASE="")
    assert code == 1
    each_names(errors.splitlines(), ("AIRCALL_DATABASE", "postgresql://host/name"))


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
