"""MeltanoLabs' target-postgres with the column types that analysts expect.

The plain target creates `timestamp` columns without a time zone, which PostgreSQL fills by the session's time zone, and
`jsonb[]` columns for lists of objects, which few tools can read. This target maps date-times to `timestamptz`, and
lists to `jsonb`. Errors are one line without values, which may be personal data. Everything else is the plain target's.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from functools import cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.exceptions import InvalidInputLine
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.exc import ArgumentError, DBAPIError
from target_postgres.connector import PostgresConnector
from target_postgres.sinks import PostgresSink
from target_postgres.target import TargetPostgres
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.sql.connector import JSONSchemaToSQL


class TypedConnector(PostgresConnector):
    """Chooses the column types."""

    @cached_property
    @override
    def jsonschema_to_sql(self) -> JSONSchemaToSQL:
        to_sql = super().jsonschema_to_sql
        to_sql.register_format_handler("date-time", _timestamp)
        to_sql.register_type_handler("array", JSONB)
        return to_sql


def _timestamp(_schema: dict[str, Any]) -> TIMESTAMP:
    return TIMESTAMP(timezone=True)


class TypedSink(PostgresSink):
    """Writes with that connector."""

    connector_class = TypedConnector


class TargetPostgresTyped(TargetPostgres):
    """PostgreSQL, with timestamptz and jsonb."""

    default_sink_class = TypedSink


def describe(error: Exception) -> str:
    """Describe an error in one line without values."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        about = getattr(error.orig, "diag", None)
        if about is None or about.sqlstate is None:
            # No connection. Without what stands before an @ in the host: the rest of a password that has one.
            return re.sub("[^' ]*@", "...@", " ".join(str(error.orig).split()))
        table = ".".join(filter(None, (about.schema_name, about.table_name, about.column_name)))
        has_values = about.sqlstate[:2] in {"22", "23"} or about.context  # data, constraints, triggers
        message = "its message is omitted, since it may quote a record" if has_values else about.message_primary
        return f"PostgreSQL: {type(error.orig).__name__} ({about.sqlstate}) {table}: {message}."
    if isinstance(error, InvalidInputLine):
        return "The input ends in the middle of a message: the tap was killed."
    if isinstance(error, (NotImplementedError, AssertionError, OSError)):
        return " ".join(str(error).split())  # an incompatible column, a setting or a file
    place = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, ArgumentError) or place.name == "_parse_url":
        return "sqlalchemy_url: must be such as postgresql+psycopg://user:password@host/name, with %40 for an @."
    return f"{type(error).__name__} in {place.name}; its message is omitted, since it may quote a record."


def without_traceback(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Make a log record without the traceback, which may quote a record."""
    record = logging.LogRecord(*args, **kwargs)
    record.exc_info = None
    return record


def main() -> None:
    """Run the target."""
    logging.disable(logging.DEBUG)  # the SDK logs each record
    logging.setLogRecordFactory(without_traceback)
    # This logger quotes lines that it cannot parse.
    logging.getLogger("singer_sdk.singerlib.encoding.simple").addFilter(lambda _: False)
    try:
        TargetPostgresTyped.cli()
    except Exception as error:  # noqa: BLE001 - any traceback may quote a record
        logging.getLogger(TargetPostgresTyped.name).critical("%s", describe(error))
        sys.exit(1)
