"""Fixtures of the sandbox's own tests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from aircall_sandbox import Sandbox, World
from tests.clock import FakeClock
from tests.conftest import Aircall

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def lasting() -> Iterator[Aircall]:
    """An empty Aircall, shared by tests that leave nothing behind."""
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let these tests put emails into addresses, which urllib3 logs; the tap never does."""
    logger = logging.getLogger("urllib3")
    level = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(level)
