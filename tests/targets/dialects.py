"""What a warehouse would refuse in the SQL that dbt compiled for it, though an emulator takes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TYPES = {
    "duckdb": {"bigint", "integer", "double", "numeric", "varchar", "boolean", "date", "timestamp", "json"},
    "postgres": {"bigint", "integer", "double", "numeric", "text", "boolean", "date", "timestamptz", "jsonb"},
    "snowflake": {"bigint", "integer", "float", "numeric", "varchar", "boolean", "date", "timestamp_ntz", "variant"},
    "bigquery": {"bigint", "integer", "float64", "numeric", "string", "boolean", "date", "timestamp", "json"},
}
"""The types that models may cast to; BigQuery knows no `text`, for one."""
FAMILIES = (
    (exp.DataType.Type.BOOLEAN,),
    (exp.DataType.Type.DATE,),
    (exp.DataType.Type.JSON, exp.DataType.Type.JSONB, exp.DataType.Type.VARIANT),
    (exp.DataType.Type.TIMESTAMPTZ,),
    (exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ, exp.DataType.Type.DATETIME),
    tuple(exp.DataType.TEXT_TYPES),
    tuple(exp.DataType.NUMERIC_TYPES),
)
"""Types that compare with each other. BigQuery's DATETIME is a TIMESTAMP here, and its TIMESTAMP a TIMESTAMPTZ."""


def faults(target: Path, dialect: str) -> list[str]:
    """Return what is wrong in the SQL in dbt's folder of artifacts, a line for each."""
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    schema = MappingSchema(dialect=dialect)
    found = []
    for node in in_order(manifest["nodes"]):
        path = node["original_file_path"] if node["resource_type"] == "model" else node["path"]
        sql = (target / "compiled" / node["package_name"] / path).read_text(encoding="utf-8")
        try:
            tree = qualify(sqlglot.parse_one(sql, dialect=dialect), schema=schema, dialect=dialect)
            tree = annotate_types(tree, schema=schema, dialect=dialect)
        except sqlglot.errors.SqlglotError as error:
            found.append(f"{node['name']}: {error}")
            continue
        assert isinstance(tree, exp.Query)
        schema.add_table(
            exp.table_(node["alias"], db=node["schema"], catalog=node["database"]),
            {column.alias_or_name: column.type for column in tree.selects},
            dialect=dialect,
        )
        found += [f"{node['name']}: {fault}" for fault in (*in_text(sql, dialect), *in_tree(tree, dialect))]
    return found


def in_order(nodes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return models, each after those that it reads."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[dict[str, Any]]:
        if name in done or nodes.get(name, {}).get("resource_type") != "model":
            return
        done.add(name)
        for other in nodes[name]["depends_on"]["nodes"]:
            yield from visit(other)
        yield nodes[name]

    for name in nodes:
        yield from visit(name)


def in_text(sql: str, dialect: str) -> Iterator[str]:
    """Say what is wrong before it is parsed: sqlglot takes the types of all warehouses for each of them."""
    tokens = sqlglot.tokenize(sql, read=dialect)
    casts: list[bool] = []
    for before, token, after in zip(tokens[:1] + tokens, tokens, tokens[1:] + tokens[-1:], strict=False):
        if token.token_type.name == "L_PAREN":
            casts.append(before.text.lower() == "cast")
        elif token.token_type.name == "R_PAREN":
            casts.pop()
        elif token.token_type.name == "ALIAS" and casts and casts[-1]:
            kind = after.text.lower().split()[0]
            if kind not in TYPES[dialect]:
                yield f"type {kind}"
        elif "STRING" in token.token_type.name and "\n" in sql[token.start : token.end]:
            yield "a line break in quotes"


def in_tree(tree: exp.Expr, dialect: str) -> Iterator[str]:
    """Say what is wrong in what was parsed."""
    refused = NOWHERE | ({} if dialect in {"duckdb", "postgres"} else NOT_IN_THE_CLOUD)
    for node in tree.walk():
        for fault, is_so in refused.items():
            if is_so(node):
                yield f"{fault}: {node.sql(dialect)}"


def is_of_unlike_types(node: exp.Expr) -> bool:
    """Return whether values are compared, or stand for each other, that are of types which do not go together."""
    if isinstance(node, exp.Case):
        values = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
    elif isinstance(node, exp.In | exp.Coalesce):
        values = [node.this, *node.expressions]
    elif isinstance(node, exp.Predicate) and not isinstance(node, exp.Is):
        values = list(node.iter_expressions())
    else:
        return False
    kinds = {value.type.this for value in values if value and value.type and not isinstance(value, exp.Literal)}
    return sum(not kinds.isdisjoint(family) for family in FAMILIES) > 1


NOWHERE: dict[str, Callable[[exp.Expr], bool]] = {
    "unknown to sqlglot": lambda node: isinstance(node, exp.Command),
    "a named window": lambda node: isinstance(node, exp.Select) and bool(node.args.get("windows")),
    "where without from": lambda node: (
        isinstance(node, exp.Select) and bool(node.args.get("where")) and not node.args.get("from_")
    ),
    "union without all": lambda node: isinstance(node, exp.Union) and bool(node.args.get("distinct")),
    "concat, which is null with a null in some": lambda node: isinstance(node, exp.Concat | exp.ConcatWs),
    "interval": lambda node: isinstance(node, exp.Interval),
    "a query in case": lambda node: isinstance(node, exp.Case) and bool(node.find(exp.Query)),
    "unlike types": is_of_unlike_types,
}
"""What at least one warehouse refuses or reads otherwise, and so no model has."""
NOT_IN_THE_CLOUD: dict[str, Callable[[exp.Expr], bool]] = {
    "regexp_replace with four arguments": lambda node: (
        isinstance(node, exp.RegexpReplace) and bool(node.args.get("position"))
    ),
    "at time zone": lambda node: isinstance(node, exp.AtTimeZone),
    "a cast of JSON to text": lambda node: (
        isinstance(node, exp.Cast) and node.to.this in exp.DataType.TEXT_TYPES and node.this.is_type("json")
    ),
}
"""What Snowflake or BigQuery refuse."""
