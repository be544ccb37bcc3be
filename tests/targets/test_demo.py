from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import World, generate_company
from aircall_sandbox.events import of_change
from examples import demo
from report_tests.company import PageReader
from tests.messages import each_names
from tests.targets.test_recipes import never_called_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.targets.conftest import Project


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the signal handlers that the demo sets."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """Make the demo use a small company without calls in the last hour; return the generated companies."""
    made = []
    generate = generate_company

    def make(*, now: float, **options: Any) -> World:
        made.append(generate(**{"calls": 300, "contacts": 60, "users": 5} | options, now=now - 3600))
        return made[-1]

    monkeypatch.setattr(demo, "generate_company", make)
    return made


def figures(out: str, title: str) -> list[list[str]]:
    """Return the rows of the table or chart below a title, split into words."""
    table = out.partition(title)[2].partition("\n\n")[0]
    return [line.split() for line in table.splitlines()[1:]]


def test_it_shows_the_loads_and_ignores_settings_of_the_user(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], worlds: list[World]
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("TAP_AIRCALL_START_DATE", "2099-01-01")
    monkeypatch.setenv("TARGET_DUCKDB_DEFAULT_TARGET_SCHEMA", "mine")
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", "/nowhere")
    (project.folder / ".env").write_text("TAP_AIRCALL_END_DATE=2020-01-01\n", encoding="utf-8")

    code = demo.main()

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["calls", "330"] in rows
    assert ["contacts", "60"] in rows
    assert ["users", "5"] in rows
    assert [row[:2] for row in rows if row[1:2] == ["run"]] == [["first", "run"], ["second", "run"]]
    ((_, _, requests),) = [row for row in rows if row[:1] == ["transcripts"]]
    ((_, transcripts),) = [row for row in rows if row[:1] == ["call_transcriptions"]]
    assert 0 < int(transcripts) < int(requests) < 200
    world = worlds[-1]
    loaded = list(world.calls.values())[:300]  # the calls during the demo are still ringing
    inbound = [call for call in loaded if call["direction"] == "inbound" and call["ended_at"]]
    missed = [call for call in inbound if not call["answered_at"]]
    *hours, others = figures(out, "Inbound calls by local hour")
    assert sum(int(row[-3]) for row in hours) == len(inbound) - len(missed)
    assert sum(int(row[-1]) for row in [*hours, others]) == len(missed)
    teams = Counter(team["name"] for call in inbound for team in call["teams"])
    assert {" ".join(row[:-6]): int(row[-6]) for row in figures(out, "team  ")} == teams
    events = [" ".join(row) for row in figures(out, "from webhooks")]
    assert [line.split()[0] for line in events] == ["message", "comment", "deletion"]
    assert events[0].endswith("Where is my order? (read)")
    assert events[1].endswith(demo.COMMENT)
    assert (events[2].split()[4], len(worlds[-1].contacts)) == ("contact", 59)
    events_of_users = [
        event
        for identity, user in world.kinds["users"].items()
        for before, after in pairwise(world.presence[identity])
        for event in of_change("users", user | before.fields, user | after.fields)
    ]
    assert ["user_events", str(len(events_of_users) // 2)] in rows  # each comes in two forms
    said = [line.split(": ", 1) for line in out.split("Transcript of a call on")[1].splitlines()[1:] if ": " in line]
    agents = {user["name"].split()[0] for user in world.kinds["users"].values()}
    assert len(said) > 3
    assert all(speaker.strip() in agents for speaker, _ in said[::2])
    if demo.BUILD:
        page = project.folder / "demo-data/report.html"
        assert page.as_uri() in out
        reader = PageReader(page.read_text("utf-8"))
        assert f"{len(inbound)} inbound calls" in reader.views["all all"].text
        assert f"{len(never_called_back(world, loaded))} callers were missed" in reader.opened.text
        assert len(reader.opened.tables["Time of each agent by state"]) > 1
        assert "only calls are known" not in reader.opened.text
    assert max(len(line) for line in out.splitlines() if "://" not in line) <= 120
    assert len(out.splitlines()) < 90


@pytest.mark.usefixtures("worlds")
def test_a_failed_run_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    (project.folder / "meltano.yml").write_text("plugins: {}\n", encoding="utf-8")

    assert demo.main() == 1

    each_names(capsys.readouterr().err.splitlines(), ("Meltano", 1, "demo-data/meltano.log"))


def test_missing_meltano_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 1
    monkeypatch.setattr(demo, "MELTANO", tmp_path / "meltano")
    assert demo.main() == 1
    each_names(capsys.readouterr().err.splitlines(), ("meltano.yml",), ("pip install meltano", "make demo"))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meltano.yml").touch()
    (tmp_path / "demo-data").touch()

    assert demo.main() == 1

    each_names(capsys.readouterr().err.splitlines(), (tmp_path / "demo-data", os.strerror(errno.EEXIST)))
