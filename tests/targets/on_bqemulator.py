"""Run dbt or target-bigquery on bqemulator, in the environment of `bigquery.txt`.

    python on_bqemulator.py FOLDER dbt ARGUMENTS...
    python on_bqemulator.py FOLDER load PYTHON CONFIG MESSAGES...

What dbt or the target made is left in `tables.pickle` in the folder. For dbt, the folder has the streams' tables in
`tables.json`; they are made as target-bigquery makes them with `denormalized`: RECORD and REPEATED, and JSON for open
objects. `compile` needs no warehouse: dbt is told the columns. PYTHON has the target.

The target's own tables, load jobs and MERGE run. bqemulator 1.4.0 is bent in these ways:

- It would fetch DuckDB's extension for geography.
- It takes one query at a time, and dbt gives up on one that waited for a minute: dbt runs one thread.
- Load jobs are not compressed, MERGE sets columns by their names alone, and the target does not wait for a consistency
  that is there at once.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def tell(tables: dict[str, list[SchemaField]]) -> None:
    """Tell dbt which tables there are."""
    from dbt.adapters.bigquery import BigQueryAdapter, BigQueryColumn

    def get_relation(self: BigQueryAdapter, database: str, schema: str, identifier: str) -> Any:
        is_there = identifier in tables
        return self.Relation.create(database, schema, identifier, type="table") if is_there else None

    def get_columns_in_relation(_: BigQueryAdapter, relation: Any) -> list[BigQueryColumn]:
        return [BigQueryColumn.create_from_field(each) for each in tables[relation.identifier]]

    BigQueryAdapter.get_relation = get_relation
    BigQueryAdapter.get_columns_in_relation = get_columns_in_relation


def dbt(folder: Path, *arguments: str) -> None:
    """Compile models, or build them on tables with rows."""
    from dbt.cli.main import dbtRunner

    streams = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    tables = {stream: [field(*each) for each in table["columns"].items()] for stream, table in streams.items()}
    profile = {"aircall": {"target": "bigquery", "outputs": {"bigquery": PROFILE | {"threads": 1}}}}
    (folder / "profiles.yml").write_text(json.dumps(profile), encoding="utf-8")
    os.environ["DBT_PROFILES_DIR"] = str(folder)
    if arguments == ("compile",):
        tell(tables)
        sys.exit(not dbtRunner().invoke(["compile", "--no-populate-cache"]).success)
    with emulator() as client:
        client.create_dataset("aircall")
        for stream, schema in tables.items():
            table = client.create_table(bigquery.Table(f"{PROJECT}.aircall.{stream}", schema))
            records = streams[stream]["rows"]
            for first in range(0, len(records), 500):
                batch = [record(schema, row) for row in records[first : first + 500]]
                if faults := client.insert_rows_json(table, batch):
                    raise ValueError(faults[0])
        if not dbtRunner().invoke([*arguments]).success:
            sys.exit(1)
        keep(client, folder, "analytics", "analytics_staging")


def load(folder: Path, python: str, *arguments: str) -> None:
    """Run the target."""
    with emulator() as client:
        subprocess.run([python, "-P", "-W", "ignore", __file__, folder, "target", *arguments], check=True)
        keep(client, folder, "aircall")


def keep(client: bigquery.Client, folder: Path, *datasets: str) -> None:
    """Write what tables and views hold to a file, and the types of columns."""
    tables = [client.get_table(table) for dataset in datasets for table in client.list_tables(dataset)]
    rows = {
        table.table_id: client.list_rows(table)
        if table.table_type == "TABLE"
        else client.query(f"SELECT * FROM `{table.dataset_id}.{table.table_id}`").result()
        for table in tables
    }
    types = {
        (table.table_id, column.name): f"{'REPEATED ' * (column.mode == 'REPEATED')}{column.field_type}"
        for table in tables
        for column in table.schema
    }
    found = {name: [dict(row) for row in each] for name, each in rows.items()}
    (folder / "tables.pickle").write_bytes(pickle.dumps((found, types)))


@contextmanager
def emulator() -> Iterator[bigquery.Client]:
    """Run bqemulator; clients find it by the environment."""
    from bqemulator.config import Settings
    from bqemulator.server import EmulatorServer
    from bqemulator.storage.engine import DuckDBEngine

    DuckDBEngine._load_spatial = lambda _: None  # noqa: SLF001
    server = EmulatorServer(Settings(rest_port=0, grpc_port=0, enable_format_extensions=False))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    os.environ["BIGQUERY_EMULATOR_HOST"] = server.rest_url
    yield bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()


def target(_folder: Path, config: str, *paths: str) -> None:
    """Load files with messages, one after the other."""
    from target_bigquery import batch_job, core
    from target_bigquery.target import TargetBigQuery

    class Client(bigquery.Client):
        """Needs no key, and names the columns that MERGE sets as bqemulator can read them."""

        def __init__(self, credentials: core.BigQueryCredentials) -> None:
            super().__init__(project=credentials.project, credentials=AnonymousCredentials())

        def query(self, query: str, *arguments: Any, **options: Any) -> Any:
            plain = query.replace("UPDATE SET target.`", "UPDATE SET `").replace(", target.`", ", `")
            return super().query(plain, *arguments, **options)

    class Uncompressed(io.BytesIO):
        """A buffer in place of gzip's, which goes on to hold what was written."""

        def close(self) -> None:
            pass

    batch_job.Compressor = Uncompressed
    core.bigquery_client_factory = batch_job.bigquery_client_factory = Client
    core.time.sleep = lambda _: None
    for path in paths:
        target = TargetBigQuery(config=json.loads(Path(config).read_text("utf-8")))
        with Path(path).open(encoding="utf-8") as file:
            target.listen(file)


if __name__ == "__main__":
    folder, command, *rest = sys.argv[1:]
    {"dbt": dbt, "load": load, "target": target}[command](Path(folder), *rest)
