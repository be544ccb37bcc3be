"""Run target-snowflake or dbt on fakesnow, in the environment of `snowflake.txt`.

    python on_fakesnow.py FOLDER load CONFIG MESSAGES...
    python on_fakesnow.py FOLDER dbt ARGUMENTS...

The folder has the databases, and what the target or dbt wrote is left there in `tables.pickle`.

The target's own DDL, casts and MERGE run. fakesnow 0.12.1 is bent in these ways:

- It has no stage: files are read into a table, and the rows that MERGE reads from them are kept in a table before it.
- SQLAlchemy's sessions are given a schema, and streams and models are written in turn: schemas that are made at the
  same time collide.
- FLATTEN counts the items of all rows together, a VARIANT that is cast to text keeps its quotes unless it was just
  taken out of an object, and sums of decimals are floats.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import fakesnow
import fakesnow.macros
import fakesnow.transforms
import snowflake.connector
from sqlglot import exp

INDEX = {
    "(row_number() OVER () - 1)": "(e.i - 1)",
    "-> x AS JSON))": "-> x AS JSON), i := NULL::BIGINT)",
    "lambda x: struct_pack(k := NULL::VARCHAR, v := x)": "lambda x, i: struct_pack(k := NULL::VARCHAR, v := x, i := i)",
    "AS e(k, v)": "AS e(k, v, i)",
}


def load(config: str, *paths: str) -> None:
    """Load files with messages, one after the other."""
    from sqlalchemy import make_url, text
    from target_snowflake.connector import SnowflakeConnector
    from target_snowflake.sinks import SnowflakeSink
    from target_snowflake.target import TargetSnowflake

    class Connector(SnowflakeConnector):
        """Has no stage."""

        files: dict[str, list[str]] = {}  # noqa: RUF012

        def get_sqlalchemy_url(self, config: Any) -> str:
            url = make_url(super().get_sqlalchemy_url(config))
            return url.set(database=f"{url.database}/{config['schema']}").render_as_string(hide_password=False)

        def put_batches_to_stage(self, sync_id: str, files: list[str]) -> None:
            self.files[sync_id] = [urlsplit(file).path for file in files]

        def remove_staged_files(self, sync_id: str) -> None:
            del self.files[sync_id]

        def create_file_format(self, file_format: str, file_type: str = "JSON") -> None:
            pass

        def drop_file_format(self, file_format: str) -> None:
            pass

        def merge_from_stage(self, *, sync_id: str, file_format: str, **of_table: Any) -> int:
            statement, _ = self._get_merge_from_stage_statement(sync_id=sync_id, file_format=file_format, **of_table)
            merge, _, rest = str(statement).partition(" using (")
            rows, _, on = rest.partition(") s on ")
            stage = f"'@~/target-snowflake/{sync_id}'(file_format => {file_format})"
            assert stage in rows
            schema = f"{self.config['database']}.{self.config['schema']}"
            staged, source = (f'{schema}."{uuid4()}"' for _ in range(2))
            rows = rows.replace(stage, staged).replace("$1:", "line:").replace("SEQ8()", "position")
            with self._connect() as connection, connection.begin():
                duckdb = connection.connection.dbapi_connection._duck_conn  # noqa: SLF001
                duckdb.execute(
                    f"CREATE TABLE {staged} AS SELECT json AS line, row_number() OVER () AS position "
                    f"FROM read_json_objects({self.files[sync_id]})"
                )
                connection.execute(text(f"create table {source} as {rows}"))
                connection.execute(text(f"{merge} using {source} s on {on}"))
                for table in (staged, source):
                    connection.execute(text(f"drop table {table}"))
            return 0

    SnowflakeSink.connector_class = Connector
    TargetSnowflake.max_parallelism = 1
    for path in paths:
        target = TargetSnowflake(config=json.loads(Path(config).read_text("utf-8")))
        with Path(path).open(encoding="utf-8") as file:
            target.listen(file)


def items_as_text(node: exp.Expr) -> exp.Expr:
    """Take a VARIANT that is text out of its quotes."""
    if isinstance(node, exp.Cast) and node.to.this in exp.DataType.TEXT_TYPES and node.this.name.lower() == "item":
        return exp.JSONExtractScalar(this=node.this, expression=exp.JSONPath(expressions=[exp.JSONPathRoot()]))
    return node


def dbt(*arguments: str) -> None:
    """Build models."""
    from dbt.cli.main import dbtRunner

    sql = fakesnow.macros.FS_FLATTEN.template
    for old, new in INDEX.items():
        assert old in sql
        sql = sql.replace(old, new)
    fakesnow.macros.FS_FLATTEN = Template(sql)
    fakesnow.transforms.flatten_value_cast_as_varchar = items_as_text
    fakesnow.transforms.numeric_agg_implicit_cast = lambda node: node
    if not dbtRunner().invoke([*arguments, "--threads", "1"]).success:
        raise SystemExit(1)


def keep(path: Path, *schemas: str) -> None:
    """Write what tables and views hold to a file, and the types of columns; names in lower case."""
    cursor = snowflake.connector.connect(database="RAW", schema="AIRCALL").cursor(snowflake.connector.DictCursor)

    def rows(sql: str) -> list[dict[str, Any]]:
        return [{name.lower(): value for name, value in row.items()} for row in cursor.execute(sql).fetchall()]

    columns = [row for row in rows("SELECT * FROM RAW.INFORMATION_SCHEMA.COLUMNS") if row["table_schema"] in schemas]
    types = {(row["table_name"].lower(), row["column_name"].lower()): row["data_type"] for row in columns}
    tables = {row["table_name"].lower(): f"{row['table_schema']}.{row['table_name']}" for row in columns}
    path.write_bytes(pickle.dumps(({name: rows(f"SELECT * FROM {table}") for name, table in tables.items()}, types)))


if __name__ == "__main__":
    folder, command, *rest = sys.argv[1:]
    databases = Path(folder, "databases")
    databases.mkdir(exist_ok=True)
    run, schemas = {"load": (load, ["AIRCALL"]), "dbt": (dbt, ["ANALYTICS", "ANALYTICS_STAGING"])}[command]
    with fakesnow.patch(db_path=databases):
        run(*rest)
        keep(Path(folder, "tables.pickle"), *schemas)
        sys.stdout.flush()
        os._exit(0)  # fakesnow closes what threads may still use
