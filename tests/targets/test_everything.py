"""Every stream, through Meltano, into DuckDB and PostgreSQL."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from aircall_customers.customers import COLUMN
from aircall_sandbox import Sandbox, generate_company
from tap_aircall.streams.custom import campaigns
from tap_aircall.streams.kinds import ReferenceStream
from tap_aircall.streams.registry import STREAMS
from tests.companies import add_everything
from tests.inboxes import COUNTS, FROM_API, fill, one_of_each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Postgres
    from tests.targets.conftest import Project

MINE = [{"name": "labels", "path": "/v1/tags", "records_key": "tags", "primary_keys": ["id"]}]
REPORT = "CALLS_HISTORY"
ROWS = f"SELECT count(*) FROM aircall.{{}} WHERE {COLUMN} = 'acme'"
"""Every row of every table says whose it is, as aircall-customers has it done."""


@pytest.fixture
def live_sandbox() -> Iterator[Sandbox]:
    """A company that has some of everything, by the clock of this machine."""
    now = time.time()
    world = generate_company(seed=4, now=now, calls=0, contacts=7, users=3)
    for _ in range(4):
        world.add_call(started_at=int(now) - 7200)
    add_everything(world)
    with Sandbox(world) as sandbox:
        sandbox.analytics.seconds = 0
        sandbox.analytics.rows[REPORT] = [{"Call": "1"}, {"Call": "2"}]
        yield sandbox


@pytest.fixture
def everything(project: Project, live_sandbox: Sandbox) -> Project:
    """A project that reads all streams over OAuth, without which one of them is hidden."""
    project.environment |= {
        "TAP_AIRCALL_AUTH_SCHEME": "OAUTH",
        "TAP_AIRCALL_INITIATE_OAUTH": "OFF",
        "TAP_AIRCALL_OAUTH_ACCESS_TOKEN": live_sandbox.oauth.tokens()["access_token"],
        "TAP_AIRCALL_ANALYTICS_REPORTS": json.dumps([REPORT]),
        "TAP_AIRCALL_CUSTOM_STREAMS": json.dumps(MINE),
        "TAP_AIRCALL_STREAM_MAPS": json.dumps({"*": {COLUMN: "'acme'"}}),
        "TAP_AIRCALL_START_DATE": (datetime.now(UTC) - timedelta(days=2)).isoformat(),
        "TAP_AIRCALL__SELECT": json.dumps([f"{name}.*" for name in [*STREAMS, "labels"]]),
    }
    inbox = project.folder / "inbox.db"
    fill(str(inbox), one_of_each(int(time.time())))
    project.environment["TAP_AIRCALL_INBOX"] = str(inbox)
    project.environment["TAP_AIRCALL_RECORDINGS_LOCATION"] = str(project.folder / "recordings")
    return project


def expected(sandbox: Sandbox) -> dict[str, int]:
    """Return how many rows each table has to have."""
    world = sandbox.world
    per_call = {name: 4 for name in FROM_API if name.startswith("call_")}
    items = [world.intelligence.find("action_items", call)[1]["action_items"] for call in world.calls]
    per_call["call_action_items"] = sum(map(len, items))
    per_call["call_counts"] = 1  # of the last two days, one is whole
    sizes: dict[str, int] = {kind: len(records) for kind, records in world.kinds.items()}
    lists = {name: stream.envelope for name, stream in STREAMS.items() if issubclass(stream, ReferenceStream)}
    return {
        **{name: sizes[kind] for name, kind in lists.items() if kind in sizes},
        "calls": len(world.calls),
        "contacts": 7,
        "user_numbers": sum(map(len, world.user_numbers.values())),
        "company": 1,
        "integrations": 1,
        "dialer_campaigns": sizes["users"],
        "dialer_campaign_phone_numbers": sizes["users"],
        "number_registration_statuses": sizes["numbers"],
        "number_message_configurations": sizes["numbers"],
        "number_whatsapp_statuses": sizes["numbers"],
        "whatsapp_templates": 12 * sizes["numbers"],
        "sms_templates": 3,
        **per_call,
        **COUNTS,
        "analytics_reports": 2 * len(sandbox.analytics.exports),
        "labels": sizes["tags"],
        **dict.fromkeys((each.name for each in campaigns.DEFINITIONS), 0),  # the company has no campaigns
    }


def check(sandbox: Sandbox, counts: dict[str, int], configuration: Any, transcript: Any) -> None:
    assert counts == expected(sandbox)
    assert len(sandbox.analytics.exports) >= 2
    assert configuration == {"type": "proxy", "callbackUrl": "https://a"}
    spoken = [sandbox.world.intelligence.find("transcription", call)[1]["content"] for call in sandbox.world.calls]
    assert transcript in spoken


@pytest.mark.slow  # the demo loads into DuckDB by Meltano, and test_every_target compares every stream there
def test_every_stream_arrives_in_duckdb(everything: Project, live_sandbox: Sandbox) -> None:
    log = everything.meltano("run", "tap-aircall", "target-duckdb")

    with duckdb.connect(str(everything.folder / "output/warehouse.duckdb"), read_only=True) as connection:

        def query(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        tables = [name for (name,) in query("SELECT table_name FROM duckdb_tables()")]
        counts = {name: query(ROWS.format(name))[0][0] for name in tables}
        configuration = json.loads(query("SELECT record::JSON FROM aircall.number_message_configurations")[0][0])
        transcript = json.loads(query("SELECT content::JSON FROM aircall.call_transcriptions")[0][0])
    check(live_sandbox, counts, configuration, transcript)
    assert "s3cret" not in log


def test_every_stream_arrives_in_postgres(everything: Project, live_sandbox: Sandbox, postgres: Postgres) -> None:
    everything.environment["TARGET_POSTGRES_SQLALCHEMY_URL"] = postgres.url

    log = everything.meltano("run", "tap-aircall", "target-postgres")

    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'aircall'"
    counts = {name: postgres.query(ROWS.format(name))[0][0] for (name,) in postgres.query(sql)}
    ((configuration,), *_) = postgres.query("SELECT record FROM aircall.number_message_configurations")
    ((transcript,), *_) = postgres.query("SELECT content FROM aircall.call_transcriptions")
    check(live_sandbox, counts, configuration, transcript)
    assert "s3cret" not in log
