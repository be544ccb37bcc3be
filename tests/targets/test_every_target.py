"""One recording of two runs, every field of every row, in every target that the documents name.

What these tests see is kept in docs/targets.json, from which the table in docs/targets.md is generated.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import psycopg.rows
import pytest

from tests.slow import RUN_SLOW
from tests.targets import emulators
from tests.targets.conftest import PLUGINS, ROOT, definition, executable, settings
from tests.targets.recording import TEXTS
from tests.targets.recording import recording as recording  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.conftest import Record, Run
    from tests.postgres import Postgres
    from tests.targets.recording import Recording

SEEN = ROOT / "docs/targets.json"
FEW = {"calls", "contacts", "tags", "users", "labels", "call_evaluations", "call_playbook_results", "analytics_reports"}
"""Streams that the emulators load where slow tests are not asked for."""
FORMS = ("object", "array", "number", "integer", "boolean", "string", "date-time", "date")
NAMES = {
    "DuckDB": "target-duckdb",
    "PostgreSQL": "target-postgres",
    "PostgreSQL, plain": "target-postgres",
    "Snowflake": "target-snowflake",
    "BigQuery": "target-bigquery",
    "CSV": "target-csv",
    "JSON lines": "target-jsonl",
}
SLOW = {"PostgreSQL, plain", "BigQuery"}
TELLING = {
    *("add_metadata_columns", "add_record_metadata", "denormalized", "dedupe_before_upsert", "hard_delete"),
    *("load_method", "schema_resolver_version", "timestamp_type", "upsert", "use_copy", "validate_records"),
}
"""Settings that decide about rows and types."""


@dataclass
class Loaded:
    """What is in a target."""

    tables: dict[str, list[Record]]
    version: str
    server: str
    types: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The type of each column, by table and column, as far as there are types."""


