"""bqemulator, in the environment of `bigquery.txt`: for dbt, or for a loader that has an environment of its own.

    python emulated_bigquery.py FOLDER ARGUMENTS_OF_DBT
    python emulated_bigquery.py FOLDER load COMMAND

For dbt, the folder has the streams' tables in `tables.json`, and gets the marts in `marts.pickle`. Tables are made as
target-bigquery makes them with `denormalized`: RECORD and REPEATED, and JSON for open objects. `compile` needs no
warehouse: dbt is told the columns. A loader leaves tables and their types in `loaded.pickle`.

One thing of bqemulator is bent: it would fetch DuckDB's extension for geography. It takes one query at a time, and dbt
gives up on one that waited for a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt.adapters.bigquery import BigQueryAdapter, BigQueryColumn
from dbt.cli.main import dbtRunner
from google.cloud.bigquery import SchemaField, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.cloud import bigquery

PROJECT = "warehouse"
PROFILE = {"type": "bigquery", "method": "oauth-secrets", "token": "x", "project": PROJECT, "dataset": "analytics"}
KINDS = {"object": "JSON", "integer": "INTEGER", "number": "FLOAT", "boolean": "BOOLEAN"}
FORMATS = {"date-time": "TIMESTAMP", "date": "DATE"}


def field(name: str, schema: dict[str, Any]) -> SchemaField:
    """Return the column that target-bigquery makes of a property."""
    kinds = schema.get("type", ["object"])
    if "array" in kinds:
        item = field(name, schema.get("items", {"type": "string"}))
        return SchemaField(name, item.field_type, "REPEATED", fields=item.fields)
    if "object" in kinds and schema.get("properties"):
        return SchemaField(name, "RECORD", fields=[field(*each) for each in schema["properties"].items()])
    found = [type_ for kind, type_ in KINDS.items() if kind in kinds]
    return SchemaField(name, found[0] if found else FORMATS.get(schema.get("format", ""), "STRING"))


def record(fields: Iterable[SchemaField], value: dict[str, Any]) -> dict[str, Any]:
    """Return a record as BigQuery takes it: JSON as text."""
    return {each.name: cell(each, value.get(each.name)) for each in fields}


def cell(column: SchemaField, value: Any) -> Any:
    """Return a value as BigQuery takes it."""
    if isinstance(value, list):
        return [cell(SchemaField(column.name, column.field_type, fields=column.fields), item) for item in value]
    if value is None or column.field_type not in {"JSON", "RECORD"}:
        return value
    return json.dumps(value) if column.field_type == "JSON" else record(column.fields, value)


def told(tables: dict[str, list[SchemaField]]) -> None:
    """Tell dbt which tables there are."""

    def get_relation(self: BigQueryAdapter, database: str, schema: str, identifier: str) -> Any:
        is_there = identifier in tables
        return self.Relation.create(database, schema, identifier, type="table") if is_there else None

    def get_columns_in_relation(_: BigQueryAdapter, relation: Any) -> list[BigQueryColumn]:
        return [BigQueryColumn.create_from_field(each) for each in tables[relation.identifier]]

    BigQueryAdapter.get_relation = get_relation
    BigQueryAdapter.get_columns_in_relation = get_columns_in_relation


def main(folder: Path, arguments: list[str]) -> int:
    """Load, run dbt or a loader, and keep what it made."""
    if arguments[0] == "load":
        with emulator() as client:
            subprocess.run(arguments[1:], check=True)
            tables = {table.table_id: client.get_table(table) for table in client.list_tables("aircall")}
            types = {(name, column.name): type_of(column) for name, each in tables.items() for column in each.schema}
            (folder / "loaded.pickle").write_bytes(pickle.dumps((rows(client, "aircall"), types)))
        return 0
    streams = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    tables = {stream: [field(*each) for each in table["columns"].items()] for stream, table in streams.items()}
    profile = {"aircall": {"target": "bigquery", "outputs": {"bigquery": PROFILE | {"threads": 1}}}}
    (folder / "profiles.yml").write_text(json.dumps(profile), encoding="utf-8")
    os.environ["DBT_PROFILES_DIR"] = str(folder)
    if arguments == ["compile"]:
        told(tables)
        return int(not dbtRunner().invoke(["compile", "--no-populate-cache"]).success)
    return build(folder, arguments, streams, tables)


def type_of(column: SchemaField) -> str:
    """Return a column's type, and whether it is a list."""
    return f"REPEATED {column.field_type}" if column.mode == "REPEATED" else column.field_type


def rows(client: bigquery.Client, dataset: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables."""
    return {
        each.table_id: [dict(row) for row in client.list_rows(each.reference)] for each in client.list_tables(dataset)
    }


@contextmanager
def emulator() -> Iterator[bigquery.Client]:
    """Run bqemulator; clients find it by the environment."""
    from bqemulator.config import Settings  # noqa: PLC0415
    from bqemulator.server import EmulatorServer  # noqa: PLC0415
    from bqemulator.storage.engine import DuckDBEngine  # noqa: PLC0415
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.cloud import bigquery  # noqa: PLC0415

    DuckDBEngine._load_spatial = lambda _: None  # noqa: SLF001
    server = EmulatorServer(Settings(rest_port=0, grpc_port=0, enable_format_extensions=False))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    os.environ["BIGQUERY_EMULATOR_HOST"] = server.rest_url
    yield bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()


def build(folder: Path, arguments: list[str], streams: dict[str, Any], tables: dict[str, list[SchemaField]]) -> int:
    """Run dbt on tables with rows."""
    with emulator() as client:
        client.create_dataset("aircall")
        for stream, schema in tables.items():
            table = client.create_table(Table(f"{PROJECT}.aircall.{stream}", schema))
            records = streams[stream]["rows"]
            for first in range(0, len(records), 500):
                batch = [record(schema, row) for row in records[first : first + 500]]
                if faults := client.insert_rows_json(table, batch):
                    raise ValueError(faults[0])
        done = dbtRunner().invoke(arguments).success
        if done:
            (folder / "marts.pickle").write_bytes(pickle.dumps(rows(client, "analytics")))
    return int(not done)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
