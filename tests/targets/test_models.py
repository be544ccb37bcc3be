"""The dbt models on what the real targets loaded, against what the sandbox's world says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import psycopg.rows
import pytest
import yaml
from singer_sdk.helpers._flattening import flatten_record, flatten_schema

from aircall_sandbox import Sandbox, World, generate_company
from report_tests.agreement import columns_that_differ, page_against_marts
from tap_aircall.streams.registry import STREAMS as STREAMS_OF_TAP
from tap_aircall.tap import TapAircall
from tests.clock import FakeClock
from tests.conftest import Aircall
from tests.messages import names
from tests.slow import RUN_SLOW
from tests.targets import agents, emulators, served_dbt
from tests.targets.answers import OPEN, ZONE, Answers, Told, iso
from tests.targets.conftest import PLUGINS, ROOT, executable, settings
from tests.targets.crm import wrong_crms
from tests.targets.dialects import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.postgres import Postgres

Record = dict[str, Any]
PYTHON = PLUGINS / "utilities/dbt-duckdb/venv/bin/python"
STREAMS = (
    *(
        "calls",
        "contacts",
        "users",
        "numbers",
        "teams",
        "tags",
        "call_counts",
        "call_transcriptions",
        "call_sentiments",
    ),
    *("call_topics", "call_summaries", "call_custom_summaries", "call_action_items", "call_playbook_results"),
    *("call_evaluations", "call_csat_predictions"),
)
NOT_MODELLED = {
    *("webhooks", "webhook_events", "integrations", "analytics_reports"),
    *("campaigns", "campaign_outcomes", "campaign_contacts", "campaign_call_outcomes"),
    *("number_registration_statuses", "number_message_configurations", "number_whatsapp_statuses"),
}
"""Streams of settings, or of a form that nobody knows yet, or only those who chose it."""
KEYS = {
    "calls": ("call_id",),
    "call_tags": ("call_id", "tag_id"),
    "number_days": ("number_id", "call_date"),
    "team_days": ("team_id", "call_date"),
    "hours": ("call_date", "call_hour"),
    "agent_days": ("user_id", "call_date"),
    "missed_callers": ("caller_key",),
    "contacts": ("contact_id",),
    "conversations": ("call_id",),
    "messages": ("kind", "message_id"),
    "completeness": ("date",),
    "agent_shifts": ("user_id", "date"),
    "agent_hours": ("user_id", "date", "hour"),
    "concurrency": ("quarter_starts_at",),
}
LISTS = {
    "contact_emails": ("contact_id", "email"),
    "call_participants": ("call_id", "position", "participant_type", "participant_id", "participant_name"),
    "playbook_topics": ("call_id", "position", "topic", "result"),
    "evaluation_questions": ("call_id", "scorecard_position", "scorecard", "position", "question"),
}
"""Columns of the views that no mart reads."""
WITHOUT_TESTS_OF_DBT: tuple[str, ...] = (
    "--exclude",
    "test_name:not_null",
    "test_name:unique",
    "test_name:relationships",
)
"""Arguments that leave out the tests that come with dbt."""
needs_dbt = pytest.mark.skipif(sys.version_info >= (3, 14), reason="dbt 1.11 does not run on Python 3.14")
pytestmark = pytest.mark.timeout(900)  # dbt compiles for half a minute, and for minutes while others work
DAY = 86_400
HOUR = 3_600
JUNK: tuple[Any, ...] = (
    *("abc", "", "1,5", "1.5", "NaN", "1e999", "0x10", " 7", "99999999999999999999", "-9e18"),
    *("2026-02-29T10:00:00Z", "9999-12-31T23:59:59Z", "0000-00-00", "2026-01-01T24:00:00Z"),
    *("2026-01-01T00:00:00+99:00", "'; DROP TABLE calls; --", '"', "\\", "\N{RIGHT-TO-LEFT OVERRIDE}"),
    *(10**30, 1e300, True, {}, []),
)
"""What no number, time or boolean can be read from, alike in all warehouses."""


def hostile_company(now: float) -> World:
    """Make a company in which all that is odd happens as well."""
    world = generate_company(seed=6, now=now, calls=350, contacts=120, users=9, days=30)
    world.intelligence.share = 0.3
    gone, first, second, third = list(world.kinds["users"])[:4]
    users = {identity: world.call_user(identity) for identity in (gone, first, second, third)}
    number, old_number = (world.call_number(identity) for identity in list(world.kinds["numbers"])[:2])
    old_team, team = ({"id": each["id"], "name": each["name"]} for each in list(world.kinds["teams"].values())[:2])
    day = int(now) // DAY * DAY - 3 * DAY
    plain = {"number": number, "contact": None, "country_code_a2": None, "raw_digits": "+33 1 99 11 11 11"}

    def call(at: int, **details: Any) -> None:
        world.add_call(started_at=day + at, **(plain | details))

    handed = {"transferred_by": users[first], "transferred_to": users[second]}
    for taken_by in (first, second, third):
        call(10 * HOUR + taken_by, user=users[taken_by], raw_digits="+33 1 99 11 11 12", **handed)
    call(11 * HOUR, user=None, raw_digits="+33 1 99 11 11 12", **handed)
    call(11 * HOUR, user=users[first], direction="outbound", raw_digits="+33 1 99 11 11 13", **handed)
    call(11 * HOUR, user=users[gone], number=old_number, teams=[old_team, team, team], raw_digits="+33 1 99 11 11 14")
    call(11 * HOUR + 1, user=users[gone] | {"name": "Renamed Since"}, raw_digits="+33 1 99 11 11 14")
    # Called back after ten days.
    later = {"raw_digits": "+33 1 99 11 11 17"}
    call(-11 * DAY, talk_seconds=None, missed_call_reason="no_available_agent", **later)
    call(-DAY, user=users[first], direction="outbound", **later)
    # Missed twice in one second, called back twice in one, once without an answer.
    for _ in range(2):
        call(12 * HOUR, talk_seconds=None, missed_call_reason="no_available_agent", leaves_voicemail=True)
    call(12 * HOUR, user=users[first], talk_seconds=None, direction="outbound")
    call(12 * HOUR, user=users[second], direction="outbound")
    call(13 * HOUR, talk_seconds=None, missed_call_reason="abandoned_in_ivr", raw_digits="+33199111111")
    call(14 * HOUR, talk_seconds=None, missed_call_reason="agents_did_not_answer", user=users[first])
    for _ in range(2):
        call(15 * HOUR, talk_seconds=None, missed_call_reason="short_abandoned", raw_digits="anonymous")
    parties = [{"id": "7", "type": "user", "name": "Ann"}, {"id": None, "type": "external", "name": None}]
    meeting: Any = {"conference_participants": parties, "raw_digits": "+33 1 99 11 11 15"}
    call(22 * HOUR + 3_599, user=users[first], talk_seconds=3 * HOUR, **meeting)
    call(23 * HOUR, user=users[first], talk_seconds=30, raw_digits="+33 1 99 11 11 15")
    agent = {"agent_id": "a", "agent_name": "Robot", "escalation_reason": None, "started_at": None, "ended_at": None}
    for reason in ("answered", "escalated"):
        voice = {"ai_voice_agents": [agent | {"end_reason": reason}], "raw_digits": "+33 1 99 11 11 16"}
        call(16 * HOUR, talk_seconds=None, missed_call_reason="no_available_agent", **voice)
    for at in (now - 10, now - 100):
        world.add_call(started_at=int(at), ring_seconds=60, talk_seconds=600, user=users[first], **plain)
    # The clocks were put back in Paris on 25 October, an hour after midnight in UTC.
    for at in (-1, 0, HOUR):
        call(int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()) + at - day, user=users[second])
    world.delete("users", gone)
    world.delete("numbers", old_number["id"])
    world.delete("teams", old_team["id"])
    return world


def told(world: World) -> Told:
    """Make up what an inbox would know of a company."""
    known = Told()

    def note(kind: list[Record], event: str, at: int, **what: Any) -> None:
        kind.append({"event_id": f"{len(kind):032x}", "event": event, "happened_at": iso(at), **what})

    answered = [call for call in world.calls.values() if call["answered_at"] and call["user"] and call["ended_at"]]
    for call in answered[::3]:
        who = {"call_id": call["id"], "user_id": call["user"]["id"]}
        middle = (call["started_at"] + call["answered_at"] + 1) // 2
        note(known.call_events, "call.ringing_on_agent", middle, **who)
        note(known.call_events, "call.agent_declined", middle, **who)
        note(known.call_events, "call.ringing_on_agent", call["answered_at"], **who)
        note(known.call_events, "call.answered", call["answered_at"], **who)
    note(known.call_events, "call.ringing_on_agent", answered[1]["ended_at"], call_id=answered[1]["id"], user_id=1)
    handed = [call for call in world.calls.values() if call["transferred_to"]]
    for call, second in zip(handed, ("transferred", "hungup", "unsuccessful_transfer"), strict=False):
        for at, event in enumerate(("unsuccessful_transfer", second), call["started_at"]):
            note(known.call_events, f"call.{event}", at, call_id=call["id"], user_id=None)
    for call in [call for call in answered if call["transferred_by"]][:3]:
        note(known.call_events, "call.transferred", call["answered_at"] + 7, call_id=call["id"], user_id=None)
    contact = dict(list(world.contacts.values())[3])
    number = {"id": next(iter(world.kinds["numbers"])), "name": "Named otherwise"}
    text = {"direction": "inbound", "status": "received", "body": "Hello", "created_at": iso(answered[0]["ended_at"])}
    known.messages = [
        text | {"id": "1779973182949pn", "external_number": "+33 1 99 11 11 11", "number": number, "media_details": []},
        text | {"id": "2", "channel": "whatsapp", "sent_at": iso(answered[1]["ended_at"]), "contact": contact}
        | {"media_details": [{"file_name": "a.png"}]},
    ]  # fmt: skip
    known.group_messages = [text | {"id": "2", "group_conversation_id": "g", "number": number}]
    users, contacts = list(world.kinds["users"]), list(world.contacts)
    deleted = [("user", users[-1]), ("contact", contacts[0]), ("contact", users[0]), ("number", 1)]
    listed_since = [("user", users[-2]), ("contact", contacts[1])]
    known.deleted_objects = [
        {"object_type": kind, "object_id": str(identity), "deleted_at": f"{year}-01-01T00:00:00Z"}
        for year, objects in ((2099, deleted), (2020, listed_since))
        for kind, identity in objects
    ]
    return known


def as_messages(known: Told) -> list[Record]:
    """Return what the inbox knows as a tap would write it."""
    keys = {
        "user_availabilities": ["id"],
        "deleted_objects": ["object_type", "object_id"],
        "messages": ["id"],
        "group_messages": ["id"],
    }
    text, integer = {"type": ["string", "null"]}, {"type": ["integer", "null"]}
    some = {
        "type": ["object", "null"],
        "properties": {"id": integer, "name": text, "first_name": text, "last_name": text},
    }
    types: Record = {"number": some, "contact": some, "media_details": {"type": ["array", "null"], "items": some}}
    types |= dict.fromkeys(("call_id", "user_id"), integer)
    types |= dict.fromkeys(("happened_at", "created_at", "sent_at", "deleted_at"), text | {"format": "date-time"})
    messages: list[Record] = []
    for stream, records in vars(known).items():
        fields = {name for record in records for name in record} - {"time_extracted"}
        types["id"] = integer if isinstance(records[0].get("id"), int) else text
        schema = {"type": "object", "properties": {name: types.get(name, text) for name in fields}}
        key = keys.get(stream, ["event_id"])
        messages.append({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": key})
        for record in records:
            extracted = {"time_extracted": record.pop("time_extracted")} if "time_extracted" in record else {}
            messages.append({"type": "RECORD", "stream": stream, "record": record} | extracted)
    return messages


@dataclass
class Company:
    """What was read, and what is true."""

    messages: list[Record]
    answers: Answers
    marts: dict[str, list[Record]]


@pytest.fixture(scope="module")
def company() -> Company:
    clock = FakeClock()
    world = hostile_company(clock.now)
    known = told(world)
    stretches = agents.live(world, list(Answers(world, known).rows.values()), known)
    with Sandbox(world, clock=clock.time) as sandbox:
        aircall = Aircall(sandbox, clock)
        catalog = aircall.catalog(*STREAMS)
        for stream in catalog["streams"]:
            for entry in stream["metadata"]:
                if stream["stream"] == "calls" and entry["breadcrumb"][1:] == ["ai_voice_agents"]:
                    entry["metadata"]["selected"] = True
        messages = aircall.run(catalog=catalog).messages
    answers = Answers(world, known)
    return Company([*messages, *as_messages(known)], answers, answers.marts() | agents.marts(answers, stretches))


def load(target: str, config: Record, messages: Iterable[Record], folder: Path) -> None:
    """Feed messages to a target."""
    path = folder / f"{target}.json"
    path.write_text(json.dumps({"default_target_schema": "aircall"} | config), encoding="utf-8")
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    subprocess.run([executable(target), "--config", path], input=lines, text=True, check=True, capture_output=True)


def dbt(
    *arguments: str, folder: Path, command: Sequence[str | Path] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run dbt on this project, unless the environment names another one."""
    settings = {
        "DBT_PROJECT_DIR": str(ROOT / "dbt"),
        "DBT_PROFILES_DIR": str(ROOT / "dbt"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
        "DBT_QUIET": "true",
        # A data test may warn; the last two are its lines in the summary.
        "DBT_WARN_ERROR_OPTIONS": json.dumps(
            {"error": "all", "warn": ["LogTestResult", "RunResultWarning", "RunResultWarningMessage"]}
        ),
        "DBT_AIRCALL_TIME_ZONE": ZONE.key,
        "DBT_AIRCALL_BUSINESS_HOURS": json.dumps(
            {day: [f"{minute // 60:02d}:00" for minute in minutes] for day, minutes in OPEN.items()}
        ),
    }
    everything = os.environ | settings | environment
    if not command:
        return served_dbt.run(PYTHON, *arguments, folder=folder, environment=everything)
    return subprocess.run(
        [*command, *arguments], env=everything, cwd=folder, capture_output=True, text=True, check=False
    )


def not_well(folder: Path) -> dict[str, str]:
    """Return what did not go well in dbt's last run, by name."""
    results = json.loads((folder / "target/run_results.json").read_text(encoding="utf-8"))["results"]
    return {
        each["unique_id"].split(".")[2]: each["status"] for each in results if each["status"] not in {"success", "pass"}
    }


def plain(value: Any) -> Any:
    """Return a time as UTC without a zone, and anything else as it is."""
    is_aware = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC).replace(tzinfo=None) if is_aware else value


