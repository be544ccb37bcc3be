from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tap_aircall.sandbox import World, demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.targets.conftest import Project


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Undo what the demo does to the handlers of signals."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def small_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "generate", partial(World.generate, calls=300, contacts=60, users=5))


@pytest.mark.usefixtures("small_company")
def test_it_shows_what_all_runs_brought_whatever_the_user_has_set(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert "Calls by hour of the day (UTC)" in out
    ((_, _, requests),) = [row for row in rows if row[:1] == ["transcripts"]]
    ((_, transcripts),) = [row for row in rows if row[:1] == ["call_transcriptions"]]
    assert 0 < int(transcripts) < int(requests) < 200
    assert "internal: Of course, one moment." in out


@pytest.mark.usefixtures("small_company")
def test_a_run_that_fails_is_one_clear_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    (project.folder / "meltano.yml").write_text("plugins: {}\n", encoding="utf-8")

    assert demo.main() == 1

    assert capsys.readouterr().err == "Meltano failed with exit code 1; demo-data/meltano.log says why.\n"


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo-data").touch()

    assert demo.main() == 1

    assert capsys.readouterr().err == f"The folder {tmp_path}/demo-data cannot be written to: File exists.\n"
