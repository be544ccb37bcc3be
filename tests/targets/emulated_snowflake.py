"""dbt on fakesnow, in the environment of `snowflake.txt`: `python emulated_snowflake.py FOLDER ARGUMENTS_OF_DBT`.

The folder has the streams' tables in `tables.json`, and gets the marts in `marts.pickle`. Tables are made as
target-snowflake makes them: NUMBER, TIMESTAMP_NTZ and VARIANT, under names in upper case.

Three things of fakesnow are bent: FLATTEN counts the items of all rows together, a VARIANT that is cast to text keeps
its quotes unless it was just taken out of an object, and sums of decimals are floats.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from string import Template
from typing import Any

import fakesnow
import fakesnow.macros
import fakesnow.transforms
import snowflake.connector
from dbt.cli.main import dbtRunner
from sqlglot import exp

INDEX = {
    "(row_number() OVER () - 1)": "(e.i - 1)",
    "-> x AS JSON))": "-> x AS JSON), i := NULL::BIGINT)",
    "lambda x: struct_pack(k := NULL::VARCHAR, v := x)": "lambda x, i: struct_pack(k := NULL::VARCHAR, v := x, i := i)",
    "AS e(k, v)": "AS e(k, v, i)",
}


def count_items_by_row() -> None:
    """Let FLATTEN number the items of each list from 0."""
    sql = fakesnow.macros.FS_FLATTEN.template
    for old, new in INDEX.items():
        if old not in sql:
            raise LookupError(old)
        sql = sql.replace(old, new)
    fakesnow.macros.FS_FLATTEN = Template(sql)


def items_as_text(node: exp.Expr) -> exp.Expr:
    """Take a VARIANT that is text out of its quotes."""
    if isinstance(node, exp.Cast) and node.to.this in exp.DataType.TEXT_TYPES and node.this.name.lower() == "item":
        return exp.JSONExtractScalar(this=node.this, expression=exp.JSONPath(expressions=[exp.JSONPathRoot()]))
    return node


def column_type(schema: dict[str, Any]) -> str:
    """Return the type that target-snowflake gives a property."""
    kinds = schema.get("type", ["object"])
    by_kind = {"object": "VARIANT", "array": "VARIANT", "integer": "NUMBER(38, 0)", "number": "FLOAT"}
    by_format = {"date-time": "TIMESTAMP_NTZ", "date": "DATE"}
    found = [type_ for kind, type_ in (by_kind | {"boolean": "BOOLEAN"}).items() if kind in kinds]
    return found[0] if found else by_format.get(schema.get("format", ""), "VARCHAR")


def load(connection: Any, folder: Path) -> None:
    """Make the streams' tables."""
    cursor = connection.cursor()
    for stream, table in json.loads((folder / "tables.json").read_text(encoding="utf-8")).items():
        columns = {name: column_type(schema) for name, schema in table["columns"].items()}
        made = ", ".join(f'"{name.upper()}" {type_}' for name, type_ in columns.items())
        cursor.execute(f"CREATE TABLE RAW.AIRCALL.{stream} ({made})")
        rows = folder / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in table["rows"]) or "{}", encoding="utf-8")
        text = {name: "JSON" if type_ == "VARIANT" else "VARCHAR" for name, type_ in columns.items()}
        where = f"WHERE {bool(table['rows'])}"
        connection._duck_conn.execute(  # noqa: SLF001 - thousands of INSERTs take fakesnow a minute
            f"INSERT INTO RAW.AIRCALL.{stream} SELECT * FROM read_json('{rows}', columns = {text}) {where}"
        )


def main(folder: Path, arguments: list[str]) -> int:
    """Load, run dbt, and keep what it made."""
    count_items_by_row()
    fakesnow.transforms.flatten_value_cast_as_varchar = items_as_text
    fakesnow.transforms.numeric_agg_implicit_cast = lambda node: node
    with (
        fakesnow.patch(),
        snowflake.connector.connect(
            account="emulated", user="x", password="x", database="RAW", schema="AIRCALL"
        ) as raw,
    ):
        load(raw, folder)
        # Its connections share one DuckDB, in which schemas that are made at the same time collide.
        if not dbtRunner().invoke([*arguments, "--threads", "1"]).success:
            return 1
        duckdb = raw._duck_conn  # noqa: SLF001 - the connector would give decimals as floats
        marts = {}
        for (name,) in duckdb.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ANALYTICS'").fetchall():
            rows = duckdb.sql(f"SELECT * FROM RAW.ANALYTICS.{name}")
            names = [column.lower() for column in rows.columns]
            marts[name.lower()] = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    (folder / "marts.pickle").write_bytes(pickle.dumps(marts))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