def by_key(rows: Iterable[Record], keys: tuple[str, ...]) -> dict[tuple[Any, ...], Record]:
    return {tuple(row[key] for key in keys): row for row in rows}


def junk() -> Iterator[Record]:
    """Yield messages of what a warehouse may hold by mistake, below what is typed."""
    nested = ("user", "number", "contact", "assigned_to", "transferred_by", "transferred_to")
    lists = ("tags", "teams", "comments", "ai_voice_agents")
    fields = ("id", "created_at", "posted_at", "started_at", "user_id", "start_time", "end_time", "tagged_by")
    for identity, value in enumerate(JUNK, 1):
        thing = dict.fromkeys(fields, value) | {"posted_by": {"id": value}}
        direction = str(value) if identity % 2 else "inbound"
        call: Record = {"id": -identity, "direction": direction, "status": "done", "cost": str(value)}
        call |= {"started_at": "1990-01-01T10:00:00Z", "ended_at": "1990-01-01T10:01:00Z"}
        call |= dict.fromkeys(nested, thing) | {name: [thing, value] for name in lists}
        yield {"type": "RECORD", "stream": "calls", "record": call}
        talk = {"call_id": -identity, "type": "call", "content": {"language": "en", "utterances": [thing, value]}}
        yield {"type": "RECORD", "stream": "call_transcriptions", "record": talk}


