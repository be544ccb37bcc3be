"""What webhooks told, from an inbox in PostgreSQL into a warehouse: rows change in place, whatever came first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.clock import NOW
from tests.inboxes import FROM_INBOX, fill, one_of_each

if TYPE_CHECKING:
    from tests.conftest import Aircall
    from tests.postgres import Postgres

T0 = int(NOW)
MESSAGES = "SELECT id, body, status FROM aircall.messages"
EVENTS = "SELECT event, call_id, user_id FROM aircall.call_events"
DELETED = "SELECT object_type, object_id FROM aircall.deleted_objects"
BODY = "SELECT body FROM aircall.webhook_events WHERE event = 'call.hold'"


def test_rows_change_in_place(aircall: Aircall, postgres: Postgres, load: Any) -> None:
    config = {"sqlalchemy_url": postgres.url, "default_target_schema": "aircall"}
    first, *later = one_of_each(T0)
    fill(postgres.url, later)
    run = aircall.run(*FROM_INBOX, inbox=postgres.url)
    load("target-postgres", run, config)
    assert postgres.query(MESSAGES) == [("m1", None, "read")]

    fill(postgres.url, [first, *later])  # what came first, and all the rest once more
    run = aircall.run(*FROM_INBOX, inbox=postgres.url, state=run.state)
    load("target-postgres", run, config)
    assert postgres.query(MESSAGES) == [("m1", "Hello", "read")]
    assert postgres.query(EVENTS) == [("call.hold", 1, 2)]
    assert postgres.query(DELETED) == [("contact", "3")]
    ((body,),) = postgres.query(BODY)
    assert body == {name: value for name, value in later[3].items() if name != "token"}
    assert {len(run.records(stream)) for stream in FROM_INBOX} == {0, 1}
