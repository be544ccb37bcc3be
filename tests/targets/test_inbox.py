"""What webhooks told, from an inbox in PostgreSQL into both warehouses: rows change in place, whatever came first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.clock import NOW
from tests.inboxes import FROM_INBOX, fill, one_of_each

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Aircall
    from tests.postgres import Postgres

T0 = int(NOW)
MESSAGES = "SELECT id, body, status FROM aircall.messages"
EVENTS = "SELECT event, call_id, user_id FROM aircall.call_events"
DELETED = "SELECT object_type, object_id FROM aircall.deleted_objects"
BODY = "SELECT body FROM aircall.webhook_events WHERE event = 'call.hold'"


@pytest.mark.parametrize("target", ["target-duckdb", "target-postgres"])
def test_rows_change_in_place(aircall: Aircall, postgres: Postgres, load: Any, tmp_path: Path, target: str) -> None:
    path = tmp_path / "warehouse.duckdb"
    config = {
        "target-duckdb": {"filepath": str(path), "default_target_schema": "aircall"},
        "target-postgres": {"sqlalchemy_url": postgres.url, "default_target_schema": "aircall"},
    }[target]

    def query(sql: str) -> list[tuple[Any, ...]]:
        if target == "target-postgres":
            return postgres.query(sql)
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    first, *later = one_of_each(T0)
    fill(postgres.url, later)
    run = aircall.run(*FROM_INBOX, inbox=postgres.url)
    load(target, run, config)
    assert query(MESSAGES) == [("m1", None, "read")]

    fill(postgres.url, [first, *later])  # what came first, and all the rest once more
    run = aircall.run(*FROM_INBOX, inbox=postgres.url, state=run.state)
    load(target, run, config)
    assert query(MESSAGES) == [("m1", "Hello", "read")]
    assert query(EVENTS) == [("call.hold", 1, 2)]
    assert query(DELETED) == [("contact", "3")]
    ((body,),) = query(BODY)
    told = body if isinstance(body, dict) else json.loads(body)
    assert told == {name: value for name, value in later[3].items() if name != "token"}
    assert {len(run.records(stream)) for stream in FROM_INBOX} == {0, 1}
