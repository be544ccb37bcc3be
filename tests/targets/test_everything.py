"""Every stream, through Meltano, into DuckDB and PostgreSQL."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tap_aircall.sandbox import Sandbox, generate_company
from tap_aircall.sandbox.intelligence import ARTEFACTS
from tap_aircall.streams.registry import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets.conftest import Postgres, Project

MINE = [{"name": "labels", "path": "/v1/tags", "records_key": "tags", "primary_keys": ["id"]}]
REPORT = "CALLS_HISTORY"


@pytest.fixture
def live_sandbox() -> Iterator[Sandbox]:
    """A company that has some of everything, on the clock of this machine."""
    now = time.time()
    world = generate_company(seed=4, now=now, calls=0, contacts=7, users=3)
    for _ in range(4):
        call = world.add_call(started_at=int(now) - 7200)
        for artefact in ARTEFACTS:
            world.intelligence.add(call["id"], artefact)
    entry = {"id": 1, "number": "+33 1 99 00 00 01", "called": False, "created_at": "2020-01-02T11:41:01.000Z"}
    optional = world.optional
    for user in world.kinds["users"]:
        optional.dialer_campaigns[user] = {"id": user, "number_id": "7", "phone_numbers": [entry]}
    for number in world.kinds["numbers"]:
        optional.registration_statuses[number] = {"status": "approved", "documents": [{"kind": "passport"}]}
        optional.message_configurations[number] = {"type": "proxy", "callbackUrl": "https://a", "token": "s3cret"}
        optional.whatsapp_statuses[number] = {"wabaId": "1", "status": "ONLINE", "canSendMessage": True}
        optional.whatsapp_templates[number] = [{"id": n, "name": f"order_{n}", "language": "en"} for n in range(12)]
    optional.sms_templates += [{"id": n, "name": f"order_{n}", "body": "On its way"} for n in range(3)]
    with Sandbox(world) as sandbox:
        sandbox.analytics.seconds = 0
        sandbox.analytics.rows[REPORT] = [{"Call": "1"}, {"Call": "2"}]
        yield sandbox


@pytest.fixture
def everything(project: Project, live_sandbox: Sandbox) -> Project:
    """A project that reads all streams, over OAuth, which alone sees them all."""
    project.environment |= {
        "TAP_AIRCALL_AUTH_SCHEME": "OAUTH",
        "TAP_AIRCALL_INITIATE_OAUTH": "OFF",
        "TAP_AIRCALL_OAUTH_ACCESS_TOKEN": live_sandbox.oauth.tokens()["access_token"],
        "TAP_AIRCALL_ANALYTICS_REPORTS": json.dumps([REPORT]),
        "TAP_AIRCALL_CUSTOM_STREAMS": json.dumps(MINE),
        "TAP_AIRCALL_START_DATE": (datetime.now(UTC) - timedelta(days=2)).isoformat(),
        "TAP_AIRCALL__SELECT": json.dumps([f"{name}.*" for name in [*STREAMS, "labels"]]),
    }
    return project


def expected(sandbox: Sandbox) -> dict[str, int]:
    """Count what there is, by table."""
    world = sandbox.world
    numbers, users = len(world.kinds["numbers"]), len(world.kinds["users"])
    per_call = {name: 4 for name in STREAMS if name.startswith("call_")}
    items = [world.intelligence.found("action_items", call)[1]["action_items"] for call in world.calls]
    per_call["call_action_items"] = sum(map(len, items))
    return {
        "calls": len(world.calls),
        "contacts": 7,
        "users": users,
        "user_availabilities": users,
        "user_numbers": sum(map(len, world.user_numbers.values())),
        "teams": len(world.kinds["teams"]),
        "numbers": numbers,
        "tags": len(world.kinds["tags"]),
        "webhooks": len(world.kinds["webhooks"]),
        "company": 1,
        "integrations": 1,
        "dialer_campaigns": users,
        "dialer_campaign_phone_numbers": users,
        "number_registration_statuses": numbers,
        "number_message_configurations": numbers,
        "number_whatsapp_statuses": numbers,
        "whatsapp_templates": 12 * numbers,
        "sms_templates": 3,
        **per_call,
        "analytics_reports": 2 * len(sandbox.analytics.exports),
        "labels": len(world.kinds["tags"]),
    }


def check(sandbox: Sandbox, counts: dict[str, int], configuration: Any, transcript: Any) -> None:
    assert counts == expected(sandbox)
    assert len(sandbox.analytics.exports) >= 2
    assert configuration == {"type": "proxy", "callbackUrl": "https://a"}
    spoken = [sandbox.world.intelligence.found("transcription", call)[1]["content"] for call in sandbox.world.calls]
    assert transcript in spoken


def test_duckdb(everything: Project, live_sandbox: Sandbox) -> None:
    log = everything.meltano("run", "tap-aircall", "target-duckdb")

    with duckdb.connect(str(everything.folder / "output/warehouse.duckdb"), read_only=True) as connection:

        def query(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        tables = [name for (name,) in query("SELECT table_name FROM duckdb_tables()")]
        counts = {name: query(f"SELECT count(*) FROM aircall.{name}")[0][0] for name in tables}
        configuration = json.loads(query("SELECT record::JSON FROM aircall.number_message_configurations")[0][0])
        transcript = json.loads(query("SELECT content::JSON FROM aircall.call_transcriptions")[0][0])
    check(live_sandbox, counts, configuration, transcript)
    assert "s3cret" not in log


def test_postgres(everything: Project, live_sandbox: Sandbox, postgres: Postgres) -> None:
    everything.environment["TARGET_POSTGRES_SQLALCHEMY_URL"] = postgres.url

    log = everything.meltano("run", "tap-aircall", "target-postgres")

    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'aircall'"
    counts = {name: postgres.query(f"SELECT count(*) FROM aircall.{name}")[0][0] for (name,) in postgres.query(sql)}
    ((configuration,), *_) = postgres.query("SELECT record FROM aircall.number_message_configurations")
    ((transcript,), *_) = postgres.query("SELECT content FROM aircall.call_transcriptions")
    check(live_sandbox, counts, configuration, transcript)
    assert "s3cret" not in log
