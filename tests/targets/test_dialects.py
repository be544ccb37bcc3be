"""What is refused in the models of a warehouse, though sqlglot or an emulator takes it."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot.optimizer.annotate_types import annotate_types

from tests.targets.dialects import in_text, in_tree


@pytest.mark.parametrize(
    ("dialect", "sql", "fault"),
    [
        ("bigquery", "select cast(a as text) from t", "type text"),
        ("snowflake", "select cast(a as json) from t", "type json"),
        ("postgres", "select cast(a as timestamp) from t", "type timestamp"),
        ("bigquery", "select string_agg(a, '\n') from t", "a line break in quotes"),
        ("duckdb", "select sum(a) over w from t window w as (order by a)", "a named window"),
        ("duckdb", "select 1 as a where false", "where without from"),
        ("postgres", "select a from t union select b from t", "union without all"),
        ("postgres", "select concat(a, b) from t", "concat"),
        ("duckdb", "select a + interval '5 seconds' from t", "interval"),
        ("bigquery", "select case when a in (select b from t) then 1 end from t", "a query in case"),
        ("bigquery", "select regexp_replace(a, 'x', '', 'g') from t", "regexp_replace with four arguments"),
        ("snowflake", "select a at time zone 'UTC' from t", "at time zone"),
        ("bigquery", "select cast(parse_json(a) as string) from t", "a cast of JSON to text"),
        ("bigquery", "select a from t where cast(a as timestamp) < datetime(b, 'UTC')", "unlike types"),
        ("bigquery", "select coalesce(cast(a as bigint), cast(b as string)) from t", "unlike types"),
        ("duckdb", "select case when a then cast(b as bigint) else cast(c as varchar) end from t", "unlike types"),
    ],
)
def test_what_a_warehouse_refuses_is_found(dialect: str, sql: str, fault: str) -> None:
    tree = annotate_types(sqlglot.parse_one(sql, dialect=dialect), dialect=dialect)

    found = [*in_text(sql, dialect), *in_tree(tree, dialect)]

    assert [line for line in found if line.startswith(fault)] == found != []
