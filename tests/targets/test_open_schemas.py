"""Streams whose fields nobody knows in advance, in PostgreSQL; test_every_target has them in each target."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.clock import NOW

if TYPE_CHECKING:
    from tests.conftest import Aircall, Run
    from tests.postgres import Postgres

T0 = int(NOW)
REPORT = "CALLS_HISTORY"
MINE = [
    {"name": "labels", "path": "/v1/tags", "records_key": "tags", "primary_keys": ["id"]},
    {
        "name": "people",
        "path": "/v1/contacts",
        "records_key": "contacts",
        "primary_keys": ["id"],
        "replication": "newest_first",
        "replication_key": "updated_at",
    },
]
REPORTS = """
    SELECT report_name, report_date::date, row_number, "row" FROM aircall.analytics_reports
    ORDER BY report_date, row_number
"""


@pytest.fixture
def runs(aircall: Aircall) -> list[Run]:
    """Two runs, with changes between them."""
    world, rows = aircall.world, aircall.sandbox.analytics.rows
    tag = world.add("tags", name="VIP")["id"]
    contact = world.add_contact(created_at=T0 - 500, first_name="Zoë")["id"]
    rows |= {
        f"{REPORT} 2026-11-21": [{"Call ID": "1", "Größe": 'say "hi"'}],
        f"{REPORT} 2026-11-22": [{"A": "1"}, {"A": "2"}],
    }
    settings: dict[str, Any] = {
        "analytics_reports": [REPORT],
        "start_date": "2026-11-21",
        "custom_streams": MINE,
        "catalog": aircall.catalog("analytics_reports", "labels", "people", custom_streams=MINE),
    }
    first = aircall.run(**settings)
    rows[f"{REPORT} 2026-11-22"] = [{"A": "9"}]
    aircall.clock.now += 60
    world.edit("tags", tag, name="VVIP")
    world.edit_contact(contact, at=T0 + 30, first_name="Zoe")
    return [first, aircall.run(state=first.state, **settings)]


EXPECTED = [
    (REPORT, date(2026, 11, 21), 1, {"Call ID": "1", "Größe": 'say "hi"'}),
    (REPORT, date(2026, 11, 22), 1, {"A": "9"}),
    (REPORT, date(2026, 11, 22), 2, None),
]


def test_postgres_has_rows_and_records_as_objects(runs: list[Run], load: Any, postgres: Postgres) -> None:
    for run in runs:
        config = {"sqlalchemy_url": postgres.url, "default_target_schema": "aircall", "hard_delete": True}
        load("target-postgres", run, config)

    assert postgres.query(REPORTS) == EXPECTED
    assert postgres.query("SELECT id, record->>'name' FROM aircall.labels") == [
        (runs[0].records("labels")[0]["id"], "VVIP")
    ]
    assert postgres.query(
        "SELECT id, extract(epoch FROM updated_at)::bigint, record->>'first_name' FROM aircall.people"
    ) == [(runs[0].records("people")[0]["id"], T0 + 30, "Zoe")]
    types = dict(
        postgres.query("SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'people'")
    )
    assert (types["id"], types["updated_at"], types["record"]) == ("text", "timestamptz", "jsonb")
