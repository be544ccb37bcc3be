"""Taps of one company share one budget: by a file, and by a real Redis server where one is installed."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tap_aircall.api.limiter import RateLimiter
from tap_aircall.api.stores import MemoryStore, Store, open_store
from tap_aircall.errors import InputError
from tap_aircall.sandbox import Sandbox, World
from tests.clock import NOW, FakeClock
from tests.fast import FastClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Aircall

PASSWORD = "hunter2"
BUDGET = 24
WINDOW = 60_600
"""Milliseconds, the margin included."""


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis server, on a socket that only this user can reach."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        options = ["--port", "0", "--unixsocket", path, "--requirepass", PASSWORD, "--save", "", "--dir", folder]
        with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as server:
            while not Path(path).exists():
                assert server.poll() is None
                time.sleep(0.01)
            yield f"unix://:{PASSWORD}@{path}"
            server.terminate()


@pytest.fixture(params=["file", "redis"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that nobody used before."""
    if request.param == "file":
        return str(tmp_path / "budget.sqlite")
    return f"{request.getfixturevalue('redis_url')}#{tmp_path.name}"


@pytest.fixture
def sharer(location: str, clock: FakeClock) -> Iterator[Callable[[float], RateLimiter]]:
    """Make limiters that share a store."""
    limiters: list[RateLimiter] = []

    def make(requests_per_minute: float) -> RateLimiter:
        limiters.append(RateLimiter(requests_per_minute, clock, open_store(location, clock)))
        return limiters[-1]

    yield make
    for limiter in limiters:
        limiter.close()


def test_requests_of_all_count(sharer: Callable[[float], RateLimiter], clock: FakeClock) -> None:
    sharers = [sharer(3), sharer(3)]
    times = []
    for n in range(8):
        sharers[n % 2].acquire()
        times.append(round(clock.now - NOW, 1))

    assert times == [0.0, 0.0, 0.0, 60.6, 60.6, 60.6, 121.2, 121.2]


def test_a_pause_is_everyones(sharer: Callable[[float], RateLimiter], clock: FakeClock) -> None:
    first, second = sharer(60), sharer(60)
    first.pause(61)
    second.pause(5)
    second.acquire()

    assert clock.now - NOW == pytest.approx(61, abs=0.01)


def test_the_smaller_budget_yields(sharer: Callable[[float], RateLimiter], clock: FakeClock) -> None:
    small, large = sharer(0.5), sharer(4)
    for _ in range(3):
        large.acquire()
    clock.now += 61
    large.acquire()
    assert clock.waits == []
    small.acquire()

    assert clock.waits == [pytest.approx(121.2, abs=0.01)]


@pytest.mark.parametrize("paused", [False, True])
def test_a_clock_that_was_set_back_does_not_stop_the_taps(
    sharer: Callable[[float], RateLimiter], clock: FakeClock, *, paused: bool
) -> None:
    limiter = sharer(1)
    limiter.acquire()
    if paused:
        limiter.pause(61)
    clock.now -= 86_400
    limiter.acquire()

    assert sum(clock.waits) < 1


def test_a_closed_one_waits_for_nothing_and_leaves_the_others_alone(sharer: Callable[[float], RateLimiter]) -> None:
    first, second = sharer(60), sharer(60)
    first.close()
    first.close()
    first.pause(60)
    second.acquire()


def test_the_tap_uses_the_store(aircall: Aircall, location: str) -> None:
    for _ in range(2):  # the ping and one page each
        aircall.run("tags", rate_limit_store=location, requests_per_minute=3)

    assert [round(log.at - NOW, 1) for log in aircall.sandbox.requests] == [0.0, 0.0, 0.0, 60.6]


def test_companies_share_a_redis_server_and_no_budget(redis_url: str, tmp_path: Path, clock: FakeClock) -> None:
    for company in ("acme", "umbrella"):
        RateLimiter(1, clock, open_store(f"{redis_url}#{tmp_path.name}%20{company}", clock)).acquire()

    assert clock.waits == []


