"""A guard on a real PostgreSQL, and sandboxes for its customers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from aircall_customers.guard import Guard
from aircall_customers.local import make_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NUMBERS = itertools.count()


@pytest.fixture
def database(postgres_server: Path) -> str:
    """The address of an empty database."""
    return make_database(postgres_server, f"test{next(NUMBERS)}")


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
