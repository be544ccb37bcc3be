"""Read-only access to a DuckDB file or a PostgreSQL database.

The report's queries use SQL that both understand, and one snapshot of the data.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 20
"""Time-out for connecting to PostgreSQL."""
LONGEST_TEXT = 200
"""Maximum number of characters of foreign text in a message."""


class PageError(Exception):
    """The report cannot be made; the message is one line for the user."""


def one_line(text: str) -> str:
    """Sanitize text from outside the report, so that it cannot break, forge or flood a line.

    Returns:
        At most `LONGEST_TEXT` printable characters; runs of others become one space.
    """
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


class Database:
    """An open database, by a connection of DuckDB or psycopg."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query.

        Raises:
            PageError: If it fails, as with models of another version.
        """
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        except (duckdb.Error, psycopg.Error) as error:
            message = (
                f"The models cannot be read ({_first_line(error)}). If an older version built them, build them again."
            )
            raise PageError(message) from error
        return found


def reading(location: str) -> contextlib.AbstractContextManager[Database]:
    """Open a database for reading.

    Args:
        location: Path of a DuckDB file, or URL of a PostgreSQL database. Parts that a URL omits come from libpq's
            environment variables, such as PGPASSWORD.

    Raises:
        PageError: If it cannot be opened.
    """
    return _postgres(location) if location.startswith(POSTGRES) else _duckdb(location)


@contextlib.contextmanager
def _duckdb(location: str) -> Iterator[Database]:
    if "://" in location:
        # Not quoted, since it may contain a password.
        message = "The database is neither a file nor a URL that begins with postgresql://."
        raise PageError(message)
    path = Path(location)
    if not path.is_file():
        message = f"There is no file {one_line(location)}."
        raise PageError(message)
    try:
        # So that views made by others cannot read other files.
        connection = duckdb.connect(str(path), read_only=True, config={"enable_external_access": False})
    except duckdb.Error as error:
        message = f"DuckDB cannot open {one_line(location)}: {_first_line(error)}"
        raise PageError(message) from error
    with connection:
        connection.execute("begin transaction")
        yield Database(connection)


@contextlib.contextmanager
def _postgres(location: str) -> Iterator[Database]:
    try:
        connection = psycopg.connect(location, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        # Without what stands before an @ in the host: the rest of a password that has one.
        reason = re.sub("[^' ]*@", "...@", _first_line(error))
        message = f"PostgreSQL cannot be reached: {reason}"
        raise PageError(message) from error
    except (psycopg.Error, ValueError) as error:
        # The package's message would quote parts of the URL, such as the password.
        message = (
            "The URL of the database is not one that PostgreSQL understands: postgresql://user@host:5432/database."
        )
        raise PageError(message) from error
    with connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("set time zone 'UTC'")
        yield Database(connection)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return one_line(lines[0] if lines else type(error).__name__).rstrip(".")
