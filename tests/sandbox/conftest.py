"""Fixtures of the sandbox's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_aircall.sandbox import Sandbox, World
from tests.clock import FakeClock
from tests.conftest import Aircall

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def lasting() -> Iterator[Aircall]:
    """An empty Aircall for all cases that leave nothing behind."""
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock)
