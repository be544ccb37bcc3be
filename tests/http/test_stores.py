"""Taps of one company share one budget: by a file, and by a real Redis server where one is installed."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import redis
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aircall_sandbox import Sandbox, generate_company
from tap_aircall.errors import InputError, RunEndedError
from tap_aircall.http import limiter as limiter_module
from tap_aircall.http.limiter import RateLimiter
from tap_aircall.http.stores import MemoryStore, Store, open_store
from tests.clock import NOW, FakeClock, FastClock, WatchedClock
from tests.conftest import Aircall
from tests.processes import Command, Mishap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

PASSWORD = "hunter2"
BUDGET = 24
WINDOW = 60_600
"""Milliseconds, the margin included."""


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis server, on a socket that only this user can reach."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("needs a Redis server: install redis-server (apt-get install redis-server)")
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
    """A store that nobody has used before."""
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


def test_requests_of_all_taps_count(sharer: Callable[[float], RateLimiter], clock: FakeClock) -> None:
    sharers = [sharer(3), sharer(3)]
    times = []
    for n in range(8):
        sharers[n % 2].acquire()
        times.append(round(clock.now - NOW, 1))

    assert times == [0.0, 0.0, 0.0, 60.6, 60.6, 60.6, 121.2, 121.2]


def test_a_pause_stops_all_taps(sharer: Callable[[float], RateLimiter], clock: FakeClock) -> None:
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
def test_a_clock_set_back_does_not_stop_the_taps(
    sharer: Callable[[float], RateLimiter], clock: FakeClock, *, paused: bool
) -> None:
    limiter = sharer(1)
    limiter.acquire()
    if paused:
        limiter.pause(61)
    clock.now -= 86_400
    limiter.acquire()

    assert sum(clock.waits) < 1


def test_a_closed_limiter_waits_for_nothing_and_leaves_the_others_alone(
    sharer: Callable[[float], RateLimiter], clock: FakeClock
) -> None:
    first, second = sharer(60), sharer(60)
    first.close()
    first.close()
    first.pause(60)
    with pytest.raises(RunEndedError):
        first.acquire()
    for _ in range(60):
        second.acquire()

    assert clock.waits == []


class Busy(FakeClock):
    """Does something once a number of seconds has passed."""

    def __init__(self, seconds: float, happen: Callable[[], object]) -> None:
        super().__init__()
        self._at = self.now + seconds
        self._happen = happen

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        super().wait(seconds, interrupt)
        if self.now >= self._at:
            self._at = math.inf
            self._happen()


@contextlib.contextmanager
def kept(location: str) -> Iterator[Callable[[], object]]:
    """Hold the lock of a store, like a process that hangs, until the function that it yields is called."""
    if location.startswith("unix:"):
        url, _, name = location.partition("#")
        with redis.Redis.from_url(url) as client:
            client.set(f"tap-aircall:{name}:lock", "stuck")
            yield lambda: client.delete(f"tap-aircall:{name}:lock")
    else:
        with FileLock(f"{location}.lock") as lock:
            yield lock.release


def waiting_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("Waiting for another process to let go of ")]


@pytest.mark.parametrize(("seconds", "lines"), [(4.9, 0), (5.1, 1), (60, 1)])
def test_a_wait_for_a_lock_of_others_is_logged_in_one_line(
    location: str, caplog: pytest.LogCaptureFixture, seconds: float, lines: int
) -> None:
    RateLimiter(60, FakeClock(), open_store(location, FakeClock())).close()  # so that the file is there
    with kept(location) as release:
        clock = Busy(seconds, release)
        limiter = RateLimiter(60, clock, open_store(location, clock))
        limiter.acquire()
        limiter.close()

    assert clock.now - NOW == pytest.approx(seconds, abs=0.1)
    assert len(waiting_lines(caplog)) == lines


def test_a_lock_that_is_never_given_back_ends_the_run_with_one_line(
    location: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    limiter = RateLimiter(60, clock, open_store(location, clock))
    with kept(location), pytest.raises(InputError) as caught:
        limiter.acquire()
    limiter.close()

    assert re.fullmatch(
        r"Setting rate_limit_store: another process has kept (/\S+\.lock|the key \S+:lock of the Redis server /\S+) "
        r"for 300 s; end the one that hangs, or name another place\.",
        str(caught.value),
    )
    assert clock.now - NOW == pytest.approx(300, abs=0.1)
    assert len(waiting_lines(caplog)) == 1


def test_closing_ends_the_wait_for_a_lock(location: str) -> None:
    clock = WatchedClock()
    limiter = RateLimiter(60, clock, open_store(location, clock))
    with kept(location), ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(limiter.acquire) for _ in range(3)]
        assert clock.is_waited_on.wait(10)
        limiter.close()
        assert all(isinstance(thread.exception(timeout=10), RunEndedError) for thread in threads)


def test_closing_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "CLOSING_SECONDS", 0.01)
    hangs, goes_on = threading.Event(), threading.Event()

    class Hanging(MemoryStore):
        @override
        def now(self) -> float:
            hangs.set()
            assert goes_on.wait(10)
            return super().now()

    clock = FakeClock()
    limiter = RateLimiter(60, clock, Hanging(clock))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(limiter.acquire)
        assert hangs.wait(10)
        limiter.close()
        assert not goes_on.is_set()
        goes_on.set()


@pytest.mark.parametrize("at_once", [True, False], ids=["at the start", "on the way"])
def test_a_signal_ends_a_tap_that_waits_for_a_lock(location: str, tmp_path: Path, *, at_once: bool) -> None:
    world = generate_company(seed=1, now=NOW, calls=0, contacts=0, users=20)
    clock = FastClock(time.time())
    with Sandbox(world, clock=clock.time) as sandbox, contextlib.ExitStack() as keeping:
        aircall = Aircall(sandbox, FakeClock())
        config = aircall.config(rate_limit_store=location, requests_per_minute=10)
        command = Command(tmp_path, config, aircall.catalog("users", "user_numbers"), clock)

        is_kept = at_once
        if at_once:
            keeping.enter_context(kept(location))

        def waits(output: bytearray) -> bool:
            nonlocal is_kept
            if output and not is_kept:
                keeping.enter_context(kept(location))
                is_kept = True
            errors = tmp_path / "stderr.txt"
            return errors.exists() and "Waiting for another process" in errors.read_text(encoding="utf-8")

        run = command.run(mishap=Mishap.TERMINATE, when=waits)

    assert run.exit_code == 128 + signal.SIGTERM


def put(location: str, table: str, value: Any) -> None:
    """Put something into a store that no tap would."""
    if location.startswith("unix:"):
        url, _, name = location.partition("#")
        with redis.Redis.from_url(url) as client:
            if isinstance(value, float):
                client.zadd(f"tap-aircall:{name}:{table}", {"other": value})
            else:
                client.set(f"tap-aircall:{name}:{table}", value)
    else:
        with contextlib.closing(sqlite3.connect(location)) as connection, connection:
            connection.execute(f"INSERT INTO {table} VALUES ('other', ?)", (value,))


@pytest.mark.parametrize("table", ["requests", "pauses"])
@pytest.mark.parametrize("value", ["garbage", b"\0\xff", math.inf])
def test_a_store_that_holds_no_times_gets_one_line(location: str, clock: FakeClock, table: str, value: Any) -> None:
    limiter = RateLimiter(60, clock, open_store(location, clock))
    put(location, table, value)

    with pytest.raises(InputError) as caught:
        limiter.acquire()
    limiter.close()

    place = "the Redis server /" if location.startswith("unix:") else f"the file {location} has something else in it"
    assert str(caught.value).startswith(f"Setting rate_limit_store: {place}")


@pytest.mark.parametrize("columns", ["one", "item_timestamp", "item_timestamp, name", "name, other, item_timestamp"])
def test_a_store_with_another_table_gets_one_line(tmp_path: Path, clock: FakeClock, columns: str) -> None:
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE requests ({columns})")
        values = ", ".join("'x'" for _ in columns.split(","))
        connection.execute(f"INSERT INTO requests VALUES ({values})")

    with pytest.raises(InputError, match=rf"^Setting rate_limit_store: the file {path} "):
        RateLimiter(60, clock, open_store(str(path), clock)).acquire()


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
    # If each counted alone, three would send three times the budget in the first minute, which is a second here.
    world = generate_company(seed=1, now=NOW, calls=0, contacts=0, users=20)
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
        ("~nosuchuser/x.sqlite", "there is no home folder ~nosuchuser; write the whole path."),
        ("{folder}", "{folder} is a folder; name a file in it."),
        ("{folder}/damaged.sqlite", "the file {folder}/damaged.sqlite cannot be used: file is not a database."),
        ("memcached://:secret@host", "must be a file path or a Redis URL (redis://, rediss:// or unix://)."),
        ("redis://:secret@host:port/0", "is not a Redis URL, such as redis://localhost:6379/0."),
        ("redis://:secret@[::1", "is not a Redis URL, such as redis://localhost:6379/0."),
        ("redis://:se/cret@127.0.0.1:{port}/0", "is not a Redis URL, such as redis://localhost:6379/0."),
        ("redis://:se#cret@127.0.0.1:{port}/0", "is not a Redis URL, such as redis://localhost:6379/0."),
        ("unix://:sec/ret@{folder}/none.sock", "the Redis server {folder}/none.sock cannot be used (ConnectionError)."),
        ("redis://host/0?colour=secret", "is not a Redis URL, such as redis://localhost:6379/0."),
        (
            "redis://me:secret@127.0.0.1:{port}/0#acme",
            "the Redis server 127.0.0.1:{port} cannot be used (ConnectionError).",
        ),
    ],
)
def test_an_unusable_store_is_named_without_secrets(aircall: Aircall, tmp_path: Path, value: str, line: str) -> None:
    (tmp_path / "damaged.sqlite").write_text("no database" * 100, encoding="utf-8")
    places = {"folder": tmp_path, "port": unused_port()}

    with pytest.raises(InputError) as caught:
        _ = aircall.tap(rate_limit_store=value.format(**places)).this_run.client

    assert str(caught.value) == f"Setting rate_limit_store: {line.format(**places)}"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("@:/?#[]%&= é", max_size=6), st.sampled_from(["redis://:{}@127.0.0.1:1/0", "unix://me:{}@/none.sock"]))
def test_no_part_of_a_password_is_shown_whatever_it_does_to_the_url(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, middle: str, url: str
) -> None:
    monkeypatch.setattr(redis.Redis, "time", Mock(side_effect=redis.ConnectionError))

    with pytest.raises(InputError) as caught:
        open_store(url.format(f"Zebra{middle}Quagga"), clock)

    assert not re.search("zebra|quagga", str(caught.value), re.IGNORECASE)


@pytest.mark.parametrize("answer", [b"+OK\r\n", b":1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1\r\n" * 3000])
def test_a_server_that_is_not_redis_gets_one_line(clock: FakeClock, answer: bytes) -> None:
    class Stranger(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            while self.request.recv(65_536):
                self.request.sendall(answer * 10)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        with pytest.raises(InputError, match=rf"^Setting rate_limit_store: the Redis server {host!s}:{port} cannot be"):
            open_store(f"redis://{host!s}:{port}/0", clock)
        server.shutdown()


def test_a_redis_server_that_fails_on_the_way_ends_the_run_with_one_line(redis_url: str, clock: FakeClock) -> None:
    limiter = RateLimiter(60, clock, open_store(redis_url, clock))
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()

    with pytest.raises(InputError, match=r"^Setting rate_limit_store: the Redis server /.*redis.sock cannot be used"):
        limiter.acquire()
    limiter.close()


def test_a_wrong_password_is_reported_and_not_shown(redis_url: str, clock: FakeClock) -> None:
    with pytest.raises(InputError, match="AuthenticationError") as caught:
        open_store(redis_url.replace(PASSWORD, "guess"), clock)

    assert "guess" not in str(caught.value)


def test_without_the_package_the_line_says_what_to_install(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(InputError, match=r"needs the package redis; install tap-aircall\[redis\]\.$"):
        open_store("redis://localhost", clock)


def test_without_a_store_nothing_is_shared(clock: FakeClock) -> None:
    store: Store = open_store("", clock)

    assert isinstance(store, MemoryStore)
