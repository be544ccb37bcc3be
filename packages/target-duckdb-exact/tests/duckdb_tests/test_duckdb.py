from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from tests.clock import NOW
from tests.targets.conftest import ROOT, executable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.targets.conftest import Project

T0 = int(NOW)
PHONE = "+33 6 12 34 56 78"


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_rows_are_exact_and_a_second_run_changes_them_in_place(aircall: Aircall, load: Any, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    config = {"filepath": str(path), "default_target_schema": "aircall"}
    world = aircall.world
    first, second = (world.add_call(started_at=T0 - 7200 + n)["id"] for n in range(2))
    run = aircall.run("calls")
    load("target-duckdb", run, config)

    aircall.clock.now += 6 * 3600
    world.edit_call(first, archived=True)
    load("target-duckdb", aircall.run("calls", state=run.state), config)

    assert query(path, "SELECT id, archived, epoch(started_at)::BIGINT, status FROM aircall.calls ORDER BY id") == [
        (first, True, T0 - 7200, "done"),
        (second, False, T0 - 7199, "done"),
    ]
    types = dict(query(path, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'calls'"))
    assert [types[name] for name in ("id", "duration", "started_at", "archived", "number", "tags", "cost")] == [
        "BIGINT",
        "BIGINT",
        "TIMESTAMP",
        "BOOLEAN",
        "JSON",
        "JSON",
        "VARCHAR",
    ]


@pytest.mark.parametrize(
    "names",
    [
        ["'VIP'"],  # alone in a batch: no other row shows what a quote is
        ["", "''", 'say "hi"', "a\nb\r\nc", "comma, semicolon; tab\t", "NULL", "back\\slash", "Zoë 😀"],
    ],
)
def test_text_arrives_exactly(names: list[str], aircall: Aircall, load: Any, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    tags = [aircall.world.add("tags", name=name, description=None) for name in names]

    load("target-duckdb", aircall.run("tags"), {"filepath": str(path), "default_target_schema": "aircall"})

    assert query(path, "SELECT id, name, description FROM aircall.tags ORDER BY id") == [
        (tag["id"], tag["name"], None) for tag in tags
    ]


def test_an_interrupted_run_saves_no_state_ahead_of_its_rows(tmp_path: Path) -> None:
    (plugin,) = (
        plugin
        for plugin in yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
        if plugin["name"] == "target-duckdb"
    )
    path, config = tmp_path / "warehouse.duckdb", tmp_path / "config.json"
    settings = {setting["name"]: setting["value"] for setting in plugin["settings"]}
    config.write_text(json.dumps(settings | {"filepath": str(path), "batch_size_rows": 3}), encoding="utf-8")
    schema = {"properties": {"id": {"type": ["integer"]}}}
    state = {"bookmarks": {"calls": {"replication_key_value": "2026-11-23T13:00:00Z"}}}
    messages = [
        *({"type": "SCHEMA", "stream": name, "schema": schema, "key_properties": ["id"]} for name in ("calls", "tags")),
        *({"type": "RECORD", "stream": "calls", "record": {"id": number}} for number in range(2)),
        {"type": "STATE", "value": state},
        *({"type": "RECORD", "stream": "tags", "record": {"id": number}} for number in range(3)),
    ]
    lines = [*map(json.dumps, messages), '{"type": "RECORD", "stream": "tags", "rec']

    done = subprocess.run(
        [executable("target-duckdb"), "--config", config],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == [state]
    assert query(path, "SELECT id FROM aircall.calls ORDER BY id") == [(0,), (1,)]


def feed(
    lines: str, folder: Path, config: Any = None, file_size: str = "unlimited"
) -> subprocess.CompletedProcess[str]:
    """Run the target on these lines, in New York's time zone; with files of at most that many blocks of 512 bytes."""
    settings = {"filepath": str(folder / "warehouse.duckdb"), "default_target_schema": "aircall"}
    path = folder / "config.json"
    path.write_text(json.dumps(settings | {"add_metadata_columns": True} if config is None else config), "utf-8")
    return subprocess.run(
        ["/bin/sh", "-c", f'ulimit -f {file_size}; exec "$@"', "sh", executable("target-duckdb"), "--config", path],
        env=os.environ | {"TZ": "America/New_York"},
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )


def messages(name: str, *ids: int, version: int, **more: Any) -> str:
    """Return the lines of a full table, and a state."""
    schema = {"properties": {"id": {"type": ["integer"]}, "phone": {"type": ["string"]}} | more}
    lines = [
        {"type": "SCHEMA", "stream": name, "schema": schema, "key_properties": ["id"]},
        *({"type": "RECORD", "stream": name, "record": {"id": id_, "phone": PHONE}, "version": version} for id_ in ids),
        {"type": "ACTIVATE_VERSION", "stream": name, "version": version},
        {"type": "STATE", "value": {"bookmarks": {name: {"version": version}}}},
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_rows_of_old_versions_are_deleted_in_one_transaction_with_the_load(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    for lines in (
        messages("tags", 1, 2, version=1) + messages("users", 1, version=1),
        messages("tags", 2, 3, version=2),
    ):
        assert feed(lines, tmp_path).returncode == 0
    assert query(path, "SELECT id FROM aircall.tags ORDER BY id") == [(2,), (3,)]
    assert query(path, "SELECT id FROM aircall.users") == [(1,)]
    assert feed(messages("tags", version=3), tmp_path).returncode == 0
    assert query(path, "SELECT id FROM aircall.tags") == []

    broken = messages("users", 2, version=4) + messages("tags", 4, version=4, id={"type": ["array"]})
    assert feed(broken, tmp_path).returncode == 1
    assert query(path, "SELECT id FROM aircall.users") == [(2,)]  # its state was written
    assert query(path, "SELECT id FROM aircall.tags") == []


def test_batches_are_stamped_in_utc(tmp_path: Path) -> None:
    assert feed(messages("tags", 1, version=1), tmp_path).returncode == 0

    ((age,),) = query(tmp_path / "warehouse.duckdb", "SELECT epoch(now()) - epoch(_sdc_batched_at) FROM aircall.tags")
    assert 0 <= age < 300


def test_errors_are_one_line_without_values(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    feed(messages("tags", 1, version=1), tmp_path)
    number = messages("calls", 1, version=1, phone={"type": ["integer"], "maximum": 7})
    small = {"filepath": str(path), "default_target_schema": "aircall", "batch_size_rows": 50}
    errors = [
        feed(number, tmp_path),
        feed(messages("calls", 1, version=1) + messages("calls", 1, version=1)[:150], tmp_path),
        feed(messages("calls", 1, version=1).replace('"id": 1', '"ID": 1'), tmp_path),
        feed(number, tmp_path, {}),
        feed(messages("calls", *range(2_000), version=1), tmp_path, small, file_size="64"),
    ]
    with duckdb.connect(str(path)):
        errors.append(feed(number, tmp_path))

    said = [[line for line in done.stderr.splitlines() if "level=INFO" not in line] for done in errors]
    assert [done.returncode for done in errors] == [1] * 6
    assert [len(lines) for lines in said] == [1] * 6, said
    assert PHONE not in "".join(done.stderr for done in errors)
    facts = ["ConversionException", "middle of a message", "KeyError", "'path' or 'filepath'", "too large", "lock"]
    for (line,), words in zip(said, facts, strict=True):
        assert words in line


@pytest.mark.slow
def test_meltano_loads_incrementally(project: Project, live_sandbox: Any) -> None:
    path = project.folder / "output/warehouse.duckdb"
    world = live_sandbox.world

    project.meltano("run", "tap-aircall", "target-duckdb")

    assert query(path, "SELECT id FROM aircall.calls ORDER BY id") == [(id_,) for id_ in sorted(world.calls)]
    assert query(path, "SELECT id FROM aircall.contacts ORDER BY id") == [(id_,) for id_ in sorted(world.contacts)]

    before = len(live_sandbox.requests)
    contact = next(iter(world.contacts))
    with live_sandbox.lock:
        world.edit_contact(contact, at=live_sandbox.now(), first_name="Edited")
    project.meltano("run", "tap-aircall", "target-duckdb")

    assert [log.path for log in live_sandbox.requests[before:]].count("/v1/contacts") == 1
    assert query(path, f"SELECT first_name FROM aircall.contacts WHERE id = {contact}") == [("Edited",)]
    assert query(path, "SELECT count(*), count(DISTINCT id) FROM aircall.calls") == [(700, 700)]
