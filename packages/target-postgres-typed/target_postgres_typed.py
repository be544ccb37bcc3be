"""MeltanoLabs' target-postgres, with the column types that an analyst expects.

The plain target makes `timestamp` columns without a time zone, which PostgreSQL fills by the time zone of the session,
and `jsonb[]` columns for lists of objects, which few tools can read. Here a date-time becomes `timestamptz`, and a list
becomes `jsonb`. Everything else is the plain target's.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
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
    """Writes to columns of those types."""

    connector_class = TypedConnector


class TargetPostgresTyped(TargetPostgres):
    """PostgreSQL, with timestamptz and jsonb."""

    default_sink_class = TypedSink
