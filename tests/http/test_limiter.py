from __future__ import annotations

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tap_aircall.errors import RunEndedError
from tap_aircall.http.limiter import RateLimiter
from tests.clock import FakeClock, WatchedClock
from tests.messages import each_names


def sent(limiter: RateLimiter, clock: FakeClock, requests: int) -> list[float]:
    """Send requests as fast as allowed; return when, in seconds since the first."""
    began = clock.now
    times = []
    for _ in range(requests):
        limiter.acquire()
        times.append(clock.now - began)
    return times


def test_a_run_within_the_budget_of_a_minute_never_waits() -> None:
    clock = FakeClock()

    assert sent(RateLimiter(60, clock), clock, 60) == [0.0] * 60
    assert clock.waits == []


def test_no_minute_ever_has_more_than_the_budget() -> None:
    clock = FakeClock()

    times = sent(RateLimiter(60, clock), clock, 600)

    assert all(later - earlier > 60 for earlier, later in zip(times, times[60:], strict=False))
    assert times[-1] == pytest.approx(9 * 60.6, abs=0.1)


def test_the_window_slides() -> None:
    clock = FakeClock()
    limiter = RateLimiter(2, clock)
    limiter.acquire()
    clock.now += 40
    limiter.acquire()

    assert sent(limiter, clock, 2) == [pytest.approx(20.6, abs=0.01), pytest.approx(60.6, abs=0.01)]


@pytest.mark.parametrize(("per_minute", "seconds"), [(0.5, 121.2), (1.5, 80.8), (2.5, 72.72)])
def test_fractions_of_a_budget_count(per_minute: float, seconds: float) -> None:
    clock = FakeClock()
    limiter = RateLimiter(per_minute, clock)
    whole = -int(-per_minute // 1)

    assert sent(limiter, clock, whole + 1)[-1] == pytest.approx(seconds, abs=0.01)


def test_a_pause_stops_everyone_and_the_longest_counts() -> None:
    clock = FakeClock()
    limiter = RateLimiter(60, clock)
    limiter.pause(61)
    limiter.pause(5)

    assert sent(limiter, clock, 2) == [61.0, 61.0]


def test_threads_share_one_budget() -> None:
    clock = FakeClock()
    limiter = RateLimiter(10, clock)
    threads = [threading.Thread(target=limiter.acquire) for _ in range(40)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now - FakeClock().now == pytest.approx(3 * 60.6, abs=0.1)


def test_closing_wakes_whoever_waits() -> None:
    clock = WatchedClock()
    limiter = RateLimiter(1, clock)
    limiter.acquire()
    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(limiter.acquire) for _ in range(3)]
        assert clock.is_waited_on.wait(10)
        assert not any(thread.done() for thread in threads)
        limiter.close()

        assert all(isinstance(thread.exception(timeout=10), RunEndedError) for thread in threads)


def test_a_closed_limiter_lets_nobody_pass() -> None:
    limiter = RateLimiter(60, FakeClock())
    limiter.close()

    with pytest.raises(RunEndedError):
        limiter.acquire()


class TestLines:
    @pytest.fixture(autouse=True)
    def _level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

    def test_a_long_wait_says_how_long_it_is(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = FakeClock()
        limiter = RateLimiter(2, clock)
        limiter.acquire()
        clock.now += 18
        sent(limiter, clock, 2)

        each_names(caplog.messages, (43,))

    def test_a_short_wait_says_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = FakeClock()
        limiter = RateLimiter(2, clock)
        limiter.acquire()
        for _ in range(20):  # some seconds every half a minute
            clock.now += 27
            limiter.acquire()

        assert 3 < max(clock.waits) < 10
        assert caplog.messages == []

    def test_many_short_waits_are_reported_twice_a_minute_at_most(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = FakeClock()
        limiter = RateLimiter(60, clock)
        for _ in range(60):
            limiter.acquire()
            clock.now += 0.5
        at: list[float] = []

        def note(_: logging.LogRecord) -> bool:
            at.append(clock.now)
            return True

        caplog.handler.addFilter(note)
        sent(limiter, clock, 600)

        assert 5 <= len(at) <= 20
        assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(at))
        assert len(caplog.messages) == len(at)

    def test_a_pause_that_aircall_asked_for_is_reported_once(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = FakeClock()
        limiter = RateLimiter(60, clock)
        limiter.pause(61)
        limiter.acquire()

        assert clock.waits == [61.0]
        assert caplog.messages == []
