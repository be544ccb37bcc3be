"""Creates views over the tables of all customers: one per table and warehouse."""

from __future__ import annotations

import tempfile
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from aircall_customers.customers import COLUMN, FILE, SCHEMA, URL, CustomersError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aircall_customers.customers import Customer, Project

NAME = "all_customers"
"""Name of the views' schema in PostgreSQL, and of their file in DuckDB, where each customer has its own file."""
IN_POSTGRES = """
SELECT relname, attname, format_type(atttypid, atttypmod) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = to_regnamespace(quote_ident(%s)) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
ORDER BY relname, attnum
"""
IN_DUCKDB = """
SELECT table_name, column_name, data_type
FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_oid, table_oid)
WHERE database_name = 'customer' AND schema_name = ? ORDER BY table_name, column_index
"""


class TablesLocation(NamedTuple):
    """The location of a customer's tables."""

    customer: str
    schema: str
    file: Path
    """Only for DuckDB."""


class Table(NamedTuple):
    """A table of a customer."""

    customer: str
    name: str
    relation: str
    """SQL to select from."""
    columns: dict[str, str]
    """Types by column."""


def make_views(customers: Iterable[Customer], project: Project) -> Iterator[str]:
    """Create or replace the views in each warehouse; leave customers without a table out of its view.

    Yields:
        A line about each warehouse, and about each customer in neither DuckDB nor PostgreSQL.

    Raises:
        CustomersError: If a warehouse refuses.
    """
    warehouses: dict[str | None, list[TablesLocation]] = {}
    for customer in customers:
        values = project.target_values(customer)
        place = TablesLocation(
            customer.name, str(customer.schema_name or values.get(SCHEMA)), project.path(values.get(FILE, ""))
        )
        if FILE in values:
            warehouses.setdefault(None, []).append(place)
        elif URL in values or {"host", "database"} <= values.keys():
            warehouses.setdefault(_address(values), []).append(place)
        else:
            yield f"{customer.name}: left out, since {customer.target} writes to neither DuckDB nor PostgreSQL"
    for address, places in warehouses.items():
        count = _in_duckdb(places) if address is None else _in_postgres(address, places)
        where = f"{NAME}.duckdb" if address is None else f"the schema {NAME}"
        yield f"{', '.join(each.customer for each in places)}: {count} views in {where}"


def _address(values: Mapping[str, object]) -> str:
    if URL in values:
        return str(values[URL]).replace("+psycopg2:", ":").replace("+psycopg:", ":")
    names = {"host": "host", "port": "port", "user": "user", "password": "password", "database": "dbname"}
    return psycopg.conninfo.make_conninfo(**{names[name]: str(values[name]) for name in names if name in values})


def _in_postgres(address: str, places: Sequence[TablesLocation]) -> int:
    """Create the views in a schema; return their number."""
    try:
        with psycopg.connect(address) as connection:
            tables: list[Table] = []
            for place in places:
                columns = connection.execute(IN_POSTGRES, [place.schema]).fetchall()
                tables += _tables(place, columns, f"{_name(place.schema)}.{{name}}")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {NAME}".encode())
            for name, query in (views := _views(tables)).items():
                connection.execute(f"DROP VIEW IF EXISTS {NAME}.{name}; CREATE VIEW {NAME}.{name} AS {query}".encode())
    except psycopg.Error as error:  # its text may contain the password
        message = f"PostgreSQL refuses the views: {error.diag.message_primary or type(error).__name__}."
        raise CustomersError(message) from error
    return len(views)


def _in_duckdb(places: Sequence[TablesLocation]) -> int:
    """Create the views in a file in the working directory; return their number."""
    try:
        import duckdb  # noqa: PLC0415 - only where customers are in DuckDB
    except ModuleNotFoundError as error:
        message = "Views in DuckDB need duckdb 1.5 or newer: install it in this environment."
        raise CustomersError(message) from error
    try:
        with tempfile.TemporaryDirectory(prefix=f".{NAME}", dir=".") as folder:
            draft = Path(folder, NAME)
            with duckdb.connect(draft) as connection:
                tables: list[Table] = []
                for place in places:
                    connection.execute(f"ATTACH {_text(place.file)} AS customer (READ_ONLY)")
                    columns = connection.execute(IN_DUCKDB, [place.schema]).fetchall()
                    connection.execute("DETACH customer")
                    relation = (
                        f"read_duckdb({_text(place.file)}, schema_name={_text(place.schema)}, table_name={{text}})"
                    )
                    tables += _tables(place, columns, relation)
                for name, query in (views := _views(tables)).items():
                    connection.execute(f"CREATE VIEW {name} AS {query}")
            draft.replace(f"{NAME}.duckdb")
    except (duckdb.Error, OSError) as error:
        message = f"DuckDB refuses the views: {str(error).splitlines()[0]}"
        raise CustomersError(message) from error
    return len(views)


def _tables(place: TablesLocation, columns: Iterable[tuple[str, str, str]], relation: str) -> Iterator[Table]:
    for name, found in groupby(columns, key=lambda each: each[0]):
        types = {column: type_ for _, column, type_ in found if column != COLUMN}
        yield Table(place.customer, name, relation.format(name=_name(name), text=_text(name)), types)


def _views(tables: Iterable[Table]) -> dict[str, str]:
    """Return the views' queries by name; each has all columns that any of its tables has."""
    by_name: dict[str, list[Table]] = {}
    for table in tables:
        by_name.setdefault(table.name, []).append(table)
    return {_name(name): " UNION ALL ".join(_selects(parts)) for name, parts in by_name.items()}


def _selects(tables: Sequence[Table]) -> Iterator[str]:
    types = {column: type_ for table in tables for column, type_ in table.columns.items()}
    for table in tables:
        columns = (
            f"CAST({_name(column) if column in table.columns else 'NULL'} AS {type_}) AS {_name(column)}"
            for column, type_ in types.items()
        )
        yield f"SELECT {_text(table.customer)} AS {COLUMN}, {', '.join(columns)} FROM {table.relation}"


def _name(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _text(text: object) -> str:
    return "'{}'".format(str(text).replace("'", "''"))