def load(command: Path, config: Record, runs: Iterable[Run], folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    for run in runs:
        lines = "".join(json.dumps(message) + "\n" for message in run.messages)
        done = subprocess.run(
            [command, "--config", path], input=lines, text=True, capture_output=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr[-3000:]


def version(python: Path, name: str) -> str:
    """Return the version of a distribution in another environment."""
    code = f"import importlib.metadata; print(importlib.metadata.version({name!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def python_of(name: str) -> Path:
    return PLUGINS / f"loaders/{name}/venv/bin/python"


def in_duckdb(recording: Recording, folder: Path, _request: pytest.FixtureRequest) -> Loaded:
    path = str(folder / "warehouse.duckdb")
    load(executable("target-duckdb"), settings("target-duckdb") | {"filepath": path}, recording.runs, folder)
    with duckdb.connect(path, read_only=True) as connection:

        def rows(sql: str) -> list[Record]:
            found = connection.execute(sql)
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        types = connection.execute("SELECT table_name, column_name, data_type FROM duckdb_columns()").fetchall()
        return Loaded(
            {stream: rows(f"SELECT * FROM aircall.{stream}") for stream in recording.streams},
            f"target-duckdb-exact, on target-duckdb {version(python_of('target-duckdb'), 'target-duckdb')}",
            f"DuckDB {version(python_of('target-duckdb'), 'duckdb')}",
            {(table, column): kind for table, column, kind in types},
        )


def in_postgres(recording: Recording, folder: Path, request: pytest.FixtureRequest, command: str = "") -> Loaded:
    postgres: Postgres = request.getfixturevalue("postgres")
    typed = executable("target-postgres")
    config = settings("target-postgres") | {"sqlalchemy_url": postgres.url}
    load(typed.with_name(command or typed.name), config, recording.runs, folder)
    with psycopg.connect(host=str(postgres.host), user="postgres", dbname=postgres.name) as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        tables = {name: cursor.execute(f"SELECT * FROM aircall.{name}").fetchall() for name in recording.streams}
    types = postgres.query("SELECT table_name, column_name, udt_name FROM information_schema.columns")
    plain = f"meltanolabs-target-postgres {version(python_of('target-postgres'), 'meltanolabs-target-postgres')}"
    ((server,),) = postgres.query("SHOW server_version_num")
    return Loaded(
        tables,
        plain if command else f"target-postgres-typed, on {plain}",
        f"PostgreSQL {int(server) // 10_000}",
        {(table, column): kind for table, column, kind in types},
    )


def in_plain_postgres(recording: Recording, folder: Path, request: pytest.FixtureRequest) -> Loaded:
    return in_postgres(recording, folder, request, "target-postgres")


def in_snowflake(recording: Recording, folder: Path, _request: pytest.FixtureRequest) -> Loaded:
    emulators.load("snowflake", folder, settings("target-snowflake"), (run.messages for run in recording.runs))
    tables, types = emulators.tables(folder)
    python = emulators.python_of("snowflake")
    return Loaded(
        {stream: tables[stream] for stream in recording.streams},
        f"meltanolabs-target-snowflake {version(python, 'meltanolabs-target-snowflake')}",
        f"emulator fakesnow {version(python, 'fakesnow')}",
        types,
    )


def in_bigquery(recording: Recording, folder: Path, _request: pytest.FixtureRequest) -> Loaded:
    plugin = definition("target-bigquery")
    if not (python := shutil.which(plugin["python"])):
        pytest.skip(f"target-bigquery needs {plugin['python']}")
    target = folder / "target/bin/python"
    uv = (Path(sys.executable).with_name("uv"), "--quiet", "--no-config")
    subprocess.run([*uv, "venv", "--python", python, folder / "target"], check=True)
    subprocess.run([*uv, "pip", "install", "--python", target, *plugin["pip_url"].split()], check=True)
    runs = (run.messages for run in recording.runs)
    emulators.load("bigquery", folder, settings("target-bigquery"), runs, target)
    tables, types = emulators.tables(folder)
    return Loaded(
        {stream: tables.get(stream, []) for stream in recording.streams},
        f"z3-target-bigquery {version(target, 'z3-target-bigquery')}",
        f"emulator bqemulator {version(emulators.python_of('bigquery'), 'bqemulator')}",
        types,
    )


def in_csv(recording: Recording, folder: Path, _request: pytest.FixtureRequest) -> Loaded:
    python = Path(sys.prefix) / "emulators/csv/bin/python"
    load(python.with_name("target-csv"), {"output_path_prefix": f"{folder}/"}, recording.runs, folder)
    tables = {}
    for stream in recording.streams:
        path = folder / f"{stream}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            tables[stream] = [python_values(row) for row in csv.DictReader(file)]
    return Loaded(tables, f"meltanolabs-target-csv {version(python, 'meltanolabs-target-csv')}", "files")


def python_values(row: Mapping[str, str]) -> Record:
    """Return a row with lists and objects, which target-csv writes as Python does."""

    def python_value(value: str) -> Any:
        if value[:1] not in {"[", "{"} or value in TEXTS:
            return value or None
        return ast.literal_eval(re.sub(r"Decimal\('([^']*)'\)", r"\1", value))

    return {name: python_value(value) for name, value in row.items()}


def in_jsonl(recording: Recording, folder: Path, _request: pytest.FixtureRequest) -> Loaded:
    config = settings("target-jsonl") | {"destination_path": str(folder)}
    load(executable("target-jsonl"), config, recording.runs, folder)
    tables: dict[str, list[Record]] = {stream: [] for stream in recording.streams}  # empty ones have no file
    for path in folder.glob("*.jsonl"):
        tables[path.stem] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return Loaded(tables, f"target-jsonl {version(python_of('target-jsonl'), 'target-jsonl')}", "files")


def decoded(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value as the tap wrote it, from the form in which a target has it, by its schema."""
    form = form_of(schema)
    if value is None:
        return None
    if form == "date-time":
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    if form in {"object", "array"}:
        return without_nulls(json.loads(value) if isinstance(value, str) else value)
    if form == "boolean":
        return str(value).lower() == "true"
    return {"date": str, "integer": int, "number": float}.get(form, lambda each: each)(value)


def form_of(schema: Mapping[str, Any]) -> str:
    """Return the form of a field: its format, or its type."""
    kinds = schema["type"]
    return str(schema.get("format") or next(each for each in FORMS if each in kinds))


def without_nulls(value: Any) -> Any:
    """Return a value without fields of objects that are null; their absence is the same."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None} or None
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def differences(target: Target, recording: Recording, stream: str, rows: Iterable[Record]) -> list[str]:
    """Say which fields differ, the first few alone."""
    schema, keys = recording.schema(stream)

    def by_key(records: Iterable[Record]) -> list[tuple[Any, Record]]:
        lower = [{name.lower(): value for name, value in record.items()} for record in records]
        known = [
            {name: target.alike(decoded(record.get(name.lower()), schema[name])) for name in schema} for record in lower
        ]
        return sorted(((tuple(record[key] for key in keys), record) for record in known), key=lambda each: each[0])

    here, there = by_key(rows), by_key(target.expected(recording)[stream])
    if [key for key, _ in here] != [key for key, _ in there]:
        return [f"{stream}: {len(here)} rows, not {len(there)}"]
    return [
        f"{stream}.{name} of {key}: {row[name]!r:.200}, not {true[name]!r:.200}"
        for (key, row), (_, true) in zip(here, there, strict=True)
        for name in schema
        if row[name] != true[name]
    ][:5]


def newest(recording: Recording) -> dict[str, list[Record]]:
    return {stream: list(table.values()) for stream, table in recording.expected().items()}


def last_run(recording: Recording) -> dict[str, list[Record]]:
    return {stream: recording.runs[1].records(stream) for stream in recording.streams}


def newest_without_deletions(recording: Recording) -> dict[str, list[Record]]:
    return {stream: list(table.values()) for stream, table in recording.expected(deletes=False).items()}


def every_record(recording: Recording) -> dict[str, list[Record]]:
    return {stream: [each for run in recording.runs for each in run.records(stream)] for stream in recording.streams}


def same(value: Any) -> Any:
    return value


def without_empty(value: Any) -> Any:
    return None if value == "" else value


def with_times_within(value: Any) -> Any:
    """Return a value with times in objects as times, and nothing for an empty list."""
    if isinstance(value, dict):
        return without_nulls({name: with_times_within(each) for name, each in value.items()})
    if isinstance(value, list):
        return [with_times_within(each) for each in value] or None
    is_time = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", value)
    return datetime.fromisoformat(value) if is_time else value


@dataclass
class Target:
    """How a target is loaded, and what is to be found then.

    Args:
        load: Loads a recording.
        expected: Returns the records that are to be found.
        rows: Says that in words.
        lost: What is lost, in words.
        alike: Makes values alike that differ in that alone.
        open_streams: Whether records with fields beyond their schema can be loaded.
    """

    load: Callable[[Recording, Path, pytest.FixtureRequest], Loaded]
    expected: Callable[[Recording], dict[str, list[Record]]] = newest
    rows: str = "the newest per key; rows deleted in Aircall are deleted"
    lost: str = "nothing"
    alike: Callable[[Any], Any] = same
    open_streams: bool = True


TARGETS = {
    "DuckDB": Target(in_duckdb),
    "PostgreSQL": Target(in_postgres),
    "PostgreSQL, plain": Target(in_plain_postgres),
    "Snowflake": Target(in_snowflake),
    "BigQuery": Target(
        in_bigquery,
        newest_without_deletions,
        "the newest per key; deletions are ignored",
        "null lists become empty",
        with_times_within,
    ),
    "CSV": Target(
        in_csv,
        last_run,
        "only those of the last run",
        "empty texts become null; nested values are in Python's notation; custom streams and "
        "`number_registration_statuses` fail",
        without_empty,
        open_streams=False,
    ),
    "JSON lines": Target(in_jsonl, every_record, "every record of every run; deletions are ignored"),
}


def look(name: str, recording: Recording, folder: Path, request: pytest.FixtureRequest) -> tuple[list[str], Record]:
    """Load a recording; return what differs, and what the documents say of the target."""
    target = TARGETS[name]
    streams = {stream for stream in recording.streams if target.open_streams or not recording.is_open(stream)}
    recording = recording.of(streams & FEW if name == "Snowflake" and not RUN_SLOW else streams)
    loaded = target.load(recording, folder, request)
    types: dict[str, set[str]] = {}
    for stream in recording.streams:
        for column, schema in recording.schema(stream)[0].items():
            if kind := loaded.types.get((stream, column.lower())):
                types.setdefault(form_of(schema), set()).add(kind)
    found = [line for each in recording.streams for line in differences(target, recording, each, loaded.tables[each])]
    return found, {
        "loader": loaded.version,
        "tested on": loaded.server,
        "rows": target.rows,
        "lost": target.lost,
        "types": {form: ", ".join(sorted(types[form])) for form in FORMS if form in types},
        "settings": {setting: value for setting, value in settings(NAMES[name]).items() if setting in TELLING},
    }


@pytest.mark.timeout(900)  # loaders begin slowly, and more slowly while others work
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in TARGETS]
)
def test_every_field_of_every_row_arrives(
    name: str, recording: Recording, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found, seen = look(name, recording, tmp_path, request)

    assert "\n".join(found[:50]) == ""
    assert json.loads(SEEN.read_text("utf-8")).get(name) == seen, f"say so in {SEEN}, and run `make generate`"
