"""Taps of one company on one machine share one budget, by a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from typing_extensions import override

from aircall_sandbox import Sandbox, generate_company
from tap_aircall.errors import InputError, RunEndedError
from tap_aircall.http.limiter import RateLimiter
from tests.clock import NOW, FakeClock, FastClock, WatchedClock
from tests.conftest import Aircall
from tests.messages import each_names, names, refused, warnings
from tests.processes import Command, Mishap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

BUDGET = 24
WINDOW = 60_600
"""Milliseconds, the margin included."""


@pytest.fixture
def location(tmp_path: Path) -> str:
    """A file that nobody has used before."""
    return str(tmp_path / "budget.json")


@pytest.fixture
def sharer(location: str, clock: FakeClock) -> Iterator[Callable[[float], RateLimiter]]:
    """Make limiters that share a store."""
    limiters: list[RateLimiter] = []

    def make(requests_per_minute: float) -> RateLimiter:
        limiters.append(RateLimiter(requests_per_minute, clock, location))
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
    """Hold the lock of a file, like a process that hangs, until the function that it yields is called."""
    with FileLock(f"{location}.lock") as lock:
        yield lock.release


@pytest.mark.parametrize(("seconds", "lines"), [(4.9, 0), (5.1, 1), (60, 1)])
def test_a_wait_for_a_lock_of_others_is_logged_in_one_line(
    location: str, caplog: pytest.LogCaptureFixture, seconds: float, lines: int
) -> None:
    RateLimiter(60, FakeClock(), location).close()  # so that the file is there
    with kept(location) as release:
        clock = Busy(seconds, release)
        limiter = RateLimiter(60, clock, location)
        limiter.acquire()
        limiter.close()

    assert clock.now - NOW == pytest.approx(seconds, abs=0.1)
    each_names(warnings(caplog), *[(f"{location}.lock", "rate_limit_store", 300)] * lines)


def test_a_lock_that_is_never_given_back_ends_the_run_with_one_line(
    location: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    limiter = RateLimiter(60, clock, location)
    with kept(location), refused(InputError, "rate_limit_store", f"{location}.lock", 300):
        limiter.acquire()
    limiter.close()

    assert clock.now - NOW == pytest.approx(300, abs=0.1)
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOLCK, "locks"), (errno.EIO, os.strerror(errno.EIO))])
def test_a_file_system_without_locks_is_told_at_once(
    location: str, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    clock = FakeClock()
    monkeypatch.setattr(fcntl, "flock", flock)
    with refused(InputError, "rate_limit_store", location, reason):
        RateLimiter(60, clock, location)
    assert clock.waits == []


def test_what_is_replaced_is_a_plain_file_that_links_may_lead_to(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "link").symlink_to("budget.json")
    for limiter in [RateLimiter(60, clock, str(tmp_path / name)) for name in ("link", "budget.json")]:
        limiter.acquire()
    assert len(json.loads((tmp_path / "link").read_text())["requests"]) == 2
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "x" * 300):
        with refused(InputError, "rate_limit_store", tmp_path):
            RateLimiter(60, clock, str(tmp_path / name))
    os.mkfifo(tmp_path / "fifo")
    with refused(InputError, "rate_limit_store", tmp_path / "fifo"):
        RateLimiter(60, clock, str(tmp_path / "fifo"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_where_no_file_can_be_created_is_not_taken_for_a_lock(clock: FakeClock) -> None:
    with refused(InputError, "/proc/limit", os.strerror(errno.ENOENT)):
        RateLimiter(60, clock, "/proc/limit")
    assert clock.waits == []


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    location: str, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    def write_bytes(path: Path, _content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    limiter = RateLimiter(60, clock, location)
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with refused(InputError, "rate_limit_store", location, os.strerror(errno.ENOSPC)):
        limiter.acquire()
    assert not list(Path(location).parent.glob("*.new"))


def test_closing_ends_the_wait_for_a_lock(location: str) -> None:
    clock = WatchedClock()
    limiter = RateLimiter(60, clock, location)
    with kept(location), ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(limiter.acquire) for _ in range(3)]
        assert clock.is_waited_on.wait(10)
        limiter.close()
        assert all(isinstance(thread.exception(timeout=10), RunEndedError) for thread in threads)


def test_closing_does_not_wait_for_a_thread_that_hangs() -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    class Hanging(FakeClock):
        @override
        def monotonic(self) -> float:
            hangs.set()
            assert goes_on.wait(10)
            return super().monotonic()

    limiter = RateLimiter(60, Hanging())
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(limiter.acquire)
        assert hangs.wait(10)
        limiter.close()
        assert not thread.done()
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
            return errors.exists() and names(errors.read_text(encoding="utf-8"), f"{location}.lock")

        run = command.run(mishap=Mishap.TERMINATE, when=waits)

    assert run.exit_code == 128 + signal.SIGTERM


STRANGE = {
    "text": b"garbage",
    "bytes": b"\0\xff",
    "no time": b'{"requests": ["garbage"], "paused_until": 0}',
    "a fraction": b'{"requests": [], "paused_until": 1e400}',
    "another field": b'{"requests": [], "secret": 1}',
    "a list": b"[1, 2]",
    "half a file": b'{"requests": [179543880',
    "deep": b"[" * 100_000,
    "a database, such as an earlier version made": b"SQLite format 3\0" + bytes(4096),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_a_file_that_holds_no_times_gets_one_line_and_stays(location: str, clock: FakeClock, content: bytes) -> None:
    limiter = RateLimiter(60, clock, location)
    Path(location).write_bytes(content)

    for use in (limiter.acquire, lambda: limiter.pause(1), lambda: RateLimiter(60, clock, location)):
        with refused(InputError, "rate_limit_store", location):
            use()
    assert Path(location).read_bytes() == content


def test_an_empty_file_is_one_without_requests(location: str, clock: FakeClock) -> None:
    Path(location).touch()
    RateLimiter(1, clock, location).acquire()

    assert clock.waits == []


def test_times_in_another_order_count_as_well(location: str, clock: FakeClock) -> None:
    now = int(NOW * 1000)
    Path(location).write_text(json.dumps({"requests": [now, now - 30_000, now - 50_000]}), encoding="utf-8")

    RateLimiter(2, clock, location).acquire()

    assert clock.waits == [pytest.approx(30.6, abs=0.01)]


def test_the_file_does_not_grow_for_ever(location: str, clock: FakeClock) -> None:
    limiter = RateLimiter(6, clock, location)
    for _ in range(100):
        limiter.acquire()

    assert len(json.loads(Path(location).read_text(encoding="utf-8"))["requests"]) <= 6 * 11.2


def test_the_tap_uses_the_store(aircall: Aircall, location: str) -> None:
    for _ in range(2):  # the ping and one page each
        aircall.run("tags", rate_limit_store=location, requests_per_minute=3)

    assert [round(log.at - NOW, 1) for log in aircall.sandbox.requests] == [0.0, 0.0, 0.0, 60.6]


def test_real_processes_stay_under_one_budget(location: str, tmp_path: Path) -> None:
    clock = FastClock(time.time())
    # If each counted alone, three would send three times the budget in the first minute, which is a second here.
    world = generate_company(seed=1, now=NOW, calls=0, contacts=0, users=20)
    with Sandbox(world, clock=clock.time, requests_per_minute=2 * BUDGET) as sandbox, ThreadPoolExecutor(3) as pool:
        aircall = Aircall(sandbox, FakeClock())
        config = aircall.config(rate_limit_store=location, requests_per_minute=BUDGET)
        folders = [Path(tempfile.mkdtemp(dir=tmp_path)) for _ in range(3)]
        taps = [Command(folder, config, aircall.catalog("user_numbers"), clock) for folder in folders]
        assert [done.exit_code for done in pool.map(Command.run, taps)] == [0, 0, 0]
        statuses = [log.status for log in sandbox.requests]

    assert statuses == [200] * 3 * 22  # the ping, the users, the numbers of 20
    times = json.loads(Path(location).read_text(encoding="utf-8"))["requests"]
    assert len(times) <= len(statuses)
    assert all(later - earlier > WINDOW for earlier, later in zip(times, times[BUDGET:], strict=False))
    assert times[-1] - times[0] > WINDOW


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("{folder}/none/budget.sqlite", "{folder}/none"),
        ("~nosuchuser/x.sqlite", "~nosuchuser"),
        ("{folder}", "{folder}"),
        ("redis://me:secret@127.0.0.1:1/0#acme", "path"),
    ],
)
def test_an_unusable_store_is_named_without_secrets(aircall: Aircall, tmp_path: Path, value: str, named: str) -> None:
    with refused(InputError, "rate_limit_store", named.format(folder=tmp_path)) as caught:
        _ = aircall.tap(rate_limit_store=value.format(folder=tmp_path)).this_run.client
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_named_with_the_reason(location: str, clock: FakeClock) -> None:
    Path(f"{location}.new").mkdir()

    with refused(InputError, "rate_limit_store", location, os.strerror(errno.EISDIR)):
        RateLimiter(60, clock, location)
