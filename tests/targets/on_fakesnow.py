"""Runs in the environment .venv/emulators/snowflake: target-snowflake or queries, on
fakesnow's databases in files.

    python -m tests.targets.on_fakesnow FOLDER load CONFIG MESSAGES...
    python -m tests.targets.on_fakesnow FOLDER query FILE SQL...

The target's own DDL, casts and MERGE run. What fakesnow 0.12.1 lacks is bent: files are read into a table rather than
put on a stage, the rows that MERGE reads from them are kept in a table before it, a session has a schema, and streams
load in turn.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import fakesnow
import snowflake.connector


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


def query(path: str, *statements: str) -> None:
    """Write the rows of each query to a file, as a list of objects in one line; names as Snowflake has them."""
    cursor = snowflake.connector.connect(database="RAW", schema="AIRCALL").cursor()
    with Path(path).open("w", encoding="utf-8") as file:
        for statement in statements:
            cursor.execute(statement)
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            file.write(json.dumps(rows, default=str) + "\n")


if __name__ == "__main__":
    folder, command, *rest = sys.argv[1:]
    with fakesnow.patch(db_path=folder):
        {"load": load, "query": query}[command](*rest)
        sys.stdout.flush()
        os._exit(0)  # fakesnow closes what threads may still use
