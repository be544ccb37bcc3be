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
    """An empty Aircall, shared by tests that change nothing."""
    clock = FakeClock()
    with Sandbox(World(now=clock.now), clock=clock.time) as sandbox:
        yield Aircall(sandbox, clock)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Allow emails in URLs, which urllib3 logs; the tap never sends any."""
    loggers = [logging.getLogger(name) for name in ("urllib3", "urllib3.connectionpool")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
