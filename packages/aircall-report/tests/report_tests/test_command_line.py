"""The command makes a file, or says in one line what to change."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import duckdb
import pytest

from aircall_report import __main__ as command
from report_tests.company import COLUMNS, PageReader, days_ago
from tests.messages import each_names

if TYPE_CHECKING:
    from report_tests.company import Company


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRCALL_REPORT_DATABASE", "DBT_AIRCALL_SCHEMA", "DBT_AIRCALL_TIME_ZONE", "DBT_AIRCALL_SLA_SECONDS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command; it returns the exit code and what was printed."""

    def run_command(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
        code = command.main()
        return code, *capsys.readouterr()

    return run_command


def test_it_writes_the_page_and_leaves_the_database_as_it_was(company: Company, tmp_path: Path, run: Any) -> None:
    company.add("calls", company.call(days_ago(0)))
    before = hashlib.sha256(Path(company.path).read_bytes()).digest()
    output = tmp_path / "report.html"
    output.write_text("the page of yesterday", encoding="utf-8")

    done = run(
        "--database", company.path, "--output", output, "--company", "Fleming Ltd", "--time-zone", "Europe/Paris"
    )

    code, out, err = done
    assert (code, err) == (0, "")
    each_names(out.splitlines(), (output,))
    assert "Fleming Ltd" in PageReader(output.read_text("utf-8")).opened.text
    assert hashlib.sha256(Path(company.path).read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "warehouse.duckdb"]


def test_whoever_writes_a_page_at_the_same_time_under_the_same_process_number_it_is_whole(tmp_path: Path) -> None:
    texts = [str(number) * 1_000_000 for number in range(8)]

    with ThreadPoolExecutor(len(texts)) as writers:
        list(writers.map(partial(command._save, tmp_path / "report.html"), texts * 5))  # noqa: SLF001

    assert (tmp_path / "report.html").read_text("utf-8") in texts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_link_or_a_device_gets_the_page_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("report.html")
    os.mkfifo(tmp_path / "device")
    reader = os.open(tmp_path / "device", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("link", "device"):
        command._save(tmp_path / name, name)  # noqa: SLF001
    assert (os.read(reader, 100), (tmp_path / "device").is_fifo()) == (b"device", True)
    os.close(reader)
    assert ((tmp_path / "report.html").read_text("utf-8"), (tmp_path / "link").is_symlink()) == ("link", True)


def test_it_takes_the_settings_of_the_models_from_their_variables(
    company: Company, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.add("calls", company.call(days_ago(0), time_to_answer_seconds=31, is_in_sla=True))
    for name, value in (("TIME_ZONE", "Europe/Berlin"), ("SLA_SECONDS", "45"), ("SCHEMA", "analytics")):
        monkeypatch.setenv(f"DBT_AIRCALL_{name}", value)
    monkeypatch.setenv("AIRCALL_REPORT_DATABASE", company.path)
    output = tmp_path / "report.html"
    assert run("--output", output)[0] == 0
    view = PageReader(output.read_text("utf-8")).opened
    assert "In SLA (45 s)" in view.figures
    assert ["31 to 45 s", "1", "100%", ""] in view.tables["Answered calls by time to answer"]
    assert "Europe/Berlin" in view.text


def test_a_bad_option_gets_one_line(company: Company, tmp_path: Path, run: Any) -> None:
    company.add("calls", company.call(days_ago(0)))
    (tmp_path / "text").write_text("no database")
    (tmp_path / "folder").mkdir()
    good = {"--database": company.path, "--output": tmp_path / "report.html"}
    cases: list[tuple[str, object, tuple[object, ...]]] = [
        ("--database", tmp_path / "none", (tmp_path / "none",)),
        ("--database", tmp_path, (tmp_path,)),
        ("--database", tmp_path / "text", ("DuckDB", tmp_path / "text")),
        ("--database", "mysql://user:secret@host/db", ("file", "URL")),
        ("--database", "postgresql://user:secret@[host/db", ("URL", "PostgreSQL")),
        ("--database", "postgresql://user:secret@127.0.0.1:1/db", ("PostgreSQL", "reached")),
        ("--database", "postgresql://user:an@secret@127.0.0.1:1/db", ("PostgreSQL", "'...@127.0.0.1'")),
        ("--schema", 'mi"ne', ('mi"ne', "dbt-duckdb:build")),
        ("--time-zone", "Europe/Atlantis", ("Europe/Atlantis", "Europe/Paris")),
        ("--time-zone", "../etc/passwd", ("../etc/passwd",)),
        ("--time-zone", "Asia/Tokyo", ("Asia/Tokyo",)),
        ("--sla-seconds", 5, (5, "--sla-seconds")),
        ("--sla-seconds", "soon", ("python -m aircall_report", "--sla-seconds")),
        ("--output", tmp_path / "folder", ("python -m aircall_report", "--output")),
        ("--output", tmp_path / "no" / "report.html", (tmp_path / "no/report.html", os.strerror(errno.ENOENT))),
        ("--colour", "red", ("python -m aircall_report", "--colour")),
    ]
    for option, value, facts in cases:
        options = [part for pair in (good | {option: value}).items() for part in pair]
        code, out, err = run(*options)
        assert code > 0, (option, value)
        assert out == ""
        each_names(err.splitlines(), facts)
        assert "secret" not in err
    assert not (tmp_path / "report.html").exists()


def test_models_of_an_older_version_get_one_line(company: Company, tmp_path: Path, run: Any) -> None:
    company.add("calls", company.call(days_ago(0)))
    company.execute("alter table analytics.aircall__calls drop column is_sla_uncertain")
    code, out, err = run("--database", company.path, "--output", tmp_path / "report.html")
    assert (code, out) == (1, "")
    each_names(err.splitlines(), ("models", "Binder Error"))


def test_an_empty_database_says_that_the_models_are_not_built(tmp_path: Path, run: Any) -> None:
    with duckdb.connect(str(tmp_path / "new.duckdb")) as connection:
        connection.execute("create schema aircall")
    code, out, err = run("--database", tmp_path / "new.duckdb", "--output", tmp_path / "report.html")
    assert (code, out) == (1, "")
    each_names(err.splitlines(), ("analytics", "dbt-duckdb:build", "dbt-postgres:build", "--schema"))


def test_a_view_in_the_place_of_a_mart_reads_no_other_file(company: Company, tmp_path: Path, run: Any) -> None:
    company.add("calls", company.call(days_ago(0)))
    (tmp_path / "secret.csv").write_text("stream\nsecret\n")
    company.execute("drop table analytics.aircall__freshness")
    columns = ", ".join(f"null::{kind} as {name}" for name, kind in list(COLUMNS["aircall__freshness"].items())[1:])
    company.execute(
        f"create view analytics.aircall__freshness as select stream, {columns} from read_csv('{tmp_path}/secret.csv')"
    )
    code, out, err = run("--database", company.path, "--output", tmp_path / "report.html")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert not (tmp_path / "report.html").exists()


def test_the_documents_list_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[4] / "docs/html-report.md").read_text("utf-8")
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (?:`(\w+)`)? *\| (?:`(\w+)`)?", text, re.MULTILINE)
    options = [option for option in command.make.params if isinstance(option, click.Option)]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (option.opts[0], option.envvar or "", str(option.default) if option.show_default else "") for option in options
    ]
