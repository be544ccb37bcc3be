"""Options and shared fixtures of all tests, including those of the packages."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import hypothesis

from tests import leaks, slow
from tests.conftest import Aircall
from tests.conftest import aircall as aircall  # noqa: PLC0414 - fixtures for all tests
from tests.conftest import clock as clock  # noqa: PLC0414
from tests.conftest import make_aircall as make_aircall  # noqa: PLC0414
from tests.postgres import postgres as postgres  # noqa: PLC0414
from tests.postgres import postgres_server as postgres_server  # noqa: PLC0414

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for the tap's concurrent requests."""
    parser.addoption("--in-flight", type=int, default=4, help="max_concurrent_requests of the tap (default: 4)")


def pytest_configure(config: pytest.Config) -> None:
    """Apply the options to all tests, lift deadlines, and watch for leaks."""
    leaks.pytest_configure(config)
    slow.RUN_SLOW = config.getoption("markexpr") != "not slow"
    Aircall.in_flight = config.getoption("--in-flight")
    hypothesis.settings.register_profile("any machine", deadline=None)  # a busy machine must not fail a test
    hypothesis.settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and tests: a full collection would take most of a second."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
