from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.clock import NOW
from tests.messages import names
from tests.targets.conftest import executable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.postgres import Postgres
    from tests.targets.conftest import Project

T0 = int(NOW)
PHONE = "+33 6 12 34 56 78"


@pytest.fixture
def config(postgres: Postgres) -> dict[str, Any]:
    return {
        "sqlalchemy_url": postgres.url,
        "default_target_schema": "aircall",
        "hard_delete": True,
        "sanitize_null_text_characters": True,
    }


def test_columns_have_the_types_that_analysts_expect(
    aircall: Aircall, postgres: Postgres, config: dict[str, Any], load: Any
) -> None:
    aircall.world.add_call(started_at=T0 - 100)
    for kind in ("users", "teams", "numbers", "tags", "webhooks"):
        aircall.world.add(kind)
    aircall.world.add_contact(created_at=T0 - 50)

    load("target-postgres", aircall.run(), config)

    types = {
        (table, column): kind
        for table, column, kind in postgres.query(
            """
            SELECT table_name, column_name, udt_name FROM information_schema.columns
            WHERE table_schema = 'aircall' AND NOT starts_with(column_name, '_sdc')
            """
        )
    }
    assert {column: kind for (table, column), kind in types.items() if table == "calls"} == {
        "id": "int8",
        "duration": "int8",
        "archived": "bool",
        **dict.fromkeys(("started_at", "answered_at", "ended_at"), "timestamptz"),
        **dict.fromkeys(
            [
                "number",
                "user",
                "contact",
                "assigned_to",
                "transferred_by",
                "transferred_to",
                "teams",
                "comments",
                "tags",
                "conference_participants",
                "participants",
                "additional_fields",
            ],
            "jsonb",
        ),
        **dict.fromkeys(
            [
                "sid",
                "direct_link",
                "direction",
                "status",
                "missed_call_reason",
                "raw_digits",
                "asset",
                "recording",
                "voicemail",
                "cost",
                "country_code_a2",
                "pricing_type",
            ],
            "text",
        ),
    }
    assert types["contacts", "updated_at"] == types["users", "created_at"] == "timestamptz"
    assert types["contacts", "emails"] == types["webhooks", "events"] == types["numbers", "messages"] == "jsonb"
    assert types["company", "users_count"] == types["user_availabilities", "id"] == "int8"
    assert ("webhooks", "token") not in types


def test_rows_are_exact_and_a_second_run_changes_or_deletes_them(
    aircall: Aircall, postgres: Postgres, config: dict[str, Any], load: Any
) -> None:
    world = aircall.world
    first, second = (world.add_call(started_at=T0 - 7200 + n)["id"] for n in range(2))
    contact = world.add_contact(created_at=T0 - 500, first_name="Zoë\x00😀")["id"]
    kept, gone = world.add("tags", name="kept")["id"], world.add("tags", name="gone")["id"]
    user = world.add("users")["id"]
    streams = ("calls", "contacts", "tags", "users", "user_availabilities")
    run = aircall.run(*streams)
    load("target-postgres", run, config)
    assert postgres.query("SELECT id FROM aircall.tags ORDER BY id") == [(kept,), (gone,)]

    aircall.clock.now += 6 * 3600
    world.edit_call(first, archived=True, tags=[{"id": 7, "name": "VIP", "created_at": T0, "tagged_by": None}])
    world.edit_contact(contact, at=T0 + 60, first_name="Zoe")
    world.delete("tags", gone)
    world.delete("users", user)
    run = aircall.run(*streams, state=run.state)
    for message in run.messages:
        if "version" in message:
            message["version"] += 1  # both runs of a test may be within one second
    load("target-postgres", run, config)

    assert postgres.query(
        "SELECT id, archived, tags, extract(epoch FROM started_at)::bigint FROM aircall.calls ORDER BY id"
    ) == [
        (first, True, [{"id": 7, "name": "VIP", "tagged_by": None, "created_at": "2026-11-23T13:00:00Z"}], T0 - 7200),
        (second, False, [], T0 - 7199),
    ]
    assert postgres.query("SELECT id, first_name, extract(epoch FROM updated_at)::bigint FROM aircall.contacts") == [
        (contact, "Zoe", T0 + 60)
    ]
    assert postgres.query("SELECT id, name FROM aircall.tags") == [(kept, "kept")]
    assert postgres.query("SELECT id FROM aircall.users") == []
    assert postgres.query("SELECT id FROM aircall.user_availabilities") == []