def is_junk(row: Record) -> bool:
    """Return whether a row of a mart comes of that."""
    return row.get("call_id", 0) < 0 or date(1990, 1, 1) in {row.get("call_date"), row.get("date")}


def insert(message: Record) -> str:
    """Return the statement that adds a record as it is: loaders would refuse it."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in message["record"].values()]
    values = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    columns = ", ".join(f'"{name}"' for name in message["record"])
    return f"INSERT INTO aircall.{message['stream']} ({columns}) VALUES ({values})"


def differences(mart: str, found: Iterable[Record], expected: Iterable[Record]) -> list[str]:
    """Say where rows differ, the first few alone: pytest takes minutes to compare thousands."""
    # Of days without calls there are many, all of them alike.
    rows = [
        {name: plain(value) for name, value in row.items()}
        for row in found
        if row.get("calls_at_aircall") != 0 and not is_junk(row)
    ]
    here, truth = by_key(rows, KEYS[mart]), by_key(expected, KEYS[mart])
    lines = [f"{mart}: {key} is too much" for key in here.keys() - truth.keys()]
    lines += [f"{mart}: {key} is lacking" for key in truth.keys() - here.keys()]
    for key in here.keys() & truth.keys():
        for name in here[key].keys() | truth[key].keys():
            values = here[key].get(name, "no column"), truth[key].get(name, "no column")
            if values[0] != values[1]:
                lines.append(f"{mart}: {key}: {name} is {values[0]!r}, not {values[1]!r}")
    return lines[:5]


@dataclass
class Warehouse:
    """Where a company was loaded, what dbt has to know of it, and how to ask for the rows of a query."""

    dialect: str
    environment: dict[str, str]
    query: Callable[[str], list[Record]]
    database: str = ""
    command: Sequence[str | Path] = ()


def rows_of(cursor: duckdb.DuckDBPyConnection) -> list[Record]:
    """Return rows by the names of their columns."""
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def in_duckdb(messages: Iterable[Record], folder: Path) -> Warehouse:
    """Load it into DuckDB."""
    path = folder / "warehouse.duckdb"
    load("target-duckdb", {"filepath": str(path), "add_metadata_columns": True}, messages, folder)

    def query(sql: str) -> list[Record]:
        with duckdb.connect(str(path)) as connection:
            return rows_of(connection.execute(sql))

    return Warehouse("duckdb", {"TARGET_DUCKDB_FILEPATH": str(path)}, query, str(path))


def in_postgres(messages: Iterable[Record], folder: Path, postgres: Postgres) -> Warehouse:
    """Load it into PostgreSQL, for analysts who live elsewhere."""
    with psycopg.connect(host=str(postgres.host), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE \"{postgres.name}\" SET timezone = 'Asia/Tokyo'")
    load("target-postgres", {"sqlalchemy_url": postgres.url, "hard_delete": True}, messages, folder)

    def query(sql: str) -> list[Record]:
        with psycopg.connect(host=str(postgres.host), user="postgres", dbname=postgres.name) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row).execute(sql)
            return cursor.fetchall() if cursor.description else []

    target = {"HOST": str(postgres.host), "USER": "postgres", "DATABASE": postgres.name}
    environment = {"DBT_TARGET": "postgres"} | {f"TARGET_POSTGRES_{name}": value for name, value in target.items()}
    return Warehouse("postgres", environment, query, postgres.url.replace("+psycopg", ""))


def emulated(warehouse: str, messages: Iterable[Record], folder: Path) -> Warehouse:
    """Load it into Snowflake's emulator, or leave it for that of BigQuery, which is there only while dbt runs."""
    if warehouse == "snowflake":
        emulators.load(warehouse, folder, settings("target-snowflake"), [messages])
    else:
        (folder / "tables.json").write_text(json.dumps(tables(messages)), encoding="utf-8")

    def query(sql: str) -> list[Record]:
        return emulators.tables(folder)[0][sql.rsplit(".", maxsplit=1)[-1]]

    environment = {"DBT_TARGET": warehouse, "TARGET_SNOWFLAKE_DATABASE": "raw", "DBT_WARN_ERROR_OPTIONS": "{}"}
    return Warehouse(warehouse, environment, query, command=(*emulators.command(warehouse, folder), "dbt"))


