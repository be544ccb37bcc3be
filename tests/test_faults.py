"""Whatever goes wrong on the way, a target ends up with exactly what Aircall has."""

from __future__ import annotations

import contextlib
import math
import socket
from typing import TYPE_CHECKING, Any

import pytest

from aircall_sandbox import Fault, Sandbox, World
from tap_aircall.errors import UnavailableError
from tests.clock import NOW, FakeClock
from tests.companies import furnish
from tests.conftest import Aircall
from tests.messages import refused
from tests.slow import few_or_many
from tests.warehouse import Warehouse

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

T0 = int(NOW)
TIMEOUT = 1.0
"""Seconds, real ones: a busy machine is to answer everything else in less."""


def lying(**meta: Any) -> Callable[[Any], Any]:
    """Change the `meta` of a list; other responses stay."""

    def mutate(payload: Any) -> Any:
        if isinstance(payload, dict) and "meta" in payload:
            payload["meta"] |= meta
        return payload

    return mutate


def without_meta(payload: Any) -> Any:
    return {name: value for name, value in payload.items() if name != "meta"}


FAULTS: dict[str, dict[str, Any]] = {
    **{f"status {status}": {"status": status} for status in (408, 500, 502, 503, 504)},
    **{failure: {"failure": failure} for failure in ("reset", "cut", "stall", "cut_json", "html", "empty")},
    "time-out": {"delay": 1.5 * TIMEOUT},
    "429 in seconds": {"status": 429, "headers": {"X-AircallApi-Reset": str(T0 + 30)}},
    "429 in milliseconds": {"status": 429, "headers": {"X-AircallApi-Reset": str((T0 + 30) * 1000)}},
    "429 in the past": {"status": 429, "headers": {"X-AircallApi-Reset": str(T0 - 30)}},
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "3"}},
    "429 with nothing": {"status": 429},
    "a list where an object belongs": {"mutate": lambda _: []},
    "no envelope": {"mutate": lambda _: {}},
    "null in the envelope": {"mutate": dict.fromkeys},
    "no meta": {"mutate": without_meta},
    "total too high": {"mutate": lying(total=10**6)},
    "total too low": {"mutate": lying(total=1)},
    "total null": {"mutate": lying(total=None)},
    "total text": {"mutate": lying(total="many", next_page_link=7)},
}


def loaded(aircall: Aircall, **settings: Any) -> dict[str, Any]:
    """Run the tap, and return the tables of a target."""
    warehouse = Warehouse()
    warehouse.load(aircall.run(request_timeout=TIMEOUT, **settings).messages)
    return warehouse.tables


def fill(world: World) -> World:
    """Give a company a few pages of each list."""
    furnish(world, calls=130, contacts=120, users=6)
    return world


@pytest.fixture
def small(aircall: Aircall) -> Aircall:
    fill(aircall.world)
    return aircall


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    """What a target ends up with when nothing goes wrong."""
    clock = FakeClock()
    with Sandbox(fill(World(now=clock.now)), clock=clock.time) as sandbox:
        return loaded(Aircall(sandbox, clock))


@pytest.mark.parametrize("in_flight", [1, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_loses_nothing(
    small: Aircall, truth: dict[str, Any], name: str, times: int, in_flight: int
) -> None:
    small.sandbox.faults.append(Fault(after=2, times=times, **FAULTS[name]))

    assert loaded(small, max_concurrent_requests=in_flight) == truth
    assert small.sandbox.faults[0].times == 0


@pytest.mark.parametrize("in_flight", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", range(few_or_many(1, 30)))
def test_all_faults_at_random_lose_nothing_in_a_long_run(
    make_aircall: Callable[..., Aircall], seed: int, in_flight: int
) -> None:
    aircall = make_aircall()
    furnish(aircall.world, calls=few_or_many(1_200, 5_000), contacts=few_or_many(900, 3_000), users=40)
    truth = loaded(aircall)
    share = 0.1 / len(FAULTS)
    aircall.sandbox.faults = [
        Fault(times=math.inf, probability=share, seed=100 * seed + number, **fault)
        for number, fault in enumerate(FAULTS.values())
    ]
    without = len(aircall.sandbox.requests)

    assert loaded(aircall, max_concurrent_requests=in_flight) == truth
    assert len(aircall.sandbox.requests) > 2 * without


def test_refused_connections_are_survived_for_a_while(clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    world = World(now=clock.now)
    fill(world)
    with contextlib.ExitStack() as later:
        sandbox = Sandbox(world, clock=clock.time, port=port)

        def wait(seconds: float, interrupt: threading.Event) -> None:
            FakeClock.wait(clock, seconds, interrupt)
            if clock.now > NOW + 2:
                later.enter_context(contextlib.nullcontext() if sandbox._socket else sandbox)  # noqa: SLF001

        clock.wait = wait  # type: ignore[method-assign]
        aircall = Aircall(sandbox, clock)
        settings = {"api_url": f"http://127.0.0.1:{port}"}
        aircall.config = lambda **changes: {"user": "sandbox-id", "password": "sandbox-token", **settings, **changes}  # type: ignore[method-assign]

        run = aircall.run("tags")

    assert run.ids("tags") == list(world.kinds["tags"])


def test_a_server_that_is_gone_for_good_ends_the_run_within_five_minutes(small: Aircall) -> None:
    small.sandbox.faults.append(Fault(after=10, failure="reset", times=math.inf))
    began = small.clock.now

    with refused(UnavailableError, small.sandbox.url, "api_url", "reset"):
        small.run()

    assert small.clock.now - began < 300
