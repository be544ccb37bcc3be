from __future__ import annotations

import json
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
        ["'VIP'"],  # alone in a batch, where nothing else shows what a quote is
        ["", "''", 'say "hi"', "a\nb\r\nc", "comma, semicolon; tab\t", "NULL", "back\\slash", "Zoë 😀"],
    ],
)
def test_text_arrives_as_it_was_sent(names: list[str], aircall: Aircall, load: Any, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    tags = [aircall.world.add("tags", name=name, description=None) for name in names]

    load("target-duckdb", aircall.run("tags"), {"filepath": str(path), "default_target_schema": "aircall"})

    assert query(path, "SELECT id, name, description FROM aircall.tags ORDER BY id") == [
        (tag["id"], tag["name"], None) for tag in tags
    ]


def test_a_run_that_breaks_off_saves_no_state_ahead_of_its_rows(tmp_path: Path) -> None:
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


def test_meltano_loads_and_goes_on(project: Project, live_sandbox: Any) -> None:
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
