"""The plain target-duckdb, but with text stored as it was sent.

The plain target lets DuckDB guess the form of a CSV file from its first rows. A wrong guess takes the first row for a
header (github.com/duckdb/duckdb/issues/21653), strips the quotes off a tag named 'VIP', or ends the run; an empty
string always becomes NULL. Here a batch travels as lines of JSON, where nothing is left to guess, in a file that only
its owner can read and that is gone afterwards, also after a failure. Everything else is the plain target's.
"""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

import target_duckdb
from target_duckdb.db_sync import DbSync, flatten_record
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable


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
            # All as text, which DuckDB turns into the types of the table; nested values are JSON text already.
            columns = dict.fromkeys(self.flatten_schema, "VARCHAR")
            self.conn.read_json(file.name, format="newline_delimited", columns=columns).insert_into(batch)
        if self.stream_schema_message["key_properties"] and (update := self.update_from_temp_table(batch)):
            self.conn.execute(update)
        self.conn.execute(self.insert_from_temp_table(batch))
        self.conn.execute(f"DROP TABLE {batch}")


def main() -> None:
    """Run the target with that way of loading."""
    target_duckdb.DbSync = ExactSync
    target_duckdb.main()