def tables(messages: Iterable[Record]) -> dict[str, Any]:
    """Return the columns and rows of each stream, as a target has them that keeps the newest row of a key."""
    time = {"type": ["string", "null"], "format": "date-time"}
    added = {"_sdc_extracted_at": time, "_sdc_batched_at": time, "_sdc_deleted_at": time}
    added |= {"_sdc_table_version": {"type": ["integer", "null"]}}
    found: dict[str, Any] = {}
    for message in messages:
        if message["type"] == "SCHEMA":
            columns = message["schema"]["properties"] | added
            found[message["stream"]] = {"columns": columns, "key": message["key_properties"], "rows": {}}
        elif message["type"] == "RECORD":
            table, record = found[message["stream"]], message["record"]
            row = {name: value for name, value in record.items() if name in table["columns"]}
            row |= {"_sdc_table_version": message.get("version"), "_sdc_extracted_at": message.get("time_extracted")}
            table["rows"][tuple(record[name] for name in table["key"])] = row
    return {stream: table | {"rows": list(table["rows"].values())} for stream, table in found.items()}


@needs_dbt
@pytest.mark.parametrize(
    "name",
    [
        *("DuckDB", "PostgreSQL", "Snowflake"),
        pytest.param("BigQuery", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_the_models_say_what_is_true(
    name: str, company: Company, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "DuckDB":
        warehouse = in_duckdb(company.messages, tmp_path)
    elif name == "PostgreSQL":
        warehouse = in_postgres(company.messages, tmp_path, request.getfixturevalue("postgres"))
    else:
        added = junk() if name == "Snowflake" else ()  # BigQuery has types below columns, too
        messages = with_former_rows(company.messages) if name == "BigQuery" else [*company.messages, *added]
        warehouse = emulated(name.lower(), messages, tmp_path)
    if warehouse.database:
        warehouse.query("; ".join(map(insert, junk())))
    # Unit tests try rules, and dbt's own tests rows that are compared below: DuckDB is enough for both in a quick run.
    is_quick = name != "DuckDB" and not RUN_SLOW
    chosen = WITHOUT_TESTS_OF_DBT if is_quick else ()
    if is_quick or name == "Snowflake":  # fakesnow cannot run them
        chosen += ("--exclude-resource-type", "unit_test")

    done = dbt("build", *chosen, folder=tmp_path, command=warehouse.command, **warehouse.environment)

    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    odd = ("values_can_be_read", "accepted_values_aircall__calls_direction__inbound__outbound")
    assert not_well(tmp_path) == ({} if name == "BigQuery" else dict.fromkeys(odd, "warn"))
    assert faults(tmp_path / "target", warehouse.dialect) == []
    found = []
    for mart, expected in company.marts.items():
        found += differences(mart, warehouse.query(f"SELECT * FROM analytics.aircall__{mart}"), expected)
    assert "\n".join(found) == ""
    counts = {
        row["stream"]: row["row_count"]
        for row in warehouse.query("SELECT * FROM analytics.aircall__freshness")
        if row["is_loaded"]
    }
    assert counts["calls"] == len(company.answers.rows) + (0 if name == "BigQuery" else len(JUNK))
    assert counts["user_events"] == len(company.answers.told.user_events)
    assert "user_numbers" not in counts
    for view, rows in lists(company).items():
        made = warehouse.query(f"SELECT * FROM analytics_staging.stg_aircall__{view}")
        assert {tuple(json_value(row[column]) for column in LISTS[view]) for row in made} == rows != set()
    if name == "DuckDB":
        assert columns_that_differ(warehouse.query) == []
    if warehouse.database:
        assert wrong_crms(company.answers, warehouse.query) == []
        assert page_against_marts(warehouse.database, warehouse.query) == []


def json_value(value: Any) -> Any:
    """Return JSON, which warehouses give as text or as objects, as text; and anything else as it is."""
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def lists(company: Company) -> dict[str, set[tuple[Any, ...]]]:
    """Return the rows that the views of `LISTS` should have, from the records that were read."""

    def items(stream: str, name: str) -> Iterator[tuple[Any, int, Record]]:
        records = [each["record"] for each in company.messages if each["type"] == "RECORD" and each["stream"] == stream]
        for record in records:
            for position, item in enumerate(record.get(name) or [], 1):
                yield record.get("call_id") or record["id"], position, item

    deleted = {int(each["object_id"]) for each in company.answers.told.deleted_objects if "2099" in each["deleted_at"]}
    return {
        "contact_emails": {(key, item["value"]) for key, _, item in items("contacts", "emails") if key not in deleted},
        "call_participants": {
            (key, position, *map(item.get, ("type", "id", "name")))
            for key, position, item in items("calls", "conference_participants")
        },
        "playbook_topics": {
            (key, position, item["name"], as_text(item["result"], {"type": ["string"]}))
            for key, position, item in items("call_playbook_results", "playbook_result_topics")
        },
        "evaluation_questions": {
            (key, position, item["scorecard"]["name"], number, json_value(question))
            for key, position, item in items("call_evaluations", "evaluations")
            for number, question in enumerate(item["questions"], 1)
        },
    }


def with_former_rows(messages: Iterable[Record]) -> Iterator[Record]:
    """Yield messages as if each whole list had had one row more in the run before."""
    former: set[str] = set()
    for message in messages:
        if message["type"] == "RECORD" and "version" in message and message["stream"] not in former:
            former.add(message["stream"])
            record = message["record"] | {"id": message["record"]["id"] + 10**9}
            yield message | {"record": record, "version": message["version"] - 1}
        yield message


def as_text(value: Any, schema: Record) -> str | None:
    """Return a value as a loader stores it that has text alone, and that has no null but for text."""
    if value is None:
        return None if "string" in schema["type"] and "format" not in schema else ""
    return value if isinstance(value, str) else json.dumps(value)


@needs_dbt
def test_text_columns_of_flattened_objects_will_do(company: Company, tmp_path: Path) -> None:
    """Under names in upper case, by a loader that ignores deletions. A table where nothing is found is an error."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA aircall")
        for stream, table in tables([*with_former_rows(company.messages), *junk()]).items():
            columns = flatten_schema({"properties": table["columns"]}, max_level=1)["properties"]
            rows = [flatten_record(row, {"properties": columns}, max_level=1) for row in table["rows"]]
            texts = [{name.upper(): as_text(row.get(name), columns[name]) for name in columns} for row in rows]
            (tmp_path / "rows.json").write_text(json.dumps(texts), encoding="utf-8")
            types = dict.fromkeys(map(str.upper, columns), "VARCHAR")
            source = f"read_json('{tmp_path}/rows.json', columns = {types})"
            connection.execute(f"CREATE TABLE aircall.{stream} AS SELECT * FROM {source}")
        connection.execute("CREATE TABLE aircall.sms_templates (column0 VARCHAR)")

    done = dbt("run", "--vars", "aircall_loader_deletes: false", folder=tmp_path, TARGET_DUCKDB_FILEPATH=str(path))

    assert set(re.findall(r"\bin model (\w+)", done.stdout)) == {"stg_aircall__sms_templates"}, done.stdout[-3000:]
    assert any(names(line, "sms_templates", "id", "column0") for line in done.stdout.splitlines())
    with duckdb.connect(str(path), read_only=True) as connection:
        found = []
        for mart, expected in company.marts.items():
            found += differences(
                mart, rows_of(connection.execute(f"SELECT * FROM analytics.aircall__{mart}")), expected
            )
    assert "\n".join(found) == ""


@needs_dbt
def test_what_bigquery_would_refuse_is_not_in_the_models(company: Company, tmp_path: Path) -> None:
    """On every change; they are built there by `make soak` alone."""
    warehouse = emulated("bigquery", company.messages, tmp_path)

    done = dbt("compile", folder=tmp_path, command=warehouse.command, **warehouse.environment)

    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert faults(tmp_path / "target", "bigquery") == []


def test_what_differs_between_warehouses_is_in_one_file() -> None:
    dialect = re.compile(r"\b(default|duckdb|postgres|snowflake|bigquery)__|adapter\.dispatch|target\.type")
    files = {path.name for path in (ROOT / "dbt").rglob("*.sql") if dialect.search(path.read_text(encoding="utf-8"))}

    assert files == {"warehouses.sql"}


@needs_dbt
def test_a_project_that_installs_the_package_needs_calls_alone(company: Company, tmp_path: Path) -> None:
    """Schema, time zone and models of the same names are its own, and a day lacks a call, which one test says."""
    lost = next(row for row in company.answers.rows.values() if row["caller_key"] is None)
    messages = [message for message in company.messages if message.get("stream") in {"calls", "call_counts"}]
    kept = [
        message | {"stream": message["stream"].replace("calls", "phone_calls")}
        for message in messages
        if message.get("record", {}).get("id") != lost["call_id"]
    ]
    path = tmp_path / "warehouse.duckdb"
    load("target-duckdb", {"filepath": str(path), "default_target_schema": "raw_phones"}, kept, tmp_path)
    package = tmp_path / "package"
    shutil.copytree(ROOT / "dbt", package / "dbt")
    git = ["git", "-C", str(package), "-c", "user.name=A", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Models"]):
        subprocess.run([*git, *command], check=True)
    project = tmp_path / "project"
    project.mkdir()
    files: dict[str, Record] = {
        "packages.yml": {"packages": [{"git": str(package), "subdirectory": "dbt", "revision": "HEAD"}]},
        "profiles.yml": {"mine": {"target": "dev", "outputs": {"dev": {"type": "duckdb", "path": str(path)}}}},
        "dbt_project.yml": {
            "name": "mine",
            "profile": "mine",
            # dbt writes the refs of generic tests itself, without the package.
            "flags": {"require_ref_searches_node_package_before_root": True},
            "vars": {
                "aircall_schema": "raw_phones",
                "aircall_calls_identifier": "phone_calls",
                "aircall_time_zone": "America/New_York",
                "aircall_sla_seconds": 5,
                "aircall_business_hours": {1: ["09:00", "18:00"]},
            },
        },
    }
    own_source = {"name": "aircall", "schema": "main", "tables": [{"name": "calls"}]}
    files["models/own.yml"] = {"sources": [own_source]}
    own_models = [path.stem for path in (ROOT / "dbt/models").glob("[si]*/*.sql")]
    for name in ("models", "tests/generic"):
        (project / name).mkdir(parents=True)
    for name in own_models:
        (project / f"models/{name}.sql").write_text("select 1 as mine", encoding="utf-8")
    (project / "tests/generic/own.sql").write_text(
        "{% test unique_together(model, columns) %} select * from nowhere {% endtest %}", encoding="utf-8"
    )
    for name, content in files.items():
        (project / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    own: dict[str, Any] = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project)}

    installed = dbt("deps", folder=tmp_path, **own, DBT_WARN_ERROR_OPTIONS="{}")
    built = dbt("build", "--select", "package:aircall", *WITHOUT_TESTS_OF_DBT, folder=tmp_path, **own)

    assert installed.returncode == 0, installed.stdout[-3000:]
    assert not_well(tmp_path) == {"no_day_lacks_calls": "fail"}, built.stdout[-3000:]
    assert "unit_test." not in (tmp_path / "target/run_results.json").read_text(encoding="utf-8")
    with duckdb.connect(str(path), read_only=True) as connection:
        query = (
            "SELECT call_id, is_in_sla, time_to_answer_seconds, started_at_local, started_at FROM main.aircall__calls"
        )
        calls = connection.execute(query).fetchall()
        lacking = connection.execute("SELECT date, calls_lacking FROM main.aircall__completeness WHERE NOT is_complete")
        assert lacking.fetchall() == [(lost["started_at"].date(), 1)]
    assert {call[0] for call in calls} == company.answers.rows.keys() - {lost["call_id"]}
    assert {call[1] == (call[2] <= 5) for call in calls if call[2] is not None} == {True}
    assert all(4 * HOUR <= (call[4] - call[3]).total_seconds() <= 5 * HOUR for call in calls)


@needs_dbt
def test_a_mart_is_not_replaced_by_an_empty_one(company: Company, tmp_path: Path) -> None:
    """Whether dbt looks in the wrong place, or the loader wrote nothing there; and old data is noticed."""
    path = tmp_path / "warehouse.duckdb"
    messages = [message for message in company.messages if message.get("stream") in {"calls", "contacts"}]
    load("target-duckdb", {"filepath": str(path), "add_metadata_columns": True}, messages, tmp_path)

    def build(*arguments: str, ancestors: str = "") -> str:
        chosen = ["--select", f"{ancestors}aircall__contacts", "aircall__freshness", "--indirect-selection", "cautious"]
        chosen += ["--exclude-resource-type", "unit_test"]
        return dbt("build", *chosen, *arguments, folder=tmp_path, TARGET_DUCKDB_FILEPATH=str(path)).stdout

    def rows() -> list[Any]:
        with duckdb.connect(str(path)) as connection:
            marts = ("calls", "contacts", "freshness")
            return [connection.execute(f"SELECT count(*) FROM analytics.aircall__{mart}").fetchone() for mart in marts]

    with duckdb.connect(str(path)) as connection:  # nobody has called since, but other streams were loaded
        connection.execute("UPDATE aircall.calls SET _sdc_batched_at = _sdc_batched_at - INTERVAL 3 DAY")
    build(ancestors="+")
    assert not_well(tmp_path) == {}
    before = rows()
    test = (tmp_path / "target/compiled/aircall/tests/the_last_load_is_recent.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(path)) as connection:
        connection.execute("BEGIN; UPDATE analytics.aircall__freshness SET row_count = 0")
        assert len(connection.execute(test).fetchall()) == 1, "tables without a row are no load"

    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM aircall.contacts")
    said = build()
    assert {"aircall__contacts": "error", "the_last_load_is_recent": "fail"}.items() <= not_well(tmp_path).items()
    assert any(names(line, "aircall__contacts", "DBT_AIRCALL_ALLOW_EMPTY") for line in said.splitlines())
    assert rows() == before

    dbt("source", "freshness", folder=tmp_path, TARGET_DUCKDB_FILEPATH=str(path))
    (found,) = json.loads((tmp_path / "target/sources.json").read_text(encoding="utf-8"))["results"]
    assert (found["status"], found["max_loaded_at_time_ago_in_s"] // HOUR) == ("error", 72)

    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE aircall.calls RENAME TO elsewhere")
    for ancestors in ("+", ""):
        said = build(ancestors=ancestors)
        assert any(names(line, "aircall.calls", "DBT_AIRCALL_SOURCE_SCHEMA") for line in said.splitlines())
    assert rows() == before

    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE aircall.elsewhere RENAME TO calls")
    build("--vars", "{aircall_allow_empty: true, aircall_stale_after_hours: 0}")
    assert not_well(tmp_path) == {}
    assert rows() == [before[0], (0,), before[2]]


def test_refs_name_the_package() -> None:
    """Or a model of the same name in the project of a user would take the place of ours."""
    refs = [ref for path in (ROOT / "dbt").glob("[mt]*/**/*.*") for ref in re.findall(r"ref\(.*?\)", path.read_text())]

    assert len(refs) > 100
    assert [ref for ref in refs if not ref.startswith("ref('aircall', '")] == []


def test_every_stream_that_tells_of_calls_people_or_messages_has_a_view() -> None:
    content = yaml.safe_load((ROOT / "dbt/models/staging/sources.yml").read_text(encoding="utf-8"))
    sources = {table["name"] for table in content["sources"][0]["tables"]}
    freshness = (ROOT / "dbt/models/marts/aircall__freshness.sql").read_text(encoding="utf-8")

    assert STREAMS_OF_TAP.keys() - NOT_MODELLED <= sources
    assert sources.isdisjoint(NOT_MODELLED)
    assert sources == {path.stem.split("__")[1] for path in (ROOT / "dbt/models/staging").glob("*.sql")} & sources
    assert set(re.findall(r"^  '(\w+)': ", freshness, re.MULTILINE)) == sources
    models = (ROOT / "dbt/tests/values_can_be_read.sql").read_text(encoding="utf-8").split("[")[1].split("]")[0]
    assert re.findall(r"'(\w+)'", models) == sorted(
        path.stem.split("__")[1]
        for path in (ROOT / "dbt/models/staging").glob("*.sql")
        if "aircall.stage(" in path.read_text(encoding="utf-8")
    )


def staged() -> Iterator[tuple[str, str]]:
    """Yield each field that a staging model reads, with its stream."""
    for path in (ROOT / "dbt/models/staging").glob("*.sql"):
        text = path.read_text(encoding="utf-8")
        stream = "".join(re.findall(r"aircall\.stage\('(\w+)'", text))
        items = "".join(re.findall(r"items='([\w.]+)'", text))
        for field in re.findall(r"^  \['([\w.]+)', ", text, re.MULTILINE):
            if field != "position" and not field.startswith("_sdc_"):  # what the loader adds
                yield stream, re.sub(r"^item\b", items, field)


def test_the_models_read_fields_that_streams_have() -> None:
    """Apart from those within objects that are left open, such as that of a playbook."""
    streams = TapAircall(config={}, validate_config=False).streams
    unknown = []
    for stream, field in staged():
        node = streams[stream].schema if stream in streams else {}
        for name in field.split("."):
            node = node.get("items", node)
            if not node.get("properties"):
                break
            if name not in node["properties"]:
                unknown.append(f"{stream}.{field}")
                break
            node = node["properties"][name]

    assert unknown == []


def test_dbt_and_the_loader_have_the_same_duckdb() -> None:
    loader = tomllib.loads((ROOT / "packages/target-duckdb-exact/pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    (pinned,) = [requirement for requirement in loader["dependencies"] if requirement.startswith("duckdb")]

    assert pinned in plugins["utilities"][0]["pip_url"].split()
