"""Stores of both kinds, empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_aircall.inbox.store import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an inbox may be made: a file, and then a database."""
    if request.param == "sqlite":
        return str(tmp_path / "inbox.db")
    url: str = request.getfixturevalue("postgres").url
    return url


@pytest.fixture
def inbox(location: str) -> Iterator[Inbox]:
    """An empty inbox."""
    inbox = Inbox.open(location, create=True)
    yield inbox
    inbox.close()


def event(name: str = "call.created", **fields: Any) -> dict[str, Any]:
    """Make the body of a delivery."""
    return {"resource": "call", "event": name, "timestamp": 1_700_000_000, "token": "secret", "data": {}, **fields}
