"""Awkward data in real warehouses: unchanged, or changed as the documents say, and the same in both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from aircall_sandbox import Fault
from tests.catalogs import example
from tests.clock import NOW
from tests.conftest import Run
from tests.streams.test_schemas import STREAMS, blank, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tap_aircall.streams.base import AircallStream
    from tests.conftest import Aircall
    from tests.postgres import Postgres

T0 = int(NOW)
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
LAST_SECOND = 253_402_300_799
TEXTS = {
    "nul": ("a\x00b", "a\ufffdb"),
    "right to left": ("שלום \u202e123", "שלום \u202e123"),
    "emoji": ("👩‍👩‍👧 Zoë", "👩‍👩‍👧 Zoë"),
    "quotes": ("""'"`\\;--""", """'"`\\;--"""),
    "lines": ("a\nb\r\n\tc", "a\nb\r\n\tc"),
    "a megabyte": ("é" * 500_000, "é" * 500_000),
    "empty": ("", ""),
}
QUERY = """
    SELECT id, first_name, extract(epoch FROM created_at)::bigint, extract(epoch FROM updated_at)::bigint, emails
    FROM aircall.contacts ORDER BY first_name, id
"""


@pytest.fixture
def run(aircall: Aircall) -> Run:
    for number, (sent, _) in enumerate(TEXTS.values()):
        aircall.world.add_contact(
            id=LARGEST - number,
            created_at=T0 - 100 + number,
            first_name=sent,
            emails=[{"id": 1, "value": sent}],
            phone_numbers=[],
        )
    aircall.world.add_contact(
        id=7, created_at=T0 - 50, first_name=None, last_name=None, phone_numbers=None, emails=None
    )

    def surprise(payload: Any) -> Any:
        for contact in payload["contacts"]:
            if contact["id"] == 7:
                contact |= {"surprise": {"a": 1}}
        return payload

    aircall.sandbox.faults.append(Fault(path="/v1/contacts", times=99, mutate=surprise))
    aircall.world.add_call(started_at=T0 - 500, ended_at=0, answered_at=LAST_SECOND, id=LARGEST, duration=SMALLEST)
    return aircall.run("contacts", "calls")


def expected() -> list[tuple[Any, ...]]:
    rows = [
        (LARGEST - number, text, T0 - 100 + number, T0 - 100 + number, [{"id": 1, "value": text}])
        for number, (_, text) in enumerate(TEXTS.values())
    ]
    return [*rows, (7, None, T0 - 50, T0 - 50, None)]


def by_id(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    decoded = [(*row[:-1], json.loads(row[-1]) if isinstance(row[-1], str) else row[-1]) for row in rows]
    return sorted(decoded, key=lambda row: int(row[0]))


CALLS = """
    SELECT id, duration, extract(epoch FROM ended_at)::bigint, extract(epoch FROM answered_at)::bigint
    FROM aircall.calls
"""


def test_duckdb_keeps_odd_texts_numbers_and_times(run: Run, load: Any, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    load("target-duckdb", run, {"filepath": str(path), "default_target_schema": "aircall"})

    with duckdb.connect(str(path), read_only=True) as connection:
        assert by_id(connection.execute(QUERY).fetchall()) == by_id(expected())
        assert connection.execute(CALLS).fetchall() == [(LARGEST, SMALLEST, 0, LAST_SECOND)]


def test_postgres_keeps_odd_texts_numbers_and_times(run: Run, load: Any, postgres: Postgres) -> None:
    load("target-postgres", run, {"sqlalchemy_url": postgres.url, "default_target_schema": "aircall"})

    assert by_id(postgres.query(QUERY)) == by_id(expected())
    assert postgres.query(CALLS) == [(LARGEST, SMALLEST, 0, LAST_SECOND)]


def variants(stream: AircallStream) -> list[dict[str, Any]]:
    """Make three records: with all fields, with nothing but keys, and with null for everything else, at every depth."""
    full, keys, key = example(stream.schema), keys_of(stream), stream.primary_keys[-1]
    records = full, keys, blank(stream.schema) | keys
    is_date = stream.schema["properties"][key].get("format") == "date"
    text = full[key][:-1] if is_date else full[key]
    return [
        {**record, key: full[key] + n if isinstance(full[key], int) else f"{text}{n}"}
        for n, record in enumerate(records)
    ]


@pytest.fixture
def sparse(aircall: Aircall) -> Run:
    """A run with three such records of every stream."""
    run = Run()
    tap = aircall.tap(run, streams=tuple(STREAMS))
    for stream in tap.aircall_streams:
        stream._write_schema_message()  # noqa: SLF001 - what the SDK does before records
        for record in json.loads(json.dumps(variants(stream))):
            processed = stream.post_process(record)
            assert processed is not None
            stream._write_record_message(processed)  # noqa: SLF001 - and with them
    return run


def filled(record: Mapping[str, Any]) -> set[str]:
    """Return the names of fields that are not null, in lower case, without columns that targets add."""
    return {name.lower() for name, value in record.items() if value is not None and not name.startswith("_sdc")}


def check_sparse(run: Run, query: Callable[[str], list[dict[str, Any]]]) -> None:
    for stream in STREAMS:
        sent = run.records(stream)
        assert len(sent) == 3
        rows = query(f"SELECT * FROM aircall.{stream}")
        assert sorted(map(sorted, map(filled, rows))) == sorted(map(sorted, map(filled, sent))), stream


def test_null_and_absence_are_the_same_in_duckdb(sparse: Run, load: Any, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    load("target-duckdb", sparse, {"filepath": str(path), "default_target_schema": "aircall"})

    with duckdb.connect(str(path), read_only=True) as connection:

        def query(sql: str) -> list[dict[str, Any]]:
            rows = connection.execute(sql)
            return [dict(zip([name for name, *_ in rows.description], row, strict=True)) for row in rows.fetchall()]

        check_sparse(sparse, query)


def test_null_and_absence_are_the_same_in_postgres(sparse: Run, load: Any, postgres: Postgres) -> None:
    load("target-postgres", sparse, {"sqlalchemy_url": postgres.url, "default_target_schema": "aircall"})

    check_sparse(sparse, lambda sql: [row for (row,) in postgres.query(f"SELECT to_jsonb(t) FROM ({sql}) AS t")])
