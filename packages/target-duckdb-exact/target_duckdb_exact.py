"""target-duckdb that stores text exactly as sent, and deletes rows of old versions.

The plain target lets DuckDB sniff the dialect of a CSV file from its first rows. A wrong guess takes the first row for
a header (github.com/duckdb/duckdb/issues/21653), strips the quotes off a tag named 'VIP', or ends the run; an empty
string always becomes NULL. This target passes each batch as JSON lines, which need no guess, in a file that only its
owner can read, and that is deleted even after a failure.

The plain target ignores ACTIVATE_VERSION. This target stores the version of each row in `_sdc_table_version`, and
deletes rows of older versions in one transaction with the load, before it writes the state. That needs
`add_metadata_columns`.

Errors are one line without values, which may be personal data. Everything else is the plain target's.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import target_duckdb
from target_duckdb.db_sync import DbSync, flatten_record
from typing_extensions import override

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from duckdb import DuckDBPyConnection

plain_add_columns = target_duckdb.add_metadata_columns_to_schema
plain_emit_state = target_duckdb.emit_state
plain_persist_lines = target_duckdb.persist_lines
VERSION = "_sdc_table_version"
SAFE = (duckdb.BinderException, duckdb.CatalogException, duckdb.IOException, duckdb.PermissionException)
"""DuckDB errors that name files, tables and columns, but no values."""
UNWRITABLE = "TransactionContext Error: Failed to commit: Could not write file"
"""Start of another such error, as when the disk is full."""


class ExactSync(DbSync):
    """Loads the records of one stream."""

    @override
    def load_rows(self, records: Iterable[dict[str, Any]], count: int, temp_dir: str) -> None:
        stream = self.stream_schema_message["stream"]
        self.logger.info("Loading %d rows into '%s'", count, self.table_name(stream))
        batch = self.table_name(stream, is_temporary=True)
        self.conn.execute(self.create_table_query(table_name=batch, is_temporary=True))
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", dir=temp_dir, encoding="utf-8") as file:
            for record in records:
                row = flatten_record(record, self.flatten_schema, max_level=self.data_flattening_max_level)
                file.write(json.dumps(row) + "\n")
            file.flush()
            # All columns are text, which DuckDB converts to the table's types; nested values are JSON text already.
            columns = dict.fromkeys(self.flatten_schema, "VARCHAR")
            self.conn.read_json(file.name, format="newline_delimited", columns=columns).insert_into(batch)
        if self.stream_schema_message["key_properties"] and (update := self.update_from_temp_table(batch)):
            self.conn.execute(update)
        self.conn.execute(self.insert_from_temp_table(batch))
        self.conn.execute(f"DROP TABLE {batch}")


def add_columns(message: dict[str, Any]) -> dict[str, Any]:
    """Add the metadata columns to a SCHEMA message."""
    message["schema"]["properties"][VERSION] = {"type": ["null", "integer"], "maximum": 2**63 - 1}
    extended: dict[str, Any] = plain_add_columns(message)
    return extended


def add_values(message: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a RECORD message with metadata values; times are in UTC."""
    record: dict[str, Any] = message["record"]
    return record | {
        "_sdc_extracted_at": message.get("time_extracted"),
        "_sdc_batched_at": datetime.now(UTC).isoformat(),
        "_sdc_deleted_at": record.get("_sdc_deleted_at"),
        VERSION: message.get("version"),
    }


def persist_lines(connection: DuckDBPyConnection, config: dict[str, Any], lines: Iterable[str]) -> None:
    """Load messages; all loads and deletions before a state are one transaction."""
    schemas: dict[str, str] = {}
    ended: dict[str, int] = {}
    has_versions = config.get("add_metadata_columns") or config.get("hard_delete")

    def watched() -> Iterator[str]:
        for line in lines:
            if not line.endswith("\n") and not _is_json(line):
                sys.exit("The input ends in the middle of a message: the tap was killed.")
            if '"SCHEMA"' in line and (message := json.loads(line))["type"] == "SCHEMA":
                schemas[message["stream"]] = line
            if has_versions and '"ACTIVATE_VERSION"' in line:
                message = json.loads(line)
                if message["type"] == "ACTIVATE_VERSION":
                    ended[message["stream"]] = message["version"]
                    yield schemas[message["stream"]]  # makes the plain target load its batches and call emit_state
            yield line

    def emit_state(state: Any) -> None:
        for stream, version in ended.items():
            table = DbSync(connection, config, json.loads(schemas[stream])).table_name(stream)
            connection.execute(f"DELETE FROM {table} WHERE {VERSION} IS DISTINCT FROM ?", [version])  # noqa: S608
        ended.clear()
        connection.commit()
        plain_emit_state(state)
        connection.begin()

    target_duckdb.emit_state = emit_state
    connection.begin()
    plain_persist_lines(connection, config, watched())
    connection.commit()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def in_one_line(record: logging.LogRecord) -> bool:
    """Filter of the log: put a message on one line; drop it if it quotes a record."""
    record.msg, record.args = " ".join(record.getMessage().split()), ()
    return not record.msg.startswith(("Unable to parse", "Cannot find"))


def describe(error: Exception) -> str:
    """Describe an error in one line without values."""
    if isinstance(error, (*SAFE, OSError)) or str(error).startswith(UNWRITABLE):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}; its message is omitted, since it may quote a record."


def main() -> None:
    """Run the target."""
    target_duckdb.DbSync = ExactSync
    target_duckdb.add_metadata_columns_to_schema = add_columns
    target_duckdb.add_metadata_values_to_record = add_values
    target_duckdb.persist_lines = persist_lines
    target_duckdb.LOGGER.addFilter(in_one_line)
    try:
        target_duckdb.main()
    except Exception as error:  # noqa: BLE001 - any traceback may quote a record
        target_duckdb.LOGGER.critical("%s", describe(error))
        sys.exit(1)
