"""Views over all customers' tables, in real warehouses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

from aircall_customers.customers import Customer, CustomersError, Project
from aircall_customers.local import ROOT
from aircall_customers.views import make_views
from tests.messages import each_names, refused

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {
    "acme": 'CREATE TABLE acme.calls (id bigint, aircall_customer text, "user" text); '
    "INSERT INTO acme.calls VALUES (1, 'acme', '{}')",
    "o'neil": 'CREATE TABLE "o\'neil".calls (id bigint, started_at timestamptz); '
    "INSERT INTO \"o'neil\".calls VALUES (1, '2026-11-28T10:00:00Z'); CREATE TABLE \"o'neil\".tags (id bigint)",
    "new": "SELECT 1",
}
"""What customers have loaded, by schema: one with a column that the other lacks, one nothing."""
CALLS = 'SELECT aircall_customer, id, "user", started_at IS NULL FROM {}calls ORDER BY 1'


def customer(name: str, schema: str, target: str, **settings: Any) -> Customer:
    return Customer.model_validate(
        {"name": name, "credentials": {"environment": "X"}, "schema": schema}
        | {"target": target, "target_settings": settings}
    )


@pytest.mark.parametrize("warehouse", ["DuckDB", "PostgreSQL"])
def test_a_view_has_the_rows_of_all_customers(
    warehouse: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    customers = [customer("files", "x", "target-jsonl")]
    connections: dict[str, Any] = {}
    for number, (schema, sql) in enumerate(TABLES.items()):
        path = str(tmp_path / f"it's {number}.duckdb")
        if warehouse == "DuckDB":
            customers.append(customer(f"c{number}", schema, "target-duckdb", filepath=path))
            connections[schema] = duckdb.connect(path)
        else:
            customers.append(customer(f"c{number}", schema, "target-postgres", sqlalchemy_url=database))
            connections[schema] = psycopg.connect(database)
        with connections[schema] as connection:
            for statement in (f'CREATE SCHEMA "{schema}"', *sql.split("; ")):
                connection.execute(statement)

    for _ in range(2):
        said = list(make_views(customers, Project(ROOT)))

    place = "all_customers.duckdb" if warehouse == "DuckDB" else "all_customers"
    each_names(said, ("files", "target-jsonl"), ("c0", "c1", "c2", 2, place))
    if warehouse == "DuckDB":
        with duckdb.connect("all_customers.duckdb", read_only=True) as connection:
            rows = connection.execute(CALLS.format("")).fetchall()
    else:
        with psycopg.connect(database) as connection:
            rows = connection.execute(CALLS.format("all_customers.").encode()).fetchall()
    assert rows == [("c0", 1, "{}", True), ("c1", 1, None, False)]


def test_views_that_fail_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with refused(CustomersError, "DuckDB", "missing.duckdb"):
        list(make_views([customer("lost", "lost", "target-duckdb", filepath="missing.duckdb")], Project(ROOT)))

    assert list(tmp_path.iterdir()) == []


def test_an_address_that_does_not_work_is_not_shown() -> None:
    lost = customer("lost", "lost", "target-postgres", sqlalchemy_url="postgresql+odd://me:secret@nowhere/x")

    with refused(CustomersError, "PostgreSQL") as raised:
        list(make_views([lost], Project(ROOT)))

    assert "secret" not in str(raised.value)
