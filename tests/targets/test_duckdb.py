from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from tests.clock import NOW

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