def test_errors_are_one_line_without_values(postgres: Postgres, config: dict[str, Any], tmp_path: Path) -> None:
    schema = {"properties": {"id": {"type": ["integer"]}, "phone": {"type": ["string"]}}}
    messages = [
        {"type": "SCHEMA", "stream": "people", "schema": schema, "key_properties": ["id"]},
        {"type": "RECORD", "stream": "people", "record": {"id": 1, "phone": PHONE}},
    ]
    lines = "".join(json.dumps(message) + "\n" for message in messages)

    def fail(lines: str, *, count: int = 1, **changed: Any) -> str:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config | {"use_copy": True, "validate_records": False} | changed), encoding="utf-8")
        command: list[Any] = [executable("target-postgres"), "--config", path]
        environment = os.environ | {"LOGLEVEL": "DEBUG"}
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, env=environment)
        said: list[str] = [line for line in done.stderr.splitlines() if "| INFO " not in line and "Python" not in line]
        assert (done.returncode, len(said)) == (1, count), done.stderr
        assert PHONE not in done.stderr
        return said[-1]

    assert "connection" in fail(lines, sqlalchemy_url="postgresql+psycopg://postgres@127.0.0.1:1/x")
    assert "'...@127.0.0.1'" in fail(lines, sqlalchemy_url="postgresql+psycopg://x:an@s3cret@127.0.0.1:1/x")
    assert "sqlalchemy_url" in fail(lines, sqlalchemy_url="postgres://x:x@127.0.0.1/x")
    assert "sqlalchemy_url" in fail(lines, sqlalchemy_url=None)
    assert "message" in fail(lines[:-20])
    assert "InvalidRecord" in fail(lines.replace('"integer"', '"null"'), validate_records=True, count=2)
    postgres.query("ALTER TABLE aircall.people ADD CHECK (phone = '')")
    assert "CheckViolation" in fail(lines)
    postgres.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'No %', NEW.phone; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON aircall.people FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert "RaiseException" in fail(lines)
    role = f"weak_{postgres.name}"
    postgres.query(f"CREATE ROLE {role} LOGIN")
    weak = postgres.url.replace("postgres@", f"{role}@")
    assert "InsufficientPrivilege" in fail(lines, sqlalchemy_url=weak, default_target_schema="other")
    postgres.query("ALTER TABLE aircall.people DROP CONSTRAINT people_phone_check, ALTER phone TYPE bigint USING 1")
    assert names(fail(lines), "aircall.people.phone", "BIGINT", "TEXT")


@pytest.mark.slow
def test_meltano_loads_incrementally(project: Project, postgres: Postgres, live_sandbox: Any) -> None:
    project.environment["TARGET_POSTGRES_SQLALCHEMY_URL"] = postgres.url
    world = live_sandbox.world

    project.meltano("run", "tap-aircall", "target-postgres")

    assert postgres.query("SELECT id FROM aircall.calls ORDER BY id") == [(id_,) for id_ in sorted(world.calls)]
    assert postgres.query("SELECT id FROM aircall.contacts ORDER BY id") == [(id_,) for id_ in sorted(world.contacts)]
    assert postgres.query("SELECT name, users_count FROM aircall.company") == [(world.company_name, 7)]

    before = len(live_sandbox.requests)
    contact = next(iter(world.contacts))
    with live_sandbox.lock:
        world.edit_contact(contact, at=live_sandbox.now(), first_name="Edited")
        world.delete("tags", next(iter(world.kinds["tags"])))
    project.meltano("run", "tap-aircall", "target-postgres")

    paths = [log.path for log in live_sandbox.requests[before:]]
    assert paths.count("/v1/contacts") == 1
    assert postgres.query(f"SELECT first_name FROM aircall.contacts WHERE id = {contact}") == [("Edited",)]
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM aircall.calls") == [(700, 700)]
    assert postgres.query("SELECT id FROM aircall.tags ORDER BY id") == [(id_,) for id_ in sorted(world.kinds["tags"])]
