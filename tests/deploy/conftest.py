"""A guard on a real PostgreSQL, and sandboxes for its customers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from aircall_customers.guard import Guard
from aircall_customers.local import make_database, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """A PostgreSQL server; gives the folder of its socket."""
    with postgres_server() as folder:
        yield folder


@pytest.fixture
def database(server: Path) -> str:
    """The address of an empty database."""
    return make_database(server, f"test{next(NUMBERS)}")


@pytest.fixture
def connect(database: str) -> Iterator[Callable[[], Guard]]:
    """A function that opens the guard as one more machine does."""
    opened: list[Guard] = []

    def machine() -> Guard:
        opened.append(Guard(database))
        return opened[-1]

    yield machine
    for guard in opened:
        guard.close()


@pytest.fixture
def guard(connect: Callable[[], Guard]) -> Guard:
    """The guard as the only machine sees it."""
    return connect()