def test_real_processes_stay_under_one_budget(location: str) -> None:
    began = time.time()
    clock = FastClock(began)
    # Three that counted for themselves would send three times the budget in the first minute, which is a second here.
    world = World.generate(seed=1, now=NOW, calls=0, contacts=0, users=20)
    with Sandbox(world, clock=clock.time, requests_per_minute=2 * BUDGET) as sandbox:
        config: dict[str, Any] = {
            "user": sandbox.api_id,
            "password": sandbox.api_token,
            "api_url": sandbox.url,
            "requests_per_minute": BUDGET,
            "rate_limit_store": location,
        }
        command = [sys.executable, "-m", "tests.fast", str(began), json.dumps(config), "user_numbers"]
        taps = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
        assert [tap.wait() for tap in taps] == [0, 0, 0]
        statuses = [log.status for log in sandbox.requests]

    assert statuses == [200] * 3 * 22  # the ping, the users, the numbers of 20
    if location.startswith("unix:"):
        url, _, name = location.partition("#")
        with redis.Redis.from_url(url) as client:
            scores = client.zrange(f"tap-aircall:{name}:requests", 0, -1, withscores=True)
            times = [int(score) for _, score in scores]
    else:
        with contextlib.closing(sqlite3.connect(location)) as connection:
            times = [at for (at,) in connection.execute("SELECT item_timestamp FROM requests ORDER BY 1")]
    assert len(times) <= len(statuses)
    assert all(later - earlier > WINDOW for earlier, later in zip(times, times[BUDGET:], strict=False))
    assert times[-1] - times[0] > WINDOW


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("{folder}/none/budget.sqlite", "there is no folder {folder}/none."),
        ("{folder}", "{folder} is a folder; name a file in it."),
        ("{folder}/damaged.sqlite", "the file {folder}/damaged.sqlite cannot be used: file is not a database."),
        ("memcached://:secret@host", "must be a file path or a Redis URL (redis://, rediss:// or unix://)."),
        ("redis://:secret@host:port/0", "is not a Redis URL, such as redis://localhost:6379/0."),
        ("redis://host/0?colour=secret", "is not a Redis URL, such as redis://localhost:6379/0."),
        (
            "redis://me:secret@127.0.0.1:{port}/0#acme",
            "the Redis server 127.0.0.1:{port} cannot be used (ConnectionError).",
        ),
    ],
)
def test_what_cannot_be_used_is_named_without_secrets(aircall: Aircall, tmp_path: Path, value: str, line: str) -> None:
    (tmp_path / "damaged.sqlite").write_text("no database" * 100, encoding="utf-8")
    places = {"folder": tmp_path, "port": unused_port()}

    with pytest.raises(InputError) as caught:
        _ = aircall.tap(rate_limit_store=value.format(**places)).client

    assert str(caught.value) == f"Setting rate_limit_store: {line.format(**places)}"


def test_a_redis_server_that_fails_on_the_way_ends_the_run_with_one_line(redis_url: str, clock: FakeClock) -> None:
    limiter = RateLimiter(60, clock, open_store(redis_url, clock))
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()

    with pytest.raises(InputError, match=r"^Setting rate_limit_store: the Redis server /.*redis.sock cannot be used"):
        limiter.acquire()
    limiter.close()


def test_a_wrong_password_is_said_and_not_shown(redis_url: str, clock: FakeClock) -> None:
    with pytest.raises(InputError, match="AuthenticationError") as caught:
        open_store(redis_url.replace(PASSWORD, "guess"), clock)

    assert "guess" not in str(caught.value)


def test_without_the_package_the_line_says_what_to_install(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(InputError, match=r"needs the package redis; install tap-aircall\[redis\]\.$"):
        open_store("redis://localhost", clock)


def test_none_named_is_none_shared(clock: FakeClock) -> None:
    store: Store = open_store("", clock)

    assert isinstance(store, MemoryStore)
